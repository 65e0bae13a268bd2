"""A call as a request to a service that speaks the Converse API."""

from __future__ import annotations

import re
from typing import Any, Final
from zlib import crc32

import msgspec

from promptd.core.content import INSTRUCTIONS, Part, Refusal, Sound, Text, Thinking, ToolCall, Turn
from promptd.core.engine import Call
from promptd.core.errors import InvalidInput, UnsupportedInput
from promptd.core.parameters import Parameters
from promptd.dialects.converse.blocks import Block, Names, cache_point, encode_blob, encode_part
from promptd.dialects.converse.manners import Manners
from promptd.dialects.converse.tools import encode_tools
from promptd.dialects.converse.wishes import encode_wishes
from promptd.dialects.messages import schemas
from promptd.dialects.messages.outgoing import REQUESTS_ELSEWHERE, arguments_of
from promptd.dialects.messages.thinking import is_theirs

_EVERY_MODEL: Final = Manners()
_encode: Final = msgspec.json.Encoder().encode
_NOT_IN_IDS: Final = re.compile(r"[^a-zA-Z0-9_.:-]")
_LONGEST_ID: Final = 64
_NOTHING: Final = "(empty)"
_TIERS: Final = frozenset({"priority", "default", "flex", "reserved"})
#: asked for where it can come: the pointers are the model's own, and those that lead nowhere do no harm
_SEQUENCE: Final = "/stop_sequence"
#: of the caller's own fields those that are the service's, and stand beside the model's
_OWN: Final = frozenset(
    {"additionalModelResponseFieldPaths", "guardrailConfig", "performanceConfig", "promptVariables"}
    | {"requestMetadata", "serviceTier"}
)
_FIELDS: Final = "additionalModelRequestFields"
#: what the model is told: it stands in the request itself, where guards see it
_TOLD: Final = frozenset({"messages", "system", "prompt", "input", "inputText", "instructions", "tools", "toolConfig"})
#: members of requests that other dialects have, or that are not for `extra` to say; every other one is the model's
_ELSEWHERE: Final = (
    _OWN
    | REQUESTS_ELSEWHERE
    | {"modelId", "inferenceConfig", "toolConfig", "outputConfig", _FIELDS}
    | {"cache_control", "container", "context_management", "inference_geo", "mcp_servers", "speed"}
)


def encode_request(call: Call[Any, Any], *, manners: Manners = _EVERY_MODEL) -> bytes:
    """The body of `POST /model/…/converse`, and of `/converse-stream`.

    Raises `UnsupportedInput` and `InvalidInput` for what the service can't be asked; both name the field.
    """
    parameters = call.parameters
    for name in ("grammar", "template"):
        if getattr(parameters, name) is not None:
            raise UnsupportedInput(f"parameters.{name}: this service takes none")
    if parameters.logprobs:
        raise UnsupportedInput("parameters.logprobs: this service tells no probabilities")
    try:
        system, messages = _conversation(call)
        tools, advice = encode_tools(parameters, call.messages, strict=manners.schemas)
        wishes = encode_wishes(parameters, call.messages, call.model)
        form, words = _form(parameters, native=manners.schemas)
        system += [*advice, *words]
        output = ({"textFormat": form} if form else {}) | ({"effort": wishes.effort} if wishes.effort else {})
        fields = wishes.fields | _unknown(parameters.extra)
        inference = _inference(parameters, thinks=wishes.ours)
        members: dict[str, Any] = {
            "messages": messages,
            "system": system,
            "inferenceConfig": inference,
            "toolConfig": tools,
            "outputConfig": output,
            _FIELDS: fields,
            **_own(parameters, manners, stops="stopSequences" in inference),
        }
        return _encode({name: value for name, value in members.items() if value})
    except RecursionError as error:
        raise InvalidInput("the request is nested too deep") from error
    except UnicodeEncodeError as error:
        raise InvalidInput("the request holds half a surrogate pair") from error


def _inference(parameters: Parameters, *, thinks: bool) -> dict[str, Any]:
    """A model that thinks at our wish chooses its words in one way only; who wished it himself knows that."""
    wire: dict[str, Any] = {}
    if parameters.max_tokens is not None:
        wire["maxTokens"] = parameters.max_tokens
    if not thinks:
        if parameters.temperature is not None:
            wire["temperature"] = min(parameters.temperature, 1.0)
        # the whole of the probability is what is taken anyway, and some models refuse both at once
        if parameters.top_p is not None and not (parameters.top_p == 1 and parameters.temperature is not None):
            wire["topP"] = parameters.top_p
    if stops := [stop for stop in parameters.stop if stop]:  # the service refuses empty ones
        wire["stopSequences"] = stops
    return wire


def _own(parameters: Parameters, manners: Manners, *, stops: bool) -> dict[str, Any]:
    """Members of the service's own: the caller's, and over them what the operator settled."""
    extra = parameters.extra
    wire = {name: extra[name] for name in sorted(_OWN & extra.keys())}
    tier = extra.get("service_tier")
    if isinstance(tier, str) and tier in _TIERS:
        wire.setdefault("serviceTier", {"type": tier})
    if stops:
        given = wire.get("additionalModelResponseFieldPaths")
        paths = given if isinstance(given, list) else []
        wire["additionalModelResponseFieldPaths"] = list(dict.fromkeys([*map(str, paths), _SEQUENCE]))
    if manners.guardrail:
        wire["guardrailConfig"] = {
            "guardrailIdentifier": manners.guardrail,
            "guardrailVersion": manners.guardrail_version,
        }
    return wire


