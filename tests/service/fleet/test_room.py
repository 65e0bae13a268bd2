"""Room for models: pins, replicas, failures, and an operator who wants one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from promptd.core.engine import NoConfig
from promptd.core.errors import ConfigUnusable
from promptd.core.fleet import GROW_SECONDS, SPARE_SECONDS
from promptd.core.lifecycle import Status
from promptd.service.connections import Connection
from promptd.service.fleet import FleetRules, Share
from tests.service.fleet.conftest import MEGABYTE, Dock, all_done
from tests.service.house import PATIENCE, Clock, fail, hold


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
