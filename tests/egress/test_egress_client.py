"""`Egress` against real sockets: requests, closing, pooling, names."""

import asyncio
import socket

import pytest

from promptd import __version__
from promptd.core.errors import ConfigUnusable, InvalidInput, NetworkError, PermissionDenied
from promptd.core.ports import HttpClient
from promptd.egress import Egress
from promptd.testing.sockets import Counting, Hanging, Reader, Writer, answering, closing, head_of, serve

PROMPTLY = 0.1  # seconds within which an upstream must see that its caller left

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-One: a\r\nx-one: b\r\n\r\nok"
NOTHING = b""
HEADERS = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PARTIAL_STREAM = HEADERS + b"5\r\nhello\r\n"
PARTIAL_BODY = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello"


async def get(egress: HttpClient, url: str, **options: object) -> bytes:
    async with egress.request("GET", url, **options) as response:  # type: ignore[arg-type]
        return await response.read()


async def test_status_headers_and_body_arrive() -> None:
    async with serve(answering(OK)) as url:
        egress = Egress([url])
        async with egress.request("GET", url) as response:
            assert response.status == 200
            assert response.headers["x-one"] == "a, b"
            assert [chunk async for chunk in response.chunks()] == [b"ok"]
        await egress.close()


async def test_the_request_is_framed_once() -> None:
    seen: list[bytes] = []

    async def handler(reader: Reader, writer: Writer) -> None:
        seen.append(await head_of(reader) + await reader.readexactly(5))
        writer.write(OK)

    async with (
        serve(handler) as url,
        Egress([url]).request("POST", f"{url}/p?q=1", headers={"x-a": "b"}, body=b"hello") as response,
    ):
        await response.read()
    host = url.removeprefix("http://")
    assert seen == [
        f"POST /p?q=1 HTTP/1.1\r\nhost: {host}\r\naccept-encoding: identity\r\n"
        f"user-agent: promptd/{__version__}\r\nx-a: b\r\n"
        f"content-length: 5\r\n\r\nhello".encode()
    ]


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({"x-a": "b\r\nx-c: d"}, "headers.x-a"),
        ({"x-a": "b\0"}, "headers.x-a"),
        ({"x-a": "\u20ac"}, "headers.x-a"),
        ({"x a": "b"}, "headers.'x a'"),
        ({"": "b"}, "headers.''"),
        ({"Host": "other"}, "headers.'Host'"),
        ({"Content-Length": "0"}, "headers.'Content-Length'"),
        ({"Transfer-Encoding": "chunked"}, "headers.'Transfer-Encoding'"),
    ],
)
def test_a_header_can_not_smuggle(headers: dict[str, str], field: str) -> None:
    with pytest.raises(ConfigUnusable) as raised:
        Egress(["http://a.test"]).request("GET", "http://a.test", headers=headers)
    assert raised.value.message.startswith(field)
    assert not any(value and value in raised.value.message for value in headers.values() if len(value) > 5)


def test_a_method_can_not_smuggle() -> None:
    with pytest.raises(InvalidInput, match=r"^method"):
        Egress(["http://a.test"]).request("GET / HTTP/1.1\r\nx: y", "http://a.test")


# ------------------------------------------------------------------ streams and closing


async def test_the_first_chunk_is_seen_before_the_second_is_sent() -> None:
    go = asyncio.Event()

    async def handler(reader: Reader, writer: Writer) -> None:
        await head_of(reader)
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n")
        await go.wait()
        writer.write(b"6\r\nsecond\r\n0\r\n\r\n")
        await reader.read()

    async with serve(handler) as url, Egress([url]).request("GET", url) as response:
        chunks = response.chunks()
        assert await anext(chunks) == b"first"
        go.set()
        assert await anext(chunks) == b"second"
        with pytest.raises(StopAsyncIteration):
            await anext(chunks)


@pytest.mark.parametrize("lead", [NOTHING, HEADERS, PARTIAL_STREAM, PARTIAL_BODY])
async def test_cancelling_closes_the_socket_at_once_200_times_over(lead: bytes) -> None:
    async def longest_wait() -> float:
        upstream = Hanging(lead)
        async with serve(upstream) as url:
            egress = Egress([url])
            tasks = [asyncio.create_task(get(egress, url)) for _ in range(200)]
            for _ in tasks:
                await upstream.asked.acquire()
            cancelled = asyncio.get_running_loop().time()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            assert all(task.cancelled() for task in tasks)
            return await upstream.all_left(200) - cancelled

    # a machine that is busy elsewhere may spoil a round, a socket that stays open spoils them all
    rounds = [await longest_wait()]
    while min(rounds) >= PROMPTLY and len(rounds) < 3:
        rounds.append(await longest_wait())
    assert min(rounds) < PROMPTLY


async def test_leaving_early_closes_the_socket() -> None:
    upstream = Hanging(PARTIAL_STREAM)
    async with serve(upstream) as url:
        exchange = Egress([url]).request("GET", url)
        async with exchange as response:
            await anext(response.chunks())
        left = asyncio.get_running_loop().time()
        assert await upstream.all_left(1) - left < PROMPTLY


# ------------------------------------------------------------------ pool


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"


