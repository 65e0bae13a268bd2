"""Calls as the OpenAI API's request bodies: chat, legacy completions and embeddings (others: `openai_media.py`)."""

from __future__ import annotations

from base64 import b64encode
from typing import Any, Final

import msgspec

from promptd.core.engine import Call
from promptd.core.errors import InvalidInput, UnsupportedInput
from promptd.core.model import Blob, Capability, Parameters, Turn
from promptd.dialects.media import data_uri

#: fields that `parameters.extra` must not touch: the answer's shape hangs on them
_RESERVED = frozenset({"model", "messages", "prompt", "input", "stream", "n"})

#: sounds that chat messages may hold, and what the API calls their form
_SOUNDS: Final = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
}


def capability_of(call: Call[Any]) -> Capability:
    """What is really asked: a raw `template` makes any chat a completion."""
    templated = call.parameters.template is not None and call.capability is Capability.CHAT
    return Capability.COMPLETION if templated else call.capability


def encode_request(
    call: Call[Any], *, stream_usage: bool = True, max_tokens_field: str = "max_tokens", grammar: bool = False
) -> bytes:
    """The request body. `grammar`: the server takes GBNF as `grammar` (llama.cpp does).

    Raises `InvalidInput`, `UnsupportedInput` with the field's name.
    """
    capability = capability_of(call)
    body: dict[str, Any] = {"model": call.model}
    if capability is Capability.EMBEDDING:
        if not call.texts:
            raise InvalidInput("texts: expected at least one text to embed")
        body["input"] = call.texts
    else:
        if capability is Capability.COMPLETION:
            if call.files:
                raise UnsupportedInput("files: a raw text takes none")
            body["prompt"] = _raw_prompt(call)
            max_tokens_field = "max_tokens"
        else:
            if not call.messages:
                raise InvalidInput("messages: expected at least one message")
            if call.capability is Capability.VISION and call.parameters.template is not None:
                raise UnsupportedInput("parameters.template: images go with messages, not with a raw text")
            body["messages"] = _messages(call)
            body |= _tools(call.parameters)
        body |= _sampling(call.parameters, max_tokens_field, grammar=grammar)
        body["stream"] = True
        if stream_usage:
            body["stream_options"] = {"include_usage": True}
    if call.user_ref is not None:
        body["user"] = call.user_ref
    for name in call.parameters.extra:
        if name in _RESERVED:
            raise InvalidInput(f"parameters.extra.{name}: this field can't be set here")
    try:
        return msgspec.json.encode(body | call.parameters.extra)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidInput(f"parameters: not JSON: {error}") from error


def _raw_prompt(call: Call[Any]) -> str:
    asked = next((turn.content for turn in reversed(call.messages) if turn.role == "user"), None)
    if asked is None:
        raise InvalidInput("messages: expected a user's message")
    template = call.parameters.template
    return asked if template is None else template.replace("{prompt}", asked)


def _messages(call: Call[Any]) -> list[dict[str, Any]]:
    """The conversation; files that came along are parts of the last user's message."""
    messages = [_message(turn) for turn in call.messages]
    if call.files:
        last = next((message for message in reversed(messages) if message["role"] == "user"), None)
        if last is None:
            raise InvalidInput("messages: expected a user's message for the files to go with")
        text = [{"type": "text", "text": last["content"]}] if last["content"] else []
        last["content"] = [*text, *[_part(index, blob) for index, blob in enumerate(call.files)]]
    return messages


def _part(index: int, blob: Blob) -> dict[str, Any]:
    if blob.media_type.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": data_uri(blob)}}
    if blob.media_type in _SOUNDS:
        sound = {"data": b64encode(blob.data).decode(), "format": _SOUNDS[blob.media_type]}
        return {"type": "input_audio", "input_audio": sound}
    raise UnsupportedInput(f"files[{index}]: a chat can't hold {blob.media_type}")


def _message(turn: Turn) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn.role, "content": turn.content}
    if turn.name is not None:
        message["name"] = turn.name
    if turn.tool_call_id is not None:
        message["tool_call_id"] = turn.tool_call_id
    if turn.tool_calls:
        message["content"] = turn.content or None
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in turn.tool_calls
        ]
    return message


def _tools(parameters: Parameters) -> dict[str, Any]:
    if not parameters.tools:
        return {}
    fields: dict[str, Any] = {
        "tools": [
            {
                "type": "function",
                "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
            }
            for tool in parameters.tools
        ]
    }
    choice = parameters.tool_choice
    if choice in ("auto", "none", "required"):
        fields["tool_choice"] = choice
    elif choice is not None:
        fields["tool_choice"] = {"type": "function", "function": {"name": choice}}
    return fields


def _sampling(parameters: Parameters, max_tokens_field: str, *, grammar: bool) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "temperature": parameters.temperature,
        "top_p": parameters.top_p,
        max_tokens_field: parameters.max_tokens,
        "seed": parameters.seed,
        "stop": parameters.stop or None,
    }
    if parameters.json_schema is not None:
        fields["response_format"] = {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": parameters.json_schema},
        }
    if parameters.grammar is not None:
        if not grammar:
            raise UnsupportedInput("parameters.grammar: this service takes no grammar")
        fields["grammar"] = parameters.grammar
    return {name: value for name, value in fields.items() if value is not None}
