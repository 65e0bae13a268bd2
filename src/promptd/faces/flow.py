"""When a connection takes more, and when its peer has to wait."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.flow_control import FlowControl


class Flow(FlowControl):
    """uvicorn's, with an event only while somebody waits: its queue would be a good part of what an idle stream costs.

    And it drops the peer that takes nothing: neither who waits for room nor a closed connection ever ends otherwise.
    """

    def __init__(self, transport: asyncio.Transport, stuck_seconds: float) -> None:
        self._transport, self._stuck_seconds = transport, stuck_seconds
        self.read_paused = self.write_paused = False
        self._resumed: asyncio.Event | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def drain(self) -> None:
        if self.write_paused:
            if self._resumed is None:
                self._resumed = asyncio.Event()
            await self._resumed.wait()

    def pause_writing(self) -> None:
        self.write_paused = True
        self.watch()

    def resume_writing(self) -> None:
        self.write_paused = False
        if self._resumed is not None:
            self._resumed.set()
            self._resumed = None
        if self._timer is not None:
            self.end()
            if self._transport.is_closing():
                self.watch()  # of the rest

    def watch(self, before: int | None = None) -> None:
        """Nothing more is written until the peer takes some of what is buffered; `before` is how much that was."""
        self.end()
        left = self._transport.get_write_buffer_size()
        if before is not None and left >= before:
            self._transport.abort()
        elif left:
            self._timer = asyncio.get_running_loop().call_later(self._stuck_seconds, self.watch, left)

    def end(self) -> None:
        """The connection is over, or nobody waits."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
