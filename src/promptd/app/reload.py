"""The reload: reads the settings again, checks them as a start would, and gives the working house what has changed.

Everything that can fail comes first. Then all is replaced in one turn of the loop, so that no prompt sees half of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from promptd import logs, registry
from promptd.app.guards import Desk
from promptd.app.parts import Parts, make, with_stored
from promptd.core.errors import SettingsError
from promptd.dialects.arch.config import ArchConfig
from promptd.egress import Egress
from promptd.faces import Reloaded
from promptd.service.catalogue import KnownModels
from promptd.service.charges import Charges
from promptd.service.connections import Connection, Connections
from promptd.service.execution import Execution
from promptd.service.fleet import Fleet
from promptd.service.forgetting import Forgetting
from promptd.service.guarding import Guarding
from promptd.service.intake import Intake
from promptd.service.lanes import bound
from promptd.service.metrics import Metrics
from promptd.service.stored_connections import StoredConnections
from promptd.service.upkeep import Upkeep
from promptd.service.worker import Worker
from promptd.settings import Settings, compare

_log = logging.getLogger("promptd")


class Reload:
    """`settings` are those that the house works by; `read` gives those that it should work by."""

    def __init__(
        self,
        *,
        settings: Settings,
        read: Callable[[], Settings],
        plugins: registry.Registry,
        egress: Egress,
        parts: Parts,
        connections: Connections,
        models: KnownModels,
        stored: StoredConnections,
        fleet: Fleet,
        worker: Worker,
        execution: Execution,
        intake: Intake,
        charges: Charges,
        guarding: Guarding,
        desk: Desk,
        forgetting: Forgetting,
        upkeep: Upkeep,
        metrics: Metrics,
    ) -> None:
        self.settings = settings
        self._read, self._plugins, self._egress, self._parts = read, plugins, egress, parts
        self._connections, self._models, self._worker, self._execution = connections, models, worker, execution
        self._stored = stored
        self._charges, self._guarding, self._desk = charges, guarding, desk
        self._forgetting = forgetting
        self._intake, self._upkeep, self._metrics, self._fleet = intake, upkeep, metrics, fleet
        #: takes over what an Arch file says; the composition root knows its listeners
        self.arch: Callable[[ArchConfig | None], None] = lambda config: None
        self._one_at_a_time = asyncio.Lock()
        self._former: set[str] = set()  #: addresses of connections that are gone or changed, for what still runs there
        self._retiring: set[asyncio.Task[None]] = set()

    async def __call__(self) -> Reloaded:
        """Raises `SettingsError` with the key that is wrong; then nothing has changed. Both are logged."""
        async with self._one_at_a_time:
            try:
                wanted = await asyncio.to_thread(self._read)
                if (wanted.arch is None) != (self.settings.arch is None):  # its listeners need what is in it
                    raise SettingsError(
                        "an Arch file and another one take each other's place at a start only", key="arch"
                    )
                changes = compare(self.settings, wanted)
                parts = await asyncio.to_thread(make, changes.settings, self._plugins, self._egress, self._desk)
                parts = self._with_stored(parts, changes.settings)
            except SettingsError as error:
                _log.error(
                    "the configuration stays as it is: %s",
                    error.message,
                    extra={"action": "reload_failed", "key": error.key},
                )
                raise
            if changes.changed:
                self._apply(changes.settings, parts)
        _log.info(
            "configuration reloaded: %s%s",
            ", ".join(changes.changed) or "nothing has changed",
            f"; needs a restart: {', '.join(changes.restart_required)}" if changes.restart_required else "",
            extra={
                "action": "reloaded",
                "changed": changes.changed,
                "restart_required": changes.restart_required,
            },
        )
        return Reloaded(changes.changed, changes.restart_required)

    async def close(self) -> None:
        """What still waits for the last attempt of a connection is left: the engines close with the house."""
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)

    def _apply(self, settings: Settings, parts: Parts) -> None:
        before, self.settings = self.settings, settings
        former, self._parts = self._parts, parts
        for url in parts.origins:
            self._egress.allow(url)
        gone = self._serve(parts)
        self._execution.configure(parts.execution)
        self._intake.configure(parts.admission)
        self._guarding.checks = parts.checks
        self._charges.configure(parts.charges)
        self.arch(settings.arch)
        self._forgetting.age = settings.retention.content
        self._forgetting.retention = settings.retention.rules
        if settings.retention != before.retention:
            self._upkeep.configure(settings.retention.rules, settings.retention.prune_every_seconds)
        if settings.log != before.log:
            logs.set_up(settings.log.level, json_lines=settings.log.json_lines)
        self._former |= set(former.origins)
        for connection in gone:
            self._spawn(self._retire(connection))

    def renew(self) -> None:
        """The known models or stored connections have changed: serve what they are now, beside what is configured."""
        try:
            self._parts = self._with_stored(self._parts, self.settings)
        except SettingsError as error:  # a limit counts a cost that nobody knows any more; what was known goes on
            _log.error("models stay as they are: %s", error.message, extra={"action": "renew_failed", "key": error.key})
        for connection in self._serve(self._parts):
            self._spawn(self._retire(connection))

    def _with_stored(self, parts: Parts, settings: Settings) -> Parts:
        return with_stored(parts, settings, self._stored.served(parts.connections), self._stored.names())

    async def users_of(self, connection: str) -> tuple[str, ...]:
        """The models of the settings that a connection serves, in words."""
        routes = self._parts.routes.items()
        return tuple(
            f"the model {name}" for name, route in routes if any(leg.connection == connection for leg in route.legs)
        )

    def _serve(self, parts: Parts) -> tuple[Connection, ...]:
        """Give lanes to every connection that there is now; those that are gone or changed are returned."""
        self._connections.priced = parts.priced
        given = self._stored.served(parts.connections)
        gone = self._connections.configure(*self._models.served(given, parts.routes, parts.default_model))
        self._worker.set_lanes({connection.name: connection.slots for connection in self._connections})
        bound(self._worker.lane, self._connections)
        self._fleet.configure(parts.fleet)
        self._metrics.watch(lambda: self._worker.waiting, self._worker.load)
        return gone

    async def _retire(self, gone: Connection) -> None:
        """Once the last attempt on `gone` has ended, free what its engine holds.

        An engine frees by name, so that attempts on earlier connections of that name must have ended too.
        """
        await self._worker.ended(lambda held: held.name == gone.name and self._connections.get(gone.name) is not held)
        await self._connections.retire(gone)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._retiring.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._retiring.discard(task)
        if not self._retiring:  # nobody needs a former address any more
            for url in self._former:
                self._egress.disallow(url)
            for url in self._parts.origins:
                self._egress.allow(url)
            self._former.clear()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a connection's engine could not be stopped", exc_info=error, extra={"action": "retire_failed"})
