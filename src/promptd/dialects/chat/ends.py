"""How an answer ended and what it took, in the words of the chat API and in ours."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from promptd.core.claims import ABSURD
from promptd.core.model import Usage
from promptd.dialects.counts import InputDetails, OutputDetails

_REASONS: Final = {
    "stop": "stop",
    "length": "length",
    "model_length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "content_filter": "content_filter",
    "safety": "content_filter",
}
_ON_THE_WIRE: Final = {
    "stop": "stop",
    "length": "length",
    "context_length": "length",
    "tool_calls": "tool_calls",
    "content_filter": "content_filter",
}


def finish_reason(said: str | None, *, called: bool = False) -> str:
    """Ours for a service's. What nobody has heard of is an ordinary end.

    `called`: there are tool calls. Servers that make them and say `stop` are common.
    """
    reason = (_REASONS.get(said) or _REASONS.get(said.lower(), "stop")) if said else "stop"
    return "tool_calls" if called and reason == "stop" else reason


def wire_reason(reason: str | None) -> str:
    """The chat API's word for ours; it has none for a pause."""
    return _ON_THE_WIRE.get(reason or "stop", "stop")


class Counts(Struct, frozen=True):
    """`usage` as services write it."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    total_tokens: int | None = None
    prompt_tokens_details: InputDetails | None = None
    completion_tokens_details: OutputDetails | None = None
    prompt_cache_hit_tokens: int | None = None  #: DeepSeek's `cached_tokens`

    def usage(self) -> Usage:
        taken, given = self.prompt_tokens or 0, self.completion_tokens or 0
        read, thought = self.prompt_tokens_details, self.completion_tokens_details
        plain = read is None and thought is None and not self.prompt_cache_hit_tokens
        if plain and taken + given == self.total_tokens and taken >= 0 <= given:
            return Usage(taken, given)  # most services say no more
        if taken < 0 or given < 0:
            return ABSURD
        # some services count thought in the total alone
        given = max(given, (self.total_tokens or 0) - taken) if given else given
        return Usage(
            input_tokens=taken,
            output_tokens=given,
            cached_tokens=max(0, (read.cached_tokens if read else 0) or self.prompt_cache_hit_tokens or 0),
            cache_write_tokens=max(0, (read.cache_write_tokens if read else 0) or 0),
            reasoning_tokens=max(0, (thought.reasoning_tokens if thought else 0) or 0),
        )


def wire_usage(usage: Usage) -> dict[str, Any]:
    """Ours as `usage` on the wire."""
    read: dict[str, Any] = {"cached_tokens": usage.cached_tokens, "audio_tokens": 0}
    if usage.cache_write_tokens:
        read["cache_write_tokens"] = usage.cache_write_tokens
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": read,
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
