"""Handlers of prompts and threads."""

from __future__ import annotations

import re
from hashlib import sha256
from urllib.parse import quote

from promptd.core import identity
from promptd.core.chunks import parse_event_id
from promptd.core.model import Prompt
from promptd.faces.asgi import Headers
from promptd.faces.limit_headers import counted_by
from promptd.faces.native.events import position_after, prompt_frames, thread_frames
from promptd.faces.native.operation import Call, Desk, EventStream, Reply, json_reply
from promptd.faces.native.requests import (
    EventsQuery,
    MessagesQuery,
    NewPrompt,
    NoQuery,
    PromptsQuery,
    PruneOrder,
    SubmitQuery,
    idempotency_key,
)
from promptd.faces.native.show import (
    attempt_view,
    message_page,
    prompt_page,
    prompt_view,
    thread_view,
)
from promptd.faces.native.views import AttemptList, Pruned
from promptd.service.prompts import hide_text
from promptd.service.streams import START, last_chunks

_plain = re.compile(r"[A-Za-z0-9._~-]+").fullmatch

_SHORT_WAIT = 0.05  # seconds


def _headers(prompt: Prompt, *, replayed: bool = False) -> Headers:
    """Where the prompt is. An id may hold anything, a header may not."""
    identifier = (prompt.id if _plain(prompt.id) else quote(prompt.id, safe="")).encode()
    headers = [(b"location", b"/promptd/v1/prompts/" + identifier), (b"x-prompt-id", identifier)]
    if replayed:
        headers.append((b"idempotent-replayed", b"true"))
    return headers


async def submit_prompt(desk: Desk, call: Call[SubmitQuery, NewPrompt]) -> Reply | EventStream:
    caller, walk = call.caller, desk.walk
    seconds = call.query.seconds()
    streams = b"text/event-stream" in call.headers.get(b"accept", b"")
    # asked before anything is stored: a caller that may not read the answer learns it now
    if streams:
        identity.require(caller, identity.PROMPT_STREAM)
    elif seconds:
        identity.require(caller, identity.PROMPT_VIEW)
    key = call.headers.get(b"idempotency-key")
    if key is None:
        submission = call.body.submission(caller, None, b"")
    else:
        submission = call.body.submission(caller, idempotency_key(key), sha256(call.raw).digest())
    added = await walk.intake.submit(counted_by(submission, walk.charges.headers, call.headers))
    prompt = added.prompt
    headers = _headers(prompt, replayed=not added.created)
    if streams:
        return EventStream(prompt_frames(walk, desk.frames, caller, prompt, START), headers)
    if seconds and not prompt.status.final:
        # whether the client has left is asked only of those that wait longer
        short = min(seconds, _SHORT_WAIT)
        prompt = (
            await walk.streams.finished_soon(prompt.id, short)
            or await desk.readers.wait(walk.streams.finished(prompt.id), call.receive, seconds - short, call.holder)
            or prompt
        )
    if not added.created and not caller.may(identity.PROMPT_VIEW):
        prompt = hide_text(prompt)
    return json_reply(200 if prompt.status.final else 202, prompt_view(prompt), headers)


async def get_prompt(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    return json_reply(200, prompt_view(await desk.walk.prompts.get(call.caller, call.params["id"])))


async def list_prompts(desk: Desk, call: Call[PromptsQuery, None]) -> Reply:
    return json_reply(200, prompt_page(await desk.walk.prompts.find(call.caller, call.query.query())))


async def list_attempts(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    attempts = await desk.walk.prompts.attempts(call.caller, call.params["id"])
    return json_reply(200, AttemptList(tuple(map(attempt_view, attempts))))


async def follow_prompt(desk: Desk, call: Call[EventsQuery, None]) -> Reply | EventStream:
    prompt = await desk.walk.prompts.may_stream(call.caller, call.params["id"])
    after = position_after(prompt, _last_event_id(call))
    if after != START and prompt.status.final and not last_chunks(prompt, after):
        return Reply(204)
    return EventStream(prompt_frames(desk.walk, desk.frames, call.caller, prompt, after))


async def cancel_prompt(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    return json_reply(200, prompt_view(await desk.walk.prompts.cancel(call.caller, call.params["id"])))


async def retry_prompt(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    prompt = await desk.walk.prompts.retry(call.caller, call.params["id"])
    return json_reply(202, prompt_view(prompt), _headers(prompt))


async def delete_prompt(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    await desk.walk.prompts.delete(call.caller, call.params["id"])
    return Reply(204)


async def prune_prompts(desk: Desk, call: Call[NoQuery, PruneOrder]) -> Reply:
    order = call.body
    rules = [rule.retention() for rule in order.rules]
    count = await desk.walk.prompts.prune(call.caller, rules, dry_run=order.dry_run)
    return json_reply(200, Pruned(count, order.dry_run))


async def get_thread(desk: Desk, call: Call[NoQuery, None]) -> Reply:
    return json_reply(200, thread_view(await desk.walk.prompts.thread(call.caller, call.params["id"])))


async def list_messages(desk: Desk, call: Call[MessagesQuery, None]) -> Reply:
    page = await desk.walk.prompts.messages(call.caller, call.params["id"], call.query.query())
    return json_reply(200, message_page(page))


async def follow_thread(desk: Desk, call: Call[EventsQuery, None]) -> EventStream:
    thread = await desk.walk.prompts.may_stream_thread(call.caller, call.params["id"])
    last = _last_event_id(call)
    after = parse_event_id(last) if last else None
    if after is None:
        # decided before the answer begins: what is submitted once the client sees it must not count as past
        after = (await desk.walk.streams.thread_passed(thread.id) + 1, START)
    return EventStream(thread_frames(desk.walk, call.caller, thread.id, after))


def _last_event_id(call: Call[EventsQuery, None]) -> str | None:
    """A browser that comes back sends the header; the query then still holds an older one."""
    header = call.headers.get(b"last-event-id")
    return header.decode("latin-1") if header else call.query.last_event_id
