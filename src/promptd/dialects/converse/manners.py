"""What an operator says about the models behind the service, which does not tell what each of them takes."""

from __future__ import annotations

from msgspec import Struct

from promptd.dialects.hosted import HostedTools


class Manners(Struct, frozen=True, kw_only=True):
    """How requests are put."""

    schemas: bool = True  #: models keep to a JSON Schema themselves; if not, it is asked in words
    hosted_tools: HostedTools = "leave_out"  #: what becomes of tools that only other services run
    guardrail: str = ""  #: id or ARN of one that the service is to apply; empty: none
    guardrail_version: str = "DRAFT"
