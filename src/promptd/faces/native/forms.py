"""Forms in the native API: what they look like, and what the code behind them says while somebody fills one in.

A form of a connection is for those who may save one, a form of a query for those who write templates.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, Final, Literal, NamedTuple

from msgspec import Meta, Struct, field

from promptd.core.configs import LoadReport
from promptd.core.engine import Engine
from promptd.core.errors import InvalidRequest, NotFound
from promptd.core.identity import CONNECTION_EDIT, TEMPLATE_EDIT
from promptd.core.localisation import Key, resolve
from promptd.core.template import Draft
from promptd.faces.native.locales import AcceptLanguage, Locale, LocaleQuery, locale_of
from promptd.faces.native.operation import Call, Desk, Operation, Reply, json_reply
from promptd.faces.native.stored_views import LoadReportView, report_view
from promptd.service.forms import Subject, Written

_PICK: Final = Key("promptd.form.pick_connection")
_Path = Annotated[str, Meta(min_length=1, max_length=500)]
_Name = Annotated[str, Meta(min_length=1, max_length=200)]


class FormQuery(LocaleQuery, frozen=True, forbid_unknown_fields=True):
    """Which form: of a new connection, or of the stored one with this id or name; of a query, the connection it is for."""

    locale: Locale | None = None
    connection: Annotated[str, Meta(description="id or name of a connection; a form of a query needs it")] | None = None


class QueryFormQuery(FormQuery, frozen=True, forbid_unknown_fields=True):
    """Also of which template: then the form starts with what that has, as far as the connection's type can read it."""

    template: Annotated[str, Meta(max_length=128, description="name of a template that is a query")] | None = None


class FormProblemView(Struct, frozen=True):
    """What is wrong with a form, and where in it."""

    path: str
    reason: str


class FormView(Struct, frozen=True):
    """A form as data. `schema` is JSON Schema 2020-12, `ui` a tree of nodes; where they are null, `message` stands in the
    panel. `data` is what it starts with: a secret that is set is `{"$secret": "<path>"}`. `elements` gives each scope of the
    layout an id that no other form on the page has. `report` says what of the stored settings could not be read: a save makes
    that final."""

    type: str
    kind: Literal["connection", "query"]
    object_id: str
    schema: dict[str, Any] | None
    ui: dict[str, Any] | None
    elements: dict[str, str]
    data: dict[str, Any]
    secrets: Annotated[dict[str, bool], Meta(description="path of each secret → whether it is set")]
    report: LoadReportView | None
    message: str
    problems: tuple[FormProblemView, ...]


