"""Budgets and the walk: what is held while prompts wait and run, what is settled, and what the cost of an attempt is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest

from promptd.core.content import Turn
from promptd.core.engine import Call, NoConfig
from promptd.core.errors import BudgetSpent, ModelForbidden, ServiceUnavailable, TooManyRequests
from promptd.core.identity import USER_PERMISSIONS
from promptd.core.lifecycle import Status
from promptd.core.model import Caller, Chunk, Request, Usage
from promptd.core.parameters import Parameters
from promptd.core.policy import Charge, Policy
from tests.service.conftest import Build
from tests.service.house import ANN, House, Plan, fail, hold, say

pytestmark = pytest.mark.slow

BUDGET = Policy(name="tokens", metric="tokens", limit=1000, period="day")


def ask(text: str, most: int) -> Request:
    return Request(messages=(Turn("user", text),), parameters=Parameters(max_tokens=most))


async def left(house: House, policy: Policy = BUDGET) -> int:
    (level,) = await house.limits.peek([Charge(policy, "ann", 0)], now=house.clock())
    return level.remaining


def used(usage: Usage) -> Plan:
    return say("text", end=Chunk("done", finish_reason="stop", usage=usage))


async def test_what_was_held_is_replaced_by_what_was_used(build: Build) -> None:
    house = await build(policies=(BUDGET,))
    gate = asyncio.Event()
    house.engine.plans["x"] = (hold(gate, "text"),)
    prompt = await house.submit(request=ask("x", 500))
    await house.engine.called()
    assert await left(house) == 1000 - 500 - 1 - 16
    gate.set()
    assert (await house.finished(prompt)).status is Status.COMPLETED
    await house.settled()
    assert await left(house) == 1000 - 5


async def test_two_hundred_callers_never_overdraw_a_budget_by_more_than_one_answer(build: Build) -> None:
    """Each may say up to 300 tokens, and says 3 to 299; nobody knows before."""
    house = await build(policies=(BUDGET,), slots=50)
    spent: list[int] = []

    def plan(number: int) -> Plan:
        usage = Usage(20, number % 297 + 3)

        async def run(call: Call[NoConfig]) -> AsyncGenerator[Chunk, None]:
            for _ in range(number % 5):
                await asyncio.sleep(0)
            spent.append(usage.input_tokens + usage.output_tokens)
            yield Chunk("done", finish_reason="stop", usage=usage)

        return run

    async def caller(number: int) -> None:
        text = f"{number:04}"
        house.engine.plans[text] = (plan(number),)
        while True:
            try:
                prompt = await house.submit(request=ask(text, 300))
            except BudgetSpent:
                return
            except TooManyRequests:
                await asyncio.sleep(0)
                continue
            await house.finished(prompt)
            return

    await asyncio.gather(*map(caller, range(200)))
    await house.settled()
    assert 900 < sum(spent) <= BUDGET.limit + 300
    assert await left(house) == max(0, BUDGET.limit - sum(spent))


async def test_failed_attempts_count(build: Build) -> None:
    house = await build(policies=(BUDGET,))
    house.engine.plans["x"] = (fail(ServiceUnavailable(), "four"), used(Usage(3, 2)))
    prompt = await house.submit(request=ask("x", 100))
    await house.errored(prompt)
    house.move(60)
    assert (await house.finished(prompt)).status is Status.COMPLETED
    await house.settled()
    first, second = await house.attempts(prompt)
    counted = first.usage.input_tokens + first.usage.output_tokens + 5
    assert counted > 5
    assert await left(house) == 1000 - counted
    assert second.cost is not None
    assert first.cost is not None


async def test_a_prompt_that_waits_over_a_restart_holds_its_share(build: Build) -> None:
    first = await build(policies=(BUDGET,))
    prompt = await first.submit(request=ask("x", 300), not_before=first.clock() + 3600)
    held = 1000 - await left(first)
    assert held > 300
    second = await build(policies=(BUDGET,))
    assert await left(second) == 1000
    await second.intake.remember(prompt)
    assert await left(second) == 1000 - held
    await second.prompts.cancel(ANN, prompt.id)
    await second.settled()
    assert await left(second) == 1000, "it used nothing"


async def test_a_key_is_for_its_models(house: House) -> None:
    caller = Caller("ann", "key-ann", "team", USER_PERMISSIONS, models=("gpt-*",))
    with pytest.raises(ModelForbidden) as refused:
        await house.submit("x", caller)
    assert refused.value.field == "model"
    assert (await house.run("x", Caller("ann", "k", "", USER_PERMISSIONS, models=("ma*",)))).model == "main"
    assert (await house.run("x", ANN)).status is Status.COMPLETED
