"""A prompt that is running in this process: its chunks so far, who waits for its end, and how it is asked to stop."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from promptd.core.history import tokens
from promptd.core.model import Attempt, Caller, Chunk, Judgement, Prompt, Usage
from promptd.core.routing import Leg
from promptd.core.tracing import Trace
from promptd.service.connections import Connection
from promptd.service.guarding import NOTHING, Watch

_NOTHING = Usage()
Stop = Literal["cancel", "deadline", "drain"]


class Run:
    """A prompt that is running here. `stop` asks its attempt to end, and says why."""

    __slots__ = (
        "_waiters",
        "attempt",
        "begun",
        "caller",
        "chunks",
        "connection",
        "end",
        "events",
        "first_token",
        "interrupted",
        "judgements",
        "leg",
        "plan",
        "price",
        "prompt",
        "said",
        "settled",
        "slotless",
        "stopped",
        "task",
        "trace",
        "upstream",
        "usage",
        "watch",
    )

    def __init__(self, prompt: Prompt, connection: Connection | None, upstream: str, leg: Leg | None = None) -> None:
        self.prompt = prompt
        self.leg = leg  #: the way to the model that is taken
        self.price = leg.price if leg is not None else None  #: of this attempt's tokens; None: nobody knows
        self.connection = connection
        self.upstream = upstream
        self.task: asyncio.Task[Any] | None = None
        self.begun = False  #: a task that is cancelled before its first step would never clean up
        self.stopped: Stop | None = None
        self.interrupted = False  #: its task was told to stop by a cancel
        self.said = 0  #: bytes of the answer so far
        self.events = 0  #: of a stream that is passed on as it comes
        self.settled = False  #: the result is on its way to the store; too late to stop
        self.first_token: float | None = None
        self.usage = _NOTHING
        self.plan = NOTHING  #: who looks at its documents and its answer
        self.watch: Watch | None = None  #: of the answer, once the engine is asked
        self.judgements: list[Judgement] = []  #: what they said
        self.end: Chunk | None = None  #: the engine's `done`
        self.caller: Caller | None = None  #: of an attached prompt
        self.slotless = False  #: it has given its slot to another while it waits for a child prompt
        self.attempt: Attempt | None = None  #: its ledger row, once it has ended
        self.trace: tuple[Trace, Trace] | None = None  #: of whom it is a part, and its own; None: nobody traces
        self.chunks: list[Chunk] = []
        self._waiters: set[asyncio.Future[Prompt | None]] = set()

    async def settlement(self, seconds: float | None = None) -> Prompt | None:
        """Wait for this attempt's end, at most `seconds`: the prompt as it then is.

        None where the time is up, or the store knows better.
        """
        loop = asyncio.get_running_loop()
        # one future and one timer for each: a time limit around a common one costs thrice that
        waiter: asyncio.Future[Prompt | None] = loop.create_future()
        self._waiters.add(waiter)
        timer = loop.call_later(seconds, _answer, waiter, None) if seconds is not None else None
        try:
            return await waiter
        finally:
            self._waiters.discard(waiter)
            if timer is not None:
                timer.cancel()

    def finish(self, settled: Prompt | None) -> None:
        for waiter in self._waiters:
            _answer(waiter, settled)

    def stop(self, why: Stop) -> None:
        if self.stopped is None and not self.settled:
            self.stopped = why
            if self.begun and self.task is not None:
                self.interrupted = True
                self.task.cancel()

    def spent(self) -> Usage:
        """What the attempt used: as the engine counted it, else by the size of what went in and came out."""
        if self.usage != _NOTHING or not self.said:
            return self.usage
        # an event of a stream has about one token and a hundred bytes around it
        output = self.events or self.said // 4
        return Usage(input_tokens=sum(map(tokens, self.prompt.request.messages)), output_tokens=output)


def _answer(waiter: asyncio.Future[Prompt | None], settled: Prompt | None) -> None:
    if not waiter.done():
        waiter.set_result(settled)
