"""Closed-loop load of one kind: every connection sends its next request when the answer to the last one is whole."""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass, field
from typing import cast

import msgspec

from bench.gateway.upstream import MODEL, WORDS

_LENGTH = re.compile(rb"content-length: *(\d+)", re.I)
_PROMPT_ID = re.compile(rb"x-prompt-id: *([^\r\n]+)", re.I)
_EVENT, _DONE = b"data: {", b"data: [DONE]"
_SAMPLES = 5
_PATIENCE = 30.0  # seconds that the last answers may take


@dataclass
class Load:
    """Times in seconds. `events` are the chunks of all streams, `identifiers` some of the answers' `x-prompt-id`."""

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    firsts: list[float] = field(default_factory=list)
    events: int = 0
    errors: int = 0
    sample: bytes = b""  #: of an answer that was an error
    identifiers: list[str] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.latencies)

    @property
    def rate(self) -> float:
        return self.count / self.seconds if self.seconds else 0.0


def percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)] if ordered else float("nan")


def request(
    port: int,
    key: str,
    size: int,
    *,
    stream: bool = False,
    large: bool = False,
    keep: bool = False,
    hold: bool = False,
) -> bytes:
    """A chat whose body has about `size` bytes.

    `large` asks for a large answer, `keep` for one that is stored, `hold` for a stream that says one chunk and no more.
    """
    text = ("size:large " if large else "") + ("hold:open " if hold else "") + WORDS * (size // len(WORDS) + 1)
    system = "You are a careful assistant. Answer briefly."
    body: dict[str, object] = {"model": MODEL, "temperature": 0.2, "max_tokens": 256}
    body["messages"] = [{"role": "system", "content": system}, {"role": "user", "content": ""}]
    body |= ({"stream": True} if stream else {}) | ({"store": True} if keep else {})
    spare = size - len(msgspec.json.encode(body))
    body["messages"] = [{"role": "system", "content": system}, {"role": "user", "content": text[: max(spare, 1)]}]
    data = msgspec.json.encode(body)
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nauthorization: Bearer {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
    )
    return head.encode() + data


class _Connection(asyncio.Protocol):
    def __init__(self, run: _Run) -> None:
        self._run = run
        self._answered = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        self._send()

    def _send(self) -> None:
        if time.perf_counter() >= self._run.stop:
            self._answered = True
            self._transport.close()
            return
        self._answered = False
        self._head = self._tail = b""
        self._need: int | None = None
        self._got = self._events = 0
        self._first = 0.0
        self._begun = time.perf_counter()
        self._transport.write(self._run.request)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        if self._need is None:
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            length = _LENGTH.search(self._head, 0, end)
            self._need = int(length[1]) if length else -1
            data, self._head = self._head[end + 4 :], self._head[:end]
        self._got += len(data)
        if self._need < 0:
            seen = self._tail + data
            self._events += seen.count(_EVENT) - self._tail.count(_EVENT)
            if self._events and not self._first:
                self._first = now
            self._tail = seen[-24:]
            if self._tail.endswith(b"0\r\n\r\n"):
                self._end(now, _DONE in seen or not self._run.stream)
        elif self._got >= self._need:
            self._end(now, not self._run.stream, data)

    def _end(self, now: float, whole: bool, data: bytes = b"") -> None:
        load = self._run.load
        if whole and self._head[9:12] == b"200":
            load.latencies.append(now - self._begun)
            if self._run.stream:
                load.events += self._events
                load.firsts.append(self._first - self._begun)
            if len(load.identifiers) < _SAMPLES and (found := _PROMPT_ID.search(self._head)):
                load.identifiers.append(found[1].decode())
        else:
            load.errors += 1
            load.sample = load.sample or self._head + b"\r\n\r\n" + data
        if b"connection: close" in self._head.lower():
            self._answered = True
            self._transport.close()
        else:
            self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._answered:
            self._run.load.errors += 1
            self._run.load.sample = self._run.load.sample or b"the connection was lost"
        self._run.lost()


class _Run:
    def __init__(self, port: int, request: bytes, connections: int, seconds: float, stream: bool) -> None:
        self.port, self.request, self.stream = port, request, stream
        self.load = Load()
        self._alive = connections
        self._loop = asyncio.get_running_loop()
        self.finished: asyncio.Future[None] = self._loop.create_future()
        self.stop = time.perf_counter() + seconds
        self._connecting: set[asyncio.Task[None]] = set()

    def connect(self) -> None:
        task = self._loop.create_task(self._connect())
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self) -> None:
        try:
            await self._loop.create_connection(lambda: _Connection(self), "127.0.0.1", self.port)
        except OSError as error:
            self.load.errors += 1
            self.load.sample = self.load.sample or repr(error).encode()
            self._left()

    def lost(self) -> None:
        """A server may close a connection behind an answer; another one takes its place."""
        if time.perf_counter() < self.stop:
            self.connect()
        else:
            self._left()

    def _left(self) -> None:
        self._alive -= 1
        if self._alive <= 0 and not self.finished.done():
            self.finished.set_result(None)


async def run(port: int, one: bytes, *, connections: int, seconds: float, stream: bool = False) -> Load:
    """Send `one` again and again. What is not answered in the end is an error."""
    begun = time.perf_counter()
    running = _Run(port, one, connections, seconds, stream)
    for _ in range(connections):
        running.connect()
    try:
        await asyncio.wait_for(running.finished, seconds + _PATIENCE)
    except TimeoutError:
        running.load.errors += connections
        running.load.sample = running.load.sample or b"no answer"
    running.load.seconds = time.perf_counter() - begun
    return running.load
