"""Whatever bytes come in whatever pieces: who remembers heads answers as who remembers none."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send

from promptd.faces import Front, Mount
from promptd.faces.asgi import REPLY, read_body
from promptd.faces.protocol import Protocol

_STREAMS = 60
_LAST = b"POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 4\r\n\r\nlast"


class Remembering(Protocol):
    parsed = 0

    def on_message_begin(self) -> None:
        type(self).parsed += 1
        super().on_message_begin()


class Forgetful(Protocol):
    parsed = 0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._heads_left = 0

    def on_message_begin(self) -> None:
        type(self).parsed += 1
        super().on_message_begin()


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body = await read_body(scope, receive, 1 << 20)
    if scope["query_string"] == b"late":
        await asyncio.sleep(0)
    said = repr((scope["method"], scope["path"], scope["query_string"], list(scope["headers"]), body)).encode()
    assert scope["extensions"][REPLY](200, "", said)


class _Uvicorn(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@asynccontextmanager
async def _serving(http: type[Protocol]) -> AsyncIterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    settings: dict[str, Any] = {"ws": "none", "lifespan": "off", "log_config": None, "date_header": False}
    front = Front([Mount(hot={("POST", "/echo"): echo, ("PUT", "/echo"): echo})])
    server = _Uvicorn(uvicorn.Config(front, http=http, proxy_headers=False, **settings))
    task = asyncio.create_task(server.serve([listener]))
    yield listener.getsockname()[1]
    server.should_exit = True
    await task


def _request(some: random.Random) -> bytes:
    """One of a few heads, and a body that is as long as it says."""
    body = some.choice([b"", b"a", b"abcd", b"\r\n\r\n", b"z" * 300, _LAST])
    lines = [some.choice([b"POST /echo HTTP/1.1"] * 15 + [b"PUT /echo?late HTTP/1.1"]), b"host: x"]
    lines.append(some.choice([b"content-length"] * 15 + [b"Content-Length", b"CONTENT-LENGTH"]) + b": %d" % len(body))
    if some.random() < 0.2:
        lines.append(some.choice([b"x-more: y", b"x-more: z"]))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def _odd(some: random.Random) -> bytes:
    """One that begins as the others do, and ends its connection."""
    more = some.choice([b"content-length: 1", b"transfer-encoding: chunked", b"x: \0", b" folded: y", b"x: a\nb"])
    length = some.choice([b"+1", b"1, 1", b"1 1", b"0x1", b"", b"9" * 25, b"1\n"])
    head = b"POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: "
    return head + some.choice([length, b"1\r\n" + more]) + b"\r\n\r\na"


async def _answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    return head + await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0]))


async def _answers(port: int, seed: int) -> list[bytes]:
    """All that is answered, until the connection is closed."""
    some, told, waiting = random.Random(seed), [], 0
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for request in [*(_request(some) for _ in range(12)), some.choice([_LAST, _odd(some)])]:
        if (
            request[-1:] == b"a" or some.random() < 0.8
        ):  # others come before the answer is there, but none that is refused
            while waiting:
                told.append(await _answer(reader))
                waiting -= 1
        cut = some.randrange(len(request)) if some.random() < 0.2 else 0
        for piece in filter(None, (request[:cut], request[cut:])):
            writer.write(piece)
            await asyncio.sleep(0)  # a packet of its own
        waiting += 1
    told += [await _answer(reader) for _ in range(waiting)]
    assert await reader.read() == b""
    writer.close()
    return told


async def test_the_same_bytes_have_the_same_answers() -> None:
    Remembering.parsed = Forgetful.parsed = 0
    async with AsyncExitStack() as stack:
        ports = [await stack.enter_async_context(_serving(kind)) for kind in (Remembering, Forgetful)]
        for seed in range(_STREAMS):
            known, parsed = [await _answers(port, seed) for port in ports]
            assert known == parsed, seed
    assert Remembering.parsed < Forgetful.parsed * 0.9
