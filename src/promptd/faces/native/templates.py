"""Templates in the native API: stored, versioned, labelled, and called like functions."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from hashlib import sha256
from typing import Annotated, Any, Final, Literal, TypeVar

from msgspec import Meta, Struct
from msgspec.structs import replace

from promptd.core import identity
from promptd.core.descriptors.reference import Labels, reference_html, reference_markdown
from promptd.core.errors import EXECUTION_CODES, ExecutionFailed, InvalidRequest, PromptExecutionError
from promptd.core.localisation import Key, resolve
from promptd.core.model import Prompt, Submission
from promptd.core.template import Draft, TemplateVersion, check_name
from promptd.faces.asgi import JSON, encode, problem_of
from promptd.faces.leaving import while_connected
from promptd.faces.limit_headers import counted_by
from promptd.faces.native import template_document
from promptd.faces.native.events import prompt_frames
from promptd.faces.native.locales import accepted
from promptd.faces.native.operation import Call, Desk, EventStream, Reply, json_reply
from promptd.faces.native.requests import (
    NoQuery,
    PageQuery,
    SubmitQuery,
    idempotency_key,
)
from promptd.faces.native.template_forms import (
    CaseView,
    DiffView,
    NewGuards,
    NewLabel,
    NewPartial,
    NewRun,
    NewVersion,
    Number,
    PartialList,
    TemplatePage,
    TermsView,
    TestReport,
    VersionList,
    VersionView,
    function_view,
    partial_view,
    run_view,
    template_view,
    version_view,
)
from promptd.service.connection_tests import localizer_of
from promptd.service.streams import START
from promptd.service.trials import Trial

R = TypeVar("R")

_WAIT: Final = 60.0  # seconds, where the caller does not say


class RunQuery(SubmitQuery, frozen=True, forbid_unknown_fields=True):
    """As for a prompt; without `wait` it is 60 seconds, because a function is called for its result."""


class ReferenceQuery(Struct, frozen=True, forbid_unknown_fields=True):
    """Which version: by label, by number, or the one that runs."""

    label: Annotated[str, Meta(description="the version that this label points at")] | None = None
    version: Annotated[int, Meta(ge=0, description="its number; 0: the label says")] = 0


class PageForm(ReferenceQuery, frozen=True, forbid_unknown_fields=True):
    """Which version, in what form and language."""

    format: Literal["markdown", "html"] = "markdown"
    locale: Annotated[str, Meta(max_length=35, description="instead of the header `Accept-Language`")] = ""


class DiffQuery(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The two versions."""

    before: Number = 1
    after: Number = 1


# ---------------------------------------------------------------- the library


async def list_templates(desk: Desk, call: Call[PageQuery, None]) -> Reply:
    page = await desk.walk.templates.find(call.caller, limit=call.query.limit, after=call.query.after)
    return json_reply(200, TemplatePage(tuple(map(template_view, page.items)), page.after))


