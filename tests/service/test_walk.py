"""From submission to settlement."""

from __future__ import annotations

import asyncio

import pytest

from promptd.core.content import ToolCall, Turn
from promptd.core.errors import (
    AuthenticationFailed,
    InvalidRequest,
    NetworkError,
    RateLimited,
    StoreUnavailable,
    TooManyRequests,
)
from promptd.core.filters import Filter, Query
from promptd.core.lifecycle import Status
from promptd.core.model import Capability, Chunk, Message, Outcome, Request, Usage
from promptd.core.parameters import Parameters
from promptd.core.policy import Charge, Policy
from tests.service.conftest import Build
from tests.service.house import ANN, END, PATIENCE, Censor, Clock, House, fail, hold, say


async def test_a_submitted_prompt_is_completed(house: House) -> None:
    gate = asyncio.Event()
    house.engine.plans["hello"] = (hold(gate, "Hel", "lo!"),)
    prompt = await house.submit("hello")
    assert await house.get(prompt) == prompt
    gate.set()
    done = await house.finished(prompt)
    assert (done.status, done.runs, done.failures) == (Status.COMPLETED, 1, 0)
    assert done.answer is not None
    assert (done.answer.text, done.answer.usage, done.answer.finish_reason) == ("Hello!", Usage(3, 2), "stop")
    (attempt,) = await house.attempts(done)
    assert (attempt.engine, attempt.connection, attempt.model) == ("puppet", "main", "up-main")
    assert (attempt.outcome, attempt.usage, attempt.cost) == (Outcome.COMPLETED, Usage(3, 2), 7)
    assert attempt.first_token == house.clock()


async def test_tool_calls_and_values_are_kept(house: House) -> None:
    async def plan(call: object):  # type: ignore[no-untyped-def]
        yield Chunk("progress", tool_calls=(ToolCall(0, "c1", "look", '{"a"'),))
        yield Chunk("progress", text="hm", tool_calls=(ToolCall(0, "", "", ":1}"), ToolCall(1, "c2", "see", "{}")))
        yield Chunk("done", finish_reason="tool_calls", value={"n": 1})

    house.engine.plans["hello"] = (plan,)
    answer = (await house.run("hello")).answer
    assert answer is not None
    assert answer.tool_calls == (ToolCall(0, "c1", "look", '{"a":1}'), ToolCall(1, "c2", "see", "{}"))
    assert (answer.text, answer.value, answer.finish_reason) == ("hm", {"n": 1}, "tool_calls")


async def test_a_failed_attempt_is_tried_again_with_growing_pauses(house: House, clock: Clock) -> None:
    house.engine.plans["hello"] = (fail(NetworkError("down")),)
    prompt = await house.submit("hello")
    for attempt in range(1, 5):
        assert await house.engine.called() == "hello"
        waiting = await house.errored(prompt)
        await house.settled()
        assert waiting.due == clock() + 2**attempt
        assert waiting.failures == waiting.runs == attempt
        assert house.worker.waiting == 1
        house.move(2**attempt - 0.01)
        await house.queue.claim("main", 0, now=clock())
        assert len(house.engine.calls) == attempt, "it ran before it was due"
        house.move(0.01)
    done = await house.finished(prompt)
    assert (done.status, done.runs, done.failures) == (Status.ABANDONED, 5, 5)
    assert done.error is not None
    assert (done.error.code, done.error.message) == ("network_error", "down")
    assert [attempt.code for attempt in await house.attempts(prompt)] == ["network_error"] * 5
    assert house.worker.waiting == 0


@pytest.mark.formcycle(42)
async def test_retry_after_is_honoured(house: House, clock: Clock) -> None:
    house.engine.plans["hello"] = (fail(RateLimited(retry_after=60)), say("at last"))
    prompt = await house.submit("hello")
    assert (await house.errored(prompt)).due == clock() + 60
    house.move(60)
    assert (await house.finished(prompt)).status is Status.COMPLETED


async def test_the_timer_of_a_retry_needs_no_poke(build: Build) -> None:
    from promptd.service.execution import Rules

    house = await build(rules=Rules(base_seconds=0.01, max_exponent=1))
    house.engine.plans["hello"] = (fail(NetworkError()), say("at last"))
    prompt = await house.submit("hello")
    due = (await house.errored(prompt)).due
    assert due is not None
    house.clock.now = due
    assert (await house.finished(prompt)).status is Status.COMPLETED


