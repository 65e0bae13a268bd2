"""Progress of a tool's run, where the client asks for it."""

from __future__ import annotations

import asyncio
from typing import Any

from mcp.server.context import ServerRequestContext

from promptd.core.model import Chunk


class Progress:
    """What was said since the last notice goes into one: a slow client slows nobody, and misses nothing.

    Without a known fraction the number is that of the characters so far, without a total.
    """

    def __init__(self, ctx: ServerRequestContext[Any, Any]) -> None:
        self._session = ctx.session
        self.wanted = bool(ctx.meta and ctx.meta.get("progress_token") is not None)
        self._text: list[str] = []
        self._characters = 0
        self._fraction: float | None = None
        self._some = asyncio.Event()

    def hear(self, chunk: Chunk) -> None:
        if chunk.text:
            self._text.append(chunk.text)
            self._characters += len(chunk.text)
        if chunk.fraction is not None:
            self._fraction = max(chunk.fraction, self._fraction or 0.0)
        if chunk.text or chunk.fraction is not None:
            self._some.set()

    async def report(self, task: asyncio.Task[Any]) -> None:
        """Until the task is done. Never raises what the task does."""
        if not self.wanted:
            await asyncio.wait([task])
            return
        task.add_done_callback(lambda done: self._some.set())
        while not task.done():
            await self._some.wait()
            self._some.clear()
            await self._tell()

    async def _tell(self) -> None:
        text, self._text = "".join(self._text), []
        if self._fraction is not None:
            await self._session.report_progress(self._fraction, 1.0, text or None)
        elif text:
            await self._session.report_progress(self._characters, None, text)
