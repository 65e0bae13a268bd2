"""uvicorn's HTTP protocol with bounds on what a peer may send and how long it may take, and problems (RFC 9457) for
what it refuses. And one door more: an app may cut a connection whose peer takes nothing.

A closed transport first tries to flush what is buffered, which a stuck peer never takes; only `abort` frees it.

A request that arrives in one packet costs a few comparisons here; a timer is armed only for one that stays incomplete.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar, Final

import httptools
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl, service_unavailable
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as _Base

from promptd.core.errors import Overloaded
from promptd.faces.asgi import ABORT, GONE, REPLY, Problem, encode, problem_of, send_problem

#: What a connection is in the middle of.
_BETWEEN, _HEAD, _BODY, _REFUSED = range(4)


def _problem(status: int, title: str, detail: str, code: str, *, retryable: bool = False) -> Problem:
    return Problem(type="about:blank", title=title, status=status, detail=detail, code=code, retryable=retryable)


MALFORMED: Final = _problem(400, "Bad Request", "this is not an HTTP/1.1 request", "malformed_request")
HEAD_LATE: Final = _problem(
    408, "Request Timeout", "the request's head did not arrive in time", "request_timeout", retryable=True
)
BODY_LATE: Final = _problem(
    408, "Request Timeout", "the request's body stopped arriving", "request_timeout", retryable=True
)
TARGET_TOO_LONG: Final = _problem(414, "URI Too Long", "the request's target is too long", "target_too_long")
HEAD_TOO_LARGE: Final = _problem(
    431, "Request Header Fields Too Large", "the request's header fields are too large or too many", "head_too_large"
)


#: Few connections ever have requests that wait for the answer of the one before, and an empty queue is 700 bytes.
_NO_PIPELINE: Final[deque[Any]] = deque()


class _Refusal(Exception):
    """Leaves the parser's callback, so that it stops in the middle of its packet."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem


