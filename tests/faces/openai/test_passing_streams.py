"""Streams that pass through from socket to socket, as they are seen from both ends."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from promptd.core.lifecycle import Status
from promptd.core.model import Prompt
from promptd.engines.openai import OpenAI
from promptd.testing.sockets import Reader, Writer, serve
from tests.faces.client import Response, read_chunk, read_head
from tests.faces.conftest import Server, run_server

PATIENCE = 10.0
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
CHUNKED = HEAD + b"transfer-encoding: chunked\r\n\r\n"
TEXTS = ["Grüße ", "🌍", "", 'she said "no"', "a\\b", "usage", "data: x", " one", " two", " three", "\n\n", " four"]


def event(text: str, model: str = "fake-model", **more: Any) -> bytes:
    choices = [{"index": 0, "delta": {"content": text}, "finish_reason": None}]
    told = {"id": "c-1", "model": model, "choices": choices, **more}
    return b"data: " + json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"


COUNTS = b'data: {"id":"c-1","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":9,"total_tokens":16}}\n\n'
DONE = b"data: [DONE]\n\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class Service:
    """The upstream: `play` answers each request on its own connection, and `left` is set when a client goes."""

    def __init__(self) -> None:
        self.play: Callable[[Writer], Awaitable[None]] = self.echo
        self.bodies: list[dict[str, Any]] = []
        self.left = asyncio.Event()
        self.connections = 0

    async def echo(self, writer: Writer) -> None:
        writer.write(CHUNKED + chunk(event("hello")) + chunk(COUNTS + DONE) + chunk(b""))

    async def hang(self, writer: Writer) -> None:
        """Two pieces, and silence."""
        writer.write(CHUNKED + chunk(event("one")) + chunk(event("two")))
        await writer.drain()

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        self.connections += 1
        held = writer.get_extra_info("socket")
        held.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                size = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
                self.bodies.append(json.loads(await reader.readexactly(size)))
                await self.play(writer)
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            self.left.set()
            raise


class Client:
    """One keep-alive connection to the gateway."""

    def __init__(self, server: Server, reader: Reader, writer: Writer) -> None:
        self._server, self._reader, self.writer = server, reader, writer

    async def ask(self, model: str = "front", **more: Any) -> Response:
        body = json.dumps(
            {"model": model, "stream": True, "messages": [{"role": "user", "content": "hi"}], **more}
        ).encode()
        head = f"authorization: Bearer {self._server.http.key}\r\ncontent-length: {len(body)}\r\n"
        self.writer.write(f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n{head}\r\n".encode() + body)
        return await read_head(self._reader)

    async def piece(self) -> bytes | None:
        return await read_chunk(self._reader)

    async def until(self, end: bytes) -> bytes:
        said = b""
        while not said.endswith(end):
            said += await self.piece() or pytest.fail(f"the stream ended with {said!r}")
        return said

    async def rest(self) -> bytes:
        pieces = []
        while (piece := await self.piece()) is not None:
            pieces.append(piece)
        return b"".join(pieces)


@asynccontextmanager
async def client_of(server: Server, *, buffer: int | None = None) -> AsyncIterator[Client]:
    plain = socket.socket()
    if buffer is not None:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    plain.setblocking(False)
    await asyncio.get_running_loop().sock_connect(plain, ("127.0.0.1", server.port))
    reader, writer = await asyncio.open_connection(sock=plain, limit=2**14 if buffer else 2**20)
    try:
        yield Client(server, reader, writer)
    finally:
        writer.transport.abort()


@pytest.fixture
def service() -> Service:
    return Service()


Open = Callable[..., Any]


@pytest.fixture
def gateway(tmp_path: Path, service: Service) -> Open:
    """Start a gateway before the service; settings sections come as keyword arguments."""

    @asynccontextmanager
    async def start(connection: dict[str, Any] | None = None, **sections: Any) -> AsyncIterator[Server]:
        async with serve(service) as url:
            up = {"engine": "openai", "base_url": url, **(connection or {})}
            models = {
                "front": {"connection": "up", "upstream": "fake-model"},
                "fake-model": {"connection": "up"},
            }
            async with (
                asyncio.timeout(PATIENCE),
                run_server(
                    tmp_path, engines={"openai": OpenAI()}, connections={"up": up}, models=models, **sections
                ) as server,
            ):
                yield server

    return start


async def row_of(server: Server, head: Response) -> Prompt:
    await server.house.walk.attached.flush()
    found = await server.house.database.records.get(Prompt, head.headers["x-prompt-id"])
    assert found is not None
    return found


FRAMES: dict[str, Callable[[list[bytes]], tuple[bytes, bool]]] = {
    "chunked": lambda parts: (CHUNKED + b"".join(map(chunk, parts)) + chunk(b""), False),
    "length": lambda parts: (HEAD + b"content-length: %d\r\n\r\n" % sum(map(len, parts)) + b"".join(parts), False),
    "until the end": lambda parts: (HEAD + b"connection: close\r\n\r\n" + b"".join(parts), True),
}


@pytest.mark.parametrize("frame", FRAMES)
async def test_the_bytes_are_the_same_however_they_are_cut(gateway: Open, service: Service, frame: str) -> None:
    chance = random.Random(frame)
    data = b""

    def cut(whole: bytes, most: int) -> list[bytes]:
        cuts = sorted(chance.sample(range(1, len(whole)), chance.choice([0, 3, most])))
        return [whole[start:end] for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)]

    async def play(writer: Writer) -> None:
        answer, closes = FRAMES[frame](cut(data, 40))
        for packet in cut(answer, 30):
            writer.write(packet)
            await writer.drain()
            await asyncio.sleep(0)
        if closes:
            writer.close()

    service.play = play
    turns = [
        (model, asked, lines)
        for model in ("front", "fake-model")
        for asked in (True, False)
        for lines in (b"\n\n", b"\r\n\r\n", b"\n\r\n")
    ]
    async with gateway() as server, client_of(server) as client:
        for model, asked, lines in turns:  # on one connection
            data = b"".join([*[event(text, usage=None) for text in TEXTS], COUNTS, DONE]).replace(b"\n\n", lines)
            head = await client.ask(model, **({"stream_options": {"include_usage": True}} if asked else {}))
            expected = [event(text, model, **({"usage": None} if asked else {})) for text in TEXTS]
            expected += [COUNTS, DONE] if asked else [DONE]
            assert await client.rest() == b"".join(expected).replace(b"\n\n", lines)
            row = await row_of(server, head)
            assert row.status is Status.COMPLETED
            assert row.answer is not None
            assert (row.answer.usage.input_tokens, row.answer.usage.output_tokens) == (7, 9)
    assert all(body["stream_options"] == {"include_usage": True} for body in service.bodies)
    assert service.connections == (len(turns) if frame == "until the end" else 1)


async def test_a_slow_reader_makes_the_service_wait_and_gets_everything(gateway: Open, service: Service) -> None:
    said = [event(f"{number} " + "x" * 60_000) for number in range(250)]
    stuck = asyncio.Event()
    written = 0

    async def play(writer: Writer) -> None:
        nonlocal written
        writer.write(CHUNKED)
        for one in said:
            writer.write(chunk(one))
            drained = asyncio.ensure_future(writer.drain())
            if not (await asyncio.wait([drained], timeout=0.2))[0]:
                stuck.set()
            await drained
            written += 1
        writer.write(chunk(DONE) + chunk(b""))

    service.play = play
    async with gateway() as server, client_of(server, buffer=4096) as client:
        await client.ask("fake-model", stream_options={"include_usage": True})
        await stuck.wait()
        assert written < len(said)
        assert await client.rest() == b"".join([*said, DONE])


async def test_a_caller_who_leaves_closes_the_service_at_once(gateway: Open, service: Service) -> None:
    service.play = service.hang
    async with gateway() as server:
        async with client_of(server) as client:
            head = await client.ask()
            await client.until(event("two", "front"))
        await service.left.wait()
        await server.house.walk.streams.finished(head.headers["x-prompt-id"])
        row = await row_of(server, head)
        assert (row.status, row.error and row.error.message) == (Status.CANCELED, "the caller left")


async def break_with_an_error(writer: Writer) -> None:
    writer.write(chunk(event("three") + b'data: {"error":{"message":"out of memory","code":500}}\n\n') + chunk(b""))


async def cut_short(writer: Writer) -> None:
    writer.write(chunk(event("three")))
    await writer.drain()
    writer.close()


async def end_without_an_end(writer: Writer) -> None:
    writer.write(chunk(event("three")) + chunk(b""))


async def reset(writer: Writer) -> None:
    writer.write(chunk(event("three")))
    await writer.drain()
    await asyncio.sleep(0.02)  # the reset would overtake it
    held = writer.get_extra_info("socket")
    held.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def fall_silent(writer: Writer) -> None:
    writer.write(chunk(event("three")))


async def speak_no_http(writer: Writer) -> None:
    writer.write(chunk(event("three")) + b"nonsense\r\n")


@pytest.mark.parametrize(
    ("how", "code"),
    [
        (break_with_an_error, "service_unavailable"),
        (cut_short, "network_error"),
        (end_without_an_end, "network_error"),
        (reset, "network_error"),
        (fall_silent, "timeout"),
        (speak_no_http, "invalid_output"),
    ],
)
async def test_what_breaks_in_the_middle_ends_with_an_error_event(
    gateway: Open, service: Service, how: Callable[[Writer], Awaitable[None]], code: str
) -> None:
    async def play(writer: Writer) -> None:
        await service.hang(writer)
        await how(writer)

    service.play = play
    async with gateway({"silence_timeout": 0.1}) as server, client_of(server) as client:
        head = await client.ask("fake-model")
        body = await client.rest()
        said = b"".join(map(event, ["one", "two", "three"]))
        assert body.startswith(said)
        told = body.removeprefix(said)
        assert told.startswith(b'data: {"error":')
        row = await row_of(server, head)
        assert (row.status, row.runs, row.error and row.error.code) == (Status.ABANDONED, 1, code)
        service.play = service.echo
        await client.ask("fake-model")  # the client's connection goes on
        assert await client.rest() == event("hello") + DONE


async def test_what_fails_before_the_first_piece_is_asked_again(gateway: Open, service: Service) -> None:
    tries = 0

    async def play(writer: Writer) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            writer.write(
                CHUNKED + b": still here\n\n"[:0] + chunk(b'data: {"error":{"message":"busy","code":503}}\n\n')
            )
            return
        await service.echo(writer)

    service.play = play
    async with gateway() as server, client_of(server) as client:
        head = await client.ask("fake-model")
        assert await client.rest() == event("hello") + DONE
        row = await row_of(server, head)
        assert (row.status, row.runs) == (Status.COMPLETED, 2)


@pytest.mark.parametrize("how", ["cancel", "drain", "too long"])
async def test_who_ends_it_from_outside_is_heard_by_both_sides(gateway: Open, service: Service, how: str) -> None:
    go = asyncio.Event()

    async def play(writer: Writer) -> None:
        await service.hang(writer)
        await go.wait()
        for _ in range(3):
            writer.write(chunk(event("x" * 400)))

    service.play = play
    async with gateway(streams={"max_answer_bytes": 1024}) as server, client_of(server) as client:
        head = await client.ask("fake-model")
        said = await client.until(event("two"))
        if how == "too long":
            go.set()
        leaving = None
        if how == "cancel":
            answer = await server.http.post(f"/promptd/v1/prompts/{head.headers['x-prompt-id']}/cancel")
            assert answer.status == 200, answer.body
        elif how == "drain":
            leaving = asyncio.create_task(server.house.drain(0))
        said, _, told = (said + await client.rest()).partition(b'data: {"error":')
        assert said.startswith(event("one") + event("two"))
        assert len(said) <= 1024
        assert told
        assert b"[DONE]" not in told
        go.set()
        await service.left.wait()
        if leaving is not None:
            await leaving
        row = await row_of(server, head)
        assert row.status is (Status.ABANDONED if how == "too long" else Status.CANCELED)


async def test_a_silent_stream_is_kept_alive(gateway: Open, service: Service) -> None:
    service.play = service.hang
    async with gateway(streams={"heartbeat_seconds": 1}) as server, client_of(server) as client:
        await client.ask("fake-model")
        assert await client.until(b": \n\n") == event("one") + event("two") + b": \n\n"
