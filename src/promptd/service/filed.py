"""Uploads that were made for a purpose and may have an end."""

from __future__ import annotations

from contextlib import suppress
from typing import BinaryIO, Final

from msgspec.structs import replace

from promptd.core.errors import InvalidRequest, NotFound
from promptd.core.files import Upload
from promptd.core.filters import Filter, Order, Query
from promptd.core.model import Caller
from promptd.core.ports import Records
from promptd.service.clock import Clock
from promptd.service.contents import Contents, unbroken
from promptd.service.uploads import Uploads

_PAGE: Final = 1000


class Filed:
    """What has ended is not found any more; `sweep` throws it away."""

    def __init__(self, *, uploads: Uploads, contents: Contents, records: Records, clock: Clock) -> None:
        self._uploads, self._contents, self._records, self._clock = uploads, contents, records, clock

    async def label(self, upload: Upload, purpose: str, keep_seconds: float | None) -> Upload:
        """Say what an upload is for, and how long it stays."""
        expires = upload.created + keep_seconds if keep_seconds is not None else None
        labelled = replace(upload, purpose=purpose, expires=expires, updated=self._clock(), version=upload.version + 1)
        await unbroken(self._records.put(labelled))
        return labelled

    async def get(self, identifier: str) -> Upload:
        """Raises `NotFound`."""
        upload = await self._uploads.get(identifier)
        if upload.expires is not None and upload.expires <= self._clock():
            raise NotFound(f"there is no file {identifier[:200]!r}")
        return upload

    async def of(self, caller: Caller, identifier: str) -> Upload:
        """A file of the caller's own; admins see all. Raises `NotFound`."""
        upload = await self.get(identifier)
        if upload.user != caller.user and not caller.admin:
            raise NotFound(f"there is no file {identifier[:200]!r}")
        return upload

    async def open(self, identifier: str) -> tuple[Upload, BinaryIO]:
        """The record and its bytes, to be closed by the caller. Raises `NotFound`, `StoreUnavailable`."""
        upload = await self.get(identifier)
        return upload, self._contents.open(upload.digest)

    async def delete(self, caller: Caller, identifier: str) -> None:
        """Raises `NotFound`."""
        await self.of(caller, identifier)
        await self._uploads.delete(caller, identifier)

    async def find(
        self, user: str, *, purpose: str | None, after: str | None, limit: int, descending: bool = True
    ) -> tuple[tuple[Upload, ...], bool]:
        """A user's uploads by age, those behind `after`; and whether there are more. Raises `InvalidRequest`."""
        filters = [Filter("user", "eq", user)]
        if purpose is not None:
            filters.append(Filter("purpose", "eq", purpose))
        mark: Upload | None = None
        if after is not None:
            mark = await self._records.get(Upload, after)
            if mark is None or mark.user != user:
                raise InvalidRequest(field="after", expected="the id of one of your files")
            filters.append(Filter("created", "lte" if descending else "gte", mark.created))
        order = (Order("created", descending), Order("id", descending))
        now, found, cursor = self._clock(), list[Upload](), None
        while len(found) <= limit:
            page = await self._records.find(
                Upload, Query(filters=tuple(filters), order=order, limit=_PAGE, after=cursor)
            )
            for upload in page.items:
                if mark is not None and not _behind(upload, mark, descending=descending):
                    continue
                if upload.expires is None or upload.expires > now:
                    found.append(upload)
            cursor = page.after
            if cursor is None:
                break
        return tuple(found[:limit]), len(found) > limit

    async def sweep(self) -> int:
        """Throw away what has ended; how many."""
        gone = 0
        cursor: str | None = None
        ended: list[Upload] = []
        while True:
            page = await self._records.find(Upload, Query(limit=_PAGE, after=cursor))
            now = self._clock()
            ended += [upload for upload in page.items if upload.expires is not None and upload.expires <= now]
            cursor = page.after
            if cursor is None:
                break
        for upload in ended:
            with suppress(NotFound):
                await self._uploads.delete(Caller(upload.user), upload.id)
                gone += 1
        return gone


def _behind(upload: Upload, mark: Upload, *, descending: bool) -> bool:
    one, other = (upload.created, upload.id), (mark.created, mark.id)
    return one < other if descending else one > other
