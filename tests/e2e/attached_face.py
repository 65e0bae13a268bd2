"""A face for attached prompts, as a stranger's plugin would bring it: a stream of text, and a whole body."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import msgspec
from msgspec import Struct
from starlette.types import Receive, Scope, Send

from promptd.core.content import Turn
from promptd.core.errors import PromptdError
from promptd.core.model import Mode, Request, Submission
from promptd.faces import FaceOptions, Mount
from promptd.faces.asgi import decode, read_body, send_body, send_error
from promptd.faces.sse import Readers
from promptd.service.walk import Walk

STREAM, WHOLE = "/attached/stream", "/attached/whole"
PATIENCE = 60.0


class Question(Struct, frozen=True):
    model: str
    prompt: str


def face(walk: Walk, options: FaceOptions) -> Mount:
    readers = Readers(
        heartbeat_seconds=options.heartbeat_seconds,
        stuck_seconds=options.stuck_reader_seconds,
        retry_hint_ms=options.retry_hint_ms,
        closing=options.closing,
        callers=walk.callers,
    )
    decoder = msgspec.json.Decoder(Question)

    async def submission(scope: Scope, receive: Receive) -> Submission:
        secret = dict(scope["headers"])[b"authorization"].decode().removeprefix("Bearer ")
        question = decode(decoder, await read_body(scope, receive, options.max_body_bytes))
        return Submission(
            caller=await walk.keys.authenticate(secret),
            model=question.model,
            mode=Mode.ATTACHED,
            request=Request(messages=(Turn("user", question.prompt),)),
        )

    async def pieces(asked: Submission) -> AsyncGenerator[bytes, None]:
        async with walk.attached.open(asked) as visit:
            async for chunk in visit.chunks():
                yield chunk.text.encode()

    async def whole(asked: Submission) -> bytes:
        return b"".join([piece async for piece in pieces(asked)])

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await readers.serve(scope, receive, send, pieces(await submission(scope, receive)), [])
        except PromptdError as error:
            await send_error(send, error)

    async def body(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            text = await readers.wait(whole(await submission(scope, receive)), receive, PATIENCE, None)
        except PromptdError as error:
            await send_error(send, error)
        else:
            if text is not None:
                await send_body(send, 200, [(b"content-type", b"text/plain")], text)

    return Mount(hot={("POST", STREAM): stream, ("POST", WHOLE): body})
