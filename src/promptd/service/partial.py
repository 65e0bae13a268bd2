"""A file that is being fetched: written in batches, in threads, and safe on disk up to a known byte."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from promptd.core.errors import StoreUnavailable

_BATCH: Final = 1024 * 1024  # bytes gathered for one hand-over to a thread
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def size_of(path: Path) -> int:
    """0 where there is no such file."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


class Part:
    """Its verbs are called one at a time. A cancelled verb ends in its thread all the same; the next one waits for it.

    Every verb raises `StoreUnavailable` where the disk is full or broken.
    """

    def __init__(self, path: Path, safe: int) -> None:
        """`safe` bytes of `path` are known to be good; what may be behind them is cut off."""
        self.path = path
        self.safe = safe  #: bytes that a power cut can't take
        self._size = safe
        self._batch: list[bytes] = []
        self._gathered = 0
        self._file = -1
        self._hash = hashlib.sha256()
        self._closing = False
        self._running: asyncio.Future[None] | None = None

    @property
    def received(self) -> int:
        return self._size + self._gathered

    @property
    def digest(self) -> str:
        """SHA-256 in hex of what was written, once a verb has opened the file and all is synced."""
        return self._hash.hexdigest()

    async def add(self, chunk: bytes) -> None:
        self._batch.append(chunk)
        self._gathered += len(chunk)
        if self._gathered >= _BATCH:
            await self._run(self._write)

    async def sync(self) -> None:
        """On return, all that was added is safe."""
        await self._run(self._sync)

    async def reset(self) -> None:
        """Begin anew."""
        self._batch, self._gathered = [], 0
        await self._run(self._reset)

    async def close(self) -> None:
        """Make safe what can be; raises nothing. Nothing can be done with the part behind it."""
        self._closing = True
        with suppress(StoreUnavailable):
            if self._file >= 0 or self._batch:
                await self._run(self._sync)
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    async def _run(self, work: Callable[[], None]) -> None:
        if self._running is not None:
            await asyncio.wait({self._running})
        self._running = asyncio.ensure_future(asyncio.to_thread(work))
        try:
            await asyncio.shield(self._running)
        except OSError as error:
            said = "the disk is full" if error.errno in _FULL else "the partial file can't be written"
            raise StoreUnavailable(said, detail=str(error)) from error

    # ------------------------------------------------------------ in threads

    def _open(self) -> int:
        if self._file < 0:
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            os.ftruncate(self._file, self._size)
            left = self._size
            while left and not self._closing:  # reading a large part takes long, and nobody waits for it any more
                block = os.read(self._file, min(left, _BATCH))
                if not block:
                    raise OSError(errno.EIO, "the partial file became shorter")
                self._hash.update(block)
                left -= len(block)
            os.lseek(self._file, 0, os.SEEK_END)
        return self._file

    def _write(self) -> None:
        batch, self._batch, self._gathered = self._batch, [], 0
        file = self._open()
        for chunk in batch:
            self._hash.update(chunk)
            rest = memoryview(chunk)
            while rest:  # a raw write may take less than it was given
                written = os.write(file, rest)
                rest = rest[written:]
                self._size += written

    def _sync(self) -> None:
        self._write()
        os.fsync(self._open())
        self.safe = self._size

    def _reset(self) -> None:
        os.ftruncate(self._open(), 0)
        os.lseek(self._open(), 0, os.SEEK_SET)
        self._size = self.safe = 0
        self._hash = hashlib.sha256()
