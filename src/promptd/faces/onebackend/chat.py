"""Chat Svc: threads and their messages (contract section 6)."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from promptd.core import identity
from promptd.core.errors import Forbidden, NotFound
from promptd.core.model import Thread
from promptd.faces.onebackend.messages import shown
from promptd.faces.onebackend.show import thread_view
from promptd.faces.onebackend.wire import NOTHING, Ask, Endpoint, Nothing


class ThreadBody(Struct, rename="camel"):
    id: str | None = None
    title: str | None = None
    topic_ids: tuple[str, ...] | None = None
    user_ids: tuple[str, ...] | None = None


class SaveThread(ThreadBody, rename="camel"):
    """The members stand at the top, or under `threadData` as the documentation has it, or under `thread`."""

    thread_data: ThreadBody | None = None
    thread: ThreadBody | None = None


class Ids(Struct, rename="camel"):
    ids: tuple[str, ...] = ()


class ListMessages(Struct, rename="camel"):
    thread_id: str | None = None
    ids: tuple[str, ...] = ()


class MessageBody(Struct, rename="camel"):
    id: str | None = None
    text: str = ""
    file_ids: tuple[str, ...] = ()
    meta: dict[str, Any] | None = None


class AddMessage(MessageBody, rename="camel"):
    message: MessageBody | None = None


async def save_thread(ask: Ask) -> Any:
    asked = ask.fit(SaveThread)
    thread = await ask.walk.threads.save(
        ask.caller,
        _first(asked, "id") or None,
        title=_first(asked, "title"),
        topics=_first(asked, "topic_ids"),
        members=_first(asked, "user_ids"),
    )
    return {"thread": thread_view(thread)}


def _first(asked: SaveThread, member: str) -> Any:
    """The member from where it is given."""
    for part in (asked, asked.thread_data, asked.thread):
        if part is not None and (value := getattr(part, member)) is not None:
            return value
    return None


async def list_threads(ask: Ask) -> Any:
    threads = await ask.walk.threads.find(ask.caller, ask.fit(Ids).ids)
    return {"threads": [thread_view(thread) for thread in threads]}


async def get_thread(ask: Ask) -> Any:
    """Of the older API."""
    try:
        thread: Thread = await ask.walk.threads.get(ask.caller, ask.params["threadId"])
    except (NotFound, Forbidden):
        return {"exists": False}
    return {"exists": True, "thread": thread_view(thread)}


async def delete_thread(ask: Ask) -> Nothing:
    try:
        await ask.walk.threads.delete(ask.caller, ask.params["threadId"])
    except NotFound:
        return NOTHING
    return NOTHING


async def add_message(ask: Ask) -> Nothing:
    asked = ask.fit(AddMessage)
    body = asked.message or asked
    await ask.walk.threads.write(
        ask.caller,
        ask.params["threadId"],
        identifier=body.id or None,
        text=body.text,
        files=body.file_ids,
        labels=body.meta,
    )
    return NOTHING


async def list_messages(ask: Ask) -> Any:
    asked = ask.fit(ListMessages)
    thread = ask.params.get("threadId") or asked.thread_id
    try:
        messages = await ask.walk.threads.messages(ask.caller, thread or None, asked.ids)
    except NotFound:
        messages = ()
    return {"messages": [await shown(ask.walk, message) for message in messages]}


async def get_message(ask: Ask) -> Any:
    """Of the older API."""
    message = await ask.walk.threads.message(ask.caller, ask.params["messageId"])
    return {"exists": False} if message is None else {"exists": True, "message": await shown(ask.walk, message)}


async def delete_message(ask: Ask) -> Nothing:
    try:
        await ask.walk.threads.erase(ask.caller, ask.params["messageId"])
    except NotFound:
        return NOTHING
    return NOTHING


async def describe_events(ask: Ask) -> Nothing:
    """The original documents the firehose's events here; they come from the firehose."""
    return NOTHING


ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    Endpoint("POST", "/chat-svc/thread", (identity.THREAD_EDIT,), save_thread),
    Endpoint("POST", "/chat-svc/threads", (identity.THREAD_VIEW,), list_threads),
    Endpoint("GET", "/chat-svc/thread/{threadId}", (identity.THREAD_VIEW,), get_thread),
    Endpoint("DELETE", "/chat-svc/thread/{threadId}", (identity.THREAD_DELETE,), delete_thread),
    Endpoint("POST", "/chat-svc/thread/{threadId}/message", (identity.MESSAGE_CREATE,), add_message),
    Endpoint("POST", "/chat-svc/thread/{threadId}/messages", (identity.MESSAGE_VIEW,), list_messages),
    Endpoint("POST", "/chat-svc/messages", (identity.MESSAGE_VIEW,), list_messages),
    Endpoint("GET", "/chat-svc/message/{messageId}", (identity.MESSAGE_VIEW,), get_message),
    Endpoint("DELETE", "/chat-svc/message/{messageId}", (identity.MESSAGE_DELETE,), delete_message),
    Endpoint("GET", "/chat-svc/events", None, describe_events),
)
