"""A guard's opinion within its time. A guard that fails has none, and then nothing is let through."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Generator, Sequence
from types import CoroutineType
from typing import Any, Final, TypeVar

from promptd.core.content import Turn
from promptd.core.guarding import Redacted, Redactor
from promptd.core.model import Verdict
from promptd.core.ports import Guard

R = TypeVar("R")
_LARGE: Final = 32_768  # characters; more of them are looked through in a thread


class GuardFailed(Exception):
    """The guard raised something or took too long; `__cause__` says what."""


async def ask(guard: Guard, turns: Sequence[Turn], seconds: float) -> Verdict:
    """Raises `GuardFailed`."""
    try:
        verdict = await _within(guard.inspect(turns), seconds)
    except Exception as error:  # a guard may be a stranger's code, and a service elsewhere
        raise GuardFailed(repr(error)) from error
    if not isinstance(verdict, Verdict):
        raise GuardFailed(f"its verdict is {type(verdict).__name__}")
    return verdict


async def redact(guard: Redactor, texts: Sequence[str], seconds: float) -> tuple[Redacted, ...]:
    """Each of the texts without what the guard finds in it. Raises `GuardFailed`."""

    def work() -> tuple[Redacted, ...]:
        return tuple(map(guard.redact, texts))

    try:
        if sum(map(len, texts)) <= _LARGE:
            return work()
        return await _within(asyncio.to_thread(work), seconds)
    except Exception as error:  # as in `ask`
        raise GuardFailed(repr(error)) from error


async def _within(work: Awaitable[R], seconds: float) -> R:
    """Most guards answer without waiting for anything; only the others pay for a timer."""
    if type(work) is not CoroutineType:
        async with asyncio.timeout(seconds):
            return await work
    try:
        awaited = work.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    async with asyncio.timeout(seconds):
        return await _Rest(work, awaited)


class _Rest(Awaitable[R]):
    """What is left of a coroutine that waits for `awaited`."""

    def __init__(self, work: Coroutine[Any, Any, R], awaited: Any) -> None:
        self._work, self._awaited = work, awaited

    def __await__(self) -> Generator[Any, Any, R]:
        awaited = self._awaited
        try:
            while True:
                try:
                    sent = yield awaited
                except BaseException as raised:  # a cancel too: it is for the guard
                    awaited = self._work.throw(raised)
                else:
                    awaited = self._work.send(sent)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
