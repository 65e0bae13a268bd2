"""Whatever an engine does ends its own attempt and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any

import pytest

from promptd.core.content import ToolCall
from promptd.core.engine import Call, NoConfig
from promptd.core.lifecycle import Status
from promptd.core.model import Chunk
from promptd.service.execution import Rules
from tests.service.conftest import Build
from tests.service.house import END, House, Plan, fail, say


def chunks(*given: Any) -> Plan:
    async def plan(call: Call[NoConfig]) -> AsyncGenerator[Chunk, None]:
        for chunk in given:
            yield chunk

    return plan


async def _ignores_closing(call: Call[NoConfig]) -> AsyncGenerator[Chunk, None]:
    try:
        yield Chunk("progress", text="x")
        yield END
    except GeneratorExit:
        yield Chunk("progress", text="I stay")


async def _swallows_everything(call: Call[NoConfig]) -> AsyncGenerator[Chunk, None]:
    with suppress(asyncio.CancelledError):
        raise asyncio.CancelledError
    for _ in ():
        yield END


class Odd(BaseException):
    """Not even an `Exception`."""


@pytest.mark.parametrize(
    ("plan", "code"),
    [
        (fail(SystemExit(3), "x"), "execution_failed"),
        (fail(asyncio.CancelledError(), "x"), "execution_failed"),
        (fail(GeneratorExit(), "x"), "execution_failed"),
        (fail(StopAsyncIteration(), "x"), "execution_failed"),
        (fail(Odd("odd")), "execution_failed"),
        (fail(RecursionError()), "execution_failed"),
        (fail(MemoryError()), "execution_failed"),
        (fail(ValueError("text \ud800 that no file can hold")), "execution_failed"),
        (fail(TimeoutError()), "timeout"),
        (fail(ConnectionResetError()), "network_error"),
        (fail(ExceptionGroup("both", [ConnectionError(), ConnectionResetError()])), "network_error"),
        (chunks(Chunk("progress", text="and then nothing")), "execution_failed"),
        (chunks(), "execution_failed"),
        (_swallows_everything, "execution_failed"),
        (chunks(Chunk("progress", text="\ud800"), END), None),
        (chunks(Chunk("progress", tool_calls=(ToolCall(0, "c", "f", "\udfff"),)), END), None),
        (chunks(Chunk("progress", text=b"bytes"), END), None),  # type: ignore[arg-type]
        (chunks("not a chunk"), "execution_failed"),
        (chunks(Chunk("done", value=object())), None),
        (chunks(Chunk("done", value={1: float("nan")}, finish_reason="stop", usage="no")), None),  # type: ignore[arg-type]
        (chunks(Chunk("progress", text="x" * 2000), END), "invalid_output"),
        (chunks(*[Chunk("progress", text="ü" * 100)] * 6, END), "invalid_output"),
    ],
)
@pytest.mark.formcycle(37, 38)
async def test_it_ends_its_own_attempt_only(build: Build, plan: Plan, code: str | None) -> None:
    house = await build(slots=1, rules=Rules(max_answer_bytes=1000))
    house.engine.plans["bad"] = (plan,)
    prompt = await house.submit("bad", max_attempts=1, thread="t")
    later = await house.submit("later", thread="t")
    done = await house.finished(prompt)
    assert done.status is Status.ABANDONED
    assert done.error is not None
    assert code is None or done.error.code == code
    assert (await house.finished(later)).status is Status.COMPLETED
    assert [attempt.code for attempt in await house.attempts(prompt)] == [done.error.code]
    await house.settled()
    assert house.bus.topics == 0
    assert house.worker.load() == {"main": (1, 0)}


async def test_nothing_after_done_is_heard(house: House) -> None:
    house.engine.plans["hello"] = (chunks(Chunk("progress", text="x"), END, Chunk("progress", text="more"), END),)
    done = await house.run("hello")
    assert done.answer is not None
    assert done.answer.text == "x"


async def test_an_engine_that_will_not_be_closed(house: House) -> None:
    house.engine.plans["hello"] = (_ignores_closing,)
    assert (await house.run("hello", max_attempts=1)).status.final
    assert (await house.run("other")).status is Status.COMPLETED


async def test_a_cancelled_task_is_not_a_failed_attempt(house: House) -> None:
    """When the whole process is torn down without a drain, the prompt is left to be rescued."""
    house.engine.plans["hello"] = (fail_later(lambda: asyncio.get_running_loop().create_future()),)
    prompt = await house.submit("hello")
    await house.engine.called()
    run = house.worker.running(prompt.id)
    assert run is not None
    assert run.task is not None
    run.task.cancel()
    await asyncio.wait([run.task])
    assert (await house.get(prompt)).status is Status.RUNNING
    (back,) = await house.queue.rescue(now=house.clock(), everything=True)
    house.engine.plans["hello"] = (say("fine"),)
    house.worker.waiting += 1
    house.worker.poke_all()
    assert (await house.finished(back)).status is Status.COMPLETED


def fail_later(what: Callable[[], Any]) -> Plan:
    async def plan(call: Call[NoConfig]) -> AsyncGenerator[Chunk, None]:
        await what()
        yield END

    return plan
