"""What every dialect's decoder makes of a client's request."""

from __future__ import annotations

from msgspec import Struct

from promptd.core.model import Capability, Request


class Asked(Struct, frozen=True, kw_only=True):
    """A request as it was understood. What has no place in `Request` goes to `parameters.extra` under its own name."""

    request: Request
    model: str | None = None
    stream: bool = False
    usage: bool = False  #: tell token counts on the stream
    keep: bool | None = None  #: the client's wish to have it stored (`store`)
    capability: Capability = Capability.CHAT
    once: bool = False  #: no name stands in one of its objects twice; where that is not sure, it is not said
    plain: bool = False  #: it is as `core.texts.is_plain` says; where that is not sure, it is not said
