"""The composition root: builds the house from settings."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from msgspec import Struct

from promptd import __version__, home, registry
from promptd.buses.memory import MemoryBus
from promptd.core.errors import SettingsError
from promptd.core.filters import Filter, Query
from promptd.core.lifecycle import WAITING
from promptd.core.model import Arrival, Prompt
from promptd.core.ports import Guard
from promptd.core.routing import Price, Route
from promptd.egress import Egress
from promptd.faces import FaceOptions, Front, Mount
from promptd.limits.memory import MemoryLimits
from promptd.limits.persistent import PersistentLimits
from promptd.service.attached import Attached
from promptd.service.clock import Ids
from promptd.service.connections import Connection, Connections
from promptd.service.execution import Execution, Rules
from promptd.service.intake import Intake, IntakeRules
from promptd.service.keys import Keys
from promptd.service.metrics import Metrics
from promptd.service.prompts import Prompts
from promptd.service.streams import Streams
from promptd.service.tickets import Tickets
from promptd.service.upkeep import Upkeep
from promptd.service.walk import Walk
from promptd.service.worker import Worker
from promptd.settings import Settings
from promptd.stores.sqlite import Database

_log = logging.getLogger("promptd")
_PICO_PER_UNIT_PER_MILLION: Final = 1_000_000


class House(Struct, frozen=True, kw_only=True):
    """Everything that lives while the server does."""

    settings: Settings
    database: Database
    walk: Walk
    upkeep: Upkeep
    limits: PersistentLimits
    front: Front
    closing: asyncio.Event

    async def drain(self, grace: float) -> None:
        """Stop taking work, let attempts finish, close streams. What is left is handed back."""
        await self.walk.worker.drain(grace)
        await self.walk.attached.flush()
        self.closing.set()


@asynccontextmanager
async def build(settings: Settings, plugins: registry.Registry | None = None) -> AsyncIterator[House]:
    """The house, working; leaving the context closes it. The caller holds the data folder's lock.

    Raises `SettingsError` for what can't be enforced and `StoreUnavailable` for a file that can't be used.
    """
    plugins = plugins or registry.load()
    for problem in plugins.problems:
        _log.warning("%s (%s): %s", problem.plugin, problem.entry, problem.reason, extra={"action": "plugin_problem"})
    egress = Egress(_origins(settings))
    connections = _connections(settings, plugins, egress)
    guard = guard_of(settings, plugins)
    database = Database(
        settings.store_path,
        lease=settings.queue.lease_seconds,
        rescue_limit=settings.queue.rescue_limit,
        quarantine_after=settings.queue.quarantine_after,
        batch_seconds=settings.store.batch_ms / 1000,
        backup_before_migration=settings.store.backup_before_migration,
    )
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(database.close)
        stack.push_async_callback(egress.close)
        stack.push_async_callback(connections.close)
        house = await _furnish(settings, plugins, database, connections, guard)
        try:
            yield house
        finally:
            await house.upkeep.stop()
            await house.drain(0)
            await house.limits.flush(time.time())


async def _furnish(
    settings: Settings,
    plugins: registry.Registry,
    database: Database,
    connections: Connections,
    guard: Guard | None,
) -> House:
    clock, ids, bus, metrics = time.time, Ids(time.time, os.urandom), MemoryBus(), Metrics()
    queue, records = database.queue, database.records
    rescued = await queue.rescue(now=clock(), everything=True)
    if rescued:
        _log.info(
            "rescued %d prompts of the last run", len(rescued), extra={"action": "rescued", "count": len(rescued)}
        )
    waiting = await records.find(
        Prompt, Query(filters=(Filter("status", "in", tuple(sorted(WAITING))),), limit=1, count=True)
    )
    limits = PersistentLimits(MemoryLimits(), *_arrivals(database))
    await limits.start(clock())
    execution = Execution(
        queue=queue,
        records=records,
        bus=bus,
        connections=connections,
        output_guard=guard if settings.guard.output else None,
        clock=clock,
        ids=ids,
        rules=Rules(
            base_seconds=settings.retry.base_seconds,
            max_exponent=settings.retry.max_exponent,
            history_tokens=settings.history.tokens,
            max_answer_bytes=settings.streams.max_answer_bytes,
        ),
        metrics=metrics,
    )
    worker = Worker(
        queue=queue,
        bus=bus,
        execution=execution,
        # prompts of a connection that is gone from the settings are claimed too, and told that it is
        lanes=dict.fromkeys(database.live_lanes(), 1)
        | {connection.name: connection.slots for connection in connections},
        clock=clock,
        waiting=waiting.count or 0,
    )
    metrics.watch(lambda: worker.waiting, worker.load)
    intake = Intake(
        queue=queue,
        records=records,
        worker=worker,
        connections=connections,
        guard=guard,
        limits=limits,
        clock=clock,
        ids=ids,
        rules=IntakeRules(
            max_waiting=settings.queue.max_waiting,
            max_attempts=settings.retry.max_attempts,
            policies=tuple(limit.policy for limit in settings.limits),
        ),
        metrics=metrics,
    )
    worker.on_final = intake.settle
    unwritten: dict[str, Prompt] = {}
    if settings.limits:
        live = Filter("status", "in", tuple(sorted(WAITING)))
        for prompt in (await records.find(Prompt, Query(filters=(live,), limit=1000))).items:
            await intake.remember(prompt)
    walk = Walk(
        intake=intake,
        attached=Attached(
            queue=queue,
            bus=bus,
            intake=intake,
            execution=execution,
            worker=worker,
            clock=clock,
            entropy=os.urandom,
            metrics=metrics,
            unwritten=unwritten,
        ),
        prompts=Prompts(
            queue=queue,
            records=records,
            worker=worker,
            execution=execution,
            intake=intake,
            clock=clock,
            unwritten=unwritten,
        ),
        streams=Streams(records=records, bus=bus, running=worker.running),
        keys=Keys(records=records, clock=clock, ids=ids),
        tickets=Tickets(clock=clock, ids=ids),
        connections=connections,
        worker=worker,
    )
    closing = asyncio.Event()
    options = FaceOptions(
        heartbeat_seconds=settings.streams.heartbeat_seconds,
        retry_hint_ms=settings.streams.retry_hint_ms,
        stuck_reader_seconds=settings.streams.stuck_reader_seconds,
        max_body_bytes=settings.server.max_body_bytes,
        open_metrics=settings.server.open_metrics,
        version=__version__,
        closing=closing,
        ready=lambda: "draining" if worker.draining else database.writer.failure,
        registry=metrics.registry,
    )
    mounts: list[Mount] = [face(walk, options) for face in plugins.faces.values()]
    upkeep = Upkeep(
        queue=queue,
        clock=clock,
        beat_seconds=settings.queue.beat_seconds,
        lease_seconds=settings.queue.lease_seconds,
        retention=settings.retention.rules,
        prune_seconds=settings.retention.prune_every_seconds,
        flush=limits.flush if settings.limits else None,
    )
    await _keep_keys(settings, walk.keys)
    worker.start(suspects=True)
    upkeep.start()
    return House(
        settings=settings,
        database=database,
        walk=walk,
        upkeep=upkeep,
        limits=limits,
        front=Front(mounts),
        closing=closing,
    )


# -------------------------------------------------------------------- parts from settings


def _connections(settings: Settings, plugins: registry.Registry, egress: Egress) -> Connections:
    configs = registry.check_connections(settings, plugins)
    connections = {
        name: Connection(
            name=name,
            engine=plugins.engines[given.engine],
            config=configs[name],
            http=egress,
            slots=given.slots,
        )
        for name, given in settings.connections.items()
    }
    routes = {
        name: Route(
            model=name,
            connection=model.connection,
            upstream=model.upstream or name,
            context=model.context,
            price=Price(
                round(model.price.input_per_million * _PICO_PER_UNIT_PER_MILLION),
                round(model.price.output_per_million * _PICO_PER_UNIT_PER_MILLION),
            )
            if model.price
            else Price(),
        )
        for name, model in settings.models.items()
    }
    return Connections(connections, routes, settings.default_model)


def _origins(settings: Settings) -> list[str]:
    """Every address that the configuration names; nothing else may be called."""
    values = [value for connection in settings.connections.values() for value in connection.config.values()]
    return [value for value in values if isinstance(value, str) and value.startswith(("http://", "https://"))]


def guard_of(settings: Settings, plugins: registry.Registry) -> Guard | None:
    """The built-in guard, or None where no rule is set: then the hot path pays nothing. Raises `SettingsError`."""
    if not settings.guard.rules:
        return None
    kind = plugins.guards["rules"]
    try:
        guard: Guard = kind(kind.config_class.model_validate(settings.guard.rules))
    except SettingsError as error:
        raise SettingsError(f"guard.{error.message}", key=f"guard.{error.key}") from error
    return guard


def _arrivals(database: Database) -> tuple[Any, Any]:
    """How limits load and save their counters."""

    async def load() -> Mapping[tuple[str, str], float]:
        found: dict[tuple[str, str], float] = {}
        after: str | None = None
        while True:
            page = await database.records.find(Arrival, Query(limit=1000, after=after))
            found |= {(item.policy, item.subject): item.tat for item in page.items}
            after = page.after
            if after is None:
                return found

    async def save(arrivals: Mapping[tuple[str, str], float]) -> None:
        await database.records.put(
            *(
                Arrival(id=f"{policy}\x1f{subject}", policy=policy, subject=subject, tat=tat)
                for (policy, subject), tat in arrivals.items()
            )
        )

    return load, save


async def _keep_keys(settings: Settings, keys: Keys) -> None:
    """An admin key and one for the command line of this user, each in a file that only this user may read."""
    given = settings.keys.admin_key
    await keys.set_operator(given.get_secret_value() if given is not None else None)
    for name, file in (("admin", home.ADMIN_KEY_FILE), ("command line", home.CLI_KEY_FILE)):
        path = settings.home / file
        if (name == "admin" and given is not None) or await keys.is_good(home.read_secret(path)):
            continue
        _, secret = await keys.store(name=name, user="admin", admin=True)
        home.write_secret(path, secret)
        if name == "admin":
            _log.info("made an admin key: %s", path, extra={"action": "admin_key"})
