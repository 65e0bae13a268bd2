"""Streams that are written from their request's own task: one timer keeps the silent ones alive and drops the stuck ones.

Cheaper than `sse.Readers`, which gives each stream a task: here a chunk costs what it takes to write it.
"""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.types import Scope, Send

from promptd.faces.asgi import ABORT, WRITE, fields

_HEAD: Final = "content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\nx-accel-buffering: no\r\n"
_LOOKS: Final = 4  # per heartbeat or stuck time
_SLOWEST_LOOK: Final = 1.0
_ENDS: Final = (b"\n\n", b"\r\n\r\n")


class Live:
    """Every open stream of a face. `beat` is what a silent one sends between two events."""

    def __init__(self, *, heartbeat_seconds: float, stuck_seconds: float, beat: bytes) -> None:
        self._heartbeat, self._stuck, self._beat = heartbeat_seconds, stuck_seconds, beat
        self._open: dict[Stream, None] = {}  # a set of thousands takes three times as much
        self._timer: asyncio.TimerHandle | None = None
        self._look_every = min(heartbeat_seconds / _LOOKS, stuck_seconds / _LOOKS, _SLOWEST_LOOK)

    def __len__(self) -> int:
        return len(self._open)

    def open(self, scope: Scope, send: Send, head: str) -> Stream:
        """A stream whose head is sent with its first event, or with the first sign of life; `head` are lines of its fields
        that end with a line break each. `close` it in any case."""
        stream = Stream(scope, send, head, self._open)
        self._open[stream] = None
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._look_every, self._look)
        return stream

    def _look(self) -> None:
        now = asyncio.get_running_loop().time()
        for stream in self._open:
            if stream.moved:  # at some time since the last look, and to know that is enough
                stream.moved, stream.since = False, now
            silent = now - stream.since
            if stream.writing:
                if silent >= self._stuck:
                    stream.abort()
            elif stream.whole and silent >= self._heartbeat:
                stream.beat(self._beat)
        self._timer = asyncio.get_running_loop().call_later(self._look_every, self._look) if self._open else None


class Stream:
    """One answer on its way to one client."""

    __slots__ = (
        "_abort",
        "_at_once",
        "_beating",
        "_head",
        "_loop",
        "_others",
        "_send",
        "moved",
        "passes",
        "since",
        "started",
        "whole",
        "writing",
    )

    def __init__(self, scope: Scope, send: Send, head: str, others: dict[Stream, None]) -> None:
        short = scope.get("extensions", {})
        self._abort, self._at_once = short.get(ABORT), short.get(WRITE)
        self._send, self._head, self._others = send, head, others
        self._loop = asyncio.get_running_loop()
        self._beating: asyncio.Task[None] | None = None
        self.since = self._loop.time()  #: when the last write ended, or the one under way began
        self.started = False  #: the head is sent: an error can only be an event now
        self.moved = False  #: something was written without waiting since somebody looked
        self.passes = False  #: pieces came that are in the client's own dialect
        self.whole = True  #: what was written ends with an event, so that something may be put behind it
        self.writing = False

    def at_once(self, data: bytes) -> bool:
        """`write` for a piece that passes, made of whole events, where nothing has to be waited for; False where `write` has
        to be asked."""
        at_once, self.passes = self._at_once, True
        if at_once is None or self._beating is not None:
            return False
        if not self.started:
            if not at_once(data, _HEAD + self._head):
                return False
            self.started, self._head = True, ""
        elif not at_once(data):
            return False
        self.moved = self.whole = True
        return True

    async def write(self, data: bytes) -> None:
        """Returns when the connection takes more: this is the backpressure."""
        if self._beating is not None:
            await asyncio.wait([self._beating])
            self._beating = None
        await self._write(data)

    async def finish(self) -> None:
        if self._beating is not None:
            await asyncio.wait([self._beating])
        self.writing, self.since = (
            True,
            self._loop.time(),
        )  # so that nothing comes behind the end, which may be stuck too
        if not self.started:
            await self._start()
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    def close(self) -> None:
        """The stream is over, however it ended."""
        self._others.pop(self, None)
        if self._beating is not None:
            self._beating.cancel()

    def beat(self, data: bytes) -> None:
        if self._beating is None or self._beating.done():
            self._beating = asyncio.create_task(self._write(data), name="heartbeat")

    def abort(self) -> None:
        """Drop a client that takes nothing."""
        if self._abort is not None:
            self._abort()

    async def _start(self) -> None:
        self.started = True
        head, self._head = _HEAD + self._head, ""
        await self._send({"type": "http.response.start", "status": 200, "headers": fields(head)})

    async def _write(self, data: bytes) -> None:
        self.writing, self.since = True, self._loop.time()
        try:
            if not self.started:
                await self._start()
            await self._send({"type": "http.response.body", "body": data, "more_body": True})
        finally:
            self.writing, self.since = False, self._loop.time()
        self.whole = data.endswith(_ENDS)
