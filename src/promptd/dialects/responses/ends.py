"""What an answer took, in the words of the Responses API and in ours."""

from __future__ import annotations

from msgspec import Struct

from promptd.core.claims import ABSURD
from promptd.core.model import Usage
from promptd.dialects.counts import InputDetails, OutputDetails


class Counts(Struct, frozen=True):
    """`usage` on the wire."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    input_tokens_details: InputDetails | None = None
    output_tokens_details: OutputDetails | None = None

    def usage(self) -> Usage:
        read, thought = self.input_tokens_details, self.output_tokens_details
        if min(self.input_tokens or 0, self.output_tokens or 0) < 0:
            return ABSURD
        counts = (
            self.input_tokens,
            self.output_tokens,
            read and read.cached_tokens,
            read and read.cache_write_tokens,
            thought and thought.reasoning_tokens,
        )
        return Usage(*[max(0, count or 0) for count in counts])
