"""From submission to settlement."""

from __future__ import annotations

import asyncio

import pytest

from promptd.core.content import ToolCall, Turn
from promptd.core.errors import (
    AuthenticationFailed,
    ContentRefused,
    Forbidden,
    InvalidRequest,
    NetworkError,
    Overloaded,
    RateLimited,
    StoreUnavailable,
    TooManyRequests,
    Unavailable,
    UnknownModel,
)
from promptd.core.filters import Filter, Query
from promptd.core.lifecycle import Status
from promptd.core.model import Caller, Capability, Chunk, Message, Outcome, Prompt, Request, Usage
from promptd.core.parameters import Parameters
from promptd.core.policy import Charge, Policy
from tests.service.conftest import Build
from tests.service.house import ANN, BOB, END, PATIENCE, Censor, Clock, House, fail, hold, say


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


async def test_the_same_id_is_the_same_prompt(house: House) -> None:
    first = await house.run("hello", id="mine")
    again = await house.submit("other text", id="mine")
    assert again == first
    assert len(house.engine.calls) == 1
    assert house.worker.load() == {"main": (4, 0)}


async def test_an_idempotency_key_joins_the_first_call(house: House) -> None:
    gate = asyncio.Event()
    house.engine.plans["hello"] = (hold(gate, "once"),)
    first = await house.submit("hello", idempotency_key="k", fingerprint=b"f")
    second = await house.submit("hello", idempotency_key="k", fingerprint=b"f")
    assert first.id == second.id
    gate.set()
    await house.finished(first)
    assert len(house.engine.calls) == 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"request": Request()}, "messages"),
        ({"request": Request(messages=(Turn("user", ""),))}, "messages"),
        ({"capability": Capability.EMBEDDING}, "texts"),
        ({"capability": Capability.COMPLETION}, "capability"),
        ({"id": ""}, "id"),
        ({"id": "x" * 129}, "id"),
        ({"thread": ""}, "thread_id"),
        ({"deadline": 1.0}, "deadline"),
        ({"deadline": 2e9, "not_before": 2e9}, "deadline"),
        ({"deadline": 2e9, "not_before": 2e9 + 1}, "deadline"),
        (
            {"request": Request(messages=(Turn("user", "x"),), parameters=Parameters(template=""))},
            "parameters.template",
        ),
        (
            {"request": Request(messages=(Turn("user", "x"),), parameters=Parameters(template="{ prompt }"))},
            "parameters.template",
        ),
        ({"max_attempts": 0}, "max_attempts"),
        ({"priority": 101}, "priority"),
        ({"idempotency_key": ""}, "Idempotency-Key"),
        (
            {"request": Request(messages=(Turn("user", "x"),), parameters=Parameters(json_schema={"type": "nothing"}))},
            "parameters.json_schema",
        ),
        ({"model": "unknown"}, "model"),
    ],
)
async def test_a_wrong_field_is_named_and_nothing_is_stored(
    house: House, fields: dict[str, object], field: str
) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await house.submit(**fields)  # type: ignore[arg-type]
    assert refused.value.field == field
    assert (await house.records.find(Prompt, Query(count=True))).count == 0
    assert house.worker.load() == {"main": (4, 0)}


async def test_refusals(build: Build) -> None:
    house = await build(guard=Censor("bad"), max_waiting=1)
    with pytest.raises(Forbidden):
        await house.submit(caller=Caller("nobody"))
    with pytest.raises(UnknownModel, match="did you mean main"):
        await house.submit(model="maim")
    with pytest.raises(ContentRefused) as refused:
        await house.submit("a bad text")
    assert refused.value.reason == "a bad word"
    await house.submit("hello", thread="t")
    with pytest.raises(Forbidden):
        await house.submit("hello", BOB, thread="t")
    await house.submit("later", not_before=house.clock() + 1)
    with pytest.raises(Overloaded):
        await house.submit("one too many")


async def test_a_guard_that_fails_lets_nothing_through(build: Build) -> None:
    guard = Censor("bad")
    house = await build(guard=guard)
    guard.broken = True
    with pytest.raises(Unavailable):
        await house.submit("hello")
    assert house.engine.calls == []


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
