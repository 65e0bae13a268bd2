"""What `Egress` makes of slow, large, broken and hostile answers."""

import asyncio
import gzip
import inspect
import socket
import ssl
import zlib

import httptools
import pytest

from promptd.core.errors import InvalidOutput, NetworkError, Timeout
from promptd.core.ports import HttpClient, Timeouts
from promptd.egress import Egress
from promptd.testing.sockets import Counting, Hanging, Reader, Writer, answering, closing, head_of, serve

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-One: a\r\nx-one: b\r\n\r\nok"
NOTHING = b""
HEADERS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PARTIAL_STREAM = HEADERS + b"5\r\nhello\r\n"
PARTIAL_BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello"


async def get(egress: HttpClient, url: str, **options: object) -> bytes:
    async with egress.request("GET", url, **options) as response:  # type: ignore[arg-type]
        return await response.read()


@pytest.mark.parametrize("lead", [NOTHING, HEADERS])
async def test_the_first_byte_has_a_timeout(lead: bytes) -> None:
    upstream = Hanging(lead)
    async with serve(upstream) as url:
        with pytest.raises(Timeout, match=r"did not begin to answer for 0\.05 s"):
            await get(Egress([url]), url, timeouts=Timeouts(first_byte=0.05, between_bytes=9))
        await upstream.all_left(1)


@pytest.mark.parametrize("lead", [PARTIAL_STREAM, PARTIAL_BODY])
async def test_silence_inside_an_answer_has_a_timeout(lead: bytes) -> None:
    upstream = Hanging(lead)
    async with serve(upstream) as url:
        with pytest.raises(Timeout, match=r"went silent for 0\.05 s"):
            await get(Egress([url]), url, timeouts=Timeouts(first_byte=9, between_bytes=0.05))
        await upstream.all_left(1)


async def test_a_stream_may_last_longer_than_any_timeout() -> None:
    async def handler(reader: Reader, writer: Writer) -> None:
        await head_of(reader)
        writer.write(HEADERS)
        for _ in range(16):
            writer.write(b"1\r\nx\r\n")
            await asyncio.sleep(0.025)
        writer.write(b"0\r\n\r\n")

    async with serve(handler) as url:
        body = await get(Egress([url]), url, timeouts=Timeouts(first_byte=0.25, between_bytes=0.25))
        assert body == b"x" * 16


async def test_a_slow_reader_is_no_silence() -> None:
    async with (
        serve(answering(PARTIAL_STREAM + b"0\r\n\r\n")) as url,
        Egress([url]).request("GET", url, timeouts=Timeouts(1, 0.05, 0.02)) as response,
    ):
        chunks = response.chunks()
        assert await anext(chunks) == b"hello"
        await asyncio.sleep(0.1)
        assert await anext(chunks, None) is None


async def test_connecting_has_a_timeout() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        # nobody accepts: the first connections fill the backlog and the kernel leaves the next one waiting
        address = listener.getsockname()
        fill = [socket.socket() for _ in range(4)]
        for filler in fill:
            filler.setblocking(False)
            filler.connect_ex(address)
        url = f"http://127.0.0.1:{address[1]}"
        with pytest.raises(Timeout, match=r"no connection to .* within 0\.05 s"):
            await get(Egress([url]), url, timeouts=Timeouts(connect=0.05))
        for filler in fill:
            filler.close()


# ------------------------------------------------------------------ bounds and framing


async def test_backpressure_reaches_the_upstream() -> None:
    sent = [0]

    async def handler(reader: Reader, writer: Writer) -> None:
        writer.transport.set_write_buffer_limits(0)
        await head_of(reader)
        writer.write(HEADERS)
        while not writer.is_closing():
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()
            sent[0] += 65536

    async with serve(handler) as url, Egress([url]).request("GET", url, max_bytes=1 << 40) as response:
        chunks = response.chunks()
        await anext(chunks)
        before = -1
        while before != sent[0]:
            before = sent[0]
            await asyncio.sleep(0.05)
        assert before < 32 * 1024 * 1024  # what kernels and one buffer hold; without a brake it would go on and on
        for _ in range(64):
            await anext(chunks)


async def test_a_body_beyond_its_bound_closes_the_connection() -> None:
    upstream = Hanging(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + b"x" * 2000)
    async with serve(upstream) as url:
        with pytest.raises(InvalidOutput, match="larger than 1000 bytes"):
            await get(Egress([url]), url, max_bytes=1000)
        await upstream.all_left(1)