async def test_what_is_not_retryable_is_not_tried_again(house: House) -> None:
    house.engine.plans["hello"] = (fail(AuthenticationFailed("no"), "some text"),)
    done = await house.run("hello")
    assert (done.status, done.runs, done.answer) == (Status.ABANDONED, 1, None)
    assert done.error is not None
    assert done.error.code == "authentication_failed"


@pytest.mark.formcycle(41)
async def test_a_running_prompt_ends_at_its_deadline(house: House, clock: Clock) -> None:
    house.engine.plans["hello"] = (hold(asyncio.Event(), before=["half"]),)
    prompt = await house.submit("hello", deadline=clock() + 5)
    await house.engine.called()
    house.move(5)
    done = await house.finished(prompt)
    assert done.status is Status.ABANDONED
    assert done.error is not None
    assert done.error.code == "timeout"
    assert house.engine.closed == ["hello"], "the engine's call was not ended"


async def test_a_waiting_prompt_ends_at_its_deadline(house: House, clock: Clock) -> None:
    gate = asyncio.Event()
    house.engine.plans["first"] = (hold(gate),)
    await house.submit("first", thread="t")
    prompt = await house.submit("hello", thread="t", deadline=clock() + 5)
    house.move(5)
    done = await house.finished(prompt)
    assert (done.status, done.runs) == (Status.ABANDONED, 0)
    assert house.worker.waiting == 0
    gate.set()


async def test_a_waiting_prompt_ends_at_its_deadline_though_every_slot_is_busy(build: Build, clock: Clock) -> None:
    house = await build(slots=1)
    gate = asyncio.Event()
    house.engine.plans["long"] = (hold(gate),)
    await house.submit("long")
    await house.engine.called()
    prompt = await house.submit("hello", deadline=clock() + 5)
    house.move(5)
    assert (await house.finished(prompt)).status is Status.ABANDONED
    gate.set()
    await house.settled()


async def test_not_before_is_waited_for(house: House, clock: Clock) -> None:
    prompt = await house.submit("later", not_before=clock() + 10)
    assert (await house.run("now")).status is Status.COMPLETED
    assert house.engine.texts == ["now"]
    house.move(10)
    assert (await house.finished(prompt)).status is Status.COMPLETED


async def test_an_answer_that_the_guard_refuses_is_never_seen(build: Build) -> None:
    house = await build(output_guard=Censor("secret"))
    house.engine.plans["hello"] = (say("the sec", "ret is"),)
    house.engine.plans["fine"] = (say("some", "thing"),)
    prompt = await house.submit("hello", thread="t")
    chunks = [chunk async for batch in house.streams.follow(prompt.id) for chunk in batch]
    assert [chunk.kind for chunk in chunks] == ["error"]
    done = await house.get(prompt)
    assert done.error is not None
    assert (done.status, done.answer, done.error.code) == (Status.ABANDONED, None, "content_filtered")
    assert (await house.run("fine", thread="t")).status is Status.COMPLETED
    page = await house.records.find(Message, Query(filters=(Filter("thread", "eq", "t"),)))
    assert not any("secret" in message.text for message in page.items)


async def test_a_json_schema_is_judged(house: House, clock: Clock) -> None:
    schema = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
    request = Request(messages=(Turn("user", "json"),), parameters=Parameters(json_schema=schema))
    cut = Chunk("done", finish_reason="length", usage=Usage(1, 1))
    house.engine.plans["json"] = (say('{"a": "x"}'), say("no json"), say('{"a": 1}'))
    prompt = await house.submit(request=request)
    for message in ("answer.a", "not JSON"):
        await house.engine.called()
        waiting = await house.errored(prompt)
        assert waiting.error is not None
        assert waiting.error.code == "invalid_output"
        assert message in waiting.error.message
        house.move(100)
    assert (await house.finished(prompt)).status is Status.COMPLETED
    house.engine.plans["json"] = (say('{"a": 1', end=cut),)
    done = await house.run(request=request)
    assert done.error is not None
    assert (done.status, done.error.code) == (Status.ABANDONED, "output_truncated")


