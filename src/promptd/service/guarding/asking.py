"""A guard's opinion within its time. A guard that fails has none, and then nothing is let through."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Generator, Mapping, Sequence
from types import CoroutineType
from typing import Any, Final, TypeVar

from promptd.core.content import Turn
from promptd.core.guarding import ALLOWED, Redacted, Redactor
from promptd.core.model import Verdict
from promptd.core.ports import Guard

R = TypeVar("R")
_LARGE: Final = 32_768  # characters; more of them are looked through in a thread


_MOST_NAMES: Final = 1_000  #: of categories; all of them are stored and logged …
_LONGEST_NAME: Final = 1_000  #: … in full


class GuardFailed(Exception):
    """The guard raised something or took too long; `__cause__` says what."""


async def ask(guard: Guard, turns: Sequence[Turn], seconds: float) -> Verdict:
    """Raises `GuardFailed`."""
    begun = begin(guard, turns)
    return begun if isinstance(begun, Verdict) else await wait(begun, seconds)


def begin(
    guard: Guard, turns: Sequence[Turn], at_once: Callable[[Sequence[Turn]], Verdict | None] | None = None
) -> Verdict | Awaitable[Any]:
    """The opinion of a guard that waits for nothing, as most; else what is to be handed to `wait`.

    `at_once` is the guard's own, where it has that. Raises `GuardFailed`.
    """
    try:
        if at_once is not None:
            verdict = at_once(turns)
            if verdict is ALLOWED:  # of most texts
                return ALLOWED
            if verdict is not None:
                return _verdict(verdict)
        work = guard.inspect(turns)
        return _Rest(work, work.send(None)) if type(work) is CoroutineType else work
    except StopIteration as end:
        return _verdict(end.value)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a guard may be a stranger's code, and even ask us to exit
        raise GuardFailed(repr(error)) from error


async def wait(begun: Awaitable[Any], seconds: float) -> Verdict:
    """Raises `GuardFailed`, also where it takes longer."""
    try:
        async with asyncio.timeout(seconds):
            verdict = await begun
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # as in `begin`
        if isinstance(error, asyncio.CancelledError) and (task := asyncio.current_task()) and task.cancelling():
            raise  # it is not the guard's
        raise GuardFailed(repr(error)) from error
    return _verdict(verdict)


def _verdict(said: Any) -> Verdict:
    """Raises `GuardFailed` for what is no verdict, or has something in it that is none."""
    if not isinstance(said, Verdict):
        raise GuardFailed(f"its verdict is {type(said).__name__}")
    if type(said.allowed) is not bool or type(said.reason) is not str or not _is_score(said.score):
        raise GuardFailed("its verdict is made of something else")
    if said.categories and not _are_scores(said.categories):
        raise GuardFailed("its categories are something else")
    return said


def _is_score(value: Any) -> bool:
    return type(value) in (float, int) and 0 <= value <= 1  # what is not a number is neither


def _are_scores(value: Any) -> bool:
    return (
        type(value) is dict
        and len(value) <= _MOST_NAMES
        and all(_is_name(name) and _is_score(score) for name, score in value.items())
    )


def _is_name(value: Any) -> bool:
    return type(value) is str and len(value) <= _LONGEST_NAME


async def redact(guard: Redactor, texts: Sequence[str], seconds: float) -> tuple[Redacted, ...]:
    """Each of the texts without what the guard finds in it. Raises `GuardFailed`."""

    def work() -> tuple[Redacted, ...]:
        return tuple([redacted(guard, text) for text in texts])

    if sum(map(len, texts)) <= _LARGE:
        return work()
    try:
        async with asyncio.timeout(seconds):
            return await asyncio.to_thread(work)
    except TimeoutError as error:
        raise GuardFailed(repr(error)) from error


def redacted(guard: Redactor, text: str) -> Redacted:
    """One text without what the guard finds in it. Raises `GuardFailed`."""
    try:
        found = guard.redact(text)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # as in `begin`
        raise GuardFailed(repr(error)) from error
    if not isinstance(found, Redacted) or type(found.text) is not str or not _are_counts(found.found):
        raise GuardFailed("what it redacted is no text, or its findings are no numbers")
    return found


def _are_counts(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) <= _MOST_NAMES
        and all(_is_name(name) and type(count) is int and count > 0 for name, count in value.items())
    )


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
