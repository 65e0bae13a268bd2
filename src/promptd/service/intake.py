"""Intake decides everything once: may this caller, is the text safe, within limits, which model. It ends in one
self-contained prompt in the queue, or in one typed refusal."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any, cast

from msgspec import Struct
from msgspec.structs import replace

from promptd.core import identity
from promptd.core.errors import (
    ContentRefused,
    Forbidden,
    InvalidRequest,
    Overloaded,
    Refusal,
    ShuttingDown,
    Unavailable,
)
from promptd.core.history import tokens
from promptd.core.model import Caller, Capability, Message, Prompt, Request, Submission, Thread, Usage
from promptd.core.output import check_schema, encode_schema
from promptd.core.policy import Charge, Metric, Policy
from promptd.core.ports import Added, Guard, Idempotency, Limits, Queue, Records, Reservation
from promptd.core.routing import Price, Route, cost
from promptd.core.texts import check_depth, request_turns
from promptd.service.clock import Clock, Ids
from promptd.service.connections import Connections
from promptd.service.metrics import Metrics
from promptd.service.worker import Worker

_DAY = 86400.0
_ID_LENGTH = 128
_ASSUMED_OUTPUT = 1024  # tokens reserved where the caller names no maximum
_LARGE_SCHEMA = 8 * 1024  # bytes; larger ones are checked in a thread
_NO_LIMIT = 2**53


class IntakeRules(Struct, frozen=True, kw_only=True):
    max_waiting: int = 1_000_000
    max_attempts: int = 5
    policies: tuple[Policy, ...] = ()


class Intake:
    """The one way into the queue."""

    def __init__(
        self,
        *,
        queue: Queue,
        records: Records,
        worker: Worker,
        connections: Connections,
        guard: Guard | None,
        limits: Limits,
        clock: Clock,
        ids: Ids,
        rules: IntakeRules,
        metrics: Metrics,
    ) -> None:
        self._metrics = metrics
        self._queue, self._records, self._worker = queue, records, worker
        self._connections, self._guard, self._limits = connections, guard, limits
        self._clock, self._ids, self._rules = clock, ids, rules
        #: of every prompt that is not final: the admission's, and one for each readmission while it was open
        self._reservations: dict[str, tuple[Reservation, ...]] = {}

    async def submit(self, submission: Submission) -> Added:
        """Store a prompt; when this returns, it is on disk. Raises a `Refusal`."""
        try:
            # a caller that leaves while the row is written must not leave a running row without a run behind
            added = await asyncio.shield(self._submit(submission))
        except Refusal as refusal:
            self._metrics.refused(refusal.code)
            raise
        if added.created:
            self._metrics.submitted(added.prompt.model)
        return added

    async def admit(self, submission: Submission) -> Prompt:
        """Decide on an attached prompt without storing it. Raises a `Refusal`."""
        try:
            prompt, _, reservation = await self._decide(submission, self._clock())
        except Refusal as refusal:
            self._metrics.refused(refusal.code)
            raise
        self._hold(prompt.id, reservation)
        self._metrics.submitted(prompt.model)
        return prompt

    async def readmit(self, caller: Caller, prompt: Prompt) -> None:
        """Decide whether `caller` may have a stored prompt run afresh. Raises a `Refusal`.

        It is charged like a new one; where it still holds its admission, as one more request.
        """
        try:
            self._refuse_work()
            metrics: tuple[Metric, ...] | None = ("requests",) if prompt.id in self._reservations else None
            charges = self._charges(caller, prompt.model, prompt.request, metrics)
            # an empty one too, so that `take_back` finds it and not the admission's
            self._hold(prompt.id, await self._limits.reserve(charges, now=self._clock()))
        except Refusal as refusal:
            self._metrics.refused(refusal.code)
            raise

    async def take_back(self, prompt_id: str) -> None:
        """Give back what the latest `readmit` of the prompt took: it was not started afresh."""
        held = self._reservations.get(prompt_id)
        if held is None:
            return
        if held[:-1]:
            self._reservations[prompt_id] = held[:-1]
        else:
            del self._reservations[prompt_id]
        await self._limits.release(held[-1], now=self._clock())

    async def remember(self, prompt: Prompt) -> None:
        """Count a prompt of an earlier process that is not final against concurrency, however many there are.

        Its other charges outlived that process.
        """
        if prompt.id in self._reservations:
            return
        caller = Caller(prompt.user, prompt.key, prompt.team)
        charges = [
            # the same counter, under a limit that refuses nobody
            replace(charge, policy=replace(charge.policy, limit=_NO_LIMIT))
            for charge in self._charges(caller, prompt.model, prompt.request, ("concurrency",))
        ]
        if charges:
            with suppress(Overloaded):  # more callers than can be counted: this one runs uncounted
                self._hold(prompt.id, await self._limits.reserve(charges, now=self._clock()))

    async def _decide(self, submission: Submission, now: float) -> tuple[Prompt, Thread | None, Reservation | None]:
        identity.require(submission.caller, identity.PROMPT_CREATE)
        self._refuse_work()
        route = self._connections.resolve(submission.model)
        self._check(submission, route, now)
        await self._check_parameters(submission.request)
        if self._guard is not None:
            await self._inspect(submission.request)
        thread = await self._thread(submission, now) if submission.thread is not None else None
        charges = self._charges(submission.caller, route.model, submission.request)
        reservation = await self._limits.reserve(charges, now=now) if charges else None
        return self._prompt(submission, route, now), thread, reservation

    async def _submit(self, submission: Submission) -> Added:
        now = self._clock()
        prompt, thread, reservation = await self._decide(submission, now)
        reserved = self._worker.reserve(prompt.lane)
        try:
            added = await self._queue.add(
                prompt,
                now=now,
                start=reserved,
                thread=thread,
                messages=self._messages(prompt, now) if prompt.thread is not None else (),
                idempotency=self._idempotency(submission, now),
            )
        except BaseException:  # a row that no store can hold must not cost the lane its slot
            await self._take_back(prompt.lane, reserved, reservation, now)
            raise
        if not added.created:
            await self._take_back(prompt.lane, reserved, reservation, now)
            return added
        self._hold(added.prompt.id, reservation)
        self._worker.submitted(added.prompt, reserved=reserved)
        return added

    async def settle(self, prompt: Prompt, usage: Usage | None = None, cost: int = 0) -> None:
        """A prompt is final: replace what was reserved for it by what its attempts used, failed ones included.

        `usage` and `cost` (nano-units) are the sums over the attempts since the prompt was (re)admitted. Where nothing is
        known the answer's usage counts, and without an answer the input's estimate stays, if there was an attempt.
        """
        held = self._reservations.pop(prompt.id, ())
        actual = self._used(prompt, usage, cost) if held else {}
        for reservation in held:
            await self._limits.settle(reservation, actual, now=self._clock())

    def _used(self, prompt: Prompt, usage: Usage | None, nano: int) -> dict[str, int]:
        if usage is not None and usage != Usage():
            return {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens, "cost": nano}
        route = self._connections.route(prompt.model)
        price = route.price if route is not None else Price()
        if prompt.answer is not None:
            found = prompt.answer.usage
        else:
            found = Usage(_input_tokens(prompt.request) if prompt.runs else 0)
        return {
            "input_tokens": found.input_tokens,
            "output_tokens": found.output_tokens,
            "cost": nano or cost(found, price),
        }

    def _hold(self, prompt_id: str, reservation: Reservation | None) -> None:
        if reservation is not None:
            self._reservations[prompt_id] = (*self._reservations.get(prompt_id, ()), reservation)

    async def _take_back(self, lane: str, reserved: bool, reservation: Reservation | None, now: float) -> None:
        if reserved:
            self._worker.release(lane)
        if reservation is not None:
            await self._limits.release(reservation, now=now)

    # ---------------------------------------------------------------- decisions

    def _refuse_work(self) -> None:
        """Raises `ShuttingDown`, and `Overloaded` where too many wait already."""
        if self._worker.draining:
            raise ShuttingDown(retry_after=5)
        if self._worker.waiting >= self._rules.max_waiting:
            raise Overloaded("too many prompts are waiting", retry_after=10)

    def _check(self, submission: Submission, route: Route, now: float) -> None:
        request = submission.request
        if submission.capability is Capability.EMBEDDING:
            if not request.texts:
                raise InvalidRequest(field="texts", expected="at least one text")
        elif not any(turn.content or turn.tool_calls for turn in request.messages):
            raise InvalidRequest(field="messages", expected="at least one message with text")
        if not self._connections.supports(route, submission.capability):
            raise InvalidRequest(
                f"the model {route.model!r} does not do {submission.capability}",
                field="capability",
                expected="something the model can do",
            )
        if submission.id is not None and not 1 <= len(submission.id) <= _ID_LENGTH:
            raise InvalidRequest(field="id", expected=f"1 to {_ID_LENGTH} characters")
        if submission.deadline is not None and submission.deadline <= now:
            raise InvalidRequest(field="deadline", expected="a time in the future")
        if submission.max_attempts is not None and not 1 <= submission.max_attempts <= 100:
            raise InvalidRequest(field="max_attempts", expected="a whole number from 1 to 100")
        if not -100 <= submission.priority <= 100:
            raise InvalidRequest(field="priority", expected="a whole number from -100 to 100")

    async def _check_parameters(self, request: Request) -> None:
        """What a caller may nest and engines and stores walk recursively, and the form of the answer."""
        parameters = request.parameters
        check_depth(parameters.extra, "parameters.extra")
        for index, tool in enumerate(parameters.tools):
            check_depth(tool.parameters, f"parameters.tools[{index}].parameters")
        if parameters.json_schema is not None:
            await _check_schema(parameters.json_schema, "parameters.json_schema")

    async def _inspect(self, request: Request) -> None:
        guard = cast(Guard, self._guard)
        try:
            verdict = await guard.inspect(request_turns(request))
        except Exception as error:  # a guard that fails must not let text through
            raise Unavailable("the guard failed; nothing is let through", detail=repr(error)) from error
        if not verdict.allowed:
            raise ContentRefused(f"refused by a guard: {verdict.reason}", reason=verdict.reason)

    async def _thread(self, submission: Submission, now: float) -> Thread:
        identifier = cast(str, submission.thread)
        if not 1 <= len(identifier) <= _ID_LENGTH:
            raise InvalidRequest(field="thread_id", expected=f"1 to {_ID_LENGTH} characters")
        thread = await self._records.get(Thread, identifier)
        if thread is None:
            user = submission.caller.user
            title = next((turn.content for turn in submission.request.messages if turn.role == "user"), "")[:100]
            return Thread(id=identifier, user=user, members=(user,), created=now, updated=now, title=title)
        if submission.caller.user not in thread.members:
            raise Forbidden(f"the thread {identifier} is somebody else's")
        return thread

    def _charges(
        self, caller: Caller, model: str, request: Request, metrics: tuple[Metric, ...] | None = None
    ) -> list[Charge]:
        """What a prompt is charged at admission, for all metrics or for those of `metrics`."""
        policies = [policy for policy in self._rules.policies if metrics is None or policy.metric in metrics]
        if not policies:
            return []
        asked = Usage(_input_tokens(request), request.parameters.max_tokens or _ASSUMED_OUTPUT)
        route = self._connections.route(model)
        amounts = {
            "requests": 1,
            "concurrency": 1,
            "input_tokens": asked.input_tokens,
            "output_tokens": asked.output_tokens,
            "cost": cost(asked, route.price if route is not None else Price()),
        }
        subjects = {"user": caller.user, "key": caller.key, "team": caller.team, "model": model, "all": ""}
        return [Charge(policy, subjects[policy.scope], amounts[policy.metric]) for policy in policies]

    # ---------------------------------------------------------------- what is stored

    def _prompt(self, submission: Submission, route: Route, now: float) -> Prompt:
        caller = submission.caller
        return Prompt(
            id=submission.id or self._ids.make("prm"),
            model=route.model,
            lane=route.connection,
            user=caller.user,
            key=caller.key,
            team=caller.team,
            request=submission.request,
            created=now,
            updated=now,
            mode=submission.mode,
            capability=submission.capability,
            thread=submission.thread,
            parent=submission.parent,
            priority=submission.priority,
            not_before=submission.not_before,
            deadline=submission.deadline,
            max_attempts=submission.max_attempts or self._rules.max_attempts,
        )

    def _messages(self, prompt: Prompt, now: float) -> tuple[Message, ...]:
        return tuple(
            Message(
                id=self._ids.make("msg"),
                thread=cast(str, prompt.thread),
                prompt=prompt.id,
                role=turn.role,
                created=now,
                text=turn.content,
                tool_calls=turn.tool_calls,
                tool_call_id=turn.tool_call_id,
                user=prompt.user,  # of the caller's assistant turns too: only an answer has none
            )
            for turn in prompt.request.messages
        )

    def _idempotency(self, submission: Submission, now: float) -> Idempotency | None:
        if submission.idempotency_key is None:
            return None
        if not 1 <= len(submission.idempotency_key) <= 255:
            raise InvalidRequest(field="Idempotency-Key", expected="1 to 255 characters")
        return Idempotency(submission.idempotency_key, submission.fingerprint, now + _DAY)


def _input_tokens(request: Request) -> int:
    """A rough size of the input."""
    return sum(map(tokens, request.messages)) + sum(len(text.encode()) // 4 for text in request.texts)


async def _check_schema(schema: dict[str, Any], field: str) -> None:
    check_depth(schema, field)
    if len(encode_schema(schema, field)) > _LARGE_SCHEMA:
        await asyncio.to_thread(check_schema, schema, field)
    else:
        check_schema(schema, field)