def gzipped(data: bytes, *headers: bytes) -> bytes:
    lines = [b"HTTP/1.1 200 OK", b"Content-Encoding: gzip", b"Content-Length: %d" % len(data), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + data


async def test_gzip_is_undone() -> None:
    two_members = gzip.compress(b"hello ") + gzip.compress(b"world")
    async with serve(answering(gzipped(two_members))) as url:
        egress = Egress([url])
        assert await get(egress, url) == b"hello world"
        await egress.close()


async def test_a_gzip_bomb_is_caught_in_small_pieces() -> None:
    bomb = gzip.compress(bytes(50_000_000), 9)
    assert len(bomb) < 60_000
    async with serve(answering(gzipped(bomb))) as url, Egress([url]).request("GET", url, max_bytes=200_000) as response:
        sizes: list[int] = []

        async def read() -> None:
            async for chunk in response.chunks():
                sizes.append(len(chunk))  # noqa: PERF401 - what came before the error counts

        with pytest.raises(InvalidOutput, match="larger than 200000 bytes"):
            await read()
    assert sum(sizes) <= 200_000
    assert max(sizes) <= 65536


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (gzipped(b"no gzip at all"), "no proper gzip"),
        (gzipped(gzip.compress(b"hello" * 1000)[:-9]), "cut short"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 2\r\n\r\nok", "'br'"),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\nContent-Length: 2\r\n\r\nok", "'gzip, gzip'"),
        (bytes(range(256)), "proper HTTP"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "proper HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nok", "proper HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", "proper HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "proper HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nok\r\n", "proper HTTP"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nokay\r\n", "proper HTTP"),
        (b"HTTP/1.1 200 OK\r\nx-a: b\n\n c: d\r\n\r\n", "proper HTTP"),
        (b"HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "proper HTTP"),
        (b"HTTP/1.1 200 OK\r\n" + b"x-a: b\r\n" * 20_000 + b"\r\n", "more than 65536 bytes of headers"),
        (b"HTTP/1.1 200 OK\r\nx-a: " + b"b" * 200_000 + b"\r\n\r\n", "more than 65536 bytes of headers"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 20_000, "more than 65536 bytes of headers"),
        (HEADERS + b"1\r\nx\r\n0\r\n" + b"x-trailer: y\r\n" * 20_000, "more than 65536 bytes of headers"),
        (HEADERS + b"1;" + b"e" * 200_000, "more than 65536 bytes of headers"),
    ],
)
async def test_a_broken_answer_is_invalid_output(answer: bytes, reason: str) -> None:
    async with serve(closing(answer)) as url:
        with pytest.raises(InvalidOutput, match=reason):
            await get(Egress([url]), url)


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        PARTIAL_BODY,
        PARTIAL_STREAM,
        PARTIAL_STREAM + b"0\r\n",
        PARTIAL_STREAM + b"ff\r\nhalf",
    ],
)
async def test_an_answer_that_breaks_off_is_a_network_error(answer: bytes) -> None:
    async with serve(closing(answer)) as url:
        with pytest.raises(NetworkError, match="closed the connection"):
            await get(Egress([url]), url)


async def test_a_body_without_a_length_ends_with_its_connection() -> None:
    async with serve(closing(b"HTTP/1.1 200 OK\r\n\r\nto the end")) as url:
        assert await get(Egress([url]), url) == b"to the end"


async def test_a_trailer_changes_no_header() -> None:
    answer = b"HTTP/1.1 200 OK\r\nx-one: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx-one: b\r\nx-two: c\r\n\r\n"
    async with serve(answering(answer)) as url:
        egress = Egress([url])
        async with egress.request("GET", url) as response:
            assert await response.read() == b""
            assert dict(response.headers) == {"x-one": "a", "transfer-encoding": "chunked"}
        await egress.close()


async def test_an_early_hint_is_no_answer() -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nx-one: early\r\n\r\n"
    async with serve(answering(early + OK)) as url:
        egress = Egress([url])
        async with egress.request("GET", url) as response:
            assert (response.status, response.headers["x-one"]) == (200, "a, b")
            assert await response.read() == b"ok"
        await egress.close()


async def test_an_answer_to_head_has_no_body() -> None:
    async with serve(answering(OK.removesuffix(b"ok"))) as url, Egress([url]).request("HEAD", url) as response:
        assert await response.read() == b""


async def test_a_redirect_is_not_followed() -> None:
    upstream = Counting(answering(b"HTTP/1.1 302 Found\r\nLocation: /next\r\nContent-Length: 0\r\n\r\n"))
    async with serve(upstream) as url, Egress([url]).request("GET", url) as response:
        assert (response.status, response.headers["location"]) == (302, "/next")
        assert upstream.count == 1


async def test_the_environment_names_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with serve(answering(OK)) as url:
        egress = Egress([url])
        assert await get(egress, url) == b"ok"
        await egress.close()


# ------------------------------------------------------------------ the border


def test_every_foreign_exception_class_has_a_place_at_the_border() -> None:
    """A new class in one of these libraries needs a thought about `Connection.data_received` and `Egress.acquire`."""
    caught = (httptools.HttpParserError, httptools.HttpParserUpgrade)
    theirs = [
        kind for _, kind in inspect.getmembers(httptools) if inspect.isclass(kind) and issubclass(kind, Exception)
    ]
    assert len(theirs) >= 6
    assert [kind for kind in theirs if not issubclass(kind, caught)] == []
    assert [
        kind
        for module in (ssl, socket)
        for name, kind in inspect.getmembers(module)
        if not name.startswith("_")
        and inspect.isclass(kind)
        and issubclass(kind, Exception)
        and not issubclass(kind, OSError)
    ] == []
    assert [
        kind
        for _, kind in inspect.getmembers(zlib)
        if inspect.isclass(kind) and issubclass(kind, Exception) and kind is not zlib.error
    ] == []