class FormDraft(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A form as it stands on the screen; nothing of it is stored. A blank secret means the stored one, an upload is
    `{"$upload": "<id of a file>"}`."""

    config: dict[str, Any] = field(default_factory=dict)
    clear: Annotated[tuple[_Path, ...], Meta(max_length=100, description="paths of secrets to be emptied")] = ()
    changed: Annotated[tuple[_Path, ...], Meta(max_length=1000, description="paths that were changed")] = ()
    revision: Annotated[
        int, Meta(ge=0, le=2**53, description="comes back with the answer, so that an old one is known")
    ] = 0
    connection: Annotated[str, Meta(max_length=200, description="id or name, as for the form")] | None = None
    template: Annotated[str, Meta(max_length=128, description="of a query's form")] | None = None

    def written(self) -> Written:
        return Written(values=self.config, clear=self.clear, changed=frozenset(self.changed), revision=self.revision)


class OptionsDraft(FormDraft, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Asks for the choices of a field with `x-options: source`."""

    source: _Name
    search: Annotated[str, Meta(max_length=200)] = ""


class ChangeDraft(FormDraft, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tells that the field at `path` has changed."""

    path: _Path


class ActionDraft(FormDraft, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A button was pressed."""

    action: _Name


class OptionView(Struct, frozen=True):
    """A choice."""

    value: Any
    label: str
    description: str
    group: str


class FieldMessageView(Struct, frozen=True):
    """A message at a field; at the form as a whole where `path` is empty."""

    path: str
    message: str
    level: Literal["error", "warning", "info"]


class FormPatchView(Struct, frozen=True):
    """What changes on the screen, and nothing else. An answer to an older `revision` than that of the screen is to be
    thrown away."""

    revision: int
    values: dict[str, Any]
    options: dict[str, tuple[OptionView, ...]]
    messages: tuple[FieldMessageView, ...]
    ui: dict[str, Any] | None


def _engine(desk: Desk, name: str) -> Engine[Any, Any]:
    engine = desk.walk.installed.engines.get(name)
    if engine is None:
        raise NotFound(f"there is no type {name[:200]!r}")
    return engine


class _Asked(NamedTuple):
    subject: Subject
    report: LoadReport | None = None


async def _connection(desk: Desk, call: Call[Any, Any], asked: FormQuery | FormDraft) -> _Asked:
    engine, locale = _engine(desk, call.params["type"]), locale_of(call)
    if asked.connection is None:
        return _Asked(Subject(engine=engine, locale=locale))
    known = await desk.walk.stored.get(asked.connection)
    if known.record.engine != engine.type_id:
        raise InvalidRequest(field="connection", expected=f"a connection of the type {engine.type_id}")
    return _Asked(known.subject(locale), known.report)


async def _query(desk: Desk, call: Call[Any, Any], asked: QueryFormQuery | FormDraft) -> _Asked:
    engine, locale = _engine(desk, call.params["type"]), locale_of(call)
    draft = await _newest(desk, asked.template)
    connection = asked.connection or (None if draft is None else draft.connection)
    if connection is None:
        raise InvalidRequest(f"connection: {resolve(_PICK, None, locale)}", field="connection", expected="a connection")
    discovered: dict[str, Any] = {}
    configured = desk.walk.connections.get(connection)
    known = next((one for one in desk.walk.stored.list() if connection in (one.record.id, one.record.name)), None)
    if known is not None:
        discovered = known.discovered
        configured = configured or await desk.walk.stored.require(connection)
    if configured is None:
        raise NotFound(f"there is no connection {connection[:200]!r}")
    if configured.engine is not engine:
        raise InvalidRequest(field="connection", expected=f"a connection of the type {engine.type_id}")
    before, report = None, None
    if draft is not None and draft.settings is not None:
        before, report = await desk.walk.stored.read_query(engine, draft.settings)
    subject = Subject(
        engine=engine,
        kind="query",
        object_id=asked.template or "",
        locale=locale,
        before=before,
        connection=configured.config,
        discovered=discovered,
    )
    return _Asked(subject, report)


async def _newest(desk: Desk, template: str | None) -> Draft | None:
    """What the newest version of a template says. Raises `NotFound`."""
    if template is None:
        return None
    found = await desk.walk.templates.get(template)
    return (await desk.walk.templates.version(template, found.latest)).draft if found.latest else None


async def _show(desk: Desk, asked: _Asked) -> Reply:
    form = await desk.walk.forms.show(asked.subject)
    problems = tuple(FormProblemView(problem.path, problem.reason) for problem in form.problems)
    view = FormView(
        form.type,
        form.kind,
        form.object_id,
        form.schema,
        form.ui,
        form.elements,
        form.data,
        form.secrets,
        report_view(asked.report, asked.subject.engine, asked.subject.locale),
        form.message,
        problems,
    )
    return json_reply(200, view, [(b"cache-control", b"no-store")])


async def get_connection_form(desk: Desk, call: Call[FormQuery, None]) -> Reply:
    return await _show(desk, await _connection(desk, call, call.query))


async def get_query_form(desk: Desk, call: Call[QueryFormQuery, None]) -> Reply:
    return await _show(desk, await _query(desk, call, call.query))


async def _options(desk: Desk, asked: _Asked, body: OptionsDraft) -> Reply:
    return json_reply(200, await desk.walk.forms.options(asked.subject, body.written(), body.source, body.search))


async def _change(desk: Desk, asked: _Asked, body: ChangeDraft) -> Reply:
    return json_reply(200, await desk.walk.forms.change(asked.subject, body.written(), body.path))


async def _act(desk: Desk, asked: _Asked, body: ActionDraft) -> Reply:
    return json_reply(200, await desk.walk.forms.act(asked.subject, body.written(), body.action))


async def _validate(desk: Desk, asked: _Asked, body: FormDraft) -> Reply:
    return json_reply(200, await desk.walk.forms.validate(asked.subject, body.written()))


async def connection_form_options(desk: Desk, call: Call[LocaleQuery, OptionsDraft]) -> Reply:
    return await _options(desk, await _connection(desk, call, call.body), call.body)


async def connection_form_change(desk: Desk, call: Call[LocaleQuery, ChangeDraft]) -> Reply:
    return await _change(desk, await _connection(desk, call, call.body), call.body)


async def connection_form_action(desk: Desk, call: Call[LocaleQuery, ActionDraft]) -> Reply:
    return await _act(desk, await _connection(desk, call, call.body), call.body)


async def validate_connection_form(desk: Desk, call: Call[LocaleQuery, FormDraft]) -> Reply:
    return await _validate(desk, await _connection(desk, call, call.body), call.body)


async def query_form_options(desk: Desk, call: Call[LocaleQuery, OptionsDraft]) -> Reply:
    return await _options(desk, await _query(desk, call, call.body), call.body)


async def query_form_change(desk: Desk, call: Call[LocaleQuery, ChangeDraft]) -> Reply:
    return await _change(desk, await _query(desk, call, call.body), call.body)


async def query_form_action(desk: Desk, call: Call[LocaleQuery, ActionDraft]) -> Reply:
    return await _act(desk, await _query(desk, call, call.body), call.body)


async def validate_query_form(desk: Desk, call: Call[LocaleQuery, FormDraft]) -> Reply:
    return await _validate(desk, await _query(desk, call, call.body), call.body)


def operations(base: str) -> tuple[Operation, ...]:
    """The rows of the API's table."""
    connection = partial(
        Operation,
        group="connections",
        permission=CONNECTION_EDIT,
        headers={"Accept-Language": AcceptLanguage},
        refusals=(404, 409, 503),
    )
    query = partial(
        Operation,
        group="connections",
        permission=TEMPLATE_EDIT,
        headers={"Accept-Language": AcceptLanguage},
        refusals=(404, 409, 503),
    )
    one, other = f"{base}/plugins/{{type}}/forms/connection", f"{base}/plugins/{{type}}/forms/query"
    patch = {200: FormPatchView}
    asking: dict[str, Any] = {"method": "POST", "query": LocaleQuery, "answers": patch}
    return (
        connection(
            method="GET",
            path=one,
            handler=get_connection_form,
            summary="The form of a connection, new or stored; one that could not be loaded says so",
            query=FormQuery,
            answers={200: FormView},
        ),
        connection(
            path=f"{one}/options",
            handler=connection_form_options,
            summary="The choices of a field",
            body=OptionsDraft,
            example={"source": "models", "config": {"base_url": "https://api.example.org/v1"}, "revision": 3},
            **asking,
        ),
        connection(
            path=f"{one}/change",
            handler=connection_form_change,
            summary="What else changes on the screen, now that a field has",
            body=ChangeDraft,
            example={"path": "mode", "config": {"mode": "plain"}, "changed": ["mode"], "revision": 4},
            **asking,
        ),
        connection(
            path=f"{one}/validate",
            handler=validate_connection_form,
            summary="Everything that forbids to save",
            body=FormDraft,
            example={"config": {"base_url": ""}},
            **asking,
        ),
        connection(
            path=f"{one}/action",
            handler=connection_form_action,
            summary="Press a button of the form",
            body=ActionDraft,
            example={"action": "load_models", "config": {}},
            **asking,
        ),
        query(
            method="GET",
            path=other,
            handler=get_query_form,
            summary="The form of a query, new or a template's; a connection has to be chosen first",
            query=QueryFormQuery,
            answers={200: FormView},
        ),
        query(
            path=f"{other}/options",
            handler=query_form_options,
            summary="The choices of a query's field; the connection's settings are known to it",
            body=OptionsDraft,
            example={"source": "tasks", "connection": "office"},
            **asking,
        ),
        query(
            path=f"{other}/change",
            handler=query_form_change,
            summary="What else changes on the screen, now that a query's field has",
            body=ChangeDraft,
            example={"path": "task", "config": {"task": "copy"}, "connection": "office"},
            **asking,
        ),
        query(
            path=f"{other}/validate",
            handler=validate_query_form,
            summary="Everything that forbids to save a query",
            body=FormDraft,
            example={"config": {"task": ""}, "connection": "office"},
            **asking,
        ),
        query(
            path=f"{other}/action",
            handler=query_form_action,
            summary="Press a button of a query's form",
            body=ActionDraft,
            example={"action": "load", "config": {}, "connection": "office"},
            **asking,
        ),
    )
