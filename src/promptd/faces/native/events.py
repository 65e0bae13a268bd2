"""Chunks as server-sent events. The id of a frame is the event id of its chunk; its data is one JSON object."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any, Final

from msgspec import UNSET, Struct, UnsetType

from promptd.core.chunks import Position, event_id, parse_event_id
from promptd.core.content import ToolCall
from promptd.core.model import Caller, Chunk, Prompt
from promptd.faces.asgi import encode
from promptd.faces.native.show import file_views, rfc3339, usage_view
from promptd.faces.native.views import FileView, Time, UsageView
from promptd.service.streams import START, known_position
from promptd.service.walk import Walk

_HELD: Final = 1024  # frames kept for other readers of the same chunk
_LONGEST_HELD: Final = 8192  # bytes; merged text of slow readers is theirs alone


class ToolCallPiece(Struct, frozen=True):
    """A piece of the tool call number `index`: id and name come once, pieces of `arguments` are appended."""

    index: int
    id: str
    name: str
    arguments: str


class ProgressEvent(Struct, frozen=True, tag="progress"):
    """`text` is appended to what is there. `fraction` (0 … 1) is how much of the work is done, where the engine tells."""

    text: str
    fraction: float | UnsetType = UNSET
    tool_calls: tuple[ToolCallPiece, ...] | UnsetType = UNSET
    prompt_id: str | UnsetType = UNSET  #: in the events of a thread


class RestartEvent(Struct, frozen=True, tag="restart"):
    """What came so far is void: an attempt failed or was lost, and the next one begins anew."""

    code: str | None
    message: str | None
    retry_at: Time | None
    prompt_id: str | UnsetType = UNSET


class DoneEvent(Struct, frozen=True, tag="done"):
    """The prompt is completed; the text so far is the stored message."""

    message_id: str | None
    finish_reason: str | None
    usage: UsageView | None
    value: Any | UnsetType = UNSET  #: what is not text, such as embeddings
    files: tuple[FileView, ...] | UnsetType = UNSET  #: that the engine made
    prompt_id: str | UnsetType = UNSET


class ErrorEvent(Struct, frozen=True, tag="error"):
    """The prompt has ended without an answer."""

    code: str | None
    message: str | None
    prompt_id: str | UnsetType = UNSET


StreamEvent = ProgressEvent | RestartEvent | DoneEvent | ErrorEvent


def event_of(chunk: Chunk, prompt_id: str | UnsetType = UNSET) -> StreamEvent:
    if chunk.kind == "progress":
        fraction = UNSET if chunk.fraction is None else chunk.fraction
        calls = tuple(map(_piece, chunk.tool_calls)) if chunk.tool_calls else UNSET
        return ProgressEvent(chunk.text, fraction, calls, prompt_id)
    if chunk.kind == "restart":
        retry_at = None if chunk.retry_at is None else rfc3339(chunk.retry_at)
        return RestartEvent(chunk.code, chunk.message, retry_at, prompt_id)
    if chunk.kind == "done":
        usage = None if chunk.usage is None else usage_view(chunk.usage)
        value = UNSET if chunk.value is None else chunk.value
        files = file_views(chunk.files) or UNSET
        return DoneEvent(chunk.message_id, chunk.finish_reason, usage, value, files, prompt_id)
    return ErrorEvent(chunk.code, chunk.message, prompt_id)


def _piece(call: ToolCall) -> ToolCallPiece:
    return ToolCallPiece(call.index, call.id, call.name, call.arguments)


def frame(no: int, chunk: Chunk, prompt_id: str | UnsetType = UNSET) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (
        event_id(no, chunk).encode(),
        chunk.kind.encode(),
        encode(event_of(chunk, prompt_id)),
    )


class Frames:
    """Encodes a chunk once for all readers of its prompt. What is held is a bounded number of the latest frames."""

    def __init__(self) -> None:
        self._held: dict[tuple[int, int, int], tuple[Chunk, bytes]] = {}

    def of(self, no: int, batch: Sequence[Chunk]) -> bytes:
        """The frames of a batch of prompt number `no`."""
        if len(batch) == 1:
            return self._one(no, batch[0])
        return b"".join([self._one(no, chunk) for chunk in batch])

    def _one(self, no: int, chunk: Chunk) -> bytes:
        key = (no, chunk.attempt, chunk.n)
        held = self._held.get(key)
        if held is not None and (held[0] is chunk or held[0] == chunk):
            return held[1]
        made = frame(no, chunk)
        if held is None and len(made) <= _LONGEST_HELD:
            if len(self._held) >= _HELD:
                del self._held[next(iter(self._held))]
            self._held[key] = (chunk, made)
        return made


def position_after(prompt: Prompt, last_event_id: str | None) -> Position:
    """Where a reader stands that saw `last_event_id`; at the start for an id that the prompt never gave out."""
    parsed = parse_event_id(last_event_id) if last_event_id else None
    return known_position(prompt, parsed[1]) if parsed is not None and parsed[0] == prompt.no else START


async def prompt_frames(
    walk: Walk, frames: Frames, caller: Caller, prompt: Prompt, after: Position
) -> AsyncGenerator[bytes, None]:
    """To its end for the author; for others while they are members of the prompt's thread."""
    guest = None
    if caller.user != prompt.user:
        guest = walk.threads.membership(caller, prompt.thread or "")
    async with aclosing(walk.streams.follow(prompt.id, after)) as batches:
        async for batch in batches:
            if guest is not None and not await guest.holds(prompt.id):
                return
            if batch:
                yield frames.of(prompt.no, batch)


async def thread_frames(
    walk: Walk, caller: Caller, thread: str, after: tuple[int, Position] | None
) -> AsyncGenerator[bytes, None]:
    """While the caller is a member. Ends then, and skips nothing: who comes back gives the last event it saw."""
    membership = walk.threads.membership(caller, thread)
    async with aclosing(walk.streams.follow_thread(thread, after)) as batches:
        async for prompt, batch in batches:
            if not await membership.holds(prompt.id):
                return
            if batch:
                yield b"".join([frame(prompt.no, chunk, prompt.id) for chunk in batch])
