"""Bytes of an answer that are had in the very turn of the loop in which they come."""

import asyncio
import gzip

import pytest

from promptd.core.errors import InvalidOutput, NetworkError, Timeout
from promptd.core.passing_streams import pour
from promptd.core.ports import Timeouts
from promptd.egress import Egress
from promptd.testing.sockets import Handler, Hanging, Reader, Writer, answering, closing, head_of, serve

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PATIENCE = 10.0


class Glass:
    """Takes packets, and no more once it has so many bytes."""

    def __init__(self, most: int = 1 << 30) -> None:
        self._most, self._got, self.size = most, list[bytes](), 0

    @property
    def got(self) -> bytes:
        return b"".join(self._got)

    def __call__(self, packet: bytes) -> bool:
        self._got.append(packet)
        self.size += len(packet)
        return self.size < self._most


def slowly(*packets: bytes, close: bool = False) -> Handler:
    """Sends each packet once the one before is out, with a turn of the loop between them."""

    async def handler(reader: Reader, writer: Writer) -> None:
        while True:
            await head_of(reader)
            for packet in packets:
                writer.write(packet)
                await writer.drain()
                await asyncio.sleep(0)
            if close:
                return

    return handler


def cut(answer: bytes, size: int) -> list[bytes]:
    return [answer[start : start + size] for start in range(0, len(answer), size)]


def chunked(*pieces: bytes) -> bytes:
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in [*pieces, b""])


WORDS = [b"one ", b"two ", b"three"]
TEXT = b"".join(WORDS)
PACKED = gzip.compress(TEXT)
BODIES = {
    "chunked": (CHUNKED + chunked(*WORDS), False),
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(TEXT) + TEXT, False),
    "until the end": (b"HTTP/1.1 200 OK\r\n\r\n" + TEXT, True),
    "gzip": (
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked(PACKED),
        False,
    ),
}


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("size", [1, 7, 10_000], ids=lambda size: f"in packets of {size}")
@pytest.mark.parametrize("most", [1, 1 << 30], ids=["one by one", "all"])
async def test_everything_comes_whatever_the_packets_are(kind: str, size: int, most: int) -> None:
    answer, closes = BODIES[kind]
    packets = cut(answer, size)
    async with serve(slowly(*packets, close=closes)) as url:
        egress = Egress([url])
        for _ in range(2):  # and the connection serves another one where it may
            async with asyncio.timeout(PATIENCE), egress.request("GET", url) as response:
                body, got = response.chunks(), b""
                while True:
                    glass = Glass(most)
                    more = await pour(body, glass)
                    got += glass.got
                    if not more:
                        break
                assert got == TEXT
        await egress.close()


async def test_packets_are_given_while_nobody_is_awake() -> None:
    """The task that pours is woken once, at the end, however many packets come."""
    go, got = asyncio.Event(), []

    async def handler(reader: Reader, writer: Writer) -> None:
        await head_of(reader)
        writer.write(CHUNKED)
        for word in WORDS:
            await go.wait()
            go.clear()
            writer.write(b"%x\r\n%b\r\n" % (len(word), word))
        await go.wait()
        writer.write(b"0\r\n\r\n")

    def take(packet: bytes) -> bool:
        got.append((packet, asyncio.current_task()))
        go.set()
        return True

    async with serve(handler) as url, asyncio.timeout(PATIENCE), Egress([url]).request("GET", url) as response:
        asyncio.get_running_loop().call_soon(go.set)  # once it pours
        assert not await pour(response.chunks(), take)
    assert got == [(word, None) for word in WORDS]


async def test_what_is_not_taken_stays_until_it_is_asked_for_and_the_service_has_to_wait() -> None:
    stuck = asyncio.Event()
    piece, written, count = b"x" * 65_536, 0, 512

    async def handler(reader: Reader, writer: Writer) -> None:
        nonlocal written
        await head_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (count * len(piece)))
        for _ in range(count):
            writer.write(piece)
            drained = asyncio.create_task(writer.drain())
            done, _ = await asyncio.wait([drained], timeout=0.2)
            if not done:
                stuck.set()
            await drained
            written += 1

    async with serve(handler) as url, asyncio.timeout(PATIENCE), Egress([url]).request("GET", url) as response:
        body, first, rest = response.chunks(), Glass(1), Glass()
        assert await pour(body, first)
        await stuck.wait()
        assert written < count
        assert not await pour(body, rest)
    assert first.size + rest.size == count * len(piece)


