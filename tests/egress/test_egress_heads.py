"""Answers with the usual head come without the parser, and mean what the parser says."""

from __future__ import annotations

import asyncio
import random

import httptools
import pytest

from promptd.core.errors import InvalidOutput, NetworkError, PermissionDenied, PromptExecutionError, Timeout
from promptd.core.ports import FixedHeaders, Timeouts
from promptd.egress import Egress
from promptd.egress.heads import Heads
from promptd.testing.sockets import Hanging, Reader, Writer, head_of, serve

PATIENCE = 10.0
HEAD = b"HTTP/1.1 200 OK\r\nDate: Sun, 22 Nov 2026 04:38:43 GMT\r\nContent-Length: %d\r\nX-Id: %s\r\n\r\n"


def usual(body: bytes, name: bytes = b"r-1") -> bytes:
    return HEAD % (len(body), name) + body


class Script:
    """Answers the requests of all connections with one packet after the other."""

    def __init__(self, *packets: bytes) -> None:
        self._packets = list(packets)
        self.connections = 0

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        self.connections += 1
        while self._packets:
            await head_of(reader)
            await reader.readexactly(4)
            writer.write(self._packets.pop(0))
        await reader.read()


async def post(egress: Egress, url: str, timeouts: Timeouts | None = None, most: int = 1000) -> tuple[bool, int, bytes]:
    """Whether the answer came at once, its status and its body."""
    exchange = egress.request("POST", url, body=b"body", timeouts=timeouts or Timeouts(), max_bytes=most)
    body = await exchange.whole()
    if body is not None:
        return True, 200, body
    async with exchange as response:
        return False, response.status, await response.read()


async def test_what_has_the_usual_head_comes_at_once() -> None:
    script = Script(usual(b"one"), usual(b"two"), usual(b"three" * 100, b"\xc3\xa4 z"), usual(b""))
    async with serve(script) as url:
        egress = Egress([url])
        told = [await post(egress, url) for _ in range(4)]
        await egress.close()
    # the first one is on a new connection, and the head of the second is learned
    assert [at_once for at_once, _, _ in told] == [False, False, True, True]
    assert [body for _, _, body in told] == [b"one", b"two", b"three" * 100, b""]
    assert script.connections == 1


@pytest.mark.parametrize(
    ("packet", "status", "body"),
    [
        (b"HTTP/1.1 404 OK\r\nDate: x\r\nContent-Length: 2\r\nX-Id: a\r\n\r\nno", 404, b"no"),
        (
            b"HTTP/1.1 200 OK\r\nDate: x\r\nTransfer-Encoding: chunked\r\nX-Id: a\r\n\r\n2\r\nok\r\n0\r\n\r\n",
            200,
            b"ok",
        ),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + usual(b"ok"), 200, b"ok"),
        (HEAD.replace(b"X-Id", b"X-Other") % (2, b"") + b"ok", 200, b"ok"),
    ],
)
async def test_whatever_else_comes_is_understood_as_ever(packet: bytes, status: int, body: bytes) -> None:
    script = Script(usual(b"one"), usual(b"two"), usual(b"three"), packet, usual(b"five"))
    async with serve(script) as url:
        egress = Egress([url])
        assert [(await post(egress, url))[0] for _ in range(3)] == [False, False, True]
        assert await post(egress, url) == (False, status, body)
        assert (await post(egress, url))[2] == b"five"
        await egress.close()
    assert script.connections == 1


@pytest.mark.parametrize(
    ("packet", "error"),
    [
        (HEAD.replace(b"X-Id", b"Transfer-Encoding") % (7, b"chunked") + b"0\r\n\r\n\r\n", InvalidOutput),
        (HEAD.replace(b"X-Id", b"Content-Length") % (2, b"3") + b"ok", InvalidOutput),
        (HEAD % (2, b"a\x01") + b"ok", InvalidOutput),
        (HEAD % (2, b"a\nb") + b"ok", InvalidOutput),
        (usual(b"x" * 1001), InvalidOutput),
        (usual(b"")[:-2], Timeout),
        (usual(b"whole")[:-1], Timeout),
    ],
)
async def test_a_broken_answer_behind_usual_ones_is_none(packet: bytes, error: type[PromptExecutionError]) -> None:
    script = Script(usual(b"one"), usual(b"two"), packet, usual(b"new"))
    async with serve(script) as url:
        egress = Egress([url])
        await post(egress, url)
        await post(egress, url)
        with pytest.raises(error):
            await post(egress, url, Timeouts(first_byte=0.2, between_bytes=0.2))
        assert await post(egress, url) == (False, 200, b"new")
        await egress.close()
    assert script.connections == 2


