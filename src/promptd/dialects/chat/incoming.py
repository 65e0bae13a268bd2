"""A client's chat request as the house understands it."""

from __future__ import annotations

from operator import attrgetter
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import astuple, replace

from promptd.core.content import Part, Refusal, Role, Text, Thinking, ToolCall, Turn
from promptd.core.errors import InvalidRequest
from promptd.core.model import Request
from promptd.core.parameters import Parameters
from promptd.dialects.asked import Asked
from promptd.dialects.chat import wrong
from promptd.dialects.chat.parts import decode_parts
from promptd.dialects.chat.proofs import decode_details
from promptd.dialects.chat.tools import Offer, decode_tools

_Count = Annotated[int, Meta(ge=0, le=2**53)]
_Seed = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]

# The usual request is decoded once, into structs that refuse members they do not know. Only where there are some is it
# decoded again, by their `Any…` twins, and once more untyped to see what these members are.


class _Function(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    name: str = ""
    arguments: str | None = None


class _Custom(Struct, frozen=True, gc=False, forbid_unknown_fields=True):
    name: str = ""
    input: str | None = None


class _Call(Struct, frozen=True, forbid_unknown_fields=True):
    id: str | None = None
    type: str | None = None
    function: _Function | None = None
    custom: _Custom | None = None
    index: int | None = None


class _Message(Struct, frozen=True, forbid_unknown_fields=True):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    tool_calls: list[_Call] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None
    reasoning_details: Any = None
    function_call: _Function | None = None
    audio: Any = None
    annotations: Any = None


class _StreamOptions(Struct, frozen=True, gc=False):
    include_usage: bool | None = None


class _Body(Struct, frozen=True, forbid_unknown_fields=True):
    messages: list[_Message]
    model: str | None = None
    stream: bool | None = None
    store: bool | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: _Count | None = None
    max_completion_tokens: _Count | None = None
    seed: _Seed | None = None
    stop: str | list[str] | None = None
    stream_options: _StreamOptions | None = None
    metadata: dict[str, str] | None = None
    # what few requests have
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    response_format: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    functions: list[dict[str, Any]] | None = None
    function_call: str | dict[str, Any] | None = None
    top_k: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    reasoning_effort: str | None = None
    reasoning: dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: _Count | None = None
    user: str | None = None
    safety_identifier: str | None = None
    # without a place in the house
    audio: Any = None
    logit_bias: Any = None
    modalities: Any = None
    moderation: Any = None
    prediction: Any = None
    prompt_cache_key: Any = None
    prompt_cache_options: Any = None
    prompt_cache_retention: Any = None
    service_tier: Any = None
    verbosity: Any = None
    web_search_options: Any = None


class _AnyFunction(_Function, frozen=True, gc=False, forbid_unknown_fields=False):
    pass


class _AnyCustom(_Custom, frozen=True, gc=False, forbid_unknown_fields=False):
    pass


class _AnyCall(_Call, frozen=True, forbid_unknown_fields=False):
    function: _AnyFunction | None = None
    custom: _AnyCustom | None = None


class _AnyMessage(_Message, frozen=True, forbid_unknown_fields=False):
    tool_calls: list[_AnyCall] | None = None  # type: ignore[assignment]
    function_call: _AnyFunction | None = None


class _AnyBody(_Body, frozen=True, forbid_unknown_fields=False):
    messages: list[_AnyMessage]  # type: ignore[assignment]


_known = msgspec.json.Decoder(_Body)
_any = msgspec.json.Decoder(_AnyBody)
_untyped = msgspec.json.Decoder(dict[str, Any])
_UNKNOWN: Final = "Object contains unknown field"
_BODY: Final = frozenset(_Body.__struct_fields__)
_MESSAGE: Final = frozenset(_Message.__struct_fields__)
_CALL: Final = frozenset(_Call.__struct_fields__)
_FIRST_OF_REST: Final = _Body.__struct_fields__.index("audio")
_REST: Final = _Body.__struct_fields__[_FIRST_OF_REST:]
_rest_of = attrgetter(*_REST)
#: how many members most requests have no others than, and how many of these hold nothing in themselves
_USUAL: Final = _Body.__struct_fields__.index("n")
_FLAT: Final = _Body.__struct_fields__.index("stop")
_NOTHING_NESTED: Final = (None,) * (_USUAL - _FLAT)
_BACKSLASH: Final = 92
#: how an escaped colon begins
_COLON: Final = b"\\u003"
_ROLES: Final[dict[str, Role]] = {"function": "tool"}

#: what `Request.echo` holds where the client knows functions, and no tools yet
FUNCTIONS: Final = "functions"


def decode_request(body: bytes, *, unchecked: bool = False) -> Asked:
    """`unchecked` as in `Request`. Raises `InvalidRequest` that names the field."""
    unknown: dict[str, Any] | None = None
    try:
        asked: _Body = _known.decode(body)
    except msgspec.ValidationError as error:
        if not str(error).startswith(_UNKNOWN):
            raise wrong.invalid(error) from None
        asked = wrong.decode(_any, body)
        unknown = wrong.decode(_untyped, body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise wrong.not_json(error) from None
    if not asked.messages:
        raise InvalidRequest(field="messages", expected="at least one message")
    values = astuple(asked)
    usual = values[:_USUAL]
    given = _USUAL - usual.count(None)
    if unknown is None and usual[_FLAT:] == _NOTHING_NESTED:
        said = _only_said(asked, given, body)
        if said is not None:
            return Asked(
                request=Request(said, _plain(asked), unchecked=unchecked),
                model=asked.model or None,
                stream=asked.stream is True,
                keep=asked.store,
                once=True,
                plain=True,
            )
    messages = [_turn(message, place) for place, message in enumerate(asked.messages)]
    if unknown is not None:
        messages = [_with_rest(turn, message) for turn, message in zip(messages, unknown["messages"], strict=True)]
    if unknown is None and values.count(None) == len(values) - given:
        parameters, echo = _plain(asked), {}
    else:
        parameters = _parameters(asked, unknown)
        echo = {FUNCTIONS: True} if asked.functions is not None and asked.tools is None else {}
    options = asked.stream_options
    return Asked(
        request=Request(tuple(messages), parameters, (), asked.metadata or {}, (), echo, unchecked),
        model=asked.model or None,
        stream=asked.stream is True,
        usage=options is not None and options.include_usage is True,
        keep=asked.store,
    )


def _only_said(asked: _Body, given: int, body: bytes) -> tuple[Turn, ...] | None:
    """The turns of a request that has nothing but messages of a role and one text each and so many of the usual members,
    none of them twice: quickly told of such a one, None for any that would take longer.

    A name has a colon behind it. Where there are no more of them than behind these names and in texts, there is no other
    name. An escaped colon could make up for one.
    """
    if _BACKSLASH in body and body.find(_COLON) >= 0:  # a byte is searched by its number at a tenth of the price
        return None
    turns = []
    for message in asked.messages:
        content, role = message.content, message.role
        if type(content) is not str or role == "tool" or role == "function":
            return None
        turns.append(Turn(role, content))
    # each message has its role and its text; `count` costs more
    left = len(body) - len(body.replace(b":", b"")) - given - 2 * len(turns)
    if left:
        left -= sum([turn.content.count(":") for turn in turns]) + (asked.model or "").count(":")
    return None if left else tuple(turns)


# ------------------------------------------------------------------ parameters


def _plain(asked: _Body) -> Parameters:
    """Of a request with what most of them have."""
    stop, most = asked.stop, asked.max_completion_tokens
    return Parameters(
        asked.temperature,
        asked.top_p,
        asked.max_tokens if most is None else most,
        () if stop is None else (stop,) if isinstance(stop, str) else tuple(stop),
        asked.seed,
    )


def _parameters(asked: _Body, unknown: dict[str, Any] | None) -> Parameters:
    extra = {name: value for name, value in zip(_REST, _rest_of(asked), strict=True) if value is not None}
    if unknown is not None:
        extra |= {name: value for name, value in unknown.items() if name not in _BODY and value is not None}
    changes: dict[str, Any] = {
        "top_k": asked.top_k,
        "presence_penalty": asked.presence_penalty,
        "frequency_penalty": asked.frequency_penalty,
        "parallel_tool_calls": asked.parallel_tool_calls,
        "effort": asked.reasoning_effort,
        "logprobs": asked.logprobs,
        "top_logprobs": asked.top_logprobs,
        "user": asked.user,
    }
    if asked.n is not None and asked.n != 1:
        changes["n"] = asked.n
    if asked.safety_identifier is not None:
        if asked.user is None:
            changes["user"] = asked.safety_identifier
        else:
            extra["safety_identifier"] = asked.safety_identifier
    if asked.response_format is not None:
        changes |= _format(asked.response_format, extra)
    if asked.reasoning is not None:
        changes |= _reasoning(asked.reasoning, extra)
    offer = decode_tools(asked.tools, asked.tool_choice, asked.functions, asked.function_call)
    if offer != Offer():
        changes |= {"tools": offer.tools, "foreign_tools": offer.foreign, "tool_choice": offer.choice}
    return replace(_plain(asked), extra=extra, **changes)


def _format(form: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    kind = form.get("type")
    if kind == "text":
        return {}
    if kind == "json_object" and "schema" not in form:
        return {"json_object": True}
    if kind not in ("json_object", "json_schema"):
        if not isinstance(kind, str):
            raise InvalidRequest(field="response_format.type", expected="text, json_object or json_schema")
        extra["response_format"] = form  # a kind that only some services know
        return {}
    where = "response_format" if "schema" in form else "response_format.json_schema"
    given = form if "schema" in form else form.get("json_schema")
    if not isinstance(given, dict):
        raise InvalidRequest(field=where, expected="an object")
    schema, name, strict = given.get("schema", {}), given.get("name"), given.get("strict")
    if not isinstance(schema, dict):
        raise InvalidRequest(field=f"{where}.schema", expected="a JSON Schema")
    if name is not None and not isinstance(name, str):
        raise InvalidRequest(field=f"{where}.name", expected="a string")
    if strict is not None and not isinstance(strict, bool):
        raise InvalidRequest(field=f"{where}.strict", expected="true or false")
    if isinstance(given.get("description"), str):
        extra["response_format"] = form
    return {"json_schema": schema, "schema_name": name, "schema_strict": strict is True}


def _reasoning(reasoning: dict[str, Any], extra: dict[str, Any]) -> dict[str, Any]:
    """OpenRouter's form of the wish to think."""
    effort, most = reasoning.get("effort"), reasoning.get("max_tokens")
    if effort is not None and not isinstance(effort, str):
        raise InvalidRequest(field="reasoning.effort", expected="a string")
    if most is not None and (not isinstance(most, int) or isinstance(most, bool) or most < 0):
        raise InvalidRequest(field="reasoning.max_tokens", expected="a whole number that is not negative")
    if reasoning.keys() - {"effort", "max_tokens"}:
        extra["reasoning"] = reasoning
    changes: dict[str, Any] = {}
    if effort is not None:
        changes["effort"] = effort
    if most is not None:
        changes["thinking_tokens"] = most
    return changes


# ------------------------------------------------------------------ messages


def _turn(message: _Message, place: int) -> Turn:
    content, role = message.content, message.role
    if role == "user" or role == "system":
        if isinstance(content, str):
            return Turn(role, content, message.name)
        return _turn_of(role, "", decode_parts(content or [], f"messages[{place}].content"), message.name)
    text, parts = (
        (content, ()) if isinstance(content, str) else ("", decode_parts(content or [], f"messages[{place}].content"))
    )
    if role != "assistant":
        tool_call_id = message.tool_call_id
        if role == "function":  # answers the call of the message before it, and such calls have no ids
            tool_call_id = legacy_id(place - 1)
        return _turn_of(_ROLES.get(role, role), text, parts, message.name, tool_call_id=tool_call_id)  # type: ignore[arg-type]
    thought = message.reasoning_content or message.reasoning or ""
    thoughts: tuple[Thinking, ...] = (Thinking(thought),) if thought else ()
    if message.reasoning_details:
        thoughts = decode_details(message.reasoning_details, thought)
    if thoughts or message.refusal:
        said: tuple[Part, ...] = parts or ((Text(text),) if text else ())
        parts = (
            *thoughts,
            *said,
            *((Refusal(message.refusal),) if message.refusal else ()),
        )
        text = ""
    extra = {name: value for name, value in (("audio", message.audio), ("annotations", message.annotations)) if value}
    return _turn_of(role, text, parts, message.name, tool_calls=_calls(message, place), extra=extra)


def _turn_of(role: Role, text: str, parts: tuple[Part, ...], name: str | None, **fields: Any) -> Turn:
    if len(parts) == 1 and isinstance(parts[0], Text) and not parts[0].extra:
        return Turn(role, parts[0].text, name, **fields)
    return Turn(role, text, name, parts=parts, **fields)


def _calls(message: _Message, place: int) -> tuple[ToolCall, ...]:
    if message.function_call is not None and not message.tool_calls:
        called = message.function_call
        return (ToolCall(0, legacy_id(place), called.name, called.arguments or ""),)
    calls: list[ToolCall] = []
    for index, call in enumerate(message.tool_calls or ()):
        where = f"messages[{place}].tool_calls[{index}]"
        if call.custom is not None:
            made = ToolCall(index, call.id or "", call.custom.name, call.custom.input or "", custom=True)
        elif call.function is not None:
            made = ToolCall(index, call.id or "", call.function.name, call.function.arguments or "")
        else:
            raise InvalidRequest(field=f"{where}.function", expected="an object")
        if not made.name:
            raise InvalidRequest(field=f"{where}.{'custom' if made.custom else 'function'}.name", expected="a name")
        calls.append(made)
    return tuple(calls)


def legacy_id(place: int) -> str:
    """The id that a function's call without one gets: after the place of its message."""
    return f"call_{max(0, place)}"


def _with_rest(turn: Turn, message: dict[str, Any]) -> Turn:
    """The turn with the members of its message, and of its calls, that nobody here knows."""
    rest = {name: value for name, value in message.items() if name not in _MESSAGE and value is not None}
    calls = turn.tool_calls
    told = message.get("tool_calls")
    if calls and told:
        rests = [{key: value for key, value in call.items() if key not in _CALL and value is not None} for call in told]
        if any(rests):
            calls = tuple([replace(call, extra=more) for call, more in zip(calls, rests, strict=True)])
    if not rest and calls is turn.tool_calls:
        return turn
    return replace(turn, tool_calls=calls, extra=turn.extra | rest)
