"""Tools and the choice among them, both ways."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from promptd.core.content import Foreign, Tool
from promptd.core.errors import InvalidRequest
from promptd.core.parameters import Parameters
from promptd.dialects import fields
from promptd.dialects.messages.blocks import DIALECT
from promptd.dialects.messages.customs import INPUT
from promptd.dialects.offers import allowed, is_custom, refused
from promptd.dialects.searching import messages_search

_CHOICES: Final = {"auto": "auto", "any": "required", "none": "none"}
_TYPES: Final = {"auto": "auto", "required": "any", "none": "none"}
_NO_PARAMETERS: Final[dict[str, Any]] = {"type": "object", "properties": {}}
_ELSEWHERE: Final = frozenset({"type", "function", "parameters", "format", "async", "output_schema", "namespace"})
#: what a custom tool takes, whose arguments are any text
ANY_TEXT: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {INPUT: {"type": "string"}},
    "required": [INPUT],
    "additionalProperties": False,
}


class Offer(Struct, frozen=True):
    """What the model may call."""

    tools: tuple[Tool, ...] = ()
    foreign: tuple[Foreign, ...] = ()
    choice: str | None = None
    parallel: bool | None = None


def decode_tools(body: dict[str, Any]) -> Offer:
    """Takes `tools` and `tool_choice` out of `body`. Raises `InvalidRequest`."""
    tools: list[Tool] = []
    foreign: list[Foreign] = []
    for place, item in enumerate(fields.objects(body, "tools")):
        where = f"tools[{place}]."
        kind = item.get("type")
        if kind is None or kind == "custom":
            tools.append(_tool(item, where))
        elif type(kind) is str:
            foreign.append(Foreign(DIALECT, item, place))
        else:
            raise InvalidRequest(field=where + "type", expected="a string")
    choice, parallel = _choice(fields.mapping(body, "tool_choice"))
    return Offer(tuple(tools), tuple(foreign), choice, parallel)


def _tool(item: dict[str, Any], where: str) -> Tool:
    item.pop("type", None)
    name = fields.needed_text(item, "name", where)
    description = fields.text(item, "description", where) or ""
    schema = fields.mapping(item, "input_schema", where)
    if schema is None:
        raise InvalidRequest(field=where + "input_schema", expected="a JSON Schema")
    strict = fields.flag(item, "strict", where)
    return Tool(name, description, schema, strict, {key: value for key, value in item.items() if value is not None})


def _choice(choice: dict[str, Any] | None) -> tuple[str | None, bool | None]:
    if choice is None:
        return None, None
    kind = fields.needed_text(choice, "type", "tool_choice.")
    alone = fields.flag(choice, "disable_parallel_tool_use", "tool_choice.")
    parallel = None if alone is None else not alone
    if kind == "tool":
        return fields.needed_text(choice, "name", "tool_choice."), parallel
    if kind not in _CHOICES:
        raise InvalidRequest(field="tool_choice.type", expected="auto, any, tool or none")
    return _CHOICES[kind], parallel


def encode_tools(parameters: Parameters) -> dict[str, Any]:
    """`tools` and `tool_choice`. Raises `UnsupportedInput` for a tool that only another service runs."""
    offered, foreigners = allowed(parameters)
    tools = [_encode_tool(tool) for tool in offered]
    for place, foreign in enumerate(foreigners):
        if foreign.dialect != DIALECT:
            raise refused(foreign, place)
        tools.append(foreign.value)
    search = messages_search(parameters)
    if search is not None:
        tools.append(search)
    if not tools:
        return {}
    choice = parameters.tool_choice
    wire: dict[str, Any] = {}
    if choice is not None:
        wire = {"type": _TYPES[choice]} if choice in _TYPES else {"type": "tool", "name": choice}
    if parameters.parallel_tool_calls is not None and choice != "none":
        wire.setdefault("type", "auto")
        wire["disable_parallel_tool_use"] = not parameters.parallel_tool_calls
    return {"tools": tools, "tool_choice": wire} if wire else {"tools": tools}


def _encode_tool(tool: Tool) -> dict[str, Any]:
    wire: dict[str, Any] = {"name": tool.name}
    description = tool.description
    schema = tool.parameters or _NO_PARAMETERS
    if is_custom(tool):
        schema, description = ANY_TEXT, custom_description(tool)
    if description:
        wire["description"] = description
    wire["input_schema"] = schema if "type" in schema else {"type": "object", **schema}
    if tool.strict is not None:
        wire["strict"] = tool.strict
    wire.update({name: value for name, value in tool.extra.items() if name not in _ELSEWHERE})
    return wire


def custom_description(tool: Tool) -> str:
    """What a custom tool is for, with the grammar of its text, for which services with JSON Schemas have no place."""
    form = tool.extra.get("format")
    if not isinstance(form, dict) or not isinstance(form.get("definition"), str):
        return tool.description
    rule = f"{INPUT} must fit this {form.get('syntax') or ''} grammar:\n{form['definition']}"
    return f"{tool.description}\n\n{rule}" if tool.description else rule