@pytest.mark.parametrize("answer", [OK, CHUNKED, b"HTTP/1.1 204 No Content\r\n\r\n"])
async def test_a_finished_connection_is_used_again(answer: bytes) -> None:
    upstream = Counting(answering(answer))
    async with serve(upstream) as url:
        egress = Egress([url])
        for _ in range(5):
            await get(egress, url)
        assert upstream.count == 1
        await egress.close()


@pytest.mark.parametrize(
    "answer",
    [
        OK.replace(b"\r\nX-One", b"\r\nConnection: close\r\nX-One"),
        OK.replace(b"HTTP/1.1", b"HTTP/1.0"),
        OK + b"surplus",
        OK + OK,
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    ],
)
async def test_a_connection_that_can_not_be_trusted_is_not_used_again(answer: bytes) -> None:
    upstream = Counting(answering(answer))
    async with serve(upstream) as url:
        egress = Egress([url])
        assert [await get(egress, url) for _ in range(3)] == [b"ok"] * 3
        assert upstream.count == 3


async def test_what_comes_on_an_idle_connection_reaches_nobody() -> None:
    late, sent = asyncio.Event(), asyncio.Event()

    async def handler(reader: Reader, writer: Writer) -> None:
        await head_of(reader)
        writer.write(OK)
        if not late.is_set():
            await late.wait()
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
            await writer.drain()
            sent.set()
        await reader.read()

    upstream = Counting(handler)
    async with serve(upstream) as url:
        egress = Egress([url])
        await get(egress, url)
        late.set()
        await sent.wait()
        assert await get(egress, url) == b"ok"
        assert upstream.count == 2
        await egress.close()


async def test_a_connection_that_its_server_closed_meanwhile_is_not_used() -> None:
    upstream = Counting(closing(OK))
    async with serve(upstream) as url:
        egress = Egress([url])
        for _ in range(5):
            assert await get(egress, url) == b"ok"
        assert upstream.count == 5


async def test_idle_connections_are_bounded_and_expire() -> None:
    left: asyncio.Queue[None] = asyncio.Queue()
    inside, all_in = [0], asyncio.Event()

    async def handler(reader: Reader, writer: Writer) -> None:
        await head_of(reader)
        inside[0] += 1
        if inside[0] == 3:
            all_in.set()
        await all_in.wait()
        writer.write(OK)
        await reader.read()
        left.put_nowait(None)

    async with serve(handler) as url:
        egress = Egress([url], max_idle=2, idle_seconds=0.05)
        await asyncio.gather(*[get(egress, url) for _ in range(3)])
        async with asyncio.timeout(2):
            await left.get()
            assert left.empty()
            await left.get()
            await left.get()


async def test_closing_the_egress_closes_idle_connections() -> None:
    left = asyncio.Event()

    async def handler(reader: Reader, writer: Writer) -> None:
        await head_of(reader)
        writer.write(OK)
        await reader.read()
        left.set()

    async with serve(handler) as url:
        egress = Egress([url])
        await get(egress, url)
        await egress.close()
        async with asyncio.timeout(PROMPTLY):
            await left.wait()


# ------------------------------------------------------------------ names and policy


async def test_a_public_name_must_not_lead_inside() -> None:
    looked_up: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        looked_up.append(host)
        return ["93.184.215.14", "127.0.0.1"]

    with pytest.raises(PermissionDenied):
        await get(Egress(public=True, resolve=resolve), "http://rebinding.test")
    assert looked_up == ["rebinding.test"]


async def test_the_one_look_up_that_is_checked_is_the_one_that_is_called() -> None:
    looked_up: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        looked_up.append(host)
        return ["127.0.0.1"]

    async with serve(answering(OK)) as url:
        name = f"http://only-our-resolver-knows.test:{url.rpartition(':')[2]}"
        egress = Egress([name], resolve=resolve)
        assert await get(egress, name) == b"ok"
        assert looked_up == ["only-our-resolver-knows.test"]
        await egress.close()


async def test_a_named_origin_may_be_an_inner_address_and_its_second_one_is_tried() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        return ["127.0.0.2", "127.0.0.1"]

    async with serve(answering(OK)) as url:
        port = url.rpartition(":")[2]
        egress = Egress([f"http://inner.test:{port}/v1"], resolve=resolve)
        assert await get(egress, f"http://inner.test:{port}/else") == b"ok"
        await egress.close()


async def test_origins_can_be_allowed_later_and_by_any_port() -> None:
    async with serve(answering(OK)) as url:
        egress = Egress()
        with pytest.raises(PermissionDenied):
            await get(egress, url)
        egress.allow("http://127.0.0.1:*")
        assert await get(egress, url) == b"ok"
        egress.disallow("http://127.0.0.1:*")
        with pytest.raises(PermissionDenied):
            await get(egress, url)
        await egress.close()


async def test_nobody_there_is_a_network_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(NetworkError, match="no connection"):
        await get(Egress([url]), url)


async def test_an_unknown_name_is_a_network_error() -> None:
    async def resolve(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "unknown")

    with pytest.raises(NetworkError, match=r"no connection to nowhere\.test"):
        await get(Egress(["http://nowhere.test"], resolve=resolve), "http://nowhere.test")
