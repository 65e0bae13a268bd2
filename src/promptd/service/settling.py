"""The end of an attempt: what it means, its ledger row, one transaction, and word to the readers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from msgspec.structs import replace

from promptd.core import chunks
from promptd.core.engine import map_error
from promptd.core.errors import Cancelled, EngineLost, ExecutionFailed, PromptExecutionError, StoreUnavailable, Timeout
from promptd.core.lifecycle import Move, after_failure
from promptd.core.model import Answer, Attempt, Capability, Chunk, Failure, Message, Outcome, Prompt, Usage
from promptd.core.ports import Bus, Queue, Settlement
from promptd.core.routing import FREE, cost
from promptd.service.clock import Clock
from promptd.service.events import Event, Events
from promptd.service.guarding import kept
from promptd.service.metrics import Metrics
from promptd.service.redaction import withhold
from promptd.service.router import Router
from promptd.service.runs import Run
from promptd.service.tracing import Tracing

T = TypeVar("T")
_log = logging.getLogger(__name__)
_MOST_RUNS = 20  # a prompt that loses its engine's process this often may be the reason
_NOTHING = Usage()
_COMPLETED = Outcome.COMPLETED
_PAUSES = (0.1, 0.5, 2.0, 5.0)  # seconds between tries while the store can't be written; the last repeats


class Settling:
    """Settles attempts, each exactly once. `leaving` is set when the server can't wait for the store any longer."""

    def __init__(
        self,
        *,
        queue: Queue,
        bus: Bus,
        router: Router,
        events: Events,
        clock: Clock,
        metrics: Metrics,
        base_seconds: float,
        max_exponent: int,
    ) -> None:
        self._queue, self._bus, self._router = queue, bus, router
        self._events, self._clock, self._metrics = events, clock, metrics
        self.leaving = asyncio.Event()
        self.tracing: Tracing | None = None  #: where somebody wants to see what was done when
        self._doubted: set[str] = set()  #: connections whose counts were not possible; told once of each
        self.configure(base_seconds, max_exponent)

    def configure(self, base_seconds: float, max_exponent: int) -> None:
        """How long failed attempts wait for the next one, from now on."""
        self._base_seconds, self._max_exponent = base_seconds, max_exponent

    async def completed(self, run: Run, answer: Answer) -> Prompt | None:
        prompt, now = run.prompt, self._clock()
        messages: tuple[Message, ...] = ()
        if prompt.thread is not None and prompt.capability is not Capability.EMBEDDING:
            messages = (
                Message(
                    id=answer.message_id,
                    thread=prompt.thread,
                    prompt=prompt.id,
                    role="assistant",
                    created=now,
                    text=answer.text,
                    tool_calls=answer.tool_calls,
                    files=answer.files,
                    model=prompt.model,
                    engine=run.connection.engine.type_id if run.connection is not None else "",
                ),
            )
        settled = await self._settle(
            run,
            Settlement(
                prompt=prompt,
                move=Move.COMPLETE,
                attempt=self.ledger(run, Outcome.COMPLETED, now),
                now=now,
                answer=answer,
                trace=chunks.make_trace(run.chunks),
                messages=messages,
            ),
        )
        if settled is not None:
            self._bus.publish(prompt.id, chunks.done(answer, prompt.runs, len(run.chunks) + 1))
        return settled

    async def failed(self, run: Run, raised: BaseException) -> Prompt | None:
        prompt, now = run.prompt, self._clock()
        if run.stopped in ("cancel", "drain"):
            move = Move.CANCEL if run.stopped == "cancel" else Move.HAND_BACK
            outcome = Outcome.CANCELED if run.stopped == "cancel" else Outcome.HANDED_BACK
            attempt = self.ledger(run, outcome, now, Cancelled() if run.stopped == "cancel" else None)
            return await self._settle(run, Settlement(prompt=prompt, move=move, attempt=attempt, now=now))
        error = self.meaning(run, raised)
        if isinstance(error, EngineLost) and prompt.runs < _MOST_RUNS:
            lost = Settlement(
                prompt=prompt,
                move=Move.HAND_BACK,
                attempt=self.ledger(run, Outcome.LOST, now, error),
                now=now,
                error=Failure(error.code, error.message),
            )
            settled = await self._settle(run, lost, error)
            if settled is not None:
                self.announce_failure(settled)
            return settled
        lane = prompt.lane if run.stopped is not None else self._router.lane_after(prompt, error)
        move, due = after_failure(
            error,
            failures=prompt.failures + 1,
            max_attempts=prompt.max_attempts,
            started=prompt.started or now,
            now=now,
            deadline=prompt.deadline,
            base=self._base_seconds,
            limit=self._max_exponent,
            moves=lane != prompt.lane,
        )
        if move is Move.GIVE_UP and error.retry_after is not None:
            due = now + error.retry_after  # for the caller, who may try again
        _log.warning(
            "attempt %d of %s failed: %s (%s)",
            prompt.runs,
            prompt.id,
            error.code,
            (error.detail or error.message)[:500],
            extra={"action": "attempt_failed", "code": error.code, "prompt": prompt.id, "lane": prompt.lane},
        )
        settled = await self._settle(
            run,
            Settlement(
                prompt=prompt,
                move=move,
                attempt=self.ledger(run, Outcome.ERRORED, now, error),
                now=now,
                error=Failure(error.code, error.message),
                due=due,
                lane=lane,
            ),
            error,
        )
        if settled is not None:
            self.announce_failure(settled)
        return settled

    def announce_failure(self, prompt: Prompt) -> None:
        """Tell readers that the attempt's text is void, and whether another attempt follows."""
        failure = prompt.error or Failure(ExecutionFailed.code, ExecutionFailed.title)
        if prompt.status.final:
            chunk = Chunk(
                "error",
                attempt=max(prompt.runs, 1),
                n=chunks.END_OF_FAILED,
                code=failure.code,
                message=failure.message,
            )
        else:
            chunk = Chunk(
                "restart", attempt=prompt.runs + 1, code=failure.code, message=failure.message, retry_at=prompt.due
            )
        self._bus.publish(prompt.id, chunk)

    def meaning(self, run: Run, raised: BaseException) -> PromptExecutionError:
        """What an exception that ended the run says about the attempt."""
        if run.stopped == "deadline":
            return Timeout("the prompt's deadline passed while it ran")
        if run.connection is None:
            return raised if isinstance(raised, PromptExecutionError) else ExecutionFailed(detail=repr(raised))
        error = map_error(run.connection.engine, raised)
        withhold(error, run.connection.config)
        error.message = error.message.encode(errors="replace").decode()  # half a surrogate pair can't be stored
        return error

    def ledger(self, run: Run, outcome: Outcome, now: float, error: PromptExecutionError | None = None) -> Attempt:
        """The attempt's row."""
        prompt, connection = run.prompt, run.connection
        used, estimated = run.spent()
        if run.doubted and prompt.lane not in self._doubted:
            self._doubted.add(prompt.lane)
            _log.warning(
                "the connection %r counted tokens that are not possible: the sizes of texts count in their place",
                prompt.lane,
                extra={"action": "usage_not_believed", "lane": prompt.lane},
            )
        price = run.price
        if not used.input_tokens and outcome is _COMPLETED and used == _NOTHING and price not in (None, FREE):
            price = None  # nobody knows what an answer cost whose tokens nobody counted
        attempt = Attempt(
            prompt=prompt.no,
            run=prompt.runs,
            engine=connection.engine_type if connection is not None else "",
            connection=prompt.lane,
            model=run.upstream,
            started=prompt.started or now,
            first_token=run.first_token,
            finished=now,
            outcome=outcome,
            code=error.code if error else None,
            message=error.message if error else None,
            usage=used,
            cost=cost(used, price),
            estimated=estimated,
        )
        if run.trace is not None and self.tracing is not None:
            self.tracing.leave(run, attempt)
        return attempt

    async def _settle(
        self, run: Run, settlement: Settlement, error: PromptExecutionError | None = None
    ) -> Prompt | None:
        """Store the end of the attempt. While the store can't be written the result waits here and is not lost.

        None where the lease was lost, or the server leaves with the store still down: then the next start rescues.
        """
        run.settled = True
        run.attempt = settlement.attempt
        if run.leg is not None and run.stopped is None:
            self._router.report(run.leg, error, started=settlement.attempt.started, first=run.first_token)
        if run.judgements:
            told = kept(run.judgements, run.prompt.judgements, everything=True)
            settlement = replace(settlement, judgements=told)
        settled = await self.persist(lambda: self._queue.settle(settlement))
        self._metrics.attempt(settlement.attempt)
        code = settlement.error.code if settlement.error is not None else ""  # a message may quote the prompt
        self._events.tell(Event("prompt_finished", prompt=run.prompt.id, error=code))
        return settled

    async def persist(self, write: Callable[[], Awaitable[T]]) -> T | None:
        """Write until the store takes it; None where the server leaves first."""
        tries = 0
        while True:
            try:
                return await write()
            except StoreUnavailable as error:
                if self.leaving.is_set():
                    _log.error(
                        "the store is down, leaving without a write: %s", error, extra={"action": "store_failed"}
                    )
                    return None
            with suppress(TimeoutError):
                await asyncio.wait_for(self.leaving.wait(), _PAUSES[min(tries, len(_PAUSES) - 1)])
            tries += 1