class _Flow(FlowControl):
    """uvicorn's, with an event only while somebody waits: its queue would be a good part of what an idle stream costs."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.read_paused = self.write_paused = False
        self._resumed: asyncio.Event | None = None

    async def drain(self) -> None:
        if self.write_paused:
            if self._resumed is None:
                self._resumed = asyncio.Event()
            await self._resumed.wait()

    def pause_writing(self) -> None:
        self.write_paused = True

    def resume_writing(self) -> None:
        self.write_paused = False
        if self._resumed is not None:
            self._resumed.set()
            self._resumed = None


class Protocol(_Base):
    """For `uvicorn.Config(http=…)`. The bounds are class attributes: a subclass may set others.

    The callbacks of every request name the base class: `super()` there costs a whole microsecond per request.
    """

    # Beside uvicorn's attributes these would make a dict that no two connections can share the keys of.
    __slots__ = ("_alarm", "_idle_bytes", "_moved", "_packet", "_since", "_stage")

    head_bytes: ClassVar[int] = 65_536
    """Largest request head. Also the most that a body's framing and trailers may take between two pieces of it."""
    head_fields: ClassVar[int] = 200
    target_bytes: ClassVar[int] = 16_384
    head_seconds: ClassVar[float] = 10.0
    """A head must be whole this long after its first byte."""
    body_seconds: ClassVar[float] = 30.0
    """A body must go on within this time, and end within it once the answer is complete."""
    silent_seconds: ClassVar[float] = 30.0
    """A new connection must send its first byte within this time."""
    linger_seconds: ClassVar[float] = 1.0
    """What a refused peer still sends is read this long: closing at once would reset it before it reads the answer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pipeline = _NO_PIPELINE
        self._stage = _BETWEEN
        self._packet = 0  # bytes of the packet that is being parsed
        self._idle_bytes = 0  # bytes since a head was whole, a piece of a body came or a message ended
        self._moved = False  # whether one of these, or the begin of a message, is in this packet
        self._since = 0.0  # loop time of the last such packet
        self._alarm: asyncio.TimerHandle | None = None

    # ------------------------------------------------------------ the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self.flow = _Flow(transport)
        # uvicorn's own timer for a connection between two requests, which the first byte stops
        self.timeout_keep_alive_task = self.loop.call_later(self.silent_seconds, self.timeout_keep_alive_handler)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        self._unset_keepalive_if_required()
        cycle = self.cycle
        super().connection_lost(exc)
        if cycle is not None and not cycle.response_complete:
            # taken away: who only now begins to listen has to ask, and is told at once
            leavers: list[Callable[[], None]] = cycle.scope["extensions"].pop(GONE)  # type: ignore[assignment]
            for leave in leavers:
                leave()

    def data_received(self, data: bytes) -> None:
        if self._stage == _REFUSED:
            return
        self._unset_keepalive_if_required()
        self._packet = len(data)
        self._idle_bytes += self._packet
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._upgrade()
        except httptools.HttpParserError as error:
            # the parser wraps what a callback raised
            cause = error.__context__
            self._refuse(cause.problem if isinstance(cause, _Refusal) else MALFORMED)
            return
        if self._idle_bytes > self.head_bytes:
            self._refuse(HEAD_TOO_LARGE)
        elif self._stage != _BETWEEN or self._idle_bytes:
            self._watch()
        elif self._alarm is not None:
            self._unwatch()

    def _upgrade(self) -> None:
        if self._should_upgrade():
            self._unwatch()
            self.handle_websocket_upgrade()
        else:
            # The request is answered as if it had not asked. Its connection ends with it: the parser takes no more.
            self.cycle.keep_alive = False
        self._stage, self._idle_bytes = _BETWEEN, 0

    # ------------------------------------------------------------ the parser's callbacks

    def on_message_begin(self) -> None:
        _Base.on_message_begin(self)
        self.scope["extensions"] = {ABORT: self.transport.abort, GONE: []}  # type: ignore[dict-item]
        self._stage, self._moved = _HEAD, True

    def on_url(self, url: bytes) -> None:
        self.url += url
        if len(self.url) > self.target_bytes:
            raise _Refusal(TARGET_TOO_LONG)

    def on_headers_complete(self) -> None:
        if self.pipeline is _NO_PIPELINE and self.cycle is not None and not self.cycle.response_complete:
            self.pipeline = deque()
        if len(self.headers) > self.head_fields:
            raise _Refusal(HEAD_TOO_LARGE)
        # counting each head would cost more than all the rest: most can't be too large
        may_be_large = self._packet > self.head_bytes or self._idle_bytes > self.head_bytes
        if may_be_large and self._head_size() > self.head_bytes:
            raise _Refusal(HEAD_TOO_LARGE)
        _Base.on_headers_complete(self)
        self._stage, self._moved, self._idle_bytes = _BODY, True, 0

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)

    def on_body(self, body: bytes) -> None:
        _Base.on_body(self, body)
        self._idle_bytes = 0
        if not self.cycle.response_complete:
            self._moved = True

    def on_message_complete(self) -> None:
        if len(self.headers) > self.head_fields:  # the trailers of a body are among them now
            raise _Refusal(HEAD_TOO_LARGE)
        _Base.on_message_complete(self)
        self._stage, self._idle_bytes = _BETWEEN, 0

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        if cycle.scope["method"] != "HEAD":  # whose answer has a length and no body
            cycle.scope["extensions"][REPLY] = partial(self._reply, cycle)  # type: ignore[assignment]
        _Base._start_asgi_task(self, cycle, _overloaded if app is service_unavailable else app)  # type: ignore[arg-type]

    def _reply(self, cycle: RequestResponseCycle, status: int, head: bytes, body: bytes) -> bool:
        """`RequestResponseCycle.send` for an answer that is complete, in one write and without its look at every header.

        `head` are lines of fields that end with a line break each; the length is added.
        """
        if cycle.response_started or cycle.disconnected or self.flow.write_paused:
            return False
        cycle.response_started = cycle.response_complete = True
        cycle.waiting_for_100_continue = False
        last = b"" if cycle.keep_alive else b"connection: close\r\n"
        self.transport.write(b"%b%bcontent-length: %d\r\n%b\r\n%b" % (STATUS_LINE[status], head, len(body), last, body))
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()
        return True

    # ------------------------------------------------------------ time

    def _watch(self) -> None:
        """Something is incomplete: it gets its time from now if it moved or is new."""
        if self._moved or self._alarm is None:
            self._moved = False
            self._since = self.loop.time()
        if self._alarm is None:
            self._arm(self._limit())

    def _unwatch(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _limit(self) -> float:
        return self.body_seconds if self._stage == _BODY else self.head_seconds

    def _arm(self, seconds: float) -> None:
        # never later than the shorter limit, so that a head which begins meanwhile is not found late
        self._alarm = self.loop.call_later(min(seconds, self.head_seconds), self._check)

    def _check(self) -> None:
        self._alarm = None
        if self.transport.is_closing():
            return
        if self._stage == _BETWEEN and self.cycle is not None and not self.cycle.response_complete:
            return  # an empty line behind a request; the time between two requests begins with its answer's end
        if self._stage == _BODY and self._waits_for_us():
            self._since = self.loop.time()
        left = self._since + self._limit() - self.loop.time()
        if left > 0:
            self._arm(left)
        else:
            self._refuse(BODY_LATE if self._stage == _BODY else HEAD_LATE)

    def _waits_for_us(self) -> bool:
        """Whether the body stands still because the app has not asked for more."""
        return self.flow.read_paused or (self.cycle.waiting_for_100_continue and not self.cycle.response_complete)

    # ------------------------------------------------------------ refusing

    def _refuse(self, problem: Problem) -> None:
        """Answer with the problem where no other answer is under way, and close."""
        self._unwatch()
        stage, self._stage = self._stage, _REFUSED
        cycle = self.cycle
        if stage == _BODY:
            free = not cycle.response_started
            cycle.disconnected = True
            cycle.message_event.set()
        else:
            free = cycle is None or cycle.response_complete
        if not free or self.pipeline:
            self.transport.close()
            return
        body = encode(problem)
        head = b"content-type: application/problem+json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[problem.status] + head + body)
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._alarm = self.loop.call_later(self.linger_seconds, self.transport.close)
        else:
            self.transport.close()


async def _overloaded(scope: Scope, receive: Receive, send: Send) -> None:
    """The answer above `limit_concurrency`."""
    problem = problem_of(Overloaded("too many connections are open"))
    await send_problem(send, problem, [(b"retry-after", b"1"), (b"connection", b"close")])
