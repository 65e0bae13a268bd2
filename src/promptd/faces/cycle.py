"""One request and its answer, as uvicorn's server carries them, with short ways for what is whole.

uvicorn gives each request an event whose queue nearly nobody needs, and looks at each header of an answer.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, RequestResponseCycle

if TYPE_CHECKING:
    from promptd.faces.protocol import Protocol

_EMPTY: Final = bytearray()


def _nothing() -> None:
    """The answer is over."""


class _Signal:
    """An `asyncio.Event` that is made only when somebody waits."""

    __slots__ = ("_event", "_is_set")

    def __init__(self) -> None:
        self._is_set = False
        self._event: asyncio.Event | None = None

    def set(self) -> None:
        self._is_set = True
        if self._event is not None:
            self._event.set()

    def clear(self) -> None:
        self._is_set = False
        if self._event is not None:
            self._event.clear()

    async def wait(self) -> None:
        if not self._is_set:
            if self._event is None:
                self._event = asyncio.Event()
            await self._event.wait()


class Cycle(RequestResponseCycle):
    """uvicorn's, which takes a whole body and a whole answer at once."""

    body: bytes | bytearray  # type: ignore[assignment]  # uvicorn makes `bytes` of whatever it is

    def __init__(self, protocol: Protocol, scope: Any, *, keep_alive: bool) -> None:
        RequestResponseCycle.__init__(  # `super()` costs as much as the rest
            self,
            scope,
            protocol.transport,
            protocol.flow,
            protocol.logger,
            protocol.access_logger,
            protocol.access_log,
            protocol.server_state.default_headers,
            _Signal(),  # type: ignore[arg-type]  # all of it that is used
            protocol.expect_100_continue,
            keep_alive,
            protocol.on_response_complete,
        )
        self.body = _EMPTY  # never changed: see `add`

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
            self.on_response = _nothing
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
        self.message_event.set()

    def whole_body(self) -> bytes | None:
        """The request's body, once; None where it has to be waited for, or its client left."""
        if self.more_body or self.disconnected or self.response_complete or self.waiting_for_100_continue:
            return None
        body, self.body = bytes(self.body), _EMPTY
        self.message_event.clear()
        self.flow.resume_reading()
        return body

    def write(self, data: bytes) -> bool:
        """`send` for a piece of an answer under way whose length nobody knows. False where it has to go the usual way."""
        if (
            not self.chunked_encoding
            or self.response_complete
            or self.disconnected
            or self.flow.write_paused
            or not data
        ):
            return False
        self.transport.write(b"".join((b"%x\r\n" % len(data), data, b"\r\n")))
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
        self.message_event.set()
        if not self.keep_alive:
            self.transport.close()
        self.on_response()
        return True
