"""Streams whose bytes go on as they came: a short way from the one who reads them to the one who writes them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Protocol

from promptd.core.model import Chunk
from promptd.core.short_ways import ShortWay

Take = Callable[[bytes], bool]
"""Takes what has come, without waiting; False: no more for now."""


class Sink(Protocol):
    """Where the pieces of a stream go."""

    def at_once(self, raw: bytes) -> bool:
        """Take a piece without waiting. False: it was not taken, and has to be given to `write`."""

    async def write(self, raw: bytes) -> None:
        """Take a piece, and return when there is room for more: this is the backpressure."""


class CountingSink(Sink, Protocol):
    """Learns at the end how many events there were: who makes the pieces knows it for nothing."""

    def end(self, events: int) -> None:
        """No more pieces come."""


class Pouring(AsyncIterator[bytes]):
    """Bytes that may be had in the very turn of the loop in which they come, without waking a task for each packet."""

    __slots__ = ()

    @abstractmethod
    def pour(self, take: Take) -> Awaitable[bool]:
        """To be awaited: give every packet to `take` until that returns False: True then, and False where nothing more comes.

        Raises what iterating raises, and what `take` raises.
        """


def pour(packets: AsyncIterator[bytes], take: Take) -> Awaitable[bool]:
    """As `Pouring.pour`, whatever kind of iterator it is."""
    return packets.pour(take) if isinstance(packets, Pouring) else _poured(packets, take)


async def _poured(packets: AsyncIterator[bytes], take: Take) -> bool:
    async for packet in packets:
        if not take(packet):
            return True
    return False


class PassingStream(ShortWay):
    """What an engine's `run` may return where the bytes of its service are those of the client.

    Who only hands them on asks to `pour` them and pays for no chunk; for everybody else it is a generator.
    """

    __slots__ = ("_chunks", "_start")

    def __init__(self, start: Callable[[CountingSink | None], AsyncGenerator[Chunk, None]]) -> None:
        """`start` is called once. With a sink its `raw` pieces go there, without one they come as chunks."""
        self._start: Callable[[CountingSink | None], AsyncGenerator[Chunk, None]] | None = start
        self._chunks: AsyncGenerator[Chunk, None] | None = None

    def pour(self, sink: CountingSink) -> AsyncGenerator[Chunk, None]:
        """The chunks that have no `raw` bytes, such as the `done`; the others go to `sink`.

        Raises `RuntimeError` where somebody asked before.
        """
        return self._started(sink)

    def _started(self, sink: CountingSink | None) -> AsyncGenerator[Chunk, None]:
        start, self._start = self._start, None
        if start is None:
            raise RuntimeError("these chunks were asked for before")
        self._chunks = start(sink)
        return self._chunks

    async def __anext__(self) -> Chunk:
        if self._chunks is None and self._start is None:
            raise StopAsyncIteration  # it was closed before it began
        return await anext(self._chunks or self._started(None))

    async def aclose(self) -> None:
        self._start = None
        if self._chunks is not None:
            await self._chunks.aclose()
