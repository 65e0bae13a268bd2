"""A look inside an answer that passes through: token counts, how it ended, whether it failed; one look per dialect.

A stream's packet is decoded only where a substring says that there may be something in it. In JSON the quotes of a text
are escaped, so that `"usage"` with its quotes is a member or a value and never part of what a model said.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

from promptd.core.errors import InvalidOutput
from promptd.core.model import Usage
from promptd.dialects.chat import ends as chat_ends
from promptd.dialects.counts import decoded_anyway
from promptd.dialects.errors import error_from_object
from promptd.dialects.messages import ends as message_ends
from promptd.dialects.responses import ends as response_ends

_DONE: Final = b"[DONE]"
_NULLS: Final = (b":null", b": null")


class Seen(Struct, frozen=True):
    """What an event, or a whole body, told."""

    usage: Usage | None = None
    finish_reason: str | None = None
    ended: bool = False  #: this was the stream's last event
    bare: bool = False  #: it held token counts and nothing else


_NOTHING: Final = Seen()


class Look(Protocol):
    """What to look for in one dialect. It holds the state of one stream."""

    # by `find`: `in` takes what it looks for for a number first, and an error is made of that each time
    def hint(self, block: bytes) -> bool:
        """Whether one of these events may be worth decoding; must be cheap, and may be wrong only by saying yes."""

    def event(self, data: bytes, secrets: Iterable[str]) -> Seen:
        """Raises what an error inside means."""

    def whole(self, body: bytes, secrets: Iterable[str]) -> Seen:
        """A body that is the whole answer. Raises what an error inside means, and `InvalidOutput`."""


def look_for(dialect: str) -> Look:
    """For one stream."""
    return _LOOKS[dialect]()


def look_at_whole(dialect: str) -> Look:
    """For `whole` alone, which needs no state."""
    return _AT_WHOLE[dialect]


def _decoded(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        mended = decoded_anyway(decoder, body)
        if mended is None:
            raise InvalidOutput("the service sent something that is no answer", detail=str(error)) from error
        return mended


# ------------------------------------------------------------------ chat, completions, embeddings


class _Choice(Struct, frozen=True):
    finish_reason: str | None = None


class _Completion(Struct, frozen=True):
    choices: list[_Choice] | None = None
    usage: chat_ends.Counts | None = None
    error: Any = None


_completion: Final = msgspec.json.Decoder(_Completion)


class _Chat:
    __slots__ = ()

    def hint(self, block: bytes) -> bool:
        return (
            block.find(_DONE) >= 0
            or block.find(b'"error"') >= 0
            or _not_null(block, b'"finish_reason"')
            or _not_null(block, b'"usage"')
        )

    def event(self, data: bytes, secrets: Iterable[str]) -> Seen:
        return Seen(ended=True) if data == _DONE else self.whole(data, secrets)

    def whole(self, body: bytes, secrets: Iterable[str]) -> Seen:
        told: _Completion = _decoded(_completion, body)
        if told.error is not None:
            raise error_from_object(told.error, secrets=secrets)
        choices, counts, reason = told.choices, told.usage, None
        for choice in choices or ():
            if reason := choice.finish_reason:
                reason = chat_ends.finish_reason(reason)
                break
        if counts is None:
            return Seen(None, reason)
        return Seen(counts.usage(), reason, False, not choices)


def _not_null(block: bytes, name: bytes) -> bool:
    """Whether a member of that name is there that is not null."""
    if block.find(name) < 0:
        return False
    others = block.count(name) - block.count(name + _NULLS[0])
    return others != 0 and others != block.count(name + _NULLS[1])


# ------------------------------------------------------------------ messages


class _Delta(Struct, frozen=True):
    stop_reason: str | None = None


class _Message(Struct, frozen=True):
    stop_reason: str | None = None
    usage: message_ends.Counts | None = None
    error: Any = None


class _MessageEvent(Struct, frozen=True):
    type: str | None = None
    message: _Message | None = None
    delta: _Delta | None = None
    usage: message_ends.Counts | None = None
    error: Any = None


_message: Final = msgspec.json.Decoder(_Message)
_message_event: Final = msgspec.json.Decoder(_MessageEvent)


class _Messages:
    def __init__(self) -> None:
        self._counts = message_ends.Counts()

    def hint(self, block: bytes) -> bool:
        return block.find(b'"usage"') >= 0 or block.find(b"message_") >= 0 or block.find(b'"error"') >= 0

    def event(self, data: bytes, secrets: Iterable[str]) -> Seen:
        told: _MessageEvent = _decoded(_message_event, data)
        if told.error is not None or told.type == "error":
            raise error_from_object(told.error, secrets=secrets)
        counts = told.usage or (told.message.usage if told.message is not None else None)
        if counts is not None:
            self._counts = counts.over(self._counts)
        reason = told.delta.stop_reason if told.delta else told.message.stop_reason if told.message else None
        return Seen(
            self._counts.usage() if counts is not None else None,
            message_ends.finish_reason(reason) if reason else None,
            told.type == "message_stop",
        )

    def whole(self, body: bytes, secrets: Iterable[str]) -> Seen:
        told: _Message = _decoded(_message, body)
        if told.error is not None:
            raise error_from_object(told.error, secrets=secrets)
        reason = told.stop_reason
        return Seen(
            told.usage.usage() if told.usage is not None else None,
            message_ends.finish_reason(reason) if reason else None,
        )


# ------------------------------------------------------------------ responses


class _Item(Struct, frozen=True):
    type: str | None = None


class _Incomplete(Struct, frozen=True):
    reason: str | None = None


class _Response(Struct, frozen=True):
    status: str | None = None
    output: list[_Item] | None = None
    usage: response_ends.Counts | None = None
    incomplete_details: _Incomplete | None = None
    error: Any = None


class _ResponseEvent(Struct, frozen=True):
    type: str | None = None
    response: _Response | None = None
    message: str | None = None
    code: str | None = None
    error: Any = None


_response: Final = msgspec.json.Decoder(_Response)
_response_event: Final = msgspec.json.Decoder(_ResponseEvent)
_CALLS: Final = frozenset({"function_call", "custom_tool_call"})


class _Responses:
    __slots__ = ()

    def hint(self, block: bytes) -> bool:
        return (
            block.find(b"response.completed") >= 0
            or block.find(b"response.incomplete") >= 0
            or block.find(b"response.failed") >= 0
            or block.find(b'"error"') >= 0
        )

    def event(self, data: bytes, secrets: Iterable[str]) -> Seen:
        told: _ResponseEvent = _decoded(_response_event, data)
        if told.type == "error" or (told.type is None and told.error is not None):
            raise error_from_object(told.error or {"message": told.message, "code": told.code}, secrets=secrets)
        if told.type not in ("response.completed", "response.incomplete", "response.failed"):
            return _NOTHING
        return self._seen(told.response or _Response(), secrets, failed=told.type == "response.failed")

    def whole(self, body: bytes, secrets: Iterable[str]) -> Seen:
        told: _Response = _decoded(_response, body)
        return self._seen(told, secrets, failed=told.status == "failed" or (told.status is None and bool(told.error)))

    def _seen(self, told: _Response, secrets: Iterable[str], *, failed: bool) -> Seen:
        if failed:
            raise error_from_object(told.error, secrets=secrets)
        if told.incomplete_details is not None:
            reason = "content_filter" if told.incomplete_details.reason == "content_filter" else "length"
        else:
            reason = "tool_calls" if any(item.type in _CALLS for item in told.output or ()) else "stop"
        return Seen(told.usage.usage() if told.usage is not None else None, reason, ended=True)


_LOOKS: Final[dict[str, type[_Chat] | type[_Messages] | type[_Responses]]] = {
    "openai.chat": _Chat,
    "openai.completions": _Chat,
    "openai.embeddings": _Chat,
    "openai.responses": _Responses,
    "anthropic.messages": _Messages,
}
_AT_WHOLE: Final[dict[str, Look]] = {dialect: make() for dialect, make in _LOOKS.items()}
