"""Requests with the head of the one before them: served without the parser, and framed just as strictly."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from msgspec.json import decode, encode
from starlette.types import Receive, Scope, Send

from promptd.faces import Front, Mount
from promptd.faces.asgi import REPLY, read_body
from promptd.faces.heads import head_of
from promptd.faces.protocol import Protocol
from promptd.faces.senders import Fields
from tests.faces.conftest import Server

HEAD = b"POST /echo?a=b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer pk-1\r\nContent-Length: %d\r\nX-More: y\r\n\r\n"
PLAIN = HEAD % 5 + b"abcde"


class Counting(Protocol):
    """Knows how many requests its parser took, and tells that a packet came."""

    parsed = 0
    packet: asyncio.Event
    linger_seconds = 30.0

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self.packet.set()

    def on_message_begin(self) -> None:
        type(self).parsed += 1
        super().on_message_begin()


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Tells what it was asked, by the short ways where there are some."""
    body = await read_body(scope, receive, 1 << 20)
    names = ("method", "path", "raw_path", "query_string", "http_version", "scheme", "root_path", "type", "headers")
    told = {name: _shown(scope[name]) for name in names}
    told |= {"body": body.decode("latin-1"), "client": scope["client"][1]}
    scope["headers"] = [*scope["headers"], (b"x-added", b"by the app")]
    scope["path_params"] = {"left": "behind"}
    assert scope["extensions"][REPLY](200, "", encode(told))


def _shown(value: Any) -> Any:
    if isinstance(value, list):
        return [(name.decode(), said.decode()) for name, said in value]
    return value.decode() if isinstance(value, bytes) else value


class _Uvicorn(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@pytest.fixture
async def port() -> AsyncIterator[int]:
    Counting.parsed, Counting.packet = 0, asyncio.Event()
    listener = socket.create_server(("127.0.0.1", 0))
    front = Front([Mount(hot={("POST", "/echo"): echo, ("GET", "/echo"): echo})])
    settings: dict[str, Any] = {"ws": "none", "lifespan": "off", "log_config": None, "proxy_headers": False}
    server = _Uvicorn(uvicorn.Config(front, http=Counting, **settings))
    task = asyncio.create_task(server.serve([listener]))
    yield listener.getsockname()[1]
    server.should_exit = True
    await task


class Peer:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, *packets: bytes) -> tuple[int, dict[str, Any]]:
        """Status and what was said; each packet is sent when the one before has come."""
        for packet in packets:
            Counting.packet.clear()
            self.writer.write(packet)
            await Counting.packet.wait()
        return await self.answer()

    async def answer(self) -> tuple[int, dict[str, Any]]:
        head = await self.reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        told = decode(await self.reader.readexactly(size))
        own = told.pop("client", None)
        assert own is None or own == self.writer.get_extra_info("sockname")[1]
        return int(head[9:12]), told


@pytest.fixture
async def peers(port: int) -> AsyncIterator[tuple[Peer, Peer]]:
    """One whose head is known, and one that nobody knows."""
    both = (
        Peer(*await asyncio.open_connection("127.0.0.1", port)),
        Peer(*await asyncio.open_connection("127.0.0.1", port)),
    )
    assert (await both[0].ask(PLAIN))[1]["body"] == "abcde"
    yield both
    for peer in both:
        peer.writer.close()


async def test_bodies_of_any_length_behind_one_head(peers: tuple[Peer, Peer]) -> None:
    known, _ = peers
    for size in (5, 5, 0, 1, 17, 1000, 5, 40_000):
        status, told = await known.ask(HEAD % size + b"z" * size)
        assert (status, told["body"], told["query_string"], told["path"]) == (200, "z" * size, "a=b", "/echo")
        expected = [("host", "x"), ("authorization", "Bearer pk-1"), ("content-length", str(size)), ("x-more", "y")]
        assert list(map(tuple, told["headers"])) == expected
    assert Counting.parsed == 1


