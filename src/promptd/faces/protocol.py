"""uvicorn's HTTP protocol with bounds on what a peer may send and how long it may take, and problems (RFC 9457) for
what it refuses. And one door more: an app may cut a connection whose peer takes nothing.

A closed transport first tries to flush what is buffered, which a stuck peer never takes; only `abort` frees it.

A request that arrives in one packet costs a few comparisons here; a timer is armed only for one that stays incomplete.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar, Final

import httptools
from uvicorn.protocols.http.flow_control import HIGH_WATER_LIMIT
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol as _Base

from promptd.dialects.headers import LOWER
from promptd.faces import Front
from promptd.faces.asgi import (
    AUTHORITY,
    GONE,
    STUCK,
    STUCK_SECONDS,
    Problem,
)
from promptd.faces.cycle import Cycle, OldCycle
from promptd.faces.flow import Flow
from promptd.faces.heads import Head, head_of
from promptd.faces.protocol_problems import (
    BODY_LATE,
    HEAD_LATE,
    HEAD_TOO_LARGE,
    MALFORMED,
    TARGET_TOO_LONG,
    TUNNEL,
    Refused,
    last_answer,
    overloaded,
)
from promptd.faces.request_targets import agrees, authority_of, parts_of

#: a name of its own: what was imported is taken for a module, and to call a method of it costs twice as much
_lower: Final = LOWER.get
#: What a connection is in the middle of.
_BETWEEN, _HEAD, _BODY, _REFUSED = range(4)


#: Few connections ever have requests that wait for the answer of the one before, and an empty queue is 700 bytes.
_NO_PIPELINE: Final[deque[Any]] = deque()
#: So many heads in a row that never come again, and a connection's next ones are not remembered.
_MOST_HEADS: Final = 8


class Protocol(_Base):
    """For `uvicorn.Config(http=…)`. The bounds are class attributes: a subclass may set others.

    The callbacks of every request are written anew: uvicorn's ask the parser for the parts of every plain path, and start
    and stop a timer between any two requests.
    """

    # Beside uvicorn's attributes these would make a dict that no two connections can share the keys of.
    __slots__ = (
        "_alarm",
        "_front",
        "_head",
        "_heads_left",
        "_idle_bytes",
        "_idle_until",
        "_looks_at",
        "_most_bytes",
        "_most_fields",
        "_most_target",
        "_moved",
        "_packet",
        "_since",
        "_stage",
        "_stuck_seconds",
    )

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
    stuck_seconds: ClassVar[float] = STUCK_SECONDS
    """A peer that takes nothing of its answer for this long is dropped, where its app has no `stuck_seconds` of its own."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._stuck_seconds: float = getattr(self.app, STUCK, self.stuck_seconds)
        self._front = self.app if isinstance(self.app, Front) else None
        if self._front is not None:
            self.app = self._front.serve
        # that of the last packet, which was one whole request and nothing else; and how many that differ are remembered
        self._head: Head | None = None
        self._heads_left = _MOST_HEADS
        # the bounds once more: Python has no quick way to an attribute of the class
        self._most_bytes, self._most_fields, self._most_target = self.head_bytes, self.head_fields, self.target_bytes
        self.pipeline = _NO_PIPELINE
        self._at_work: Cycle | None = None  # the others wait behind it
        self._stage = _BETWEEN
        self._packet = 0  # bytes of the packet that is being parsed
        self._idle_bytes = 0  # bytes since a head was whole, a piece of a body came or a message ended
        self._moved = False  # whether one of these, or the begin of a message, is in this packet
        self._since = 0.0  # loop time of the last such packet
        self._alarm: asyncio.TimerHandle | None = None
        self._idle_until = 0.0  # loop time at which a connection that waits for a request is closed
        self._looks_at = 0.0  # … and at which uvicorn's timer looks whether it is

    # ------------------------------------------------------------ the connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        super().connection_made(transport)
        self.flow: Flow = Flow(transport, self._stuck_seconds)
        self._rest(self.silent_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._unwatch()
        self._unset_keepalive_if_required()
        cycle = self._at_work
        super().connection_lost(exc)
        self.flow.end()
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True  # uvicorn tells the last one that came
            cycle.set()
            # taken away: who only now begins to listen has to ask, and is told at once
            leavers: list[Callable[[], None]] = cycle.scope["extensions"].pop(GONE, [])  # type: ignore[assignment]
            for leave in leavers:
                leave()

    def data_received(self, data: bytes) -> None:
        if self._head is not None:
            head = self._head = self._head.again(data)
            if head is not None:
                self._serve_again(head, data)
                return
        if self._stage == _REFUSED:
            return
        is_next = self._stage == _BETWEEN and not self._idle_bytes
        self._packet = len(data)
        self._idle_bytes += self._packet
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._upgrade()
            return
        except httptools.HttpParserError as error:
            # the parser wraps what a callback raised
            cause = error.__context__
            self._refuse(cause.problem if isinstance(cause, Refused) else MALFORMED)
            return
        if self._idle_bytes > self._most_bytes:
            self._refuse(HEAD_TOO_LARGE)
        elif self._stage != _BETWEEN or self._idle_bytes:
            self._watch()
        else:
            if self._alarm is not None:
                self._unwatch()
            if is_next and self._heads_left:
                self._remember(data)

    def _remember(self, data: bytes) -> None:
        """What this request's head says, for the next one that has the same. Any more requests would wait behind it."""
        if self._at_work is self.cycle and self.cycle.keep_alive and self.url[:1] == b"/":
            self._heads_left -= 1
            scope: Any = self.scope
            self._head = head_of(data, scope, self.app if self._front is None else self._front.app_of(scope))

    def _upgrade(self) -> None:
        self._unwatch()
        if self._should_upgrade():
            self._unset_keepalive_if_required()  # no timer of this protocol may close the connection of the next one
            self.handle_websocket_upgrade()
        else:
            # The request is answered as if it had not asked. Its connection ends with it: the parser takes no more.
            self.cycle.keep_alive = False
        self._stage, self._idle_bytes = _BETWEEN, 0

    # ------------------------------------------------------------ the parser's callbacks

    def on_message_begin(self) -> None:
        self.url = b""
        self.expect_100_continue = False
        self.headers = []
        self._stage, self._moved = _HEAD, True

    def on_url(self, url: bytes) -> None:
        self.url += url
        if len(self.url) > self._most_target:
            raise Refused(TARGET_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        known = _lower(name)
        if known is None:
            known = name.lower()
            if known == b"expect" and value.lower() == b"100-continue":
                self.expect_100_continue = True
        self.headers.append((known, value))

    def on_headers_complete(self) -> None:
        parser = self.parser
        if len(self.headers) > self._most_fields:
            raise Refused(HEAD_TOO_LARGE)
        # counting each head would cost more than all the rest: most can't be too large
        may_be_large = self._packet > self._most_bytes or self._idle_bytes > self._most_bytes
        if may_be_large and self._head_size() > self._most_bytes:
            raise Refused(HEAD_TOO_LARGE)
        version = parser.get_http_version()
        self.scope = self._scope(version)
        self._stage, self._moved, self._idle_bytes = _BODY, True, 0
        if parser.should_upgrade() and self._should_upgrade():
            return
        kind, keep_alive = (OldCycle, False) if version == "1.0" else (Cycle, parser.should_keep_alive())
        self._serve(kind(self, self.scope, keep_alive), self.app)

    def _serve_again(self, head: Head, data: bytes) -> None:
        """A whole request of which everything but its body is known."""
        self._heads_left = _MOST_HEADS
        scope = head.scope.copy()
        scope["client"] = self.client
        self._serve(Cycle(self, scope, True, data[head.size :]), head.app)

    def _serve(self, cycle: Cycle, app: Any) -> None:
        most, before = self.limit_concurrency, self.cycle
        if most is not None and (len(self.connections) >= most or len(self.tasks) >= most):
            self.logger.warning("Exceeded concurrency limit.")
            app = overloaded
        if self.app_state:
            cycle.scope["state"] = self.app_state.copy()
        self.cycle = cycle
        if before is None or before.response_complete:
            self._start_asgi_task(cycle, app)
        else:
            if self.pipeline is _NO_PIPELINE:
                self.pipeline = deque()
            self.flow.pause_reading()
            self.pipeline.appendleft((cycle, app))

    def _scope(self, version: str) -> Any:
        url = self.url
        try:
            path, raw, query = parts_of(url)
        except httptools.HttpParserInvalidURLError:
            raise Refused(TUNNEL if self.parser.get_method() == b"CONNECT" else MALFORMED) from None
        scope = {
            "type": "http",
            "asgi": {"version": self.asgi_version, "spec_version": "2.3"},
            "http_version": version,
            "server": self.server,
            "client": self.client,
            "scheme": self.scheme,
            "root_path": self.root_path,
            "headers": self.headers,
            "method": self.parser.get_method().decode("ascii"),
            "path": self.root_path + path,
            "raw_path": self.root_path.encode("ascii") + raw if self.root_path else raw,
            "query_string": query,
        }
        if url[:1] != b"/":
            authority = authority_of(url)
            if not agrees(authority, self.headers):
                raise Refused(MALFORMED)
            if authority:
                scope[AUTHORITY] = authority
        return scope

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        # a name, because to make up one costs more; and the cycle tells its end itself: that needs no turn of the loop
        self._at_work = cycle
        task = cycle.task = asyncio.Task(cycle.run_asgi(app), loop=self.loop, name="request")
        self.tasks.add(task)

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)

    def on_body(self, body: bytes) -> None:
        cycle: Cycle = self.cycle  # type: ignore[assignment]  # made here
        self._idle_bytes = 0
        if (self.parser.should_upgrade() and self._should_upgrade()) or cycle.response_complete:
            return
        self._moved = True
        cycle.add(body)
        if len(cycle.body) > HIGH_WATER_LIMIT:
            self.flow.pause_reading()

    def on_message_complete(self) -> None:
        if len(self.headers) > self._most_fields:  # the trailers of a body are among them now
            raise Refused(HEAD_TOO_LARGE)
        cycle = self.cycle
        if not (self.parser.should_upgrade() and self._should_upgrade()) and not cycle.response_complete:
            cycle.more_body = False
            cycle.set()  # type: ignore[attr-defined]  # made here
        self._stage, self._idle_bytes = _BETWEEN, 0

    def on_response_complete(self) -> None:
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            self.flow.watch()
            return
        if self.flow.read_paused:
            self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._rest(self.timeout_keep_alive)

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

    def _rest(self, seconds: float) -> None:
        """The connection waits so long for a request. One timer looks for many requests: to stop it each time costs more."""
        until = self._idle_until = self.loop.time() + seconds
        if self.timeout_keep_alive_task is None or until < self._looks_at:
            self._unset_keepalive_if_required()
            self._looks_at = until
            self.timeout_keep_alive_task = self.loop.call_at(until, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        self.timeout_keep_alive_task = None
        if self._stage != _BETWEEN or self._idle_bytes or self.transport.is_closing():
            return
        if self.cycle is not None and not self.cycle.response_complete:
            return  # its end begins a new wait
        if self._idle_until > self.loop.time():
            self._looks_at = self._idle_until
            self.timeout_keep_alive_task = self.loop.call_at(self._idle_until, self.timeout_keep_alive_handler)
        else:
            self.transport.close()
            self.flow.watch()

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
        self.transport.write(last_answer(problem))
        if self.transport.can_write_eof():
            self.transport.write_eof()
            self._alarm = self.loop.call_later(self.linger_seconds, self.transport.close)
        else:
            self.transport.close()
