"""Templates as typed functions: values in, a submission out, which then takes the walk of every other prompt."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from promptd.core import identity, template
from promptd.core.assertions import check_assertion
from promptd.core.connections import SEALED, StoredSettings, is_mark_of, sealed_mark
from promptd.core.descriptors import Param, input_schema, output_schema
from promptd.core.engine import Call
from promptd.core.errors import ConfigUnusable, HandlerUnavailable, InvalidRequest, NotFound
from promptd.core.model import Caller, Capability, Mode, Output, Request, Submission, Use
from promptd.core.output import check_schema
from promptd.core.rendering import check, variables
from promptd.core.template import LATEST, Draft, MessageSource, TemplateVersion
from promptd.service.checks import check_declared
from promptd.service.queries import Queries, checked
from promptd.service.templates import Templates
from promptd.service.wording import check_values, with_schema, worded

R = TypeVar("R")

_MOST_MESSAGES: Final = 100
_MOST_SOURCE: Final = 1024 * 1024  # characters of all messages together
_LARGE: Final = 8 * 1024  # characters; larger messages are looked through in a thread
_TEXT: Final = Output()


class Options(Struct, frozen=True, kw_only=True):
    """How a template is run."""

    label: str | None = None  #: None: `production`, or the newest version while that is nowhere
    number: int | None = None  #: of the version
    model: str | None = None  #: another one than the template names
    mode: Mode = Mode.QUEUED
    lenient: bool = False  #: values are what they are: nobody checks them against the declared inputs
    repair: int | None = None  #: another number of rounds than the template says
    locale: str = "en"


_PLAIN: Final = Options()


class Function(NamedTuple):
    """A version as others see it: what goes in, what comes out."""

    version: TemplateVersion
    inputs: tuple[Param, ...]
    outputs: tuple[Param, ...]  #: of a query
    output: Output  #: of messages

    def results(self) -> tuple[Param, ...]:
        """What comes out, as parameters: those of a query, or the one answer."""
        if self.version.draft.connection is not None:
            return self.outputs
        return (Param(name="value" if self.output.kind != "text" else "text", schema=self.output_schema()),)

    def input_schema(self) -> dict[str, Any]:
        return input_schema(self.inputs)

    def output_schema(self) -> dict[str, Any]:
        """JSON Schema of what a run returns as its value."""
        if self.version.draft.connection is not None:
            return output_schema(self.outputs)
        if self.output.kind == "text":
            return {"type": "string"}
        if self.output.kind == "jsonl":
            return {"type": "array", "items": self.output.schema or {}}
        return self.output.schema or {}


class Functions:
    """Prepares runs of templates."""

    def __init__(self, *, templates: Templates, queries: Queries) -> None:
        self._templates, self._queries = templates, queries

    async def describe(
        self, name: str, *, label: str | None = None, number: int | None = None, user: str = "", locale: str = "en"
    ) -> Function:
        """Raises `NotFound`, `ConfigUnusable` for a broken one, and what `Queries.open` raises."""
        version, _ = await self._templates.resolve(name, label=label, number=number, user=user)
        return await self.of(version, locale)

    async def of(self, version: TemplateVersion, locale: str = "en") -> Function:
        """As `describe`, of a version that is at hand."""
        draft = version.draft
        if draft.fault:
            raise ConfigUnusable(f"the template {version.template!r} can't run: {draft.fault}")
        if draft.connection is not None:
            query = await self._queries.open(draft, locale, complete=False)
            return Function(version, query.inputs, query.outputs, _TEXT)
        return Function(version, await self._inputs(draft), (), draft.output)

    async def prepare(
        self,
        caller: Caller,
        name: str,
        values: Mapping[str, Any],
        options: Options = _PLAIN,
        files: Mapping[str, tuple[str, ...]] | None = None,
    ) -> Submission:
        """What running the template means. `files` has ids of uploads for inputs that are files.

        Raises `NotFound`, `InvalidInput` that names the variable, `InputTooLarge`, `ConfigUnusable`, `ConfigIncomplete`,
        `DescriptorFailed`, `HandlerUnavailable`.
        """
        identity.require(caller, identity.PROMPT_CREATE)
        version, label = await self._templates.resolve(
            name, label=options.label, number=options.number, user=caller.user
        )
        draft = version.draft
        if draft.fault:
            raise ConfigUnusable(f"the template {name!r} can't run: {draft.fault}")
        use = Use(name, version.number, label, options.locale)
        if draft.connection is not None:
            return await self._query(caller, draft, use, values, files or {}, options)
        return await self._messages(caller, draft, use, values, files or {}, options)

    async def rehearse(
        self, caller: Caller, draft: Draft, values: Mapping[str, Any], options: Options = _PLAIN
    ) -> Submission:
        """What running a draft that is not saved means. Raises as `prepare` does, and `InvalidRequest` for a query: its
        runs look for its settings in the library."""
        identity.require(caller, identity.PROMPT_CREATE)
        if draft.connection is not None:
            raise InvalidRequest(field="connection", expected="none: a query of a connection runs once it is saved")
        return await self._messages(caller, draft, None, values, {}, options)

    # ---------------------------------------------------------------- messages

    async def _messages(
        self,
        caller: Caller,
        draft: Draft,
        use: Use | None,
        values: Mapping[str, Any],
        files: Mapping[str, tuple[str, ...]],
        options: Options,
    ) -> Submission:
        given = {**await self._templates.terms(), **draft.terms, **values}
        attached: tuple[str, ...] = ()
        if not options.lenient:
            inputs = await self._inputs(draft)
            found = await check_values(inputs, dict(values), await self._queries.files(files))
            given = {**await self._templates.terms(), **draft.terms, **found.value}
            attached = tuple(identifier for name in found.files for identifier in files.get(name, ()))
            absent = [param for param in inputs if param.kind != "file" and param.name not in given]
            given |= {param.name: "" if param.kind == "string" else None for param in absent}
        partials = {name: partial.source for name, partial in (await self._templates.partials()).items()}
        turns = await worded(await self._sources(draft), draft.dialect, given, partials)
        output = draft.output
        if options.repair is not None and options.repair != output.repair:
            output = replace(output, repair=options.repair)
        request = Request(
            messages=turns,
            parameters=with_schema(draft.parameters, output),
            files=attached,
            template=use,
            output=None if output.kind == "text" else output,
            unchecked=True,
        )
        return Submission(caller=caller, request=request, model=options.model or draft.model, mode=options.mode)

    async def _inputs(self, draft: Draft) -> tuple[Param, ...]:
        """The declared inputs, or one of any kind for each name that the messages use."""
        if draft.inputs is not None:
            return draft.inputs
        known = {*await self._templates.terms(), *draft.terms}
        partials = {name: partial.source for name, partial in (await self._templates.partials()).items()}
        names: set[str] = set()
        for message in await self._sources(draft):
            if len(message.source) > _LARGE:
                names |= await asyncio.to_thread(variables, message.source, draft.dialect, partials=partials)
            else:
                names |= variables(message.source, draft.dialect, partials=partials)
        return tuple(Param(name=name, kind="any", required=name not in known) for name in sorted(names))

    async def _sources(self, draft: Draft) -> list[MessageSource]:
        """The messages, with the shared texts that they name."""
        partials = await self._templates.partials()
        return [
            replace(message, source=partials[message.partial].source) if message.partial in partials else message
            for message in draft.messages
        ]

    # ---------------------------------------------------------------- queries

    async def _query(
        self,
        caller: Caller,
        draft: Draft,
        use: Use,
        values: Mapping[str, Any],
        files: Mapping[str, tuple[str, ...]],
        options: Options,
    ) -> Submission:
        query = await self._queries.open(draft, options.locale)
        value, given = await asyncio.to_thread(checked, query, values, await self._queries.files(files))
        connection, engine = query.connection, query.connection.engine
        call: Call[Any, Any] = Call(
            connection=connection.config,
            connection_name=connection.name,
            model=options.model or engine.query_model(query.settings),
            http=connection.http,
            query=query.settings,
            value=value,
            files=given,
            locale=options.locale,
        )
        composed = await self._queries.compose(query, call)
        kept = {name: files[name] for name in given if name in files}
        if composed is None:
            request = Request(template=use, connection=connection.name, value=value, inputs=kept)
            capability = Capability.QUERY
        else:
            capability = Capability.CHAT
            output = composed.output or _TEXT
            if options.repair is not None:
                output = replace(output, repair=options.repair)
            request = replace(
                composed,
                template=use,
                connection=connection.name,
                output=output,
                unchecked=True,
                files=(*composed.files, *(identifier for name in kept for identifier in kept[name])),
            )
        return Submission(
            caller=caller, request=request, model=call.model or None, mode=options.mode, capability=capability
        )

    # ---------------------------------------------------------------- drafts

    async def with_settings(
        self, caller: Caller, name: str, draft: Draft, values: dict[str, Any], use: Callable[[Draft], Awaitable[R]]
    ) -> R:
        """What `use` makes of a query's draft with what was written into its form; it stores it, if anybody does.

        Sealed settings stay as they are, and must be those of one of the template's versions: whoever has the envelope of
        others can't have them read as these. Raises `InvalidRequest` that names the field, and what `use` raises.
        """
        identity.require(caller, identity.TEMPLATE_EDIT)
        if SEALED in values:
            return await self._queries.keep(draft, lambda: self._kept(caller, name, draft.connection, values), use)
        try:
            before = (await self._templates.resolve(name, label=LATEST))[0].draft
        except NotFound:
            before = None
        return await self._queries.write(draft, values, before, use)

    async def _kept(
        self, caller: Caller, name: str, connection: str | None, values: Mapping[str, Any]
    ) -> StoredSettings:
        """The stored settings that a mark stands for."""
        with suppress(NotFound):
            for version in await self._templates.versions(caller, name):
                settings = version.draft.settings
                if settings is not None and version.draft.connection == connection and is_mark_of(settings, values):
                    return settings
        raise InvalidRequest(
            field=f"settings.{SEALED}", expected="what this server tells of a version of this template"
        )

    async def difference(self, caller: Caller, name: str, before: int, after: int) -> str:
        """What changed between two versions, as a unified diff; of a query's settings for those who may change them."""
        identity.require(caller, identity.TEMPLATE_VIEW)
        old, new = await self._templates.version(name, before), await self._templates.version(name, after)
        if not caller.may(identity.TEMPLATE_EDIT):
            return await asyncio.to_thread(template.difference, old, new)
        settings = await self.settings_of(old.draft), await self.settings_of(new.draft)
        return await asyncio.to_thread(template.difference, old, new, settings)

    async def settings_of(self, draft: Draft) -> dict[str, Any] | None:
        """What the form of a query holds, marks in place of its secrets; all of it is one mark (`{"$sealed": …}`) where it
        can't be read. None where there is nothing."""
        try:
            return await self._queries.shown(draft)
        except (HandlerUnavailable, ConfigUnusable):
            return sealed_mark(draft.settings) if draft.settings is not None else None

    async def check(self, name: str, draft: Draft) -> None:
        """Raises `InvalidRequest` that names the field, `DescriptorFailed`, or what `Queries.open` raises."""
        if draft.inputs is not None:
            await asyncio.to_thread(check_declared, draft.inputs)
        if draft.output.schema is not None:
            await asyncio.to_thread(check_schema, draft.output.schema, "output.schema")
        if not 0 <= draft.output.repair <= 3:
            raise InvalidRequest(field="output.repair", expected="0 to 3")
        for place, case in enumerate(draft.cases):
            for index, assertion in enumerate(case.assertions):
                await asyncio.to_thread(check_assertion, assertion, f"cases[{place}].assertions[{index}]")
        if draft.connection is not None:
            await self._queries.open(draft, complete=False)
            return
        if not draft.messages:
            raise InvalidRequest(field="messages", expected="at least one message, or a connection")
        if len(draft.messages) > _MOST_MESSAGES:
            raise InvalidRequest(field="messages", expected=f"at most {_MOST_MESSAGES} messages")
        if sum(len(message.source) for message in draft.messages) > _MOST_SOURCE:
            raise InvalidRequest(field="messages", expected=f"at most {_MOST_SOURCE} characters in all")
        for place, message in enumerate(draft.messages):
            await asyncio.to_thread(check, message.source, draft.dialect, field=f"messages[{place}].source")
        if draft.inputs is None:
            check_declared(await self._inputs(draft))
