"""Traces: whose call a call is part of (W3C Trace Context), and spans that are over.

The trace of the work in hand is found in `current`, so that it need not be handed through every signature: whatever asks
the world for something on its behalf tells that it does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Any, Final, Literal

from msgspec import Struct, field

_PARENT: Final = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
)
_MOST_STATE: Final = 512  #: characters of `tracestate`; what is longer is dropped, as the standard allows
_STATE: Final = re.compile(r"[\x20-\x7e]*")

Kind = Literal["server", "client", "internal"]


class TraceContext(Struct, frozen=True):
    """One span as others see it: 32 and 16 hexadecimal digits."""

    trace_id: str
    span_id: str
    sampled: bool = False
    state: str = ""  #: `tracestate`, passed on as it came

    def headers(self) -> dict[str, str]:
        """What tells the next hop."""
        told = {"traceparent": f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"}
        if self.state:
            told["tracestate"] = self.state
        return told

    def child(self, span_id: str) -> TraceContext:
        return TraceContext(self.trace_id, span_id, self.sampled, self.state)


class Span(Struct, frozen=True, kw_only=True):
    """A piece of work that is over. Times are UTC seconds since 1970."""

    name: str
    context: TraceContext
    parent: str = ""  #: id of the span that it is part of
    kind: Kind = "internal"
    service: str = "promptd"
    start: float
    end: float
    attributes: Mapping[str, Any] = {}
    error: str = ""  #: what failed; empty: nothing did


class Trace(Struct, kw_only=True):
    """The trace of the work in hand. `notes` become attributes of the request's own span."""

    context: TraceContext
    request_id: str = ""
    services: Mapping[str, str] = {}  #: what parts of the house are called in spans; else `promptd`
    common: Mapping[str, Any] = {}  #: attributes of every span
    notes: dict[str, Any] = field(default_factory=dict)

    def headers(self) -> dict[str, str]:
        """What a call on behalf of this work says of it."""
        told = self.context.headers()
        if self.request_id:
            told["x-request-id"] = self.request_id
        return told


#: The trace of the work that this task does; None where nobody traces.
current: Final[ContextVar[Trace | None]] = ContextVar("promptd_trace", default=None)


def parse(parent: str, state: str = "") -> TraceContext | None:
    """The caller's span by its `traceparent` and `tracestate`; None where they say nothing that can be used.

    As the standard says: a version that is not known yet may have more fields at its end, `ff` is none, and ids of zeros are none.
    """
    found = _PARENT.match(parent.strip())
    if found is None:
        return None
    rest = parent.strip()[found.end() :]
    version, trace_id, span_id = found["version"], found["trace"], found["span"]
    if version == "ff" or not trace_id.strip("0") or not span_id.strip("0"):
        return None
    if rest and (version == "00" or not rest.startswith("-")):
        return None
    if len(state) > _MOST_STATE or not _STATE.fullmatch(state):
        state = ""
    return TraceContext(trace_id, span_id, bool(int(found["flags"], 16) & 1), state)
