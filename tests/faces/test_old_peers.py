"""Peers that speak HTTP/1.0, which knows no chunks: a body of unknown length ends with its connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from promptd.faces.asgi import WRITE
from promptd.faces.protocol import Protocol
from tests.faces.conftest import _Uvicorn

PIECES = [b"data: one\n\n", b"data: two\n\n", b"data: three\n\n"]


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    if scope["path"] == "/sized":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"si", "more_body": True})
        await send({"type": "http.response.body", "body": b"ze"})
        return
    first, second, third = PIECES
    if scope["path"] != "/at-once" or not scope["extensions"][WRITE](first, "x-one: a\r\n"):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-one", b"a")]})
        await send({"type": "http.response.body", "body": first, "more_body": True})
    assert not scope["extensions"][WRITE](second, "x-two: b\r\n")  # it has begun
    assert not scope["extensions"][WRITE](b"")  # which would be the end
    if not scope["extensions"][WRITE](second):
        await send({"type": "http.response.body", "body": second, "more_body": True})
    await send({"type": "http.response.body", "body": third, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


@pytest.fixture
async def port() -> AsyncIterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    quiet: dict[str, Any] = {"log_config": None, "access_log": False, "server_header": False, "date_header": False}
    config = uvicorn.Config(app, http=Protocol, ws="none", lifespan="off", **quiet)
    server = _Uvicorn(config)
    task = asyncio.create_task(server.serve([listener]))
    yield listener.getsockname()[1]
    server.should_exit = True
    await task


async def answer(port: int, request: str) -> tuple[bytes, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"{request}\r\nhost: x\r\n\r\n".encode())
        async with asyncio.timeout(10):
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            if b"connection: close" not in head:
                return head, await reader.readuntil(b"0\r\n\r\n")
            return head, await reader.read()
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.parametrize("path", ["/", "/at-once"])
async def test_a_stream_has_no_chunks_and_ends_with_its_connection(port: int, path: str) -> None:
    head, body = await answer(port, f"GET {path} HTTP/1.0\r\nconnection: keep-alive")
    assert b"transfer-encoding" not in head
    assert body == b"".join(PIECES)


async def test_a_body_that_tells_its_length_is_as_long(port: int) -> None:
    head, body = await answer(port, "GET /sized HTTP/1.0")
    assert b"content-length: 4" in head
    assert body == b"size"


@pytest.mark.parametrize("path", ["/", "/at-once"])
async def test_who_speaks_the_present_version_gets_chunks(port: int, path: str) -> None:
    head, body = await answer(port, f"GET {path} HTTP/1.1")
    assert head.startswith(b"http/1.1 200 ok\r\n")
    assert sorted(head.split(b"\r\n")[1:-2]) == [b"transfer-encoding: chunked", b"x-one: a"]
    assert body.count(b"\r\n") == 8


async def test_a_beginning_at_once_says_when_it_is_the_last(port: int) -> None:
    head, body = await answer(port, "GET /at-once HTTP/1.1\r\nconnection: close")
    assert sorted(head.split(b"\r\n")[1:-2]) == [b"connection: close", b"transfer-encoding: chunked", b"x-one: a"]
    assert body.endswith(b"0\r\n\r\n")
