"""One attached prompt from its admission to its row.

The attempts run in the caller's own task: a task and a log for each would cost more than all the rest of a short call.
Before anything was said, a failed call is tried once more on the same connection and then on the other legs of its model, at
most three calls in ten seconds.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, cast

from msgspec.structs import replace

from promptd.core import chunks
from promptd.core.calls import Call
from promptd.core.errors import (
    Cancelled,
    ExecutionFailed,
    HandlerUnavailable,
    NetworkError,
    Overloaded,
    PromptExecutionError,
    Refusal,
    Timeout,
)
from promptd.core.lifecycle import Status
from promptd.core.model import Answer, Attempt, Blob, Chunk, Failure, Outcome, Prompt, Submission
from promptd.core.policy import Charge
from promptd.core.routing import Leg, Route
from promptd.service.execution import is_torn_down
from promptd.service.remains import origin_of, sums_of, without_words
from promptd.service.runs import Run

if TYPE_CHECKING:
    from promptd.service.attached import Attached

_CALLS: Final = 3
_SECONDS: Final = 10.0  # after so long no further call begins
_SHORTEST_PAUSE, _PAUSE_SPREAD = 0.25, 0.75  # seconds
_WHY: Final = {"cancel": "the caller left", "drain": "the server is shutting down"}
#: the connection may be fine a moment later; with any other error it is better to ask the next leg, where there is one
_PASSING: Final = (NetworkError, Timeout)
# looked up once: in Python 3.11 an enum's member costs as much as a call
_DONE: Final = (Status.COMPLETED, Outcome.COMPLETED)


class Visit:
    """One attached prompt. Leaving its context before the end cancels the call."""

    __slots__ = (
        "_answer",
        "_asked",
        "_attempts",
        "_blobs",
        "_ended",
        "_entered",
        "_house",
        "_keep",
        "_legs",
        "_native",
        "_place",
        "_route",
        "_source",
        "_spoke",
        "_submission",
        "_task",
        "_typed",
        "charges",
        "left",
        "prompt",
        "run",
    )

    def __init__(self, house: Attached, submission: Submission) -> None:
        self._house, self._submission = house, submission
        self._native = submission.native
        self._task: asyncio.Task[Any] | None = None
        self._legs: Sequence[Leg] = ()
        self._place = 0  # of the leg that is asked now
        self._attempts: list[Attempt] = []
        self._answer: Answer | None = None
        self._blobs: tuple[Blob, ...] = ()
        self._source: AsyncGenerator[Chunk, None] | None = None
        self._asked: Call[Any, Any]
        self._entered = False  # a slot is taken
        self._ended = self._spoke = self._keep = False
        request = submission.request
        self._typed = request.output is not None or request.value is not None  # its answer must have a form
        self._route: Route
        self.charges: Sequence[Charge] = ()  #: what limits count of it
        self.left = False  #: the caller is gone
        self.prompt: Prompt
        self.run: Run

    async def __aenter__(self) -> Self:
        house, submission = self._house, self._submission
        if house.ledger.full:
            raise Overloaded("the store is behind", retry_after=1)
        self._task = asyncio.current_task()
        admitted = await house.intake.admit(submission)
        self.prompt, self._route, self._legs = admitted.prompt, admitted.route, admitted.legs
        self.charges, self._keep = admitted.charges, admitted.keep
        if house.execution.output_guard is not None:
            self._native = None  # what a guard has to read must be spelled out
        try:
            await self._enter()
        except BaseException:
            await house.intake.settle(replace(self.prompt, runs=0))  # it never ran
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        run = self.run
        if not self._ended:
            if run.stopped is None:
                run.stopped = "cancel"
            if self._source is not None:
                # whoever leaves in the middle need not have closed `chunks`, and the upstream must not work for nobody
                await self._source.aclose()
            await self._end(None, self._meaning(error or asyncio.CancelledError()))
        if isinstance(error, asyncio.CancelledError) and (told := self.interrupted()) is not None:
            raise told from None

    def interrupted(self) -> PromptExecutionError | Refusal | None:
        """What a caller is to be told whose task was cancelled: by its prompt's id, by its deadline or by the drain.

        None where somebody else cancelled it, or nobody is there any more. To be asked once.
        """
        if self.left or not self.run.interrupted or self._task is None:
            return None
        self._task.uncancel()
        return self._meaning(asyncio.CancelledError())

    def leave(self) -> None:
        """The caller has gone: what waits or runs for it ends. To be called from outside of its task."""
        self.left = True
        if self._entered:
            self.run.stop("cancel")
        elif self._task is not None:
            self._task.cancel()

    async def chunks(self) -> AsyncGenerator[Chunk, None]:
        """`progress` as it comes, numbered where it is kept, and one `done`.

        Raises `PromptExecutionError` where the call failed, `Refusal` where a further connection takes no more calls.
        """
        while True:
            try:
                async with aclosing(self._attempt()) as pieces:
                    async for piece in pieces:
                        yield piece
                break
            except (GeneratorExit, KeyboardInterrupt):
                raise  # the end of the context tells what that means
            except BaseException as raised:  # whatever an engine raises ends this attempt only
                await self._recover(raised)
        yield await self._end(self._answer, None)

    async def whole(self) -> tuple[list[Chunk], Chunk]:
        """Everything that was said, and the `done`: as `chunks`, without their cost. Raises the same."""
        while True:
            try:
                pieces = await self._collect()
                break
            except KeyboardInterrupt:
                raise
            except BaseException as raised:  # whatever an engine raises ends this attempt only
                await self._recover(raised)
        return pieces, await self._end(self._answer, None)

    # ---------------------------------------------------------------- one attempt

    async def _enter(self) -> None:
        """Take a slot of the leg that is asked next, and begin."""
        house, prompt = self._house, self.prompt
        leg = self._legs[self._place]
        if self._attempts or not house.worker.take(leg.connection):
            await house.worker.slot(leg.connection, prompt.user, prompt.priority)
            runs = len(self._attempts) + 1
            self.prompt = prompt = replace(prompt, lane=leg.connection, runs=runs, started=house.clock())
        self.run = run = house.execution.begin(prompt, leg)
        run.task, run.begun = self._task, True
        house.worker.enter(run)
        house.ledger.begin(prompt)
        self._entered = True

    async def _attempt(self) -> AsyncGenerator[Chunk, None]:
        if self._house.execution.output_guard is not None:
            for chunk in await self._collect():
                self._spoke = True
                yield chunk
            return
        end: Chunk | None = None
        async with aclosing(await self._call()) as stream:
            async for chunk in stream:
                if chunk.kind == "done":
                    end = chunk
                    break
                self._hear(chunk)
                if chunk.raw is not None:
                    self.run.events += chunk.raw.count(b"data:")
                self._spoke = True
                if self._keep or self._typed:
                    self._note(chunk)
                yield chunk
        await self._gather(end)
        if self._typed:
            for chunk in await self._fulfil():
                yield chunk

    async def _collect(self) -> list[Chunk]:
        """One attempt to its end, judged, and what was said in it."""
        execution, run = self._house.execution, self.run
        said: list[Chunk] = []
        end: Chunk | None = None
        stream = await self._call()
        try:
            async for chunk in stream:
                if chunk.kind == "done":
                    end = chunk
                    break
                self._hear(chunk)
                said.append(chunk)
        finally:
            await stream.aclose()
        guard = execution.output_guard
        if guard is not None:
            run.chunks = said
            await self._gather(end)
            await execution.judge(cast(Answer, self._answer), guard)
            run.chunks = []
        if self._keep or self._typed:
            for chunk in said:
                self._note(chunk)
        await self._gather(end)
        if self._typed and (anew := await self._fulfil()):
            return [chunk for chunk in anew if chunk.kind == "progress"]
        return said

    async def _call(self) -> AsyncGenerator[Chunk, None]:
        """The engine at work."""
        run, native = self.run, self._native
        if run.connection is None:
            raise HandlerUnavailable
        if native is not None and native.dialect not in run.connection.dialects:
            native = None
        self._asked = call = await self._house.execution.prepare(run, native, spelled=self._keep)
        self._source = source = run.connection.engine.run(call)
        return source

    async def _fulfil(self) -> Sequence[Chunk]:
        """Read the promised form out of the answer; what is said anew where the model had to be asked again."""
        self.run.caller = self._submission.caller
        self._answer, told = await self._house.execution.fulfil(self.run, self._asked, cast(Answer, self._answer))
        for chunk in told:
            self._house.bus.publish(self.prompt.id, chunk)
        return told

    def _hear(self, chunk: Chunk) -> None:
        """Take note of a chunk's time and size."""
        run, raw = self.run, chunk.raw
        if run.stopped is not None:
            raise asyncio.CancelledError  # the engine swallowed the first one
        if run.first_token is None and (raw is not None or chunks.speaks(chunk)):
            run.first_token = self._house.clock()
        run.said += len(raw) if raw is not None else chunks.size(chunk)
        self._house.execution.check_size(run.said)

    async def _gather(self, end: Chunk | None) -> None:
        if end is None:
            raise ExecutionFailed("the engine ended without a result")
        self._answer = await self._house.execution.gathered(self.run, end, keep=self._keep or self._typed)
        self._blobs = end.blobs

    async def _recover(self, raised: BaseException) -> None:
        """Begin another attempt; raises where there is none."""
        if self.run.stopped is not None or is_torn_down(self.run, raised):
            raise raised
        error = self._meaning(raised)
        if self._spoke or not await self._again(error):
            await self._end(None, error)
            raise error from raised

    def _note(self, chunk: Chunk) -> None:
        """Number what is said, remember it, and tell those who follow."""
        run = self.run
        for piece in chunks.pieces(chunk):
            numbered = chunks.number(piece, run.prompt.runs, len(run.chunks) + 1)
            run.chunks.append(numbered)
            self._house.bus.publish(run.prompt.id, numbered)

    def _meaning(self, raised: BaseException) -> PromptExecutionError | Refusal:
        stopped = self.run.stopped
        if stopped in _WHY:
            return Cancelled(_WHY[stopped])
        if isinstance(raised, Refusal):
            return raised  # the line of a further connection is full
        return self._house.execution.settling.meaning(self.run, raised)

    async def _again(self, error: PromptExecutionError | Refusal) -> bool:
        """Whether another call begins, which then has its slot."""
        house, run = self._house, self.run
        if isinstance(error, Refusal) or run.prompt.runs >= _CALLS:
            return False
        last = self._place + 1 >= len(self._legs)
        soon = (error.retry_after or 0.0) <= _SHORTEST_PAUSE + _PAUSE_SPREAD
        fresh = house.clock() - run.prompt.created <= _SECONDS
        once_more = error.retryable and self._place == 0 and not self._attempts and soon and fresh
        if once_more and (last or isinstance(error, _PASSING)):
            self._close(Outcome.ERRORED, error)
            await asyncio.sleep(_SHORTEST_PAUSE + _PAUSE_SPREAD * house.entropy(1)[0] / 255)
        elif not last and house.router.may_fall_back(self._route, error):
            self._close(Outcome.ERRORED, error)
            self._place += 1
        else:
            return False
        await self._enter()
        return True

    # ---------------------------------------------------------------- the end

    def _close(self, outcome: Outcome, error: PromptExecutionError | None) -> None:
        """One attempt is over: its row, its slot, and what it says of the connection."""
        house, run = self._house, self.run
        attempt = house.execution.settling.ledger(run, outcome, house.clock(), error)
        self._attempts.append(attempt)
        house.metrics.attempt(attempt)
        if run.stopped is None:
            house.router.report(self._legs[self._place], error, started=attempt.started, first=run.first_token)
        self._entered = False
        house.worker.leave(run)
        run.finish(None)  # whoever waits for this attempt looks where the prompt is now

    async def _end(self, answer: Answer | None, error: PromptExecutionError | Refusal | None) -> Chunk:
        """The prompt is final. The chunk that tells, numbered behind all others."""
        house, run, prompt = self._house, self.run, self.prompt
        self._ended = True
        run.settled = True
        stopped = run.stopped
        failure: Failure | None = None
        if answer is not None:
            status, outcome = _DONE
        elif stopped is not None and stopped != "deadline":
            status, outcome = Status.CANCELED, Outcome.CANCELED
            failure = Failure(Cancelled.code, _WHY[stopped])
        else:
            status, outcome = Status.ABANDONED, Outcome.ERRORED
            failure = Failure(error.code, error.message) if error is not None else None
        if self._entered:
            self._close(outcome, error if isinstance(error, PromptExecutionError) else None)
        now = house.clock()
        attempts = tuple(self._attempts)
        used, cost = (attempts[0].usage, attempts[0].cost) if len(attempts) == 1 else sums_of(attempts)
        prompt = replace(
            prompt,
            cost=cost,
            status=status,
            finished=now,
            updated=now,
            error=failure,
            answer=answer if self._keep or answer is None or not self._typed else without_words(answer),
            failures=len(attempts) - 1,
            request=prompt.request if self._keep else origin_of(prompt.request),
            trace=chunks.make_trace(run.chunks) if self._keep else b"",
        )
        self.prompt = prompt
        house.ledger.add(prompt, attempts)
        await house.intake.settle(
            prompt, used, sum([attempt.cost or 0 for attempt in attempts]) if cost is None else cost
        )
        if answer is None:
            house.execution.settling.announce_failure(prompt)
            return Chunk("error")
        done = chunks.done(answer, prompt.runs, len(run.chunks) + 1)
        house.bus.publish(prompt.id, done)
        return replace(done, blobs=self._blobs) if self._blobs else done
