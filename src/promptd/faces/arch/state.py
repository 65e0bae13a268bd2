"""The state of a conversation, which its client keeps (contracts/arch.md §3.7): written after a call, taken back later.

Messages are dicts as the chat API writes them. What was altered or makes no sense is ignored, never refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from promptd.core.utterances.dialogue import OPENING
from promptd.dialects.arch.config import Era
from promptd.service.targets.conversation import Called

STATE: Final = "x-arch-state"
_TOOL_CALL: Final = "x-arch-tool-call-message"
_API_RESPONSE: Final = "x-arch-api-response-message"
_RAW: Final = "x-arch-fc-model-response"
_OLD: Final = ("A", "B")  # eras that tell calls as such, and nothing but the state
_OBJECTS: Final = ("A", "B", "C")  # eras whose calls have arguments that are an object
_MOST: Final = 64  # messages of one state
_LONGEST: Final = 4 * 1024 * 1024  # characters
_KEPT: Final = ("role", "content", "model", "tool_call_id")
_FENCED: Final = re.compile(r"\s*```json\s*(\{.*?\})\s*```\s*", re.DOTALL)


def marker(era: Era) -> str:
    """What the gateway calls itself where it calls or asks."""
    return "Arch-Function-1.5B" if era in _OLD else "Arch-Function"


def speaker(era: Era) -> str:
    """… and where it talks."""
    return "Arch-Function-1.5B" if era in _OLD else "Arch-Function-Chat"


def text(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def call_message(called: Called, era: Era, call_id: str) -> dict[str, Any]:
    """The assistant's message with the call, as its era tells it."""
    message: dict[str, Any] = {"role": "assistant", "model": marker(era)}
    if era not in _OLD and called.raw:
        return message | {"content": called.raw}
    arguments = called.arguments if era in _OBJECTS else text(called.arguments)
    function = {"name": called.target, "arguments": arguments}
    return message | {"tool_calls": [{"id": call_id, "type": "function", "function": function}]}


def response_message(called: Called, call_id: str) -> dict[str, Any]:
    """The message with what the API said."""
    return {"role": "tool", "content": called.body, "tool_call_id": call_id}


def metadata_of(called: Called, era: Era, call_id: str) -> dict[str, str]:
    """What the reply's metadata tells of a call."""
    messages = [call_message(called, era, call_id), response_message(called, call_id)]
    told = {STATE: text({"messages": text(messages)})}
    if era not in _OLD:
        told |= {_TOOL_CALL: text(messages[0]), _API_RESPONSE: text(messages[1])}
        if called.raw:
            told[_RAW] = text(called.raw)
    return told


# ------------------------------------------------------------------ taken back


def taken_back(given: Any) -> list[dict[str, Any]]:
    """The messages of a state that a client brings along; none where it makes no sense."""
    state = _decoded(given)
    messages = _decoded(state.get("messages")) if isinstance(state, dict) else state
    if not isinstance(messages, list) or len(messages) > _MOST:
        return []
    found = [_message(one) for one in messages]
    return [one for one in found if one is not None] if None not in found else []


def spliced(messages: Sequence[dict[str, Any]], more: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The conversation with `more` in front of the user's last turn, but for what it holds already."""
    if not more:
        return list(messages)
    known = {_identity(one) for one in messages}
    new = [one for one in more if _identity(one) not in known]
    at = last_of_user(messages)
    return [*messages[:at], *new, *messages[at:]] if at is not None else list(messages)


def last_of_user(messages: Sequence[Mapping[str, Any]]) -> int | None:
    return next((at for at in range(len(messages) - 1, -1, -1) if messages[at].get("role") == "user"), None)


def plain(message: dict[str, Any]) -> dict[str, Any]:
    """A message with its calls as today's API writes them: arguments as text, and no call hidden in the content."""
    if message.get("role") != "assistant":
        return message
    calls, content = message.get("tool_calls"), message.get("content")
    if isinstance(calls, list):
        return {**message, "tool_calls": [_call(one) for one in calls]}
    found = _FENCED.match(content) if isinstance(content, str) else None
    if found is None:
        return message
    told = _decoded(found[1])
    if not isinstance(told, dict):
        return message
    made = told.get("tool_calls")
    rest = content[found.end() :] if isinstance(content, str) else ""
    if isinstance(made, list) and made and not rest and all(map(_is_named, made)):
        made_calls = [{"id": f"call_{at}", "type": "function", "function": one} for at, one in enumerate(made)]
        return {**message, "content": None, "tool_calls": [_call(one) for one in made_calls]}
    # a question that a stream told with the model's own words before it
    return {**message, "content": rest} if "required_functions" in told and rest else message


def asks(message: Mapping[str, Any]) -> bool:
    """Whether a message is the gateway's question for parameters."""
    if message.get("role") != "assistant" or message.get("tool_calls"):
        return False
    content, model = message.get("content"), message.get("model")
    ours = isinstance(model, str) and "Arch" in model
    return ours or (isinstance(content, str) and content.startswith(OPENING))


def target_of(messages: Sequence[Mapping[str, Any]]) -> str | None:
    """The target that was called last."""
    for message in reversed(messages):
        calls = message.get("tool_calls")
        if isinstance(calls, list) and calls and isinstance(calls[0], dict):
            function = calls[0].get("function")
            name = function.get("name") if isinstance(function, dict) else None
            return name if isinstance(name, str) else None
    return None


def _message(given: Any) -> dict[str, Any] | None:
    if not isinstance(given, dict) or given.get("role") not in ("assistant", "tool"):
        return None
    kept = {name: given[name] for name in _KEPT if isinstance(given.get(name), str)}
    calls = given.get("tool_calls")
    if calls is not None:
        if not isinstance(calls, list) or not all(map(_is_call, calls)):
            return None
        return plain({**kept, "tool_calls": calls})
    return plain(kept) if "content" in kept else None


def _is_call(given: Any) -> bool:
    return isinstance(given, dict) and _is_named(given.get("function"))


def _is_named(given: Any) -> bool:
    return isinstance(given, dict) and isinstance(given.get("name"), str) and bool(given["name"])


def _call(given: Any) -> Any:
    """A call whose arguments are text."""
    function = given.get("function") if isinstance(given, dict) else None
    if not isinstance(function, dict) or not isinstance(function.get("arguments"), dict | list):
        return given
    return {**given, "function": {**function, "arguments": text(function["arguments"])}}


def _identity(message: Mapping[str, Any]) -> str:
    """The same for the same message, whoever wrote it down."""
    return text([message.get(name) for name in ("role", "content", "tool_calls", "tool_call_id")])


def _decoded(given: Any) -> Any:
    """JSON in a text, or what is there without."""
    if not isinstance(given, str):
        return given
    if len(given) > _LONGEST:
        return None
    try:
        return msgspec.json.decode(given)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
