"""The desk of a listener: its callers are anonymous, and the file says which provider serves them.

Everything else is as at the desks of the faces whose API it speaks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace
from starlette.types import ASGIApp, Receive, Scope, Send

from promptd.core import identity
from promptd.core.credentials import Credential
from promptd.core.errors import InvalidRequest, PromptdError, PromptExecutionError
from promptd.core.model import Caller, Capability, Mode, Prompt, Request, Submission
from promptd.core.tracing import current
from promptd.dialects.arch.config import Listener
from promptd.faces.arch import bodies, quirks
from promptd.faces.arch.limits import LimitExceeded
from promptd.faces.arch.models import Chosen
from promptd.faces.arch.passage import KEY, Passage, passage_of
from promptd.faces.arch.refusals import Told, told
from promptd.faces.arch.routing import Asking, Decision, Routing
from promptd.faces.arch.shared import Handlers, Shared
from promptd.faces.asgi import send_body
from promptd.faces.gateway import Ask, Gateway, Handler, Shape, Whole, Writer
from promptd.faces.limit_headers import counted_for, refusal_headers
from promptd.service.visit import Visit

_PERMISSIONS: Final = frozenset(
    {identity.PROMPT_CREATE, identity.PROMPT_VIEW, identity.PROMPT_STREAM, identity.MODEL_VIEW}
)
_HINT: Final = b"x-arch-llm-provider-hint"
_SESSION: Final = b"x-model-affinity"
_LONGEST: Final = 256
_MOST_MODELS: Final = 8  #: that one request is tried on


class Desk(Gateway):
    """One for each listener and vendor's shape."""

    def __init__(self, shared: Shared, routing: Routing, listener: Listener, shape: Shape) -> None:
        super().__init__(shared.walk, shared.options, shape)
        self.shared, self.listener, self._routing = shared, listener, routing
        self._caller = Caller(f"listener:{listener.name}", permissions=_PERMISSIONS)

    @property
    def handlers(self) -> Handlers:
        return self.shared.handlers

    @property
    def lenient(self) -> bool:
        """Whether an unknown model falls back to the default provider."""
        return self.listener.kind == "prompt" or self.shared.config.lenient_models

    # ---------------------------------------------------------------- who asks, and for what

    async def authenticate(self, ask: Ask) -> Caller:
        """A listener takes no keys: what its clients send is at most for the provider."""
        return self._caller

    def chosen(self, ask: Ask, model: str | None) -> Chosen:
        """Hint header, `model`, default provider. Raises `ModelNotFound`, `NoAccessKey`."""
        return self.shared.providers.choose(_text(ask, _HINT), model, lenient=self.lenient)

    def text_capability(self, ask: Ask, model: str | None) -> Capability:
        """A raw text is a user's message: providers are asked to chat."""
        return Capability.CHAT

    def affinity(self, ask: Ask, request: Request) -> str:
        return (_text(ask, _SESSION) or "")[:_LONGEST] or super().affinity(ask, request)

    def cleaned(self, ask: Ask, body: bytes) -> bytes:
        body, own = bodies.cleaned(body)
        if own is not None:
            passage_of(ask).preferences = own
        return body

    def idempotent(self, ask: Ask, submission: Submission, body: bytes) -> Submission:
        """A key that is the caller's own can't be stored with a prompt, so that its answer comes at once or never."""
        if self.shared.providers.any_passthrough:
            return submission
        return super().idempotent(ask, submission, body)

    async def decide(self, ask: Ask, request: Request, model: str | None, parent: str = "") -> Decision:
        """Which models a request is for, in the order to try them. Raises `ModelNotFound`, `NoAccessKey`.

        `parent` is the id of the prompt that this is for.
        """
        session = (_text(ask, _SESSION) or "")[:_LONGEST]
        found: Decision | None = None
        if _HINT not in ask.headers:
            asking = Asking(
                caller=ask.caller,
                listener=self.listener.name,
                turns=request.messages,
                own=passage_of(ask).preferences,
                session=session,
                parent=parent,
                counted=counted_for(self.walk.charges.headers, ask.headers),
            )
            found = await self._routing.decide(asking)
        if found is None:
            found = Decision(models=(self.chosen(ask, model),), session=session)
        if session and not found.pinned:
            self._routing.pin(ask.caller, session, found.route, found.models)
        return found

    # ---------------------------------------------------------------- what goes to intake

    async def ready(self, ask: Ask, submission: Submission) -> Submission:
        passage = passage_of(ask)
        chooses = bool(self.shared.preferences) or passage.preferences is not None
        if chooses and submission.id is None and submission.mode is Mode.ATTACHED:
            # so that what is asked for the decision can say for whom
            submission = replace(submission, id=ask.prompt_id or self.walk.ids.make(submission.prefix))
        self._name(ask)
        decision = await self.decide(ask, submission.request, submission.model, submission.id or "")
        first, *others = models = decision.models[:_MOST_MODELS]
        passage.note(models, self.walk.connections)
        native = submission.native
        if native is not None:
            native = quirks.native_for(first.provider.vendor, first.model, native)
        ready = replace(
            self.noted(ask, submission),
            model=first.name,
            fallbacks=tuple([one.name for one in others]),
            request=quirks.request_for(first.model, submission.request),
            native=native,
            listener=self.listener.name,
            retries=self.listener.max_retries,
            credential=self._credential(ask),
        )
        limits = self.shared.limits
        if limits:
            names = first.names | self.shared.providers.aliases_of(first.names)
            reservation = await limits.reserve(names, first.model, ready.request, ask.headers)
            if reservation is not None:
                passage.held[id(ready)] = ready, reservation
        return ready

    def _name(self, ask: Ask) -> None:
        """Every hop is told the request's id, which is made here where the client brought none."""
        if not ask.request_id:
            ask.request_id = self.walk.ids.make("req").encode()
        if (trace := current.get()) is not None:
            trace.request_id = ask.request_id.decode("latin-1")

    async def ended(self, ask: Ask, submission: Submission, visit: Visit | None) -> None:
        passage = passage_of(ask)
        passage.entry.request_id = ask.request_id.decode("latin-1")
        prompt: Prompt | None = getattr(visit, "prompt", None)  # it is there once the visit was let in
        if prompt is not None:
            passage.entry.request_id = passage.entry.request_id or prompt.id
        attempts = visit.attempts if visit is not None else ()
        for attempt in attempts:
            passage.tell(attempt, self.shared.latencies, self.shared.metrics)
        _, reservation = passage.held.pop(id(submission), (None, None))
        if reservation is None:
            return
        if attempts or submission.mode is Mode.QUEUED:
            answer = prompt.answer if prompt is not None else None
            await self.shared.limits.settle(reservation, answer.usage if answer is not None else None)
        else:
            await self.walk.limits.release(reservation, now=time.time())

    async def whole(self, ask: Ask, submission: Submission) -> Whole:
        ready = await self.ready(ask, submission)
        try:
            return await super().whole(ask, ready)
        finally:
            await self.ended(ask, ready, ask.visit)

    async def stream(self, ask: Ask, submission: Submission, writer: Callable[[Prompt], Writer]) -> None:
        ready = await self.ready(ask, submission)
        try:
            await super().stream(ask, ready, writer)
        finally:
            await self.ended(ask, ready, ask.visit)

    async def queue(self, ask: Ask, submission: Submission) -> Prompt:
        """What outlives its caller's connection can't bring its caller's own key. Raises `InvalidRequest`."""
        ready = await self.ready(ask, submission)
        try:
            chosen = self.shared.providers.find(ready.model or "")
            if chosen is not None and chosen.provider.passthrough_auth:
                raise InvalidRequest(
                    "background: this provider takes its clients' own keys, which are never stored",
                    field="background",
                    expected="false",
                )
            return await super().queue(ask, replace(ready, credential=None))
        finally:
            await self.ended(ask, ready, None)

    def endpoint(self, handle: Handler) -> ASGIApp:
        inner = super().endpoint(handle)

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            passage: Passage = scope.setdefault(KEY, Passage())
            try:
                await inner(scope, receive, send)
            finally:
                for _, reservation in passage.held.values():  # of prompts that did not come to be
                    await self.walk.limits.release(reservation, now=time.time())
                passage.held.clear()

        return serve

    # ---------------------------------------------------------------- refusals

    async def refuse(self, ask: Ask, error: PromptdError, more: Sequence[tuple[bytes, bytes]] = ()) -> None:
        """As its provider said it where it was that one who refused, else in text, or JSON for those who ask for it."""
        if not ask.request_id:
            ask.request_id = self.walk.ids.make("req").encode()
        if isinstance(error, LimitExceeded) and self.shared.metrics is not None:
            self.shared.metrics.ratelimited.inc()
        passage_of(ask).entry.request_id = ask.request_id.decode("latin-1")
        answered = error.answered if isinstance(error, PromptExecutionError) else None
        wording: Told = told(error, answered, self.shape, ask.request_id.decode("latin-1"), ask.headers)
        headers = [
            (b"content-type", wording.media),
            *self.headers(ask),
            *refusal_headers(error, self.shape.vendor, time.time()),
            *more,
        ]
        await send_body(ask.send, wording.status, headers, wording.body)

    # ---------------------------------------------------------------- inside

    def _credential(self, ask: Ask) -> Credential | None:
        """The client's own, where the file has a provider that it may go to."""
        secret = ask.sender.secret if self.shared.providers.any_passthrough else None
        return Credential(secret) if secret else None


def _text(ask: Ask, name: bytes) -> str | None:
    given = ask.headers.get(name)
    return given.decode("latin-1").strip() if given is not None else None
