"""A call as the body of a chat request, or of a legacy completion or an embedding."""

from __future__ import annotations

from base64 import b64encode
from typing import Any, Final

import msgspec

from promptd.core.content import Refusal, Text, Thinking, ToolCall, Turn, text_of
from promptd.core.engine import Call
from promptd.core.errors import InvalidInput, UnsupportedInput
from promptd.core.model import Blob, Capability
from promptd.core.parameters import Parameters
from promptd.dialects.chat.manners import Manners
from promptd.dialects.chat.parts import encode_part
from promptd.dialects.chat.proofs import encode_details
from promptd.dialects.chat.tools import encode_tools
from promptd.dialects.media import data_uri

#: members that `parameters.extra` must not touch: the answer's shape hangs on them
_RESERVED: Final = frozenset({"model", "messages", "input", "stream", "stream_options", "n", "best_of"})

#: members that only other dialects have; this service may refuse what it does not know
_ELSEWHERE: Final = frozenset(
    {
        "background",
        "client_metadata",
        "conversation",
        "include",
        "instructions",
        "max_output_tokens",
        "max_tool_calls",
        "previous_response_id",
        "prompt",
        "reasoning",
        "text",
        "tool_choice",
        "truncation",
        "context_management",
        "anthropic_beta",
        "cache_control",
        "container",
        "inference_geo",
        "mcp_servers",
        "output_config",
        "output_format",
        "speed",
        "stop_sequences",
        "system",
        "thinking",
    }
)
#: the same of messages, and of calls
_TURNS_ELSEWHERE: Final = _ELSEWHERE | {"citations", "id", "phase", "status", "type"}
_CALLS_ELSEWHERE: Final = frozenset({"cache_control", "caller", "input", "namespace", "status", "toolset_name"})
#: Anthropic's words for OpenAI's
_TIERS: Final = {"standard_only": "default"}
_EVERY_SERVICE: Final = Manners()

#: sounds that chat messages may hold, and what the API calls their form
_SOUNDS: Final = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
}


def capability_of(call: Call[Any, Any]) -> Capability:
    """What is really asked: a raw `template` makes any chat a completion."""
    templated = call.parameters.template is not None and call.capability is Capability.CHAT
    return Capability.COMPLETION if templated else call.capability


def encode_request(call: Call[Any, Any], *, stream: bool = True, manners: Manners = _EVERY_SERVICE) -> bytes:
    """Raises `InvalidInput`, `UnsupportedInput` with the field's name."""
    capability = capability_of(call)
    parameters = call.parameters
    body: dict[str, Any] = {"model": call.model}
    if capability is Capability.EMBEDDING:
        if not call.texts:
            raise InvalidInput("texts: expected at least one text to embed")
        body["input"] = call.texts
    else:
        if capability is Capability.COMPLETION:
            if call.blobs:
                raise UnsupportedInput("files: a raw text takes none")
            body["prompt"] = _raw_prompt(call)
            body |= _sampling(parameters, "max_tokens", manners, raw=True)
        else:
            if not call.messages:
                raise InvalidInput("messages: expected at least one message")
            if call.capability is Capability.VISION and parameters.template is not None:
                raise UnsupportedInput("parameters.template: images go with messages, not with a raw text")
            body["messages"] = _messages(call, manners)
            body |= encode_tools(parameters)
            body |= _sampling(parameters, manners.max_tokens, manners, raw=False)
            _ask_for_form(parameters, body, manners)
        if stream:
            body["stream"] = True
            if manners.stream_usage:
                body["stream_options"] = {"include_usage": True}
    user = parameters.user or call.end_user_ref
    if user is not None:
        body["user"] = user
    body |= _extra(parameters.extra, manners)
    for name in manners.refused:
        body.pop(name, None)
    try:
        return msgspec.json.encode(body)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidInput(f"parameters: not JSON: {error}") from error


def _extra(extra: dict[str, Any], manners: Manners) -> dict[str, Any]:
    for name in extra:
        if name in _RESERVED:
            raise InvalidInput(f"parameters.extra.{name}: this field can't be set here")
    told = {
        name: value
        for name, value in extra.items()
        if name not in _ELSEWHERE or name in manners.taken or (name == "reasoning" and manners.reasoning)
    }
    tier = told.get("service_tier")
    return told | {"service_tier": _TIERS[tier]} if isinstance(tier, str) and tier in _TIERS else told


def _raw_prompt(call: Call[Any, Any]) -> str:
    asked = next((text_of(turn) for turn in reversed(call.messages) if turn.role == "user"), None)
    if asked is None:
        raise InvalidInput("messages: expected a user's message")
    template = call.parameters.template
    return asked if template is None else template.replace("{prompt}", asked)


# ------------------------------------------------------------------ messages


def _messages(call: Call[Any, Any], manners: Manners) -> list[dict[str, Any]]:
    """The conversation; files that came along are parts of the last user's message."""
    messages: list[dict[str, Any]] = []
    shown: list[dict[str, Any]] = []  # what tools gave besides text, which only a user may show here
    for place, turn in enumerate(call.messages):
        if shown and turn.role != "tool":
            messages.append({"role": "user", "content": shown})
            shown = []
        message = _message(turn, f"messages[{place}]", manners, shown)
        last = messages[-1] if messages else None
        if last is not None and turn.role == "assistant" and "tool_calls" in last:
            _merge(last, message)  # nothing but their results may come behind calls
        else:
            messages.append(message)
    if shown:
        messages.append({"role": "user", "content": shown})
    if call.blobs:
        last = next((message for message in reversed(messages) if message["role"] == "user"), None)
        if last is None:
            raise InvalidInput("messages: expected a user's message for the files to go with")
        content = last["content"]
        text = content if isinstance(content, list) else [{"type": "text", "text": content}] if content else []
        last["content"] = [*text, *[_file(index, blob) for index, blob in enumerate(call.blobs)]]
    return messages


