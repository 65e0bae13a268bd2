"""A stored prompt is judged by the checks that there are when it is sent."""

from __future__ import annotations

import asyncio

import pytest

from promptd.core.errors import RateLimited
from promptd.core.guarding import Action, Stage
from promptd.core.lifecycle import Status
from promptd.core.model import Judgement
from promptd.service.guarding import Check, Checks
from promptd.testing.word_guard import WordGuard
from tests.service.conftest import Build
from tests.service.house import ANN, fail, hold, say

pytestmark = pytest.mark.slow

INPUT = frozenset({Stage.INPUT})
REFUSED = Judgement("later", "input", "refused", 0.9, ("rude",))


def later(guard: WordGuard | None = None, action: Action = Action.REFUSE) -> Checks:
    guard = guard or WordGuard({"bad": "rude", "ann@example.com": "email"})
    return Checks([Check(name="later", guard=guard, stages=INPUT, action=action)])


async def test_one_that_waited_while_the_checks_changed(build: Build) -> None:
    house = await build(slots=1)
    gate = asyncio.Event()
    house.engine.plans["first"] = (hold(gate, "done"),)
    first = await house.submit("first")
    await house.engine.called()
    waiting = await house.submit("so bad")
    house.move(1)
    house.guarding.checks = later()
    gate.set()
    assert (await house.finished(first)).status is Status.COMPLETED  # an attempt that runs keeps those of its beginning
    done = await house.finished(waiting)
    assert (done.status, done.judgements) == (Status.ABANDONED, (REFUSED,))
    assert done.error is not None
    assert (done.error.code, done.error.message) == ("content_filtered", "refused by a guard: word: rude")
    assert house.engine.texts == ["first"]


async def test_the_next_attempt(build: Build) -> None:
    house = await build()
    house.engine.plans["bad"] = (fail(RateLimited("later")), say("fine"))
    prompt = await house.submit("bad")
    await house.errored(prompt)
    house.move(1)
    house.guarding.checks = later()
    house.move(1000)
    done = await house.finished(prompt)
    assert (done.status, done.judgements) == (Status.ABANDONED, (REFUSED,))
    assert house.engine.texts == ["bad"]


async def test_a_retry(build: Build) -> None:
    house = await build()
    prompt = await house.run("bad")
    house.engine.plans["bad"] = (fail(RateLimited("later")),)
    cancelled = await house.submit("bad", max_attempts=1)
    assert (await house.finished(cancelled)).status is Status.ABANDONED
    assert prompt.status is Status.COMPLETED
    house.move(1)
    house.guarding.checks = later()
    await house.prompts.retry(ANN, cancelled.id)
    done = await house.finished(cancelled)
    assert done.status is Status.ABANDONED
    assert REFUSED in done.judgements
    assert house.engine.texts == ["bad", "bad"]


async def test_what_is_replaced_is_not_sent(build: Build) -> None:
    house = await build()
    house.engine.plans["ann@example.com"] = (fail(RateLimited("later")),)
    prompt = await house.submit("ann@example.com")
    await house.errored(prompt)
    house.move(1)
    house.guarding.checks = later(action=Action.REDACT)
    house.move(1000)
    done = await house.finished(prompt)
    assert done.status is Status.COMPLETED
    assert house.engine.texts == ["ann@example.com", "[EMAIL]"]
    assert done.judgements == (Judgement("later", "input", "redacted", 1.0, ("email",)),)


async def test_a_guard_that_fails_is_asked_again(build: Build) -> None:
    house = await build()
    house.engine.plans["hello"] = (fail(RateLimited("later")), say("fine"))
    prompt = await house.submit("hello")
    await house.errored(prompt)
    guard = WordGuard({"bad": "rude"})
    guard.error = RuntimeError("down")
    house.move(0.5)
    house.guarding.checks = later(guard)
    house.move(1000)
    await house.settled()
    failed = await house.get(prompt)
    assert failed.error is not None
    assert failed.error.code == "service_unavailable"
    guard.error = None
    house.move(1000)
    assert (await house.finished(prompt)).status is Status.COMPLETED
    assert house.engine.texts == ["hello"] * 2


async def test_who_was_judged_by_them_is_not_judged_twice(build: Build) -> None:
    guard = WordGuard({"bad": "rude"})
    house = await build()
    house.guarding.checks = later(guard)
    house.move(1)
    await house.run("hello")
    assert guard.seen == [("hello",)]
