"""What a peer may send and how long it may take, on real sockets."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, NamedTuple

import pytest
import uvicorn
from msgspec.json import decode
from starlette.types import Receive, Scope, Send

from promptd.faces.asgi import GONE, send_body
from promptd.faces.protocol import Protocol

GET = b"GET / HTTP/1.1\r\nhost: x\r\n"
POST = b"POST / HTTP/1.1\r\nhost: x\r\n"


class Quick(Protocol):
    head_seconds = 0.1
    body_seconds = 0.2
    silent_seconds = 0.1
    linger_seconds = 0.1


class Patient(Protocol):
    """For tests in which time must not matter."""

    linger_seconds = 30.0


class App:
    """Answers with the body's size. `go` lets it read the body, `left` tells that a client was gone before its end."""

    def __init__(self) -> None:
        self.go, self.left, self.called = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.go.set()
        self.leavers: list[Callable[[], None]] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.called.set()
        scope["extensions"][GONE] += self.leavers
        if scope["path"] == "/early":
            await send_body(send, 413, [], b"no")
            return
        if scope["path"] == "/stream":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        await self.go.wait()
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.left.set()
                return
            size += len(message.get("body", b""))
            more = message.get("more_body", False) or scope["path"] == "/wait"
        if scope["path"] == "/stream":
            await send({"type": "http.response.body", "body": b"%d" % size})
        else:
            await send_body(send, 200, [], b"%d" % size)


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class Peer:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self) -> Answer:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.split(": ", 1) for line in head[1:-2])
        return Answer(
            int(head[0].split(" ")[1]), headers, await self.reader.readexactly(int(headers["content-length"]))
        )

    async def refused(self, status: int, code: str) -> None:
        """The next bytes are this problem, and the last ones."""
        answer = await self.answer()
        problem = decode(answer.body)
        assert (answer.status, problem["status"], problem["code"]) == (status, status, code)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["connection"] == "close"
        assert await self.reader.read() == b""

    async def served(self, body: bytes = b"0") -> None:
        answer = await self.answer()
        assert (answer.status, answer.body) == (200, body)


class _Uvicorn(uvicorn.Server):
    """uvicorn that leaves the signals to pytest."""

    @contextmanager
    def capture_signals(self) -> Any:
        yield


class Server:
    def __init__(self, port: int, app: App) -> None:
        self.port, self.app = port, app
        self.peers: list[Peer] = []

    async def peer(self) -> Peer:
        self.peers.append(Peer(*await asyncio.open_connection("127.0.0.1", self.port)))
        return self.peers[-1]


@asynccontextmanager
async def serving(http: type[Protocol], **config: Any) -> AsyncIterator[Server]:
    app = App()
    listener = socket.create_server(("127.0.0.1", 0))
    settings: dict[str, Any] = {"ws": "none", "lifespan": "off", "log_config": None, "access_log": False}
    server = _Uvicorn(uvicorn.Config(app, http=http, **(settings | config)))
    task = asyncio.create_task(server.serve([listener]))
    running = Server(listener.getsockname()[1], app)
    try:
        yield running
    finally:
        app.go.set()
        for peer in running.peers:
            peer.writer.close()
        server.should_exit = True
        await task


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with serving(Patient) as running:
        yield running


@pytest.fixture
async def quick() -> AsyncIterator[Server]:
    async with serving(Quick) as running:
        yield running


# ---------------------------------------------------------------- size


@pytest.mark.parametrize("piece", [b"a" * 4096, b"x: y\r\n" * 700], ids=["one field", "many fields"])
async def test_an_endless_head(server: Server, piece: bytes) -> None:
    peer = await server.peer()
    await peer.send(GET + b"x: ")
    sent = 0
    while sent <= 2 * Protocol.head_bytes:
        await peer.send(piece)
        sent += len(piece)
    peer.writer.write_eof()
    await peer.refused(431, "head_too_large")
    assert not server.app.called.is_set()


