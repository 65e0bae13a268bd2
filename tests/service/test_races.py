"""What happens when two things happen at once, and when the ground gives way."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from promptd.app import build as build_app
from promptd.core.content import ToolCall, Turn
from promptd.core.errors import Conflict, EngineLost
from promptd.core.lifecycle import Status
from promptd.core.model import Chunk, Outcome, Request, Submission, Usage
from promptd.core.parameters import Parameters
from promptd.service.execution import Rules
from promptd.settings import Settings
from tests.service.conftest import Build
from tests.service.house import ANN, PATIENCE, House, applied, fail, hold, say


async def test_a_cancel_that_shares_its_commit_with_the_claim(build: Build) -> None:
    house = await build(slots=1)
    gate = asyncio.Event()
    house.engine.plans["first"] = (hold(gate),)
    first = await house.submit("first")
    await house.engine.called()
    second, third = await house.submit("second", thread="t"), await house.submit("third", thread="t")
    canceling: list[asyncio.Task[Any]] = []
    claim = house.queue.claim

    async def claim_and_cancel(*arguments: Any, **more: Any) -> Any:
        """The cancel enters the writer right behind the claim, long before the worker hears of the claim."""
        claiming = asyncio.ensure_future(claim(*arguments, **more))
        if not canceling:
            canceling.append(asyncio.create_task(house.prompts.cancel(ANN, second.id)))
        return await claiming

    house.queue.claim = claim_and_cancel  # type: ignore[method-assign]
    gate.set()
    assert (await house.finished(first)).status is Status.COMPLETED
    assert (await house.finished(third)).status is Status.COMPLETED
    assert (await canceling[0]).status is Status.CANCELED
    await house.settled()
    assert house.engine.texts == ["first", "third"]
    assert (house.worker.waiting, house.bus.topics) == (0, 0)


async def test_submit_and_cancel_at_once_leave_nothing_behind(build: Build) -> None:
    house = await build(slots=2)

    async def pair(number: int) -> None:
        prompt = await house.submit(f"{number}")
        try:
            await house.prompts.cancel(ANN, prompt.id)
        except Conflict:  # it was faster
            assert (await house.finished(prompt)).status is Status.COMPLETED

    async with asyncio.timeout(3 * PATIENCE), asyncio.TaskGroup() as pairs:
        for number in range(300):
            pairs.create_task(pair(number))
    await house.settled()
    assert (house.worker.waiting, house.bus.topics) == (0, 0)


async def test_a_lost_engine_process_is_no_failed_attempt(house: House) -> None:
    house.engine.plans["hello"] = (fail(EngineLost("the process died"), "void "), say("the answer"))
    prompt = await house.submit("hello")
    async with asyncio.timeout(PATIENCE):
        chunks = [chunk async for batch in house.streams.follow(prompt.id) for chunk in batch]
    assert applied(chunks) == "the answer"
    done = await house.get(prompt)
    assert (done.status, done.failures, done.runs) == (Status.COMPLETED, 0, 2)
    assert [attempt.outcome for attempt in await house.attempts(prompt)] == [Outcome.LOST, Outcome.COMPLETED]


async def test_a_prompt_that_always_loses_its_engine_ends(house: House) -> None:
    house.engine.plans["hello"] = (fail(EngineLost("the process died")),)
    prompt = await house.submit("hello", max_attempts=1)
    assert (await house.finished(prompt)).status is Status.ABANDONED
    assert len(house.engine.calls) == 20


async def test_drain_ends_although_the_store_can_not_be_written(build: Build) -> None:
    house = await build(slots=1)
    house.engine.plans["hello"] = (hold(asyncio.Event()),)
    prompt = await house.submit("hello")
    await house.engine.called()
    db = house.database.writer._db
    db.execute("pragma query_only = on")
    async with asyncio.timeout(PATIENCE):
        await house.worker.drain(0.05)
    db.execute("pragma query_only = off")
    assert (await house.get(prompt)).status is Status.RUNNING  # the next start rescues it
    assert [(lost.id, lost.rescues) for lost in await house.queue.rescue(now=house.clock(), everything=True)] == [
        (prompt.id, 1)
    ]


async def test_nonsense_usage_of_a_failing_answer_is_settled(house: House) -> None:
    odd = Chunk("done", finish_reason="stop", usage=Usage(2**70, -5, 0))
    house.engine.plans["hello"] = (say("not json", end=odd),)
    schema = {"type": "object"}
    request = Request(messages=(Turn("user", "hello"),), parameters=Parameters(json_schema=schema))
    prompt = await house.submit("hello", request=request, max_attempts=1)
    assert (await house.finished(prompt)).status is Status.ABANDONED
    (attempt,) = await house.attempts(prompt)
    assert (attempt.usage, attempt.estimated) == (Usage(5, 2), True)


async def test_endless_tool_calls_and_pieces_hit_the_bound(build: Build) -> None:
    house = await build(rules=Rules(max_answer_bytes=1000))

    async def plan(call: Any) -> Any:
        while True:
            yield Chunk("progress", tool_calls=(ToolCall(id="x" * 100),))

    house.engine.plans["hello"] = (plan,)
    prompt = await house.submit("hello", max_attempts=1)
    ended = await house.finished(prompt)
    assert ended.error is not None
    assert ended.error.code == "invalid_output"


async def test_prompts_of_a_removed_connection_are_told(tmp_path: Path) -> None:
    hang = {"engine": "scripted", "script": [{"hang": True}], "slots": 1}
    settings = {"home": tmp_path, "connections": {"old": hang, "new": {"engine": "scripted"}}}
    models = {"old": {"connection": "old"}, "new": {"connection": "new"}}

    def ask(model: str) -> Submission:
        return Submission(caller=ANN, model=model, thread="t", request=Request(messages=(Turn("user", "hello"),)))

    async with build_app(Settings.model_validate(settings | {"models": models})) as before:
        old = (await before.walk.intake.submit(ask("old"))).prompt
        behind = (await before.walk.intake.submit(ask("new"))).prompt
    settings |= {"connections": {"new": {"engine": "scripted"}}, "models": {"new": {"connection": "new"}}}
    async with asyncio.timeout(PATIENCE), build_app(Settings.model_validate(settings)) as after:
        ended = await after.walk.streams.finished(old.id)
        assert ended.status is Status.ABANDONED
        assert ended.error is not None
        assert ended.error.code == "handler_unavailable"
        assert (await after.walk.streams.finished(behind.id)).status is Status.COMPLETED
