"""A client's request to the Responses API as the house understands it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from promptd.core.content import Image, Turn
from promptd.core.errors import InvalidRequest
from promptd.core.model import Capability, Request
from promptd.core.parameters import Parameters
from promptd.dialects import fields
from promptd.dialects.asked import Asked
from promptd.dialects.responses.items import decode_items
from promptd.dialects.responses.tools import decode_tool_choice, decode_tools

_decode: Final = msgspec.json.Decoder().decode
_LOGPROBS: Final = "message.output_text.logprobs"
_REFERENCE: Final = "item_reference"
_MOST_LABELS: Final = 16
#: what the response shows again as it was given
_SHOWN: Final = (
    "max_tool_calls",
    "prompt_cache_key",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
    "truncation",
)
_COUNTS: Final = frozenset({"max_tool_calls"})


class Wish(Struct, frozen=True):
    """What a client wants of the server rather than of a model."""

    background: bool = False
    previous: str | None = None  #: id of the response whose conversation goes on


def decode_request(body: bytes, *, items: Mapping[str, dict[str, Any]] | None = None) -> Asked:
    """What a client asks of `POST /v1/responses`. `items` are those that its references name.

    `request.echo` holds what the response shows again, and `wish_of` reads it; it tells whether the first turn is the
    `instructions`. Members that we don't know go to `parameters.extra`, those of a part to its `extra`. Raises
    `InvalidRequest` that names the member.
    """
    wire = _object(body)
    model, stream = fields.text(wire, "model"), fields.flag(wire, "stream") or False
    fields.mapping(wire, "stream_options")  # they only say that a stream is padded
    if wire.pop("conversation", None) is not None:
        raise InvalidRequest("conversation: not kept here; use previous_response_id", field="conversation")
    keep = fields.flag(wire, "store")
    instructions = fields.text(wire, "instructions")
    echo: dict[str, Any] = {"object": "response"}
    if instructions is not None:
        echo["instructions"] = True
    if fields.flag(wire, "background"):
        echo["background"] = True
    if (previous := fields.text(wire, "previous_response_id")) is not None:
        echo["previous_response_id"] = previous
    turns = _input(wire.pop("input", None), items or {}, needed=previous is None and "prompt" not in wire)
    if instructions is not None:
        turns = (Turn("system", instructions), *turns)
    labels = _labels(wire)
    parameters = _parameters(wire, echo)
    seen = any(isinstance(part, Image) for turn in turns for part in turn.parts)
    return Asked(
        request=Request(messages=turns, parameters=parameters, metadata=labels, echo=echo),
        model=model,
        stream=stream,
        usage=True,
        keep=keep,
        capability=Capability.VISION if seen else Capability.CHAT,
    )


def wish_of(request: Request) -> Wish:
    return Wish(bool(request.echo.get("background")), request.echo.get("previous_response_id"))


def references(body: bytes) -> tuple[str, ...]:
    """Ids of the items that the request names instead of giving them. Raises `InvalidRequest`."""
    if _REFERENCE.encode() not in body:
        return ()
    given = _object(body).get("input")
    items = [item for item in given if isinstance(item, dict)] if isinstance(given, list) else []
    return tuple([item["id"] for item in items if item.get("type") == _REFERENCE and type(item.get("id")) is str])


def _object(body: bytes) -> dict[str, Any]:
    try:
        wire = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidRequest(f"the body is not valid JSON: {error}", field="", expected="a JSON object") from None
    if type(wire) is not dict:
        raise InvalidRequest("the body is not a JSON object", field="", expected="a JSON object")
    return wire


def _input(given: Any, items: Mapping[str, dict[str, Any]], *, needed: bool) -> tuple[Turn, ...]:
    if needed and not given and type(given) in (str, list):
        raise InvalidRequest(field="input", expected="something to answer")
    if type(given) is str:
        return (Turn("user", given),)
    if given is None and not needed:
        return ()
    if type(given) is not list:
        raise InvalidRequest(field="input", expected="a string or a list of items")
    return decode_items(
        [
            items.get(str(item.get("id")), item) if type(item) is dict and item.get("type") == _REFERENCE else item
            for item in given
        ]
    )


def _labels(wire: dict[str, Any]) -> dict[str, str]:
    labels = fields.mapping(wire, "metadata") or {}
    if len(labels) > _MOST_LABELS:
        raise InvalidRequest(field="metadata", expected=f"at most {_MOST_LABELS} names")
    for name, value in labels.items():
        if type(value) is not str:
            raise InvalidRequest(field=f"metadata.{name[:64]}", expected="a string")
    return labels


def _parameters(wire: dict[str, Any], echo: dict[str, Any]) -> Parameters:
    tools, foreign = decode_tools(wire)
    choice, chosen = decode_tool_choice(wire, tools)
    form = _form(wire)
    reasoning = fields.mapping(wire, "reasoning") or {}
    effort = fields.text(reasoning, "effort", "reasoning.")
    include = fields.texts(wire, "include")
    most = fields.count(wire, "top_logprobs") or None  # 0 is no wish for any
    user = fields.text(wire, "user")
    given = dict(wire)
    shown = {name: (fields.count if name in _COUNTS else fields.text)(given, name) for name in _SHOWN}
    echo |= {name: value for name, value in {**shown, "user": user}.items() if value is not None}
    if user is None and shown["safety_identifier"] is not None:
        user = wire.pop("safety_identifier")
    extra: dict[str, Any] = {
        "include": list(include) or None,
        "tool_choice": chosen,
        "reasoning": fields.rest(reasoning) or None,
        "text": form.rest or None,
        "verbosity": form.verbosity,
        **wire,
    }
    return Parameters(
        temperature=fields.number(wire, "temperature"),
        top_p=fields.number(wire, "top_p"),
        max_tokens=fields.count(wire, "max_output_tokens"),
        json_schema=form.schema,
        tools=tools,
        tool_choice=choice,
        extra={name: value for name, value in extra.items() if value is not None and name not in _PLACED},
        parallel_tool_calls=fields.flag(wire, "parallel_tool_calls"),
        foreign_tools=foreign,
        json_object=form.any_object,
        schema_name=form.name,
        schema_strict=form.strict,
        effort=effort,
        logprobs=True if most is not None or _LOGPROBS in include else None,
        top_logprobs=most,
        user=user,
    )


_PLACED: Final = frozenset({"temperature", "top_p", "max_output_tokens", "parallel_tool_calls"})


class _Form(Struct):
    """What `text` asks for."""

    schema: dict[str, Any] | None = None
    name: str | None = None
    strict: bool | None = None
    any_object: bool = False
    verbosity: str | None = None
    rest: dict[str, Any] = {}


def _form(wire: dict[str, Any]) -> _Form:
    text = fields.mapping(wire, "text") or {}
    found = _Form(verbosity=fields.text(text, "verbosity", "text."))
    form = fields.mapping(text, "format", "text.") or {}
    kind = fields.text(form, "type", "text.format.")
    match kind:
        case None | "text":
            pass
        case "json_object":
            found.any_object = True
        case "json_schema":
            found.name = fields.needed_text(form, "name", "text.format.")
            found.schema = fields.mapping(form, "schema", "text.format.")
            if found.schema is None:
                raise InvalidRequest(field="text.format.schema", expected="a JSON Schema")
            found.strict = fields.flag(form, "strict", "text.format.")
        case _:
            form["type"] = kind
    left = fields.rest(form)
    found.rest = fields.rest(text) | ({"format": left} if left else {})
    return found