async def test_a_large_head_in_one_packet_is_counted_and_a_large_body_is_not(server: Server) -> None:
    peer = await server.peer()
    await peer.send(POST + b"content-length: 1000000\r\n\r\n" + b"b" * 1_000_000)
    await peer.served(b"1000000")
    fields = b"".join(b"x%d: %s\r\n" % (n, b"v" * 600) for n in range(100))
    await peer.send(GET + fields + b"\r\n")
    await peer.served()
    await peer.send(GET + fields + b"y: " + b"v" * 8000 + b"\r\n\r\n")
    await peer.refused(431, "head_too_large")


async def test_number_of_fields(server: Server) -> None:
    peer = await server.peer()
    await peer.send(GET + b"x: y\r\n" * (Protocol.head_fields - 1) + b"\r\n")
    await peer.served()
    await peer.send(GET + b"x: y\r\n" * Protocol.head_fields + b"\r\n")
    await peer.refused(431, "head_too_large")


async def test_length_of_the_target(server: Server) -> None:
    peer = await server.peer()
    longest = b"/" + b"a" * (Protocol.target_bytes - 1)
    await peer.send(b"GET " + longest + b" HTTP/1.1\r\nhost: x\r\n\r\n")
    await peer.served()
    await peer.send(b"GET " + longest + b"a")
    await peer.refused(414, "target_too_long")


