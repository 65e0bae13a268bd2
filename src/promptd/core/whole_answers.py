"""Answers that come at once: a short way for callers who wait for all of an answer anyway."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from types import TracebackType
from typing import Any, Self

from promptd.core.model import Chunk


class WholeAnswer(AsyncGenerator[Chunk, None]):
    """What an engine's `run` may return where its chunks come all at once, the `done` last.

    Who waits for all of them awaits `whole()`, once, and pays for no generator; for everybody else it is one.
    """

    __slots__ = ("_ask", "_chunks")

    def __init__(self, ask: Callable[[], Awaitable[Sequence[Chunk]]]) -> None:
        """`ask` is called when the first chunk is wanted. Cancelling what it returns must close what it has opened."""
        self._ask: Callable[[], Awaitable[Sequence[Chunk]]] | None = ask
        self._chunks: Iterator[Chunk] = iter(())

    def whole(self) -> Awaitable[Sequence[Chunk]]:
        """Every chunk. Raises whatever the engine raises, and `RuntimeError` where somebody asked before."""
        ask, self._ask = self._ask, None
        if ask is None:
            raise RuntimeError("these chunks were asked for before")
        return ask()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Chunk:
        if self._ask is not None:
            self._chunks = iter(await self.whole())
        try:
            return next(self._chunks)
        except StopIteration:
            raise StopAsyncIteration from None

    async def asend(self, value: Any) -> Chunk:
        return await self.__anext__()

    async def athrow(
        self,
        kind: type[BaseException] | BaseException,
        value: object = None,
        trace: TracebackType | None = None,
        /,
    ) -> Chunk:
        await self.aclose()
        raise kind

    async def aclose(self) -> None:
        self._ask, self._chunks = None, iter(())
