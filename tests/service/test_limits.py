"""Limits over a prompt's whole life: retries, failures, money, restarts, and rows that no store can hold."""

from __future__ import annotations

import asyncio

import pytest

from promptd.core.content import Tool, Turn
from promptd.core.errors import (
    AuthenticationFailed,
    ContentRefused,
    InvalidRequest,
    Overloaded,
    ServiceUnavailable,
    ShuttingDown,
    TooManyRequests,
)
from promptd.core.filters import Filter, Query
from promptd.core.lifecycle import Status
from promptd.core.model import Message, Prompt, Request, Usage
from promptd.core.parameters import Parameters
from promptd.core.policy import Charge, Metric, Policy
from promptd.service.execution import Rules
from tests.service.conftest import Build
from tests.service.house import ADMIN, ANN, BOB, Censor, Clock, House, fail, hold, say

REFUSED = fail(AuthenticationFailed())


def per_hour(metric: Metric, limit: int) -> Policy:
    return Policy(name=metric, metric=metric, limit=limit, window=3600)


async def left(house: House, policy: Policy, user: str = "ann") -> int:
    (level,) = await house.limits.peek([Charge(policy, user, 1)], now=house.clock())
    return level.remaining


def request(text: str, max_tokens: int = 10) -> Request:
    return Request(messages=(Turn("user", text),), parameters=Parameters(max_tokens=max_tokens))


# ---------------------------------------------------------------- retries


async def test_a_retry_is_a_request(build: Build) -> None:
    requests = per_hour("requests", 2)
    house = await build(policies=(requests,))
    house.engine.plans["bad"] = (REFUSED,)
    prompt = await house.run("bad")
    await house.prompts.retry(ANN, prompt.id)
    await house.engine.called()
    await house.engine.called()
    await house.settled()
    with pytest.raises(TooManyRequests):
        await house.prompts.retry(ANN, prompt.id)
    await house.settled()
    assert len(house.engine.calls) == 2
    assert (await house.get(prompt)).status is Status.ABANDONED
    assert await left(house, requests, "root") == 2
    await house.prompts.retry(ADMIN, prompt.id)
    assert await left(house, requests, "root") == 1, "whoever asks pays"


async def test_retried_prompts_count_as_running(build: Build) -> None:
    seats = Policy(name="seats", metric="concurrency", limit=1)
    house = await build(policies=(seats,))
    gate = asyncio.Event()
    prompts = []
    for name in ("a", "b"):
        house.engine.plans[name] = (REFUSED, hold(gate, "x"))
        prompts.append(await house.run(name))
        await house.settled()
    await house.prompts.retry(ANN, prompts[0].id)
    with pytest.raises(TooManyRequests):
        await house.prompts.retry(ANN, prompts[1].id)
    assert await left(house, seats) == 0
    gate.set()
    assert (await house.finished(prompts[0])).status is Status.COMPLETED
    await house.settled()
    assert await left(house, seats) == 1


async def test_a_prompt_that_waits_for_its_retry_holds_one_seat(build: Build) -> None:
    seats, requests = Policy(name="seats", metric="concurrency", limit=2), per_hour("requests", 3)
    house = await build(policies=(seats, requests), rules=Rules(base_seconds=1000.0))
    gate = asyncio.Event()
    house.engine.plans["hello"] = (fail(ServiceUnavailable()), hold(gate, "x"))
    prompt = await house.errored(await house.submit("hello"))
    await house.settled()
    await house.prompts.retry(ANN, prompt.id)
    assert (await left(house, seats), await left(house, requests)) == (1, 1)
    gate.set()
    await house.finished(prompt)
    await house.settled()
    assert (await left(house, seats), await left(house, requests)) == (2, 1)


async def test_what_was_not_started_afresh_is_given_back(build: Build) -> None:
    seats, tokens = Policy(name="seats", metric="concurrency", limit=2), per_hour("output_tokens", 100)
    house = await build(policies=(seats, tokens))
    gate = asyncio.Event()
    house.engine.plans["hello"] = (hold(gate, "x"),)
    running = await house.submit(request=request("hello"))
    before = (await left(house, seats), await left(house, tokens))
    await house.intake.readmit(ANN, running)
    await house.intake.take_back(running.id)
    assert (await left(house, seats), await left(house, tokens)) == before, "its admission stays"
    gate.set()
    done = await house.finished(running)
    await house.settled()
    assert (await left(house, seats), await left(house, tokens)) == (2, 98)
    await house.intake.readmit(ANN, done)
    assert (await left(house, seats), await left(house, tokens)) == (1, 88)
    await house.intake.take_back(done.id)
    await house.intake.take_back(done.id)
    assert (await left(house, seats), await left(house, tokens)) == (2, 98)


async def test_a_full_or_leaving_house_takes_no_retries(build: Build, clock: Clock) -> None:
    house = await build(max_waiting=1)
    house.engine.plans["bad"] = (REFUSED,)
    prompt = await house.run("bad")
    await house.settled()
    await house.submit("later", not_before=clock() + 99)
    with pytest.raises(Overloaded):
        await house.prompts.retry(ANN, prompt.id)
    house.worker.draining = True
    with pytest.raises(ShuttingDown):
        await house.prompts.retry(ANN, prompt.id)
    house.worker.draining = False


# ---------------------------------------------------------------- what was used


async def test_failed_attempts_are_charged(build: Build) -> None:
    tokens = per_hour("output_tokens", 100)
    house = await build(policies=(tokens,))
    gate = asyncio.Event()
    house.engine.plans["hello"] = (hold(gate, "x"),)
    prompt = await house.submit(request=request("hello"))
    await house.intake.settle(prompt, Usage(5, 30), 7)
    assert await left(house, tokens) == 70
    await house.intake.settle(prompt, Usage(5, 30), 7)
    assert await left(house, tokens) == 70, "once"
    gate.set()
    await house.finished(prompt)


