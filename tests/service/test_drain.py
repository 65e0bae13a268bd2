"""Leaving and coming back: drain, hand back, rescue."""

from __future__ import annotations

import asyncio

import pytest

from promptd.core.chunks import Position
from promptd.core.errors import ShuttingDown
from promptd.core.lifecycle import Status
from promptd.core.model import Outcome
from promptd.testing.store.samples import make_prompt
from tests.service.conftest import Build
from tests.service.house import House, applied, hold


async def test_drain_lets_attempts_finish(build: Build) -> None:
    house = await build()
    gate = asyncio.Event()
    house.engine.plans["hello"] = (hold(gate, "in time"),)
    prompt = await house.submit("hello")
    await house.engine.called()
    waiting = await house.submit("later", not_before=house.clock() + 1)
    drained = asyncio.create_task(house.worker.drain(30))
    await asyncio.sleep(0)
    with pytest.raises(ShuttingDown):
        await house.submit("too late")
    house.move(1)
    gate.set()
    await drained
    assert (await house.get(prompt)).status is Status.COMPLETED
    assert (await house.get(waiting)).status is Status.SCHEDULED
    assert house.engine.texts == ["hello"]


async def test_drain_hands_back_what_takes_too_long(build: Build) -> None:
    house = await build()
    house.engine.plans["hello"] = (hold(asyncio.Event(), before=["half"]),)
    prompt = await house.submit("hello")
    await house.engine.called()
    await house.worker.drain(0)
    back = await house.get(prompt)
    assert (back.status, back.failures, back.rescues) == (Status.SCHEDULED, 0, 0)
    assert [attempt.outcome for attempt in await house.attempts(prompt)] == [Outcome.HANDED_BACK]
    assert house.engine.closed == ["hello"]
    await house.worker.drain(0)


async def test_drain_hands_back_what_a_claim_under_way_brings(build: Build) -> None:
    house = await build()
    house.engine.plans["text of p"] = (hold(asyncio.Event()),)
    prompt = (await house.queue.add(make_prompt("p", lane="main"), now=house.clock())).prompt
    house.worker.waiting += 1
    house.worker.poke("main")
    await asyncio.sleep(0)
    await house.worker.drain(0)
    assert (await house.get(prompt)).status is Status.SCHEDULED
    assert house.worker.load() == {"main": (4, 0)}
    assert house.worker.waiting == 1


async def test_a_drained_prompt_is_finished_by_the_next_server_and_its_reader(build: Build) -> None:
    house = await build()
    house.engine.plans["hello"] = (hold(asyncio.Event(), before=["half", " way"]),)
    prompt = await house.submit("hello")
    reader = house.streams.follow(prompt.id)
    seen = list(await anext(reader))
    await reader.aclose()
    await house.stop()
    follower = await build()
    assert follower.rescued == ()
    done = await follower.finished(prompt)
    assert done.answer is not None
    async for batch in follower.streams.follow(prompt.id, Position(seen[-1].attempt, seen[-1].n)):
        seen.extend(batch)
    assert applied(seen) == done.answer.text == "re: hello"


async def crash(house: House) -> None:
    """End a server without a word to its store."""
    tasks = [run.task for run in house.worker._runs.values() if run.task is not None]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await house.database.close()


async def test_running_prompts_are_rescued_at_the_start(build: Build) -> None:
    house = await build()
    house.engine.plans["hello"] = (hold(asyncio.Event(), before=["half"]),)
    prompt = await house.submit("hello", thread="t")
    later = await house.submit("later", thread="t")
    await house.engine.called()
    await crash(house)
    follower = await build()
    assert [back.id for back in follower.rescued] == [prompt.id]
    done = await follower.finished(prompt)
    assert (done.status, done.runs, done.rescues, done.failures) == (Status.COMPLETED, 2, 1, 0)
    assert (await follower.finished(later)).status is Status.COMPLETED
    assert follower.engine.texts == ["hello", "later"]
    outcomes = [attempt.outcome for attempt in await follower.attempts(prompt)]
    assert outcomes == [Outcome.LOST, Outcome.COMPLETED]


async def test_suspects_run_alone_and_the_rest_waits(build: Build) -> None:
    house = await build()
    house.engine.plans["killer"] = (hold(asyncio.Event()),)
    await house.submit("killer", id="killer")
    await house.engine.called()
    for _ in range(3):
        await house.queue.rescue(now=house.clock(), everything=True)
        if not (await house.queue.claim("main", 1, now=house.clock())).prompts:
            break
    await crash(house)
    follower = await build(rescue=False, suspects=True)
    gate = asyncio.Event()
    follower.engine.plans["killer"] = (hold(gate, "harmless"),)
    assert await follower.engine.called() == "killer"
    other = await follower.submit("other")
    assert (await follower.get(other)).status is Status.SCHEDULED
    gate.set()
    assert (await follower.finished("killer")).status is Status.COMPLETED
    assert (await follower.finished(other)).status is Status.COMPLETED
