"""Amazon Bedrock's Converse API from the server's side: read a request, write the answer, frame the events."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from promptd.dialects.event_stream import encode_message
from promptd.testing.model_server.views import Plan, View, refuse, typed

PATH: Final = re.compile(r"/model/([^/]+)/(converse|converse-stream)")
SIGNATURE: Final = "c2lnbmVk"
_KNOWN: Final = frozenset(
    {"messages", "system", "inferenceConfig", "toolConfig", "guardrailConfig", "additionalModelRequestFields"}
    | {"additionalModelResponseFieldPaths", "outputConfig", "performanceConfig", "promptVariables"}
    | {"requestMetadata", "serviceTier"}
)
_TYPES: Final[dict[str, type | tuple[type, ...]]] = {
    "messages": list,
    "system": list,
    "inferenceConfig": dict,
    "toolConfig": dict,
    "additionalModelRequestFields": dict,
    "additionalModelResponseFieldPaths": list,
    "outputConfig": dict,
}
_SETTINGS: Final = frozenset({"maxTokens", "temperature", "topP", "stopSequences"})
_IDS: Final = re.compile(r"[a-zA-Z0-9_.:-]{1,64}")
_NAMES: Final = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_TITLES: Final = re.compile(r"[a-zA-Z0-9()\[\]-]([a-zA-Z0-9()\[\]-]| (?! )){0,199}")
#: exceptions by status
KINDS: Final = {
    400: "ValidationException",
    401: "UnrecognizedClientException",
    403: "AccessDeniedException",
    404: "ResourceNotFoundException",
    429: "ThrottlingException",
    500: "InternalServerException",
    503: "ServiceUnavailableException",
    529: "ServiceUnavailableException",
}


# ------------------------------------------------------------------ read


def read(body: dict[str, Any], *, model: str, stream: bool) -> View:
    """A request. Raises `WrongRequest` for what the service would refuse."""
    for name in body.keys() - _KNOWN:
        refuse(name, "extraneous key is not permitted")
    typed(body, _TYPES)
    settings, more = body.get("inferenceConfig") or {}, body.get("additionalModelRequestFields") or {}
    for name in settings.keys() - _SETTINGS:
        refuse(f"inferenceConfig.{name}", "extraneous key is not permitted")
    config = body.get("toolConfig") or {}
    tools = [_tool(one) for one in config.get("tools") or () if "cachePoint" not in one]
    form = (body.get("outputConfig") or {}).get("textFormat")
    view = View(
        model=model,
        stream=stream,
        tools=tuple(tools),
        choice=_choice(config.get("toolChoice")),
        schema=json.loads(form["structure"]["jsonSchema"]["schema"]) if form else None,
        thinks=(more.get("thinking") or {}).get("type") in ("enabled", "adaptive"),
        max_tokens=settings.get("maxTokens"),
        stop=tuple(settings.get("stopSequences") or ()),
    )
    view.words = " ".join([_said(block, "system") for block in body.get("system") or () if "cachePoint" not in block])
    messages = body.get("messages") or []
    if not messages or messages[0].get("role") != "user":
        refuse("messages", "A conversation must start with a user message.")
    open_calls: list[str] = []
    titles: list[str] = []
    for place, message in enumerate(messages):
        if place and message.get("role") == messages[place - 1].get("role"):
            refuse(f"messages.{place}", "A conversation must alternate between user and assistant roles.")
        open_calls = _message(view, message, f"messages.{place}", open_calls, titles)
    if open_calls:
        refuse("messages", f"Expected toolResult blocks for the following Ids: {open_calls}")
    if not tools and any("toolUse" in block for message in messages for block in message["content"]):
        refuse("toolConfig", "must be defined when using toolUse and toolResult content blocks.")
    return view


def _said(block: Any, field: str) -> str:
    text = block.get("text")
    if not isinstance(text, str) or not text.strip():
        refuse(field, "The text field in the ContentBlock object is blank.")
    return text


def _message(view: View, message: Any, field: str, open_calls: list[str], titles: list[str]) -> list[str]:
    role, blocks = message.get("role"), message.get("content")
    if role not in ("user", "assistant") or not isinstance(blocks, list) or not blocks:
        refuse(field, "expected a role and content")
    texts: list[str] = []
    calls: list[str] = []
    answered: list[str] = []
    for place, block in enumerate(blocks):
        path = f"{field}.content.{place}"
        match block:
            case {"text": _, **rest} if not rest:
                texts.append(_said(block, path))
            case {"cachePoint": {"type": "default"}}:
                continue
            case {"toolResult": {"toolUseId": str(id), "content": list(told)}} if role == "user":
                if id not in open_calls or texts:
                    refuse(path, f"unexpected toolUseId {id}; results come first, behind their calls")
                said = "\n".join([_said(one, path) for one in told if "text" in one])
                view.words += " " + said
                view.results = (*(view.results if answered else ()), said)
                answered.append(id)
            case {"toolUse": {"toolUseId": str(id), "name": str(name), "input": dict(given)}} if role == "assistant":
                calls.append(_called(id, name, path))
                view.words += " " + json.dumps(given)
            case _ if not (_thought(block, path) if role == "assistant" else _medium(view, block, path, titles)):
                refuse(path, f"unexpected block of {role}: {block!r}"[:200])
    if missing := set(open_calls) - set(answered):
        refuse(field, f"Expected toolResult blocks for the following Ids: {sorted(missing)}")
    if any("document" in block for block in blocks) and not texts:
        refuse(field, "a document needs a text beside it")
    text = "\n".join(texts)
    view.words += " " + text
    if texts and role == "user" and not answered:
        view.last, view.results = text, ()
    return calls


def _called(id: str, name: str, path: str) -> str:  # noqa: A002 - the wire's word
    if not _IDS.fullmatch(id) or not _NAMES.fullmatch(name):
        refuse(path, "toolUseId or name has characters that it may not have")
    return id


def _thought(block: Any, path: str) -> bool:
    """Whether the block is a thought, of the model's own making."""
    match block:
        case {"reasoningContent": {"reasoningText": {"text": str(), "signature": str(sign)}}}:
            if sign != SIGNATURE:
                refuse(path, "Invalid signature in a reasoning block")
            return True
        case {"reasoningContent": {"redactedContent": str(data)}}:
            b64decode(data, validate=True)
            return True
    return False


