"""Connections for reads that leave the loop: a few, each used by one thread at a time."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue
from typing import TypeVar

from promptd.core.errors import StoreUnavailable

T = TypeVar("T")


class Readers:
    """`count` threads with a connection each. More reads than that wait for each other, and for nobody else."""

    def __init__(self, path: str, count: int, name: str) -> None:
        self._all = [reader(path) for _ in range(count)]
        self._idle: SimpleQueue[sqlite3.Connection] = SimpleQueue()
        for db in self._all:
            self._idle.put(db)
        self._threads = ThreadPoolExecutor(count, thread_name_prefix=name)
        self._closed = False

    async def run(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """Raises `StoreUnavailable` once closed, and whatever `read` raises."""
        if self._closed:
            raise StoreUnavailable("the store is closed")
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._read, read)

    def _read(self, read: Callable[[sqlite3.Connection], T]) -> T:
        db = self._idle.get_nowait()  # there are as many as threads
        try:
            if self._closed:
                raise StoreUnavailable("the store is closed")
            return read(db)
        finally:
            self._idle.put(db)

    def close(self) -> None:
        """Interrupt what runs, refuse what waits. Closing twice is fine."""
        if self._closed:
            return
        self._closed = True
        for db in self._all:
            db.interrupt()
        self._threads.shutdown()
        for db in self._all:
            db.close()


def reader(path: str) -> sqlite3.Connection:
    """A connection that can't write; any thread may use it."""
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    db.execute("pragma query_only = on")
    return db
