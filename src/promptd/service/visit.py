"""One attached prompt from its admission to its row.

The attempts run in the caller's own task: a task and a log for each would cost more than all the rest of a short call.
Before anything was said, a failed call is tried once more on the same connection and then on the other legs of its model, at
most three calls in ten seconds (again.py).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, cast

from msgspec.structs import replace

from promptd.core import chunks
from promptd.core.errors import (
    ExecutionFailed,
    HandlerUnavailable,
    PromptExecutionError,
    Refusal,
)
from promptd.core.model import Answer, Attempt, Blob, Capability, Chunk, Outcome, Submission
from promptd.core.passing_streams import PassingStream, Sink
from promptd.core.policy import Bill
from promptd.core.whole_answers import WholeAnswer
from promptd.service import again
from promptd.service.calls import call_of
from promptd.service.guarding import kept
from promptd.service.pouring import Tap
from promptd.service.remains import DONE, WHY, ending, origin_of, stopped_for, sums_of, without_words
from promptd.service.runs import Run, is_torn_down

if TYPE_CHECKING:
    from promptd.service.attached import Attached

_EMBEDDING: Final = Capability.EMBEDDING


class Visit:
    """One attached prompt. Leaving its context before the end cancels the call."""

    # no struct: those are made faster, but each attribute that is set later costs five times as much
    # fmt: off
    __slots__ = (
        "_admitted", "_answer", "_asked", "_blobs", "_ended", "_entered", "_house", "_keep", "_place", "_source", "_spoke",
        "_submission", "_task", "_typed", "attempts", "charges", "left", "prompt", "run",
    )
    # fmt: on
    charges: Bill  #: what limits count of it
    run: Run  #: of the attempt at work
    attempts: tuple[Attempt, ...]  #: those that are over
    _answer: Answer | None
    _blobs: tuple[Blob, ...]
    _typed: bool  #: its answer must have a form

    def __init__(self, house: Attached, submission: Submission) -> None:
        self._house, self._submission = house, submission
        self._task: asyncio.Task[Any] | None = None
        self._place = 0  # of the leg that is asked now
        self.attempts = ()
        self._source: AsyncGenerator[Chunk, None] | None = None
        self._entered = self._ended = self._spoke = False  # the first: a slot is taken
        self.left = False  #: the caller is gone

    async def __aenter__(self) -> Self:
        house, submission = self._house, self._submission
        self._task = asyncio.current_task()
        if house.ledger.full:
            await house.ledger.room()
        self._admitted = admitted = await house.intake.admit(submission)
        self.prompt, self.charges, self._keep = admitted.prompt, admitted.charges, admitted.keep
        request = submission.request
        self._typed = not admitted.ordinary and (request.output is not None or request.value is not None)
        try:
            if not house.worker.take(self.prompt.lane):
                await self._slot()
            self._begin()
        except BaseException:
            await house.intake.settle(replace(self.prompt, runs=0))  # it never ran
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        run = self.run
        if not self._ended:
            if run.stopped is None and (self._entered or not isinstance(error, Refusal)):  # else no further call began
                run.stopped = "leave"
            if self._source is not None:
                # whoever leaves in the middle need not have closed `chunks`, and the upstream must not work for nobody
                await self._source.aclose()
            await self._end(None, self._meaning(error or asyncio.CancelledError()))
        if error is not None and isinstance(error, asyncio.CancelledError) and (told := self.interrupted()) is not None:
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
            self.run.stop("leave")
        elif self._task is not None:
            self._task.cancel()

    async def chunks(self, sink: Sink | None = None) -> AsyncGenerator[Chunk, None]:
        """`progress` as it comes, numbered where it is kept, and one `done`.

        Bytes in the caller's own dialect that nobody here has to look at go to `sink`, where there is one.
        Raises `PromptExecutionError` where the call failed, `Refusal` where a further connection takes no more calls.
        """
        while True:
            pieces = self._attempt(sink)
            try:
                try:
                    async for piece in pieces:
                        yield piece
                finally:
                    await pieces.aclose()
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
                source = await self._call()
                if isinstance(source, WholeAnswer) and not (self.run.watch or self._keep or self._typed):
                    *pieces, end = await source.whole()
                    for chunk in pieces:
                        self._hear(chunk)
                    self._blobs, self._answer = end.blobs, self._house.execution.unkept(self.run, end)
                else:
                    pieces = await self._collect(source)
                break
            except KeyboardInterrupt:
                raise
            except BaseException as raised:  # whatever an engine raises ends this attempt only
                await self._recover(raised)
        return pieces, await self._end(self._answer, None)

    # ---------------------------------------------------------------- one attempt

    async def _slot(self) -> None:
        """Wait for a slot of the leg that is asked next."""
        house, prompt, lane = self._house, self.prompt, self._admitted.legs[self._place].connection
        await house.worker.slot(lane, prompt.user, prompt.priority)
        self.prompt = replace(prompt, lane=lane, runs=len(self.attempts) + 1, started=house.clock())

    def _begin(self) -> None:
        """Begin an attempt; its slot is taken."""
        house, prompt, admitted = self._house, self.prompt, self._admitted
        self.run = run = house.execution.begin_on(admitted.legs[self._place], prompt, admitted.plan, self._task)
        house.worker.enter(run)
        house.ledger.begin(prompt)
        self._entered = True

    async def _attempt(self, sink: Sink | None) -> AsyncGenerator[Chunk, None]:
        end: Chunk | None = None
        source = await self._call()
        watch, tap = self.run.watch, None
        if sink is not None and isinstance(source, PassingStream) and not (watch or self._keep or self._typed):
            house = self._house
            tap = Tap(self.run, sink, house.execution, house.clock, self._begun)
            source = source.pour(tap)
        try:
            async for chunk in source:
                if chunk.kind == "done":
                    end = chunk
                    break
                self._hear(chunk)
                if chunk.raw is not None:
                    self.run.events += chunk.raw.count(b"data:")
                for free in (chunk,) if watch is None else await watch.sift(chunk):
                    self._spoke = True
                    if self._keep or self._typed:
                        self._note(free)
                    yield free
        finally:
            await source.aclose()
            if tap is not None:
                tap.tell()
        for chunk in await self._finish(end):
            self._spoke = True
            yield chunk

    def _begun(self) -> None:
        """The caller has heard something, and more may come for long: no other attempt can follow, so what was asked need
        not be kept beside the prompt."""
        self._spoke = True
        self._admitted = replace(self._admitted, native=None)
        del self._submission, self._asked

    async def _collect(self, source: AsyncGenerator[Chunk, None]) -> list[Chunk]:
        """One attempt to its end, judged, and what was said in it."""
        said: list[Chunk] = []
        end: Chunk | None = None
        watch = self.run.watch
        try:
            async for chunk in source:
                if chunk.kind == "done":
                    end = chunk
                    break
                self._hear(chunk)
                said += (chunk,) if watch is None else await watch.sift(chunk)
        finally:
            await source.aclose()
        if self._keep or self._typed:
            for chunk in said:
                self._note(chunk)
        rest = await self._finish(end)
        if any(chunk.kind == "restart" for chunk in rest):
            return [chunk for chunk in rest if chunk.kind == "progress"]
        return [*said, *rest]

    async def _finish(self, end: Chunk | None) -> Sequence[Chunk]:
        """The engine has said everything: what its watch held back, and what is said anew for a promised form."""
        if end is None:
            raise ExecutionFailed("the engine ended without a result")
        run, execution = self.run, self._house.execution
        keep = self._keep or self._typed
        self._blobs = end.blobs
        rest = await execution.rest(run)
        if keep:
            for chunk in rest:
                self._note(chunk)
        self._answer = await execution.gathered(run, end, keep=keep)
        told = await self._fulfil() if self._typed else ()
        whole = run.watch is not None and run.watch.whole
        if run.watch is not None:
            self._answer = await run.watch.conclude(self._answer)
        for chunk in run.chunks if whole else told:
            self._house.bus.publish(self.prompt.id, chunk)
        if whole:  # nobody has heard anything of it
            told = [chunk for chunk in told if chunk.kind == "progress"]
        return told or rest

    async def _call(self) -> AsyncGenerator[Chunk, None]:
        """The engine at work."""
        run, execution, admitted = self.run, self._house.execution, self._admitted
        connection, plan, native = run.connection, run.plan, admitted.native
        if connection is None:
            raise HandlerUnavailable
        holds = plan.holds and run.prompt.capability is not _EMBEDDING  # what may be held back must be spelled out
        if native is not None and (holds or native.dialect not in connection.dialects):
            native = None
        spelled, credential = True if plan.output else self._keep, self._submission.credential
        if native is not None and admitted.ordinary and execution.settling.tracing is None:  # there is nothing to read
            turns = run.prompt.request.messages
            self._asked = call = call_of(run, connection, turns, (), native, spelled, credential, self._house.clock)
        else:
            self._asked = call = await execution.prepare(run, native, spelled, credential)
        if plan.output:
            run.watch = execution.guarding.watch(run)
        self._source = source = connection.engine.run(call)
        return source

    async def _fulfil(self) -> Sequence[Chunk]:
        """Read the promised form out of the answer; what is said anew where the model had to be asked again."""
        self.run.caller = self._submission.caller
        self._answer, told = await self._house.execution.fulfil(self.run, self._asked, cast(Answer, self._answer))
        return told

    def _hear(self, chunk: Chunk) -> None:
        """Take note of a chunk's time and size."""
        run, raw = self.run, chunk.raw
        if run.stopped is not None:
            raise asyncio.CancelledError  # the engine swallowed the first one
        if run.first_token is None and (raw is not None or chunks.speaks(chunk)):
            clock = self._house.clock
            run.first_token = clock()
        run.said = said = run.said + (chunks.size(chunk) if raw is None else len(raw))
        if said > self._house.execution.rules.max_answer_bytes:
            self._house.execution.check_size(said)

    async def _recover(self, raised: BaseException) -> None:
        """Begin another attempt; raises where there is none."""
        if self.run.stopped is not None or is_torn_down(self.run, raised):
            raise raised
        error = self._meaning(raised)
        if self.run.plan.output and error is raised and isinstance(error, PromptExecutionError):  # the engine's words
            await self._house.execution.judge(self.run, error)
        if self._spoke or not await self._again(error):
            await self._end(None, error)
            raise error from raised

    def _note(self, chunk: Chunk) -> None:
        """Number what is said, remember it, and tell those who follow, if nobody has to judge the whole first."""
        run = self.run
        for numbered in run.note(chunk):
            if run.watch is None or not run.watch.whole:
                self._house.bus.publish(run.prompt.id, numbered)

    def _meaning(self, raised: BaseException) -> PromptExecutionError | Refusal:
        stopped = self.run.stopped
        if stopped is not None and stopped in WHY:
            return stopped_for(stopped)
        if isinstance(raised, Refusal):
            return raised  # the line of a further connection is full
        return self._house.execution.settling.meaning(self.run, raised)

    async def _again(self, error: PromptExecutionError | Refusal) -> bool:
        """Whether another call begins, which then has its slot."""
        house, run, retries = self._house, self.run, self._submission.retries
        if isinstance(error, Refusal) or run.prompt.runs >= again.calls(retries):
            return False
        last = self._place + 1 >= len(self._admitted.legs)
        wait = again.pause(
            error,
            done=len(self.attempts),
            first=self._place == 0,
            last=last,
            age=house.clock() - run.prompt.created,
            retries=retries,
            chance=house.entropy(1)[0] / 255,
        )
        if wait is None and (last or not house.router.may_fall_back(self._admitted.route, error)):
            return False
        self._close(Outcome.ERRORED, error, house.clock())
        house.worker.paused[run.prompt.id] = run
        try:
            if wait is not None:
                await asyncio.sleep(wait)
            else:
                self._place += 1
            await self._slot()
            self._begin()
        finally:
            del house.worker.paused[run.prompt.id]
        return True

    # ---------------------------------------------------------------- the end

    def _close(self, outcome: Outcome, error: PromptExecutionError | None, now: float) -> None:
        """One attempt is over: its row, its slot, and what it says of the connection."""
        house, run = self._house, self.run
        attempt = house.execution.settling.ledger(run, outcome, now, error)
        self.attempts += (attempt,)
        house.metrics.attempt(attempt)
        if (error is not None or house.router.healths) and run.stopped is None and run.leg is not None:
            house.router.report(run.leg, error, attempt.started, run.first_token)
        if run.judgements:
            told = kept(run.judgements, self.prompt.judgements, everything=self._keep)
            self.prompt = replace(self.prompt, judgements=told)
        self._entered = False
        house.worker.leave(run)
        if run.waiters:
            run.finish(None)  # whoever waits for this attempt looks where the prompt is now

    async def _end(self, answer: Answer | None, error: PromptExecutionError | Refusal | None) -> Chunk:
        """The prompt is final. The chunk that tells, numbered behind all others."""
        house, run, keep = self._house, self.run, self._keep
        self._ended = run.settled = True
        status, outcome, failure = ending(run.stopped, error) if answer is None else DONE
        clock = house.clock
        now = clock()
        if self._entered:
            self._close(outcome, None if error is None or isinstance(error, Refusal) else error, now)
        request, attempts, typed = self.prompt.request, self.attempts, self._typed
        once = len(attempts) == 1
        used, cost = (attempts[0].usage, attempts[0].cost) if once else sums_of(attempts)
        self.prompt = prompt = replace(
            self.prompt,
            cost=cost,
            status=status,
            finished=now,
            updated=now,
            answer=answer if keep or answer is None or (answer.value is None and not typed) else without_words(answer),
            request=request if keep else origin_of(request),
        )
        if keep or failure is not None or not once:
            trace = chunks.make_trace(run.chunks) if keep else b""
            self.prompt = prompt = replace(prompt, error=failure, failures=len(attempts) - 1, trace=trace)
        house.ledger.add(prompt, attempts)
        cost = sum([attempt.cost or 0 for attempt in attempts]) if cost is None else cost
        if (waits := house.intake.settle_at_once(prompt, used, cost, now)) is not None:
            await waits
        if answer is None:
            house.execution.settling.announce_failure(prompt)
            return Chunk("error")
        done = chunks.done(answer, prompt.runs, len(run.chunks) + 1)
        house.bus.publish(prompt.id, done)
        return replace(done, blobs=self._blobs) if self._blobs else done
