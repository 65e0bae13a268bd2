"""Intake decides everything once: may this caller, is the text safe, within limits, which model. It ends in one
self-contained prompt in the queue, or in one typed refusal."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import cast

from msgspec import Struct

from promptd.core import identity
from promptd.core.errors import (
    ContentRefused,
    Forbidden,
    InvalidRequest,
    Overloaded,
    PromptdError,
    Refusal,
    ShuttingDown,
    Unavailable,
)
from promptd.core.history import tokens
from promptd.core.model import Capability, Message, Prompt, Submission, Thread, Turn
from promptd.core.output import check_schema
from promptd.core.policy import Charge, Policy
from promptd.core.ports import Added, Guard, Idempotency, Limits, Queue, Records, Reservation
from promptd.core.routing import Route
from promptd.service.clock import Clock, Ids
from promptd.service.connections import Connections
from promptd.service.metrics import Metrics
from promptd.service.worker import Worker

_DAY = 86400.0
_ID_LENGTH = 128
_ASSUMED_OUTPUT = 1024  # tokens reserved where the caller names no maximum


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
        self._reservations: dict[str, Reservation] = {}

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
        if reservation is not None:
            self._reservations[prompt.id] = reservation
        self._metrics.submitted(prompt.model)
        return prompt

    async def _decide(self, submission: Submission, now: float) -> tuple[Prompt, Thread | None, Reservation | None]:
        identity.require(submission.caller, identity.PROMPT_CREATE)
        if self._worker.draining:
            raise ShuttingDown(retry_after=5)
        route = self._connections.resolve(submission.model)
        self._check(submission, route, now)
        if self._guard is not None:
            await self._inspect(submission)
        if self._worker.waiting >= self._rules.max_waiting:
            raise Overloaded("too many prompts are waiting", retry_after=10)
        thread = await self._thread(submission, now) if submission.thread is not None else None
        reservation = await self._reserve(submission, route, now) if self._rules.policies else None
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
        except PromptdError:
            await self._take_back(prompt.lane, reserved, reservation, now)
            raise
        if not added.created:
            await self._take_back(prompt.lane, reserved, reservation, now)
            return added
        if reservation is not None:
            self._reservations[added.prompt.id] = reservation
        self._worker.submitted(added.prompt, reserved=reserved)
        return added

    async def settle(self, prompt: Prompt) -> None:
        """A prompt is final: replace what was reserved for it by what it used."""
        reservation = self._reservations.pop(prompt.id, None)
        if reservation is None:
            return
        if prompt.answer is None:
            await self._limits.settle(reservation, {"input_tokens": 0, "output_tokens": 0}, now=self._clock())
        else:
            usage = prompt.answer.usage
            actual = {"input_tokens": usage.input_tokens, "output_tokens": usage.output_tokens}
            await self._limits.settle(reservation, actual, now=self._clock())

    async def _take_back(self, lane: str, reserved: bool, reservation: Reservation | None, now: float) -> None:
        if reserved:
            self._worker.release(lane)
        if reservation is not None:
            await self._limits.release(reservation, now=now)

    # ---------------------------------------------------------------- decisions

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
        if request.parameters.json_schema is not None:
            check_schema(request.parameters.json_schema, "parameters.json_schema")

    async def _inspect(self, submission: Submission) -> None:
        guard = cast(Guard, self._guard)
        texts: Sequence[Turn] = submission.request.messages or [Turn("user", text) for text in submission.request.texts]
        try:
            verdict = await guard.inspect(texts)
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

    async def _reserve(self, submission: Submission, route: Route, now: float) -> Reservation:
        request, caller = submission.request, submission.caller
        asked = sum(map(tokens, request.messages)) + sum(len(text.encode()) // 4 for text in request.texts)
        amounts = {
            "requests": 1,
            "concurrency": 1,
            "input_tokens": asked,
            "output_tokens": request.parameters.max_tokens or _ASSUMED_OUTPUT,
        }
        subjects = {
            "user": caller.user,
            "key": caller.key,
            "team": caller.team,
            "model": route.model,
            "all": "",
        }
        charges = [
            Charge(policy, subjects[policy.scope], amounts[policy.metric])
            for policy in self._rules.policies
            if policy.metric in amounts
        ]
        return await self._limits.reserve(charges, now=now)

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
                user=prompt.user if turn.role == "user" else None,
            )
            for turn in prompt.request.messages
        )

    def _idempotency(self, submission: Submission, now: float) -> Idempotency | None:
        if submission.idempotency_key is None:
            return None
        if not 1 <= len(submission.idempotency_key) <= 255:
            raise InvalidRequest(field="Idempotency-Key", expected="1 to 255 characters")
        return Idempotency(submission.idempotency_key, submission.fingerprint, now + _DAY)
