"""Firehose Svc: what happens in the house, as events (contract section 11; names of sections 3, 6 and 8)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any, Final

from msgspec import Struct, field
from starlette.types import Receive, Scope, Send

from promptd.core import identity
from promptd.core.errors import InvalidRequest, PayloadTooLarge
from promptd.core.texts import check_depth
from promptd.faces.asgi import encode
from promptd.faces.onebackend.wire import NOTHING, Ask, Endpoint, Nothing
from promptd.service.events import Event, Events

_MOST_DATA: Final = 64 * 1024  # bytes; every listener may keep thousands of events
_NAMES: Final = {
    "prompt_added": "promptAdded",
    "prompt_removed": "promptRemoved",
    "prompt_started": "promptProcessingStarted",
    "prompt_finished": "promptProcessingFinished",
    "thread_added": "chatThreadAdded",
    "thread_updated": "chatThreadUpdate",
    "message_added": "chatMessageAdded",
    "download_changed": "downloadStatusChange",
}


class Posted(Struct, rename="camel"):
    name: str = ""
    data: dict[str, Any] = field(default_factory=dict)


class PostRequest(Struct, rename="camel"):
    event: Posted = field(default_factory=Posted)


def shown(event: Event) -> dict[str, Any]:
    if event.kind == "posted":
        return {"name": event.name, "data": event.data}
    ids = {"promptId": event.prompt, "threadId": event.thread, "error": event.error}
    return {"name": _NAMES[event.kind], "data": {name: value for name, value in ids.items() if value} | event.data}


async def post(ask: Ask) -> Nothing:
    asked = ask.fit(PostRequest).event
    if not 1 <= len(asked.name) <= 100:
        raise InvalidRequest(field="event.name", expected="1 to 100 characters")
    check_depth(asked.data, "event.data")
    if len(encode(asked.data)) > _MOST_DATA:
        raise PayloadTooLarge(f"event.data: expected at most {_MOST_DATA} bytes")
    ask.walk.events.tell(Event("posted", name=asked.name, data=asked.data))
    return NOTHING


async def frames(events: Events) -> AsyncGenerator[bytes, None]:
    with events.listen() as listener:
        async for event in listener:
            yield b"data: %b\n\n" % encode(shown(event))


async def subscribe(ask: Ask) -> object:
    async def respond(scope: Scope, receive: Receive, send: Send) -> None:
        await ask.desk.readers.serve(scope, receive, send, frames(ask.walk.events), [])

    return respond


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint("POST", "/firehose-svc/event", (identity.EVENT_PUBLISH,), post),
    Endpoint("GET", "/firehose-svc/events/subscribe", (identity.EVENT_STREAM,), subscribe, reads_body=False),
)
