"""One attempt of a prompt, as a short chain of named steps, settled exactly once.

prepare   history and the engine's call
stream    run the engine, number its chunks, publish them
judge     does the answer keep what was promised?
settle    one transaction: status, ledger, answer, message
announce  done, restart or error for the readers
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing
from typing import Any, Literal

from msgspec import Struct

from promptd.core import chunks, history
from promptd.core.engine import Call, map_error
from promptd.core.errors import (
    Cancelled,
    ContentFiltered,
    ExecutionFailed,
    HandlerUnavailable,
    InvalidOutput,
    PromptExecutionError,
    StoreUnavailable,
    Timeout,
)
from promptd.core.filters import Filter, Order, Query
from promptd.core.lifecycle import Move, after_failure
from promptd.core.model import (
    Answer,
    Attempt,
    Capability,
    Chunk,
    Failure,
    Message,
    Outcome,
    Prompt,
    ToolCall,
    Turn,
    Usage,
)
from promptd.core.output import check_json
from promptd.core.ports import Bus, Guard, Queue, Records, Settlement
from promptd.core.routing import Price, cost
from promptd.service.clock import Clock, Ids
from promptd.service.connections import Connection, Connections
from promptd.service.metrics import Metrics

_log = logging.getLogger(__name__)
_SETTLE_PAUSES = (0.1, 0.5, 2.0, 5.0)  # seconds between tries while the store can't be written; the last repeats

Stop = Literal["cancel", "deadline", "drain"]


class Rules(Struct, frozen=True, kw_only=True):
    """Settings of execution; meanings and bounds in docs/configuration.md."""

    base_seconds: float = 2.0
    max_exponent: int = 9
    history_tokens: int = 3000
    max_answer_bytes: int = 16 * 1024 * 1024


class Run:
    """A prompt that is running here. `stop` asks its attempt to end, and says why."""

    __slots__ = (
        "begun",
        "chunks",
        "connection",
        "first_token",
        "prompt",
        "settled",
        "stopped",
        "task",
        "upstream",
        "usage",
        "waiter",
    )

    def __init__(self, prompt: Prompt, connection: Connection | None, upstream: str) -> None:
        self.prompt = prompt
        self.connection = connection
        self.upstream = upstream
        self.task: asyncio.Task[Any] | None = None
        self.begun = False  #: a task that is cancelled before its first step would never clean up
        self.stopped: Stop | None = None
        self.settled = False  #: the result is on its way to the store; too late to stop
        self.first_token: float | None = None
        self.usage = Usage()
        self.chunks: list[Chunk] = []
        self.waiter: asyncio.Future[Prompt | None] | None = None

    async def settlement(self) -> Prompt | None:
        """Wait for this attempt's end: the prompt as it then is, or None where the store knows better."""
        if self.waiter is None:
            self.waiter = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self.waiter)

    def finish(self, settled: Prompt | None) -> None:
        if self.waiter is not None:
            self.waiter.set_result(settled)

    def stop(self, why: Stop) -> None:
        if self.stopped is None and not self.settled:
            self.stopped = why
            if self.begun and self.task is not None:
                self.task.cancel()


