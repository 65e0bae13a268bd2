"""The bytes behind the records of files: they go with the last record that refers to them, and never before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from msgspec import Struct

from promptd.core.errors import PromptdError
from promptd.core.files import Download, Upload
from promptd.core.filters import Filter, Query
from promptd.core.ports import Files, Records

R = TypeVar("R")
_KINDS: Final[tuple[type[Upload] | type[Download], ...]] = (Upload, Download)


class Contents:
    """The files store, shared by uploads and downloads.

    The same content is stored once. Between the moment it has its place and the moment a record names it, nobody may
    take it for garbage: so several may keep at once, but who throws away is alone.
    """

    def __init__(self, files: Files, records: Records) -> None:
        self._files, self._records = files, records
        #: what records of other kinds name: files of settings; the composition root says who knows
        self.named_besides: list[Callable[[], Awaitable[AbstractSet[str]]]] = []
        self._door = asyncio.Lock()
        self._keepers = 0
        self._nobody_keeps = asyncio.Event()
        self._nobody_keeps.set()

    async def keep(self, chunks: AsyncIterator[bytes], record: Callable[[str], Awaitable[R]]) -> R:
        """Store a stream and call `record` with its digest; where that fails, nothing stays.

        Raises what the stream, the store and `record` raise. A caller that is cancelled waits for `record`.
        """
        digest = ""
        try:
            async with AsyncExitStack() as stack:

                async def gated() -> AsyncIterator[bytes]:
                    async for chunk in chunks:
                        yield chunk
                    # only the end of the stream is guarded: a slow client must not hold up a deletion
                    await stack.enter_async_context(self._keeping())

                digest = await self._files.save(gated())
                return await unbroken(record(digest))
        except Exception:
            await self._discard(digest)
            raise

    async def keep_all(
        self,
        streams: Mapping[str, AsyncIterator[bytes]],
        record: Callable[[Mapping[str, tuple[str, int]]], Awaitable[R]],
    ) -> R:
        """Like `keep`, for several streams that belong to one record: it is told the digest and size of each.

        Nothing is deleted meanwhile, so they must not be slow ones.
        """
        saved: dict[str, tuple[str, int]] = {}
        try:
            async with self._keeping():
                for name, chunks in streams.items():
                    size = 0

                    async def counted(chunks: AsyncIterator[bytes] = chunks) -> AsyncIterator[bytes]:
                        nonlocal size
                        async for chunk in chunks:
                            size += len(chunk)
                            yield chunk

                    digest = await self._files.save(counted())
                    saved[name] = (digest, size)
                return await unbroken(record(saved))
        except Exception:
            for digest, _ in saved.values():
                await self._discard(digest)
            raise

    async def adopt(self, path: Path, digest: str, record: Callable[[str], Awaitable[R]]) -> R:
        """Like `keep`, for a finished local file with this digest."""
        adopted = ""
        try:
            async with self._keeping():
                adopted = await self._files.adopt(path, digest)
                return await unbroken(record(adopted))
        except Exception:
            await self._discard(adopted)
            raise

    async def _discard(self, digest: str) -> None:
        """Throw away what could not be recorded; an error on the way must not hide the first one."""
        if digest:
            with suppress(PromptdError):
                await self.release(digest)

    def open(self, digest: str) -> BinaryIO:
        """Raises `NotFound`."""
        return self._files.open(digest)

    def path(self, digest: str) -> Path:
        """Raises `NotFound`."""
        return self._files.path(digest)

    async def forget(self, kind: type[Struct], identifier: str, digest: str) -> bool:
        """Delete a record, and its bytes unless another record names them. Whether there was such a record."""
        async with self._alone():
            there = await self._records.delete(kind, identifier)
            if not await self._is_named(digest):
                await self._files.delete(digest)
            return there

    async def release(self, digest: str) -> None:
        """A record no longer names `digest`: throw the bytes away unless another one does."""
        async with self._alone():
            if not await self._is_named(digest):
                await self._files.delete(digest)

    async def sweep(self) -> int:
        """Throw away bytes that no record names: a process ended between storing the one and the other. How many."""
        async with self._alone():
            found = set(await self._files.digests())
            for kind in _KINDS if found else ():
                after: str | None = None
                while True:
                    page = await self._records.find(kind, Query(limit=1000, after=after))
                    found -= {record.digest for record in page.items if record.digest is not None}
                    after = page.after
                    if after is None:
                        break
            for besides in self.named_besides if found else ():
                found -= await besides()
            for digest in found:
                await self._files.delete(digest)
        return len(found)

    async def _is_named(self, digest: str) -> bool:
        query = Query(filters=(Filter("digest", "eq", digest),), limit=1)
        for kind in _KINDS:
            if (await self._records.find(kind, query)).items:
                return True
        for besides in self.named_besides:
            if digest in await besides():
                return True
        return False

    @asynccontextmanager
    async def _keeping(self) -> AsyncIterator[None]:
        async with self._door:
            self._keepers += 1
            self._nobody_keeps.clear()
        try:
            yield
        finally:
            self._keepers -= 1
            if not self._keepers:
                self._nobody_keeps.set()

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        async with self._door:
            await self._nobody_keeps.wait()
            yield


async def unbroken(work: Awaitable[R]) -> R:
    """Await `work` to its end even if the caller is cancelled: whether a record was stored must be known here."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        while not task.done():
            with suppress(asyncio.CancelledError):
                await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # nobody else will ask for it
        raise
