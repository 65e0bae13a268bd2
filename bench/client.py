"""Closed-loop HTTP load: each connection sends its next request when the answer to the last one is whole."""

from __future__ import annotations

import asyncio
import re
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

_LENGTH = re.compile(rb"content-length: *(\d+)", re.I)


@dataclass
class Result:
    """Latencies in seconds, and how many answers had another status than the expected one."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    wrong: int = 0

    @property
    def rate(self) -> float:
        return len(self.latencies) / self.seconds if self.seconds else 0.0

    def percentile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else 0.0

    def __str__(self) -> str:
        p50, p99 = self.percentile(0.5) * 1e3, self.percentile(0.99) * 1e3
        wrong = f", {self.wrong} WRONG" if self.wrong else ""
        return f"{self.rate:8.0f}/s   p50 {p50:7.2f} ms   p99 {p99:7.2f} ms{wrong}"


class _Connection(asyncio.Protocol):
    def __init__(self, requests: Iterator[bytes], expected: bytes, result: Result, left: Callable[[], None]) -> None:
        self.requests, self.expected, self.result, self.left = requests, expected, result, left
        self.buffer = b""
        self.started = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        self.send()

    def send(self) -> None:
        request = next(self.requests, None)
        if request is None:
            self.transport.close()
            return
        self.started = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.buffer = buffer = self.buffer + data if self.buffer else data
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        match = _LENGTH.search(buffer, 0, end)
        whole = end + 4 + (int(match[1]) if match else 0)
        if len(buffer) < whole:
            return
        self.result.latencies.append(time.perf_counter() - self.started)
        if buffer[9:12] != self.expected:
            self.result.wrong += 1
        self.buffer = b""
        self.send()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self.result.wrong += 1
        self.left()


def request(method: str, path: str, key: str, body: bytes = b"") -> bytes:
    head = (
        f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def for_seconds(one: bytes, seconds: float, *, most: int = 10**9) -> Iterator[bytes]:
    """The same request until the time is up."""
    stop = time.perf_counter() + seconds
    for _ in range(most):
        if time.perf_counter() >= stop:
            return
        yield one


async def run(port: int, requests: Iterator[bytes], *, connections: int, expected: str = "200") -> Result:
    """Send `requests` over so many connections and wait for every answer."""
    loop = asyncio.get_running_loop()
    result, finished, alive = Result(), loop.create_future(), connections

    def left() -> None:
        nonlocal alive
        alive -= 1
        if not alive and not finished.done():
            finished.set_result(None)

    started = time.perf_counter()
    for _ in range(connections):
        await loop.create_connection(lambda: _Connection(requests, expected.encode(), result, left), "127.0.0.1", port)
    await finished
    result.seconds = time.perf_counter() - started
    return result


async def paced(port: int, one: bytes, *, rate: float, seconds: float, connections: int, expected: str) -> Result:
    """Offer `rate` requests a second, evenly, whatever the answers take (they queue for a free connection)."""
    gate: asyncio.Queue[bytes | None] = asyncio.Queue()
    result = Result()

    async def worker() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (item := await gate.get()) is not None:
            started = time.perf_counter()
            writer.write(item)
            head = await reader.readuntil(b"\r\n\r\n")
            match = _LENGTH.search(head)
            if match:
                await reader.readexactly(int(match[1]))
            result.latencies.append(time.perf_counter() - started)
            result.wrong += head[9:12] != expected.encode()
        writer.close()

    workers = [asyncio.create_task(worker()) for _ in range(connections)]
    started = time.perf_counter()
    sent = 0
    while (passed := time.perf_counter() - started) < seconds:
        while sent < passed * rate:
            gate.put_nowait(one)
            sent += 1
        await asyncio.sleep(0.001)
    for _ in workers:
        gate.put_nowait(None)
    await asyncio.gather(*workers)
    result.seconds = time.perf_counter() - started
    return result


def median(values: list[float]) -> float:
    return statistics.median(values) if values else 0.0