async def test_an_attempt_of_unknown_use_keeps_the_estimate_of_its_input(build: Build, clock: Clock) -> None:
    tokens, out = per_hour("input_tokens", 1000), per_hour("output_tokens", 1000)
    house = await build(policies=(tokens, out))
    text = "x" * 400
    house.engine.plans[text] = (REFUSED,)
    await house.run(text)
    await house.settled()
    assert (await left(house, tokens), await left(house, out)) == (1000 - 104, 1000)
    waiting = await house.submit(text, not_before=clock() + 99)
    assert await left(house, tokens) == 1000 - 208
    await house.prompts.cancel(ANN, waiting.id)
    assert await left(house, tokens) == 1000 - 104, "nothing ran"


async def test_money(build: Build) -> None:
    """The model costs 1 nano per input token and 2 per output token; the puppet uses 3 and 2 of them."""
    money = per_hour("cost", 60)
    house = await build(policies=(money,))
    gate = asyncio.Event()
    house.engine.plans["hello"] = (hold(gate, "x"),)
    prompt = await house.submit(request=request("hello"))
    assert await left(house, money) == 60 - (5 + 2 * 10)
    gate.set()
    await house.finished(prompt)
    await house.settled()
    assert await left(house, money) == 60 - (3 + 2 * 2)
    with pytest.raises(TooManyRequests):
        await house.submit(request=request("hello", max_tokens=30))
    assert await left(house, money, "bob") == 60
    await house.run(request=request("hello", max_tokens=20), caller=BOB)


# ---------------------------------------------------------------- restarts and rows that can't be stored


async def test_concurrency_is_counted_again_after_a_restart(build: Build, clock: Clock) -> None:
    seats = Policy(name="seats", metric="concurrency", limit=1)
    first = await build(slots=1)
    prompts = [await first.submit(f"p{n}", not_before=clock() + 10) for n in range(3)]
    await first.stop()
    house = await build(policies=(seats,), slots=1)
    for prompt in prompts:
        await house.intake.remember(await house.get(prompt))
        await house.intake.remember(await house.get(prompt))
    for _ in prompts:
        assert await left(house, seats) == 0
        with pytest.raises(TooManyRequests):
            await house.submit("more")
        waiting = (await house.records.find(Prompt, Query(filters=(Filter("status", "eq", "scheduled"),)))).items[0]
        await house.prompts.cancel(ANN, waiting.id)
    assert await left(house, seats) == 1
    assert (await house.run("more")).status is Status.COMPLETED


async def test_a_row_that_no_store_can_hold_costs_no_slot(build: Build) -> None:
    seats = Policy(name="seats", metric="concurrency", limit=1)
    house = await build(policies=(seats,), slots=1)
    odd = Request(messages=(Turn("user", "a"),), parameters=Parameters(extra={"a": object()}))
    with pytest.raises(Exception, match="object"):
        await house.submit(request=odd)
    assert house.worker.load() == {"main": (1, 0)}
    assert await left(house, seats) == 1
    assert (await house.run("next")).status is Status.COMPLETED


# ---------------------------------------------------------------- what intake refuses


@pytest.mark.parametrize(
    "parameters",
    [
        Parameters(template="bad {prompt}"),
        Parameters(tools=(Tool("f", "bad"),)),
        Parameters(extra={"suffix": "bad"}),
        Parameters(json_schema={"description": "bad"}),
    ],
)
async def test_the_guard_sees_all_that_an_engine_sees(build: Build, parameters: Parameters) -> None:
    house = await build(guard=Censor("bad"))
    with pytest.raises(ContentRefused):
        await house.submit(request=Request(messages=(Turn("user", "x"),), parameters=parameters))
    assert not house.engine.calls


def nested(depth: int) -> dict[str, object]:
    value: dict[str, object] = {}
    for _ in range(depth - 1):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("parameters", "field"),
    [
        (Parameters(extra=nested(5000)), "parameters.extra"),
        (Parameters(json_schema=nested(5000)), "parameters.json_schema"),
        (Parameters(tools=(Tool("f"), Tool("g", "", nested(5000)))), "parameters.tools[1].parameters"),
        (Parameters(json_schema={"description": "x" * 70_000}), "parameters.json_schema"),
        (Parameters(json_schema={"description": "x" * 10_000, "type": "no"}), "parameters.json_schema"),
    ],
)
async def test_what_is_too_deep_or_too_long_is_named(house: House, parameters: Parameters, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await house.submit(request=Request(messages=(Turn("user", "x"),), parameters=parameters))
    assert refused.value.field == field


async def test_a_long_schema_is_taken(house: House) -> None:
    house.engine.plans["x"] = (say("5"),)
    schema = {"description": "x" * 10_000, "type": "integer"}
    done = await house.run(request=Request(messages=(Turn("user", "x"),), parameters=Parameters(json_schema=schema)))
    assert done.status is Status.COMPLETED


async def test_only_an_answer_has_no_user(house: House) -> None:
    turns = (Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c"))
    done = await house.run(request=Request(messages=turns), thread="t")
    await house.settled()
    found = (await house.records.find(Message, Query(filters=(Filter("prompt_no", "eq", done.no),)))).items
    assert sorted((message.text, message.user) for message in found) == [
        ("a", "ann"),
        ("b", "ann"),
        ("c", "ann"),
        ("re: c", None),
    ]
