"""What an attached prompt notes of a stream whose bytes go from its service to its caller as they come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from promptd.core.passing_streams import Sink
from promptd.service.clock import Clock
from promptd.service.execution import Execution
from promptd.service.runs import Run


class Tap:
    """A sink in front of the caller's: what goes through is timed and counted."""

    __slots__ = ("_at_once", "_begin", "_clock", "_execution", "_most", "_run", "_said", "_sink")

    def __init__(self, run: Run, sink: Sink, execution: Execution, clock: Clock, begin: Callable[[], None]) -> None:
        """`begin` is told of the first piece."""
        self._run, self._sink, self._execution = run, sink, execution
        self._at_once, self._clock = sink.at_once, clock
        self._begin: Callable[[], None] | None = begin
        self._most = execution.rules.max_answer_bytes
        self._said = 0

    def at_once(self, raw: bytes) -> bool:
        """Raises `InvalidOutput` where the answer is too long."""
        if self._run.stopped is not None:
            raise asyncio.CancelledError  # the engine swallowed the first one
        said = self._said = self._said + len(raw)
        if said > self._most:
            self._execution.check_size(said)
        if self._begin is not None:
            self._run.first_token = self._clock()
            self._begin()
            self._begin = None
        return self._at_once(raw)

    def end(self, events: int) -> None:
        self._run.events += events

    def tell(self) -> None:
        """Let the run know how much was said."""
        self._run.said += self._said

    async def write(self, raw: bytes) -> None:
        await self._sink.write(raw)
