"""Local models behind the worker: gates, swaps, replicas and pins, with an engine that counts what it holds."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from promptd.core.engine import Call, Config, ConnectionTestParams, ConnectionTestResult, NoConfig, Standing
from promptd.core.errors import ConfigUnusable, ServiceUnavailable
from promptd.core.fleet import GROW_SECONDS, LINGER_SECONDS, SPARE_SECONDS, TURN_PROMPTS, TURN_SECONDS, Local
from promptd.core.lifecycle import Status
from promptd.core.model import Chunk, Prompt
from promptd.core.ports import HttpClient
from promptd.service.connections import Connection
from promptd.service.fleet import Fleet, FleetRules, Share
from promptd.service.lanes import Lane
from tests.service.house import PATIENCE, Clock, House, Puppet, fail, hold

MEGABYTE = 1_000_000


class Weight(Config):
    megabytes: int = 0


class Heavy(Puppet):
    """Holds memory for each model from its first call to its stop, and remembers the most it ever held."""

    type_id = "heavy"

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[str, int] = {}
        self.held: Counter[str] = Counter()
        self.most = 0
        self.starts: list[str] = []
        self.stops: list[str] = []
        self.scaled: list[tuple[str, int]] = []
        self.refuse_scale = False
        self.stopping: asyncio.Event | None = None

    def _take(self, name: str, count: int) -> None:
        if count > self.held[name] == 0:
            self.starts.append(name)
        self.held[name] = max(count, self.held[name])
        self.most = max(self.most, sum(self.sizes[each] * count for each, count in self.held.items()))

    async def run(self, call: Call[NoConfig]) -> AsyncGenerator[Chunk, None]:
        self._take(call.connection_name, 1)
        async for chunk in super().run(call):
            yield chunk

    async def test_connection(self, params: ConnectionTestParams[NoConfig]) -> ConnectionTestResult:
        self._take(params.connection_name, 1)
        return ConnectionTestResult(ok=True)

    async def start(self, name: str, connection: NoConfig, http: HttpClient) -> None:
        self._take(name, 1)

    async def stop(self, name: str) -> None:
        if self.stopping is not None:
            await self.stopping.wait()
        self.stops.append(name)
        self.held[name] = 0

    def standing(self, name: str, connection: NoConfig) -> Standing:
        return Standing(state="ready" if self.held[name] else "stopped")

    def memory(self, connection: Any) -> int | None:
        return connection.megabytes * MEGABYTE if isinstance(connection, Weight) else None

    async def scale(self, name: str, connection: NoConfig, count: int, http: HttpClient) -> None:
        if self.refuse_scale:
            raise ServiceUnavailable("no second one")
        self.scaled.append((name, count))
        self._take(name, count)
        self.held[name] = count


class Port(House):
    """A house whose lanes are local: sizes and budget in megabytes."""

    engine: Heavy

    def __init__(
        self,
        path: Path,
        *,
        clock: Clock,
        sizes: dict[str, int],
        budget: int,
        shares: dict[str, Share] | None = None,
        slots: int = 2,
    ) -> None:
        super().__init__(path, clock=clock, lanes=tuple(sizes), slots=slots)
        self.engine = Heavy()
        self.weigh(sizes, slots)
        self.fleet = Fleet(
            connections=self.connections,
            worker=self.worker,
            rules=FleetRules(budget=budget * MEGABYTE, shares=shares or {}),
            clock=clock,
        )

    def weigh(self, sizes: dict[str, int], slots: int = 2) -> None:
        self.engine.sizes = sizes
        weights = {
            name: Connection(name=name, engine=self.engine, config=Weight(megabytes=size), http=self.http, slots=slots)
            for name, size in sizes.items()
        }
        routes = {name: self.connections.resolve(name) for name in sizes}
        self.connections.configure(weights, routes, next(iter(sizes)))

    async def start(self) -> None:
        self.fleet.start()
        self.rescued = await self.queue.rescue(now=self.clock(), everything=True)
        self.worker.start()

    async def stop(self, grace: float = 0.0) -> None:
        await super().stop(grace)
        await self.fleet.close()

    @asynccontextmanager
    async def passing(self) -> AsyncIterator[None]:
        """Time goes by meanwhile, a good deal faster than outside."""

        async def tick() -> None:
            while True:
                self.move(0.02)
                await asyncio.sleep(0.001)

        ticking = asyncio.create_task(tick())
        yield
        ticking.cancel()

    async def settled_claims(self) -> None:
        """Wait until the fleet has looked and nothing changes."""
        for _ in range(50):
            await asyncio.sleep(0)

    def local(self, name: str) -> Local:
        return self.fleet._locals[name]

    def lane(self, name: str) -> Lane:
        found = self.worker.lane(name)
        assert found is not None
        return found

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not holds():
                await asyncio.sleep(0)


Dock = Callable[..., Awaitable[Port]]


@pytest.fixture
async def dock(tmp_path: Path, clock: Clock) -> AsyncIterator[Dock]:
    ports: list[Port] = []

    async def make(sizes: dict[str, int], budget: int, **more: Any) -> Port:
        port = Port(tmp_path / "promptd.db", clock=clock, sizes=sizes, budget=budget, **more)
        ports.append(port)
        await port.start()
        return port

    yield make
    for port in ports:
        await port.stop()
        assert port.engine.most <= max(port.fleet._rules.budget // MEGABYTE, 0)


async def all_done(port: Port, prompts: list[Prompt]) -> None:
    for prompt in prompts:
        assert (await port.finished(prompt)).status is Status.COMPLETED


async def test_a_model_is_loaded_by_the_prompt_that_wants_it(dock: Dock) -> None:
    port = await dock({"a": 3, "b": 3}, budget=6)
    assert port.engine.starts == []
    assert (await port.run(model="b")).status is Status.COMPLETED
    assert port.engine.starts == ["b"]
    assert (await port.run(model="a")).status is Status.COMPLETED
    assert port.engine.stops == []
    assert port.worker.load() == {"a": (2, 0), "b": (2, 0)}


async def test_prompts_are_grouped_before_models_are_swapped(dock: Dock) -> None:
    port = await dock({"a": 3, "b": 3, "c": 3}, budget=3)
    gate = asyncio.Event()
    port.engine.plans["a0"] = (hold(gate),)
    prompts = [await port.submit(f"{name}{n}", model=name) for n in range(20) for name in "abc"]
    gate.set()
    async with port.passing():
        await all_done(port, prompts)
    assert sorted(port.engine.starts) == ["a", "b", "c"], "each was loaded once"
    order = [call.connection_name for call in port.engine.calls]
    assert sum(one != other for one, other in pairwise(order)) == 2


async def test_an_idle_model_goes_at_once_for_another_one(dock: Dock) -> None:
    port = await dock({"a": 3, "b": 3}, budget=4)
    async with port.passing():
        for name in ("a", "b", "a"):
            assert (await port.run(model=name)).status is Status.COMPLETED
    assert port.engine.starts == ["a", "b", "a"]


async def test_memory_is_free_before_it_is_given_again(dock: Dock) -> None:
    port = await dock({"a": 3, "b": 3}, budget=3)
    await port.run(model="a")
    port.engine.stopping = asyncio.Event()
    await port.until(lambda: port.local("a").target == 1 and port.local("a").idle is not None)
    port.move(LINGER_SECONDS)
    waiting = await port.submit("second", model="b")
    await port.until(lambda: port.local("a").changing)
    assert port.engine.starts == ["a"]
    port.engine.stopping.set()
    assert (await port.finished(waiting)).status is Status.COMPLETED


async def test_a_working_model_keeps_its_turn_and_then_yields(dock: Dock, clock: Clock) -> None:
    port = await dock({"a": 3, "b": 3}, budget=3, slots=1)
    gates = {f"a{n}": asyncio.Event() for n in range(3)}
    port.engine.plans.update({name: (hold(gate, "x"),) for name, gate in gates.items()})
    of_a = [await port.submit(name, model="a") for name in gates]
    assert await port.engine.called() == "a0"
    of_b = await port.submit("b0", model="b")
    await port.until(lambda: port.local("b").wanted is not None)
    gates["a0"].set()
    assert await port.engine.called() == "a1", "its turn is not over"
    port.move(TURN_SECONDS)
    await port.until(lambda: port.lane("a").free < 0)
    assert port.worker.load()["a"] == (1, 1)
    gates["a1"].set()
    assert await port.engine.called() == "b0", "the line of a has to wait now"
    gates["a2"].set()
    async with port.passing():
        await all_done(port, [*of_a, of_b])
    assert port.engine.starts == ["a", "b", "a"]


async def test_a_turn_ends_after_so_many_prompts(dock: Dock) -> None:
    port = await dock({"a": 3, "b": 3}, budget=3, slots=1)
    first = asyncio.Event()
    port.engine.plans["first"] = (hold(first),)
    prompts = [await port.submit("first", model="a")]
    prompts += [await port.submit("a", model="a") for _ in range(TURN_PROMPTS + 20)]
    assert await port.engine.called() == "first"
    prompts.append(await port.submit("b", model="b"))
    await port.until(lambda: port.local("b").wanted is not None)
    first.set()
    await port.finished(prompts[-1])
    async with port.passing():
        await all_done(port, prompts)
    order = [call.connection_name for call in port.engine.calls]
    assert TURN_PROMPTS <= order.index("b") <= TURN_PROMPTS + 2


async def test_attached_prompts_wait_for_their_model_too(dock: Dock) -> None:
    """They hold no slot meanwhile, and get one as soon as the model has memory."""
    port = await dock({"a": 3, "b": 3}, budget=3, slots=1)
    gate = asyncio.Event()
    port.engine.plans["busy"] = (hold(gate),)
    busy = await port.submit("busy", model="a")
    assert await port.engine.called() == "busy"
    slot = asyncio.create_task(port.worker.slot("b"))
    await port.until(lambda: port.local("b").wanted is not None)
    assert not slot.done()
    gate.set()
    async with port.passing():
        await asyncio.wait_for(slot, PATIENCE)
    assert port.fleet.replicas("a") == 0
    assert port.fleet.replicas("b") == 1
    port.worker.release("b")
    await all_done(port, [busy])


@pytest.mark.parametrize("why", ["cancel", "deadline", "drain"])
async def test_a_prompt_that_waits_at_the_gate_can_be_stopped(dock: Dock, clock: Clock, why: str) -> None:
    port = await dock({"a": 3, "b": 3}, budget=3)
    gate = asyncio.Event()
    port.engine.plans["busy"] = (hold(gate),)
    busy = await port.submit("busy", model="a")
    assert await port.engine.called() == "busy"
    deadline = clock() + 5 if why == "deadline" else None
    waiting = await port.submit("waits", model="b", deadline=deadline)
    await port.until(lambda: port.worker.running(waiting.id) is not None)
    if why == "cancel":
        await port.queue.cancel(waiting.id, now=clock())
        run = port.worker.running(waiting.id)
        assert run is not None
        run.stop("cancel")
        assert (await port.finished(waiting)).status is Status.CANCELED
    elif why == "deadline":
        port.move(6)
        async with port.passing():
            assert (await port.finished(waiting)).status is Status.ABANDONED
    else:
        await port.worker.drain(0)
        found = await port.get(waiting)
        assert (found.status, found.failures) == (Status.SCHEDULED, 0)
        assert (await port.get(busy)).status is Status.SCHEDULED
        return
    await port.until(lambda: port.local("b").wanted is None)
    gate.set()
    await all_done(port, [busy])
    assert "waits" not in port.engine.texts


async def test_a_model_that_never_fits_says_so(dock: Dock, clock: Clock) -> None:
    port = await dock({"small": 3, "large": 9}, budget=5)
    ended = await port.run(model="large")
    assert ended.status is Status.ABANDONED
    assert ended.error is not None
    assert ended.error.code == ConfigUnusable.code
    assert ended.error.message == "fleet.memory_mb: the model needs 9 MB, and there are 5 MB for it"
    assert (await port.run(model="small")).status is Status.COMPLETED
    await port.worker.slot("large")  # attached ones are told by their call
    port.worker.release("large")
    assert port.engine.starts == ["small"]
    port.weigh({"small": 3, "large": 4})
    port.fleet.configure(FleetRules(budget=5 * MEGABYTE))
    async with port.passing():
        assert (await port.run(model="large")).status is Status.COMPLETED


async def test_room_beside_pinned_models_is_what_counts(dock: Dock) -> None:
    port = await dock({"kept": 3, "other": 3}, budget=5, shares={"kept": Share(pinned=True)})
    ended = await port.run(model="other")
    assert ended.error is not None
    assert ended.error.message == (
        "fleet.memory_mb: the model needs 3 MB, and there are 2 MB for it beside pinned models"
    )


async def test_a_pinned_model_is_there_from_the_start_and_stays(dock: Dock, clock: Clock) -> None:
    port = await dock({"a": 2, "kept": 2, "b": 2}, budget=4, shares={"kept": Share(pinned=True)})
    await port.until(lambda: port.engine.starts == ["kept"])
    async with port.passing():
        for name in ("a", "b", "a"):
            assert (await port.run(model=name)).status is Status.COMPLETED
    assert port.engine.starts == ["kept", "a", "b", "a"]
    assert "kept" not in port.engine.stops


async def test_replicas_follow_the_backlog(dock: Dock, clock: Clock) -> None:
    port = await dock({"a": 2}, budget=5, shares={"a": Share(least=1, most=3)}, slots=1)
    gates = [asyncio.Event() for _ in range(6)]
    for n, gate in enumerate(gates):
        port.engine.plans[f"p{n}"] = (hold(gate),)
    prompts = [await port.submit(f"p{n}", model="a") for n in range(6)]
    assert await port.engine.called() == "p0"
    await port.until(lambda: port.local("a").short is not None)
    port.move(GROW_SECONDS)
    assert await port.engine.called() == "p1"
    assert port.worker.load()["a"] == (2, 2)
    port.move(GROW_SECONDS)
    await port.settled_claims()
    assert port.engine.scaled == [("a", 2)], "a third one does not fit"
    for gate in gates:
        gate.set()
    await all_done(port, prompts)
    await port.until(lambda: port.local("a").spare is not None)
    port.move(SPARE_SECONDS)
    await port.until(lambda: port.engine.scaled == [("a", 2), ("a", 1)])
    await port.until(lambda: port.worker.load()["a"] == (1, 0))


async def test_a_replica_that_can_not_be_started_is_not_tried_again_at_once(dock: Dock, clock: Clock) -> None:
    port = await dock({"a": 1}, budget=5, shares={"a": Share(most=2)}, slots=1)
    port.engine.refuse_scale = True
    gate = asyncio.Event()
    port.engine.plans["held"] = (hold(gate),)
    prompts = [await port.submit("held", model="a") for _ in range(3)]
    await port.until(lambda: port.local("a").short is not None)
    port.move(GROW_SECONDS)
    await port.until(lambda: port.local("a").barred > clock())
    assert port.fleet.replicas("a") == 1
    port.engine.refuse_scale = False
    port.move(GROW_SECONDS)
    await port.settled_claims()
    assert port.engine.scaled == []
    port.move(60)
    await port.until(lambda: port.engine.scaled == [("a", 2)])
    gate.set()
    await all_done(port, prompts)


async def test_a_minimum_of_replicas_is_loaded_together(dock: Dock) -> None:
    port = await dock({"a": 2}, budget=4, shares={"a": Share(least=2, most=2)}, slots=2)
    assert (await port.run(model="a")).status is Status.COMPLETED
    await port.until(lambda: port.engine.scaled == [("a", 2)])
    await port.until(lambda: port.worker.load()["a"] == (4, 0))


async def test_a_model_that_its_engine_let_go_frees_its_memory(dock: Dock) -> None:
    port = await dock({"a": 3, "b": 1}, budget=4)
    await port.run(model="a")
    assert port.fleet.replicas("a") == 1
    port.engine.held["a"] = 0  # idle for long, as its engine thinks
    await port.run(model="b")
    await port.until(lambda: port.fleet.replicas("a") == 0)


async def test_a_failing_model_gives_its_memory_to_others(dock: Dock) -> None:
    port = await dock({"a": 3, "b": 3}, budget=3)
    port.engine.plans["broken"] = (fail(ConfigUnusable("the model file can't be loaded")),)
    ended = await port.run("broken", model="a")
    assert ended.status is Status.ABANDONED
    async with port.passing():
        assert (await port.run(model="b")).status is Status.COMPLETED


async def test_the_backlog_of_an_earlier_run_is_found(dock: Dock, clock: Clock, tmp_path: Path) -> None:
    port = await dock({"a": 3, "b": 3}, budget=3, slots=1)
    gate = asyncio.Event()
    port.engine.plans["held"] = (hold(gate),)
    prompts = [await port.submit("held", model="a"), *[await port.submit(f"b{n}", model="b") for n in range(5)]]
    assert await port.engine.called() == "held"
    await port.worker.drain(0)
    again = await dock({"a": 3, "b": 3}, budget=3, slots=1)
    async with again.passing():
        await all_done(again, prompts)
    assert sorted(again.engine.starts) == ["a", "b"]


async def test_remote_lanes_have_no_gate(dock: Dock) -> None:
    port = await dock({"a": 3, "far": 0}, budget=2)
    port.connections.configure(
        {
            **{connection.name: connection for connection in port.connections},
            "far": Connection(name="far", engine=port.engine, config=NoConfig(), http=port.http, slots=2),
        },
        {name: port.connections.resolve(name) for name in ("a", "far")},
        "far",
    )
    port.fleet.configure(FleetRules(budget=2 * MEGABYTE))
    assert port.lane("far").gate is None
    assert (await port.run(model="far")).status is Status.COMPLETED


async def test_an_operators_start_and_check_wait_for_memory(dock: Dock) -> None:
    port = await dock({"a": 3, "b": 3, "large": 9}, budget=3)
    kept = port.connections
    kept.memory_for = port.fleet.memory_for
    await kept.start("a")
    assert port.fleet.replicas("a") == 1
    gate = asyncio.Event()
    port.engine.plans["busy"] = (hold(gate),)
    busy = await port.submit("busy", model="a")
    assert await port.engine.called() == "busy"
    starting = asyncio.create_task(kept.start("b"))
    await port.until(lambda: port.local("b").wanted is not None)
    assert port.engine.starts == ["a"]
    gate.set()
    async with port.passing():
        await asyncio.wait_for(starting, PATIENCE)
        assert port.engine.starts == ["a", "b"]
        assert (await kept.check("a")).ok
    with pytest.raises(ConfigUnusable, match=r"^fleet\.memory_mb: "):
        await kept.start("large")
    assert (await kept.check("large")).message.startswith("fleet.memory_mb: ")
    await all_done(port, [busy])
