"""Peers that ask for something large and never read it."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from typing import Any

import pytest
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from promptd.faces import Front
from promptd.faces.asgi import REPLY, STUCK
from promptd.faces.protocol import Protocol
from promptd.faces.traced import Traced
from promptd.service.tracing import Tracing
from tests.faces.conftest import _Uvicorn

LARGE = b"x" * 32 * 1024 * 1024  # more than the kernel takes for a peer


async def at_once(scope: Scope, receive: Receive, send: Send) -> None:
    assert scope["extensions"][REPLY](200, "", LARGE)


async def written(scope: Scope, receive: Receive, send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(LARGE))]})
    await send({"type": "http.response.body", "body": LARGE, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("app", [at_once, written])
@pytest.mark.parametrize("end", ["", "connection: close"])
async def test_who_takes_nothing_of_an_answer_is_dropped_and_who_is_slow_gets_it(app: ASGIApp, end: str) -> None:
    lost: asyncio.Queue[bool] = asyncio.Queue()

    class Watched(Protocol):
        stuck_seconds = 0.3

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            lost.put_nowait(exc is None)

    listener = socket.create_server(("127.0.0.1", 0))
    settings: dict[str, Any] = {"ws": "none", "lifespan": "off", "log_config": None, "access_log": False}
    server = _Uvicorn(uvicorn.Config(app, http=Watched, timeout_keep_alive=0, **settings))
    task = asyncio.create_task(server.serve([listener]))
    request = f"GET / HTTP/1.1\r\nhost: x\r\n{end or 'a: b'}\r\n\r\n".encode()
    port = listener.getsockname()[1]
    try:
        async with asyncio.timeout(20):
            _, stuck = await asyncio.open_connection("127.0.0.1", port, limit=1024)
            stuck.write(request)
            await lost.get()
            stuck.transport.abort()
            reader, slow = await asyncio.open_connection("127.0.0.1", port)
            slow.write(request)
            await reader.readuntil(b"\r\n\r\n")
            assert await reader.readexactly(len(LARGE)) == LARGE
            slow.close()
            await lost.get()
    finally:
        server.should_exit = True
        await task


async def test_apps_around_another_keep_its_bound() -> None:
    front = Front([], stuck_seconds=7.0)
    assert getattr(Traced(front, Tracing(clock=time.time, entropy=os.urandom)), STUCK) == 7.0
