"""A call as a request to a service that speaks the Messages API."""

from __future__ import annotations

import re
from typing import Any, Final
from zlib import crc32

import msgspec

from promptd.core.content import INSTRUCTIONS, Part, Refusal, Text, Thinking, ToolCall, Turn
from promptd.core.engine import Call
from promptd.core.errors import InvalidInput, UnsupportedInput
from promptd.core.parameters import Parameters
from promptd.dialects.messages import schemas
from promptd.dialects.messages.blocks import encode_blob, encode_part
from promptd.dialects.messages.customs import INPUT
from promptd.dialects.messages.manners import Manners
from promptd.dialects.messages.thinking import encode_thinking, is_theirs
from promptd.dialects.messages.tools import encode_tools

Block = dict[str, Any]
_THE_VENDORS: Final = Manners()
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode
_NOT_IN_IDS: Final = re.compile(r"[^a-zA-Z0-9_-]")
_TIERS: Final = {"auto": "auto", "default": "standard_only", "standard_only": "standard_only"}

#: members of messages and of results that only other dialects have
_TURNS_ELSEWHERE: Final = frozenset(
    {"annotations", "audio", "refusal", "reasoning", "reasoning_content", "reasoning_details", "function_call"}
    | {"id", "status", "type", "phase", "tool_calls"}
)
#: the same of calls
_CALLS_ELSEWHERE: Final = frozenset(
    {"extra_content", "status", "namespace", "index", "function", "custom", "arguments"}
)
#: members of requests that are not for `extra` to say, or that only other dialects have; the service refuses unknown ones
REQUESTS_ELSEWHERE: Final = frozenset(
    {"model", "messages", "system", "max_tokens", "stream", "tools", "tool_choice", "thinking", "output_config"}
    | {"service_tier", "n", "store", "metadata", "logit_bias", "logprobs", "top_logprobs", "prediction", "modalities"}
    | {"audio", "verbosity", "stream_options", "response_format", "reasoning_effort", "web_search_options", "seed"}
    | {"prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "safety_identifier", "moderation"}
    | {"functions", "function_call", "suffix", "echo", "best_of", "user", "include", "truncation", "text", "reasoning"}
    | {"max_tool_calls", "previous_response_id", "conversation", "background", "prompt", "include_reasoning"}
    | {"reasoning_format", "chat_template_kwargs", "anthropic_beta", "client_metadata"}
)


def encode_request(call: Call[Any, Any], *, stream: bool, manners: Manners = _THE_VENDORS) -> bytes:
    """The body of `POST /v1/messages`.

    Raises `UnsupportedInput` and `InvalidInput` for what the service can't be asked; both name the field.
    """
    parameters = call.parameters
    if parameters.grammar is not None or parameters.template is not None:
        what = "grammar" if parameters.grammar is not None else "template"
        raise UnsupportedInput(f"parameters.{what}: this service takes none")
    if parameters.logprobs:
        raise UnsupportedInput("parameters.logprobs: this service tells no probabilities")
    try:
        system, messages = _conversation(call, manners)
        thought = encode_thinking(
            parameters, call.messages, call.model, manners.effort, unsigned=manners.unsigned_thinking
        )
        form, advice = _form(parameters, native=manners.schemas)
        system += advice
        if form is not None:
            thought.config["format"] = form
        most = parameters.max_tokens
        body: dict[str, Any] = {
            "model": call.model,
            "max_tokens": manners.max_tokens + thought.room if most is None else most,
            "messages": messages,
        }
        if system:
            body["system"] = system[0]["text"] if len(system) == 1 and _is_plain(system[0]) else system
        if stream:
            body["stream"] = True
        body.update(_sampling(parameters, thinks=thought.ours))
        body.update(encode_tools(parameters))
        if thought.thinking is not None:
            body["thinking"] = thought.thinking
        if thought.config:
            body["output_config"] = thought.config
        user = parameters.user or call.end_user_ref
        if user:
            body["metadata"] = {"user_id": user}
        tier = parameters.extra.get("service_tier")
        if isinstance(tier, str) and tier in _TIERS:
            body["service_tier"] = _TIERS[tier]
        body.update({name: value for name, value in parameters.extra.items() if name not in REQUESTS_ELSEWHERE})
        if isinstance(body.get("context_management"), list):  # OpenAI's; here it is an object
            del body["context_management"]
        return _encode(body)
    except RecursionError as error:
        raise InvalidInput("the request is nested too deep") from error
    except UnicodeEncodeError as error:
        raise InvalidInput("the request holds half a surrogate pair") from error


def _sampling(parameters: Parameters, *, thinks: bool) -> dict[str, Any]:
    """A model that thinks at our wish chooses its words in one way only; who wished it himself knows that."""
    wire: dict[str, Any] = {}
    if not thinks:
        if parameters.temperature is not None:
            wire["temperature"] = min(parameters.temperature, 1.0)
        # the whole of the probability is what is taken anyway, and newer models refuse both at once
        if parameters.top_p is not None and not (parameters.top_p == 1 and parameters.temperature is not None):
            wire["top_p"] = parameters.top_p
        if parameters.top_k is not None:
            wire["top_k"] = parameters.top_k
    if parameters.stop:
        wire["stop_sequences"] = parameters.stop
    return wire


def _form(parameters: Parameters, *, native: bool) -> tuple[dict[str, Any] | None, list[Block]]:
    """The service's own promise of a form, or the words that ask for it."""
    schema = parameters.json_schema
    if schema is None:
        if not parameters.json_object:
            return None, []
        return None, [{"type": "text", "text": "Answer with one JSON object and nothing else."}]
    if native and schemas.expressible(schema):
        return {"type": "json_schema", "schema": schemas.narrowed(schema)}, []
    words = f"Answer with JSON that fits this JSON Schema, and with nothing else:\n{_encode(schema).decode()}"
    return None, [{"type": "text", "text": words}]


# ------------------------------------------------------------------ conversation


def _conversation(call: Call[Any, Any], manners: Manners) -> tuple[list[Block], list[dict[str, Any]]]:
    system: list[Block] = []
    messages: list[dict[str, Any]] = []
    for place, turn in enumerate(call.messages):
        where = f"messages[{place}]"
        if turn.role in INSTRUCTIONS:
            blocks = _parts(turn, where)
            if not (manners.system_in_place and messages):
                system += blocks
            elif blocks:
                messages.append({"role": "system", "content": blocks})
        elif turn.role == "tool":
            _add_result(messages, _result(turn, where))
        else:
            blocks = _parts(turn, where, unsigned=manners.unsigned_thinking)
            blocks += [_tool_use(made, f"{where}.tool_calls[{at}]") for at, made in enumerate(turn.tool_calls)]
            extra = {name: value for name, value in turn.extra.items() if name not in _TURNS_ELSEWHERE}
            _add(messages, turn.role, blocks, extra)
    files = [encode_blob(blob, f"files[{place}]") for place, blob in enumerate(call.blobs)]
    _add(messages, "user", files, {})
    if not messages:
        # instructions alone are what the caller asks
        _add(messages, "user", system, {})
        system = []
    for message in messages:
        content = message["content"]
        if len(content) == 1 and _is_plain(content[0]):
            message["content"] = content[0]["text"]
    return system, messages


def _parts(turn: Turn, where: str, *, unsigned: bool = False) -> list[Block]:
    parts: tuple[Part, ...] = turn.parts or ((Text(turn.content),) if turn.content else ())
    blocks: list[Block] = []
    for place, part in enumerate(parts):
        if isinstance(part, Thinking) and not is_theirs(part, unsigned=unsigned):
            continue  # the service refuses thoughts that it does not know as its own
        if turn.role == "assistant" and isinstance(part, Text | Refusal) and not part.text.strip():
            continue  # models say it around their calls, and the service refuses it
        block = encode_part(part, f"{where}.parts[{place}]")
        if block is not None:
            blocks.append(block)
    return blocks


def _is_plain(block: Block) -> bool:
    return len(block) == 2 and block.get("type") == "text"


def _add(messages: list[dict[str, Any]], role: str, blocks: list[Block], extra: dict[str, Any]) -> None:
    """Neighbours of one role are one message; a message that says nothing is none."""
    if not blocks:
        return
    if messages and messages[-1]["role"] == role:
        messages[-1]["content"] += blocks
        messages[-1].update(extra)
    else:
        messages.append({"role": role, "content": blocks, **extra})


def _add_result(messages: list[dict[str, Any]], block: Block) -> None:
    """Results come before everything else that their message says."""
    if not messages or messages[-1]["role"] != "user":
        messages.append({"role": "user", "content": [block]})
        return
    content = messages[-1]["content"]
    place = next((at for at, other in enumerate(content) if other.get("type") != "tool_result"), len(content))
    content.insert(place, block)


def _result(turn: Turn, where: str) -> Block:
    if not turn.tool_call_id:
        raise InvalidInput(f"{where}.tool_call_id: expected the id of the call whose result this is")
    block: Block = {"type": "tool_result", "tool_use_id": _known_id(turn.tool_call_id)}
    if turn.parts:
        block["content"] = _parts(turn, where)
    elif turn.content:
        block["content"] = turn.content
    if turn.failed:
        block["is_error"] = True
    block.update({name: value for name, value in turn.extra.items() if name not in _TURNS_ELSEWHERE})
    return block


def _tool_use(call: ToolCall, where: str) -> Block:
    if not call.id:
        raise InvalidInput(f"{where}.id: expected the id that its result names")
    extra = {name: value for name, value in call.extra.items() if name not in _CALLS_ELSEWHERE}
    return {"type": "tool_use", "id": _known_id(call.id), "name": call.name, "input": arguments_of(call), **extra}


def arguments_of(call: ToolCall) -> Any:
    """A call's arguments as `input`, which has to be an object: text that is none goes into one."""
    if not call.arguments.strip():
        return {}
    if not call.custom:
        try:
            decoded = _decode(call.arguments)
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            decoded = None
        if type(decoded) is dict:
            return msgspec.Raw(call.arguments.encode())
    return {INPUT: call.arguments}


def _known_id(identifier: str) -> str:
    """The id in the letters that the service knows; call and result get the same one."""
    if not _NOT_IN_IDS.search(identifier):
        return identifier
    return f"{_NOT_IN_IDS.sub('_', identifier)}_{crc32(identifier.encode('utf-8', 'replace')):08x}"
