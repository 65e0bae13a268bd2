"""The Converse API from the other side: requests read and answers written, by the vendor's description of them.

botocore holds that description: every request and every answer of the tests is checked against it.
"""

from __future__ import annotations

import binascii
import json
import re
from base64 import b64decode
from collections.abc import Mapping
from functools import cache
from typing import Any

import botocore.session
from botocore.validate import ParamValidator

from promptd.core.content import Document, Image, Part, Text, Thinking, Tool, ToolCall, Turn
from promptd.core.engine import Call
from promptd.core.model import Answer, Chunk, Request, Usage
from promptd.core.parameters import Parameters
from promptd.dialects import converse
from promptd.dialects.asked import Asked
from promptd.dialects.event_stream import encode_message

_REASONS = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "content_filtered",
    "context_length": "model_context_window_exceeded",
}
_NUMBER = re.compile(r" \(\d+\)$")
_MEDIA = {"pdf": "application/pdf", "txt": "text/plain"}
Reader = converse.Reader


@cache
def _shape(name: str) -> Any:
    return botocore.session.get_session().get_service_model("bedrock-runtime").shape_for(name)


def _typed(value: Any, shape: Any, name: str = "") -> Any:
    """With bytes where the description says so: JSON has base64 of them."""
    match shape.type_name:
        case "structure" if shape.name != "Document" and isinstance(value, dict):
            members = shape.members
            unknown = value.keys() - members.keys()
            assert not unknown, f"{shape.name}: {sorted(unknown)}"
            return {name: _typed(below, members[name], name) for name, below in value.items()}
        case "list":
            return [_typed(below, shape.member) for below in value]
        case "blob":
            try:
                return b64decode(value, validate=True)
            except binascii.Error:
                assert name == "redactedContent", name  # of those the tests make any text
                return value.encode()
    return value


def check(name: str, value: Mapping[str, Any]) -> None:
    """Raises `AssertionError` for what does not fit the vendor's description."""
    shape = _shape(name)
    report = ParamValidator().validate(_typed(value, shape), shape)
    assert not report.has_errors(), report.generate_report()


# ------------------------------------------------------------------ requests


def encode_request(call: Call[Any, Any], *, stream: bool) -> bytes:
    """The body, checked; whether it is a stream stands in the address."""
    body = converse.encode_request(call)
    check("ConverseRequest", {"modelId": "m.m", **json.loads(body)})
    return json.dumps({"stream": stream, "body": json.loads(body)}).encode()


def decode_request(data: bytes) -> Asked:
    wire = json.loads(data)
    body = wire["body"]
    instructions = [block["text"] for block in body.get("system", ())]
    turns = [Turn("system", text) for text in instructions if text != "Answer without calling a tool."]
    for message in body["messages"]:
        turns += _turns(message["role"], message["content"])
    settings, config = body.get("inferenceConfig", {}), body.get("toolConfig", {})
    form = body.get("outputConfig", {}).get("textFormat")
    parameters = Parameters(
        temperature=settings.get("temperature"),
        top_p=settings.get("topP"),
        max_tokens=settings.get("maxTokens"),
        stop=tuple(settings.get("stopSequences", ())),
        tools=tuple(_tool(one["toolSpec"]) for one in config.get("tools", ())),
        tool_choice=_choice(config.get("toolChoice")),
        json_schema=json.loads(form["structure"]["jsonSchema"]["schema"]) if form else None,
    )
    return Asked(request=Request(messages=tuple(turns), parameters=parameters), model="m", stream=wire["stream"])


def _tool(spec: dict[str, Any]) -> Tool:
    return Tool(spec["name"], spec.get("description", ""), spec["inputSchema"]["json"], spec.get("strict"))


def _choice(choice: dict[str, Any] | None) -> str | None:
    if choice is None:
        return None
    return "required" if "any" in choice else str(choice["tool"]["name"])


def _turns(role: Any, content: list[dict[str, Any]]) -> list[Turn]:
    turns: list[Turn] = []
    parts: list[Part] = []
    calls: list[ToolCall] = []
    for block in content:
        match block:
            case {"toolResult": result}:
                said = "".join(one["text"] for one in result["content"])
                failed = result.get("status") == "error"
                turns.append(Turn("tool", said, tool_call_id=result["toolUseId"], failed=failed))
            case {"toolUse": use}:
                calls.append(ToolCall(len(calls), use["toolUseId"], use["name"], json.dumps(use["input"])))
            case {"text": text}:
                parts.append(Text(text))
            case {"image": image}:
                parts.append(Image(f"data:image/{image['format']};base64,{image['source']['bytes']}"))
            case {"document": document}:
                url = f"data:{_MEDIA[document['format']]};base64,{document['source']['bytes']}"
                name = f"{_NUMBER.sub('', document['name'])}.{document['format']}"
                parts.append(Document(url, name=name))
            case {"reasoningContent": {"reasoningText": thought}}:
                parts.append(Thinking(thought["text"], thought["signature"]))
            case {"reasoningContent": {"redactedContent": sealed}}:
                parts.append(Thinking(sealed=sealed))
            case _:
                raise AssertionError(block)
    if parts or calls:
        turns.append(Turn(role, parts=tuple(parts), tool_calls=tuple(calls)))
    return turns


