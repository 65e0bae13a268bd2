"""Anthropic's Messages API from the server's side: read a request, write the answer."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from typing import Any, Final

from promptd.testing.model_server.views import Plan, View, refuse, typed

ID = "msg_upstream"
SIGNATURE: Final = "c2lnbmVk"
INSTRUCTS: Final = "mid-conversation-system"  #: how the beta is called that allows system messages in a conversation
_KNOWN = frozenset(
    {
        "model",
        "messages",
        "max_tokens",
        "system",
        "stream",
        "temperature",
        "top_p",
        "top_k",
        "stop_sequences",
        "tools",
        "tool_choice",
        "thinking",
        "metadata",
        "service_tier",
        "output_config",
        "output_format",
        "cache_control",
        "container",
        "context_management",
        "mcp_servers",
        "inference_geo",
    }
)
#: what a block of each kind may hold besides its `type`
_MEMBERS: Final[dict[str, set[str]]] = {
    "text": {"text", "cache_control", "citations"},
    "image": {"source", "cache_control"},
    "document": {"source", "cache_control", "citations", "context", "title"},
    "thinking": {"thinking", "signature"},
    "redacted_thinking": {"data"},
    "tool_use": {"id", "name", "input", "cache_control", "caller"},
    "tool_result": {"tool_use_id", "content", "is_error", "cache_control"},
}
_THOUGHTS: Final = ("thinking", "redacted_thinking")
_TYPES: dict[str, type | tuple[type, ...]] = {
    "stream": bool,
    "max_tokens": int,
    "temperature": (int, float),
    "top_p": (int, float),
    "top_k": int,
    "stop_sequences": list,
    "system": (str, list),
    "tools": list,
    "tool_choice": dict,
    "thinking": dict,
    "metadata": dict,
    "output_config": dict,
    "output_format": dict,
}


# ------------------------------------------------------------------ read


def read(body: dict[str, Any], *, counting: bool = False) -> View:
    """A request. Raises `WrongRequest` for what Anthropic would refuse, unknown members included."""
    for name in body.keys() - _KNOWN:
        refuse(name, "Extra inputs are not permitted")
    typed(body, _TYPES)
    if not isinstance(body.get("model"), str):
        refuse("model", "Field required")
    if not counting and (body.get("max_tokens") or 0) < 1:
        refuse("max_tokens", "Field required")
    thinking = body.get("thinking") or {}
    if thinking.get("type") == "enabled":
        budget = thinking.get("budget_tokens") or 0
        if budget < 1024 or (not counting and budget >= body["max_tokens"]):
            refuse("thinking.budget_tokens", "must be at least 1024 and less than max_tokens")
    form = body.get("output_format") or (body.get("output_config") or {}).get("format")
    view = View(
        model=body["model"],
        stream=bool(body.get("stream")),
        tools=tuple(_tool(tool, index) for index, tool in enumerate(body.get("tools") or ())),
        choice=_choice(body.get("tool_choice")),
        schema=form["schema"] if form else None,
        thinks=thinking.get("type") in ("enabled", "adaptive"),
        max_tokens=body.get("max_tokens"),
        stop=tuple(body.get("stop_sequences") or ()),
    )
    system = body.get("system")
    view.words = system if isinstance(system, str) else " ".join(block["text"] for block in system or ())
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages:
        refuse("messages", "at least one message is required")
    if messages[0].get("role") != "user":
        refuse("messages.0.role", "first message must use the user role")
    open_calls: list[str] = []
    for index, message in enumerate(messages):
        open_calls = _message(view, message, f"messages.{index}", open_calls)
    if thinking.get("type") == "enabled":
        _thinking_allows(body, messages)
    if open_calls:
        refuse("messages", f"`tool_use` ids were found without `tool_result` blocks: {open_calls}")
    return view


def _thinking_allows(body: dict[str, Any], messages: list[Any]) -> None:
    """What the vendor refuses of a model that thinks."""
    if (body.get("tool_choice") or {}).get("type") in ("any", "tool"):
        refuse("tool_choice", "Thinking may not be enabled when tool_choice forces tool use.")
    if body.get("temperature") not in (None, 1) or body.get("top_k") is not None:
        refuse("temperature", "`temperature` may only be set to 1 when thinking is enabled.")
    spoken = [index for index, message in enumerate(messages) if message["role"] == "assistant"]
    last = messages[-1]["content"]
    if spoken and isinstance(last, list) and any(block.get("type") == "tool_result" for block in last):
        first = messages[spoken[-1]]["content"][0]
        if first["type"] not in _THOUGHTS:
            refuse(
                f"messages.{spoken[-1]}.content.0.type",
                f"Expected `thinking` or `redacted_thinking`, but found `{first['type']}`. When `thinking` is enabled, "
                "a final `assistant` message must start with a thinking block",
            )


def _message(view: View, message: Any, field: str, open_calls: list[str]) -> list[str]:
    role = message.get("role")
    if role not in ("user", "assistant", "system"):
        refuse(f"{field}.role", f"unexpected role {role!r}")
    content = message.get("content")
    blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(blocks, list) or not blocks:
        refuse(f"{field}.content", "expected a text or blocks")
    view.instructs |= role == "system"
    texts, calls = [], []
    answered: list[str] = []
    for place, block in enumerate(blocks):
        path = f"{field}.content.{place}"
        for name in block.keys() - _MEMBERS.get(block.get("type"), block.keys()) - {"type"}:
            refuse(f"{path}.{name}", "Extra inputs are not permitted")
        match block:
            case {"type": "text", "text": str(text)}:
                if not text.strip():
                    refuse(f"{path}.text", "text content blocks must be non-empty")
                texts.append(text)
            case {"type": "tool_result", "tool_use_id": str(id)} if role == "user":
                if id not in open_calls or texts:
                    refuse(path, f"unexpected `tool_use_id` {id}; results come first, behind their calls")
                view.results = (view.results if answered else ()) + (_result(view, block.get("content")),)
                answered.append(id)
            case {"type": "tool_use", "id": str(id), "name": str(), "input": dict(given)} if role == "assistant":
                calls.append(id)
                view.words += " " + json.dumps(given)
            case _ if not (_thought(block, path) if role == "assistant" else role == "user" and _medium(view, block)):
                refuse(path, f"unexpected block of {role}: {block!r}"[:200])
    if missing := set(open_calls) - set(answered):
        refuse(field, f"`tool_use` ids were found without `tool_result` blocks: {sorted(missing)}")
    text = "\n".join(texts)
    view.words += " " + text
    if texts and role == "user" and not answered:
        view.last, view.results = text, ()
    return calls


def _thought(block: Any, path: str) -> bool:
    """Whether the block is a thought, of the model's own making."""
    match block:
        case {"type": "thinking", "thinking": str(), "signature": str(sign)}:
            if sign != SIGNATURE:
                refuse(f"{path}.signature", "Invalid `signature` in `thinking` block")
            return True
        case {"type": "redacted_thinking", "data": str()}:
            return True
    return False


