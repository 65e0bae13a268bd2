"""A pooled connection that its server closes in the very moment it is used again costs the caller nothing."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from promptd.core.errors import InvalidOutput, NetworkError, PermissionDenied, PromptExecutionError, Timeout
from promptd.core.ports import Timeouts
from promptd.egress import Egress
from promptd.egress.alarm import Alarm
from promptd.egress.connection import Connection
from promptd.egress.heads import Heads
from promptd.testing.sockets import Hanging, Reader, Writer, head_of, serve

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
PATIENCE = 10.0


class Leaving:
    """An upstream whose first connection answers once, and ends at its second request after saying `last`.

    Further connections end at their first request, or answer it with `then`.
    """

    def __init__(self, *, last: bytes = b"", then: bytes = b"", reset: bool = False) -> None:
        self.last, self.then, self.reset = last, then, reset
        self.requests: list[list[bytes]] = []  #: per connection

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        seen: list[bytes] = []
        self.requests.append(seen)
        first = len(self.requests) == 1
        for answer in (OK, self.last) if first else (self.then,):
            seen.append(await head_of(reader) + await reader.readexactly(4))
            writer.write(answer)
            await writer.drain()
        if self.reset:
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()


async def ask(egress: Egress, url: str, timeouts: Timeouts | None = None) -> bytes:
    async with egress.request("POST", url, body=b"body", timeouts=timeouts or Timeouts()) as response:
        return await response.read()


@pytest.mark.parametrize("reset", [False, True])
async def test_the_request_is_sent_once_more_on_a_new_connection(reset: bool) -> None:
    upstream = Leaving(then=OK, reset=reset)
    async with serve(upstream) as url:
        egress = Egress([url])
        assert [await ask(egress, url) for _ in range(2)] == [b"ok", b"ok"]
        await egress.close()
    (first, lost), (again,) = upstream.requests
    assert first == lost == again


@pytest.mark.parametrize("reset", [False, True])
async def test_it_is_sent_once_more_only_once(reset: bool) -> None:
    upstream = Leaving(reset=reset)
    async with serve(upstream) as url:
        egress = Egress([url])
        await ask(egress, url)
        with pytest.raises(NetworkError, match="without an answer"):
            await ask(egress, url)
    assert [len(requests) for requests in upstream.requests] == [2, 1]


async def test_a_new_connection_that_ends_is_the_requests_own_fault() -> None:
    upstream = Leaving()
    upstream.requests.append([])  # so that no connection counts as the first one
    async with serve(upstream) as url:
        with pytest.raises(NetworkError, match="without an answer"):
            await ask(Egress([url]), url)
    assert [len(requests) for requests in upstream.requests] == [0, 1]


@pytest.mark.parametrize(
    ("last", "error"),
    [
        (b"H", NetworkError),
        (b"HTTP/1.1 100 Continue\r\n\r\n", NetworkError),
        (b"HTTP/1.1 200 OK\r\nContent-Len", NetworkError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", NetworkError),
        (b"\0\0garbage", InvalidOutput),
    ],
)
async def test_one_byte_of_an_answer_shows_that_the_request_was_read(
    last: bytes, error: type[PromptExecutionError]
) -> None:
    upstream = Leaving(last=last, then=OK)
    async with serve(upstream) as url:
        egress = Egress([url])
        await ask(egress, url)
        with pytest.raises(error):
            await ask(egress, url)
    assert [len(requests) for requests in upstream.requests] == [2]


async def test_silence_is_no_end() -> None:
    asked = 0

    async def handler(reader: Reader, writer: Writer) -> None:
        nonlocal asked
        while True:
            await head_of(reader)
            asked += 1
            if asked == 1:
                writer.write(OK)

    async with serve(handler) as url:
        egress = Egress([url])
        async with egress.request("GET", url) as response:
            await response.read()
        with pytest.raises(Timeout):
            async with egress.request("GET", url, timeouts=Timeouts(first_byte=0.05)):
                pass
    assert asked == 2


async def test_both_connections_share_the_time_to_the_first_byte() -> None:
    async with serve(Hanging(b"")) as url:
        loop = asyncio.get_running_loop()
        host, _, port = url.removeprefix("http://").partition(":")
        _, connection = await loop.create_connection(lambda: Connection(Alarm(loop), Heads()), host, int(port))
        connection.send(b"GET / HTTP/1.1\r\n\r\n", Timeouts(first_byte=60.0), since=loop.time() - 60.0)
        async with asyncio.timeout(PATIENCE):
            await connection.more()
        with pytest.raises(Timeout, match="60 s"):
            connection.answered()


async def test_an_origin_that_was_forbidden_meanwhile_is_not_asked_again() -> None:
    egress = Egress()
    upstream = Leaving(then=OK)

    async def handler(reader: Reader, writer: Writer) -> None:
        try:
            await upstream(reader, writer)
        finally:
            egress.disallow(url)

    async with serve(handler) as url:
        egress.allow(url)
        await ask(egress, url)
        with pytest.raises(PermissionDenied):
            await ask(egress, url)
    assert [len(requests) for requests in upstream.requests] == [2]


async def test_cancelling_closes_the_second_connection_too() -> None:
    second = Hanging(b"")
    count = 0

    async def handler(reader: Reader, writer: Writer) -> None:
        nonlocal count
        count += 1
        if count > 1:
            await second(reader, writer)
            return
        await head_of(reader)
        writer.write(OK)
        await head_of(reader)

    async with serve(handler) as url, asyncio.timeout(PATIENCE):
        egress = Egress([url])
        async with egress.request("GET", url) as response:
            await response.read()
        task = asyncio.create_task(ask(egress, url))
        await second.asked.acquire()
        task.cancel()
        await second.all_left(1)
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_the_other_pooled_connections_are_not_tried() -> None:
    """After a restart of the service all of them are dead: going through them would lose the request again and again."""
    upstream = Leaving(then=OK)
    both = asyncio.Barrier(2)

    async def handler(reader: Reader, writer: Writer) -> None:
        if len(upstream.requests) >= 2:
            await upstream(reader, writer)
            return
        upstream.requests.append([])
        await head_of(reader)
        await reader.readexactly(4)
        await both.wait()
        writer.write(OK)
        await head_of(reader)

    async with serve(handler) as url:
        egress = Egress([url])
        await asyncio.gather(ask(egress, url), ask(egress, url))
        assert await ask(egress, url) == b"ok"
        await egress.close()
    assert [len(requests) for requests in upstream.requests] == [0, 0, 1]
