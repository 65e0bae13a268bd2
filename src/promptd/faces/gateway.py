"""What the faces of AI vendors' APIs share: who asks, attached answers whole or as a stream, callers who leave.

Each face brings its *shape*: how it writes errors and what it calls things.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from hashlib import sha256
from typing import Any, Final, Protocol

from msgspec import Struct
from msgspec.structs import replace
from starlette.types import ASGIApp, Receive, Scope, Send

from promptd.core import chunks
from promptd.core.errors import EXECUTION_CODES, ExecutionFailed, NetworkError, PromptdError, ShuttingDown
from promptd.core.model import Answer, Blob, Caller, Capability, Chunk, Mode, Prompt, Request, Submission, Usage
from promptd.core.policy import Level
from promptd.faces import FaceOptions
from promptd.faces.asgi import (
    JSON,
    MOST_VALUES,
    NARROW,
    REPLY,
    Disconnected,
    Headers,
    body_at_hand,
    check_width,
    fields,
    log_crash,
    read_body,
    send_body,
)
from promptd.faces.leaving import watch_for, while_connected
from promptd.faces.limit_headers import Vendor, counted_by, limit_lines, refusal_headers
from promptd.faces.live import Live, Stream
from promptd.faces.senders import LONGEST_AFFINITY
from promptd.faces.senders import Ask as Ask
from promptd.service.visit import Visit
from promptd.service.walk import Walk

_QUEUED: Final = Mode.QUEUED  # a name of its own: in Python 3.11 looking for an enum's member costs as much as a call
_JSON_LINE: Final = "content-type: application/json\r\n"
_NOTHING: Final[dict[str, Any]] = {}


class Writer(Protocol):
    """Makes the events of one stream in its dialect."""

    def begin(self) -> bytes:
        """What comes before the first chunk; may be empty."""

    def write(self, chunk: Chunk) -> bytes:
        """A `progress`, or the `done`, which completes the stream."""

    def fail(self, error: PromptdError) -> bytes:
        """The end of a stream that failed; also of one of which `begin` was never asked."""


class Shape(Protocol):
    """A vendor's manners."""

    heartbeat: bytes  #: what a silent stream sends
    vendor: Vendor
    request_id: str  #: name of the header that tells the request's id

    def error(self, error: PromptdError, request_id: str) -> tuple[int, bytes]:
        """Status and body."""


Handler = Callable[["Gateway", Ask], Awaitable[None]]


class Whole(Struct, eq=False):
    """An answer that is complete: as the bytes of the caller's own dialect, or as what they would say."""

    prompt: Prompt
    _pieces: list[Chunk]
    _done: Chunk
    raw: bytes | None = None
    _answer: Answer | None = None

    @property
    def answer(self) -> Answer:
        if self._answer is not None:
            return self._answer
        done = self._done
        return chunks.gather(self._pieces, done, done.usage or Usage(), done.message_id or "", done.files)

    @property
    def blobs(self) -> tuple[Blob, ...]:
        """Files that the engine made."""
        return self._done.blobs


