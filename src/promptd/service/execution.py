"""One attempt of a prompt, as a short chain of named steps, settled exactly once.

prepare   history and the engine's call
stream    run the engine, number its chunks, publish them
fulfil    read the form out of the answer that a template promises
judge     does the answer keep what was promised?
settle    one transaction, and word to the readers (settling.py)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from time import monotonic
from typing import Any

from msgspec import Struct

from promptd.core import chunks, history
from promptd.core.content import Turn
from promptd.core.engine import Call
from promptd.core.errors import (
    ContentFiltered,
    ExecutionFailed,
    HandlerUnavailable,
    InvalidOutput,
    StoreUnavailable,
    UnsupportedInput,
)
from promptd.core.filters import Filter, Order, Query
from promptd.core.model import Answer, Blob, Capability, Chunk, Message, Native, Prompt, Usage
from promptd.core.output import check_json
from promptd.core.ports import Bus, Guard, Queue, Records
from promptd.core.routing import Leg, bounded
from promptd.core.texts import answer_turns
from promptd.service.attachments import Attachments
from promptd.service.clock import Clock, Ids
from promptd.service.connections import Connection, Connections
from promptd.service.events import Event, Events
from promptd.service.metrics import Metrics
from promptd.service.router import Router
from promptd.service.runs import Run
from promptd.service.settling import Settling

_LARGE_ANSWER = 65_536  # characters; a larger one is checked in a thread


Equip = Callable[[Run, Call[Any, Any]], Awaitable[Call[Any, Any]]]
Fulfil = Callable[[Run, Call[Any, Any], Answer], Awaitable[tuple[Answer, Sequence[Chunk]]]]


class Rules(Struct, frozen=True, kw_only=True):
    """Settings of execution; meanings and bounds in docs/configuration.md."""

    base_seconds: float = 2.0
    max_exponent: int = 9
    history_tokens: int = 3000
    max_answer_bytes: int = 16 * 1024 * 1024


class Execution:
    """Runs attempts. One instance serves every lane."""

    def __init__(
        self,
        *,
        queue: Queue,
        records: Records,
        bus: Bus,
        connections: Connections,
        router: Router,
        attachments: Attachments,
        events: Events,
        input_guard: Guard | None,
        output_guard: Guard | None,
        clock: Clock,
        ids: Ids,
        rules: Rules,
        metrics: Metrics,
    ) -> None:
        self._records, self._bus = records, bus
        self._attachments, self._events, self._router = attachments, events, router
        self._connections, self._input_guard, self._output_guard = connections, input_guard, output_guard
        self._clock, self._ids, self._rules = clock, ids, rules
        #: what prompts of templates need beside; the composition root says who does it
        self.equip: Equip = _plain
        self.fulfilment: Fulfil = _unpromised
        self.settling = Settling(
            queue=queue,
            bus=bus,
            router=router,
            events=events,
            clock=clock,
            metrics=metrics,
            base_seconds=rules.base_seconds,
            max_exponent=rules.max_exponent,
        )

    def configure(self, rules: Rules, input_guard: Guard | None, output_guard: Guard | None) -> None:
        """Other rules from now on; an attempt under way keeps its guard."""
        self._rules, self._input_guard, self._output_guard = rules, input_guard, output_guard
        self.settling.configure(rules.base_seconds, rules.max_exponent)

    @property
    def output_guard(self) -> Guard | None:
        """Who reads answers before anybody else does."""
        return self._output_guard

    def begin(self, prompt: Prompt, leg: Leg | None = None) -> Run:
        """A run on the leg that is given, or on the one of the prompt's model that its lane is."""
        connection = self._connections.get(prompt.lane)
        leg = leg or self._router.leg(prompt)
        if leg is None:
            return Run(prompt, connection, prompt.model)
        return Run(prompt, connection, leg.upstream, leg)

    async def attempt(self, run: Run) -> Prompt | None:
        """One attempt from claim to settlement; the prompt as it now is, or None where the lease was lost."""
        try:
            answer = await self.answer(run)
        except BaseException as error:  # whatever an engine raises, SystemExit included, ends this attempt only
            if isinstance(error, KeyboardInterrupt) or is_torn_down(run, error):
                raise
            return await self.settling.failed(run, error)
        try:
            settled = await self.settling.completed(run, answer)
            if settled is None and answer.files:
                await self._discard_unless_stored(run.prompt, answer)
            return settled
        except Exception as error:  # no store can hold what a stranger's engine put into its answer
            await self._attachments.discard(run.prompt.user, answer.files)
            run.usage = Usage()
            return await self.settling.failed(run, InvalidOutput("the answer can't be stored", detail=repr(error)))

    async def answer(self, run: Run) -> Answer:
        """The engine's answer, judged; nothing is settled yet. Raises whatever the engine raises."""
        run.begun = True
        if run.stopped is not None:
            raise asyncio.CancelledError
        self._events.tell(Event("prompt_started", prompt=run.prompt.id))
        call, guard = await self.prepare(run), self._output_guard
        answer = await self._stream(run, call, hold=guard is not None)
        try:
            answer, told = await self.fulfil(run, call, answer)
            if guard is not None:
                await self.judge(answer, guard)
                told = run.chunks
            for chunk in told:
                self._bus.publish(run.prompt.id, chunk)
        except BaseException:  # a cancel too: nobody will ever name these files
            await self._attachments.discard(run.prompt.user, answer.files)
            raise
        return answer

    # ---------------------------------------------------------------- steps

    async def prepare(self, run: Run, native: Native | None = None, *, spelled: bool = False) -> Call[Any, Any]:
        """The engine's call. `native` goes along where the connection's service speaks its dialect."""
        prompt, connection = run.prompt, run.connection
        if connection is None:
            raise HandlerUnavailable(f"the connection {prompt.lane!r} is not configured any more")
        turns = prompt.request.messages
        if prompt.thread is not None and prompt.capability is Capability.CHAT:
            turns = history.cut(await self._earlier(prompt), turns, self._budget(run, connection))
        image = prompt.request.parameters.image
        if image is not None and image.prompt is not None:
            turns = (*turns[:-1], Turn("user", image.prompt))
        blobs: tuple[Blob, ...] = ()
        if prompt.request.files:
            inputs = await self._attachments.load(prompt.request.files, prompt.capability, turns)
            turns, blobs = inputs.messages, inputs.blobs
            await self._inspect(inputs.texts)
        if native is None and prompt.request.parameters.n != 1:
            raise UnsupportedInput("parameters.n: only one choice can be made here")
        if native is None and any(turn.parts for turn in turns):
            able = self._takes_documents(prompt, connection)
            turns, texts = await self._attachments.spell_out(turns, documents=able)
            await self._inspect(texts)
        call: Call[Any, Any] = Call(
            connection=connection.config,
            connection_name=connection.name,
            model=run.upstream,
            http=connection.http,
            run_id=prompt.id,
            attempt=prompt.runs,
            capability=prompt.capability,
            messages=turns,
            texts=prompt.request.texts,
            blobs=blobs,
            parameters=prompt.request.parameters,
            output=prompt.request.output,
            deadline=None if prompt.deadline is None else monotonic() + prompt.deadline - self._clock(),
            end_user_ref=prompt.user,
            native=native,
            spelled=spelled,
        )
        return call if prompt.request.value is None else await self.equip(run, call)

    async def _inspect(self, texts: Sequence[str]) -> None:
        """What stands in documents is read only now. Raises `ContentFiltered` where the guard refuses it."""
        if self._input_guard is not None and texts:
            verdict = await self._input_guard.inspect([Turn("user", text) for text in texts])
            if not verdict.allowed:
                raise ContentFiltered(f"a document was refused by a guard: {verdict.reason}", stage="input")

    def _takes_documents(self, prompt: Prompt, connection: Connection) -> bool:
        route = self._connections.route(prompt.model)
        return Capability.DOCUMENT in ((route and route.capabilities) or connection.engine.capabilities)

    def _budget(self, run: Run, connection: Connection) -> int:
        """Tokens for the conversation: what the model holds, less what it is asked to write."""
        route = self._connections.route(run.prompt.model)
        context = (route and route.context) or connection.engine.standing(connection.name, connection.config).context
        if context is None:
            return self._rules.history_tokens
        return context - min(run.prompt.request.parameters.max_tokens or context // 4, context // 2)

    async def _earlier(self, prompt: Prompt) -> list[Turn]:
        """The thread's turns before this prompt, oldest first, without questions that never got an answer in words.

        What was drawn or spoken is not text, and an empty turn is more than most models take.
        """
        page = await self._records.find(
            Message,
            Query(
                filters=(Filter("thread", "eq", prompt.thread), Filter("prompt_no", "lt", prompt.no)),
                order=(Order("prompt_no", True), Order("no", True)),
                limit=200,
            ),
        )
        messages = list(reversed(page.items))
        answered = {message.prompt for message in messages if message.role == "assistant" and message.user is None}
        answered -= {message.prompt for message in messages if _is_silent(message)}
        return [
            Turn(message.role, message.text, tool_calls=message.tool_calls, tool_call_id=message.tool_call_id)
            for message in messages
            if message.prompt in answered
        ]

    async def _stream(self, run: Run, call: Call[Any, Any], *, hold: bool) -> Answer:
        """Run the engine. `hold` keeps its text back until somebody has judged it."""
        connection, prompt = run.connection, run.prompt
        if connection is None:
            raise HandlerUnavailable
        n, attempt = 0, prompt.runs
        end: Chunk | None = None
        async with aclosing(connection.engine.run(call)) as stream:
            async for chunk in stream:
                if chunk.kind == "done":
                    end = chunk
                    break
                if run.stopped is not None:
                    raise asyncio.CancelledError  # the engine swallowed the first one
                speaks = chunks.speaks(chunk)
                if not speaks and chunk.fraction is None:
                    continue
                if speaks and run.first_token is None:
                    run.first_token = self._clock()
                # how far the work is has a number and a place in the trace as text has, an empty one: a reader that
                # comes back with its event id must not be taken for one that has seen more than there is
                for piece in chunks.pieces(chunk):
                    n += 1
                    numbered = chunks.number(piece, attempt, n)
                    # half a surrogate pair stops here, before anybody has to send or store it
                    run.said += chunks.size(piece)
                    run.chunks.append(numbered)
                    if not hold:
                        self._bus.publish(prompt.id, numbered)
                self.check_size(run.said)
                if n >= chunks.END_OF_FAILED - 1:
                    raise InvalidOutput("the answer has too many pieces")
        if end is None:
            raise ExecutionFailed("the engine ended without a result")
        return await self.gathered(run, end, keep=True)

    def check_size(self, size: int) -> None:
        """Raises `InvalidOutput` where an answer of so many bytes is longer than the settings allow."""
        if size > self._rules.max_answer_bytes:
            raise InvalidOutput(f"the answer is longer than {self._rules.max_answer_bytes} bytes")

    async def gathered(self, run: Run, end: Chunk, *, keep: bool) -> Answer:
        """The answer of the run's chunks and its engine's `done`; its files are stored where they are to be kept."""
        run.end = end
        run.usage = usage = bounded(end.usage)
        if not keep and not run.chunks:
            # nobody can ask for a message that is not kept
            return Answer(
                run.prompt.id,
                "",
                (),
                end.value,
                end.finish_reason or "stop",
                usage,
                stop_sequence=end.stop_sequence,
            )
        files = await self._keep(run.prompt.user, end.blobs) if end.blobs and keep else ()
        return chunks.gather(run.chunks, end, run.usage, self._ids.make("msg"), files)

    async def _keep(self, user: str, blobs: Sequence[Blob]) -> tuple[str, ...]:
        """Store what the engine made. While that can't be, it waits here: drawing it again would cost more."""
        kept = await self.settling.persist(lambda: self._attachments.keep(user, blobs))
        if kept is None:
            raise StoreUnavailable("the server leaves before the answer's files can be stored")
        return kept

    async def _discard_unless_stored(self, prompt: Prompt, answer: Answer) -> None:
        """The lease was lost; or the store failed and had written the answer all the same, and then its files must stay."""
        with suppress(StoreUnavailable):
            found = await self._records.get(Prompt, prompt.id)
            if found is None or found.answer is None or found.answer.message_id != answer.message_id:
                await self._attachments.discard(prompt.user, answer.files)

    async def judge(self, answer: Answer, guard: Guard) -> None:
        """Raises `ContentFiltered` where the guard refuses the answer."""
        verdict = await guard.inspect(answer_turns(answer))
        if not verdict.allowed:
            raise ContentFiltered(f"the answer was refused by a guard: {verdict.reason}", stage="output")

    async def fulfil(self, run: Run, call: Call[Any, Any], answer: Answer) -> tuple[Answer, Sequence[Chunk]]:
        """The answer in the form that was promised, and what readers must be told because it was said anew.

        Raises `InvalidOutput`.
        """
        request = run.prompt.request
        if request.output is not None or request.value is not None:
            return await self.fulfilment(run, call, answer)
        await self._check_form(run, answer)
        return answer, ()

    async def _check_form(self, run: Run, answer: Answer) -> None:
        schema = run.prompt.request.parameters.json_schema
        if schema is not None and not answer.tool_calls and not run.prompt.request.unchecked:
            if len(answer.text) > _LARGE_ANSWER:
                await asyncio.to_thread(check_json, answer, schema)
            else:
                check_json(answer, schema)


async def _plain(run: Run, call: Call[Any, Any]) -> Call[Any, Any]:
    """Until the composition root says who knows templates."""
    return call


async def _unpromised(run: Run, call: Call[Any, Any], answer: Answer) -> tuple[Answer, Sequence[Chunk]]:
    """Until the composition root says who knows templates."""
    return answer, ()


def _is_silent(message: Message) -> bool:
    """Whether a speaker said nothing; the result of a tool may well be empty."""
    return message.role in ("user", "assistant") and not (message.text or message.tool_calls)


def is_torn_down(run: Run, error: BaseException) -> bool:
    """Whether the process is going down without a drain: no failed attempt, the prompt will be rescued."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and run.stopped is None and bool(task and task.cancelling())