# ------------------------------------------------------------------ answers


def counts(usage: Usage) -> dict[str, Any]:
    fresh = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
    return {
        "usage": {
            "inputTokens": fresh,
            "outputTokens": usage.output_tokens,
            "totalTokens": usage.input_tokens + usage.output_tokens,
            "cacheReadInputTokens": usage.cached_tokens,
            "cacheWriteInputTokens": usage.cache_write_tokens,
        },
        "metrics": {"latencyMs": 1},
    }


def _end(reason: str | None, sequence: str | None, *, refused: bool) -> dict[str, Any]:
    if sequence is not None:
        return {"stopReason": "stop_sequence", "additionalModelResponseFields": {"stop_sequence": sequence}}
    return {"stopReason": "content_filtered" if refused else _REASONS.get(reason or "stop", "end_turn")}


def _arguments(call: ToolCall) -> Any:
    return {"input": call.arguments} if call.custom else json.loads(call.arguments)


def encode_answer(answer: Answer, **_: Any) -> bytes:
    blocks: list[dict[str, Any]] = []
    for thought in answer.thinking:
        proven = {"reasoningText": {"text": thought.text, "signature": thought.signature}}
        blocks.append({"reasoningContent": {"redactedContent": thought.sealed} if thought.sealed else proven})
    blocks += [{"text": text} for text in (answer.text, answer.refusal) if text]
    for call in answer.tool_calls:
        blocks.append({"toolUse": {"toolUseId": call.id, "name": call.name, "input": _arguments(call)}})
    end = _end(answer.finish_reason, answer.stop_sequence, refused=bool(answer.refusal))
    wire = {"output": {"message": {"role": "assistant", "content": blocks}}, **end, **counts(answer.usage)}
    return json.dumps(wire).encode()


decode_answer = converse.decode_answer


def event(kind: str, payload: Any, **headers: str) -> bytes:
    """One event of a stream, checked."""
    check("ConverseStreamOutput", {kind: payload})
    return _event(kind, payload, **headers)


def _event(kind: str, payload: Any, **headers: str) -> bytes:
    named = {":message-type": "event", ":event-type": kind, ":content-type": "application/json", **headers}
    return encode_message(named, json.dumps(payload).encode())


class Writer:
    """Chunks as a stream of the service: blocks begin and end as what is said changes; calls may be mixed."""

    def __init__(self) -> None:
        self._index = -1
        self._open = ""
        self._calls: dict[int, int] = {}
        self._refused = False

    def begin(self) -> bytes:
        return _event("messageStart", {"role": "assistant"})

    def write(self, chunk: Chunk) -> bytes:
        said = b""
        if chunk.thinking:
            said += self._say("thought", {"reasoningContent": {"text": chunk.thinking}})
        if chunk.signature:
            said += self._say("thought", {"reasoningContent": {"signature": chunk.signature}}) + self._close()
        if chunk.sealed:
            said += self._say("sealed", {"reasoningContent": {"redactedContent": chunk.sealed}}) + self._close()
        if text := chunk.text + chunk.refusal:
            self._refused = self._refused or bool(chunk.refusal)
            said += self._say("text", {"text": text})
        for call in chunk.tool_calls:
            said += self._call(call)
        if chunk.kind == "done":
            stops = [_event("contentBlockStop", {"contentBlockIndex": index}) for index in self._calls.values()]
            end = _event("messageStop", _end(chunk.finish_reason, chunk.stop_sequence, refused=self._refused))
            said += self._close() + b"".join(stops) + end + _event("metadata", counts(chunk.usage or Usage()))
        return said

    def _say(self, kind: str, delta: dict[str, Any]) -> bytes:
        closed = b"" if self._open == kind else self._close()
        if not self._open:
            self._index, self._open = self._index + 1, kind
        return closed + _event("contentBlockDelta", {"contentBlockIndex": self._index, "delta": delta})

    def _close(self) -> bytes:
        if not self._open:
            return b""
        self._open = ""
        return _event("contentBlockStop", {"contentBlockIndex": self._index})

    def _call(self, call: ToolCall) -> bytes:
        said = b""
        if call.index not in self._calls:
            said = self._close()
            self._index += 1
            self._calls[call.index] = self._index
            start = {"toolUse": {"toolUseId": call.id, "name": call.name}}
            said += _event("contentBlockStart", {"contentBlockIndex": self._index, "start": start})
        if call.arguments:
            delta = {"toolUse": {"input": call.arguments}}
            said += _event("contentBlockDelta", {"contentBlockIndex": self._calls[call.index], "delta": delta})
        return said
