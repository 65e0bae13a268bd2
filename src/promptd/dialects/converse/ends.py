"""How an answer ended and what it took, in the words of the Converse API and in ours."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from promptd.core.claims import ABSURD
from promptd.core.errors import InvalidOutput
from promptd.core.model import Usage

_REASONS: Final = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "tool_use": "tool_calls",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "model_context_window_exceeded": "context_length",
}
_MALFORMED: Final = {
    "malformed_model_output": "the model said something that the service could not read",
    "malformed_tool_use": "the model called a tool in a form that the service could not read",
}


def finish_reason(stop_reason: str) -> str:
    """Ours for the service's; one that nobody has heard of is an ordinary end. Raises `InvalidOutput` where what the
    model said was no answer."""
    if stop_reason in _MALFORMED:
        raise InvalidOutput(_MALFORMED[stop_reason])
    return _REASONS.get(stop_reason, "stop")


class Counts(Struct, frozen=True):
    """`usage` on the wire."""

    inputTokens: int | None = None  # noqa: N815 - the wire's names
    outputTokens: int | None = None  # noqa: N815
    totalTokens: int | None = None  # noqa: N815
    cacheReadInputTokens: int | None = None  # noqa: N815
    cacheWriteInputTokens: int | None = None  # noqa: N815

    def usage(self) -> Usage:
        """`inputTokens` are those that a cache had no part in, except where the sum says that they hold them all."""
        told, output = self.inputTokens or 0, self.outputTokens or 0
        read, written = self.cacheReadInputTokens or 0, self.cacheWriteInputTokens or 0
        if min(told, output, read, written) < 0:
            return ABSURD
        whole = self.totalTokens == told + output and told >= read + written
        return Usage(
            input_tokens=told if whole else told + read + written,
            output_tokens=output,
            cached_tokens=read,
            cache_write_tokens=written,
        )
