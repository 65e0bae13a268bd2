"""One request and its answer, as uvicorn's server carries them, with short ways for what is whole.

uvicorn gives each request an event whose queue nearly nobody needs, and looks at each header of an answer.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, Self

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

from promptd.faces.asgi import ABORT, BODY, GONE, REPLY, WRITE

if TYPE_CHECKING:
    from promptd.faces.protocol import Protocol

_EMPTY: Final = bytearray()
_USUAL: Final = 1024  # bytes of a piece of a stream; most have less
_CHUNK_HEADS: Final = tuple([b"%x\r\n" % size for size in range(_USUAL)])


class Cycle(RequestResponseCycle):
    """uvicorn's, which takes a whole body and a whole answer at once. It is its own `message_event`.

    What every request looks at is set in each: Python has no quick way to an attribute of the class.
    """

    logger = logging.getLogger("uvicorn.error")
    access_logger = logging.getLogger("uvicorn.access")
    #: uvicorn makes `bytes` of whatever it is; this one never changes, see `add`
    body: bytes | bytearray  # type: ignore[assignment]
    chunked_encoding: bool | None = None
    expected_content_length = 0
    _event: asyncio.Event | None  #: made only where somebody waits
    task: asyncio.Task[None]  #: that it runs in

    def __init__(self, protocol: Protocol, scope: Any, keep_alive: bool, body: bytes | None = None) -> None:
        """`body` is the whole one, where it is there already."""
        # not uvicorn's, which sets twice as much
        self._event = None
        if body is None:
            self.body, self.more_body, self._has_news = _EMPTY, True, False
        else:
            self.body, self.more_body, self._has_news = body, False, True
        self.disconnected = self.response_started = self.response_complete = False
        self.scope, self.keep_alive = scope, keep_alive
        self.transport, self.flow, self._server = protocol.transport, protocol.flow, protocol.server_state
        self.waiting_for_100_continue = protocol.expect_100_continue
        self._protocol: Protocol | None = protocol  #: until the answer is over
        # a list for what shall be called when the client goes, and the short ways
        told: dict[str, Any] = {ABORT: self.transport.abort, GONE: [], BODY: self.whole_body}
        if scope["method"] != "HEAD":  # whose answer has a length and no body
            told[REPLY], told[WRITE] = self.reply, self.write
        scope["extensions"] = told

    # ---------------------------------------------------------------- what uvicorn asks for

    @property
    def access_log(self) -> bool:  # type: ignore[override]
        return self.access_logger.hasHandlers()

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:  # type: ignore[override]
        return self._server.default_headers

    @property
    def message_event(self) -> Self:  # type: ignore[override]
        return self

    def set(self) -> None:
        self._has_news = True
        if self._event is not None:
            self._event.set()

    def clear(self) -> None:
        self._has_news = False
        if self._event is not None:
            self._event.clear()

    def on_response(self) -> None:
        if self._protocol is not None:
            self._protocol.on_response_complete()

    async def wait(self) -> None:
        if not self._has_news:
            if self._event is None:
                self._event = asyncio.Event()
            await self._event.wait()

    # ---------------------------------------------------------------- ours

    async def run_asgi(self, app: Any) -> None:
        try:
            await app(self.scope, self.receive, self.send)
        except BaseException as error:
            self.logger.error("Exception in ASGI application\n", exc_info=error)
            if not self.response_started:
                await self.send_500_response()
            else:
                self.transport.close()
        else:
            if not self.response_complete and not self.disconnected:
                self.logger.error("ASGI callable returned without completing its response.")
                if not self.response_started:
                    await self.send_500_response()
                else:
                    self.transport.close()
        finally:
            self._protocol = None
            self._server.tasks.discard(self.task)
            # its ways lead back here: only the garbage collector would find the circle
            self.scope["extensions"].clear()

    def add(self, piece: bytes) -> None:
        """A piece of the request's body has come. The only one is kept as it is."""
        held = self.body
        if not held:
            self.body = piece
        elif isinstance(held, bytearray):
            held += piece
        else:
            self.body = bytearray().join((held, piece))
        self.set()

    def whole_body(self) -> bytes | None:
        """The request's body, once; None where it has to be waited for, or its client left."""
        if self.more_body or self.disconnected or self.response_complete or self.waiting_for_100_continue:
            return None
        body, self.body = bytes(self.body), _EMPTY
        self._has_news = False
        if self._event is not None:
            self._event.clear()
        if self.flow.read_paused:
            self.flow.resume_reading()
        return body

    def write(self, data: bytes, head: str | None = None) -> bool:
        """`send` for a piece of an answer whose length nobody knows: of one under way, or with the lines of its `head`, as in
        `reply`, for the beginning of a success. False where it has to go the usual way."""
        if self.disconnected or self.response_complete or self.flow.write_paused or not data:
            return False
        size = len(data)
        chunk = _CHUNK_HEADS[size] if size < _USUAL else b"%x\r\n" % size
        if head is not None:
            if self.response_started:
                return False
            self.response_started = self.chunked_encoding = True
            self.waiting_for_100_continue = False
            last = "" if self.keep_alive else "connection: close\r\n"
            lines = f"{head}{last}transfer-encoding: chunked\r\n\r\n"
            chunk = b"".join((STATUS_LINE[200], lines.encode("latin-1"), chunk))
        elif not self.chunked_encoding:
            return False
        self.transport.write(b"".join((chunk, data, b"\r\n")))
        return True

    def reply(self, status: int, head: str, body: bytes) -> bool:
        """`send` for an answer that is complete, in one write and without its look at every header.

        `head` are lines of fields that end with a line break each; the length is added. False where it has to go the usual
        way.
        """
        if self.response_started or self.disconnected or self.flow.write_paused:
            return False
        self.response_started = self.response_complete = True
        self.waiting_for_100_continue = False
        last = "" if self.keep_alive else "connection: close\r\n"
        lines = f"{head}content-length: {len(body)}\r\n{last}\r\n"
        self.transport.write(b"".join((STATUS_LINE[status], lines.encode("latin-1"), body)))
        self._has_news = True
        if self._event is not None:
            self._event.set()
        if not self.keep_alive:
            self.transport.close()
        if self._protocol is not None:
            self._protocol.on_response_complete()
        return True


class OldCycle(Cycle):
    """Of a peer that speaks HTTP/1.0 and knows no chunks, which uvicorn sends it all the same: a body whose length nobody
    knows ends with its connection."""

    _endless = False

    def write(self, data: bytes, head: str | None = None) -> bool:
        return head is None and super().write(data)

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            if all(name.lower() != b"content-length" for name, _ in message.get("headers", ())):
                self.chunked_encoding, self._endless = False, True
        elif self._endless:
            # uvicorn's count of what is still to come: each piece is as long as it should be
            self.expected_content_length = len(message.get("body", b""))
        await super().send(message)