@pytest.mark.parametrize("at", [len(usual(b"three")) - 2, len(usual(b"three")) - 5])
async def test_an_answer_in_two_packets_does_not_come_at_once(at: int) -> None:
    rest = asyncio.Event()

    async def handler(reader: Reader, writer: Writer) -> None:
        for answer in (usual(b"one"), usual(b"two")):
            await head_of(reader)
            await reader.readexactly(4)
            writer.write(answer)
        await head_of(reader)
        writer.write(usual(b"three")[:at])
        await rest.wait()
        writer.write(usual(b"three")[at:])
        await reader.read()

    async with serve(handler) as url:
        egress = Egress([url])
        for _ in range(2):
            await post(egress, url)
        exchange = egress.request("POST", url, body=b"body")
        whole = asyncio.create_task(exchange.whole())
        assert await whole is None  # there is a head to be looked at
        rest.set()
        async with exchange as response:
            assert (response.status, await response.read()) == (200, b"three")
        await egress.close()


@pytest.mark.parametrize("more", [usual(b"four"), b"garbage"])
async def test_what_follows_an_answer_closes_its_connection(more: bytes) -> None:
    """One answer more than was asked for, in one packet with the other: whose is it?"""
    script = Script(usual(b"one"), usual(b"two"), usual(b"three") + more, usual(b"five"))
    async with serve(script) as url:
        egress = Egress([url])
        assert [(await post(egress, url))[2] for _ in range(4)] == [b"one", b"two", b"three", b"five"]
        await egress.close()
    assert script.connections == 2


async def test_a_connection_that_ends_is_replaced_once() -> None:
    lasts = iter([3, 9])

    async def handler(reader: Reader, writer: Writer) -> None:
        for _ in range(next(lasts)):
            await head_of(reader)
            await reader.readexactly(4)
            writer.write(usual(b"ok"))
        await head_of(reader)  # and leaves without an answer

    async with serve(handler) as url:
        egress = Egress([url])
        assert [(await post(egress, url))[0] for _ in range(5)] == [False, False, True, False, True]
        await egress.close()


async def test_a_cancelled_caller_closes_the_connection() -> None:
    second = Hanging(b"")

    async def handler(reader: Reader, writer: Writer) -> None:
        await head_of(reader)
        await reader.readexactly(4)
        writer.write(usual(b"ok"))
        await second(reader, writer)

    async with serve(handler) as url, asyncio.timeout(PATIENCE):
        egress = Egress([url])
        await post(egress, url)
        task = asyncio.create_task(post(egress, url))
        await second.asked.acquire()
        task.cancel()
        await second.all_left(1)
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_nobody_is_asked_who_was_forbidden_meanwhile() -> None:
    async with serve(Script(usual(b"one"), usual(b"two"))) as url:
        egress = Egress([url])
        await post(egress, url)
        egress.disallow(url)
        with pytest.raises(PermissionDenied):
            await post(egress, url)
        egress.allow(url)
        assert (await post(egress, url))[2] == b"two"
        await egress.close()


async def test_headers_that_never_change_are_sent_like_others() -> None:
    seen: list[bytes] = []

    async def handler(reader: Reader, writer: Writer) -> None:
        while True:
            seen.append(await head_of(reader))
            writer.write(usual(b""))

    fixed, other = FixedHeaders({"x-a": "b"}), FixedHeaders({"x-a": "c"})
    async with serve(handler) as url:
        egress = Egress([url])
        for headers in (fixed, {"x-a": "b"}, fixed, other):
            async with egress.request("GET", url, headers=headers) as response:
                await response.read()
        await egress.close()
    assert seen[0] == seen[1] == seen[2] != seen[3]
    assert b"\r\nx-a: c\r\n" in seen[3]


# ------------------------------------------------------------------ the parser as the judge


