"""uvicorn's WebSocket protocol with bounds: what a peer may send before it is known, and how long it may read nothing.

Its text log is off: the accepted URL would stand there, with the token that some clients put into it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any, ClassVar, Final

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol as _Base
from websockets.http11 import Request

#: Key of `scope["extensions"]`: call it to take messages of `MOST_BYTES`, once it is known who sends them.
TRUST: Final = "promptd.trust"
MOST_BYTES: Final = 50 * 1024 * 1024
_WIRE_BYTES: Final = 65_536  # in front of a reader that takes nothing, beside what the kernel holds

_log = logging.getLogger("promptd.websocket")
_log.setLevel(logging.WARNING)


class WebSocketProtocol(_Base):
    """For `uvicorn.Config(ws=…)`. The bounds are class attributes: a subclass may set others."""

    first_bytes: ClassVar[int] = 65_536
    """Largest message of a peer that nobody knows yet."""
    linger_seconds: ClassVar[float] = 10.0
    """What a connection has left once its app has ended: a peer that reads nothing never closes it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = _log
        self._moved = 0.0  # loop time of the last byte that the peer sent, or took after it had taken nothing
        self._cut: asyncio.TimerHandle | None = None
        self._most = self.conn.max_message_size
        if self._most is None or self._most > self.first_bytes:
            self.conn.max_message_size = self.first_bytes

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.set_write_buffer_limits(high=_WIRE_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._cut is not None:
            self._cut.cancel()
        super().connection_lost(exc)

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        scope: dict[str, Any] | None = getattr(self, "scope", None)  # none where the handshake is refused
        if scope is not None:
            scope["extensions"][TRUST] = self._trust

    def _trust(self) -> None:
        self.conn.max_message_size = self._most

    def data_received(self, data: bytes) -> None:
        self._moved = self.loop.time()
        super().data_received(data)

    def resume_writing(self) -> None:
        self._moved = self.loop.time()
        super().resume_writing()

    async def send(self, message: Any) -> None:
        await super().send(message)
        if message["type"] == "websocket.http.response.body" and not message.get("more_body", False):
            self.handshake_complete = True  # else a refusal is logged as an app that forgot to answer

    def keepalive_timeout(self) -> None:
        """A ping waits behind what a slow reader has still to take: only one that does nothing at all is gone."""
        still = self.loop.time() - self._moved
        if self.ping_timeout is not None and still < self.ping_timeout:
            self.pong_timer = self.loop.call_later(self.ping_timeout - still, self.keepalive_timeout)
            return
        super().keepalive_timeout()
        self.transport.abort()

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        super().on_task_complete(task)
        self._cut = self.loop.call_later(self.linger_seconds, self.transport.abort)


#: What `uvicorn.Config` takes. Compression is off: it costs more time than these short messages are worth.
OPTIONS: Final[dict[str, Any]] = {
    "ws": WebSocketProtocol,
    "ws_max_size": MOST_BYTES,
    "ws_per_message_deflate": False,
    "ws_ping_interval": 20.0,
    "ws_ping_timeout": 60.0,
}

__all__ = ["MOST_BYTES", "OPTIONS", "TRUST", "WebSocketProtocol"]
