"""The response object: what surrounds the output, in the vendor's words."""

from __future__ import annotations

from typing import Any, Final

from promptd.core.content import Foreign, Tool
from promptd.core.errors import (
    Cancelled,
    ContentFiltered,
    ContentRefused,
    InputTooLarge,
    InvalidInput,
    InvalidRequest,
    PromptdError,
    RateLimited,
    TooManyRequests,
    UnsupportedInput,
)
from promptd.core.model import Request, Usage
from promptd.core.parameters import Parameters
from promptd.dialects.offers import is_custom
from promptd.dialects.responses import namespaces
from promptd.dialects.responses.tools import encode_text, encode_tool, encode_tool_choice

_INCOMPLETE: Final = {
    "length": "max_output_tokens",
    "context_length": "max_output_tokens",
    "content_filter": "content_filter",
}
_FAULTS: Final = (ContentFiltered, ContentRefused, InputTooLarge, InvalidInput, InvalidRequest, UnsupportedInput)
#: the vendor's name, what `Request.echo` calls it, and what it is where nobody said anything
_SHOWN: Final[tuple[tuple[str, Any], ...]] = (
    ("background", False),
    ("max_tool_calls", None),
    ("previous_response_id", None),
    ("prompt_cache_key", None),
    ("prompt_cache_retention", None),
    ("safety_identifier", None),
    ("service_tier", "default"),
    ("truncation", "disabled"),
    ("user", None),
)


def envelope(request: Request, *, id: str, model: str, created: float, store: bool = True) -> dict[str, Any]:  # noqa: A002
    """Every member that does not change while the response is made."""
    parameters, echo = request.parameters, request.echo
    instructions = request.messages[0].content if echo.get("instructions") and request.messages else None
    given = parameters.extra.get("reasoning")
    reasoning = {"summary": None, **(given if isinstance(given, dict) else {}), "effort": parameters.effort}
    text = encode_text(parameters)
    return {
        "id": id,
        "object": "response",
        "created_at": int(created),
        "status": "in_progress",
        "completed_at": None,
        "error": None,
        "incomplete_details": None,
        "instructions": instructions,
        "max_output_tokens": parameters.max_tokens,
        "metadata": request.metadata,
        "model": model,
        "output": [],
        "parallel_tool_calls": parameters.parallel_tool_calls is not False,
        "reasoning": reasoning,
        "store": store,
        "temperature": parameters.temperature,
        "text": {"format": {"type": "text"}, "verbosity": "medium", **text},
        "tool_choice": encode_tool_choice(parameters) or "auto",
        "tools": _tools(parameters),
        "top_logprobs": parameters.top_logprobs or 0,
        "top_p": parameters.top_p,
        "usage": None,
        **{name: echo.get(name, default) for name, default in _SHOWN},
    }


def _tools(parameters: Parameters) -> list[dict[str, Any]]:
    foreign: tuple[Foreign, ...] = parameters.foreign_tools
    return namespaces.told(parameters.tools, _tool) + [tool.value for tool in foreign]


def _tool(tool: Tool) -> dict[str, Any]:
    return encode_tool(tool) | ({} if is_custom(tool) else {"strict": tool.strict})


def incomplete_reason(finish_reason: str | None) -> str | None:
    """None where the answer is whole."""
    return _INCOMPLETE.get(finish_reason or "stop")


def encode_usage(usage: Usage) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {"cache_write_tokens": usage.cache_write_tokens, "cached_tokens": usage.cached_tokens},
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def encode_error(error: PromptdError) -> dict[str, Any] | None:
    """The `error` of a response that failed; None where it was cancelled, which is no error there."""
    if isinstance(error, Cancelled):
        return None
    if isinstance(error, RateLimited | TooManyRequests):
        code = "rate_limit_exceeded"
    else:
        code = "invalid_prompt" if isinstance(error, _FAULTS) else "server_error"
    return {"code": code, "message": error.message}