def _medium(view: View, block: Any) -> bool:
    """Whether the block is an image or a document."""
    match block:
        case {"type": "image", "source": {"type": "base64", "media_type": str(), "data": str(data)}}:
            view.images += (b64decode(data, validate=True),)
        case {"type": "document", "source": {"type": "base64", "data": str(data)}}:
            view.documents += (str(len(b64decode(data, validate=True))),)
        case {"type": "document", "source": {"type": "text", "data": str(data)}}:
            view.documents += (data,)
        case _:
            return False
    return True


def _result(view: View, content: Any) -> str:
    if isinstance(content, list):
        content = "\n".join(block["text"] for block in content if block["type"] == "text")
    view.words += " " + (content or "")
    return content or ""


def _tool(tool: Any, index: int) -> str:
    match tool:
        case {"name": str(name), "input_schema": {"type": "object"}}:
            return name
        case {"type": str(), "name": str(name)} if "input_schema" not in tool:
            return name
    return refuse(f"tools.{index}.input_schema", "Field required: an object's schema")


def _choice(choice: dict[str, Any] | None) -> str:
    match choice:
        case None | {"type": "auto"}:
            return "auto"
        case {"type": "none"}:
            return "none"
        case {"type": "any"}:
            return "required"
        case {"type": "tool", "name": str(name)}:
            return name
    return refuse("tool_choice", "unknown")


# ------------------------------------------------------------------ write


def _stop_reason(said: Plan) -> str:
    if said.stop_sequence is not None:
        return "stop_sequence"
    return {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}[said.finish]


def usage(said: Plan) -> dict[str, Any]:
    """Anthropic's input count leaves out what came from a cache."""
    return {
        "input_tokens": said.input_tokens - said.cached_tokens,
        "cache_read_input_tokens": said.cached_tokens,
        "cache_creation_input_tokens": 0,
        "output_tokens": said.output_tokens,
        "service_tier": "standard",
    }


def _blocks(said: Plan) -> list[dict[str, Any]]:
    blocks: list[dict[str, Any]] = []
    if said.thought:
        blocks.append({"type": "thinking", "thinking": "".join(said.thought), "signature": SIGNATURE})
    if said.text:
        blocks.append({"type": "text", "text": said.text})
    for index, call in enumerate(said.calls):
        blocks.append(
            {"type": "tool_use", "id": f"toolu_{index}", "name": call.name, "input": json.loads(call.arguments)}
        )
    return blocks


def whole(view: View, said: Plan) -> dict[str, Any]:
    return {
        "id": ID,
        "type": "message",
        "role": "assistant",
        "model": view.model,
        "content": _blocks(said),
        "stop_reason": _stop_reason(said),
        "stop_sequence": said.stop_sequence,
        "usage": usage(said),
    }


def stream(view: View, said: Plan) -> Iterator[Any]:
    """All events, with a `ping` behind the first."""
    message = whole(view, said) | {"content": [], "stop_reason": None, "stop_sequence": None}
    message["usage"] = usage(said) | {"output_tokens": 1}
    yield {"type": "message_start", "message": message}
    yield {"type": "ping"}
    index = 0

    def block(start: dict[str, Any], deltas: list[dict[str, Any]]) -> Iterator[Any]:
        nonlocal index
        yield {"type": "content_block_start", "index": index, "content_block": start}
        for delta in deltas:
            yield {"type": "content_block_delta", "index": index, "delta": delta}
        yield {"type": "content_block_stop", "index": index}
        index += 1

    if said.thought:
        deltas = [{"type": "thinking_delta", "thinking": piece} for piece in said.thought]
        deltas.append({"type": "signature_delta", "signature": SIGNATURE})
        yield from block({"type": "thinking", "thinking": "", "signature": ""}, deltas)
    if said.pieces:
        yield from block({"type": "text", "text": ""}, [{"type": "text_delta", "text": piece} for piece in said.pieces])
    for number, call in enumerate(said.calls):
        cut = ["", *[call.arguments[at : at + 3] for at in range(0, len(call.arguments), 3)]]
        start = {"type": "tool_use", "id": f"toolu_{number}", "name": call.name, "input": {}}
        yield from block(start, [{"type": "input_json_delta", "partial_json": piece} for piece in cut])
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": _stop_reason(said), "stop_sequence": said.stop_sequence},
        "usage": usage(said),
    }
    yield {"type": "message_stop"}
