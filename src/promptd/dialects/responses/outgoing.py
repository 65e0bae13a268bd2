"""A call of an engine as a request to a service that speaks the Responses API."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import msgspec

from promptd.core.content import Thinking
from promptd.core.engine import Call
from promptd.core.errors import InvalidInput, UnsupportedInput
from promptd.core.parameters import Parameters
from promptd.dialects.responses.items import Thoughts, encode_items
from promptd.dialects.responses.parts import encode_blob
from promptd.dialects.responses.tools import encode_text, encode_tool_choice, encode_tools

_SEALED: Final = "reasoning.encrypted_content"
_LOGPROBS: Final = "message.output_text.logprobs"
#: members that only other dialects know, and those that are written from their place in the house
_ELSEWHERE: Final = frozenset(
    {
        # written here
        "include", "reasoning", "text", "tool_choice", "verbosity",
        # chat and completions
        "audio", "best_of", "echo", "function_call", "functions", "logit_bias", "max_completion_tokens", "max_tokens",
        "messages", "modalities", "n", "prediction", "reasoning_effort", "response_format", "stream_options", "suffix",
        "web_search_options",
        # Anthropic's
        "anthropic_beta", "anthropic_version", "betas", "cache_control", "container", "inference_geo", "mcp_servers",
        "output_config", "output_format", "speed", "stop_sequences", "system", "thinking",
    }
)  # fmt: skip
#: set here alone: whoever could set them would keep conversations at the service, or speak to another model
_RESERVED: Final = ("background", "conversation", "input", "model", "previous_response_id", "store", "stream")
#: how much thought a budget of tokens is
_BUDGETS: Final = ((0, "none"), (2048, "low"), (8192, "medium"))


def encode_request(
    call: Call[Any, Any], *, stream: bool, thoughts: Thoughts = "sealed", without: Collection[str] = ()
) -> bytes:
    """The body. `without` names members that the service refuses.

    The service keeps nothing (`store` is false): conversations are ours, and sealed thoughts come back in the answer.
    Raises `InvalidInput`, `UnsupportedInput`.
    """
    parameters = call.parameters
    _check(parameters)
    turns = call.messages
    body: dict[str, Any] = {"model": call.model}
    if turns and turns[0].role == "system" and not turns[0].parts and len(turns) > 1:
        body["instructions"], turns = turns[0].content, turns[1:]
    items = encode_items(turns, thoughts=thoughts, tools=call.parameters.tools)
    if call.blobs:
        _attach(items, [encode_blob(blob, f"files[{place}]") for place, blob in enumerate(call.blobs)])
    body |= {"input": items, "store": False, "stream": stream}
    body |= _parameters(parameters, _include(call))
    body |= {name: value for name, value in parameters.extra.items() if name not in _ELSEWHERE}
    if body.get("service_tier") == "standard_only":  # Anthropic's word
        body["service_tier"] = "default"
    if isinstance(body.get("context_management"), dict):  # Anthropic's; here it is a list
        del body["context_management"]
    if parameters.user is not None:
        body.setdefault("safety_identifier", parameters.user)
    elif call.end_user_ref is not None:
        body.setdefault("safety_identifier", call.end_user_ref)
    for name in without:
        body.pop(name, None)
    try:
        return msgspec.json.encode(body)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidInput(f"parameters: not JSON: {error}") from error


def _check(parameters: Parameters) -> None:
    """What would change the answer if it were left out is refused."""
    if parameters.stop:
        raise UnsupportedInput("parameters.stop: this service has no stop sequences")
    if parameters.grammar is not None:
        raise UnsupportedInput("parameters.grammar: this service takes no grammar")
    if parameters.template is not None:
        raise UnsupportedInput("parameters.template: this service takes no raw text")
    for name in _RESERVED:
        if name in parameters.extra:
            raise InvalidInput(f"parameters.extra.{name}: this field can't be set here")


def _parameters(parameters: Parameters, include: list[str]) -> dict[str, Any]:
    given = parameters.extra.get("reasoning")
    reasoning: dict[str, Any] = dict(given) if isinstance(given, dict) else {}
    if (effort := _effort(parameters)) is not None:
        reasoning["effort"] = effort
    tools = encode_tools(parameters)
    fields: dict[str, Any] = {
        "temperature": parameters.temperature,
        "top_p": parameters.top_p,
        "max_output_tokens": parameters.max_tokens,
        "tools": tools or None,
        "tool_choice": encode_tool_choice(parameters) if tools else None,
        "parallel_tool_calls": parameters.parallel_tool_calls,
        "text": encode_text(parameters) or None,
        "reasoning": reasoning or None,
        "top_logprobs": parameters.top_logprobs,
        "include": include or None,
        # this API may not know them: then it is the service that says so
        "top_k": parameters.top_k,
        "seed": parameters.seed,
        "presence_penalty": parameters.presence_penalty,
        "frequency_penalty": parameters.frequency_penalty,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _effort(parameters: Parameters) -> str | None:
    budget = parameters.thinking_tokens
    if parameters.effort is not None or budget is None:
        return parameters.effort
    return next((effort for most, effort in _BUDGETS if budget <= most), "high")


def _include(call: Call[Any, Any]) -> list[str]:
    """What the answer shall hold besides. Models that don't think refuse to be asked for sealed thoughts."""
    parameters = call.parameters
    given = parameters.extra.get("include")
    include = [name for name in given if isinstance(name, str)] if isinstance(given, list) else []
    thinks = _effort(parameters) not in (None, "none") or "reasoning" in parameters.extra
    sealed = any(isinstance(part, Thinking) and part.sealed for turn in call.messages for part in turn.parts)
    for name, wanted in ((_SEALED, thinks or sealed), (_LOGPROBS, parameters.logprobs)):
        if wanted and name not in include:
            include.append(name)
    return include


def _attach(items: list[dict[str, Any]], parts: list[dict[str, Any]]) -> None:
    """Files belong to the last message of the user. Raises `InvalidInput` where there is none."""
    last = next((item for item in reversed(items) if item.get("role") == "user"), None)
    if last is None:
        raise InvalidInput("messages: expected a user's message for the files to go with")
    content = last["content"]
    if isinstance(content, str):
        content = [{"type": "input_text", "text": content}] if content else []
    last["content"] = [*content, *parts]
