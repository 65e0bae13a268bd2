"""One request of a prompt listener, from the decision to the last byte of the answer."""

from __future__ import annotations

import time
from collections.abc import Awaitable
from functools import partial
from typing import Final, TypeVar

import msgspec

from promptd.core.errors import ContentFiltered, ContentRefused, PromptdError
from promptd.core.tracing import current
from promptd.dialects.arch.config import Jailbreak
from promptd.faces.arch import state
from promptd.faces.arch.errors import fail, ids
from promptd.faces.arch.ingress_replies import Replies, with_metadata
from promptd.faces.arch.ingress_request import Read, final_body, says_something
from promptd.faces.arch.streams import Added, derived
from promptd.faces.asgi import JSON, Headers, send_body
from promptd.faces.gateway import Ask, Gateway, Handler
from promptd.faces.leaving import while_connected
from promptd.service.targets.answering import completion_of
from promptd.service.targets.calling import Failed, Responded
from promptd.service.targets.conversation import Conversation, Onward, Question, Ruling, Verbatim, Wish

T = TypeVar("T")
_STREAM: Final[Headers] = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-cache")]
_MARKER: Final = b"x-arch-intent-marker"
_CHANGED: Final = b"x-arch-prompt-intent-change"
_OFF: Final = (b"", b"0", b"false", b"off", b"no")


class Exchange:
    """`onward` lets a model answer; `refuse_by_status` is as in `Ingress`."""

    def __init__(
        self,
        conversation: Conversation,
        desk: Gateway,
        ask: Ask,
        asked: Read,
        wish: Wish,
        *,
        onward: Handler,
        refuse_by_status: bool,
    ) -> None:
        self._conversation, self._desk, self._ask, self._asked, self._wish = conversation, desk, ask, asked, wish
        self._onward, self._by_status = onward, refuse_by_status
        self._era = conversation.config.era
        self._replies = Replies(self._era, wish.id, time.time())
        self._headers: Headers = []  #: what the reply's head tells beside

    async def run(self) -> None:
        """Raises `PromptdError` while nothing is sent, `Disconnected` where the client left."""
        asked = self._asked
        if asked.at is None:  # nothing to decide about
            await self._speak(asked.data)
            return
        if not says_something(asked):
            await self._fail(Failed(400, "No content in the last user prompt", "invalid_request"))
            return
        ruling = await self._attended(self._conversation.run(self._wish))
        self._headers = self._told(ruling)
        match ruling.outcome:
            case Question() as question:
                await self._say(self._replies.question(question, stream=asked.stream))
            case Failed() as failed:
                await self._fail(failed)
            case Verbatim() as verbatim:
                await self._repeat(verbatim)
            case Onward() as onward:
                await self._answer(onward)

    async def refuse(self, error: PromptdError) -> None:
        """Tell why `run` came to nothing."""
        if isinstance(error, ContentRefused) or (isinstance(error, ContentFiltered) and error.check):
            if (trace := current.get()) is not None:
                trace.notes |= {"guard.verdict": "refused", "guard.check": error.check, "guard.stage": error.stage}
            told = error.told or (self._conversation.config.jailbreak or Jailbreak()).message
            if self._by_status:
                await self._fail(Failed(400, f"jailbreak detected: {told}", error.code))
            else:
                await self._say(self._replies.streamed(told) if self._asked.stream else self._replies.said(told))
        elif not await self._reported(Failed(error.http_status, error.message, error.code)):
            await self._desk.refuse(self._ask, error)

    # ---------------------------------------------------------------- answers

    async def _answer(self, onward: Onward) -> None:
        """A model phrases it."""
        body = final_body(self._asked, onward.system_prompt, onward.context)
        called = onward.called
        if called is None:
            await self._speak(body)
            return
        call_id = f"call_{1000 + int.from_bytes(self._desk.walk.ids.secret()[:4], 'big') % 99_000}"
        told = state.metadata_of(called, self._era, call_id)
        await self._speak(body, self._replies.call(called, call_id), told)

    async def _speak(self, body: bytes, ahead: bytes = b"", told: dict[str, str] | None = None) -> None:
        """The model's answer to `body`, by the OpenAI face's own handler: `ahead` of a stream, `told` in a whole one."""
        change = partial(with_metadata, told=told) if told is not None else None
        added = Added(self._ask.send, self._headers, ahead, change)
        made = derived(self._ask, body, added, prompt_id=self._wish.id)
        try:
            await self._onward(self._desk, made)
        finally:
            self._ask.visit, self._ask.charges = made.visit, made.charges

    async def _repeat(self, verbatim: Verbatim) -> None:
        """The API's own words."""
        responded, text, model = verbatim.responded, verbatim.responded.body, ""
        if not self._asked.stream:
            await self._pass_on(responded)
            return
        if verbatim.called is None:
            try:
                completion = completion_of(text)
            except ValueError as error:
                reason = f"the default target's answer is no chat completion: {error}"
                await self._fail(Failed(502, reason, "invalid_response"))
                return
            text, model = completion.text, completion.model
        await self._say(self._replies.streamed(text, model))

    async def _say(self, body: bytes) -> None:
        """The gateway's own words."""
        kind = _STREAM if self._asked.stream else [JSON]
        await send_body(self._ask.send, 200, [*kind, *ids(self._ask), *self._headers], body)

    async def _pass_on(self, responded: Responded) -> None:
        media = (responded.media_type or "application/json").encode("latin-1", "replace")
        headers = [(b"content-type", media), *ids(self._ask), *self._headers]
        await send_body(self._ask.send, 200, headers, responded.body.encode())

    # ---------------------------------------------------------------- failures

    async def _fail(self, failed: Failed) -> None:
        if not await self._reported(failed):
            await fail(self._ask, failed)

    async def _reported(self, failed: Failed) -> bool:
        """Whether the file's error target answered in place of an error."""
        body = msgspec.json.decode(self._asked.data)
        responded = await self._attended(self._conversation.report(self._wish, failed, body))
        if responded is not None:
            await self._pass_on(responded)
        return responded is not None

    # ---------------------------------------------------------------- small things

    def _told(self, ruling: Ruling) -> Headers:
        """Whether the intent changed, for those who want to know."""
        if self._ask.headers.get(_MARKER, b"").strip().lower() in _OFF:
            return []
        target = (ruling.target or "none").encode("latin-1", "replace")
        return [(_MARKER, target), (_CHANGED, b"true" if ruling.changed else b"false")]

    async def _attended(self, work: Awaitable[T]) -> T:
        """Wait for it as long as the client does. Raises `Disconnected` where that has left, and whatever `work` raises."""
        with while_connected(self._ask.scope, self._ask.receive):
            return await work
