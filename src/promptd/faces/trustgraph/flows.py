"""Flows: there is one, and whatever it is called, it is this one."""

from __future__ import annotations

import json
from typing import Any, Final

from promptd.core.errors import InvalidRequest
from promptd.dialects.trustgraph.envelope import DEFAULT_FLOW
from promptd.dialects.trustgraph.errors import BadOperation
from promptd.dialects.trustgraph.replies import Reply

#: what tools print of a flow, in the words of both eras of blueprints
_FLOW: Final = json.dumps(
    {
        "description": "Prompts and text completion",
        "class-name": "promptd",
        "blueprint-name": "promptd",
        "interfaces": {},
        "parameters": {},
    }
)


def flow_reply(body: Any) -> Reply:
    """Raises `InvalidRequest`, `BadOperation`."""
    if not isinstance(body, dict):
        raise InvalidRequest(field="request", expected="an object")
    operation = body.get("operation")
    if operation == "list-flows":
        return {"flow-ids": [DEFAULT_FLOW]}
    if operation == "get-flow":
        return {"flow": _FLOW}
    raise BadOperation
