"""A prompt that is running in this process: its chunks so far, who waits for its end, and how it is asked to stop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Literal

from msgspec import Struct

from promptd.core import chunks, sizes
from promptd.core.claims import believed
from promptd.core.model import Attempt, Caller, Capability, Chunk, Judgement, Prompt, Usage
from promptd.core.routing import Leg, Price
from promptd.core.tracing import Trace
from promptd.service.connections import Connection
from promptd.service.guarding import NOTHING, Plan, Watch

_NOTHING = Usage()
Stop = Literal["cancel", "leave", "deadline", "drain", "revocation"]


class Run(Struct, eq=False):
    """A prompt that is running here. `stop` asks its attempt to end, and says why."""

    prompt: Prompt
    connection: Connection | None
    upstream: str
    leg: Leg | None = None  #: the way to the model that is taken
    price: Price | None = None  #: of this attempt's tokens; None: nobody knows
    plan: Plan = NOTHING  #: who looks at its documents and its answer
    task: asyncio.Task[Any] | None = None
    begun: bool = False  #: a task that is cancelled before its first step would never clean up
    stopped: Stop | None = None
    interrupted: bool = False  #: its task was told to stop by a cancel
    said: int = 0  #: bytes of the answer so far
    events: int = 0  #: of a stream that is passed on as it comes
    settled: bool = False  #: the result is on its way to the store; too late to stop
    first_token: float | None = None
    usage: Usage = _NOTHING
    doubted: bool = False  #: its engine counted what is not possible
    watch: Watch | None = None  #: of the answer, once the engine is asked
    judgements: list[Judgement] = []  #: what they said
    end: Chunk | None = None  #: the engine's `done`
    caller: Caller | None = None  #: of an attached prompt
    slotless: bool = False  #: it has given its slot to another while it waits for a child prompt
    attempt: Attempt | None = None  #: its ledger row, once it has ended
    trace: tuple[Trace, Trace] | None = None  #: of whom it is a part, and its own; None: nobody traces
    chunks: list[Chunk] = []
    waiters: list[asyncio.Future[Prompt | None]] | None = None

    async def settlement(self, seconds: float | None = None) -> Prompt | None:
        """Wait for this attempt's end, at most `seconds`: the prompt as it then is.

        None where the time is up, or the store knows better.
        """
        loop = asyncio.get_running_loop()
        # one future and one timer for each: a time limit around a common one costs thrice that
        waiter: asyncio.Future[Prompt | None] = loop.create_future()
        self.waiters = waiters = self.waiters or []
        waiters.append(waiter)
        timer = loop.call_later(seconds, _answer, waiter, None) if seconds is not None else None
        try:
            return await waiter
        finally:
            waiters.remove(waiter)
            if timer is not None:
                timer.cancel()

    def finish(self, settled: Prompt | None) -> None:
        for waiter in self.waiters or ():
            _answer(waiter, settled)

    def stop(self, why: Stop) -> None:
        if self.stopped is None and not self.settled:
            self.stopped = why
            if self.begun and self.task is not None:
                self.interrupted = True
                self.task.cancel()

    def note(self, chunk: Chunk) -> Sequence[Chunk]:
        """Number what is said, and remember it."""
        before = len(self.chunks)
        for piece in chunks.pieces(chunk):
            self.chunks.append(chunks.number(piece, self.prompt.runs, len(self.chunks) + 1))
        return self.chunks[before:]

    def count(self, told: Usage | None) -> Usage:
        """Take over what the engine counted, if that is possible, else what sizes say."""
        usage: Usage | None = _NOTHING
        if told is not None:
            usage = believed(told, self.prompt.request, None if self.leg is None else self.leg.context, self.said)
            if usage is None or self.doubted:  # to set a member of a struct is dear
                self.doubted = usage is None
        self.usage = usage = self._sized() if usage is None else usage
        return usage

    def spent(self) -> tuple[Usage, bool]:
        """What the attempt used, and whether only sizes say so: what went in and came out, where no engine counted."""
        usage = self.usage
        if usage.input_tokens or usage != _NOTHING or not self.said:
            return usage, self.doubted
        return self._sized(), True

    def _sized(self) -> Usage:
        # an event of a stream has about one token and a hundred bytes around it
        silent = self.prompt.capability is Capability.EMBEDDING
        output = 0 if silent else self.events or self.said // 4
        return Usage(input_tokens=sizes.about(self.prompt.request), output_tokens=output)


def is_torn_down(run: Run, error: BaseException) -> bool:
    """Whether the process is going down without a drain: no failed attempt, the prompt will be rescued."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and run.stopped is None and bool(task and task.cancelling())


def _answer(waiter: asyncio.Future[Prompt | None], settled: Prompt | None) -> None:
    if not waiter.done():
        waiter.set_result(settled)
