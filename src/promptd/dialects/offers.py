"""What a model may call, in the words that all dialects have."""

from __future__ import annotations

from typing import Any

from promptd.core.content import Foreign, Tool
from promptd.core.errors import UnsupportedInput
from promptd.core.parameters import Parameters


def is_custom(tool: Tool) -> bool:
    """Whether the model writes any text to it, and no JSON. Its `format` has the flat form of the Responses API."""
    return tool.extra.get("type") == "custom"


def refused(foreign: Foreign, place: int) -> UnsupportedInput:
    """Why another service's tool is not offered; named as its caller wrote it, else by its `place` among the foreign."""
    kind = str(foreign.value.get("type", "tool"))[:80]
    named = f"parameters.foreign_tools[{place}]" if foreign.place is None else f"tools[{foreign.place}]"
    return UnsupportedInput(f"{named}: {kind} of {foreign.dialect} does not run here")


def allowed(parameters: Parameters) -> tuple[tuple[Tool, ...], tuple[Foreign, ...]]:
    """The tools without those that a choice of the Responses API rules out.

    That choice is kept whole in `extra`; to every other dialect, what must not be called is as good as not there.
    """
    choice = parameters.extra.get("tool_choice")
    tools, foreign = parameters.tools, parameters.foreign_tools
    if not isinstance(choice, dict) or choice.get("type") != "allowed_tools":
        return tools, foreign
    given = choice.get("tools")
    listed: list[dict[str, Any]] = [one for one in given if isinstance(one, dict)] if isinstance(given, list) else []
    kinds = [one.get("type") for one in listed]
    return (
        tuple([tool for tool in tools if any(_means(one, tool) for one in listed)]),
        tuple([tool for tool in foreign if tool.value.get("type") in kinds]),
    )


def _means(one: dict[str, Any], tool: Tool) -> bool:
    """Whether an entry of the choice is about a tool, which may stand in a namespace (responses/namespaces.py)."""
    kind, name, space = one.get("type"), one.get("name"), tool.extra.get("namespace")
    inside = space if isinstance(space, dict) else {}
    if kind == "namespace":
        return bool(inside) and name == inside.get("name")
    if kind not in ("function", "custom"):
        return False
    return name == tool.name or (
        bool(inside) and name == inside.get("tool") and one.get("namespace") in (None, inside.get("name"))
    )
