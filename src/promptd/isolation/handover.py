"""Items that cross from one thread to another, with a bound on how many wait between the two."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Left(Exception):
    """The consumer is gone; what a producer brings now is not looked at."""


class Handover(Generic[T]):
    """One producer in any thread or loop, and one consumer in the loop `home`.

    The consumer takes everything that is there at once, and is woken only while it waits: a fast producer costs far less
    than one wake-up per item. A producer that is `bound` ahead waits until the consumer took its items.
    """

    __slots__ = ("_bound", "_end", "_ended", "_held", "_home", "_items", "_left", "_lock", "_producer", "_waiter")

    def __init__(self, home: asyncio.AbstractEventLoop, bound: int = 64) -> None:
        self._home, self._bound = home, bound
        self._lock = threading.Lock()
        self._items: deque[T] = deque()
        self._held = 0
        self._waiter: asyncio.Future[None] | None = None
        self._producer: asyncio.Future[None] | None = None
        self._ended = self._left = False
        self._end: BaseException | None = None

    # ---------------------------------------------------------------- the producer's side

    def push(self, item: T, weight: int = 1) -> bool:
        """Add an item; whether the producer should wait (`room`). Raises `Left`."""
        with self._lock:
            if self._left or self._ended:
                raise Left
            self._items.append(item)
            self._held += weight
            waiter, self._waiter = self._waiter, None
            full = self._held >= self._bound
        self._wake(waiter)
        return full

    async def put(self, item: T, weight: int = 1) -> None:
        """Add an item and wait while too many are there. Raises `Left`."""
        if self.push(item, weight):
            await self.room()

    async def room(self) -> None:
        """Wait until the consumer took what is there. Raises `Left`."""
        with self._lock:
            if self._held < self._bound:
                return
            self._producer = producer = asyncio.get_running_loop().create_future()
        await producer
        if self._left:
            raise Left

    def finish(self, error: BaseException | None = None, last: Sequence[T] = ()) -> bool:
        """No more items come after `last`; the consumer gets `error` behind them. Only the first end counts.

        From any thread. Whether it was the first.
        """
        with self._lock:
            if self._ended or self._left:
                return False
            self._items.extend(last)
            self._ended, self._end = True, error
            waiter, self._waiter = self._waiter, None
            producer, self._producer = self._producer, None
        self._wake(waiter)
        _resume(producer)
        return True

    # ---------------------------------------------------------------- the consumer's side

    async def take(self) -> Sequence[T]:
        """Everything that is there, at least one item; nothing at the end. Raises the error that the end came with."""
        while True:
            with self._lock:
                if self._items:
                    items, self._items = self._items, deque()
                    self._held = 0
                    producer, self._producer = self._producer, None
                    break
                if self._ended:
                    if self._end is not None:
                        raise self._end
                    return ()
                self._waiter = waiter = self._home.create_future()
            await waiter
        _resume(producer)
        return items

    def leave(self) -> bool:
        """The consumer takes no more; whether the end had not come yet."""
        with self._lock:
            early, self._left = not self._ended, True
            self._items.clear()
            producer, self._producer = self._producer, None
        _resume(producer)
        return early

    @property
    def left(self) -> bool:
        return self._left

    def _wake(self, waiter: asyncio.Future[None] | None) -> None:
        if waiter is not None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits there any more
                self._home.call_soon_threadsafe(_done, waiter)


def _resume(producer: asyncio.Future[None] | None) -> None:
    if producer is not None:
        with suppress(RuntimeError):  # as above
            producer.get_loop().call_soon_threadsafe(_done, producer)


def _done(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