@pytest.mark.parametrize(
    "rest",
    [b"0\r\n" + b"x: y\r\n" * 201 + b"\r\n", b"0\r\nx: " + b"y" * 70_000, b"1;" + b"y" * 70_000],
    ids=["trailers", "one trailer", "chunk extension"],
)
async def test_what_is_not_body_in_a_chunked_body(server: Server, rest: bytes) -> None:
    peer = await server.peer()
    await peer.send(POST + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n")
    await server.app.called.wait()
    await peer.send(rest)
    await peer.refused(431, "head_too_large")
    await server.app.left.wait()


# ---------------------------------------------------------------- form


@pytest.mark.parametrize("request_", [b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\nno colon\r\n\r\n"])
async def test_malformed_request(server: Server, request_: bytes) -> None:
    peer = await server.peer()
    await peer.send(request_)
    await peer.refused(400, "malformed_request")


async def test_a_malformed_chunk_ends_the_request(server: Server) -> None:
    peer = await server.peer()
    await peer.send(POST + b"transfer-encoding: chunked\r\n\r\nzz\r\n")
    await peer.refused(400, "malformed_request")
    await server.app.left.wait()


async def test_no_problem_is_written_into_another_answer(server: Server) -> None:
    server.app.go.clear()
    peer = await server.peer()
    await peer.send(b"GET /stream HTTP/1.1\r\nhost: x\r\n\r\n")
    assert (await peer.reader.readuntil(b"begun\r\n")).startswith(b"HTTP/1.1 200 ")
    await peer.send(b"nonsense\r\n\r\n")
    assert await peer.reader.read() == b""


async def test_an_upgrade_is_answered_as_if_it_had_not_asked(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    peer = await server.peer()
    with caplog.at_level(logging.DEBUG, "uvicorn"):
        await peer.send(GET + b"connection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\r\n")
        answer = await peer.answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    assert await peer.reader.read() == b""
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_too_many_connections() -> None:
    async with serving(Patient, limit_concurrency=1) as server:
        peer = await server.peer()
        await peer.send(GET + b"\r\n")
        await peer.refused(503, "overloaded")
        assert not server.app.called.is_set()


async def test_requests_that_are_answered_count_no_more() -> None:
    async with serving(Patient, limit_concurrency=3) as server:
        peer = await server.peer()
        for _ in range(9):
            await peer.send(GET + b"\r\n")
            await peer.served()


async def test_who_leaves_with_further_requests_behind_the_one_at_work(server: Server) -> None:
    gone: list[bool] = []
    peer = await server.peer()
    server.app.leavers.append(lambda: gone.append(True))
    await peer.send(GET.replace(b"/ ", b"/wait ") + b"\r\n" + GET + b"\r\n")
    await server.app.called.wait()
    peer.writer.transport.abort()
    async with asyncio.timeout(5):
        await server.app.left.wait()
    assert gone == [True]


# ---------------------------------------------------------------- time


async def test_a_silent_connection_is_closed(quick: Server) -> None:
    assert await (await quick.peer()).reader.read() == b""


@pytest.mark.parametrize("begun", [b"G", GET, b"\r\n"], ids=["method", "fields", "empty line"])
async def test_a_slow_head(quick: Server, begun: bytes) -> None:
    peer = await quick.peer()
    await peer.send(begun)
    await peer.refused(408, "request_timeout")
    assert not quick.app.called.is_set()


async def test_a_trickled_head_gains_no_time(quick: Server) -> None:
    peer = await quick.peer()
    await peer.send(GET)
    answer = asyncio.create_task(peer.answer())
    while not answer.done():
        await peer.send(b"x")
        await asyncio.wait([answer], timeout=0.02)
    assert (await answer).status == 408


async def test_a_second_head_has_a_clock_of_its_own(quick: Server) -> None:
    peer = await quick.peer()
    await peer.send(POST + b"content-length: 2\r\n\r\na")
    await quick.app.called.wait()
    await peer.send(b"b" + GET)
    await peer.served(b"2")
    await peer.refused(408, "request_timeout")


async def test_a_stalled_body(quick: Server) -> None:
    peer = await quick.peer()
    await peer.send(POST + b"content-length: 2\r\n\r\na")
    await peer.refused(408, "request_timeout")
    await quick.app.left.wait()


async def test_a_body_that_goes_on_has_all_the_time(quick: Server) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + 3 * Quick.body_seconds
    peer = await quick.peer()
    await peer.send(POST + b"transfer-encoding: chunked\r\n\r\n")
    sent = 0
    while loop.time() < until:
        await peer.send(b"1\r\na\r\n")
        sent += 1
        with pytest.raises(TimeoutError):  # nothing is answered meanwhile
            await asyncio.wait_for(peer.reader.read(1), Quick.body_seconds / 10)
    await peer.send(b"0\r\n\r\n")
    await peer.served(b"%d" % sent)


async def test_a_body_that_waits_for_the_app_is_not_late(quick: Server) -> None:
    quick.app.go.clear()
    stuck, asking = await quick.peer(), await quick.peer()
    size = 200_000
    await stuck.send(POST + b"content-length: %d\r\n\r\n" % size + b"a" * (size - 1))
    await asking.send(POST + b"content-length: 1\r\nexpect: 100-continue\r\n\r\n")
    for peer in (stuck, asking):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(peer.reader.read(1), 2 * Quick.body_seconds)
    quick.app.go.set()
    await stuck.send(b"a")
    await stuck.served(b"%d" % size)
    assert await asking.reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await asking.send(b"a")
    await asking.served(b"1")


async def test_a_body_behind_its_answer_ends_in_time(quick: Server) -> None:
    peer = await quick.peer()
    await peer.send(POST.replace(b"/ ", b"/early ") + b"content-length: 1000000\r\n\r\na")
    answer = await peer.answer()
    assert answer.status == 413
    end = asyncio.create_task(peer.reader.read())
    with suppress(ConnectionError):  # the end may meet a byte under way
        while not end.done():
            await peer.send(b"a")
            await asyncio.wait([end], timeout=0.02)
        assert await end == b""


async def test_a_long_answer_is_not_late(quick: Server) -> None:
    quick.app.go.clear()
    peer = await quick.peer()
    await peer.send(GET)
    await peer.send(b"\r\n")
    await quick.app.called.wait()
    await peer.send(b"\r\n")  # an empty line too many
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(peer.reader.read(1), 3 * Quick.body_seconds)
    quick.app.go.set()
    await peer.served()


async def test_a_refused_peer_that_never_stops_is_cut(quick: Server) -> None:
    peer = await quick.peer()

    async def flood() -> None:
        while True:
            await peer.send(b"nonsense" * 1000)

    with pytest.raises(ConnectionError):
        await flood()
