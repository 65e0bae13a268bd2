"""Answers as clients of the Messages API get them: whole, or event by event."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from promptd.core.content import Thinking, ToolCall
from promptd.core.errors import PromptdError
from promptd.core.model import Answer, Chunk, Usage
from promptd.dialects.messages.ends import stop_reason, wire_usage
from promptd.dialects.messages.errors import error_event
from promptd.dialects.messages.outgoing import arguments_of

PING: Final = b'event: ping\ndata: {"type":"ping"}\n\n'
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


def encode_answer(answer: Answer, *, id: str, model: str, created: float = 0.0) -> bytes:  # noqa: A002 - the wire's word
    """A whole message. `created` has no place in it; it is taken so that all dialects are asked alike."""
    content: list[dict[str, Any]] = [_thought(thought) for thought in answer.thinking]
    content += [{"type": "text", "text": text} for text in (answer.text, answer.refusal) if text]
    if not content and answer.value is not None:
        content.append({"type": "text", "text": _encode(answer.value).decode()})
    content += [
        {"type": "tool_use", "id": _call_id(call, id), "name": call.name, "input": arguments_of(call)}
        for call in answer.tool_calls
    ]
    message = _message(id, model, answer.usage)
    message["content"] = content
    message["stop_reason"] = stop_reason(
        answer.finish_reason, answer.stop_sequence, refused=bool(answer.refusal), called=bool(answer.tool_calls)
    )
    message["stop_sequence"] = answer.stop_sequence
    return _encode(message)


def _message(identifier: str, model: str, usage: Usage) -> dict[str, Any]:
    return {
        "id": identifier,
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": wire_usage(usage),
    }


def _thought(thought: Thinking) -> dict[str, Any]:
    if thought.sealed:
        return {"type": "redacted_thinking", "data": thought.sealed}
    return {"type": "thinking", "thinking": thought.text, "signature": thought.signature}


def _call_id(call: ToolCall, message: str) -> str:
    """Every call has one here; that of a service without ids is made of its place."""
    return call.id or f"toolu_{message.rpartition('_')[2]}_{call.index}"


class Writer:
    """The events of one message, in the vendor's order: one block is open at a time, and one `message_stop` ends it.

    Pieces of parallel calls may come mixed. The pieces of a later call, and words between, wait until the arguments of
    the open one are whole, which they nearly always are when the next begins.
    """

    def __init__(self, *, id: str, model: str, created: float = 0.0, request_id: str = "") -> None:  # noqa: A002
        self._id, self._model, self._request_id = id, model, request_id
        self._index = -1  # of the latest block
        self._open: str | int | None = None  # kind of the open block, or the number of its call
        self._said: dict[int, list[str]] = {}  # pieces of arguments by call, those of finished calls included
        self._names: dict[int, tuple[str, str]] = {}  # id and name of calls that have not begun
        self._finished: set[int] = set()
        self._refused = False
        self._waiting: list[str] = []  # words that came between the pieces of a call

    def begin(self) -> bytes:
        """The first event. Nobody has counted any token yet; the last event tells them all."""
        return _event("message_start", message=_message(self._id, self._model, Usage()))

    def write(self, chunk: Chunk) -> bytes:
        """The events of a `progress`, or of the `done`: then the message is complete."""
        if chunk.kind == "done":
            return self._done(chunk)
        out = b""
        if chunk.thinking:
            out += self._into("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            out += self._delta(type="thinking_delta", thinking=chunk.thinking)
        if chunk.signature:
            out += self._into("thinking", {"type": "thinking", "thinking": "", "signature": ""})
            out += self._delta(type="signature_delta", signature=chunk.signature) + self._close()
        if chunk.sealed:
            out += self._into("redacted_thinking", {"type": "redacted_thinking", "data": chunk.sealed}) + self._close()
        if chunk.text or chunk.refusal:
            self._refused = self._refused or bool(chunk.refusal)
            self._waiting.append(chunk.text + chunk.refusal)
            if not self._is_calling():
                out += self._say()
        for call in chunk.tool_calls:
            out += self._call(call)
        return out

    def fail(self, error: PromptdError) -> bytes:
        """The end of a message that failed."""
        return error_event(error, self._request_id)

    def _say(self) -> bytes:
        said = "".join(self._waiting)
        self._waiting.clear()
        return self._into("text", {"type": "text", "text": ""}) + self._delta(type="text_delta", text=said)

    # ---------------------------------------------------------------- calls

    def _is_calling(self) -> bool:
        """Whether a call's pieces are still on their way."""
        return bool(self._names) or (isinstance(self._open, int) and not _is_whole(self._said[self._open]))

    def _call(self, piece: ToolCall) -> bytes:
        number = piece.index
        if number not in self._said:
            self._said[number] = []
            self._names[number] = ("", "")
        if number in self._names:
            identifier, name = self._names[number]
            self._names[number] = (identifier or piece.id, name or piece.name)
        if number in self._finished:
            return b""  # behind whole arguments only blanks can come
        if piece.arguments:
            self._said[number].append(piece.arguments)
        out = b""
        if self._open == number:
            out = self._delta(type="input_json_delta", partial_json=piece.arguments) if piece.arguments else b""
        return out + self._begin_calls() if self._names else out

    def _begin_calls(self, *, all_of_them: bool = False) -> bytes:
        """Begin the calls that wait: those whose arguments are whole, and one that is still being told."""
        out = b""
        for number in sorted(self._names):
            if isinstance(self._open, int) and not (all_of_them or _is_whole(self._said[self._open])):
                break
            identifier, name = self._names[number]
            if not name and not all_of_them:
                break
            out += self._close()
            del self._names[number]
            call = ToolCall(number, identifier, name)
            block = {"type": "tool_use", "id": _call_id(call, self._id), "name": name, "input": {}}
            out += self._into(number, block)
            if self._said[number]:
                out += self._delta(type="input_json_delta", partial_json="".join(self._said[number]))
        return out

    # ---------------------------------------------------------------- blocks

    def _into(self, kind: str | int, block: dict[str, Any]) -> bytes:
        """Begin a block, unless one of its kind is open."""
        if self._open == kind:
            return b""
        out = self._begin_calls(all_of_them=True) if isinstance(kind, str) and self._names else b""
        out += self._close()
        self._open = kind
        self._index += 1
        return out + _event("content_block_start", index=self._index, content_block=block)

    def _close(self) -> bytes:
        if self._open is None:
            return b""
        if isinstance(self._open, int):
            self._finished.add(self._open)
        self._open = None
        return _event("content_block_stop", index=self._index)

    def _delta(self, **delta: str) -> bytes:
        return _event("content_block_delta", index=self._index, delta=delta)

    def _done(self, chunk: Chunk) -> bytes:
        out = b""
        if self._index < 0 and not self._names and chunk.value is not None:
            out += self.write(Chunk("progress", text=_encode(chunk.value).decode()))
        out += self._begin_calls(all_of_them=True)
        if self._waiting:
            out += self._say()
        out += self._close()
        reason = stop_reason(chunk.finish_reason, chunk.stop_sequence, refused=self._refused, called=bool(self._said))
        delta = {"stop_reason": reason, "stop_sequence": chunk.stop_sequence}
        out += _event("message_delta", delta=delta, usage=wire_usage(chunk.usage or Usage()))
        return out + _event("message_stop")


def _is_whole(pieces: list[str]) -> bool:
    """Whether the arguments of a call are a complete object; before the first piece nobody knows."""
    if not pieces or not pieces[-1].rstrip().endswith("}"):
        return False
    try:
        _decode("".join(pieces))
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return False
    return True


def _event(kind: str, **members: Any) -> bytes:
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), _encode({"type": kind, **members}))
