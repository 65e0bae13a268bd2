"""Chunks that come one by one need no parser, and mean what the parser says, however the packets are cut."""

from __future__ import annotations

import asyncio
import random

import pytest

from promptd.core.errors import InvalidOutput
from promptd.core.ports import Timeouts
from promptd.egress.alarm import Alarm
from promptd.egress.connection import Connection
from promptd.egress.heads import Heads

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Wire(asyncio.Transport):
    """Nobody is at its other end: what comes is handed to the connection in the very packets of the test."""

    closed = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """It goes nowhere."""

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


class Upstream:
    """A connection that was asked, and what is poured out of it."""

    def __init__(self, most: int = 1 << 20) -> None:
        loop = asyncio.get_running_loop()
        self.wire, self.got, self.stop = Wire(), bytearray(), False
        self.connection = Connection(Alarm(loop), Heads())
        self.connection.connection_made(self.wire)
        self.connection.send(b"", Timeouts(), loop.time())
        self.connection.most = self.connection.left = most
        self.task = asyncio.create_task(self.connection.pour(self._take))

    def _take(self, packet: bytes) -> bool:
        self.got += packet
        return not self.stop

    async def feed(self, *packets: bytes) -> None:
        for packet in packets:
            await asyncio.sleep(0)
            self.connection.data_received(packet)
        await asyncio.sleep(0)


def chunks_of(text: bytes, chance: random.Random) -> list[bytes]:
    """As a service may write them, the end included."""
    chunks, start = [], 0
    while start < len(text):
        piece = text[start : start + chance.choice([1, 2, 10, 26, 300, 1023, 1024, 2000])]
        start += len(piece)
        size = chance.choice([b"%x", b"%X", b"%x", b"0%x", b"%x;a=b"]) % len(piece)
        chunks.append(size + b"\r\n" + piece + b"\r\n")
    return [*chunks, chance.choice([b"0\r\n\r\n", b"0\r\nx-trailer: y\r\n\r\n"])]


@pytest.mark.parametrize("seed", range(40))
async def test_every_byte_arrives_once(seed: int) -> None:
    chance = random.Random(seed)
    text = bytes(chance.choice(b"\r\n05aA;data: {}") for _ in range(6000))
    packets: list[bytes] = [HEAD]
    for chunk in chunks_of(text, chance):
        how = chance.random()
        if how < 0.2:
            packets[-1] += chunk
        elif how < 0.5:
            at = chance.choice([1, 2, 3, 4, 5, len(chunk) - 1, len(chunk) - 2, len(chunk) // 2])
            packets += [part for part in (chunk[:at], chunk[at:]) if part]
        else:
            packets.append(chunk)
    upstream = Upstream()
    await upstream.feed(*packets)
    assert await upstream.task is False
    assert bytes(upstream.got) == text
    assert upstream.connection.rest()


@pytest.mark.parametrize(
    "packet",
    [
        b"g\r\nx\r\n",
        b"-5\r\nhello\r\n",
        b"5\r\nhell\r\n",
        b"5\r\nhello\n\n",
        b" 5\r\nhello\r\n",
        b"5 5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"5\r\nhelloo\r\n",
        b"\r\n5\r\nhello\r\n",
        b"5\nhello\r\n",
    ],
)
async def test_what_is_no_chunk_is_none_behind_good_ones(packet: bytes) -> None:
    upstream = Upstream()
    await upstream.feed(HEAD, b"3\r\none\r\n", b"3\r\ntwo\r\n", packet, b"1\r\nx\r\n" * 3)
    with pytest.raises(InvalidOutput, match="proper HTTP"):
        await upstream.task
    assert upstream.got.startswith(b"onetwo")
    assert upstream.wire.closed


@pytest.mark.parametrize("at", [1, 2, 3])
async def test_a_head_of_a_chunk_that_ends_with_its_packet_is_one(at: int) -> None:
    """What looks like a chunk then is the inside of one."""
    inside = b"3\r\ntwo\r\n"
    whole = b"%x\r\n%b\r\n" % (len(inside), inside)
    upstream = Upstream()
    await upstream.feed(HEAD, b"3\r\none\r\n" + whole[:at], whole[at:], b"0\r\n\r\n")
    assert await upstream.task is False
    assert bytes(upstream.got) == b"one" + inside


async def test_the_bound_holds_for_chunks_one_by_one() -> None:
    upstream = Upstream(most=8)
    await upstream.feed(HEAD, b"3\r\none\r\n", b"3\r\ntwo\r\n", b"3\r\nten\r\n")
    with pytest.raises(InvalidOutput, match="larger than 8 bytes"):
        await upstream.task
    assert upstream.wire.closed


async def test_who_has_enough_gets_no_more() -> None:
    upstream = Upstream()
    await upstream.feed(HEAD, b"3\r\none\r\n")
    upstream.stop = True
    upstream.connection.data_received(b"3\r\ntwo\r\n")
    upstream.connection.data_received(b"3\r\nten\r\n")
    assert await upstream.task is True
    assert bytes(upstream.got) == b"onetwo"
    assert upstream.connection.take() == b"ten"


async def test_an_error_of_the_one_who_takes_is_his_own() -> None:
    upstream = Upstream()
    await upstream.feed(HEAD, b"3\r\none\r\n")
    upstream.got = None  # type: ignore[assignment]  # so that taking fails
    await upstream.feed(b"3\r\ntwo\r\n")
    with pytest.raises(TypeError):
        await upstream.task
    assert not upstream.wire.closed


async def test_a_cancelled_one_gets_no_more() -> None:
    upstream = Upstream()
    await upstream.feed(HEAD, b"3\r\none\r\n")
    upstream.task.cancel()
    upstream.connection.data_received(b"3\r\ntwo\r\n")
    with pytest.raises(asyncio.CancelledError):
        await upstream.task
    assert bytes(upstream.got) == b"one"
