"""The socket: large frames, slow readers, pings."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from promptd.core.lifecycle import Status
from promptd.faces.protocol import Protocol
from promptd.faces.websocket import WebSocketProtocol
from tests.faces.trustgraph.conftest import PATIENCE, ServeTrustGraph, TrustGraph, ended, script

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]


async def test_large_frames_are_taken_of_those_who_are_known(tg: TrustGraph) -> None:
    text = "word " * 2_000_000
    async with tg.socket(max_size=None) as line:
        await line.complete(script({"say": "taken"}) + text)  # no script any more: it is repeated
        assert len((await line.receive())["response"]["response"]) > 10_000_000


async def test_large_frames_of_strangers_end_the_connection(tg: TrustGraph) -> None:
    async with tg.socket(key=None) as line:
        await line.complete("x" * 100_000)
        with pytest.raises(ConnectionClosed) as closed:
            await line.receive()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1009


async def test_frames_with_very_many_values_are_refused(tg: TrustGraph) -> None:
    async with tg.socket() as line:
        await line.ask("1", "prompt", {"id": "x", "variables": {"a": [0] * 300_000}})
        told = await line.receive()
    assert (told["id"], told["error"]["type"]) == ("1", "gateway-error")


async def test_no_timer_of_http_ends_a_socket(tg: TrustGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("silent_seconds", "head_seconds", "body_seconds"):
        monkeypatch.setattr(Protocol, name, 0.1)
    async with tg.socket() as line:
        await line.complete(script({"wait": 0.5}, {"say": "still here"}))
        assert (await line.receive())["response"]["response"] == "still here"


async def test_pings_are_answered_while_calls_run(tg: TrustGraph) -> None:
    async with tg.socket() as line:
        await line.complete(script({"hang": True}))
        async with asyncio.timeout(PATIENCE):
            await (await line.connection.ping())


async def test_a_slow_reader_holds_its_calls_back_and_gets_everything(
    tg: TrustGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    piece = "x" * 50_000
    async with tg.socket(max_queue=1) as line:
        await line.complete(script({"say": piece * 200, "pieces": 200}), streaming=True)
        first = await line.receive()
        (connection,) = _connections(tg)
        full, pause = asyncio.Event(), connection.pause_writing

        def paused() -> None:
            pause()
            full.set()

        monkeypatch.setattr(connection, "pause_writing", paused)
        async with asyncio.timeout(PATIENCE):
            if connection.writable.is_set():
                await full.wait()
        assert connection.transport.get_write_buffer_size() < 200_000
        rest = await line.until_complete()
    assert sum(len(message["response"]["response"]) for message in [first, *rest]) == 200 * 50_000


async def test_a_reader_that_takes_nothing_is_dropped(trustgraph: ServeTrustGraph) -> None:
    async with trustgraph(listener={"ws_ping_interval": 0.1, "ws_ping_timeout": 0.3}) as tg:
        reader, writer = await asyncio.open_connection("127.0.0.1", tg.port, limit=1024)
        writer.write(
            f"GET /api/v1/socket?token={tg.http.key} HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        await reader.readuntil(b"\r\n\r\n")
        request = {"prompt": script({"say": "x" * 12_000_000, "pieces": 100}), "streaming": True}
        body = json.dumps({"id": "1", "service": "text-completion", "request": request}).encode()
        header = b"\x81\xff" + len(body).to_bytes(8) + b"\0\0\0\0"
        writer.write(header + body)
        (prompt,) = await ended(tg, 1)
        assert prompt.status is Status.CANCELED
        writer.transport.abort()


async def test_plain_http_to_the_socket_is_told_so(tg: TrustGraph) -> None:
    answer = await tg.http.get("/api/v1/socket")
    assert answer.status == 400
    assert answer.headers["content-type"].startswith("text/plain")


def _connections(tg: TrustGraph) -> list[Any]:
    return [one for one in tg.connections if isinstance(one, WebSocketProtocol)]
