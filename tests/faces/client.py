"""A small HTTP/1.1 client on a bare socket, so that tests see what is on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import msgspec


class Response(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)


class Event(NamedTuple):
    """One block of a stream: an event, a `retry:` hint or a comment."""

    id: str = ""
    name: str = ""
    data: Any = None
    retry: int | None = None
    comment: bool = False


def parse(block: bytes) -> Event:
    if block.startswith(b":"):
        return Event(comment=True)
    fields = dict(line.split(": ", 1) for line in block.decode().split("\n"))
    if "retry" in fields:
        return Event(retry=int(fields["retry"]))
    return Event(fields["id"], fields["event"], msgspec.json.decode(fields["data"]))


def text_of(events: list[Event]) -> str:
    """What a reader holds that applies the events."""
    text = ""
    for event in events:
        if event.name == "progress":
            text += event.data["text"]
        elif event.name == "restart":
            text = ""
    return text


class Stream:
    """An open response, read block by block."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: Response) -> None:
        self.status, self.headers = head.status, head.headers
        self._reader, self._writer = reader, writer
        self._buffer = b""

    async def next(self) -> Event | None:
        """The next block, None at the end of the response."""
        while b"\n\n" not in self._buffer:
            piece = await read_chunk(self._reader)
            if piece is None:
                assert self._buffer == b""
                return None
            self._buffer += piece
        block, _, self._buffer = self._buffer.partition(b"\n\n")
        return parse(block)

    async def event(self) -> Event:
        """The next real event, hints and heartbeats skipped."""
        while True:
            found = await self.next()
            assert found is not None, "the stream ended"
            if found.name:
                return found

    async def events(self) -> list[Event]:
        """Every real event until the stream ends."""
        found = []
        while (event := await self.next()) is not None:
            if event.name:
                found.append(event)
        return found

    async def rest(self) -> bytes:
        """Every byte until the response ends."""
        rest, self._buffer = self._buffer, b""
        while (piece := await read_chunk(self._reader)) is not None:
            rest += piece
        return rest

    def leave(self) -> None:
        self._writer.transport.abort()


async def read_chunk(reader: asyncio.StreamReader) -> bytes | None:
    size = int(await reader.readline(), 16)
    data = await reader.readexactly(size)
    assert await reader.readline() == b"\r\n"
    return data if size else None


async def read_head(reader: asyncio.StreamReader) -> Response:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.strip().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return Response(int(first.split(" ")[1]), headers, b"")


class Http:
    """Calls to one server. `key` is sent unless a call says otherwise."""

    def __init__(self, port: int, key: str | None) -> None:
        self.port, self.key = port, key

    def of(self, key: str | None) -> Http:
        return Http(self.port, key)

    async def call(
        self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] = {}, raw: bytes | None = None
    ) -> Response:
        async with self._open(method, path, body, headers, raw) as (reader, _, head):
            if head.headers.get("transfer-encoding") == "chunked":
                parts = []
                while (piece := await read_chunk(reader)) is not None:
                    parts.append(piece)
                return head._replace(body=b"".join(parts))
            size = 0 if method == "HEAD" else int(head.headers.get("content-length", "0"))
            return head._replace(body=await reader.readexactly(size))

    async def get(self, path: str, **more: Any) -> Response:
        return await self.call("GET", path, **more)

    async def post(self, path: str, body: Any = None, **more: Any) -> Response:
        return await self.call("POST", path, body, **more)

    async def status(self, method: str, path: str, body: Any = None) -> int:
        """The status alone, for answers that don't end by themselves."""
        async with self._open(method, path, body, {}, None) as (_, _, head):
            return head.status

    async def submit(self, script: Any, **members: Any) -> Any:
        """Submit a scripted prompt; the receipt."""
        response = await self.post("/promptd/v1/prompts", {"prompt": as_script(script), **members})
        assert response.status == 202, response.body
        return response.json

    async def finished(self, script: Any, **members: Any) -> Any:
        """Submit a scripted prompt and wait; the final prompt."""
        response = await self.post("/promptd/v1/prompts?wait=20", {"prompt": as_script(script), **members})
        assert response.status == 200, response.body
        return response.json

    @asynccontextmanager
    async def stream(self, path: str, body: Any = None, *, headers: Mapping[str, str] = {}) -> AsyncIterator[Stream]:
        method = "GET" if body is None else "POST"
        given = headers if body is None else {"Accept": "text/event-stream", **headers}
        async with self._open(method, path, body, given, None) as (reader, writer, head):
            assert head.status == 200, head
            assert head.headers["content-type"].startswith("text/event-stream")
            yield Stream(reader, writer, head)

    async def read(self, path: str, *, last: str | None = None) -> list[Event]:
        """Every event of a stream behind event id `last`."""
        async with self.stream(path, headers={"Last-Event-ID": last} if last else {}) as stream:
            return await stream.events()

    @asynccontextmanager
    async def _open(
        self, method: str, path: str, body: Any, headers: Mapping[str, str], raw: bytes | None
    ) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, Response]]:
        data = raw if raw is not None else b"" if body is None else msgspec.json.encode(body)
        fields = {"Host": "localhost", "Connection": "close", **headers}
        if data or method == "POST":
            fields["Content-Length"] = str(len(data))
        if self.key is not None:
            fields.setdefault("Authorization", f"Bearer {self.key}")
        head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + data)
            yield reader, writer, await read_head(reader)
        finally:
            writer.close()


def as_script(script: Any) -> str:
    """Scripts go as JSON text, anything else as it is."""
    return script if isinstance(script, str) else msgspec.json.encode(script).decode()


def problem(response: Response, status: int, code: str, field: str | None = None) -> Any:
    """Check the shape of a refusal; its members."""
    assert response.status == status, response.body
    assert response.headers["content-type"] == "application/problem+json"
    told = response.json
    assert told["status"] == status
    assert told["code"] == code
    assert told["title"]
    assert told["detail"]
    assert told["type"] in ("about:blank", f"/promptd/v1/docs#error-{code}")
    assert told.get("field") == field
    assert ("expected" in told) == (field is not None)
    return told
