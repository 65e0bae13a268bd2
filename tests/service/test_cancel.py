"""Cancel, retry and delete at every stage."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from promptd.core.chunks import Position
from promptd.core.engine import Call, NoConfig
from promptd.core.errors import AuthenticationFailed, Conflict, Forbidden, NetworkError, NotFound
from promptd.core.lifecycle import Status
from promptd.core.model import Chunk, Outcome, Prompt
from promptd.service.streams import START
from promptd.testing.store.samples import make_prompt
from tests.service.conftest import Build
from tests.service.house import ADMIN, ANN, BOB, END, PATIENCE, House, fail, hold, say


async def read(house: House, prompt: Prompt, after: Position = START) -> list[Chunk]:
    async with asyncio.timeout(PATIENCE):
        return [chunk async for batch in house.streams.follow(prompt.id, after) for chunk in batch]


def slow_to_leave(leaving: asyncio.Event, gate: asyncio.Event) -> object:
    """A plan that needs a while to clean up when it is cancelled."""

    async def plan(call: Call[NoConfig]) -> AsyncGenerator[Chunk, None]:
        yield Chunk("progress", text="begun")
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            leaving.set()
            await gate.wait()

    return plan


async def test_cancel_while_it_waits(house: House) -> None:
    prompt = await house.submit("hello", not_before=house.clock() + 10)
    canceled = await house.prompts.cancel(ANN, prompt.id)
    assert (canceled.status, canceled.runs, house.worker.waiting) == (Status.CANCELED, 0, 0)
    house.move(20)
    await house.run("other")
    assert house.engine.texts == ["other"]
    assert (await house.attempts(prompt)) == []
    assert [chunk.code for chunk in await read(house, prompt)] == ["cancelled"]


async def test_cancel_before_the_first_text(house: House) -> None:
    house.engine.plans["hello"] = (hold(asyncio.Event()),)
    prompt = await house.submit("hello")
    await house.engine.called()
    reader = asyncio.create_task(read(house, prompt))
    await asyncio.sleep(0)
    assert (await house.prompts.cancel(ANN, prompt.id)).status is Status.CANCELED
    assert [chunk.kind for chunk in await reader] == ["error"]
    await house.settled()
    assert house.engine.closed == ["hello"]
    (attempt,) = await house.attempts(prompt)
    assert (attempt.outcome, attempt.first_token) == (Outcome.CANCELED, None)


@pytest.mark.formcycle(38)
async def test_cancel_in_mid_stream(house: House) -> None:
    house.engine.plans["hello"] = (hold(asyncio.Event(), before=["half ", "way"]),)
    prompt = await house.submit("hello", thread="t")
    later = await house.submit("later", thread="t")
    reader = house.streams.follow(prompt.id)
    assert "".join([chunk.text for chunk in await anext(reader)])
    await house.prompts.cancel(ANN, prompt.id)
    rest = [chunk async for batch in reader for chunk in batch]
    assert (rest[-1].kind, rest[-1].code) == ("error", "cancelled")
    assert (await house.finished(later)).status is Status.COMPLETED, "the thread goes on"
    assert [turn.content for turn in house.engine.calls[-1].messages] == ["later"]
    (attempt,) = await house.attempts(prompt)
    assert attempt.outcome is Outcome.CANCELED
    done = await house.get(prompt)
    assert (done.status, done.answer) == (Status.CANCELED, None)


@pytest.mark.parametrize("join", ["before the failure", "after the failure", "again with the restart's id"])
async def test_cancel_while_it_waits_for_its_retry(house: House, join: str) -> None:
    house.engine.plans["hello"] = (fail(NetworkError(), "some", "text"),)
    prompt = await house.submit("hello")
    reader = asyncio.create_task(read(house, prompt)) if join == "before the failure" else None
    await house.errored(prompt)
    await asyncio.sleep(0)
    if reader is None:
        after = Position(2, 0) if "again" in join else START
        reader = asyncio.create_task(read(house, prompt, after))
        await asyncio.sleep(0)
    await house.prompts.cancel(ANN, prompt.id)
    chunks = await reader
    assert (chunks[-1].kind, chunks[-1].code) == ("error", "cancelled")
    assert (await read(house, prompt, Position(2, 0)))[-1].kind == "error", "who comes back hears the end, too"
    assert await read(house, prompt, Position(chunks[-1].attempt, chunks[-1].n)) == [], "but only once"
    house.move(100)
    await house.run("other")
    assert house.engine.texts == ["hello", "other"]
    assert house.worker.waiting == 0


async def test_cancel_right_behind_submit(build: Build) -> None:
    """Claim and cancel may be in one commit: the run is then stopped before its task has begun."""
    house = await build(slots=1)
    for number in range(20):
        assert house.worker.reserve("main")
        prompt = (await house.queue.add(make_prompt(f"p{number}", lane="main"), now=house.clock(), start=True)).prompt
        run = house.worker.submitted(prompt, reserved=True)
        assert run is not None
        house.worker.spawn(house.worker.carry_out(run), prompt.id)
        run.stop("cancel")
        await house.queue.cancel(prompt.id, now=house.clock())
        await house.settled()
        assert (await house.get(prompt)).status is Status.CANCELED
    assert (await house.run("next")).status is Status.COMPLETED
    assert house.worker.load() == {"main": (1, 0)}
    assert house.engine.texts == ["next"]


async def test_submit_and_cancel_at_the_same_moment(build: Build) -> None:
    house = await build(slots=2)
    for number in range(20):
        await asyncio.gather(
            house.submit("hello", id=f"p{number}"), house.prompts.cancel(ANN, f"p{number - 1}"), return_exceptions=True
        )
        results = await asyncio.gather(
            house.queue.claim("main", 1, now=house.clock()),
            house.prompts.cancel(ANN, f"p{number}"),
            return_exceptions=True,
        )
        assert not isinstance(results[0], BaseException)
    await house.settled()
    assert (await house.run("next")).status is Status.COMPLETED
    assert house.bus.topics == 0


async def test_a_retry_while_the_canceled_run_still_cleans_up(build: Build) -> None:
    house = await build(slots=2)
    leaving, gate = asyncio.Event(), asyncio.Event()
    house.engine.plans["hello"] = (slow_to_leave(leaving, gate), say("second"))  # type: ignore[assignment]
    prompt = await house.submit("hello")
    await house.engine.called()
    await house.prompts.cancel(ANN, prompt.id)
    await leaving.wait()
    await house.prompts.retry(ANN, prompt.id)
    await house.engine.called()
    gate.set()
    done = await house.finished(prompt)
    await house.settled()
    assert done.answer is not None
    assert (done.status, done.runs, done.answer.text) == (Status.COMPLETED, 2, "second")
    assert [attempt.outcome for attempt in await house.attempts(done)] == [Outcome.CANCELED, Outcome.COMPLETED]
    assert house.worker.load() == {"main": (2, 0)}
    assert house.worker.running(prompt.id) is None


async def test_cancel_reaches_the_run_of_a_retry(build: Build) -> None:
    house = await build(slots=2)
    leaving, gate = asyncio.Event(), asyncio.Event()
    house.engine.plans["hello"] = (slow_to_leave(leaving, gate), hold(asyncio.Event()))  # type: ignore[assignment]
    prompt = await house.submit("hello")
    await house.engine.called()
    await house.prompts.cancel(ANN, prompt.id)
    await leaving.wait()
    await house.prompts.retry(ANN, prompt.id)
    await house.engine.called()
    gate.set()
    while house.worker.load()["main"] != (2, 1):
        await asyncio.sleep(0)
    await house.prompts.cancel(ANN, prompt.id)
    await house.settled()
    assert house.engine.closed == ["hello", "hello"]


async def test_an_engine_that_swallows_the_cancel_streams_no_further(house: House) -> None:
    started = asyncio.Event()

    async def plan(call: Call[NoConfig]) -> AsyncGenerator[Chunk, None]:
        yield Chunk("progress", text="one")
        try:
            started.set()
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            yield Chunk("progress", text="two")
        yield END

    house.engine.plans["hello"] = (plan,)
    prompt = await house.submit("hello")
    await started.wait()
    await house.prompts.cancel(ANN, prompt.id)
    await house.settled()
    assert (await house.get(prompt)).status is Status.CANCELED
    assert house.bus.topics == 0, "text of a canceled prompt opened a new log"


async def test_cancel_twice_and_cancel_what_is_done(house: House) -> None:
    prompt = await house.run("hello")
    with pytest.raises(Conflict):
        await house.prompts.cancel(ANN, prompt.id)
    with pytest.raises(NotFound):
        await house.prompts.cancel(ANN, "unknown")


async def test_a_canceled_id_can_be_submitted_again(house: House) -> None:
    gate = asyncio.Event()
    house.engine.plans["hello"] = (hold(gate, "x"), say("anew"))
    await house.submit("hello", id="mine", thread="t")
    await house.engine.called()
    await house.prompts.cancel(ANN, "mine")
    again = await house.submit("hello", id="mine", thread="t")
    done = await house.finished(again)
    await house.settled()
    assert done.answer is not None
    assert (done.answer.text, done.runs) == ("anew", 1)
    await house.run("next", thread="t")
    assert [turn.content for turn in house.engine.calls[-1].messages] == ["hello", "anew", "next"]


async def test_retry_of_an_errored_prompt_does_not_wait(house: House) -> None:
    house.engine.plans["hello"] = (fail(NetworkError()), say("fine"))
    prompt = await house.submit("hello")
    await house.errored(prompt)
    await house.prompts.retry(ANN, prompt.id)
    done = await house.finished(prompt)
    assert (done.status, done.runs, done.failures, house.worker.waiting) == (Status.COMPLETED, 2, 0, 0)


async def test_retry_of_an_abandoned_prompt_streams_anew(house: House) -> None:
    house.engine.plans["hello"] = (fail(AuthenticationFailed(), "bad "), say("good"))
    prompt = await house.submit("hello")
    chunks = await read(house, prompt)
    assert chunks[-1].kind == "error"
    position = Position(chunks[-1].attempt, chunks[-1].n)
    await house.prompts.retry(ANN, prompt.id)
    again = await read(house, prompt, position)
    assert "".join([chunk.text for chunk in again]) == "good"
    assert again[0].kind == "restart"
    with pytest.raises(Conflict):
        await house.prompts.retry(ANN, prompt.id)


async def test_who_heard_of_a_cancel_before_the_first_run_hears_the_retry(house: House) -> None:
    prompt = await house.submit("hello", not_before=house.clock() + 10)
    await house.prompts.cancel(ANN, prompt.id)
    (end,) = await read(house, prompt)
    gate = asyncio.Event()
    house.engine.plans["hello"] = (hold(gate, " two", before=["one"]),)
    await house.prompts.retry(ANN, prompt.id)
    house.move(10)
    await house.engine.called()
    reader = asyncio.create_task(read(house, prompt, Position(end.attempt, end.n)))
    await asyncio.sleep(0)
    gate.set()
    assert "".join([chunk.text for chunk in await reader]) == "one two"
    assert "".join([chunk.text for chunk in await read(house, prompt, Position(end.attempt, end.n))]) == "one two"


async def test_delete_takes_final_prompts_only(house: House) -> None:
    gate = asyncio.Event()
    house.engine.plans["hello"] = (hold(gate, "x"),)
    prompt = await house.submit("hello")
    waiting = await house.submit("later", not_before=house.clock() + 10)
    for each in (prompt, waiting):
        with pytest.raises(Conflict):
            await house.prompts.delete(ANN, each.id)
    gate.set()
    await house.finished(prompt)
    await house.prompts.delete(ANN, prompt.id)
    with pytest.raises(NotFound):
        await house.prompts.get(ANN, prompt.id)
    with pytest.raises(NotFound):
        await anext(house.streams.follow(prompt.id))
    await house.prompts.cancel(ANN, waiting.id)


async def test_who_may_do_what(house: House) -> None:
    prompt = await house.run("hello", thread="t")
    for verb in (house.prompts.get, house.prompts.cancel, house.prompts.retry, house.prompts.delete):
        with pytest.raises(NotFound):
            await verb(BOB, prompt.id)
    with pytest.raises(NotFound):
        await house.prompts.may_stream(BOB, prompt.id)
    seen = await house.prompts.get(ADMIN, prompt.id)
    assert seen.answer is not None
    assert (seen.request.messages, seen.answer.text, seen.answer.usage.input_tokens, seen.trace) == ((), "", 3, b"")
    with pytest.raises(Forbidden):
        await house.prompts.may_stream(ADMIN, prompt.id)
    assert await house.prompts.get(ANN, prompt.id) == prompt
    assert [attempt.run for attempt in await house.prompts.attempts(ANN, prompt.id)] == [1]