def _unknown(extra: dict[str, Any]) -> dict[str, Any]:
    """The model's own fields: those that the caller named as such, and all that nobody knows.

    Raises `UnsupportedInput` for a second way to tell the model something.
    """
    named = extra.get(_FIELDS)
    given = {name: value for name, value in extra.items() if name not in _ELSEWHERE}
    fields = given | named if isinstance(named, dict) else given
    for name in sorted(_TOLD & fields.keys()):
        raise UnsupportedInput(f"{_FIELDS}.{name}: what a model is told stands in the request itself")
    return fields


def _form(parameters: Parameters, *, native: bool) -> tuple[dict[str, Any] | None, list[Block]]:
    """The service's own promise of a form, or the words that ask for it."""
    schema = parameters.json_schema
    if schema is None:
        words = "Answer with one JSON object and nothing else."
        return None, [{"text": words}] if parameters.json_object else []
    if native and schemas.expressible(schema):
        made: dict[str, Any] = {"schema": _encode(schemas.narrowed(schema)).decode()}
        if parameters.schema_name:
            made["name"] = parameters.schema_name
        return {"type": "json_schema", "structure": {"jsonSchema": made}}, []
    return None, [
        {"text": f"Answer with JSON that fits this JSON Schema, and with nothing else:\n{_encode(schema).decode()}"}
    ]


# ------------------------------------------------------------------ conversation


class _Message:
    """One message on its way. Results come before everything else that it says."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.results: list[Block] = []
        self.others: list[Block] = []

    def wire(self) -> dict[str, Any]:
        content = [*self.results, *self.others]
        # the service wants a text with each document; one that stands alone is presented by its name
        alone = next((block["document"]["name"] for block in content if "document" in block), None)
        if alone is not None and not any("text" in block for block in content):
            content.append({"text": alone})
        return {"role": self.role, "content": content}


def _conversation(call: Call[Any, Any]) -> tuple[list[Block], list[dict[str, Any]]]:
    names = Names()
    system: list[Block] = []
    messages: list[_Message] = []
    for place, turn in enumerate(call.messages):
        where = f"messages[{place}]"
        if turn.role in INSTRUCTIONS:
            system += _parts(turn, where, names)
        elif turn.role == "tool":
            _of(messages, "user").results += [_result(turn, where, names), *cache_point(turn.extra)]
        else:
            blocks = _parts(turn, where, names)
            for at, made in enumerate(turn.tool_calls):
                blocks += [_tool_use(made, f"{where}.tool_calls[{at}]"), *cache_point(made.extra)]
            if blocks:
                _of(messages, turn.role).others += blocks
    if call.blobs:
        _of(messages, "user").others += [encode_blob(blob, f"files[{place}]") for place, blob in enumerate(call.blobs)]
    if not messages and system:
        # instructions alone are what the caller asks
        _of(messages, "user").others += system
        system = []
    if not messages:
        raise InvalidInput(field="messages", expected="one that says something: this service takes no blank text")
    return system, [message.wire() for message in messages]


def _of(messages: list[_Message], role: str) -> _Message:
    """The message that `role` speaks in now: neighbours of one role are one message."""
    if not messages or messages[-1].role != role:
        messages.append(_Message(role))
    return messages[-1]


def _parts(turn: Turn, where: str, names: Names) -> list[Block]:
    parts: tuple[Part, ...] = turn.parts or ((Text(turn.content),) if turn.content else ())
    blocks: list[Block] = []
    for place, part in enumerate(parts):
        if isinstance(part, Thinking) and not is_theirs(part, unsigned=False):
            continue  # the service refuses thoughts that it does not know as its own
        if turn.role in INSTRUCTIONS and not isinstance(part, Text | Refusal):
            raise UnsupportedInput(f"{where}.parts[{place}]: this service takes nothing but text as instructions")
        if turn.role == "tool" and isinstance(part, Sound):
            raise UnsupportedInput(f"{where}.parts[{place}]: this service takes no sound in results")
        blocks += encode_part(part, f"{where}.parts[{place}]", names)
    return blocks


def _result(turn: Turn, where: str, names: Names) -> Block:
    if not turn.tool_call_id:
        raise InvalidInput(f"{where}.tool_call_id: expected the id of the call whose result this is")
    told = [block for block in _parts(turn, where, names) if "cachePoint" not in block]
    status = {"status": "error"} if turn.failed else {}
    return {
        "toolResult": {"toolUseId": _known_id(turn.tool_call_id), "content": told or [{"text": _NOTHING}], **status}
    }


def _tool_use(call: ToolCall, where: str) -> Block:
    if not call.id:
        raise InvalidInput(f"{where}.id: expected the id that its result names")
    return {"toolUse": {"toolUseId": _known_id(call.id), "name": call.name, "input": arguments_of(call)}}


def _known_id(identifier: str) -> str:
    """The id in the letters that the service knows, and no longer than it takes; call and result get the same one."""
    known = _NOT_IN_IDS.sub("_", identifier)
    if known == identifier and len(known) <= _LONGEST_ID:
        return identifier
    return f"{known[: _LONGEST_ID - 9]}_{crc32(identifier.encode('utf-8', 'replace')):08x}"
