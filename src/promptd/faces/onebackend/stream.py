"""A thread's answers as they come: `GET /prompt-svc/prompts/{threadId}/responses/subscribe` (contract section 4)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Literal

from msgspec import UNSET, Struct, UnsetType
from starlette.types import Receive, Scope, Send

from promptd.core import identity
from promptd.core.errors import Forbidden
from promptd.core.model import Caller, Chunk
from promptd.faces.asgi import encode
from promptd.faces.onebackend.wire import Ask, Endpoint
from promptd.service.streams import START
from promptd.service.walk import Walk


class Event(Struct, frozen=True, kw_only=True, rename="camel"):
    """One fragment. `error` is an extension: what came so far is void."""

    text: str | UnsetType = UNSET
    message_id: str | UnsetType = UNSET
    type: Literal["progress", "done", "error"]
    error: str | UnsetType = UNSET


def event_of(chunk: Chunk) -> Event | None:
    match chunk.kind:
        case "progress":
            return Event(type="progress", text=chunk.text) if chunk.text else None
        case "done":
            return Event(type="done", message_id=chunk.message_id or UNSET)
        case _:
            return Event(type="error", error=chunk.message or chunk.code or "the attempt failed")


async def frames(walk: Walk, caller: Caller, thread: str, passed: int) -> AsyncGenerator[bytes, None]:
    """Events of the thread's prompts behind number `passed`, and of all that follow, while the caller is a member."""
    membership = walk.threads.membership(caller, thread)
    async with aclosing(walk.streams.follow_thread(thread, (passed + 1, START))) as batches:
        async for prompt, chunks in batches:
            events = [event for chunk in chunks if (event := event_of(chunk)) is not None]
            if events and await membership.holds(prompt.id):
                yield b"".join([b"data: %b\n\n" % encode(event) for event in events])


async def subscribe(ask: Ask) -> object:
    thread = ask.params["threadId"]
    if await ask.walk.threads.is_member(ask.caller, thread) is False:
        raise Forbidden("only members of the thread may read its stream")
    # before the head is sent: who has it and submits then misses nothing, however fast the answer comes
    passed = await ask.walk.streams.thread_passed(thread)

    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        await ask.desk.readers.serve(scope, receive, send, frames(ask.walk, ask.caller, thread, passed), [])

    return respond


ENDPOINT = Endpoint(
    "GET",
    "/prompt-svc/prompts/{threadId}/responses/subscribe",
    (identity.PROMPT_STREAM,),
    subscribe,
    reads_body=False,
    ticket=True,
)
