"""Answers as a client of the chat API gets them: `chat.completion`, and the events of a stream."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec

from promptd.core.content import Thinking, ToolCall
from promptd.core.errors import PromptdError
from promptd.core.model import Answer, Chunk, Usage
from promptd.dialects.chat.ends import wire_reason, wire_usage
from promptd.dialects.chat.errors import error_event
from promptd.dialects.chat.proofs import detail, encode_details

_encode = msgspec.json.Encoder().encode
_DONE: Final = b"data: [DONE]\n\n"


def encode_answer(answer: Answer, *, id: str, model: str, created: float, functions: bool = False) -> bytes:  # noqa: A002
    """`functions`: the client knows functions, and no tools yet (`Request.echo`)."""
    message: dict[str, Any] = {
        "role": "assistant",
        "content": answer.text if answer.text or not (answer.tool_calls or answer.refusal) else None,
        "refusal": answer.refusal or None,
        "annotations": annotations_of(answer.value),
    }
    thought = "".join([part.text for part in answer.thinking])
    if thought:
        message["reasoning_content"] = thought
    if details := encode_details(answer.thinking):
        message["reasoning_details"] = details
    if answer.tool_calls and functions:
        call = answer.tool_calls[0]
        message["function_call"] = {"name": call.name, "arguments": call.arguments}
    elif answer.tool_calls:
        message["tool_calls"] = [_whole_call(call, id) for call in answer.tool_calls]
    choice = {
        "index": 0,
        "message": message,
        "logprobs": None if answer.logprobs is None else {"content": answer.logprobs, "refusal": None},
        "finish_reason": _reason(answer.finish_reason, functions),
    }
    return _encode(
        {
            "id": id,
            "object": "chat.completion",
            "created": int(created),
            "model": model,
            "choices": [choice],
            "usage": wire_usage(answer.usage),
        }
    )


def annotations_of(value: Any) -> list[Any]:
    """What a chat's answer says about its own text (sources …), which an engine's `done` keeps in its value."""
    found = value.get("annotations") if isinstance(value, dict) else None
    return found if isinstance(found, list) else []


def _whole_call(call: ToolCall, answer: str) -> dict[str, Any]:
    name = _call_id(call, answer)
    if call.custom:
        return call.extra | {"id": name, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    function = {"name": call.name, "arguments": call.arguments}
    return call.extra | {"id": name, "type": "function", "function": function}


def _call_id(call: ToolCall, answer: str) -> str:
    """Clients send it back with the call's result, so every call needs one; some services give none."""
    return call.id or f"call_{answer}_{call.index}"


def _reason(reason: str | None, functions: bool) -> str:
    word = wire_reason(reason)
    return "function_call" if functions and word == "tool_calls" else word


class Writer:
    """The events of one stream. `usage`: the client asked for token counts."""

    __slots__ = ("_functions", "_head", "_id", "_none", "_thought", "_thoughts", "_usage")

    def __init__(
        self,
        *,
        id: str,  # noqa: A002
        model: str,
        created: float,
        usage: bool = False,
        functions: bool = False,
    ) -> None:
        """`functions` as for `encode_answer`."""
        frame = _encode({"id": id, "object": "chat.completion.chunk", "created": int(created), "model": model})
        self._head = b"data: " + frame[:-1] + b',"choices":['
        self._none = b'],"usage":null}\n\n' if usage else b"]}\n\n"
        self._id, self._usage, self._functions = id, usage, functions
        self._thought: list[str] = []  # the words of the thought that has not ended …
        self._thoughts = 0  # … and how many came before it

    def begin(self) -> bytes:
        """The chunk that says who speaks."""
        return self._event({"role": "assistant", "content": "", "refusal": None})

    def write(self, chunk: Chunk) -> bytes:
        """A `progress`, or the `done`, which completes the stream; any other says nothing."""
        if chunk.kind == "progress":
            return self._progress(chunk)
        if chunk.kind != "done":
            return b""
        annotations = annotations_of(chunk.value)
        delta = {"annotations": annotations} if annotations else {}
        end = self._event(delta, finish_reason=_reason(chunk.finish_reason, self._functions), logprobs=chunk.logprobs)
        if self._usage:
            end += self._head + b'],"usage":' + _encode(wire_usage(chunk.usage or Usage())) + b"}\n\n"
        return end + _DONE

    def fail(self, error: PromptdError) -> bytes:
        """The end of a stream that failed."""
        return error_event(error)

    def _progress(self, chunk: Chunk) -> bytes:
        if chunk.text and not (
            chunk.tool_calls or chunk.thinking or chunk.refusal or chunk.logprobs or chunk.signature or chunk.sealed
        ):
            return b"".join(
                (
                    self._head,
                    b'{"index":0,"delta":{"content":',
                    _encode(chunk.text),
                    b'},"logprobs":null,"finish_reason":null}',
                    self._none,
                )
            )
        # thought comes before what is said, and calls after it, in events of their own as every client expects them
        events: list[bytes] = []
        if chunk.thinking:
            self._thought.append(chunk.thinking)
            events.append(self._event({"reasoning_content": chunk.thinking}))
        if chunk.signature or chunk.sealed:
            events.append(self._event({"reasoning_details": self._proven(chunk)}))
        if chunk.text or chunk.logprobs:
            events.append(self._event({"content": chunk.text}, logprobs=chunk.logprobs))
        if chunk.refusal:
            events.append(self._event({"refusal": chunk.refusal}))
        if chunk.tool_calls:
            events.append(self._event(self._called(chunk.tool_calls)))
        return b"".join(events)

    def _proven(self, chunk: Chunk) -> list[dict[str, Any]]:
        """The thought that ends here, whole, so that its proof stays with it."""
        thoughts: list[Thinking] = []
        if self._thought or chunk.signature:
            thoughts.append(Thinking("".join(self._thought), chunk.signature))
            self._thought = []
        if chunk.sealed:
            thoughts.append(Thinking(sealed=chunk.sealed))
        first = self._thoughts
        self._thoughts += len(thoughts)
        return [detail(thought, index) for index, thought in enumerate(thoughts, first)]

    def _called(self, calls: Iterable[ToolCall]) -> dict[str, Any]:
        if not self._functions:
            return {"tool_calls": [_call_piece(call, self._id) for call in calls]}
        first = next((call for call in calls if call.index == 0), None)
        if first is None:  # there is room for one call
            return {}
        named = {"name": first.name} if first.name else {}
        return {"function_call": named | {"arguments": first.arguments}}

    def _event(self, delta: dict[str, Any], *, finish_reason: str | None = None, logprobs: Any = None) -> bytes:
        told = None if logprobs is None else {"content": logprobs, "refusal": None}
        choice = {"index": 0, "delta": delta, "logprobs": told, "finish_reason": finish_reason}
        return self._head + _encode(choice) + self._none


def _call_piece(call: ToolCall, answer: str) -> dict[str, Any]:
    """One piece of a call: its first names it, the others add arguments."""
    body, kind = ("input", "custom") if call.custom else ("arguments", "function")
    if not call.name:
        return call.extra | {"index": call.index, kind: {body: call.arguments}}
    said = {"name": call.name, body: call.arguments}
    return call.extra | {"index": call.index, "id": _call_id(call, answer), "type": kind, kind: said}
