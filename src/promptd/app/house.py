"""Puts the house together: every part is made here, once, and told what it works with."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from msgspec import Struct
from starlette.types import ASGIApp

from promptd import registry
from promptd.app import arch, crew, library, listeners, tracing
from promptd.app.accounts import accounts
from promptd.app.guards import Desk
from promptd.app.intents import Matchers
from promptd.app.listeners import Listeners
from promptd.app.options import face_options
from promptd.app.parts import Parts, make, with_stored
from promptd.app.reload import Reload
from promptd.app.survivors import remember_waiting, take_over
from promptd.buses.memory import MemoryBus
from promptd.core.model import Prompt
from promptd.documents import Documents, readable
from promptd.egress import Egress
from promptd.faces import Front, Mount
from promptd.faces.traced import Traced
from promptd.home import SIGNING_KEY_FILE
from promptd.limits.persistent import PersistentLimits
from promptd.service.attached import Attached
from promptd.service.attachments import Attachments
from promptd.service.batches import Batches
from promptd.service.clock import Ids
from promptd.service.connections import Connections
from promptd.service.contents import Contents
from promptd.service.events import Events
from promptd.service.execution import Execution
from promptd.service.filed import Filed
from promptd.service.fleet import Fleet
from promptd.service.forgetting import Forgetting
from promptd.service.guarding import Guarding
from promptd.service.intake import Intake
from promptd.service.items import Items
from promptd.service.lanes import bound
from promptd.service.metrics import Metrics
from promptd.service.moderation import Moderation
from promptd.service.prompts import Prompts
from promptd.service.revocation import Revocation
from promptd.service.router import Router
from promptd.service.rules import Rules
from promptd.service.streams import Streams
from promptd.service.threads import Threads
from promptd.service.tickets import Tickets
from promptd.service.upkeep import Upkeep
from promptd.service.uploads import Uploads
from promptd.service.usage import UsageReports
from promptd.service.walk import Walk
from promptd.service.worker import Worker
from promptd.service.write_behind import WriteBehind
from promptd.settings import Settings
from promptd.stores.files import FolderFiles
from promptd.stores.sqlite import Database
from promptd.vault.passwords import Argon2Passwords
from promptd.vault.signing import RsaSigner

_log = logging.getLogger("promptd")


class House(Struct, frozen=True, kw_only=True):
    """Everything that lives while the server does."""

    database: Database
    walk: Walk
    fleet: Fleet
    upkeep: Upkeep
    limits: PersistentLimits
    reload: Reload
    front: ASGIApp
    listeners: Listeners  #: of an Arch file
    last_spans: Callable[[], None] | None  #: sends what waits, and closes
    first_password: str | None  #: of the first user, where it was made just now
    passwords: Argon2Passwords
    signer: RsaSigner
    closing: asyncio.Event

    @property
    def settings(self) -> Settings:
        """Those that it works by now."""
        return self.reload.settings

    async def drain(self, grace: float) -> None:
        """Stop taking work, let attempts finish, close streams. What is left is handed back."""
        await self.walk.worker.drain(grace)
        await self.walk.attached.flush()
        self.closing.set()


@asynccontextmanager
async def build(
    settings: Settings, plugins: registry.Registry | None = None, read: Callable[[], Settings] | None = None
) -> AsyncIterator[House]:
    """The house, working; leaving the context closes it. The caller holds the data folder's lock.

    `read` gives the settings anew for a reload; by default they stay as they are. Raises `SettingsError` for what can't
    be enforced and `StoreUnavailable` for a file that can't be used.
    """
    plugins = plugins or registry.load(isolation=registry.isolation(settings))
    registry.check_plugins(settings.plugins, plugins)
    for problem in plugins.problems:
        _log.warning("%s (%s): %s", problem.plugin, problem.entry, problem.reason, extra={"action": "plugin_problem"})
    egress = Egress()
    outside = Egress(settings.downloads.origins, public=True)
    desk = Desk()
    parts = make(settings, plugins, egress, desk)
    for url in parts.origins:
        egress.allow(url)
    connections = Connections(parts.connections, parts.routes, parts.default_model)
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
        stack.push_async_callback(outside.close)
        stack.push_async_callback(connections.close)
        stack.push_async_callback(desk.guests.close)
        house = await _furnish(
            settings, read or (lambda: settings), plugins, database, egress, outside, parts, connections, desk
        )
        try:
            yield house
        finally:
            await house.walk.batches.close()
            await house.walk.chains.close()
            await house.walk.stored.close()
            await house.walk.models.close()
            await house.walk.downloads.close()
            await house.reload.close()
            await house.upkeep.stop()
            await house.drain(0)
            await house.walk.stored.close()
            await house.fleet.close()
            await house.limits.flush(time.time())
            await house.listeners.close()
            house.passwords.close()
            if house.last_spans is not None:
                await asyncio.to_thread(house.last_spans)


async def _furnish(
    settings: Settings,
    read: Callable[[], Settings],
    plugins: registry.Registry,
    database: Database,
    egress: Egress,
    outside: Egress,
    parts: Parts,
    connections: Connections,
    desk: Desk,
) -> House:
    clock, ids, bus, metrics = time.time, Ids(time.time, os.urandom), MemoryBus(), Metrics()
    queue, records = database.queue, database.records
    waiting = await take_over(queue, records, clock())
    keys, limits, charges = await accounts(parts, database, records, clock, ids)
    events = Events()
    contents = Contents(FolderFiles(settings.home / "files"), records)
    uploads = Uploads(contents=contents, records=records, clock=clock, ids=ids)
    models = await crew.known_models(settings, plugins, records, contents, connections, egress)
    shelf = await library.make(settings, plugins, records, contents, uploads, connections, parts.origins, clock, ids)
    given = shelf.stored.served(parts.connections)
    parts = with_stored(parts, settings, given, shelf.stored.names())
    connections.configure(*models.served(given, parts.routes, parts.default_model))
    connections.priced = parts.priced
    attachments = Attachments(uploads=uploads, read_document=Documents().text_of, readable=readable)
    router = Router(connections=connections, clock=clock, entropy=os.urandom)
    guarding = Guarding(parts.checks, metrics, clock)
    execution = Execution(
        queue=queue,
        records=records,
        bus=bus,
        connections=connections,
        router=router,
        attachments=attachments,
        events=events,
        guarding=guarding,
        clock=clock,
        ids=ids,
        rules=parts.execution,
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
        waiting=waiting,
    )
    execution.step_aside = worker.step_aside
    bound(worker.lane, connections)
    router.crowded = lambda name: (lane := worker.lane(name)) is not None and lane.full
    metrics.watch(lambda: worker.waiting, worker.load)
    intake = Intake(
        queue=queue,
        records=records,
        worker=worker,
        connections=connections,
        router=router,
        attachments=attachments,
        events=events,
        guarding=guarding,
        limits=limits,
        charges=charges,
        clock=clock,
        ids=ids,
        rules=parts.admission,
        metrics=metrics,
    )
    worker.on_final = intake.settle
    traces = tracing.make(settings)
    execution.settling.tracing = intake.tracing = guarding.tracing = traces.tracing
    unwritten: dict[str, Prompt] = {}
    behind = WriteBehind(ledger=database.ledger, settling=execution.settling, unwritten=unwritten)
    if settings.limits or keys.limits:
        await remember_waiting(records, intake)
    rules = Rules(records=records, limits=limits, clock=clock)
    await rules.load()
    passwords, signer = Argon2Passwords(), RsaSigner(settings.home / SIGNING_KEY_FILE)
    people = crew.people(settings, records, keys, ids, passwords, signer)
    downloads = crew.downloads(settings, contents, records, outside, events, models)
    filed = Filed(uploads=uploads, contents=contents, records=records, clock=clock)
    prompts = Prompts(
        queue=queue,
        records=records,
        worker=worker,
        execution=execution,
        intake=intake,
        events=events,
        clock=clock,
        unwritten=unwritten,
    )
    streams = Streams(records=records, bus=bus, running=worker.running, unwritten=unwritten)
    batches = Batches(
        records=records,
        contents=contents,
        filed=filed,
        intake=intake,
        prompts=prompts,
        streams=streams,
        renew=people.callers.renew,
        connections=connections,
        clock=clock,
        ids=ids,
        folder=settings.home / "batches",
    )
    attached = Attached(
        bus=bus,
        intake=intake,
        execution=execution,
        worker=worker,
        router=router,
        ledger=behind,
        clock=clock,
        entropy=os.urandom,
        metrics=metrics,
    )
    desk.attached = attached
    trials = library.join(shelf, settings, execution, attached, worker, uploads, people.callers)
    chains = library.chains(shelf, records, intake, prompts, streams, people.callers, clock, ids)
    matchers = Matchers(settings, desk)
    if settings.arch is not None:
        await matchers.load()
    talks = arch.Talks(settings, attached, guarding, connections, matchers, egress, ids)
    await talks.prepare()
    walk = Walk(
        intake=intake,
        attached=attached,
        conversation=talks.conversation,
        chains=chains,
        stored=shelf.stored,
        forms=shelf.forms,
        installed=shelf.installed,
        rotation=shelf.rotation,
        templates=shelf.templates,
        functions=shelf.functions,
        trials=trials,
        prompts=prompts,
        threads=Threads(records=records, events=events, clock=clock, ids=ids),
        uploads=uploads,
        downloads=downloads,
        models=models,
        rules=rules,
        items=Items(records=records, clock=clock),
        events=events,
        ids=ids,
        streams=streams,
        filed=filed,
        batches=batches,
        moderation=Moderation(guarding),
        guarding=guarding,
        usage=UsageReports(
            ledger=database.ledger, records=records, clock=clock, flush=behind.flush, unwritten=unwritten
        ),
        limits=limits,
        charges=charges,
        router=router,
        callers=people.callers,
        people=people,
        keys=keys,
        revocation=Revocation(callers=people.callers, worker=worker, unwritten=unwritten),
        tickets=Tickets(clock=clock, ids=ids),
        connections=connections,
        worker=worker,
    )
    forgetting = Forgetting(
        ledger=database.ledger,
        records=records,
        age=settings.retention.content,
        retention=settings.retention.rules,
    )
    upkeep = Upkeep(
        queue=queue,
        clock=clock,
        beat_seconds=settings.queue.beat_seconds,
        lease_seconds=settings.queue.lease_seconds,
        retention=settings.retention.rules,
        prune_seconds=settings.retention.prune_every_seconds,
        flush=limits.flush,
        forgetting=forgetting,
        revocation=walk.revocation,
    )
    fleet = Fleet(connections=connections, worker=worker, rules=parts.fleet, clock=clock)
    connections.memory_for = fleet.memory_for
    reload = Reload(
        settings=settings,
        read=read,
        plugins=plugins,
        egress=egress,
        parts=parts,
        connections=connections,
        models=models,
        stored=shelf.stored,
        fleet=fleet,
        worker=worker,
        execution=execution,
        intake=intake,
        charges=charges,
        guarding=guarding,
        desk=desk,
        forgetting=forgetting,
        upkeep=upkeep,
        metrics=metrics,
    )
    models.changed = shelf.stored.changed = reload.renew
    shelf.stored.users_of.append(reload.users_of)
    closing = asyncio.Event()
    options = face_options(settings, database, worker, metrics, reload, closing)
    mounts: list[Mount] = [face(walk, options) for face in plugins.faces.values()]
    front = Front(mounts, stuck_seconds=options.stuck_reader_seconds)
    doors = listeners.make(walk, options, settings, traces, matchers)
    reload.arch = talks.then(doors.configure)
    await crew.keep_keys(settings, keys)
    password = await crew.first_user(settings, people)
    await downloads.resume()
    await contents.sweep()
    await batches.start()
    await chains.start()
    fleet.start()
    worker.start(suspects=True)
    upkeep.start()
    return House(
        database=database,
        walk=walk,
        fleet=fleet,
        upkeep=upkeep,
        limits=limits,
        reload=reload,
        front=Traced(front, traces.tracing) if traces.tracing is not None else front,
        listeners=doors,
        last_spans=traces.close,
        first_password=password,
        passwords=passwords,
        signer=signer,
        closing=closing,
    )
