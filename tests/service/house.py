"""The whole service on a real database and bus, with an engine that does what each test says and a clock it moves."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

from promptd.buses.memory import MemoryBus
from promptd.core.chunks import Position
from promptd.core.content import Turn
from promptd.core.engine import Call, Engine, NoConfig
from promptd.core.filters import Filter, Order, Query
from promptd.core.guarding import Stage
from promptd.core.identity import ALL_PERMISSIONS, USER_PERMISSIONS
from promptd.core.lifecycle import Status
from promptd.core.model import Attempt, Caller, Capability, Chunk, Prompt, Request, Submission, Usage, Verdict
from promptd.core.policy import Policy
from promptd.core.routing import Price, Route
from promptd.egress import Egress
from promptd.limits.memory import MemoryLimits
from promptd.service.attachments import Attachments
from promptd.service.charges import ChargeRules, Charges
from promptd.service.clock import Ids
from promptd.service.connections import Connection, Connections
from promptd.service.contents import Contents
from promptd.service.events import Events
from promptd.service.execution import Execution, Rules
from promptd.service.guarding import Check, Checks, Guarding
from promptd.service.intake import Intake, IntakeRules
from promptd.service.keys import Keys
from promptd.service.metrics import Metrics
from promptd.service.prompts import Prompts
from promptd.service.router import Router
from promptd.service.streams import Streams
from promptd.service.threads import Threads
from promptd.service.tickets import Tickets
from promptd.service.uploads import Uploads
from promptd.service.worker import Worker
from promptd.stores.files import FolderFiles
from promptd.stores.sqlite import Database

Plan = Callable[[Call[NoConfig]], AsyncGenerator[Chunk, None]]

PATIENCE = 10.0  # seconds until a test that waits for nothing fails
ANN = Caller("ann", "key-ann", "team", USER_PERMISSIONS)
BOB = Caller("bob", "key-bob", "team", USER_PERMISSIONS)
ADMIN = Caller("root", "key-root", "", ALL_PERMISSIONS, admin=True)
END = Chunk("done", finish_reason="stop", usage=Usage(3, 2))


class Clock:
    """UTC seconds that stand still until a test moves them."""

    def __init__(self) -> None:
        self.now = 1_900_000_000.0

    def __call__(self) -> float:
        return self.now


class Puppet(Engine[NoConfig]):
    """Plays a plan per prompt text; the n-th call for a text plays its n-th plan, and the last one repeats."""

    type_id = "puppet"
    capabilities = frozenset({Capability.CHAT, Capability.EMBEDDING})

    def __init__(self) -> None:
        self.plans: dict[str, tuple[Plan, ...]] = {}
        self.calls: list[Call[NoConfig]] = []
        self.closed: list[str] = []
        self._count: Counter[str] = Counter()
        self._arrivals: asyncio.Queue[str] = asyncio.Queue()

    async def run(self, call: Call[NoConfig]) -> AsyncGenerator[Chunk, None]:
        text = call.messages[-1].content if call.messages else call.texts[0]
        self.calls.append(call)
        self._arrivals.put_nowait(text)
        plans = self.plans.get(text, (say(f"re: {text}"),))
        plan = plans[min(self._count[text], len(plans) - 1)]
        self._count[text] += 1
        try:
            async with aclosing(plan(call)) as chunks:
                async for chunk in chunks:
                    yield chunk
        finally:
            self.closed.append(text)

    async def called(self) -> str:
        """The text of the next call that nobody asked for yet."""
        async with asyncio.timeout(PATIENCE):
            return await self._arrivals.get()

    @property
    def texts(self) -> list[str]:
        return [call.messages[-1].content for call in self.calls]


def say(*pieces: str, end: Chunk = END) -> Plan:
    async def plan(call: Call[NoConfig]) -> AsyncGenerator[Chunk, None]:
        for piece in pieces:
            yield Chunk("progress", text=piece)
        yield end

    return plan


def fail(error: BaseException, *pieces: str) -> Plan:
    """Some text, and then the error."""

    async def plan(call: Call[NoConfig]) -> AsyncGenerator[Chunk, None]:
        for piece in pieces:
            yield Chunk("progress", text=piece)
        raise error

    return plan


def hold(gate: asyncio.Event, *pieces: str, before: Sequence[str] = ()) -> Plan:
    """The text `before`, silence until the gate opens, and the rest."""

    async def plan(call: Call[NoConfig]) -> AsyncGenerator[Chunk, None]:
        for piece in before:
            yield Chunk("progress", text=piece)
        await gate.wait()
        for piece in pieces:
            yield Chunk("progress", text=piece)
        yield END

    return plan


class Censor:
    """A guard that refuses texts with a word."""

    def __init__(self, word: str) -> None:
        self.word = word
        self.broken = False

    async def inspect(self, messages: Sequence[Turn]) -> Verdict:
        if self.broken:
            raise RuntimeError("the guard is broken")
        found = any(self.word in turn.content for turn in messages)
        return Verdict(not found, "a bad word" if found else "")


def _checks(guard: Censor | None, output_guard: Censor | None) -> list[Check]:
    found: list[Check] = []
    if guard is not None:
        found.append(Check(name="censor", guard=guard, stages=frozenset({Stage.INPUT, Stage.TOOL})))
    if output_guard is not None:
        found.append(Check(name="answers", guard=output_guard, stages=frozenset({Stage.OUTPUT})))
    return found


async def _text(name: str, media_type: str, data: bytes) -> str:
    return data.decode()


def _is_text(name: str, media_type: str) -> bool:
    return media_type == "text/plain"


class House:
    """Everything between faces and adapters, put together as the application does it."""

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        slots: int = 4,
        lanes: Sequence[str] = ("main",),
        guard: Censor | None = None,
        output_guard: Censor | None = None,
        checks: Sequence[Check] = (),
        policies: Sequence[Policy] = (),
        rules: Rules | None = None,
        context: int | None = None,
        max_waiting: int = 1000,
        rescue: bool = True,
        suspects: bool = False,
    ) -> None:
        self.clock = clock
        # whatever comes in one turn of the loop shares its commit, however busy the machine is
        self.database = Database(path, batch_seconds=PATIENCE)
        self.queue, self.records = self.database.queue, self.database.records
        self.bus = MemoryBus()
        self.engine = Puppet()
        self.limits = MemoryLimits()
        self.metrics = Metrics()
        self.http = Egress()
        self.rescued: tuple[Prompt, ...] = ()
        self._rescue, self._suspects = rescue, suspects
        ids = Ids(clock, os.urandom)
        connections = {
            name: Connection(name=name, engine=self.engine, config=NoConfig(), http=self.http, slots=slots)
            for name in lanes
        }
        routes = {
            name: Route(model=name, connection=name, upstream=f"up-{name}", context=context, price=Price(1000, 2000))
            for name in lanes
        }
        self.connections = Connections(connections, routes, lanes[0])
        self.events = Events()
        self.contents = Contents(FolderFiles(path.parent / "files"), self.records)
        self.uploads = Uploads(contents=self.contents, records=self.records, clock=clock, ids=ids)
        self.attachments = Attachments(uploads=self.uploads, read_document=_text, readable=_is_text)
        self.router = Router(connections=self.connections, clock=clock, entropy=os.urandom)
        self.guarding = Guarding(Checks(checks or _checks(guard, output_guard)), self.metrics, clock)
        self.execution = Execution(
            queue=self.queue,
            records=self.records,
            bus=self.bus,
            connections=self.connections,
            router=self.router,
            attachments=self.attachments,
            events=self.events,
            guarding=self.guarding,
            clock=clock,
            ids=ids,
            rules=rules or Rules(),
            metrics=self.metrics,
        )
        self.worker = Worker(
            queue=self.queue,
            bus=self.bus,
            execution=self.execution,
            lanes=dict.fromkeys(lanes, slots),
            clock=clock,
        )
        self.intake = Intake(
            queue=self.queue,
            records=self.records,
            worker=self.worker,
            connections=self.connections,
            router=self.router,
            attachments=self.attachments,
            events=self.events,
            guarding=self.guarding,
            limits=self.limits,
            charges=Charges(ChargeRules(policies=tuple(policies)), {}),
            clock=clock,
            ids=ids,
            rules=IntakeRules(max_waiting=max_waiting),
            metrics=self.metrics,
        )
        self.worker.on_final = self.intake.settle
        self.prompts = Prompts(
            queue=self.queue,
            records=self.records,
            worker=self.worker,
            execution=self.execution,
            intake=self.intake,
            events=self.events,
            clock=clock,
        )
        self.threads = Threads(records=self.records, events=self.events, clock=clock, ids=ids)
        self.streams = Streams(records=self.records, bus=self.bus)
        self.keys = Keys(records=self.records, clock=clock, ids=ids)
        self.tickets = Tickets(clock=clock, ids=ids)

    async def start(self) -> None:
        self.rescued = await self.queue.rescue(now=self.clock(), everything=True) if self._rescue else ()
        self.worker.start(suspects=self._suspects)
        if not self._suspects:
            await asyncio.sleep(0)
            await self.settled()

    async def stop(self, grace: float = 0.0) -> None:
        async with asyncio.timeout(PATIENCE):
            await self.worker.drain(grace)
            await self.database.close()
            await self.http.close()

    # ------------------------------------------------------------ shorthands

    async def submit(self, text: str = "hello", caller: Caller = ANN, **fields: Any) -> Prompt:
        request = fields.pop("request", Request(messages=(Turn("user", text),)))
        return (await self.intake.submit(Submission(caller=caller, request=request, **fields))).prompt

    async def get(self, prompt: Prompt | str) -> Prompt:
        found = await self.records.get(Prompt, prompt if isinstance(prompt, str) else prompt.id)
        assert found is not None
        return found

    async def finished(self, prompt: Prompt | str) -> Prompt:
        async with asyncio.timeout(PATIENCE):
            return await self.streams.finished(prompt if isinstance(prompt, str) else prompt.id)

    async def run(self, text: str = "hello", caller: Caller = ANN, **fields: Any) -> Prompt:
        return await self.finished(await self.submit(text, caller, **fields))

    async def errored(self, prompt: Prompt) -> Prompt:
        """Wait until an attempt failed and another one is due."""
        async with asyncio.timeout(PATIENCE), self.bus.follow(prompt.id, Position(1, 0)) as live:
            while True:
                found = await self.get(prompt)
                assert not found.status.final, found
                if found.status is Status.ERRORED:
                    return found
                await anext(live)

    def move(self, seconds: float) -> None:
        """Let time pass, and let the worker know."""
        self.clock.now += seconds
        self.worker.poke_all()

    async def attempts(self, prompt: Prompt) -> list[Attempt]:
        query = Query(filters=(Filter("prompt", "eq", prompt.no),), order=(Order("run"),), limit=1000)
        return list((await self.records.find(Attempt, query)).items)

    async def settled(self) -> None:
        """Wait until nothing runs and nothing is being claimed."""
        async with asyncio.timeout(PATIENCE):
            while not self.worker.resting:
                await asyncio.sleep(0)


def applied(chunks: Sequence[Chunk]) -> str:
    """The text that a reader holds after these chunks."""
    text = ""
    for chunk in chunks:
        text = "" if chunk.kind == "restart" else text + chunk.text
    return text
