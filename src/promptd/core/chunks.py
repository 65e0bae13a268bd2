"""Decisions on chunks: event ids, merging, and the trace that lets a finished answer be replayed piece by piece.

An event id is `<prompt no>.<attempt>.<n>`, derived and never stored. The trace is one MessagePack list: an integer is
the length of a text piece (of a piece of thought: less than 0), a list is one tool-call piece `[index, id, name,
arguments]`, with a 1 at its end where the tool is a custom one. A refusal and the proofs of a thought are rare: such a
chunk is a map of what it says, with lengths for text and thought. `{"restart": true}` voids what came before it. The n-th
entry is chunk n.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from promptd.core.content import Thinking, ToolCall
from promptd.core.model import Answer, Chunk, Usage

_TRACE = list[int | tuple[Any, ...] | dict[str, Any]]
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
            else ToolCall(
                piece.index,
                held.id or piece.id,
                held.name or piece.name,
                held.arguments + piece.arguments,
                held.custom or piece.custom,
                held.extra | piece.extra,
            )
        )
    return tuple(calls[index] for index in sorted(calls))


def merge(chunks: Sequence[Chunk]) -> list[Chunk]:
    """Neighbouring `progress` chunks as one, for a reader that fell behind; all others stay as they are.

    A chunk holds one thought at most, so the next thought begins another chunk.
    """
    merged: list[Chunk] = []
    run: list[Chunk] = []
    proven = False  # the thought in `run` is at its end

    def flush() -> None:
        nonlocal proven
        if len(run) == 1:
            merged.append(run[0])
        elif run:
            merged.append(
                Chunk(
                    "progress",
                    text="".join([chunk.text for chunk in run]),
                    thinking="".join([chunk.thinking for chunk in run]),
                    signature="".join([chunk.signature for chunk in run]),
                    sealed="".join([chunk.sealed for chunk in run]),
                    refusal="".join([chunk.refusal for chunk in run]),
                    logprobs=[one for chunk in run for one in chunk.logprobs or ()] or None,
                    tool_calls=tuple(call for chunk in run for call in chunk.tool_calls),
                    attempt=run[-1].attempt,
                    n=run[-1].n,
                    fraction=next((chunk.fraction for chunk in reversed(run) if chunk.fraction is not None), None),
                )
            )
        run.clear()
        proven = False

    for chunk in chunks:
        if chunk.kind == "progress":
            if proven and (chunk.thinking or chunk.signature or chunk.sealed):
                flush()
            proven = proven or bool(chunk.signature or chunk.sealed)
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
        if chunk.kind == "restart":
            entries.append({"restart": True})
        if chunk.kind != "progress":
            continue
        if chunk.tool_calls:
            call = chunk.tool_calls[0]
            entry = (call.index, call.id, call.name, call.arguments)
            entries.append((*entry, True) if call.custom else entry)
        elif chunk.refusal or chunk.signature or chunk.sealed:
            verbatim = {"refusal": chunk.refusal, "signature": chunk.signature, "sealed": chunk.sealed}
            said = {"text": len(chunk.text), "thinking": len(chunk.thinking), **verbatim}
            entries.append({name: value for name, value in said.items() if value})
        elif chunk.thinking:
            entries.append(-len(chunk.thinking))
        else:
            entries.append(len(chunk.text))
    # one piece that is the whole text needs no trace; an empty one does, because it has a number too
    return b"" if len(entries) == 1 and isinstance(entries[0], int) and entries[0] > 0 else _encode(entries)


def pieces(chunk: Chunk) -> list[Chunk]:
    """One engine chunk as chunks that hold text, thought or a single tool-call piece, so that each has one trace entry."""
    thinks = bool(chunk.thinking or chunk.signature or chunk.sealed)
    if thinks + bool(chunk.text or chunk.refusal) + len(chunk.tool_calls) <= 1:
        return [chunk]
    split: list[Chunk] = []
    if thinks:
        split.append(Chunk("progress", thinking=chunk.thinking, signature=chunk.signature, sealed=chunk.sealed))
    if chunk.text or chunk.refusal:
        split.append(Chunk("progress", text=chunk.text, refusal=chunk.refusal, logprobs=chunk.logprobs))
    return split + [Chunk("progress", tool_calls=(call,)) for call in chunk.tool_calls]


def voided(said: Sequence[Chunk], attempt: int) -> list[Chunk]:
    """What an attempt said, once it says all of it anew: empty pieces that keep their numbers, and a `restart`."""
    empty = [Chunk("progress", attempt=attempt, n=n) for n in range(1, len(said) + 1)]
    return [*empty, Chunk("restart", attempt=attempt, n=len(said) + 1)]


def speaks(chunk: Chunk) -> bool:
    """Whether a `progress` says anything; else it may still tell how far the work is."""
    return bool(
        chunk.text
        or chunk.tool_calls
        or chunk.thinking
        or chunk.refusal
        or chunk.signature
        or chunk.sealed
        or chunk.raw
    )


def number(piece: Chunk, attempt: int, n: int) -> Chunk:
    """A piece of an engine's as number `n` of its attempt."""
    fraction = piece.fraction
    if fraction is not None:
        fraction = min(1.0, max(0.0, fraction))
    return Chunk(
        "progress",
        text=piece.text,
        tool_calls=piece.tool_calls,
        attempt=attempt,
        n=n,
        fraction=fraction,
        thinking=piece.thinking,
        signature=piece.signature,
        sealed=piece.sealed,
        refusal=piece.refusal,
        logprobs=piece.logprobs,
    )


