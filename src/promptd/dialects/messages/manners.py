"""In what the services differ that speak this API."""

from __future__ import annotations

from msgspec import Struct

from promptd.dialects.hosted import HostedTools
from promptd.dialects.messages.thinking import Effort


class Manners(Struct, frozen=True, kw_only=True):
    """What one service takes. The defaults are the vendor's own."""

    max_tokens: int = 8192  #: where the caller gave none; the service wants one
    effort: Effort = "auto"  #: how a model is told to think
    schemas: bool = True  #: keeps to a JSON Schema itself; if not, it is asked in words
    system_in_place: bool = False  #: takes system messages between others
    hosted_tools: HostedTools = "leave_out"  #: what becomes of tools that only other services run
    unsigned_thinking: bool = False  #: wants thoughts back that bear no signature