def _medium(view: View, block: Any, path: str, titles: list[str]) -> bool:
    """Whether the block is an image or a document."""
    match block:
        case {"image": {"format": "png" | "jpeg" | "gif" | "webp", "source": {"bytes": str(data)}}}:
            view.images += (b64decode(data, validate=True),)
        case {"document": {"format": str(), "name": str(name), "source": {"bytes": str(data)}}}:
            if name in titles or not _TITLES.fullmatch(name):
                refuse(path, f"a document can't be called {name!r} here")
            titles.append(name)
            view.documents += (str(len(b64decode(data, validate=True))),)
        case _:
            return False
    return True


def _tool(tool: Any) -> str:
    match tool:
        case {"toolSpec": {"name": str(name), "inputSchema": {"json": {"type": "object"}}}} if _NAMES.fullmatch(name):
            return name
    return refuse("toolConfig.tools", "expected a toolSpec")


def _choice(choice: dict[str, Any] | None) -> str:
    match choice:
        case None | {"auto": {}}:
            return "auto"
        case {"any": {}}:
            return "required"
        case {"tool": {"name": str(name)}}:
            return name
    return refuse("toolConfig.toolChoice", "unknown")


# ------------------------------------------------------------------ write


def _stop(said: Plan) -> dict[str, Any]:
    if said.stop_sequence is not None:
        more = {"additionalModelResponseFields": {"stop_sequence": said.stop_sequence}}
        return {"stopReason": "stop_sequence", **more}
    return {"stopReason": {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}[said.finish]}


def _counts(said: Plan) -> dict[str, Any]:
    """What came from a cache is counted apart."""
    fresh = said.input_tokens - said.cached_tokens
    return {
        "usage": {
            "inputTokens": fresh,
            "cacheReadInputTokens": said.cached_tokens,
            "cacheWriteInputTokens": 0,
            "outputTokens": said.output_tokens,
            "totalTokens": said.input_tokens + said.output_tokens,
        },
        "metrics": {"latencyMs": 1},
    }


def whole(view: View, said: Plan) -> dict[str, Any]:
    blocks: list[dict[str, Any]] = []
    if said.thought:
        thought = {"text": "".join(said.thought), "signature": SIGNATURE}
        blocks.append({"reasoningContent": {"reasoningText": thought}})
    if said.text:
        blocks.append({"text": said.text})
    for index, call in enumerate(said.calls):
        use = {"toolUseId": f"tooluse_{index}", "name": call.name, "input": json.loads(call.arguments)}
        blocks.append({"toolUse": use})
    return {"output": {"message": {"role": "assistant", "content": blocks}}, **_stop(said), **_counts(said)}


def stream(view: View, said: Plan) -> Iterator[Any]:
    """All events, each with its type as its only member."""
    yield {"messageStart": {"role": "assistant"}}
    index = 0

    def block(deltas: list[dict[str, Any]], start: dict[str, Any] | None = None) -> Iterator[Any]:
        nonlocal index
        if start is not None:
            yield {"contentBlockStart": {"start": start, "contentBlockIndex": index}}
        for delta in deltas:
            yield {"contentBlockDelta": {"delta": delta, "contentBlockIndex": index}}
        yield {"contentBlockStop": {"contentBlockIndex": index}}
        index += 1

    if said.thought:
        told = [{"text": piece} for piece in said.thought]
        yield from block([{"reasoningContent": one} for one in [*told, {"signature": SIGNATURE}]])
    if said.pieces:
        yield from block([{"text": piece} for piece in said.pieces])
    for number, call in enumerate(said.calls):
        cut = [call.arguments[at : at + 3] for at in range(0, len(call.arguments), 3)]
        start = {"toolUse": {"toolUseId": f"tooluse_{number}", "name": call.name}}
        yield from block([{"toolUse": {"input": piece}} for piece in cut], start)
    yield {"messageStop": _stop(said)}
    yield {"metadata": _counts(said)}


def frame(event: dict[str, Any]) -> bytes:
    """One event of `stream`, as it goes over the wire."""
    ((kind, payload),) = event.items()
    headers = {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}
    return encode_message(headers, msgspec.json.encode(payload))


def exception(kind: str, message: str) -> bytes:
    """An error in the middle of a stream."""
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return encode_message(headers, msgspec.json.encode({"message": message}))
