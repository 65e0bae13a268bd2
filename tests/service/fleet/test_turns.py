"""Local models behind the worker: gates, swaps and turns, with an engine that counts what it holds."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from promptd.core.fleet import LINGER_SECONDS, TURN_PROMPTS, TURN_SECONDS
from promptd.core.lifecycle import Status
from tests.service.fleet.conftest import Dock, all_done
from tests.service.house import PATIENCE, Clock, hold


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
