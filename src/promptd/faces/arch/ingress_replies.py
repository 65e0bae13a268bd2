"""What the gateway itself says: completions, whole and as a stream, in the order and roles of contracts/arch.md §3.8."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from promptd.dialects.arch.config import Era
from promptd.faces.arch import state
from promptd.service.targets.conversation import Called, Question

_encode: Final = msgspec.json.Encoder().encode
_DONE: Final = b"data: [DONE]\n\n"
_OLD: Final = ("A", "B")


class Replies:
    """The words of one reply. `created` is UTC seconds since 1970."""

    def __init__(self, era: Era, id: str, created: float) -> None:  # noqa: A002
        self._era, self._id, self._created = era, id, int(created)

    def said(self, text: str, model: str = "") -> bytes:
        """A whole reply."""
        name = model or state.marker(self._era)
        message = {"role": "assistant", "content": text, "model": name}
        return _encode(
            {
                "id": self._id,
                "object": "chat.completion",
                "created": self._created,
                "model": name,
                "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                "usage": None,
                "metadata": None,
            }
        )

    def streamed(self, text: str, model: str = "") -> bytes:
        """The same as a stream: who speaks, what, and the end."""
        name = model or state.marker(self._era)
        return self._stream([(name, {"role": "assistant"}), (name, {"content": text})])

    def question(self, question: Question, *, stream: bool) -> bytes:
        """A question for parameters."""
        if not stream:
            return self.said(question.text)
        first: dict[str, Any] = {"role": "assistant"}
        if question.raw and self._era not in _OLD:
            first["content"] = question.raw
        return self._stream([(state.marker(self._era), first), (state.speaker(self._era), {"content": question.text})])

    def call(self, called: Called, call_id: str) -> bytes:
        """What comes before a model's own events: the call, and what the API said."""
        message = state.call_message(called, self._era, call_id)
        name = message.pop("model")
        for index, call in enumerate(message.get("tool_calls", ())):
            call["index"] = index
        return self._events([(name, message), (name, {"role": "tool", "content": called.body})])

    def _stream(self, deltas: Iterable[tuple[str, dict[str, Any]]]) -> bytes:
        told = list(deltas)
        return self._events(told) + self._event(told[-1][0], {}, "stop") + _DONE

    def _events(self, deltas: Iterable[tuple[str, dict[str, Any]]]) -> bytes:
        return b"".join([self._event(model, delta, None) for model, delta in deltas])

    def _event(self, model: str, delta: dict[str, Any], reason: str | None) -> bytes:
        chunk = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": model,
            "choices": [{"index": 0, "delta": delta, "finish_reason": reason}],
        }
        return b"data: " + _encode(chunk) + b"\n\n"


def with_metadata(body: bytes, told: dict[str, str]) -> bytes:
    """A model's whole reply with more metadata. What is no JSON object stays as it is."""
    try:
        reply = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body
    if not isinstance(reply, dict):
        return body
    given = reply.get("metadata")
    return _encode({**reply, "metadata": {**(given if isinstance(given, dict) else {}), **told}})
