"""Answers that come at once: a short way for callers who wait for all of an answer anyway."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Sequence

from promptd.core.model import Chunk
from promptd.core.short_ways import ShortWay


class WholeExchange:
    """What a client's `request` may return where an answer may be had without a look at its parts."""

    __slots__ = ()

    async def whole(self) -> bytes | None:
        """The body of a success, once, and nothing is left to be closed. None for whatever else comes, or may come: enter
        the context for that then. Raises as that does."""
        return None


class WholeAnswer(ShortWay):
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

    async def __anext__(self) -> Chunk:
        if self._ask is not None:
            self._chunks = iter(await self.whole())
        try:
            return next(self._chunks)
        except StopIteration:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        self._ask, self._chunks = None, iter(())