class Judge:
    """What httptools makes of a packet."""

    def __init__(self) -> None:
        self.body, self.stays, self.encoded, self.heads = b"", False, False, 0
        self.parser = httptools.HttpResponseParser(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.encoded = self.encoded or name.lower() == b"content-encoding"

    def on_headers_complete(self) -> None:
        self.heads += 1

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.stays = self.parser.should_keep_alive()


PLAIN = [
    b"Server: some thing",
    b"date: Sun",
    b"X:",
    b"X-Y: a\tb \xff",
    b"Via:1.1 a",
    b"Trailer: x",
    b"Content-Lengthy: 7",
]
ODD = [
    b"Connection: close", b"Connection: keep-alive", b"Transfer-Encoding: chunked", b"Content-Encoding: gzip", b" folded",
    b"Upgrade: h2c", b"a b: c", b"noname", b": x", b"Proxy-Connection: close", b"Content-Length: 5", b"content-length: +5",
]  # fmt: skip
STATUS = [
    b"HTTP/1.1 200",
    b"HTTP/1.1 200 ",
    b"HTTP/1.0 200 OK",
    b"HTTP/1.1 204 OK",
    b"HTTP/1.1 200 a\nConnection: close",
]
BREAKS = [b"\n", b"\r", b"\r\r\n", b"\r\n\r\n"]


def packet_of(chance: random.Random) -> bytes:
    status = chance.choice(STATUS) if chance.random() < 0.2 else b"HTTP/1.1 200 OK"
    lines = [
        *chance.sample(PLAIN, 2),
        chance.choice([b"Content-Length: 5", b"content-length:5", b"Content-Length: 5 "]),
    ]
    if chance.random() < 0.3:
        lines.append(chance.choice(ODD))
    chance.shuffle(lines)
    packet = status
    for line in lines:
        packet += (chance.choice(BREAKS) if chance.random() < 0.05 else b"\r\n") + line
    return packet + b"\r\n\r\nhello"


def changed(packet: bytes, chance: random.Random) -> bytes:
    """The same with some bytes of it put in, taken out or written over."""
    bytes_ = bytearray(packet)
    for _ in range(chance.randrange(4)):
        at, what = chance.randrange(len(bytes_)), chance.choice(b"\r\n\t\0 :5aA\x7f\xff-")
        place = slice(at, at + chance.randrange(2))
        bytes_[place] = bytes([what] * chance.randrange(2))
    return bytes(bytes_)


def test_the_parser_agrees_with_every_head_that_is_found() -> None:
    chance, found = random.Random(7), 0
    for _ in range(3000):
        heads, packet = Heads(), packet_of(chance)
        heads.learn(packet)
        for other in (packet, *[changed(packet, chance) for _ in range(8)]):
            head = heads.match(other)
            if head is None:
                continue
            body = other[head.end() :]
            if int(head[1]) != len(body):
                continue
            found += 1
            judge = Judge()
            judge.parser.feed_data(other)
            told = (judge.stays, judge.heads, judge.body, judge.encoded, judge.parser.get_status_code())
            assert told == (True, 1, body, False, 200), other
    assert found > 1000


def test_learning_has_a_bound() -> None:
    heads = Heads()
    for n in range(16):
        heads.learn(b"HTTP/1.1 200 OK\r\nx-%d: y\r\nContent-Length: 0\r\n\r\n" % n)
    held = heads.match
    heads.learn(b"HTTP/1.1 200 OK\r\nx-17: y\r\nContent-Length: 0\r\n\r\n")
    assert heads.match == held
    assert held(b"HTTP/1.1 200 OK\r\nx-15: z\r\nContent-Length: 7\r\n\r\n")


@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"])
async def test_a_connection_that_its_service_closes_is_not_used_again(answer: bytes) -> None:
    async with serve(Script(usual(b"one"), answer, usual(b"new"))) as url:
        egress = Egress([url])
        assert [(await post(egress, url))[2] for _ in range(3)] == [b"one", b"ok", b"new"]
        await egress.close()


async def test_an_end_without_an_answer_is_the_requests_own_fault_the_second_time() -> None:
    async with serve(Script(usual(b"one"))) as url:
        egress = Egress([url])
        await post(egress, url)

    with pytest.raises(NetworkError):
        await post(egress, url)
