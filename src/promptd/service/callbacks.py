"""Calls into engines that have nothing to do with a prompt: writing and reading settings, forms, connection tests.

An engine is a stranger's code: plain functions run in a thread, every call has an end, and what leaves here is an
ordinary exception.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

T = TypeVar("T")

_MOST_THREADS: Final = 16  # others wait, as long as they may


class CallbackFailed(Exception):
    """The code wanted to end the process, or its task: for the caller that is a failure like any other."""


class Callbacks:
    """`seconds`: how long a call may take unless it says otherwise."""

    def __init__(self, seconds: float = 10.0) -> None:
        self.seconds = seconds
        self._threads = asyncio.Semaphore(_MOST_THREADS)

    async def call(self, function: Callable[..., Any], *arguments: Any, seconds: float | None = None) -> Any:
        """The result of `function`, which may be `def` or `async def`.

        Raises `TimeoutError` when the time is up (a plain function then runs on, unheard, and keeps its thread),
        `CallbackFailed` for what would have ended more than the call, and what it raises.
        """
        async with asyncio.timeout(self.seconds if seconds is None else seconds):
            if inspect.iscoroutinefunction(function):
                return await _contained(function(*arguments))
            result = await self._in_thread(lambda: function(*arguments))
            return await _contained(result) if inspect.isawaitable(result) else result

    async def _in_thread(self, work: Callable[[], T]) -> T:
        """In a daemon thread: one that hangs must not hold up the end of the process, as those of a pool would."""
        await self._threads.acquire()
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T] = loop.create_future()

        def settle(result: T | None, error: BaseException | None) -> None:
            self._threads.release()
            if done.done():
                return  # nobody waits any more
            if error is None:
                done.set_result(result)  # type: ignore[arg-type]  # it is T where there is no error
            else:
                done.set_exception(_plain(error))

        def run() -> None:
            result, error = None, None
            try:
                result = work()
            except BaseException as raised:  # handed to the waiting task, whatever it is
                error = raised
            with suppress(RuntimeError):  # the loop may have closed meanwhile
                loop.call_soon_threadsafe(settle, result, error)

        threading.Thread(target=run, name="callback", daemon=True).start()
        return await done


async def _contained(work: Awaitable[T]) -> T:
    task = asyncio.current_task()
    asked = task.cancelling() if task is not None else 0
    try:
        return await work
    except asyncio.CancelledError as error:
        if task is not None and task.cancelling() > asked:
            raise  # somebody cancels this very call, or its time is up
        raise _plain(error) from error
    except Exception:
        raise
    except BaseException as error:  # SystemExit and kin: the event loop would end the process
        raise _plain(error) from error


def _plain(error: BaseException) -> Exception:
    if isinstance(error, StopIteration):
        return CallbackFailed("StopIteration")  # a future does not take it
    return error if isinstance(error, Exception) else CallbackFailed(type(error).__name__)
