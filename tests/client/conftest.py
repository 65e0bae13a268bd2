"""A server with templates, and clients of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from promptd.client import AsyncClient, Client
from tests.faces.conftest import Server, run_server
from tests.faces.mcp.conftest import save

SCHEMA = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
NUMBER = {"name": "number", "kind": "integer", "minimum": 1}


class Lab:
    """The server, and where it is."""

    def __init__(self, server: Server) -> None:
        self.server, self.http = server, server.http
        self.url, self.key = f"http://127.0.0.1:{server.port}", server.http.key or ""

    def client(self, **more: Any) -> AsyncClient:
        return AsyncClient(self.url, self.key, **more)

    def sync(self, **more: Any) -> Client:
        return Client(self.url, self.key, **more)

    async def save(self, name: str, source: str, **more: Any) -> None:
        await save(self.server.admin, name, {"messages": [{"role": "user", "source": source}], **more})


@pytest.fixture
async def lab(tmp_path: Path) -> AsyncIterator[Lab]:
    async with run_server(tmp_path) as server:
        made = Lab(server)
        await made.save("greet", '[{"say": "Hello {{ name }}!", "pieces": 2}]')
        await made.save(
            "count",
            '[{"say": "{\\"a\\": {{ number }}}"}]',
            inputs=[NUMBER],
            output={"kind": "json", "schema": SCHEMA, "repair": 0},
            label="production",
        )
        yield made


class Told:
    """A server that says what it was told to, one answer per connection, and keeps what it was asked."""

    def __init__(self, answers: list[bytes]) -> None:
        self._answers, self.asked = answers, list[bytes]()
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        size = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
        self.asked.append(head + await reader.readexactly(size))
        if self._answers:
            writer.write(self._answers.pop(0))
            await writer.drain()
        writer.close()


def answer(status: int, body: bytes, **headers: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{lines}\r\n".encode() + body


@asynccontextmanager
async def telling(*answers: bytes) -> AsyncIterator[Told]:
    told = Told(list(answers))
    server = await asyncio.start_server(told.serve, "127.0.0.1", 0)
    told.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server:
        yield told