def size(piece: Chunk) -> int:
    """Bytes that a piece says. Raises `UnicodeEncodeError` for half a surrogate pair, which nobody could store."""
    total = len(piece.text.encode()) + len(piece.thinking.encode()) + len(piece.refusal.encode()) + len(piece.sealed)
    return total + sum(len((call.id + call.name + call.arguments).encode()) for call in piece.tool_calls)


def replay(answer: Answer, trace: bytes, attempt: int, after: int = 0) -> list[Chunk]:
    """The chunks of a finished answer behind number `after`, the `done` last; exactly what live readers saw."""
    entries = _decode(trace) if trace else [len(answer.text)] if answer.text else []
    chunks: list[Chunk] = []
    thought = "".join([part.text for part in answer.thinking])
    offset = thought_offset = 0
    for n, entry in enumerate(entries, 1):
        if isinstance(entry, int) and entry < 0:
            piece = thought[thought_offset : thought_offset - entry]
            thought_offset -= entry
            if n > after:
                chunks.append(Chunk("progress", thinking=piece, attempt=attempt, n=n))
        elif isinstance(entry, int):
            if n > after:
                chunks.append(Chunk("progress", text=answer.text[offset : offset + entry], attempt=attempt, n=n))
            offset += entry
        elif isinstance(entry, dict) and "restart" in entry:
            if n > after:
                chunks.append(Chunk("restart", attempt=attempt, n=n))
        elif isinstance(entry, dict):
            text = answer.text[offset : offset + entry.get("text", 0)]
            piece = thought[thought_offset : thought_offset + entry.get("thinking", 0)]
            offset, thought_offset = offset + len(text), thought_offset + len(piece)
            if n > after:
                said = {**entry, "text": text, "thinking": piece}
                chunks.append(Chunk("progress", **said, attempt=attempt, n=n))
        elif n > after:
            chunks.append(Chunk("progress", tool_calls=(ToolCall(*entry),), attempt=attempt, n=n))
    if after <= len(entries):
        chunks.append(done(answer, attempt, len(entries) + 1))
    return chunks


def join_thoughts(pieces: Iterable[Chunk]) -> tuple[Thinking, ...]:
    """Whole thoughts from streamed pieces: one ends with its signature, and a sealed one stands for itself."""
    thoughts: list[Thinking] = []
    text = ""
    for piece in pieces:
        text += piece.thinking
        if piece.sealed or piece.signature:
            if text or piece.signature:
                thoughts.append(Thinking(text, piece.signature))
            if piece.sealed:
                thoughts.append(Thinking(sealed=piece.sealed))
            text = ""
    return (*thoughts, Thinking(text)) if text else tuple(thoughts)


def gather(pieces: Sequence[Chunk], end: Chunk, usage: Usage, message_id: str, files: tuple[str, ...] = ()) -> Answer:
    """The answer that an engine's `progress` chunks and its `done` make."""
    tool_calls = [call for chunk in pieces for call in chunk.tool_calls]
    return Answer(
        message_id=message_id,
        text="".join([chunk.text for chunk in pieces]),
        tool_calls=join_tool_calls(tool_calls) if tool_calls else (),
        value=end.value,
        finish_reason=end.finish_reason or "stop",
        usage=usage,
        files=files,
        thinking=join_thoughts(pieces),
        refusal="".join([chunk.refusal for chunk in pieces]),
        logprobs=[one for chunk in pieces for one in chunk.logprobs or ()] or None,
        stop_sequence=end.stop_sequence,
        warnings=end.warnings,
    )


def unsaid(end: Chunk, usage: Usage, message_id: str) -> Answer:
    """The same, where nothing was noted but the `done`."""
    reason = end.finish_reason or "stop"
    return Answer(message_id, "", (), end.value, reason, usage, stop_sequence=end.stop_sequence, warnings=end.warnings)


def done(answer: Answer, attempt: int, n: int) -> Chunk:
    """The last chunk of a completed prompt."""
    return Chunk(
        "done",
        "",
        (),
        attempt,
        n,
        answer.message_id,
        answer.usage,
        answer.finish_reason,
        answer.value,
        files=answer.files,
        stop_sequence=answer.stop_sequence,
        outputs=answer.outputs or None,
        warnings=answer.warnings,
    )
