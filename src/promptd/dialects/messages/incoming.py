"""A client's request to the Messages API as the house understands it."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from promptd.core.content import Image, Part, Text, ToolCall, Turn
from promptd.core.errors import InvalidRequest
from promptd.core.model import Capability, Request
from promptd.core.parameters import Parameters
from promptd.dialects import fields
from promptd.dialects.asked import Asked
from promptd.dialects.messages.blocks import decode_part, decode_parts
from promptd.dialects.messages.thinking import Wish, decode_thinking
from promptd.dialects.messages.tools import Offer, decode_tools

_ROLES: Final = ("user", "assistant", "system")
_THINKING: Final = frozenset({"thinking", "output_config", "output_format"})
_NO_OFFER: Final = Offer()
_NO_WISH: Final = Wish()
_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode


def decode_request(body: bytes, *, counting: bool = False) -> Asked:
    """What a client asks of `POST /v1/messages`, or of `…/count_tokens` where `counting` is set.

    Results of tools become turns of their own, before whatever else their message says. Members that we do not know go
    to `parameters.extra`, those of a block to its part's `extra`. Raises `InvalidRequest` that names the member.
    """
    try:
        wire = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest("the body is not valid JSON", field="", expected="a JSON object") from error
    if type(wire) is not dict:
        raise InvalidRequest("the body is not a JSON object", field="", expected="a JSON object")
    model = fields.needed_text(wire, "model")
    max_tokens = fields.count(wire, "max_tokens")
    if max_tokens is None and not counting:
        raise InvalidRequest(field="max_tokens", expected="a whole number")
    stream = fields.flag(wire, "stream") or False
    turns = _system(wire.pop("system", None), "system")
    turns += _messages(fields.objects(wire, "messages"))
    offer = decode_tools(wire) if "tools" in wire or "tool_choice" in wire else _NO_OFFER
    wish = decode_thinking(wire) if not _THINKING.isdisjoint(wire) else _NO_WISH
    metadata = fields.mapping(wire, "metadata")
    user = fields.text(metadata, "user_id", "metadata.") if metadata else None
    parameters = Parameters(
        temperature=fields.number(wire, "temperature"),
        top_p=fields.number(wire, "top_p"),
        top_k=fields.count(wire, "top_k"),
        max_tokens=max_tokens,
        stop=fields.texts(wire, "stop_sequences"),
        json_schema=wish.schema,
        tools=offer.tools,
        foreign_tools=offer.foreign,
        tool_choice=offer.choice,
        parallel_tool_calls=offer.parallel,
        effort=wish.effort,
        thinking_tokens=wish.tokens,
        user=user,
        extra=wish.extra | {name: value for name, value in wire.items() if value is not None} if wire else wish.extra,
    )
    labels = {name: value for name, value in metadata.items() if type(value) is str} if metadata else {}
    capability = Capability.CHAT
    for turn in turns:
        if turn.parts and any(isinstance(part, Image) for part in turn.parts):
            capability = Capability.VISION
            break
    return Asked(
        # what the vendor's clients do with an answer that has not the promised form is their own business
        request=Request(tuple(turns), parameters, metadata=labels, unchecked=True),
        model=model,
        stream=stream,
        usage=True,
        capability=capability,
    )


def _messages(messages: list[dict[str, Any]]) -> list[Turn]:
    if not messages:
        raise InvalidRequest(field="messages", expected="at least one message")
    turns: list[Turn] = []
    for place, message in enumerate(messages):
        where = f"messages[{place}]."
        role = message.pop("role", None)
        content = message.pop("content", None)
        if role not in _ROLES:
            raise InvalidRequest(field=where + "role", expected="user, assistant or system")
        if type(content) is str:
            turns.append(Turn(role, content, extra=message) if message else Turn(role, content))
            continue
        where += "content"
        if type(content) is not list:
            raise InvalidRequest(field=where, expected="a string or a list of content blocks")
        if role == "system":
            turns += _system(content, where)
        elif role == "user":
            turns += _user(content, message, where)
        else:
            turns += _assistant(content, message, where)
    return turns


def _turn(role: Any, parts: tuple[Part, ...], extra: dict[str, Any]) -> Turn:
    if len(parts) == 1 and type(parts[0]) is Text and not parts[0].extra:
        return Turn(role, parts[0].text, extra=extra)
    return Turn(role, parts=parts, extra=extra)


def _system(system: Any, where: str) -> list[Turn]:
    if system is None:
        return []
    if type(system) is str:
        return [Turn("system", system)] if system else []
    if type(system) is not list:
        raise InvalidRequest(field=where, expected="a string or a list of text blocks")
    parts = decode_parts([_block(item, where, place) for place, item in enumerate(system)], where)
    return [_turn("system", parts, {})] if parts else []


def _block(item: Any, where: str, place: int) -> dict[str, Any]:
    if type(item) is dict:
        return item
    raise InvalidRequest(field=f"{where}[{place}]", expected="a content block")


def _user(content: list[Any], extra: dict[str, Any], where: str) -> list[Turn]:
    results: list[Turn] = []
    parts: list[Part] = []
    for place, item in enumerate(content):
        block, inside = _block(item, where, place), f"{where}[{place}]."
        if block.get("type") == "tool_result":
            results.append(_result(block, inside))
        else:
            parts.append(decode_part(block, inside))
    if parts or not results:
        results.append(_turn("user", tuple(parts), extra))
    return results


def _result(block: dict[str, Any], where: str) -> Turn:
    del block["type"]
    call = fields.needed_text(block, "tool_use_id", where)
    failed = fields.flag(block, "is_error", where) or False
    content = block.pop("content", None)
    extra = {name: value for name, value in block.items() if value is not None}
    if content is None or type(content) is str:
        return Turn("tool", content or "", tool_call_id=call, failed=failed, extra=extra)
    if type(content) is not list:
        raise InvalidRequest(field=where + "content", expected="a string or a list of content blocks")
    where += "content"
    parts = decode_parts([_block(item, where, place) for place, item in enumerate(content)], where)
    if len(parts) == 1 and type(parts[0]) is Text and not parts[0].extra:
        return Turn("tool", parts[0].text, tool_call_id=call, failed=failed, extra=extra)
    return Turn("tool", tool_call_id=call, parts=parts, failed=failed, extra=extra)


def _assistant(content: list[Any], extra: dict[str, Any], where: str) -> list[Turn]:
    """A model that speaks again after it has called takes another turn."""
    turns: list[Turn] = []
    parts: list[Part] = []
    calls: list[ToolCall] = []

    def end() -> None:
        text = len(parts) == 1 and type(parts[0]) is Text and not parts[0].extra
        turns.append(
            Turn(
                "assistant",
                parts[0].text if text and isinstance(parts[0], Text) else "",
                tool_calls=tuple(calls),
                parts=() if text else tuple(parts),
                extra={} if turns else extra,
            )
        )
        parts.clear()
        calls.clear()

    for place, item in enumerate(content):
        block, inside = _block(item, where, place), f"{where}[{place}]."
        if block.get("type") == "tool_use":
            calls.append(_call(block, len(calls), inside))
            continue
        if calls:
            end()
        parts.append(decode_part(block, inside))
    end()
    return turns


def _call(block: dict[str, Any], index: int, where: str) -> ToolCall:
    del block["type"]
    identifier = fields.needed_text(block, "id", where)
    name = fields.needed_text(block, "name", where)
    arguments = fields.mapping(block, "input", where)
    if arguments is None:
        raise InvalidRequest(field=where + "input", expected="an object")
    extra = {key: value for key, value in block.items() if value is not None}
    return ToolCall(index, identifier, name, _encode(arguments).decode(), extra=extra)