class Gateway:
    """The desk of one face."""

    def __init__(self, walk: Walk, options: FaceOptions, shape: Shape) -> None:
        self.walk, self.options, self.shape = walk, options, shape
        self._vendor, self._request_id = shape.vendor, shape.request_id
        self._most_bytes = options.max_body_bytes
        self._live = Live(
            heartbeat_seconds=options.heartbeat_seconds,
            stuck_seconds=options.stuck_reader_seconds,
            beat=shape.heartbeat,
        )

    def endpoint(self, handle: Handler) -> ASGIApp:
        """An ASGI app that knows its caller and answers every error in the vendor's shape."""

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            ask = Ask(scope, receive, send)
            try:
                ask.request_id = ask.sender.request_id
                who = self.authenticate(ask)
                ask.caller = who if type(who) is Caller else await who  # type: ignore[misc]  # the other of the two
                await handle(self, ask)
            except PromptdError as error:
                await self.refuse(ask, error)
            except Disconnected:
                return
            except Exception as error:  # nobody foresaw it: the log gets everything, the caller nothing
                log_crash(error, scope)
                await self.refuse(ask, PromptdError())

        return serve

    # ---------------------------------------------------------------- what a listener of its own may do otherwise

    def authenticate(self, ask: Ask) -> Caller | Awaitable[Caller]:
        """Who asks. Raises `Unauthenticated`."""
        sender, callers = ask.sender, self.walk.callers
        known = sender.recalled
        caller = callers.still(known) if known is not None else None
        if caller is None:
            known = sender.recalled = callers.recall(sender.secret)
            return known.caller if known is not None else callers.authenticate(sender.secret)
        return caller

    async def ready(self, ask: Ask, submission: Submission) -> Submission:
        """One of several submissions of a request, as it goes to intake; tell `ended` in any case."""
        return self.noted(ask, submission)

    async def ended(self, ask: Ask, submission: Submission, visit: Visit) -> None:
        """What was `ready` is over."""

    def text_capability(self, ask: Ask, model: str | None) -> Capability:
        """What continues a raw text: a model that only chats gets it as a user's message."""
        connections = self.walk.connections
        route = connections.resolve(model)
        chats = not connections.supports(route, Capability.COMPLETION) and connections.supports(route, Capability.CHAT)
        return Capability.CHAT if chats else Capability.COMPLETION

    # ---------------------------------------------------------------- requests

    async def body(self, ask: Ask, *, most_values: int = MOST_VALUES) -> bytes:
        """What is for a model of the body. Raises the same as `received`."""
        return self.cleaned(ask, await self.received(ask, most_values=most_values))

    async def received(self, ask: Ask, *, most_values: int = MOST_VALUES) -> bytes:
        """JSON as it came, not looked at but for its size. Raises `PayloadTooLarge`, `Disconnected`."""
        body = await read_body(ask.scope, ask.receive, self._most_bytes)
        if len(body) > NARROW:
            check_width(body, most_values)
        return body

    def at_hand(self, ask: Ask) -> bytes | None:
        """`body`, where it is there already and not empty; else that is to be asked."""
        body = body_at_hand(ask.scope, self._most_bytes)
        if body is None:
            return None
        if len(body) > NARROW:
            check_width(body)
        return self.cleaned(ask, body)

    def cleaned(self, ask: Ask, body: bytes) -> bytes:
        """The body without what it says to this face alone."""
        return body

    def idempotent(self, ask: Ask, submission: Submission, body: bytes) -> Submission:
        """With an `Idempotency-Key` the prompt is durable: whoever asks again gets the first one's answer."""
        key = ask.headers.get(b"idempotency-key")
        if key is None:
            return submission
        return replace(
            submission,
            mode=Mode.QUEUED,
            native=None,
            idempotency_key=key.decode("latin-1"),
            fingerprint=sha256(body).digest(),
        )

    def noted(self, ask: Ask, submission: Submission) -> Submission:
        """With those of the request's headers that some limit counts by."""
        if ask.prompt_id is not None:
            submission = replace(submission, id=ask.prompt_id)
        wanted = self.walk.charges.headers
        return counted_by(submission, wanted, ask.headers) if wanted else submission

    async def queue(self, ask: Ask, submission: Submission) -> Prompt:
        """Store a prompt that outlives its caller's connection. Raises a `Refusal`."""
        return (await self.walk.intake.submit(self.noted(ask, submission))).prompt

    def affinity(self, ask: Ask, request: Request) -> str:
        """What keeps the calls of one conversation on one connection, so that its cache is warm."""
        given = ask.sender.affinity
        if given is not None:
            return given
        parameters = request.parameters
        key = parameters.extra.get("prompt_cache_key") if parameters.extra else None
        return key[:LONGEST_AFFINITY] if isinstance(key, str) else parameters.user or ""

    # ---------------------------------------------------------------- answers

    async def refuse(self, ask: Ask, error: PromptdError, more: Sequence[tuple[bytes, bytes]] = ()) -> None:
        if not ask.request_id:
            ask.request_id = self.walk.ids.make("req").encode()
        status, body = self.shape.error(error, ask.request_id.decode())
        told = refusal_headers(error, self.shape.vendor, time.time())
        headers = [JSON, *self.headers(ask), *told, *more]
        await send_body(ask.send, status, headers, body)

    async def reply(
        self, ask: Ask, body: bytes, prompt: Prompt | None = None, *, status: int = 200, media: bytes | None = None
    ) -> None:
        """A whole answer; `media` is its type where it is not JSON."""
        kind = _JSON_LINE if media is None else f"content-type: {media.decode('latin-1')}\r\n"
        now = time.time()
        levels = (
            await self.walk.limits.peek(ask.charges, now=now)
            if (counters := self.walk.limits.at_once) is None
            else counters.levels(ask.charges, now)
        )
        lines = self._lines(ask, prompt, levels, now) + kind
        at_once = ask.scope.get("extensions", _NOTHING).get(REPLY)
        if at_once is None or not at_once(status, lines, body):
            await send_body(ask.send, status, fields(lines), body)

    async def whole(self, ask: Ask, submission: Submission) -> Whole:
        """Run a prompt to its end. Raises `PromptdError`, `Disconnected` where the caller left."""
        submission = self.noted(ask, submission)
        if submission.mode is _QUEUED:
            return await self._awaited(ask, submission)
        visit = ask.visit = self.walk.attached.open(submission)
        watch = watch_for(ask.scope, ask.receive, visit)
        try:
            async with visit:
                ask.charges = visit.charges
                pieces, done = await visit.whole()
        except asyncio.CancelledError:
            if visit.left:
                raise Disconnected from None
            raise
        finally:
            watch.end()
        raw = None
        if pieces and pieces[0].raw is not None:
            raw = pieces[0].raw if len(pieces) == 1 else b"".join([piece.raw or b"" for piece in pieces])
        return Whole(visit.prompt, pieces, done, raw)

    async def stream(self, ask: Ask, submission: Submission, writer: Callable[[Prompt], Writer]) -> None:
        """Answer with the events of a prompt as they come. Raises only while no head is sent."""
        submission = self.noted(ask, submission)
        if submission.mode is _QUEUED:
            added = await self.walk.intake.submit(submission)
            await self.follow(ask, added.prompt, writer)
            return
        visit = ask.visit = self.walk.attached.open(submission)
        del submission  # the visit lets go of it when it can
        watch = watch_for(ask.scope, ask.receive, visit)
        try:
            async with visit:
                ask.charges = visit.charges
                stream = await self.open(ask, visit.prompt)
                source = visit.chunks(stream)
                try:
                    await self.write(stream, visit.prompt, writer, source, visit.interrupted)
                finally:
                    await source.aclose()
        except asyncio.CancelledError:
            if visit.left:
                raise Disconnected from None
            raise
        finally:
            watch.end()

    async def follow(self, ask: Ask, prompt: Prompt, writer: Callable[[Prompt], Writer]) -> None:
        """Answer with the events of a queued prompt, from its start; the caller may leave, the prompt runs on."""
        async with aclosing(self._followed(prompt)) as source:
            with while_connected(ask.scope, ask.receive), self.walk.revocation.staying(ask.caller) as stay:
                await self.write(await self.open(ask, prompt), prompt, writer, source, stay.interrupted)

    # ---------------------------------------------------------------- inside

    def headers(self, ask: Ask) -> Headers:
        """What every answer carries."""
        return [(self.shape.request_id.encode(), ask.request_id)] if ask.request_id else []

    def _lines(self, ask: Ask, prompt: Prompt | None, levels: Sequence[Level], now: float) -> str:
        """The same as lines of a head; of a prompt's answer with its id, and how the limits stand that count this call."""
        limits = limit_lines(levels, self._vendor, now)
        given, name = ask.request_id, self._request_id
        if prompt is not None:
            identifier = prompt.id
            return f"x-prompt-id: {identifier}\r\n{name}: {given.decode() if given else identifier}\r\n{limits}"
        return f"{name}: {given.decode()}\r\n{limits}" if given else limits

    async def open(self, ask: Ask, prompt: Prompt) -> Stream:
        """The stream that answers, with its head. `write` to it in any case."""
        now = time.time()
        levels = await self.walk.limits.peek(ask.charges, now=now)
        return self._live.open(ask.scope, ask.send, self._lines(ask, prompt, levels, now))

    async def write(
        self,
        stream: Stream,
        prompt: Prompt,
        make: Callable[[Prompt], Writer],
        source: AsyncGenerator[Chunk, None],
        interrupted: Callable[[], PromptdError | None] | None = None,
    ) -> None:
        """Write what `source` says; a writer is made where that is not in the caller's dialect already.

        `interrupted` tells what it means when this task is cancelled, None where that is not the caller's business.
        """
        writer: Writer | None = None
        try:
            async for chunk in source:
                if chunk.raw is not None and not stream.at_once(chunk.raw):
                    await stream.write(chunk.raw)
                if stream.passes:
                    continue
                if writer is None:
                    writer = make(prompt)
                    data = writer.write(chunk)
                    data = writer.begin() + data
                else:
                    data = writer.write(chunk)
                if data:
                    await stream.write(data)
            await stream.finish()
        except (PromptdError, asyncio.CancelledError) as raised:
            error: PromptdError | None
            if isinstance(raised, PromptdError):
                error = raised
            else:
                error = interrupted() if interrupted is not None and stream.started else None
            if error is None or not stream.started:
                raise
            await stream.write((writer or make(prompt)).fail(error))
            await stream.finish()
        finally:
            stream.close()

    async def _followed(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        """Raises what the prompt failed with; `NetworkError` where an attempt failed whose text was already told."""
        spoke = False
        async with aclosing(self.walk.streams.follow(prompt.id)) as batches:
            async for batch in batches:
                for chunk in batch:
                    if chunk.kind == "error":
                        raise _failure(chunk.code, chunk.message)
                    if chunk.kind == "restart":
                        if spoke:
                            raise NetworkError("the answer broke off and begins anew; ask again with the same key")
                        continue
                    spoke = spoke or chunks.speaks(chunk)
                    yield chunk
                    if chunk.kind == "done":
                        return
        raise ShuttingDown(retry_after=5)

    async def _awaited(self, ask: Ask, submission: Submission) -> Whole:
        added = await self.walk.intake.submit(submission)
        with while_connected(ask.scope, ask.receive), self.walk.revocation.staying(ask.caller):
            prompt = await self.walk.streams.finished(added.prompt.id)
        if prompt.answer is None:
            failure = prompt.error
            raise _failure(failure.code if failure else None, failure.message if failure else None)
        return Whole(prompt, [], chunks.done(prompt.answer, prompt.runs, 1), None, prompt.answer)


def _failure(code: str | None, message: str | None) -> PromptdError:
    return EXECUTION_CODES.get(code or "cancelled", ExecutionFailed)(message or "")
