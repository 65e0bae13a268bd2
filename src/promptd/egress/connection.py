"""One HTTP/1.1 connection to an upstream, on the event loop itself, so that dropping a call closes its socket at once."""

from __future__ import annotations

import asyncio
import select
from typing import cast

import httptools

from promptd.core.errors import InvalidOutput, NetworkError, PromptExecutionError, Timeout
from promptd.core.ports import Timeouts

#: bytes of headers, chunk heads and trailers that may come without a byte of body between them
_OVERHEAD = 64 * 1024
_HIGH_WATER = 256 * 1024


class Connection(asyncio.Protocol):
    """Serves one exchange at a time: `exchange`, then `read` to the end; then it may be used again if `reusable`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._since = 0.0  # when the request was sent, or when the present wait for more began
        self._limit = 0.0  # how long that may last
        self._paused = False
        self._idle = True
        self._lost = False
        self._begin(Timeouts(), head=False)
        self.reused = False  #: has served an exchange before
        self.resting_since = 0.0  #: in the loop's time
        self._poll: select.poll | None = None

    def _begin(self, timeouts: Timeouts, *, head: bool) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._timeouts = timeouts
        self._bodiless = head
        self._packets: list[bytes] = []
        self._buffered = 0
        self._overhead = 0
        self._headed = False
        self._speaking = False  # a byte of the body has come
        self._framed = False
        self._complete = False
        self._keep_alive = False
        self.heard = False  #: something has come since the request was sent
        self._surplus = False
        self._error: PromptExecutionError | None = None
        self.status = 0
        self.headers: dict[str, str] = {}

    # -------------------------------------------------------------- verbs

    async def exchange(
        self, request: bytes, timeouts: Timeouts, *, since: float | None = None, head: bool = False
    ) -> None:
        """Send a request and wait for status and headers. `head`: the answer has no body whatever its headers say.

        `since` is when the caller's wait began, in the loop's time, where that was before now.
        """
        self._begin(timeouts, head=head)
        self._idle = False
        if self._transport is None or self._lost:
            raise NetworkError("the service closed the connection")
        self._since = self._loop.time() if since is None else since
        self._limit = timeouts.first_byte
        self._timer = self._loop.call_at(self._since + self._limit, self._tick)
        self._transport.write(request)
        while not self._headed and self._error is None:
            await self._wait()
        if not self._headed and self._error is not None:
            raise self._error

    async def read(self) -> bytes:
        """What has come since the last call; empty at the body's end."""
        while not self._packets:
            if self._complete:
                return b""
            if self._error is not None:
                raise self._error
            if self._speaking:
                self._since = self._loop.time()
            await self._wait()
        data = self._packets[0] if len(self._packets) == 1 else b"".join(self._packets)
        self._packets.clear()
        self._buffered = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    @property
    def reusable(self) -> bool:
        """Whether the answer is complete, was read, and nothing speaks against another exchange."""
        return self._complete and self._keep_alive and not self._surplus and not self._lost and not self._packets

    @property
    def fresh(self) -> bool:
        """Whether an idle connection is still open; asks the kernel, as the loop may not have seen the end yet."""
        if self._lost or self._transport is None or self._transport.is_closing():
            return False
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not self._poll.poll(0)

    @property
    def lost(self) -> bool:
        """Whether the connection is known to be closed."""
        return self._lost

    def rest(self) -> None:
        """The exchange is over and the connection waits for the next one."""
        self._stop_timer()
        self._idle = self.reused = True
        self.resting_since = self._loop.time()

    def abort(self) -> None:
        """Close the socket now, whatever is under way."""
        self._stop_timer()
        if self._transport is not None:
            self._transport.abort()

    # -------------------------------------------------------------- waiting

    async def _wait(self) -> None:
        if self._timer is None:
            self._timer = self._loop.call_at(self._since + self._limit, self._tick)
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _tick(self) -> None:
        """One timer serves a whole exchange: it looks how long the present wait is and sleeps on for the rest."""
        self._timer = None
        if self._waiter is None or self._waiter.done():
            return
        due = self._since + self._limit
        if self._loop.time() < due:
            self._timer = self._loop.call_at(due, self._tick)
        else:
            what = "went silent" if self._speaking else "did not begin to answer"
            self._fail(Timeout(f"the service {what} for {self._limit:g} s"))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _fail(self, error: PromptExecutionError) -> None:
        if self._error is None and not self._complete:
            self._error = error
        self.abort()
        self._wake()

    # -------------------------------------------------------------- asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass

    def data_received(self, data: bytes) -> None:
        if self._idle or self._complete:
            # an answer to no question: nothing on this connection can be trusted any more
            self._surplus = True
            self.abort()
            return
        self.heard = True
        self._overhead += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._surplus = True
            self._fail(InvalidOutput("the service does not speak proper HTTP", detail=repr(error)))
            return
        if self._overhead > _OVERHEAD and not self._complete:
            self._fail(InvalidOutput(f"the service sent more than {_OVERHEAD} bytes of headers"))
        elif self._buffered > _HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        if self._headed and not self._framed and not self._complete:
            # a body without a length ends with its connection
            self._complete = True
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        if not self._idle and not self._complete:
            when = "in the middle of its answer" if self._headed else "without an answer"
            self._fail(NetworkError(f"the service closed the connection {when}", detail=repr(exc)))

    # -------------------------------------------------------------- the parser's callbacks

    def on_message_begin(self) -> None:
        if self._complete:
            self._surplus = True

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._headed or self._surplus:
            return  # trailers change nothing
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        held = self.headers.get(key)
        self.headers[key] = text if held is None else f"{held}, {text}"

    def on_headers_complete(self) -> None:
        if self._complete:
            return
        self.status = self._parser.get_status_code()
        if self.status < 200:
            self.headers.clear()
            return
        self._headed = True
        self._framed = "content-length" in self.headers or "transfer-encoding" in self.headers
        if self._bodiless:
            self._complete = True
        self._wake()

    def on_body(self, body: bytes) -> None:
        if self._complete:
            return
        self._overhead = 0
        if not self._speaking:
            self._speaking = True
            self._since = self._loop.time()
            self._limit = self._timeouts.between_bytes
            self._stop_timer()
        self._packets.append(body)
        self._buffered += len(body)
        self._wake()

    def on_message_complete(self) -> None:
        if self._complete or not self._headed:
            return
        self._complete = True
        self._keep_alive = self._parser.should_keep_alive()
        self._wake()
