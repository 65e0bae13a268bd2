"""A request of the prompt listener: the chat API's, with the gateway's own marks and state in it."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Struct

from promptd.core.content import Turn
from promptd.core.errors import InvalidRequest
from promptd.dialects import chat
from promptd.dialects.arch.config import Era
from promptd.faces.arch import state

_LISTS: Final = ("D", "E")  # eras whose messages may have parts
_MOST_CALLS: Final = 256


class Read(Struct, frozen=True, kw_only=True):
    """A request as it was understood. `at`: the place of the user's last turn, None where there is none."""

    data: bytes  #: as it came
    body: dict[str, Any]  #: the same, with `messages` in today's form and the state among them
    turns: tuple[Turn, ...]
    at: int | None
    stream: bool
    in_dialogue: bool
    before: str | None  #: the target that was called last
    metadata: dict[str, str]

    @property
    def messages(self) -> list[dict[str, Any]]:
        return self.body["messages"]  # type: ignore[no-any-return]  # it was decoded


def read(data: bytes, era: Era) -> Read:
    """Raises `InvalidRequest`."""
    try:
        body = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"the body is not JSON: {error}"[:300], expected="a JSON object") from None
    if not isinstance(body, dict):
        raise InvalidRequest("the body: expected an object", expected="an object")
    if body.get("model", "") is None:
        del body["model"]
    given = body.get("messages")
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise InvalidRequest(field="messages", expected="a list of objects")
    metadata = body.get("metadata")
    told = metadata.pop(state.STATE, None) if isinstance(metadata, dict) else None
    messages = [state.plain(_known(one, place, era)) for place, one in enumerate(given)]
    body["messages"] = state.spliced(messages, state.taken_back(told))
    asked = chat.decode_request(msgspec.json.encode(body))
    messages, at = body["messages"], state.last_of_user(body["messages"])
    earlier = messages[:at] if at is not None else messages
    return Read(
        data=data,
        body=body,
        turns=asked.request.messages,
        at=at,
        stream=asked.stream,
        in_dialogue=bool(earlier) and state.asks(earlier[-1]),
        before=state.target_of(earlier),
        metadata=asked.request.metadata,
    )


def final_body(asked: Read, system_prompt: str | None, context: str) -> bytes:
    """The request that a model gets (contracts/arch.md §3.5)."""
    messages: list[dict[str, Any]] = []
    if system_prompt:
        messages.append({"role": "system", "content": system_prompt})
    for place, message in enumerate(asked.messages):
        if place == asked.at:
            messages.append(_without_mark({**message, "content": _with_context(message.get("content"), context)}))
        elif message.get("role") != "tool" and message.get("content") is not None and not message.get("tool_calls"):
            messages.append(_without_mark(message))
    left_out = ("messages", "tools", "tool_choice", "parallel_tool_calls", "metadata")
    rest = {name: value for name, value in asked.body.items() if name not in left_out}
    return msgspec.json.encode({"messages": messages, **rest})


def _known(message: dict[str, Any], place: int, era: Era) -> dict[str, Any]:
    if era not in _LISTS and isinstance(message.get("content"), list):
        raise InvalidRequest(field=f"messages[{place}].content", expected="a string")
    calls = message.get("tool_calls")
    if isinstance(calls, list) and len(calls) > _MOST_CALLS:
        raise InvalidRequest(field=f"messages[{place}].tool_calls", expected=f"at most {_MOST_CALLS} calls")
    return message


def _with_context(content: Any, context: str) -> Any:
    """The user's text and, behind it, the context. They are parts of their own where the text has parts."""
    if not context:
        return content
    if isinstance(content, list):
        return [*content, {"type": "text", "text": context}]
    return f"{content}{context}"


def _without_mark(message: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in message.items() if name != "model"}


def says_something(asked: Read) -> bool:
    """Whether the user's last turn has any content."""
    return asked.at is not None and bool(asked.messages[asked.at].get("content"))
