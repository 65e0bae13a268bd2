"""How an answer ended and what it took, in the words of the Messages API and in ours."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from promptd.core.claims import ABSURD
from promptd.core.model import Usage

_REASONS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "pause_turn": "pause",
    "refusal": "content_filter",
    "model_context_window_exceeded": "context_length",
}
_STOP_REASONS: Final = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "pause": "pause_turn",
    "content_filter": "refusal",
    "context_length": "model_context_window_exceeded",
}


def finish_reason(stop_reason: str) -> str:
    """Ours for the service's; a reason that nobody has heard of is an ordinary end."""
    return _REASONS.get(stop_reason, "stop")


def stop_reason(finish_reason: str | None, stop_sequence: str | None, *, refused: bool, called: bool) -> str:
    """The service's for ours. Servers that call tools and say `stop` are common, so the calls themselves count."""
    if stop_sequence is not None:
        return "stop_sequence"
    if finish_reason in (None, "stop"):
        if refused:
            return "refusal"
        if called:
            return "tool_use"
    return _STOP_REASONS.get(finish_reason or "stop", "end_turn")


class OutputDetails(Struct, frozen=True):
    thinking_tokens: int | None = None


class Counts(Struct, frozen=True):
    """`usage` on the wire. `input_tokens` are those that a cache had no part in; on a stream each may come late."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_creation_input_tokens: int | None = None
    cache_read_input_tokens: int | None = None
    output_tokens_details: OutputDetails | None = None

    def over(self, earlier: Counts) -> Counts:
        """Counts on a stream are totals, so each that is there replaces the one before."""
        return Counts(
            earlier.input_tokens if self.input_tokens is None else self.input_tokens,
            earlier.output_tokens if self.output_tokens is None else self.output_tokens,
            earlier.cache_creation_input_tokens
            if self.cache_creation_input_tokens is None
            else self.cache_creation_input_tokens,
            earlier.cache_read_input_tokens if self.cache_read_input_tokens is None else self.cache_read_input_tokens,
            self.output_tokens_details or earlier.output_tokens_details,
        )

    def usage(self) -> Usage:
        fresh, written = self.input_tokens or 0, self.cache_creation_input_tokens or 0
        read, given = self.cache_read_input_tokens or 0, self.output_tokens or 0
        if min(fresh, written, read, given) < 0:
            return ABSURD
        thought = self.output_tokens_details.thinking_tokens if self.output_tokens_details else 0
        return Usage(
            input_tokens=fresh + written + read,
            output_tokens=given,
            cached_tokens=read,
            cache_write_tokens=written,
            reasoning_tokens=max(0, thought or 0),
        )


def wire_usage(usage: Usage) -> dict[str, Any]:
    """Ours as `usage` on the wire."""
    fresh = max(0, usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens)
    counts: dict[str, Any] = {
        "input_tokens": fresh,
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.output_tokens,
    }
    if usage.reasoning_tokens:
        counts["output_tokens_details"] = {"thinking_tokens": usage.reasoning_tokens}
    return counts
