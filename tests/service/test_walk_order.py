"""Which prompt goes next: threads, priorities, and callers in turn."""

from __future__ import annotations

import asyncio

from promptd.core.content import Turn
from promptd.core.errors import (
    AuthenticationFailed,
    NetworkError,
)
from promptd.core.lifecycle import Status
from promptd.core.model import Request
from tests.service.conftest import Build
from tests.service.house import BOB, Clock, House, fail, hold, say


async def test_a_thread_is_serial_and_sees_what_was_said(house: House) -> None:
    gate = asyncio.Event()
    house.engine.plans["one"] = (hold(gate, "first answer"),)
    prompts = [await house.submit(text, thread="t") for text in ("one", "two", "three")]
    assert await house.engine.called() == "one"
    await house.run("somebody else", BOB)
    assert house.engine.texts == ["one", "somebody else"]
    gate.set()
    for prompt in prompts:
        assert (await house.finished(prompt)).status is Status.COMPLETED
    assert house.engine.texts == ["one", "somebody else", "two", "three"]
    assert [(turn.role, turn.content) for turn in house.engine.calls[-1].messages] == [
        ("user", "one"),
        ("assistant", "first answer"),
        ("user", "two"),
        ("assistant", "re: two"),
        ("user", "three"),
    ]


async def test_questions_without_an_answer_are_not_history(house: House) -> None:
    house.engine.plans["bad"] = (fail(AuthenticationFailed()),)
    await house.run("bad", thread="t")
    await house.run("good", thread="t")
    await house.run("next", thread="t")
    assert [turn.content for turn in house.engine.calls[-1].messages] == ["good", "re: good", "next"]


async def test_the_history_is_cut_to_the_models_context(build: Build) -> None:
    house = await build(context=160)
    system = Turn("system", "be brief")
    await house.run(request=Request(messages=(system, Turn("user", "a" * 160))), thread="t")
    await house.run(request=Request(messages=(Turn("user", "b" * 160),)), thread="t")
    await house.run("last", thread="t")
    messages = house.engine.calls[-1].messages
    assert messages[0] == system
    assert [turn.content[:1] for turn in messages[1:]] == ["l"] or messages[1].content[:1] == "b"
    assert not any(turn.content.startswith("a") for turn in messages), "the oldest turns go first"


async def test_a_failed_prompt_holds_back_its_thread_until_its_retry(house: House, clock: Clock) -> None:
    house.engine.plans["one"] = (fail(NetworkError()), say("fine"))
    first = await house.submit("one", thread="t")
    second = await house.submit("two", thread="t")
    await house.errored(first)
    await house.run("other")
    assert house.engine.texts == ["one", "other"]
    house.move(2)
    assert (await house.finished(second)).status is Status.COMPLETED
    assert house.engine.texts == ["one", "other", "one", "two"]


async def test_the_next_of_a_thread_may_be_in_another_lane(build: Build) -> None:
    house = await build(lanes=("main", "side"))
    gate = asyncio.Event()
    house.engine.plans["one"] = (hold(gate),)
    first = await house.submit("one", thread="t")
    second = await house.submit("two", thread="t", model="side")
    await house.engine.called()
    gate.set()
    assert (await house.finished(first)).lane == "main"
    assert (await house.finished(second)).lane == "side"


async def test_an_expired_prompt_frees_its_thread_in_another_lane(build: Build, clock: Clock) -> None:
    house = await build(lanes=("main", "side"), slots=1)
    gate = asyncio.Event()
    house.engine.plans["busy"] = (hold(gate),)
    await house.submit("busy", model="side")
    first = await house.submit("one", thread="t", model="side", deadline=clock() + 5)
    second = await house.submit("two", thread="t")
    house.move(5)
    assert (await house.finished(second)).status is Status.COMPLETED
    assert (await house.get(first)).status is Status.ABANDONED
    gate.set()


async def test_priorities_and_callers_in_turn(build: Build) -> None:
    house = await build(slots=1)
    gate = asyncio.Event()
    house.engine.plans["first"] = (hold(gate),)
    await house.submit("first")
    await house.engine.called()
    prompts = [await house.submit(f"ann{number}") for number in range(3)]
    prompts += [await house.submit(f"bob{number}", BOB) for number in range(2)]
    prompts.append(await house.submit("urgent", priority=5))
    gate.set()
    for prompt in prompts:
        await house.finished(prompt)
    assert house.engine.texts[1:] == ["urgent", "ann0", "bob0", "ann1", "bob1", "ann2"]
    assert house.worker.waiting == 0


async def test_low_priority_is_slow_but_never_starved(build: Build) -> None:
    house = await build(slots=1)
    gate = asyncio.Event()
    house.engine.plans["first"] = (hold(gate),)
    await house.submit("first")
    await house.engine.called()
    low = await house.submit("low", BOB, priority=-5)
    high = [await house.submit(f"high{number}", priority=5) for number in range(25)]
    gate.set()
    await house.finished(low)
    await asyncio.gather(*map(house.finished, high))
    assert house.engine.texts.index("low") <= 11
