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
from functools import partial
from typing import Any

from msgspec import Struct

from promptd.core import chunks, history
from promptd.core.content import Turn
from promptd.core.credentials import Credential
from promptd.core.engine import Call
from promptd.core.errors import (
    ContentFiltered,
    ExecutionFailed,
    HandlerUnavailable,
    InvalidOutput,
    PromptExecutionError,
    StoreUnavailable,
    UnsupportedInput,
)
from promptd.core.model import Answer, Blob, Capability, Chunk, Native, Prompt, Usage
from promptd.core.output import check_json
from promptd.core.ports import Bus, Queue, Records
from promptd.core.rewriting import rewrite_turns
from promptd.core.routing import Leg
from promptd.service.attachments import Attachments
from promptd.service.calls import call_of
from promptd.service.clock import Clock, Ids
from promptd.service.connections import Connection, Connections
from promptd.service.earlier import earlier_turns
from promptd.service.events import Event, Events
from promptd.service.guarding import Guarding, Plan, Watch
from promptd.service.metrics import Metrics
from promptd.service.router import Router
from promptd.service.runs import Run, is_torn_down
from promptd.service.settling import Settling
from promptd.service.spelling import has_parts

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
        guarding: Guarding,
        clock: Clock,
        ids: Ids,
        rules: Rules,
        metrics: Metrics,
    ) -> None:
        self._records, self._bus = records, bus
        self._attachments, self._events, self._router = attachments, events, router
        self._connections, self.guarding = connections, guarding
        self._clock, self._ids, self.rules = clock, ids, rules
        #: what prompts of templates need beside; the composition root says who does it
        self.equip: Equip = _plain
        self.fulfilment: Fulfil = _unpromised
        self.step_aside: Callable[[Run], None] = _stay
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

    def configure(self, rules: Rules) -> None:
        """Other rules from now on."""
        self.rules = rules
        self.settling.configure(rules.base_seconds, rules.max_exponent)

    def begin(self, prompt: Prompt) -> Run:
        """A run of a stored prompt, on the leg of its model that its lane is. Its checks stay those of now."""
        plan, leg = self.guarding.plan_of(prompt, partial(self._names, prompt)), self._router.leg(prompt)
        if leg is not None:
            return self.begin_on(leg, prompt, plan, None)
        run = Run(prompt, self._connections.get(prompt.lane), prompt.model, plan=plan)  # its model is gone
        if self.settling.tracing is not None:
            self.settling.tracing.join(run)
        return run

    def begin_on(self, leg: Leg, prompt: Prompt, plan: Plan, task: asyncio.Task[Any] | None) -> Run:
        """A run on a leg, with the checks of `plan`. With a task it has begun there."""
        connection = self._connections.get(prompt.lane)
        run = Run(prompt, connection, leg.upstream, leg, leg.price, plan, task, task is not None)
        if self.settling.tracing is not None:
            self.settling.tracing.join(run)
        return run

    async def attempt(self, run: Run) -> Prompt | None:
        """One attempt from claim to settlement; the prompt as it now is, or None where the lease was lost."""
        try:
            answer = await self.answer(run)
        except BaseException as error:  # whatever an engine raises, SystemExit included, ends this attempt only
            if isinstance(error, KeyboardInterrupt) or is_torn_down(run, error):
                raise
            if run.plan.output and run.stopped is None and isinstance(error, PromptExecutionError):
                error = self.settling.meaning(run, error)
                try:
                    await self.judge(run, error)
                except asyncio.CancelledError as cancelled:
                    if is_torn_down(run, cancelled):
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
        await self.guarding.renew(run)
        call = await self.prepare(run)
        watch = run.watch = self.guarding.watch(run)
        answer = await self._stream(run, call, watch)
        try:
            answer, told = await self.fulfil(run, call, answer)
            if watch is not None:
                answer = await watch.conclude(answer)
                told = run.chunks if watch.whole else told
            for chunk in told:
                self._bus.publish(run.prompt.id, chunk)
        except BaseException:  # a cancel too: nobody will ever name these files
            await self._attachments.discard(run.prompt.user, answer.files)
            raise
        return answer

    # ---------------------------------------------------------------- steps

    async def prepare(
        self, run: Run, native: Native | None = None, spelled: bool = False, credential: Credential | None = None
    ) -> Call[Any, Any]:
        """The engine's call, with all that has to be read for it. `native` goes along; the connection's service speaks its
        dialect."""
        prompt, connection = run.prompt, run.connection
        if connection is None:
            raise HandlerUnavailable(f"the connection {prompt.lane!r} is not configured any more")
        if self.settling.tracing is not None:
            self.settling.tracing.enter(run)
        request = prompt.request
        turns, parameters = request.messages, request.parameters
        if prompt.thread is not None and prompt.capability is Capability.CHAT:
            turns = history.cut(await earlier_turns(self._records, prompt), turns, self._budget(run, connection))
        image = parameters.image
        if image is not None and image.prompt is not None:
            turns = (*turns[:-1], Turn("user", image.prompt))
        blobs: tuple[Blob, ...] = ()
        if request.files:
            inputs = await self._attachments.load(request.files, prompt.capability, turns)
            turns, blobs = await self._inspected(run, inputs.messages, inputs.texts), inputs.blobs
        if native is None and parameters.n != 1:
            raise UnsupportedInput("parameters.n: only one choice can be made here")
        if request.inputs and run.plan.input:
            await self._inspected(run, (), await self._attachments.texts(request.inputs))
        if has_parts(turns):
            turns = await self._read(run, connection, turns, as_they_are=native is not None)
        call = call_of(run, connection, turns, blobs, native, spelled, credential, self._clock)
        return call if request.value is None else await self.equip(run, call)

    async def _read(
        self, run: Run, connection: Connection, turns: tuple[Turn, ...], *, as_they_are: bool
    ) -> tuple[Turn, ...]:
        """Turns with parts in the form that the engine takes, judged as far as they are documents.

        Raises `ContentFiltered`, `ServiceUnavailable` and what reading a document raises.
        """
        if not as_they_are:
            able = self._takes_documents(run.prompt, connection)
            as_they_are = able and not any(check.redactor for check in run.plan.input)
            turns, texts = await self._attachments.spell_out(turns, documents=as_they_are)
            turns = await self._inspected(run, turns, texts)
        if as_they_are and run.plan.input:
            await self._inspected(run, (), await self._attachments.documents(turns))
        return turns

    async def _inspected(self, run: Run, turns: tuple[Turn, ...], texts: Sequence[str]) -> tuple[Turn, ...]:
        """Turns with texts of documents in them, which are read only now; none where the documents go on as they are.

        Raises `ContentFiltered`, `ServiceUnavailable`.
        """
        if not (texts and run.plan.input):
            return turns
        for check, redactor in await self.guarding.documents(run, texts):
            if not turns:
                told = check.told or "a document can't be redacted"
                raise ContentFiltered(told, stage="input", check=check.name, told=check.told)
            # documents are long
            turns = await asyncio.to_thread(rewrite_turns, turns, self.guarding.change(run, check, redactor))
        return turns

    def _names(self, prompt: Prompt) -> Sequence[str]:
        """What the prompt's model is called, here and by those who serve it."""
        route = self._router.route(prompt)
        legs = [] if route is None else [leg.upstream for leg in route.legs]
        return (prompt.model, prompt.request.connection or "", *legs)

    def _takes_documents(self, prompt: Prompt, connection: Connection) -> bool:
        route = self._connections.route(prompt.model)
        return Capability.DOCUMENT in ((route and route.capabilities) or connection.engine.capabilities)

    def _budget(self, run: Run, connection: Connection) -> int:
        """Tokens for the conversation: what the model holds, less what it is asked to write."""
        route = self._connections.route(run.prompt.model)
        context = (route and route.context) or connection.engine.standing(connection.name, connection.config).context
        if context is None:
            return self.rules.history_tokens
        return context - min(run.prompt.request.parameters.max_tokens or context // 4, context // 2)

    async def _stream(self, run: Run, call: Call[Any, Any], watch: Watch | None) -> Answer:
        """Run the engine. Only what its watch lets go is numbered and told."""
        connection = run.connection
        if connection is None:
            raise HandlerUnavailable
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
                # half a surrogate pair stops here, before anybody has to send or store it
                run.said += chunks.size(chunk)
                self.check_size(run.said)
                if watch is None:
                    self._tell(run, chunk)
                else:
                    for free in await watch.sift(chunk):
                        self._tell(run, free)
        if end is None:
            raise ExecutionFailed("the engine ended without a result")
        for free in await self.rest(run):
            self._tell(run, free)
        return await self.gathered(run, end, keep=True)

    async def judge(self, run: Run, error: PromptExecutionError) -> None:
        """Let the checks of answers look at what a failure tells; what they refuse is taken out of it."""
        if any(getattr(check.guard, "asks", False) for check in run.plan.output):
            self.step_aside(run)
        await self.guarding.failure(run, error)

    async def rest(self, run: Run) -> Sequence[Chunk]:
        """What the watch of an attempt held back to its end. Raises `ContentFiltered`, `ServiceUnavailable`."""
        if run.watch is None:
            return ()
        if run.watch.asks:
            self.step_aside(run)
        return await run.watch.rest()

    def _tell(self, run: Run, chunk: Chunk) -> None:
        """Number a chunk, remember it, and tell those who follow, if nobody has to judge the whole first.

        How far the work is has a number and a place in the trace as text has, an empty one: a reader that comes back with
        its event id must not be taken for one that has seen more than there is.
        """
        for numbered in run.note(chunk):
            if run.watch is None or not run.watch.whole:
                self._bus.publish(run.prompt.id, numbered)
        if len(run.chunks) >= chunks.END_OF_FAILED - 1:
            raise InvalidOutput("the answer has too many pieces")

    def check_size(self, size: int) -> None:
        """Raises `InvalidOutput` where an answer of so many bytes is longer than the settings allow."""
        if size > self.rules.max_answer_bytes:
            raise InvalidOutput(f"the answer is longer than {self.rules.max_answer_bytes} bytes")

    async def gathered(self, run: Run, end: Chunk, *, keep: bool) -> Answer:
        """The answer of the run's chunks and its engine's `done`; its files are stored where they are to be kept."""
        if not keep and not run.chunks:
            return self.unkept(run, end)
        run.end = end
        usage = run.count(end.usage)
        files = await self._keep(run.prompt.user, end.blobs) if end.blobs and keep else ()
        return chunks.gather(run.chunks, end, usage, self._ids.make("msg"), files)

    def unkept(self, run: Run, end: Chunk) -> Answer:
        """As `gathered`, where nothing is noted: nobody can ask for a message that is not kept."""
        return chunks.unsaid(end, run.count(end.usage), run.prompt.id)

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


def _stay(run: Run) -> None:
    """Until the composition root says who gives slots back."""


async def _unpromised(run: Run, call: Call[Any, Any], answer: Answer) -> tuple[Answer, Sequence[Chunk]]:
    """Until the composition root says who knows templates."""
    return answer, ()
