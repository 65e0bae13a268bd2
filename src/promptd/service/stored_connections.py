"""Connections that an administrator saves at run time, beside those of the settings file (contracts/formcycle.md §2, §3).

A few hundred at most, so all of them are held in memory as well. What can't be used, because its engine is gone or its
settings can't be read, keeps its bytes until somebody saves or deletes it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from typing import Any, Final
from uuid import UUID
from weakref import WeakSet

from msgspec.structs import replace

from promptd.core.connections import StoredConnection, StoredSettings, TestNote
from promptd.core.engine import Config, Engine
from promptd.core.errors import Conflict, InvalidRequest, NotFound, PromptdError
from promptd.core.filters import Query
from promptd.core.ports import Records
from promptd.service.clock import Clock, Ids
from promptd.service.connection_tests import ConnectionTests, MakeClient, OwnClient, Tested, client_for
from promptd.service.connections import Connection
from promptd.service.contents import Contents
from promptd.service.forms import Forms, Subject, Written
from promptd.service.known_connections import Known, both, check_current, check_facts, whole
from promptd.service.settings_vault import Opened, SettingsVault, digests

_log = logging.getLogger(__name__)

MOST: Final = 1000
_MILLISECOND: Final = 0.001


class StoredConnections:
    """Call `load` once before the house serves; `changed` is called whenever `served` says something new."""

    def __init__(
        self,
        *,
        records: Records,
        vault: SettingsVault,
        contents: Contents,
        engines: Mapping[str, Engine[Any, Any]],
        forms: Forms,
        tests: ConnectionTests,
        client: MakeClient,
        taken: Callable[[str], bool],
        clock: Clock,
        ids: Ids,
    ) -> None:
        """`taken` says which names others have: connections of the settings file and of the catalogue."""
        self._records, self._vault, self._contents = records, vault, contents
        self._engines, self._forms, self._tests, self._client = engines, forms, tests, client
        self._taken, self._clock, self._ids = taken, clock, ids
        self._known: dict[str, Known] = {}
        self._loaded = False
        self._clients: WeakSet[OwnClient] = WeakSet()
        self._one_at_a_time = asyncio.Lock()
        self._leaving: set[str] = set()  #: names that nobody may begin to use
        self.changed: Callable[[], None] = lambda: None
        #: what uses a connection, by its name: templates and models say
        self.users_of: list[Callable[[str], Awaitable[Sequence[str]]]] = []
        contents.named_besides.append(self._digests)

    async def load(self) -> None:
        """What earlier runs left. Raises `StoreUnavailable`; what can't be used is logged and known as such."""
        after: str | None = None
        while True:
            page = await self._records.find(StoredConnection, Query(limit=200, after=after))
            # at once: what hangs must not hold up a start once for each connection
            for known in await asyncio.gather(*map(self._look, page.items)):
                self._known[known.record.id] = known
                if known.state != "clean":
                    self._tell(known)
            after = page.after
            if after is None:
                self._loaded = True
                return

    async def close(self) -> None:
        for client in list(self._clients):
            await client.close()

    # ---------------------------------------------------------------- looking

    def list(self) -> tuple[Known, ...]:
        """All of them, by name."""
        return tuple(sorted(self._known.values(), key=lambda known: known.record.name))

    def names(self) -> frozenset[str]:
        """Of all of them, those that can't be used too; a model may lead there from now on."""
        return frozenset(known.record.name for known in self._known.values()) - self._leaving

    async def get(self, identifier: str) -> Known:
        """By id or name. Raises `NotFound`. One that could not be read is read again: the vault may be back."""
        known = self._find(identifier)
        if known.state == "unusable":
            again = await self._look(known.record)
            if again.state != "unusable" and self._known.get(known.record.id) is known:
                self._known[known.record.id] = known = again
                self.changed()
        return known

    def _find(self, identifier: str) -> Known:
        known = self._known.get(identifier) or next(
            (one for one in self._known.values() if one.record.name == identifier), None
        )
        if known is None:
            raise NotFound(f"there is no stored connection {identifier[:200]!r}")
        return known

    async def require(self, identifier: str) -> Connection:
        """One that can be used, by id or name.

        Raises `NotFound`, `HandlerUnavailable`, `ConfigUnusable`, `ConfigIncomplete`.
        """
        known = await self.get(identifier)
        if known.lane is None:
            raise known.refusal
        return known.lane

    async def read_query(self, engine: Engine[Any, Any], stored: StoredSettings) -> Opened:
        """Settings of a query as `engine` reads them, which need not be the one that wrote them: what fits is taken, the
        report tells the rest, and nothing is stored. Raises `ConfigUnusable`."""
        return await self._vault.open(engine, stored, "query")

    def served(self, connections: Mapping[str, Connection]) -> dict[str, Connection]:
        """What is configured, and behind it every stored connection that can be used. The configuration's names win."""
        served = dict(connections)
        for known in self.list():
            if known.lane is not None:
                served.setdefault(known.lane.name, known.lane)
        return served

    async def _digests(self) -> set[str]:
        """What files the stored settings name; from the store until all are loaded, for a start sweeps too."""
        if self._loaded:
            return digests(*(item for one in self._known.values() for item in both(one.record)))
        found: set[str] = set()
        after: str | None = None
        while True:
            page = await self._records.find(StoredConnection, Query(limit=200, after=after))
            found |= digests(*(item for record in page.items for item in both(record)))
            after = page.after
            if after is None:
                return found

    async def _look(self, record: StoredConnection) -> Known:
        engine = self._engines.get(record.engine)
        if engine is None:
            problem = f"the engine {record.engine!r} is not installed"
            return Known(record=record, state="unavailable", problem=problem)
        try:
            config, report = await self._vault.open(engine, record.settings)
            lane = self._lane(record, engine, config)
        except PromptdError as error:
            return Known(record=record, state="unusable", engine=engine, problem=error.message)
        except Exception as error:  # an engine may raise anything when it is asked what it speaks
            problem = f"the engine can't use its settings ({type(error).__name__})"
            return Known(record=record, state="unusable", engine=engine, problem=problem)
        usable = report.status in ("clean", "adjusted")
        return Known(
            record=record,
            state=report.status,
            engine=engine,
            config=config,
            report=report,
            lane=lane if usable else None,
        )

    def _lane(self, record: StoredConnection, engine: Engine[Any, Any], config: Config) -> Connection:
        """The same one as before while nothing of it has changed, so that what runs there stays."""
        before = self._known.get(record.id)
        if before is not None and before.lane is not None and before.config is config:
            return replace(before.lane, name=record.name, slots=record.slots)
        client = client_for(self._client, config)
        self._clients.add(client)
        return Connection(name=record.name, engine=engine, config=config, http=client, slots=record.slots)

    def _tell(self, known: Known) -> None:
        issues = known.report.issues if known.report is not None else []
        _log.warning(
            "the stored connection %s is %s%s",
            known.record.name,
            known.state,
            f": {known.problem}" if known.problem else "",
            extra={
                "action": "connection_loaded",
                "connection": known.record.name,
                "state": known.state,
                "paths": [issue.path for issue in issues[:20]],
            },
        )

    # ---------------------------------------------------------------- changing

    async def create(self, user: str, *, name: str, engine: str, written: Written, locale: str, **more: Any) -> Known:
        """Save a new connection. Raises `InvalidRequest`, `Conflict`, `PromptSerializationError`, `StoreUnavailable`."""
        check_facts(name=name, **more)
        kind = self._engines.get(engine)
        if kind is None:
            raise InvalidRequest(field="engine", expected=f"one of {', '.join(sorted(self._engines))}")
        config = await self._forms.accept(Subject(engine=kind, locale=locale), written)
        client_for(self._client, config)
        identifier = str(UUID(bytes=self._ids.secret()[:16], version=4))

        async def put(settings: StoredSettings) -> StoredConnection:
            async with self._one_at_a_time:
                self._check_name(name, own="")
                if len(self._known) >= MOST:
                    raise Conflict(f"there are {MOST} stored connections already")
                now = whole(self._clock())
                record = StoredConnection(
                    id=identifier,
                    name=name,
                    engine=engine,
                    settings=settings,
                    created=now,
                    changed=now,
                    user=user,
                    **more,
                )
                return await self._put(record)

        record = await self._vault.store(kind, config, put)
        return await self._renew(record)

    async def update(
        self, identifier: str, *, changed: float, written: Written | None, locale: str, **facts: Any
    ) -> Known:
        """Change what is given: `name`, `description`, `slots`, and with `written` the settings.

        `changed` is that of the connection which the change is based on. Raises `NotFound`, `StaleVersion`, `Conflict`,
        `InvalidRequest`, `PromptSerializationError`, `HandlerUnavailable`, `StoreUnavailable`; then all is as it was.
        """
        check_facts(**facts)
        known = await self.get(identifier)
        record = known.record
        check_current(record, changed)
        renamed = facts.get("name", record.name) != record.name

        async def put(settings: StoredSettings | None) -> StoredConnection:
            async with self._one_at_a_time:
                current = self._find(record.id).record
                check_current(current, changed)
                self._check_name(facts.get("name", current.name), own=current.name)
                if settings is not None:
                    facts.update(settings=settings, backup=current.settings)
                async with self._unused(current.name, "renamed") if renamed else nullcontext():
                    return await self._put(self._successor(current, **facts))

        if written is None:
            return await self._renew(await put(None))
        subject = known.subject(locale)
        config = await self._forms.accept(subject, written)
        client_for(self._client, config)
        saved = await self._vault.store(subject.engine, config, put, before=record.settings)
        return await self._renew(saved, former=record)

    async def restore(self, identifier: str, *, changed: float) -> Known:
        """Exchange the settings with those before the last save, byte for byte. Raises `NotFound`, `StaleVersion`,
        `Conflict` where there are none."""
        async with self._one_at_a_time:
            current = self._find(identifier).record
            check_current(current, changed)
            if current.backup is None:
                raise Conflict("there are no earlier settings")
            record = await self._put(self._successor(current, settings=current.backup, backup=current.settings))
        return await self._renew(record)

    async def delete(self, identifier: str) -> None:
        """Raises `NotFound`, `Conflict` with those who use it, `StoreUnavailable`."""
        async with self._one_at_a_time:
            record = self._find(identifier).record
            async with self._unused(record.name, "deleted"):
                await self._records.delete(StoredConnection, record.id)
                del self._known[record.id]
        self.changed()
        await self._release(digests(*both(record)))

    # ---------------------------------------------------------------- testing

    async def test(self, identifier: str, *, locale: str) -> Tested:
        """Test a connection as it is stored, and note how that went. Raises what `require` does, `StoreUnavailable`."""
        known = await self.get(identifier)
        if known.engine is None or known.config is None:
            raise known.refusal
        tested = await self._tests.run(known.engine, known.config, name=known.record.name, locale=locale)
        note = TestNote(tested.ok, tested.message, self._clock(), tested.discovered)
        async with self._one_at_a_time:
            current = self._known.get(known.record.id)
            if current is not None and current.record.settings == known.record.settings:
                record = replace(current.record, tested=note, version=current.record.version + 1)
                await self._records.put(record)
                self._known[record.id] = replace(current, record=record)
        return tested

    async def test_unsaved(self, engine: str, written: Written, *, identifier: str | None, locale: str) -> Tested:
        """Test settings that are only in a form; nothing is stored. Blank secrets are those of the connection
        `identifier`. Raises `InvalidRequest`, `NotFound`."""
        known = await self.get(identifier) if identifier is not None else None
        kind = self._engines.get(engine)
        if kind is None or (known is not None and known.record.engine != engine):
            raise InvalidRequest(field="engine", expected="the type of an installed engine, the connection's own")
        subject = known.subject(locale) if known is not None else Subject(engine=kind, locale=locale)
        config = await self._forms.read(subject, written)
        name = known.record.name if known is not None else engine
        return await self._tests.run(kind, config, name=name, locale=locale)

    # ---------------------------------------------------------------- other keys

    async def renew_seals(self, stale: Callable[[bytes], bool]) -> int:
        """Seal what is not under the vault's current key anew; how many. Raises `StoreUnavailable`."""
        count = 0
        for identifier in list(self._known):
            async with self._one_at_a_time:
                known = self._known.get(identifier)
                if known is None:
                    continue
                record = known.record
                settings = self._vault.renewed(record.settings, stale)
                backup = self._vault.renewed(record.backup, stale)
                if settings is None and backup is None:
                    continue
                record = replace(
                    record,
                    settings=settings or record.settings,
                    backup=backup or record.backup,
                    version=record.version + 1,
                )
                await self._records.put(record)
                self._known[identifier] = replace(known, record=record)
                count += 1
        return count

    # ---------------------------------------------------------------- inside

    async def _put(self, record: StoredConnection) -> StoredConnection:
        """Store it and know it; until it was looked at, it stands as it did. Called by whoever is alone."""
        await self._records.put(record)
        before = self._known.get(record.id)
        self._known[record.id] = (
            replace(before, record=record)
            if before is not None
            else Known(record=record, state="unusable", problem="it is being read")
        )
        return record

    async def _renew(self, record: StoredConnection, former: StoredConnection | None = None) -> Known:
        """Serve a record as it is now, and let go what only the one before named."""
        looked = await self._look(record)
        if (current := self._known.get(record.id)) is not None and current.record is record:
            self._known[record.id] = looked
        self.changed()
        if former is not None:
            await self._release(digests(*both(former)) - digests(*both(record)))
        return looked

    async def _release(self, unnamed: Collection[str]) -> None:
        for digest in sorted(unnamed):
            try:
                await self._contents.release(digest)
            except PromptdError as error:  # what is stored is stored; the next start sweeps
                _log.warning("a file of settings stays: %s", error.message, extra={"action": "release_failed"})

    def _successor(self, record: StoredConnection, **changes: Any) -> StoredConnection:
        """Its `changed` is another one even within a clock's tick: whoever compares it must see the change."""
        changed = max(whole(self._clock()), whole(record.changed + _MILLISECOND))
        return replace(record, **changes, changed=changed, version=record.version + 1)

    def _check_name(self, name: str, *, own: str) -> None:
        if name != own and (self._taken(name) or any(one.record.name == name for one in self._known.values())):
            raise Conflict(f"name: there is a connection {name!r} already")

    @asynccontextmanager
    async def _unused(self, name: str, verb: str) -> AsyncGenerator[None, None]:
        """Nobody uses the connection, and nobody begins to before the end. Raises `Conflict` with those who do."""
        await self._check_unused(name, verb)
        self._leaving.add(name)
        try:
            await self._check_unused(name, verb)  # a reload may have come while the first look went on
            yield
        finally:
            self._leaving.discard(name)

    async def _check_unused(self, name: str, verb: str) -> None:
        users = [user for told in self.users_of for user in await told(name)]
        if users:
            raise Conflict(f"the connection {name!r} can't be {verb}: it is used by {', '.join(users[:50])}")
