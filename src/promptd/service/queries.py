"""Queries: prompts of an engine's own kind. Their settings say what goes in and what comes out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar

from msgspec.structs import replace

from promptd.core.configs import redact, required_empty
from promptd.core.connections import StoredSettings
from promptd.core.descriptors import Checker, Param, check_params
from promptd.core.engine import Call, Config, DescribeParams
from promptd.core.errors import (
    ConfigIncomplete,
    ConfigUnusable,
    DescriptorFailed,
    HandlerUnavailable,
    InvalidInput,
    InvalidRequest,
    NotFound,
    PromptExecutionError,
)
from promptd.core.forms import FormContext, built, missing_required
from promptd.core.model import Request
from promptd.core.prompt_files import PromptFile
from promptd.core.template import Draft
from promptd.service.callbacks import Callbacks
from promptd.service.connections import Connection, Connections
from promptd.service.contents import Contents
from promptd.service.forms import Forms, Subject, Written
from promptd.service.settings_vault import SettingsVault
from promptd.service.uploads import Uploads

R = TypeVar("R")


class Query(NamedTuple):
    """A query that can run: whom it asks, its settings, and what they make of inputs and outputs."""

    connection: Connection
    settings: Config
    inputs: tuple[Param, ...]
    outputs: tuple[Param, ...]


class Queries:
    """Opens the queries that templates hold. What an engine computes is computed afresh each time."""

    def __init__(
        self,
        *,
        connections: Connections,
        vault: SettingsVault,
        callbacks: Callbacks,
        forms: Forms,
        uploads: Uploads,
        contents: Contents,
    ) -> None:
        self._connections, self._vault, self._callbacks, self._forms = connections, vault, callbacks, forms
        self._uploads, self._contents = uploads, contents

    async def open(self, draft: Draft, locale: str = "en", *, complete: bool = True) -> Query:
        """Raises `HandlerUnavailable`, `ConfigUnusable`, `DescriptorFailed`; `ConfigIncomplete` where something that is
        required is empty and the query must be `complete`."""
        connection = self._connections.get(draft.connection or "")
        if connection is None:
            raise HandlerUnavailable(f"the connection {draft.connection!r} is not there")
        if draft.settings is None:
            raise ConfigUnusable("the query has no settings")
        wrote = draft.settings.engine
        if wrote not in ("", connection.engine.type_id):
            # what another type makes of them is a proposal, until somebody has seen and saved it
            raise ConfigUnusable(
                f"the settings are those of {wrote!r}, and the connection {connection.name!r} is one of "
                f"{connection.engine.type_id!r} now: save the query with what fits",
                field="connection",
            )
        settings = (await self._vault.open(connection.engine, draft.settings, "query")).config
        if complete and (empty := (*required_empty(connection.config), *await self._empty(connection, settings))):
            raise ConfigIncomplete(f"required and empty: {', '.join(empty)}", field=empty[0])
        return await self.describe(connection, settings, locale)

    async def _empty(self, connection: Connection, settings: Config) -> Sequence[str]:
        """What a query still needs. A setting that its form hides is not asked for."""
        if not required_empty(settings):
            return ()
        engine = connection.engine
        context = FormContext(type_id=engine.type_id, connection=connection.config)
        form = (await self._callbacks.call(built, partial(engine.query_form, context))).form
        return required_empty(settings) if form is None else missing_required(form, redact(settings))

    async def shown(self, draft: Draft) -> dict[str, Any] | None:
        """What the form of a query holds; None of what is none. Raises `HandlerUnavailable`, `ConfigUnusable`."""
        if draft.connection is None or draft.settings is None:
            return None
        connection = self._connections.get(draft.connection)
        if connection is None:
            raise HandlerUnavailable(f"the connection {draft.connection!r} is not there")
        return redact((await self._vault.open(connection.engine, draft.settings, "query")).config)

    async def write(
        self, draft: Draft, values: dict[str, Any], before: Draft | None, use: Callable[[Draft], Awaitable[R]]
    ) -> R:
        """What `use` makes of the draft with these settings; it must store it, if anybody does: a change of the vault's
        key waits for it. A blank secret keeps what `before` has; settings of another engine are read as far as they fit.

        Raises `InvalidRequest`, `HandlerUnavailable`, `PromptSerializationError`, and what `use` raises.
        """
        connection = self._connections.get(draft.connection or "")
        if connection is None:
            raise InvalidRequest(field="connection", expected="a connection's name")
        engine = connection.engine
        kept = before.settings if before is not None else None
        known = (await self._vault.open(engine, kept, "query")).config if kept is not None else None
        subject = Subject(engine=engine, kind="query", before=known, connection=connection.config)
        config = await self._forms.accept(subject, Written(values=values))

        async def record(settings: StoredSettings) -> R:
            return await use(replace(draft, settings=settings))

        return await self._vault.store(engine, config, record, kind="query", before=kept)

    async def keep(
        self, draft: Draft, find: Callable[[], Awaitable[StoredSettings]], use: Callable[[Draft], Awaitable[R]]
    ) -> R:
        """Like `write`, with the settings that `find` takes from the store; they stay as they are."""
        with self._vault.storing():
            return await use(replace(draft, settings=await find()))

    async def describe(self, connection: Connection, settings: Config, locale: str = "en") -> Query:
        """What settings that need not be stored make of inputs and outputs. Raises `DescriptorFailed`."""
        engine = connection.engine
        params = DescribeParams(connection=connection.config, query=settings, locale=locale)
        found: list[tuple[Param, ...]] = []
        for where, compute in (("inputs", engine.compute_query_input), ("outputs", engine.compute_query_output)):
            try:
                found.append(check_params(await self._callbacks.call(compute, params), where=where))
            except PromptExecutionError:
                raise
            except Exception as error:  # a stranger's code
                raise DescriptorFailed(
                    f"the engine could not say what the {where} are ({type(error).__name__})", detail=repr(error)
                ) from None
        return Query(connection, settings, *found)

    async def compose(self, query: Query, call: Call[Any, Any]) -> Request | None:
        """What the query asks of a language model; None where only its engine knows. Raises `PromptExecutionError`."""
        made = await self._callbacks.call(query.connection.engine.compose, call)
        if made is not None and not isinstance(made, Request):
            raise DescriptorFailed("the engine composed something else than a request")
        return made

    async def files(self, given: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[PromptFile, ...]]:
        """The uploads that are named, by input. Raises `InvalidInput` for one that is not there."""
        found: dict[str, tuple[PromptFile, ...]] = {}
        for name, identifiers in given.items():
            opened: list[PromptFile] = []
            for place, identifier in enumerate(identifiers):
                try:
                    upload = await self._uploads.get(identifier)
                except NotFound:
                    raise InvalidInput(field=f"files.{name}[{place}]", expected="the id of an upload") from None
                read = partial(self._contents.open, upload.digest)
                opened.append(PromptFile(upload.name, upload.media_type, upload.size, read))
            found[name] = tuple(opened)
        return found


def checked(
    query: Query, value: Mapping[str, Any], files: Mapping[str, tuple[PromptFile, ...]]
) -> tuple[dict[str, Any], dict[str, tuple[PromptFile, ...]]]:
    """Inputs with their defaults. Reads the first bytes of files. Raises `InvalidInput`, `InputTooLarge`."""
    found = Checker(query.inputs).check(dict(value), dict(files))
    return found.value, found.files
