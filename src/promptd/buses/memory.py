"""The bus of one process: one append-only log per running prompt and a cursor per reader.

A reader that falls behind gets everything since its cursor in one batch; nothing is dropped and nobody is slowed. A log
exists while somebody publishes to it or follows it; what is finished is replayed from the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from promptd.core.chunks import Position
from promptd.core.model import Chunk


class _Log:
    """The chunks of the current attempt, a change counter, and who waits for the next change."""

    __slots__ = ("attempt", "chunks", "closed", "followers", "waiter", "wakes")

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.attempt = 0
        self.closed = False
        self.followers = 0
        self.wakes = 0
        self.waiter: asyncio.Future[None] | None = None

    def notify(self) -> None:
        waiter, self.waiter = self.waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def changed(self) -> asyncio.Future[None]:
        """One future for all readers, so that a chunk costs one wake-up list, not one event each."""
        if self.waiter is None or self.waiter.done():
            self.waiter = asyncio.get_running_loop().create_future()
        return self.waiter


class MemoryBus:
    """Port `Bus`."""

    def __init__(self) -> None:
        self._logs: dict[str, _Log] = {}

    def publish(self, topic: str, chunk: Chunk) -> None:
        log = self._logs.get(topic)
        if log is None:
            if chunk.kind in ("done", "error"):
                return  # nobody follows, and the store has it
            log = self._logs[topic] = _Log()
        if chunk.attempt < log.attempt and chunk.kind != "error":
            return  # a run that was replaced has not noticed yet
        if chunk.kind == "restart" and not log.followers:
            self._logs.pop(topic, None)  # nobody holds text that would have to be voided
            return
        if chunk.attempt > log.attempt or chunk.kind == "restart":
            # readers hold the old list until they have seen the restart; the new attempt begins a new one
            log.chunks = []
            log.attempt = chunk.attempt
        log.chunks.append(chunk)
        if chunk.kind in ("done", "error"):
            log.closed = True
            del self._logs[topic]
        log.notify()

    def wake(self, topic: str) -> None:
        log = self._logs.get(topic)
        if log is not None:
            log.wakes += 1
            log.notify()

    @property
    def topics(self) -> int:
        """How many logs are held now."""
        return len(self._logs)

    @asynccontextmanager
    async def follow(self, topic: str, after: Position) -> AsyncIterator[AsyncIterator[Sequence[Chunk]]]:
        log = self._logs.get(topic)
        if log is None:
            log = self._logs[topic] = _Log()
        log.followers += 1
        try:
            yield _read(log, after, log.wakes)
        finally:
            log.followers -= 1
            if not log.followers and not log.chunks and self._logs.get(topic) is log:
                del self._logs[topic]


async def _read(log: _Log, after: Position, wakes: int) -> AsyncIterator[Sequence[Chunk]]:
    """Batches behind `after`. An older attempt's position gets a restart and all of the current attempt."""
    attempt, n = after
    while True:
        if log.closed and log.attempt < attempt:
            yield log.chunks[-1:]  # it ended before the attempt that this reader was told of began
            return
        batch: list[Chunk] = []
        if log.attempt > attempt:
            restarts = bool(log.chunks) and log.chunks[0].kind == "restart"
            if attempt and not restarts:
                batch.append(Chunk("restart", attempt=log.attempt))
            n = -1 if attempt and restarts else 0
            attempt = log.attempt
        chunks = log.chunks if log.attempt == attempt else []
        if chunks and chunks[-1].n > n:
            # n grows by one per chunk, so the first new one is found by arithmetic
            batch.extend(chunks[max(0, n - chunks[0].n + 1) :])
            n = chunks[-1].n
        if batch:
            yield batch
        elif log.closed:
            return
        elif log.wakes != wakes:
            wakes = log.wakes
            yield ()
        else:
            await asyncio.shield(log.changed())
