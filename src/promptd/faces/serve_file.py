"""A stored file as a response: whole or one range of it, piece by piece, always as an attachment."""

from __future__ import annotations

import asyncio
import os
import re
from typing import BinaryIO, Final
from urllib.parse import quote

from msgspec import Struct
from starlette.types import Receive, Scope, Send

from promptd.core.files import media_type_of
from promptd.faces.asgi import ABORT, Headers, send_body

_PIECE: Final = 256 * 1024
_RANGE: Final = re.compile(r"bytes=(\d{0,19})-(\d{0,19})", re.ASCII)
_PLAIN: Final = re.compile(r'[^\x20-\x7e]|["\\%]')


class Sending(Struct):
    """An ASGI app that sends `file` once and closes it. A client that takes nothing for `patience` seconds is cut off.

    Without a `media_type` the extension of `name` says what it is.
    """

    file: BinaryIO
    name: str
    digest: str  #: makes the entity tag
    patience: float
    media_type: str | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self.file as file:
            size = os.fstat(file.fileno()).st_size
            given = {name: value.decode("latin-1") for name, value in scope["headers"]}
            etag = f'"{self.digest}"'
            asked = given.get(b"range", "") if given.get(b"if-range", etag) == etag else ""
            span = span_of(asked, size)
            headers = self._headers(etag)
            if span is None:
                await send_body(send, 416, [*headers, (b"content-range", b"bytes */%d" % size)], b"")
                return
            start, end, partial = span
            if partial:
                headers.append((b"content-range", b"bytes %d-%d/%d" % (start, end - 1, size)))
            headers.append((b"content-length", b"%d" % (end - start)))
            await send({"type": "http.response.start", "status": 206 if partial else 200, "headers": headers})
            if scope["method"] == "HEAD" or start == end:
                await send({"type": "http.response.body"})
                return
            leaving = asyncio.ensure_future(_gone(receive))
            try:
                await self._send(scope, send, start, end, leaving)
            finally:
                leaving.cancel()

    async def _send(self, scope: Scope, send: Send, start: int, end: int, leaving: asyncio.Future[None]) -> None:
        await asyncio.to_thread(self.file.seek, start)
        while start < end and not leaving.done():
            piece = await asyncio.to_thread(self.file.read, min(_PIECE, end - start))
            if not piece:  # the disk gave less than it promised: a whole response would be a lie
                _cut(scope)
                return
            start += len(piece)
            try:
                async with asyncio.timeout(self.patience):
                    await send({"type": "http.response.body", "body": piece, "more_body": start < end})
            except TimeoutError:
                _cut(scope)
                return

    def _headers(self, etag: str) -> Headers:
        plain, full = _PLAIN.sub("_", self.name), quote(self.name, safe="")
        disposition = f'attachment; filename="{plain}"'
        if plain != self.name:
            disposition += f"; filename*=UTF-8''{full}"
        kind = self.media_type or media_type_of(self.name)
        return [
            (b"content-type", (f"{kind}; charset=utf-8" if kind.startswith("text/") else kind).encode()),
            (b"content-disposition", disposition.encode()),
            (b"accept-ranges", b"bytes"),
            (b"etag", etag.encode()),
            # what a caller uploaded must never run as a page of this server
            (b"x-content-type-options", b"nosniff"),
            (b"content-security-policy", b"default-src 'none'; sandbox"),
        ]


def span_of(asked: str, size: int) -> tuple[int, int, bool] | None:
    """What a `Range` header asks of `size` bytes: start, end (excluded), and whether it is a range at all.

    Anything but one range of bytes means the whole file, as HTTP has it; None is a range that is not there.
    """
    whole = (0, size, False)
    match = _RANGE.fullmatch(asked)
    if match is None or not (match[1] or match[2]):
        return whole
    if not match[1]:
        start, end = max(0, size - int(match[2])), size
    else:
        start, end = int(match[1]), min(int(match[2]) + 1 if match[2] else size, size)
        if match[2] and int(match[2]) < int(match[1]):
            return whole
    return (start, end, True) if start < end else None


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _cut(scope: Scope) -> None:
    abort = scope.get("extensions", {}).get(ABORT)
    if abort is not None:
        abort()
