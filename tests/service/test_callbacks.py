"""Calls into plugins: whatever a stranger's code does, the caller gets an ordinary end of it in time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from promptd.service.callbacks import CallbackFailed, Callbacks


async def _answer(value: int) -> int:
    await asyncio.sleep(0)
    return value


@pytest.mark.parametrize("function", [lambda value: value, _answer, lambda value: _answer(value)])
async def test_plain_and_async_functions_answer(function: Callable[[int], Any]) -> None:
    assert await Callbacks().call(function, 7) == 7


async def test_plain_functions_do_not_run_on_the_loop() -> None:
    here = threading.get_ident()
    assert await Callbacks().call(threading.get_ident) != here


@pytest.mark.parametrize(
    "error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), StopIteration(), GeneratorExit()]
)
@pytest.mark.parametrize("kind", ["plain", "async"])
async def test_whatever_is_raised_is_an_ordinary_exception(error: BaseException, kind: str) -> None:
    def plain() -> None:
        raise error

    async def later() -> None:
        raise error

    with pytest.raises(Exception) as caught:  # noqa: PT011 (which one is looked at below)
        await Callbacks().call(plain if kind == "plain" else later)
    assert isinstance(caught.value, ValueError | CallbackFailed | RuntimeError)
    if isinstance(error, ValueError):
        assert caught.value is error


@pytest.mark.formcycle(38)
async def test_a_stray_cancel_is_a_failure_and_a_real_one_a_cancel() -> None:
    async def stray() -> None:
        raise asyncio.CancelledError

    with pytest.raises(CallbackFailed):
        await Callbacks().call(stray)
    entered = asyncio.Event()

    async def waits() -> None:
        entered.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(Callbacks().call(waits))
    await entered.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_time_is_up_for_both_kinds() -> None:
    release = threading.Event()
    callbacks = Callbacks(0.05)
    try:
        with pytest.raises(TimeoutError):
            await callbacks.call(release.wait)
        with pytest.raises(TimeoutError):
            await callbacks.call(asyncio.Event().wait)
        assert await callbacks.call(lambda: 1) == 1, "others go on meanwhile"
    finally:
        release.set()


async def test_threads_that_never_return_are_bounded_and_given_back() -> None:
    release = threading.Event()
    callbacks = Callbacks(0.05)
    before = threading.active_count()
    for outcome in await asyncio.gather(*(callbacks.call(release.wait) for _ in range(40)), return_exceptions=True):
        assert isinstance(outcome, TimeoutError)
    assert threading.active_count() - before <= 16
    release.set()
    assert await callbacks.call(lambda: 1, seconds=10) == 1


async def test_many_at_once_wait_for_each_other() -> None:
    found = await asyncio.gather(*(Callbacks(10).call(lambda value: value, value) for value in range(100)))
    assert found == list(range(100))
