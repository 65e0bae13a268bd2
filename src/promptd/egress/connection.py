"""One HTTP/1.1 connection to an upstream, on the event loop itself, so that dropping a call closes its socket at once."""

from __future__ import annotations

import asyncio
import re
import select
from typing import Any, cast

import httptools

from promptd.core.errors import InvalidOutput, NetworkError, PromptExecutionError, Timeout
from promptd.core.passing_streams import Take
from promptd.core.ports import Timeouts
from promptd.egress.alarm import Alarm
from promptd.egress.heads import Heads

#: bytes of headers, chunk heads and trailers that may come without a byte of body between them
_OVERHEAD = 64 * 1024
_HIGH_WATER = 256 * 1024
_FRAMES = (b"content-length", b"transfer-encoding")
_ENCODING = b"content-encoding"
_LENGTH = len(_ENCODING)
_OK = 200
_NO_FIELDS: list[tuple[bytes, bytes]] = []  # of a head that is over; nothing is ever added to it
_BREAK = b"\r\n"
_USUAL = 1024  # bytes of a chunk; most of a stream's have less
#: of chunks, as they are written in front of them
_SIZES = {form % size: size for size in range(1, _USUAL) for form in (b"%x", b"%X")}


class Connection(asyncio.Protocol):
    """Serves one exchange at a time: `send`, `more` until it has `answered`, then `take` to the end; then it may be used
    again if it can `rest`. Or `ask`, for an answer that is expected to come all at once."""

    # fmt: off
    __slots__ = (
        "_alarm", "_asked", "_between", "_bodiless", "_buffered", "_complete", "_error", "_fields", "_framed",
        "_headed", "_heads", "_idle", "_keep_alive", "_limit", "_loop", "_lost", "_news", "_overhead", "_packets",
        "_parser", "_paused", "_poll", "_speaking", "_surplus", "_take", "_timeouts", "_transport", "_waiter",
        "encoded", "heard", "left", "most", "resting_since", "reused", "since", "status",
    )
    # fmt: on

    def __init__(self, alarm: Alarm, heads: Heads) -> None:
        """`alarm` ends waits that last too long, `heads` knows what the service's answers look like."""
        self._alarm, self._heads = alarm, heads
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Any] | None = None
        self._take: Take | None = None  # gets what comes, while somebody pours
        self._limit = 0.0  # how long the present wait may last
        self._paused = False
        self._idle = True
        self._asked = False  # somebody waits for all of an answer of which nothing has come yet
        self._lost = False
        self._packets: list[bytes] = []
        self._parser: httptools.HttpResponseParser | None = None
        self._timeouts, self._bodiless = Timeouts(), False
        self._begin()
        self.most = self.left = 0  #: bytes that may come, in all and still
        self.since = 0.0  #: when the request was sent, or when the present wait for more began, in the loop's time
        self.reused = False  #: has served an exchange before
        self.resting_since = 0.0  #: in the loop's time
        self._poll: select.poll | None = None

    def _begin(self) -> None:
        """As if nothing had come before."""
        if self._parser is None:
            self._parser = httptools.HttpResponseParser(self)
        self._buffered = self._overhead = 0
        self._headed = self._complete = self._keep_alive = self._surplus = False
        self._speaking = False  # a byte of the body has come
        self._news = False  # something has come that may be waited for
        self.heard = False  #: something has come since the request was sent
        self.encoded = False  #: the body is not written plainly
        self._between = False  # the next byte is the first of a chunk
        self._framed = False  # what was forgotten of the head says where the body ends
        self._error: PromptExecutionError | None = None
        self.status = 0
        self._fields: list[tuple[bytes, bytes]] = []  # of the answer's head

    # -------------------------------------------------------------- verbs

    def send(self, request: bytes, timeouts: Timeouts, since: float, head: bool = False) -> None:
        """Send a request. `head`: the answer has no body whatever its headers say. `since` is when the caller's wait began,
        in the loop's time."""
        if self.heard:
            self._begin()
        self._timeouts, self._bodiless = timeouts, head
        self._idle = False
        self.since, self._limit = since, timeouts.first_byte
        if self._transport is None or self._lost:
            raise NetworkError("the service closed the connection")
        self._transport.write(request)

    def ask(self, request: bytes, timeouts: Timeouts, most: int) -> asyncio.Future[bytes | None]:
        """As `send`. To be awaited: the body of a usual answer of at most `most` bytes that came all at once, and the
        connection has served its exchange. None: ask whether it has `answered`, as after `more`."""
        self.send(request, timeouts, self._loop.time())
        self._asked, self.left = True, most
        return self.more()

    def answered(self) -> bool:
        """Whether status and headers are there. Raises what has happened instead."""
        if self._error is not None and not self._headed:
            raise self._error
        return self._headed

    def more(self) -> asyncio.Future[Any]:
        """To be awaited: something has come, or nothing will."""
        due = self.since + self._limit
        if due < self._alarm.rings:
            self._alarm.set(due)
        waiter = self._waiter = self._loop.create_future()
        return waiter

    def take_whole(self, most: int) -> bytes | None:
        """The body, where all of it has come in one packet of at most `most` bytes and is written plainly."""
        packets = self._packets
        if not self._complete or self.encoded or len(packets) != 1 or len(packets[0]) > most or self._paused:
            return None
        return packets.pop()

    def take(self) -> bytes | None:
        """What has come since the last call; empty at the body's end, None where `more` must be awaited first."""
        packets = self._packets
        if not packets:
            if self._complete:
                return b""
            if self._error is not None:
                raise self._error
            if self._speaking:
                self.since = self._loop.time()
            return None
        data = packets[0] if len(packets) == 1 else b"".join(packets)
        packets.clear()
        self._buffered = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    async def pour(self, take: Take) -> bool:
        """Give what comes to `take`, in the turn of the loop in which it comes, until that returns False: True then, and
        False at the body's end. Raises `InvalidOutput` beyond `left` bytes, and what `take` raises."""
        while (data := self.take()) != b"":
            if data is not None:
                self.count(data)
                if not take(data):
                    return True
                continue
            self._take = take
            try:
                if await self.more():
                    return True
            finally:
                self._take = None
        return False

    def count(self, data: bytes) -> None:
        """Bytes of the body that somebody gets. Raises `InvalidOutput` where they are more than `left`."""
        self.left -= len(data)
        if self.left < 0:
            self.abort()
            raise InvalidOutput(f"the service's answer is larger than {self.most} bytes")

    def forget_head(self) -> None:
        """Nobody asks for `headers` any more: a body may take long, and there may be many."""
        self._framed = self._has_length()
        self._fields = _NO_FIELDS

    def _has_length(self) -> bool:
        return self._framed or any(name.lower() in _FRAMES for name, _ in self._fields)

    @property
    def headers(self) -> dict[str, str]:
        """Of the answer, names in lower case; made when they are asked for."""
        found: dict[str, str] = {}
        for name, value in self._fields:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1")
            held = found.get(key)
            found[key] = text if held is None else f"{held}, {text}"
        return found

    def is_fresh(self) -> bool:
        """Whether an idle connection is still open and silent; asks the kernel, as the loop may not have seen it yet."""
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

    def rest(self) -> bool:
        """The exchange is over and the connection waits for the next one. False where it can't serve another: the answer is
        not complete, was not read, or something came behind it."""
        if not self._idle and (not self._complete or not self._keep_alive or self._packets):
            return False
        if self._surplus or self._lost:
            return False
        if self._bodiless:
            self._parser = None  # it would wait for the body
        self._idle = self.reused = True
        self.resting_since = self._loop.time()
        return True

    def abort(self) -> None:
        """Close the socket now, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()

    # -------------------------------------------------------------- waiting

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _answer(self, packet: bytes, head: re.Match[bytes]) -> bool:
        """Hand over the body behind a usual head, where it is whole. The parser need not know of it."""
        waiter, begin, size = self._waiter, head.end(), int(head[1])
        if size != len(packet) - begin or size > self.left or waiter is None or waiter.done():
            return False
        self._idle = True
        waiter.set_result(packet[begin:])
        return True

    def _hand_on(self, take: Take, data: bytes) -> None:
        """Something has come while somebody pours. What is called here must not end the connection for its errors."""
        self.since = self._loop.time()
        self.left -= len(data)
        try:
            if self.left < 0:
                self.count(b"")
            elif take(data):
                return
        except BaseException as error:  # whatever it is, it is for the one who pours
            self._waiter.set_exception(error)  # type: ignore[union-attr]  # who pours waits
        else:
            self._waiter.set_result(True)  # type: ignore[union-attr]

    def _pour_on(self, take: Take) -> None:
        """As `_hand_on`, for what the parser has found."""
        data = b"".join(self._packets)
        self._packets.clear()
        self._buffered = 0
        if data:
            self._hand_on(take, data)
        if self._complete and self._pours():
            self._wake()

    def _pours(self) -> bool:
        """Whether somebody waits for pieces; who was told of the end, or cancelled, does so no more."""
        return self._take is not None and not self._waiter.done()  # type: ignore[union-attr]  # who pours waits

    def due(self) -> float | None:
        if self._idle or self._waiter is None or self._waiter.done():
            return None
        return self.since + self._limit

    def give_up(self) -> None:
        what = "went silent" if self._speaking else "did not begin to answer"
        self._fail(Timeout(f"the service {what} for {self._limit:g} s"))

    def _fail(self, error: PromptExecutionError) -> None:
        if self._error is None and not self._complete:
            self._error = error
        self.abort()
        self._wake()

    # -------------------------------------------------------------- asyncio's callbacks

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass
        self._alarm.add(self)

    def data_received(self, data: bytes) -> None:
        if self._idle or self._complete:
            # an answer to no question: nothing on this connection can be trusted any more
            self._surplus = True
            self.abort()
            return
        take = self._take
        if take is not None and self._between:
            # most packets of a stream are one whole chunk, of which the parser need not know
            size, _, rest = data.partition(_BREAK)
            end = _SIZES.get(size)
            if end is not None and rest[end:] == _BREAK and not self._waiter.done():  # type: ignore[union-attr]
                self._hand_on(take, rest[:end])
                return
        first = self._asked
        if first:
            self._asked = False
            if (head := self._heads.match(data)) is not None and self._answer(data, head):
                return
        self.heard = True
        self._overhead += len(data)
        try:
            self._parser.feed_data(data)  # type: ignore[union-attr]  # there is one while an answer is awaited
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._surplus = True
            self._fail(InvalidOutput("the service does not speak proper HTTP", detail=repr(error)))
            return
        if self._between and data[-1:] != b"\n":
            self._between = False  # some bytes of the next chunk's head are here
        if first and self._keep_alive and self.status == _OK:  # so it is complete
            self._heads.learn(data)
        if self._news:
            self._news = False
            if take is None:
                self._wake()
            elif self._pours():
                self._pour_on(take)
        if self._overhead > _OVERHEAD and not self._complete:
            self._fail(InvalidOutput(f"the service sent more than {_OVERHEAD} bytes of headers"))
        elif self._buffered > _HIGH_WATER and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def eof_received(self) -> None:
        if self._headed and not self._complete and not self._has_length():
            # a body without a length ends with its connection
            self._complete = True
            self._wake()

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost = True
        self._alarm.remove(self)
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
        self._fields.append((name, value))
        if len(name) == _LENGTH and name.lower() == _ENCODING:
            self.encoded = True

    def on_headers_complete(self) -> None:
        if self._complete:
            return
        self.status = self._parser.get_status_code()  # type: ignore[union-attr]
        if self.status < 200:
            self._fields.clear()
            self.encoded = False
            return
        self._headed = self._news = True
        if self._bodiless:
            self._complete = True

    def on_body(self, body: bytes) -> None:
        if self._complete:
            return
        self._overhead = 0
        if not self._speaking:
            self._speaking = True
            self._limit = self._timeouts.between_bytes
            if self._take is not None and self._loop.time() + self._limit < self._alarm.rings:
                self._alarm.set(self._loop.time() + self._limit)
        self._packets.append(body)
        self._buffered += len(body)
        self._news = True

    def on_chunk_header(self) -> None:
        self._between = False

    def on_chunk_complete(self) -> None:
        self._between = True

    def on_message_complete(self) -> None:
        if self._complete or not self._headed:
            return
        self._complete = self._news = True
        self._keep_alive = self._parser.should_keep_alive()  # type: ignore[union-attr]
