"""A web server with files, on 127.0.0.1: it honours ranges, cuts lines, changes files and stalls as each test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import NamedTuple

from promptd.testing.sockets import Reader, Writer, head_of, serve


class Asked(NamedTuple):
    path: str
    headers: dict[str, str]

    @property
    def range(self) -> str | None:
        return self.headers.get("range")


class Page:
    """What the server says to one path. `cuts` are consumed: after so many bytes of the body the line breaks."""

    def __init__(self, content: bytes = b"", *, status: int = 200, etag: str = '"v1"', **headers: str) -> None:
        self.content, self.status, self.etag, self.headers = content, status, etag, headers
        self.ranges = True
        self.honours_if_range = True
        self.sized = True
        self.cuts: list[int] = []
        self.statuses: list[int] = []  #: of the next answers, before `status`
        self.stall_after: int | None = None  #: bytes, after which it waits for `go_on`
        self.stalled = asyncio.Event()
        self.go_on = asyncio.Event()


class Origin:
    """The pages by path, and what was asked."""

    def __init__(self, url: str = "") -> None:
        self.url = url
        self.pages: dict[str, Page] = {}
        self.asked: list[Asked] = []
        self.open = 0  #: answers under way
        self.most_open = 0

    def put(self, path: str, content: bytes = b"", **more: object) -> Page:
        page = self.pages[path] = Page(content, **more)  # type: ignore[arg-type]
        return page

    def at(self, path: str) -> str:
        return self.url + path

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        while True:
            first, *lines = (await head_of(reader)).decode().strip().split("\r\n")
            headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
            asked = Asked(first.split(" ")[1], headers)
            self.asked.append(asked)
            self.open += 1
            self.most_open = max(self.open, self.most_open)
            try:
                whole = await self._answer(self.pages.get(asked.path, Page(status=404)), asked, writer)
            finally:
                self.open -= 1
            if not whole:
                return

    async def _answer(self, page: Page, asked: Asked, writer: Writer) -> bool:
        status = page.statuses.pop(0) if page.statuses else page.status
        body, headers = page.content, {name.replace("_", "-"): value for name, value in page.headers.items()}
        if page.etag:
            headers["etag"] = page.etag
        given = asked.headers.get("if-range")
        fits = given in (None, page.etag, page.headers.get("last_modified")) or not page.honours_if_range
        if status == 200 and asked.range and page.ranges and fits:
            start = int(asked.range.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                status, body, headers["content-range"] = 416, b"", f"bytes */{len(body)}"
            else:
                headers["content-range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
                status, body = 206, body[start:]
        if page.sized:
            headers["content-length"] = str(len(body))
        else:
            headers["connection"] = "close"
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        writer.write(f"HTTP/1.1 {status} X\r\n{head}\r\n".encode())
        if (held := page.stall_after) is not None:
            writer.write(body[:held])
            await writer.drain()
            page.stalled.set()
            await page.go_on.wait()
            body = body[held:]
        cut = page.cuts.pop(0) if page.cuts else None
        writer.write(body if cut is None else body[:cut])
        await writer.drain()
        return cut is None and page.sized


@asynccontextmanager
async def origin() -> AsyncIterator[Origin]:
    found = Origin()
    async with serve(found) as url:
        found.url = url
        try:
            yield found
        finally:
            for page in found.pages.values():
                page.go_on.set()
