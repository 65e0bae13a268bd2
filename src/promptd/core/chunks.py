"""Decisions on chunks: event ids, merging, and the trace that lets a finished answer be replayed piece by piece.

An event id is `<prompt no>.<attempt>.<n>`, derived and never stored. The trace is one MessagePack list: an integer is
the length of a text piece, a list is one tool-call piece `[index, id, name, arguments]`. The n-th entry is chunk n.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec

from promptd.core.model import Answer, Chunk, ToolCall

_TRACE = list[int | tuple[int, str, str, str]]
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_TRACE).decode


#: The number of an `error` chunk. How much text a failed attempt streamed is not stored; this is beyond all of it.
END_OF_FAILED: Final = 999_999


class Position(NamedTuple):
    """How far a reader has come: everything of `attempt` up to chunk `n`."""

    attempt: int
    n: int


def event_id(no: int, chunk: Chunk) -> str:
    return f"{no}.{chunk.attempt}.{chunk.n}"


def parse_event_id(text: str) -> tuple[int, Position] | None:
    """The prompt's number and the position, or None for anything that is not an event id."""
    parts = text.split(".")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) < 16 for part in parts):
        return None
    no, attempt, n = map(int, parts)
    return no, Position(attempt, n)


def join_tool_calls(pieces: Iterable[ToolCall]) -> tuple[ToolCall, ...]:
    """Whole tool calls from streamed pieces: id and name come once, argument pieces are appended."""
    calls: dict[int, ToolCall] = {}
    for piece in pieces:
        held = calls.get(piece.index)
        calls[piece.index] = (
            piece
            if held is None
            else ToolCall(piece.index, held.id or piece.id, held.name or piece.name, held.arguments + piece.arguments)
        )
    return tuple(calls[index] for index in sorted(calls))


def merge(chunks: Sequence[Chunk]) -> list[Chunk]:
    """Neighbouring `progress` chunks as one, for a reader that fell behind; all others stay as they are."""
    merged: list[Chunk] = []
    run: list[Chunk] = []

    def flush() -> None:
        if len(run) == 1:
            merged.append(run[0])
        elif run:
            merged.append(
                Chunk(
                    "progress",
                    text="".join([chunk.text for chunk in run]),
                    tool_calls=tuple(call for chunk in run for call in chunk.tool_calls),
                    attempt=run[-1].attempt,
                    n=run[-1].n,
                    fraction=next((chunk.fraction for chunk in reversed(run) if chunk.fraction is not None), None),
                )
            )
        run.clear()

    for chunk in chunks:
        if chunk.kind == "progress":
            run.append(chunk)
        else:
            flush()
            merged.append(chunk)
    flush()
    return merged


def make_trace(chunks: Iterable[Chunk]) -> bytes:
    """The trace of an attempt's `progress` chunks. A chunk holds text or one tool-call piece (see `pieces`)."""
    entries: _TRACE = []
    for chunk in chunks:
        if chunk.kind != "progress":
            continue
        if chunk.tool_calls:
            call = chunk.tool_calls[0]
            entries.append((call.index, call.id, call.name, call.arguments))
        else:
            entries.append(len(chunk.text))
    # one piece that is the whole text needs no trace; an empty one does, because it has a number too
    return b"" if len(entries) == 1 and isinstance(entries[0], int) and entries[0] else _encode(entries)


def pieces(chunk: Chunk) -> list[Chunk]:
    """One engine chunk as chunks that hold either text or a single tool-call piece, so that each has one trace entry."""
    if not chunk.tool_calls or (len(chunk.tool_calls) == 1 and not chunk.text):
        return [chunk]
    split = [Chunk("progress", text=chunk.text)] if chunk.text else []
    return split + [Chunk("progress", tool_calls=(call,)) for call in chunk.tool_calls]


def replay(answer: Answer, trace: bytes, attempt: int, after: int = 0) -> list[Chunk]:
    """The chunks of a finished answer behind number `after`, the `done` last; exactly what live readers saw."""
    entries = _decode(trace) if trace else [len(answer.text)] if answer.text else []
    chunks: list[Chunk] = []
    offset = 0
    for n, entry in enumerate(entries, 1):
        if isinstance(entry, int):
            if n > after:
                chunks.append(Chunk("progress", text=answer.text[offset : offset + entry], attempt=attempt, n=n))
            offset += entry
        elif n > after:
            chunks.append(Chunk("progress", tool_calls=(ToolCall(*entry),), attempt=attempt, n=n))
    if after <= len(entries):
        chunks.append(done(answer, attempt, len(entries) + 1))
    return chunks


def done(answer: Answer, attempt: int, n: int) -> Chunk:
    """The last chunk of a completed prompt."""
    return Chunk(
        "done",
        attempt=attempt,
        n=n,
        message_id=answer.message_id,
        usage=answer.usage,
        finish_reason=answer.finish_reason,
        value=answer.value,
        files=answer.files,
    )
