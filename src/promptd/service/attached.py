"""Attached prompts: they live with their caller's connection, and their one row follows the answer.

Same slots, limits and ledger as queued ones; only the storing differs. A failed call is tried once more on the same
connection, and only before its first text; the row is written behind the answer, in the store's next batch.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from msgspec.structs import replace

from promptd.core import chunks
from promptd.core.errors import Overloaded, PromptExecutionError
from promptd.core.lifecycle import Status
from promptd.core.model import Answer, Attempt, Chunk, Failure, Outcome, Prompt, Request, Submission, Usage
from promptd.core.ports import Bus, Queue
from promptd.core.routing import add
from promptd.service.clock import Clock, Entropy
from promptd.service.execution import Execution
from promptd.service.intake import Intake
from promptd.service.metrics import Metrics
from promptd.service.runs import Run
from promptd.service.streams import START
from promptd.service.worker import Worker

_CALLS = 2
_SHORTEST_PAUSE, _PAUSE_SPREAD = 0.25, 0.75  # seconds
_MOST_UNWRITTEN = 1000
_WHY = {"cancel": "the caller left", "drain": "the server is shutting down"}


class Attached:
    """Runs prompts whose caller waits. `unwritten` holds those that are not on disk yet, for look-ups."""

    def __init__(
        self,
        *,
        queue: Queue,
        bus: Bus,
        intake: Intake,
        execution: Execution,
        worker: Worker,
        clock: Clock,
        entropy: Entropy,
        metrics: Metrics,
        unwritten: dict[str, Prompt],
        keep_content: bool = False,
    ) -> None:
        self._queue, self._bus, self._intake = queue, bus, intake
        self._execution, self._worker = execution, worker
        self._clock, self._entropy = clock, entropy
        self._keep_content = keep_content
        self._writing: set[asyncio.Task[None]] = set()
        self._unwritten = unwritten
        self._metrics = metrics

    @asynccontextmanager
    async def open(self, submission: Submission) -> AsyncIterator[tuple[Prompt, AsyncIterator[Sequence[Chunk]]]]:
        """The admitted prompt and its chunks, the last of them `done` or `error`. Leaving early cancels the call.

        Raises a `Refusal`; a failed call is an `error` chunk.
        """
        if len(self._writing) >= _MOST_UNWRITTEN:
            raise Overloaded("the store is behind", retry_after=1)
        prompt = await self._intake.admit(submission)
        run: Run | None = None
        try:
            await self._worker.slot(prompt.lane, prompt.user, prompt.priority)
            run = self._begin(prompt)
            async with self._bus.follow(prompt.id, START) as live:
                run.task = asyncio.create_task(self._drive(run), name=prompt.id)
                yield prompt, live
        finally:
            if run is None:
                await self._intake.settle(prompt)
            elif run.task is not None:
                run.stop("cancel")
                await asyncio.wait([run.task])

    async def flush(self) -> None:
        """Wait until every finished prompt is written."""
        while self._writing:
            await asyncio.wait(self._writing)

    def _begin(self, prompt: Prompt) -> Run:
        run = self._execution.begin(replace(prompt, status=Status.RUNNING, runs=1, started=self._clock()))
        self._worker.enter(run)
        self._unwritten[prompt.id] = run.prompt
        return run

    async def _drive(self, run: Run) -> None:
        """Up to two attempts, then the row."""
        attempts: list[Attempt] = []
        answer: Answer | None = None
        error: PromptExecutionError | None = None
        try:
            while True:
                try:
                    if attempts:
                        await asyncio.sleep(_SHORTEST_PAUSE + _PAUSE_SPREAD * self._entropy(1)[0] / 255)
                        run.prompt = replace(run.prompt, runs=run.prompt.runs + 1, started=self._clock())
                    answer = await self._execution.answer(run)
                    break
                except BaseException as raised:  # whatever an engine raises ends this attempt only
                    if isinstance(raised, KeyboardInterrupt):
                        raise
                    error = self._execution.settling.meaning(run, raised)
                again = error.retryable and not run.chunks and run.stopped is None and run.prompt.runs < _CALLS
                if not again:
                    break
                attempts.append(self._execution.settling.ledger(run, Outcome.ERRORED, self._clock(), error))
            await self._finish(run, answer, error, attempts)
        finally:
            self._worker.leave(run)

    async def _finish(
        self, run: Run, answer: Answer | None, error: PromptExecutionError | None, attempts: list[Attempt]
    ) -> None:
        now = self._clock()
        run.settled = True
        if answer is not None:
            status, outcome, failure = Status.COMPLETED, Outcome.COMPLETED, None
        elif run.stopped is not None and run.stopped != "deadline":
            status, outcome, failure = Status.CANCELED, Outcome.CANCELED, Failure("cancelled", _WHY[run.stopped])
        else:
            status, outcome = Status.ABANDONED, Outcome.ERRORED
            failure = Failure(error.code, error.message) if error else None
        attempts.append(self._execution.settling.ledger(run, outcome, now, error if failure else None))
        prompt = replace(
            run.prompt,
            status=status,
            finished=now,
            updated=now,
            error=failure,
            answer=answer,
            failures=len(attempts) - 1,
        )
        if answer is not None:
            self._bus.publish(prompt.id, chunks.done(answer, prompt.runs, len(run.chunks) + 1))
        else:
            self._execution.settling.announce_failure(prompt)
        self._write_behind(prompt, attempts)
        used, spent = Usage(), 0
        for attempt in attempts:
            used, spent = add(used, attempt.usage), spent + attempt.cost
            self._metrics.attempt(attempt)
        await self._intake.settle(prompt, used, spent)

    def _write_behind(self, prompt: Prompt, attempts: Sequence[Attempt]) -> None:
        if not self._keep_content:
            answer = prompt.answer and replace(prompt.answer, text="", tool_calls=(), value=None)
            prompt = replace(prompt, request=Request(metadata=prompt.request.metadata), answer=answer)
        self._unwritten[prompt.id] = prompt
        task = asyncio.create_task(self._write(prompt, attempts), name=f"write {prompt.id}")
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _write(self, prompt: Prompt, attempts: Sequence[Attempt]) -> None:
        try:
            await self._execution.settling.persist(
                lambda: self._queue.add(prompt, now=self._clock(), attempts=attempts)
            )
        finally:
            del self._unwritten[prompt.id]