class Execution:
    """Runs attempts. One instance serves every lane."""

    def __init__(
        self,
        *,
        queue: Queue,
        records: Records,
        bus: Bus,
        connections: Connections,
        output_guard: Guard | None,
        clock: Clock,
        ids: Ids,
        rules: Rules,
        metrics: Metrics,
    ) -> None:
        self._metrics = metrics
        self._queue, self._records, self._bus = queue, records, bus
        self._connections, self._output_guard = connections, output_guard
        self._clock, self._ids, self._rules = clock, ids, rules

    def begin(self, prompt: Prompt) -> Run:
        route = self._connections.route(prompt.model)
        return Run(prompt, self._connections.get(prompt.lane), route.upstream if route else prompt.model)

    async def attempt(self, run: Run) -> Prompt | None:
        """One attempt from claim to settlement; the prompt as it now is, or None where the lease was lost."""
        try:
            answer = await self.answer(run)
        except BaseException as error:  # whatever an engine raises, SystemExit included, ends this attempt only
            if isinstance(error, KeyboardInterrupt) or _torn_down(run, error):
                raise
            return await self._failed(run, error)
        try:
            return await self._completed(run, answer)
        except Exception as error:  # no store can hold what a stranger's engine put into its answer
            run.usage = Usage()
            return await self._failed(run, InvalidOutput("the answer can't be stored", detail=repr(error)))

    async def answer(self, run: Run) -> Answer:
        """The engine's answer, judged; nothing is settled yet. Raises whatever the engine raises."""
        run.begun = True
        if run.stopped is not None:
            raise asyncio.CancelledError
        answer = await self._stream(run, await self._prepare(run))
        await self._judge(run, answer)
        return answer

    # ---------------------------------------------------------------- steps

    async def _prepare(self, run: Run) -> Call[Any]:
        prompt, connection = run.prompt, run.connection
        if connection is None:
            raise HandlerUnavailable(f"the connection {prompt.lane!r} is not configured any more")
        turns = prompt.request.messages
        if prompt.thread is not None and prompt.capability is Capability.CHAT:
            turns = history.cut(await self._earlier(prompt), turns, self._budget(run, connection))
        return Call(
            connection=connection.config,
            connection_name=connection.name,
            model=run.upstream,
            http=connection.http,
            prompt=prompt.id,
            attempt=prompt.runs,
            capability=prompt.capability,
            messages=turns,
            texts=prompt.request.texts,
            parameters=prompt.request.parameters,
            deadline=prompt.deadline,
            user_ref=prompt.user,
        )

    def _budget(self, run: Run, connection: Connection) -> int:
        """Tokens for the conversation: what the model holds, less what it is asked to write."""
        route = self._connections.route(run.prompt.model)
        context = (route and route.context) or connection.engine.standing(connection.name, connection.config).context
        if context is None:
            return self._rules.history_tokens
        return context - min(run.prompt.request.parameters.max_tokens or context // 4, context // 2)

    async def _earlier(self, prompt: Prompt) -> list[Turn]:
        """The thread's turns before this prompt, oldest first, without questions that never got an answer."""
        page = await self._records.find(
            Message,
            Query(
                filters=(Filter("thread", "eq", prompt.thread), Filter("prompt_no", "lt", prompt.no)),
                order=(Order("prompt_no", True), Order("no", True)),
                limit=200,
            ),
        )
        messages = list(reversed(page.items))
        answered = {message.prompt for message in messages if message.role == "assistant"}
        return [
            Turn(message.role, message.text, tool_calls=message.tool_calls, tool_call_id=message.tool_call_id)
            for message in messages
            if message.prompt in answered
        ]

    async def _stream(self, run: Run, call: Call[Any]) -> Answer:
        connection, prompt = run.connection, run.prompt
        if connection is None:
            raise HandlerUnavailable
        hold = self._output_guard is not None
        size, n, attempt = 0, 0, prompt.runs
        end: Chunk | None = None
        async with aclosing(connection.engine.run(call)) as stream:
            async for chunk in stream:
                if chunk.kind == "done":
                    end = chunk
                    break
                if run.stopped is not None:
                    raise asyncio.CancelledError  # the engine swallowed the first one
                if not (chunk.text or chunk.tool_calls):
                    continue
                if run.first_token is None:
                    run.first_token = self._clock()
                for piece in chunks.pieces(chunk):
                    n += 1
                    numbered = Chunk(
                        "progress",
                        text=piece.text,
                        tool_calls=piece.tool_calls,
                        attempt=attempt,
                        n=n,
                        raw=piece.raw,
                        dialect=piece.dialect,
                    )
                    # half a surrogate pair stops here, before anybody has to send or store it
                    size += len(piece.text.encode()) + sum(len(call.arguments.encode()) for call in piece.tool_calls)
                    run.chunks.append(numbered)
                    if not hold:
                        self._bus.publish(prompt.id, numbered)
                if size > self._rules.max_answer_bytes:
                    raise InvalidOutput(f"the answer is longer than {self._rules.max_answer_bytes} bytes")
        if end is None:
            raise ExecutionFailed("the engine ended without a result")
        run.usage = end.usage or Usage()
        tool_calls: list[ToolCall] = [call for chunk in run.chunks for call in chunk.tool_calls]
        return Answer(
            message_id=self._ids.make("msg"),
            text="".join([chunk.text for chunk in run.chunks]),
            tool_calls=chunks.join_tool_calls(tool_calls) if tool_calls else (),
            value=end.value,
            finish_reason=end.finish_reason or "stop",
            usage=run.usage,
        )

    async def _judge(self, run: Run, answer: Answer) -> None:
        schema = run.prompt.request.parameters.json_schema
        if schema is not None and not answer.tool_calls:
            check_json(answer, schema)
        if self._output_guard is not None:
            verdict = await self._output_guard.inspect((Turn("assistant", answer.text),))
            if not verdict.allowed:
                raise ContentFiltered(f"the answer was refused by a guard: {verdict.reason}", stage="output")
            for chunk in run.chunks:
                self._bus.publish(run.prompt.id, chunk)

    async def _completed(self, run: Run, answer: Answer) -> Prompt | None:
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

    async def _failed(self, run: Run, raised: BaseException) -> Prompt | None:
        prompt, now = run.prompt, self._clock()
        if run.stopped in ("cancel", "drain"):
            move = Move.CANCEL if run.stopped == "cancel" else Move.HAND_BACK
            outcome = Outcome.CANCELED if run.stopped == "cancel" else Outcome.HANDED_BACK
            attempt = self.ledger(run, outcome, now, Cancelled() if run.stopped == "cancel" else None)
            return await self._settle(run, Settlement(prompt=prompt, move=move, attempt=attempt, now=now))
        error = self.meaning(run, raised)
        move, due = after_failure(
            error,
            failures=prompt.failures + 1,
            max_attempts=prompt.max_attempts,
            started=prompt.started or now,
            now=now,
            deadline=prompt.deadline,
            base=self._rules.base_seconds,
            limit=self._rules.max_exponent,
        )
        _log.warning(
            "attempt %d of %s failed: %s (%s)",
            prompt.runs,
            prompt.id,
            error.code,
            error.detail or error.message,
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
            ),
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

    # ---------------------------------------------------------------- parts

    def meaning(self, run: Run, raised: BaseException) -> PromptExecutionError:
        """What an exception that ended the run says about the attempt."""
        if run.stopped == "deadline":
            return Timeout("the prompt's deadline passed while it ran")
        if run.connection is None:
            return raised if isinstance(raised, PromptExecutionError) else ExecutionFailed(detail=repr(raised))
        error = map_error(run.connection.engine, raised)
        error.message = error.message.encode(errors="replace").decode()  # half a surrogate pair can't be stored
        return error

    def ledger(self, run: Run, outcome: Outcome, now: float, error: PromptExecutionError | None = None) -> Attempt:
        """The attempt's row, counted in the metrics."""
        prompt = run.prompt
        route = self._connections.route(prompt.model)
        attempt = Attempt(
            prompt=prompt.no,
            run=prompt.runs,
            engine=run.connection.engine.type_id if run.connection else "",
            connection=prompt.lane,
            model=run.upstream,
            started=prompt.started or now,
            first_token=run.first_token,
            finished=now,
            outcome=outcome,
            code=error.code if error else None,
            message=error.message if error else None,
            usage=run.usage,
            cost=cost(run.usage, route.price if route else Price()),
        )
        self._metrics.attempt(attempt)
        return attempt

    async def _settle(self, run: Run, settlement: Settlement) -> Prompt | None:
        """Store the end of the attempt. While the store can't be written the result waits here and is not lost."""
        run.settled = True
        tries = 0
        while True:
            try:
                return await self._queue.settle(settlement)
            except StoreUnavailable:
                await asyncio.sleep(_SETTLE_PAUSES[min(tries, len(_SETTLE_PAUSES) - 1)])
                tries += 1


def _torn_down(run: Run, error: BaseException) -> bool:
    """Whether the process is going down without a drain: no failed attempt, the prompt will be rescued."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and run.stopped is None and bool(task and task.cancelling())