async def test_what_taking_raises_is_raised_and_the_connection_is_closed() -> None:
    upstream = Hanging(CHUNKED + b"5\r\nhello\r\n")

    def take(packet: bytes) -> bool:
        raise ZeroDivisionError

    async with serve(upstream) as url, asyncio.timeout(PATIENCE):
        with pytest.raises(ZeroDivisionError):
            async with Egress([url]).request("GET", url) as response:
                await pour(response.chunks(), take)
        await upstream.all_left(1)


async def test_who_leaves_in_the_middle_closes_the_connection_and_is_given_nothing_more() -> None:
    upstream = Hanging(CHUNKED + b"5\r\nhello\r\n")
    glass, begun = Glass(), asyncio.Event()

    def take(packet: bytes) -> bool:
        begun.set()
        return glass(packet)

    async def call(url: str) -> None:
        async with Egress([url]).request("GET", url) as response:
            await pour(response.chunks(), take)

    async with serve(upstream) as url, asyncio.timeout(PATIENCE):
        calling = asyncio.create_task(call(url))
        await begun.wait()
        calling.cancel()
        await upstream.all_left(1)
        with pytest.raises(asyncio.CancelledError):
            await calling
    assert glass.got == b"hello"


@pytest.mark.parametrize(
    ("answer", "timeouts", "told"),
    [
        (CHUNKED, Timeouts(first_byte=0.05, between_bytes=9), "did not begin to answer for 0.05 s"),
        (CHUNKED + b"5\r\nhello\r\n", Timeouts(first_byte=9, between_bytes=0.05), "went silent for 0.05 s"),
    ],
)
async def test_silence_has_a_timeout(answer: bytes, timeouts: Timeouts, told: str) -> None:
    upstream = Hanging(answer)
    async with serve(upstream) as url, asyncio.timeout(PATIENCE):
        with pytest.raises(Timeout, match=told):
            async with Egress([url]).request("GET", url, timeouts=timeouts) as response:
                await pour(response.chunks(), Glass())
        await upstream.all_left(1)


async def test_the_time_between_bytes_holds_from_the_first_one_that_comes_while_pouring() -> None:
    go = asyncio.Event()

    async def handler(reader: Reader, writer: Writer) -> None:
        await head_of(reader)
        writer.write(CHUNKED)
        await go.wait()
        writer.write(b"5\r\nhello\r\n")
        await reader.read()

    asyncio.get_running_loop().call_later(0.05, go.set)
    async with serve(handler) as url, asyncio.timeout(PATIENCE):
        with pytest.raises(Timeout, match="went silent"):
            async with Egress([url]).request("GET", url, timeouts=Timeouts(9, 9, 0.05)) as response:
                await pour(response.chunks(), Glass())


@pytest.mark.parametrize("size", [1, 1000], ids=["packet by packet", "at once"])
async def test_no_more_than_the_bound_is_given(size: int) -> None:
    answer = CHUNKED + chunked(*[b"0123456789"] * 10)
    packets = cut(answer, size)
    glass = Glass()
    async with serve(slowly(*packets)) as url, asyncio.timeout(PATIENCE):
        with pytest.raises(InvalidOutput, match="larger than 35 bytes"):
            async with Egress([url]).request("GET", url, max_bytes=35) as response:
                await pour(response.chunks(), glass)
    assert len(glass.got) <= 35


@pytest.mark.parametrize(
    ("handler", "error"),
    [
        (closing(CHUNKED + b"5\r\nhello\r\n"), NetworkError),
        (answering(CHUNKED + b"5\r\nhello\r\nnonsense\r\n"), InvalidOutput),
    ],
    ids=["cut short", "not HTTP"],
)
async def test_what_came_before_a_broken_end_was_given(handler: Handler, error: type[Exception]) -> None:
    glass = Glass()
    async with serve(handler) as url, asyncio.timeout(PATIENCE):
        with pytest.raises(error):
            async with Egress([url]).request("GET", url) as response:
                await pour(response.chunks(), glass)
    assert glass.got == b"hello"