@pytest.mark.parametrize(
    "packets",
    [
        [PLAIN.replace(b"pk-1", b"pk-2")],
        [PLAIN.replace(b"X-More", b"X-Less")],
        [PLAIN.replace(b"POST", b"GET")],
        [PLAIN.replace(b"/echo", b"/other")],
        [PLAIN.replace(b"?a=b", b"?a=c")],
        [PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0")],
        [PLAIN.replace(b"X-More: y", b"Connection: close")],
        [PLAIN.replace(b"X-More: y", b"Content-Length: 5")],
        [PLAIN.replace(b"X-More: y", b"Content-Length: 6")],
        [PLAIN.replace(b"X-More: y", b"Transfer-Encoding: chunked")],
        [PLAIN.replace(b"Content-Length: 5", b"Transfer-Encoding: chunked")[:-5] + b"3\r\nabc\r\n0\r\n\r\n"],
        [PLAIN.replace(b": 5", b": 05")],
        [PLAIN.replace(b": 5", b": +5")],
        [PLAIN.replace(b": 5", b": 5 ")],
        [PLAIN.replace(b": 5", b": 5, 5")],
        [PLAIN.replace(b": 5", b": -5")],
        [PLAIN.replace(b": 5", b":5")],
        [PLAIN.replace(b": 5", b": 5\n\r\n")],
        [PLAIN.replace(b": 5", b": ")],
        [PLAIN.replace(b": 5", b": 5_0")],
        [PLAIN.replace(b": 5", b": 99999999999999999999999")],
        [b"\r\n" + PLAIN],
        [PLAIN[:10], PLAIN[10:]],
        [PLAIN[:-5], PLAIN[-5:]],
        [PLAIN[:-1], PLAIN[-1:]],
        [b"nonsense\r\n\r\n"],
        [HEAD % 60_000 + b"b" * 30_000, b"b" * 30_000],
    ],
)
async def test_anything_else_is_the_parsers(peers: tuple[Peer, Peer], packets: list[bytes]) -> None:
    """… and is answered as if nothing had come before it."""
    known, other = peers
    answer = await known.ask(*packets)
    assert answer == await other.ask(*packets)
    assert Counting.parsed == 3 or answer[0] == 400


async def test_a_request_behind_another_in_one_packet(peers: tuple[Peer, Peer]) -> None:
    known, _ = peers
    smuggled = PLAIN.replace(b"pk-1", b"pk-2")
    assert (await known.ask(PLAIN + smuggled))[1]["body"] == "abcde"
    assert dict((await known.answer())[1]["headers"])["authorization"] == "Bearer pk-2"
    # what looks like a request inside a body is body
    inner = HEAD % len(smuggled) + smuggled
    assert (await known.ask(inner))[1]["body"] == smuggled.decode()
    assert (await known.ask(inner))[1]["body"] == smuggled.decode()


async def test_a_request_that_comes_before_the_answer_waits_for_it(peers: tuple[Peer, Peer]) -> None:
    known, _ = peers
    for body in (b"first", b"other"):
        known.writer.write(HEAD % 5 + body)
    assert [(await known.answer())[1]["body"] for _ in range(2)] == ["first", "other"]


async def test_heads_that_never_come_again_are_not_remembered_any_more(port: int) -> None:
    peer = Peer(*await asyncio.open_connection("127.0.0.1", port))
    for number in range(20):
        await peer.ask(PLAIN.replace(b"X-More: y", b"X-More: %d" % number))
    for _ in range(3):
        await peer.ask(PLAIN)
    assert Counting.parsed == 23
    peer.writer.close()


def test_what_is_known_of_a_head_is_shared_and_goes_with_its_connections() -> None:
    scope = {"headers": [(b"content-length", b"5")], "server": None, "scheme": "http", "root_path": "", "client": "me"}
    first, second = head_of(PLAIN, scope, echo), head_of(PLAIN, dict(scope), echo)
    assert first is not None
    assert first is second
    assert "client" not in first.scope
    assert head_of(PLAIN, {**scope, "scheme": "https"}, echo) is not first
    longer = first.again(HEAD % 6 + b"abcdef")
    assert longer is not None
    assert longer.scope["headers"] == [(b"content-length", b"6")]
    assert first.scope["headers"] == [(b"content-length", b"5")]


def test_a_sender_is_read_once_and_knows_the_length_of_its_own_request() -> None:
    fields = Fields(
        [(b"x-api-key", b"k"), (b"content-length", b"5"), (b"x-session-id", b"s"), (b"x-request-id", b"a b")]
    )
    sender = fields.sender
    assert (sender.secret, sender.affinity, sender.request_id) == ("k", "s", b"")
    other = fields.changed(b"content-length", b"6").sender
    assert (other.secret, other.headers[b"content-length"], sender.headers[b"content-length"]) == ("k", b"6", b"5")


@pytest.mark.parametrize(
    ("data", "more"),
    [
        (PLAIN, [(b"content-length", b"5"), (b"expect", b"100-continue")]),
        (PLAIN, [(b"content-length", b"5"), (b"transfer-encoding", b"chunked")]),
        (PLAIN, [(b"content-length", b"5"), (b"upgrade", b"h2c")]),
        (PLAIN, [(b"content-length", b"5"), (b"content-length", b"5")]),
        (PLAIN, []),
        (PLAIN + PLAIN, [(b"content-length", b"5")]),
        (PLAIN[:-1], [(b"content-length", b"5")]),
        (PLAIN.replace(b"\r\n\r\n", b"\r\n\n"), [(b"content-length", b"5")]),
        (PLAIN.replace(b"X-More", b"X-More" * 1000), [(b"content-length", b"5")]),
        (HEAD % 66_000 + b"x" * 66_000, [(b"content-length", b"66000")]),
    ],
)
def test_what_is_not_remembered(data: bytes, more: list[tuple[bytes, bytes]]) -> None:
    scope = {"headers": [(b"host", b"x"), *more], "server": None, "scheme": "http", "root_path": ""}
    assert head_of(data, scope, echo) is None


async def test_a_revoked_key_behind_a_known_head(server: Server) -> None:
    http = server.http
    body = encode({"model": "demo", "messages": [{"role": "user", "content": encode({"text": "hi"}).decode()}]})
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {http.key}\r\ncontent-length: {len(body)}"
    peer = Peer(*await asyncio.open_connection("127.0.0.1", server.port))
    for _ in range(3):
        peer.writer.write(f"{head}\r\n\r\n".encode() + body)
        assert (await peer.answer())[0] == 200
    await server.house.walk.keys.revoke_all("ada")
    peer.writer.write(f"{head}\r\n\r\n".encode() + body)
    status, told = await peer.answer()
    assert (status, told["error"]["code"]) == (401, "invalid_api_key")
    peer.writer.close()