async def test_limits_are_reserved_settled_and_given_back(build: Build, clock: Clock) -> None:
    policy = Policy(name="tokens", metric="output_tokens", limit=2000, scope="user")
    requests = Policy(name="calls", metric="concurrency", limit=2, scope="user")
    house = await build(policies=(policy, requests))

    async def left(which: Policy) -> int:
        (level,) = await house.limits.peek([Charge(which, "ann", 1)], now=clock())
        return level.remaining

    gate = asyncio.Event()
    house.engine.plans["hello"] = (hold(gate, "x"),)
    first = await house.submit("hello")
    assert await left(policy) == 2000 - 1024
    assert await left(requests) == 1
    with pytest.raises(TooManyRequests) as refused:
        await house.submit("too much")
    assert refused.value.retry_after is not None
    with pytest.raises(InvalidRequest):
        await house.submit("hello", id="")
    gate.set()
    await house.finished(first)
    await house.settled()
    assert await left(policy) == 1998
    assert await left(requests) == 2
    house.engine.plans["bad"] = (fail(AuthenticationFailed()),)
    await house.run("bad")
    await house.settled()
    assert await left(policy) == 1998
    small = Request(messages=(Turn("user", "later"),), parameters=Parameters(max_tokens=10))
    waiting = await house.submit(request=small, not_before=clock() + 99)
    assert await left(policy) == 1988
    await house.prompts.cancel(ANN, waiting.id)
    assert (await left(policy), await left(requests)) == (1998, 2)
    done = await house.submit("again", id=first.id)
    assert done.status is Status.COMPLETED
    assert (await left(policy), await left(requests)) == (1998, 2)


async def test_a_store_that_refuses_leaves_nothing_behind(build: Build, clock: Clock) -> None:
    policy = Policy(name="calls", metric="concurrency", limit=1, scope="user")
    house = await build(policies=(policy,), slots=1)
    writer = house.database.writer
    await writer.submit(lambda db: db.execute("pragma query_only = on") and None)
    with pytest.raises(StoreUnavailable):
        await house.submit("hello")
    assert house.worker.load() == {"main": (1, 0)}
    writer._db.execute("pragma query_only = off")
    assert (await house.run("hello")).status is Status.COMPLETED


async def test_a_result_outlives_a_store_that_can_not_be_written(house: House) -> None:
    gate = asyncio.Event()
    house.engine.plans["hello"] = (hold(gate, "kept"),)
    prompt = await house.submit("hello", thread="t")
    await house.engine.called()
    db = house.database.writer._db
    db.execute("pragma query_only = on")
    gate.set()
    async with asyncio.timeout(PATIENCE), house.bus.follow(prompt.id, (0, 0)) as live:  # type: ignore[arg-type]
        assert [chunk.text for chunk in await anext(live)] == ["kept"]
        while house.database.writer.failure is None:
            await asyncio.sleep(0)
        assert (await house.get(prompt)).status is Status.RUNNING
        db.execute("pragma query_only = off")
        assert [chunk.kind for chunk in await anext(live)] == ["done"]
    done = await house.finished(prompt)
    assert done.answer is not None
    assert done.answer.text == "kept"
    assert len(house.engine.calls) == 1


async def test_a_caller_that_leaves_while_its_prompt_is_stored_leaves_no_zombie(build: Build) -> None:
    house = await build(slots=1)
    task = asyncio.create_task(house.submit("hello", id="mine"))
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    next_one = await house.submit("next")
    assert (await house.finished("mine")).status is Status.COMPLETED
    assert (await house.finished(next_one)).status is Status.COMPLETED
    await house.settled()


async def test_embeddings(house: House) -> None:
    async def plan(call: object):  # type: ignore[no-untyped-def]
        yield Chunk("done", value={"embeddings": [[0.5, 1.0]]}, usage=END.usage)

    house.engine.plans["one"] = (plan,)
    done = await house.run(request=Request(texts=("one",)), capability=Capability.EMBEDDING)
    assert done.answer is not None
    assert done.answer.value == {"embeddings": [[0.5, 1.0]]}
