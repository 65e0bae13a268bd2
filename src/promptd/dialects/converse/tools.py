"""`toolConfig`: what the model may call, and what it must."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from promptd.core.content import Tool, Turn
from promptd.core.errors import UnsupportedInput
from promptd.core.parameters import Parameters
from promptd.dialects.converse.blocks import cache_point
from promptd.dialects.messages.tools import ANY_TEXT, custom_description
from promptd.dialects.offers import allowed, is_custom, refused

_NO_PARAMETERS: Final[dict[str, Any]] = {"type": "object", "properties": {}}
_SEARCH: Final = "web_search_options"
_NOT_NOW: Final = "Answer without calling a tool."


def encode_tools(
    parameters: Parameters, turns: Sequence[Turn], *, strict: bool
) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """`toolConfig`, and what has to be said in words besides.

    The service has no word for a choice of none, and refuses a conversation with calls where no tool is offered: then
    all of them stay, those that were called if nothing else, and the model is asked to leave them alone. `strict` says
    whether models know of it. Raises `UnsupportedInput` for a tool that only another service runs.
    """
    if parameters.extra.get(_SEARCH) is not None:
        raise UnsupportedInput(f"{_SEARCH}: this service searches nothing by itself")
    tools, foreigners = allowed(parameters)
    for place, foreign in enumerate(foreigners):
        raise refused(foreign, place)
    called = dict.fromkeys(call.name for turn in turns for call in turn.tool_calls)
    forbidden = parameters.tool_choice == "none" or not tools
    if forbidden and not called:
        return None, []
    specs: list[dict[str, Any]] = []
    for tool in tools or [Tool(name) for name in called]:
        specs += [{"toolSpec": _spec(tool, strict=strict)}, *cache_point(tool.extra)]
    config: dict[str, Any] = {"tools": specs}
    if forbidden:
        return config, [{"text": _NOT_NOW}]
    choice = parameters.tool_choice
    if choice == "required":
        config["toolChoice"] = {"any": {}}
    elif choice not in (None, "auto"):
        config["toolChoice"] = {"tool": {"name": choice}}
    return config, []


def _spec(tool: Tool, *, strict: bool) -> dict[str, Any]:
    schema, description = tool.parameters or _NO_PARAMETERS, tool.description
    if is_custom(tool):
        schema, description = ANY_TEXT, custom_description(tool)
    spec: dict[str, Any] = {"name": tool.name}
    if description.strip():
        spec["description"] = description
    spec["inputSchema"] = {"json": schema if "type" in schema else {"type": "object", **schema}}
    if tool.strict is not None and strict:
        spec["strict"] = tool.strict
    return spec