def _merge(last: dict[str, Any], message: dict[str, Any]) -> None:
    last["tool_calls"] += message.get("tool_calls", [])
    if said := message.get("content"):
        last["content"] = (last["content"] or "") + said


def _message(turn: Turn, where: str, manners: Manners, shown: list[dict[str, Any]]) -> dict[str, Any]:
    role = "system" if turn.role == "developer" and not manners.developer else turn.role
    message: dict[str, Any] = {"role": role, "content": turn.content}
    if turn.name is not None and manners.names:
        message["name"] = turn.name
    if turn.tool_call_id is not None:
        message["tool_call_id"] = turn.tool_call_id
    if role == "assistant":
        _speak(turn, message, manners)
    elif turn.parts:
        parts = [
            encode_part(part, f"{where}.parts[{n}]", cache_control=manners.cache_control)
            for n, part in enumerate(turn.parts)
        ]
        told = [part for part in parts if part is not None]
        if role == "tool":
            shown += [part for part in told if part["type"] != "text"]
            told = [part for part in told if part["type"] == "text"]
        if role == "user" or any(len(part) > 2 for part in told):
            message["content"] = told
        else:  # a list of texts is more than many services take here
            message["content"] = "\n".join([part["text"] for part in told if "text" in part])
    if turn.extra:
        message |= {
            name: value for name, value in turn.extra.items() if name not in message and name not in _TURNS_ELSEWHERE
        }
    return message


def _speak(turn: Turn, message: dict[str, Any], manners: Manners) -> None:
    """What an assistant said, thought and called."""
    if turn.parts:
        refusal = "".join([part.text for part in turn.parts if isinstance(part, Refusal)])
        if refusal and manners.developer:
            message["refusal"] = refusal
            message["content"] = "".join([part.text for part in turn.parts if isinstance(part, Text)])
        else:
            message["content"] = text_of(turn)
        thoughts = [part for part in turn.parts if isinstance(part, Thinking)]
        thought = "".join([part.text for part in thoughts])
        if thought and manners.thoughts:
            message[manners.thoughts] = thought
        if thoughts and manners.reasoning and (details := encode_details(thoughts)):
            message["reasoning_details"] = details
    if turn.tool_calls:
        message["tool_calls"] = [_call(call) for call in turn.tool_calls]
    if not message["content"] and (turn.tool_calls or "refusal" in message):
        message["content"] = None


def _call(call: ToolCall) -> dict[str, Any]:
    extra = {name: value for name, value in call.extra.items() if name not in _CALLS_ELSEWHERE}
    if call.custom:
        return extra | {"id": call.id, "type": "custom", "custom": {"name": call.name, "input": call.arguments}}
    return extra | {
        "id": call.id,
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments or "{}"},
    }


def _file(index: int, blob: Blob) -> dict[str, Any]:
    if blob.media_type.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": data_uri(blob)}}
    if blob.media_type in _SOUNDS:
        sound = {"data": b64encode(blob.data).decode(), "format": _SOUNDS[blob.media_type]}
        return {"type": "input_audio", "input_audio": sound}
    raise UnsupportedInput(f"files[{index}]: a chat can't hold {blob.media_type}")


# ------------------------------------------------------------------ parameters


def _sampling(parameters: Parameters, max_tokens: str, manners: Manners, *, raw: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "temperature": parameters.temperature,
        "top_p": parameters.top_p,
        max_tokens: parameters.max_tokens,
        manners.seed: parameters.seed,
        "stop": parameters.stop or None,
        "presence_penalty": parameters.presence_penalty,
        "frequency_penalty": parameters.frequency_penalty,
        "top_k": parameters.top_k if manners.top_k else None,
    }
    if raw:
        if parameters.logprobs:
            fields["logprobs"] = 1 if parameters.top_logprobs is None else parameters.top_logprobs
        fields["best_of"] = parameters.best_of
    else:
        fields["logprobs"] = parameters.logprobs
        fields["top_logprobs"] = parameters.top_logprobs
        if manners.reasoning:
            wish = {"effort": parameters.effort, "max_tokens": parameters.thinking_tokens}
            fields["reasoning"] = {name: value for name, value in wish.items() if value is not None} or None
        else:
            fields["reasoning_effort"] = parameters.effort
    if parameters.grammar is not None:
        if not manners.grammar:
            raise UnsupportedInput("parameters.grammar: this service takes no grammar")
        fields["grammar"] = parameters.grammar
    return {name: value for name, value in fields.items() if value is not None}


def _ask_for_form(parameters: Parameters, body: dict[str, Any], manners: Manners) -> None:
    """`response_format`, or words to that effect."""
    schema = parameters.json_schema
    if schema is None:
        if parameters.json_object:
            body["response_format"] = {"type": "json_object"}
    elif manners.developer and schema.get("type", "object") != "object":
        pass  # OpenAI itself takes objects only; the answer is checked afterwards
    elif manners.schemas:
        strict = True if parameters.schema_strict is None else parameters.schema_strict
        named = {"name": parameters.schema_name or "answer", "strict": strict, "schema": schema}
        body["response_format"] = {"type": "json_schema", "json_schema": named}
    else:
        try:
            told = msgspec.json.encode(schema).decode()
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
            raise InvalidInput(f"parameters.json_schema: not JSON: {error}") from error
        wish = {"role": "system", "content": f"Answer with one JSON object that fits this JSON Schema:\n{told}"}
        body["messages"] = [wish, *body["messages"]]
        body["response_format"] = {"type": "json_object"}
