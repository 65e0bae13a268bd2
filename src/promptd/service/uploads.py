"""Uploads: files that callers send and engines make. Streamed to disk, never whole in memory."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import BinaryIO

from msgspec.structs import replace

from promptd.core.errors import Forbidden, NotFound, PayloadTooLarge
from promptd.core.files import Upload, make_upload_id, media_type_of, safe_name
from promptd.core.filters import Filter, Page, Query
from promptd.core.model import Caller
from promptd.core.ports import Records
from promptd.service.clock import Clock, Ids
from promptd.service.contents import Contents


class Uploads:
    """Whoever knows an upload's id may read it; its owner and admins may delete it."""

    def __init__(self, *, contents: Contents, records: Records, clock: Clock, ids: Ids) -> None:
        self._contents, self._records, self._clock, self._ids = contents, records, clock, ids

    async def save(
        self,
        user: str,
        name: str,
        media_type: str | None,
        chunks: AsyncIterator[bytes],
        max_bytes: int,
    ) -> Upload:
        """Store a stream. Without a media type, the name's extension says what it is.

        Raises `PayloadTooLarge`, `InvalidRequest` (media type), `StoreUnavailable`, and what the stream raises; then
        nothing is left of it.
        """
        plain = safe_name(name)
        kind = media_type_of(plain, media_type)
        size = 0

        async def bounded() -> AsyncIterator[bytes]:
            nonlocal size
            async for chunk in chunks:
                size += len(chunk)
                if size > max_bytes:
                    raise PayloadTooLarge(f"the file is larger than {max_bytes} bytes")
                yield chunk

        async def record(digest: str) -> Upload:
            now = self._clock()
            upload = Upload(
                id=make_upload_id(self._ids.secret()),
                name=plain,
                media_type=kind,
                size=size,
                digest=digest,
                user=user,
                created=now,
                updated=now,
            )
            await self._records.put(upload)
            return upload

        return await self._contents.keep(bounded(), record)

    async def get(self, identifier: str) -> Upload:
        """Raises `NotFound`."""
        upload = await self._records.get(Upload, identifier)
        if upload is None:
            raise NotFound(f"there is no file {identifier[:200]!r}")
        return upload

    async def open(self, identifier: str) -> tuple[Upload, BinaryIO]:
        """The record and its bytes, to be closed by the caller; a deletion does not disturb an open file.

        Raises `NotFound`, `StoreUnavailable`.
        """
        upload = await self.get(identifier)
        return upload, self._contents.open(upload.digest)

    async def read(self, identifier: str, max_bytes: int) -> bytes:
        """All the bytes. Raises `NotFound`, `PayloadTooLarge`, `StoreUnavailable`."""
        upload, file = await self.open(identifier)
        with file:
            size = os.fstat(file.fileno()).st_size
            if size > max_bytes:
                raise PayloadTooLarge(f"{upload.name} has {size} bytes; at most {max_bytes} can be read here")
            return await asyncio.to_thread(file.read)

    async def find(self, user: str | None, query: Query) -> Page[Upload]:
        """The uploads of a user, or everybody's with None. Raises `InvalidRequest`."""
        if user is not None:
            query = replace(query, filters=(*query.filters, Filter("user", "eq", user)))
        return await self._records.find(Upload, query)

    async def delete(self, caller: Caller, identifier: str) -> None:
        """The bytes go too, unless another upload or download has the same. Raises `NotFound`, `Forbidden`."""
        upload = await self.get(identifier)
        if not (caller.admin or caller.user == upload.user):
            raise Forbidden("only its owner or an admin may delete a file")
        if not await self._contents.forget(Upload, identifier, upload.digest):
            raise NotFound(f"there is no file {identifier[:200]!r}")