async def get_template(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    return json_reply(200, template_view(await desk.walk.templates.get(call.params["name"])))


async def save_version(desk: Desk, call: Call[NoQuery, NewVersion]) -> Reply:
    body, name, templates = call.body, call.params["name"], desk.walk.templates

    async def save(draft: Draft) -> TemplateVersion:
        return await templates.save(call.caller, name, draft, note=body.note, label=body.label)

    return json_reply(201, await _shown(desk, call, await _written(desk, call, save)))


async def check_version(desk: Desk, call: Call[NoQuery, NewVersion]) -> Reply:
    functions = desk.walk.functions
    version = TemplateVersion(
        template=check_name(call.params["name"]), number=0, draft=await _draft(desk, call), created=0.0, user=""
    )
    await functions.check(version.template, version.draft)
    return json_reply(200, function_view(await functions.of(version)))


async def try_version(desk: Desk, call: Call[NoQuery, NewVersion]) -> Reply:
    walk, name = desk.walk, check_name(call.params["name"])
    draft = await _draft(desk, call)
    if draft.connection is not None:
        raise InvalidRequest(field="connection", expected="none: the cases of a query run once it is saved")
    await walk.functions.check(name, draft)
    return json_reply(200, _report(name, 0, await _for_caller(call, walk.trials.rehearse(call.caller, draft))))


async def _written(desk: Desk, call: Call[NoQuery, NewVersion], use: Callable[[Draft], Awaitable[R]]) -> R:
    """What `use` makes of the draft that was sent."""
    draft, settings = call.body.draft(), call.body.settings
    if settings is None:
        return await use(draft)
    return await desk.walk.functions.with_settings(call.caller, call.params["name"], draft, settings, use)


async def _draft(desk: Desk, call: Call[NoQuery, NewVersion]) -> Draft:
    async def same(draft: Draft) -> Draft:
        return draft

    return await _written(desk, call, same)


async def _shown(desk: Desk, call: Call[Any, Any], version: TemplateVersion) -> VersionView:
    may = call.caller.may(identity.TEMPLATE_EDIT)
    return version_view(version, await desk.walk.functions.settings_of(version.draft) if may else None)


async def list_versions(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    found = await desk.walk.templates.versions(call.caller, call.params["name"])
    return json_reply(200, VersionList(tuple([await _shown(desk, call, version) for version in found])))


async def get_version(desk: Desk, call: Call[ReferenceQuery, None]) -> Reply:
    version, _ = await desk.walk.templates.resolve(
        call.params["name"], label=call.query.label, number=call.query.version or None, user=call.caller.user
    )
    return json_reply(200, await _shown(desk, call, version))


async def diff_versions(desk: Desk, call: Call[DiffQuery, None]) -> Reply:
    shown = await desk.walk.functions.difference(call.caller, call.params["name"], call.query.before, call.query.after)
    return json_reply(200, DiffView(shown))


async def delete_template(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    await desk.walk.templates.delete(call.caller, call.params["name"])
    return Reply(204)


async def move_label(desk: Desk, call: Call[NoQuery, NewLabel]) -> Reply:
    shares = tuple(share.share() for share in call.body.versions)
    moved = await desk.walk.templates.move(call.caller, call.params["name"], call.params["label"], shares)
    return json_reply(200, template_view(moved))


async def remove_label(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    moved = await desk.walk.templates.move(call.caller, call.params["name"], call.params["label"], ())
    return json_reply(200, template_view(moved))


async def roll_back_label(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    moved = await desk.walk.templates.roll_back(call.caller, call.params["name"], call.params["label"])
    return json_reply(200, template_view(moved))


async def guard_labels(desk: Desk, call: Call[NoQuery, NewGuards]) -> Reply:
    changed = await desk.walk.templates.guard(call.caller, call.params["name"], call.body.labels)
    return json_reply(200, template_view(changed))


async def test_template(desk: Desk, call: Call[ReferenceQuery, None]) -> Reply:
    walk = desk.walk
    version, _ = await walk.templates.resolve(
        call.params["name"], label=call.query.label, number=call.query.version or None, user=call.caller.user
    )
    trials = await _for_caller(call, walk.trials.run(call.caller, version))
    return json_reply(200, _report(version.template, version.number, trials))


async def _for_caller(call: Call[Any, Any], work: Coroutine[Any, Any, R]) -> R:
    """What may take long and is of use to this caller alone; it ends when the caller leaves. Raises `Disconnected`."""
    with while_connected({}, call.receive):
        return await work


def _report(name: str, number: int, trials: Sequence[Trial]) -> TestReport:
    cases = tuple(CaseView(trial.case, not trial.failures, trial.failures, trial.prompt) for trial in trials)
    return TestReport(name, number, all(case.passed for case in cases), cases)


# ---------------------------------------------------------------- what templates share


async def list_partials(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    found = await desk.walk.templates.partials()
    return json_reply(200, PartialList(tuple(partial_view(found[name]) for name in sorted(found))))


async def put_partial(desk: Desk, call: Call[NoQuery, NewPartial]) -> Reply:
    saved = await desk.walk.templates.put_partial(call.caller, call.params["name"], call.body.source)
    return json_reply(200, partial_view(saved))


async def delete_partial(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    await desk.walk.templates.delete_partial(call.caller, call.params["name"])
    return Reply(204)


async def get_terms(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    return json_reply(200, TermsView(dict(await desk.walk.templates.terms())))


async def put_terms(desk: Desk, call: Call[NoQuery, TermsView]) -> Reply:
    return json_reply(200, TermsView(dict(await desk.walk.templates.put_terms(call.caller, call.body.values))))


# ---------------------------------------------------------------- functions


async def get_function(desk: Desk, call: Call[ReferenceQuery, None]) -> Reply:
    function = await desk.walk.functions.describe(
        call.params["name"], label=call.query.label, number=call.query.version or None, user=call.caller.user
    )
    return json_reply(200, function_view(function))


async def get_reference(desk: Desk, call: Call[PageForm, None]) -> Reply:
    query, walk = call.query, desk.walk
    locale = query.locale or accepted(call.headers.get(b"accept-language", b"").decode("latin-1"))
    function = await walk.functions.describe(
        call.params["name"], label=query.label, number=query.version or None, user=call.caller.user, locale=locale
    )
    connection = walk.connections.get(function.version.draft.connection or "")
    own = localizer_of(connection.engine) if connection is not None else None
    words = {name: resolve(Key(f"promptd.reference.{name}"), None, locale) for name in Labels.__struct_fields__}
    make = reference_html if query.format == "html" else reference_markdown
    page = make(
        function.inputs,
        function.results(),
        title=function.version.template,
        description=function.version.draft.description,
        resolve=lambda text: resolve(text, own, locale),
        labels=Labels(**words),
    )
    kind = b"text/html; charset=utf-8" if query.format == "html" else b"text/markdown; charset=utf-8"
    return Reply(200, page.encode(), [(b"content-type", kind), (b"content-security-policy", b"default-src 'none'")])


async def describe_templates(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    document = await template_document.document(desk.walk, desk.document())
    return Reply(200, await asyncio.to_thread(encode, document), [JSON])


async def run_template(desk: Desk, call: Call[RunQuery, NewRun]) -> Reply | EventStream:
    walk, caller, body = desk.walk, call.caller, call.body
    streams = b"text/event-stream" in call.headers.get(b"accept", b"")
    # asked before anything is stored: a caller that may not read the answer learns it now
    identity.require(caller, identity.PROMPT_STREAM if streams else identity.PROMPT_VIEW)
    prepared = await walk.functions.prepare(caller, call.params["name"], body.inputs, body.options(), body.files)
    submission = replace(
        prepared,
        priority=body.priority,
        request=replace(prepared.request, metadata=body.metadata),
    )
    key = call.headers.get(b"idempotency-key")
    if key is not None:
        # the name is a part of what is asked: the same body for another template is another call
        asked = sha256(call.params["name"].encode() + b"\0" + call.raw).digest()
        submission = replace(submission, idempotency_key=idempotency_key(key), fingerprint=asked)
    return await _answered(desk, call, submission, streams)


async def _answered(
    desk: Desk, call: Call[RunQuery, NewRun], submission: Submission, streams: bool
) -> Reply | EventStream:
    walk, caller = desk.walk, call.caller
    added = await walk.intake.submit(counted_by(submission, walk.charges.headers, call.headers))
    prompt = added.prompt
    place = [(b"x-prompt-id", prompt.id.encode()), (b"location", f"/promptd/v1/prompts/{prompt.id}".encode())]
    if not added.created:
        place.append((b"idempotent-replayed", b"true"))
    if streams:
        return EventStream(prompt_frames(walk, desk.frames, caller, prompt, START), place)
    seconds = _WAIT if call.query.wait is None else call.query.seconds()
    if seconds and not prompt.status.final:
        waiting = desk.readers.wait(walk.streams.finished(prompt.id), call.receive, seconds, call.holder)
        prompt = await waiting or prompt
    if prompt.status.final and prompt.answer is None:
        error = _failure(prompt)
        problem = replace(problem_of(error), run_id=prompt.id)
        if prompt.due is not None and prompt.finished is not None:
            place.append((b"retry-after", b"%d" % max(1, math.ceil(prompt.due - prompt.finished))))
        return Reply(problem.status, encode(problem), [(b"content-type", b"application/problem+json"), *place])
    return json_reply(200 if prompt.status.final else 202, run_view(prompt), place)


def _failure(prompt: Prompt) -> PromptExecutionError:
    """What the prompt failed with, as it was raised."""
    if prompt.error is None:
        return ExecutionFailed("the prompt ended without an answer")
    return EXECUTION_CODES.get(prompt.error.code, ExecutionFailed)(prompt.error.message)
