"""Tools and the choice among them, both ways.

A custom tool is one whose `extra` holds `type: custom`, and its `format` in the flat form of the Responses API.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from promptd.core.content import Foreign, Tool
from promptd.core.errors import InvalidRequest
from promptd.core.parameters import Parameters
from promptd.dialects.offers import allowed, is_custom, refused

DIALECT: Final = "openai.chat"
_CHOICES: Final = frozenset({"auto", "none", "required"})
#: members of tools that only other dialects have
_ELSEWHERE: Final = frozenset(
    {
        "type",
        "format",
        "cache_control",
        "input_schema",
        "defer_loading",
        "allowed_callers",
        "eager_input_streaming",
        "input_examples",
        "async",
        "output_schema",
        "namespace",
    }
)
_NO_PARAMETERS: Final[dict[str, Any]] = {"type": "object", "properties": {}}


class Offer(Struct, frozen=True):
    """What the model may call."""

    tools: tuple[Tool, ...] = ()
    foreign: tuple[Foreign, ...] = ()
    choice: str | None = None


# ------------------------------------------------------------------ clients' tools


def decode_tools(
    tools: Sequence[dict[str, Any]] | None,
    choice: str | dict[str, Any] | None,
    functions: Sequence[dict[str, Any]] | None,
    function_call: str | dict[str, Any] | None,
) -> Offer:
    """Raises `InvalidRequest`. `functions` and `function_call` are what both were called once."""
    found: list[Tool] = []
    foreign: list[Foreign] = []
    for place, item in enumerate(tools or ()):
        where = f"tools[{place}]"
        kind = item.get("type", "function" if "function" in item else None)
        if kind == "function":
            found.append(_function(_object(item, "function", where), f"{where}.function"))
        elif kind == "custom":
            found.append(_custom(_object(item, "custom", where), f"{where}.custom"))
        elif isinstance(kind, str):
            foreign.append(Foreign(DIALECT, item, place))
        else:
            raise InvalidRequest(field=f"{where}.type", expected="a string")
    found += [_function(item, f"functions[{place}]") for place, item in enumerate(functions or ())]
    if choice is None and function_call is not None:
        choice = function_call if isinstance(function_call, str) else {"type": "function", "function": function_call}
        return Offer(tuple(found), tuple(foreign), _chosen(choice, "function_call"))
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        chosen = _object(choice, "allowed_tools", "tool_choice")
        names = _names(chosen)
        mode = chosen.get("mode", "auto")
        if mode not in ("auto", "required"):
            raise InvalidRequest(field="tool_choice.allowed_tools.mode", expected="auto or required")
        # what must not be called is as good as not there, and that every dialect can say
        return Offer(tuple([tool for tool in found if tool.name in names]), tuple(foreign), mode)
    return Offer(tuple(found), tuple(foreign), None if choice is None else _chosen(choice, "tool_choice"))


def _function(item: dict[str, Any], where: str) -> Tool:
    name = _name(item, where)
    schema = item.get("parameters")
    if schema is not None and not isinstance(schema, dict):
        raise InvalidRequest(field=f"{where}.parameters", expected="a JSON Schema")
    strict = item.get("strict")
    if strict is not None and not isinstance(strict, bool):
        raise InvalidRequest(field=f"{where}.strict", expected="true or false")
    extra = {
        member: value
        for member, value in item.items()
        if member not in ("name", "description", "parameters", "strict") and value is not None
    }
    return Tool(name, _description(item, where), schema or {}, strict, extra)


def _custom(item: dict[str, Any], where: str) -> Tool:
    extra = {"type": "custom"} | {
        member: value for member, value in item.items() if member not in ("name", "description") and value is not None
    }
    form = extra.get("format")
    if isinstance(form, dict) and isinstance(form.get("grammar"), dict):
        extra["format"] = {"type": "grammar"} | form["grammar"]
    return Tool(_name(item, where), _description(item, where), extra=extra)


def _names(chosen: dict[str, Any]) -> set[str]:
    tools = chosen.get("tools")
    if not isinstance(tools, list):
        raise InvalidRequest(field="tool_choice.allowed_tools.tools", expected="a list of tools")
    names = set()
    for place, item in enumerate(tools):
        where = f"tool_choice.allowed_tools.tools[{place}]"
        if not isinstance(item, dict):
            raise InvalidRequest(field=where, expected="an object")
        kind = item.get("type")
        names.add(_name(_object(item, kind, where) if kind in ("function", "custom") else item, where))
    return names


def _chosen(choice: str | dict[str, Any], field: str) -> str:
    if isinstance(choice, str):
        if choice not in _CHOICES:
            raise InvalidRequest(field=field, expected="auto, none, required or a tool")
        return choice
    kind = choice.get("type")
    if kind in ("function", "custom"):
        return _name(_object(choice, kind, field), f"{field}.{kind}" if field == "tool_choice" else field)
    raise InvalidRequest(field=f"{field}.type", expected="function, custom or allowed_tools")


def _object(item: dict[str, Any], member: str, where: str) -> dict[str, Any]:
    value = item.get(member)
    if not isinstance(value, dict):
        raise InvalidRequest(field=f"{where}.{member}", expected="an object")
    return value


def _name(item: dict[str, Any], where: str) -> str:
    name = item.get("name")
    if not isinstance(name, str) or not name:
        raise InvalidRequest(field=f"{where}.name", expected="a name")
    return name


def _description(item: dict[str, Any], where: str) -> str:
    text = item.get("description")
    if text is not None and not isinstance(text, str):
        raise InvalidRequest(field=f"{where}.description", expected="a string")
    return text or ""


# ------------------------------------------------------------------ tools for a service


def encode_tools(parameters: Parameters) -> dict[str, Any]:
    """`tools`, `tool_choice` and `parallel_tool_calls`. Raises `UnsupportedInput` for a tool that another service runs."""
    offered, foreigners = allowed(parameters)
    tools = [_encode_tool(tool) for tool in offered]
    for place, foreign in enumerate(foreigners):
        if foreign.dialect != DIALECT:
            raise refused(foreign, place)
        tools.append(foreign.value)
    if not tools:
        return {}
    fields: dict[str, Any] = {"tools": tools}
    choice = parameters.tool_choice
    if choice in _CHOICES:
        fields["tool_choice"] = choice
    elif choice is not None:
        kind = next(
            (tool["type"] for tool in tools if tool.get("type") == "custom" and _named(tool, choice)), "function"
        )
        fields["tool_choice"] = {"type": kind, kind: {"name": choice}}
    if parameters.parallel_tool_calls is not None:
        fields["parallel_tool_calls"] = parameters.parallel_tool_calls
    return fields


def _named(tool: dict[str, Any], name: str) -> bool:
    custom = tool.get("custom")
    return isinstance(custom, dict) and custom.get("name") == name


def _encode_tool(tool: Tool) -> dict[str, Any]:
    made: dict[str, Any] = {"name": tool.name}
    if tool.description:
        made["description"] = tool.description
    rest = {member: value for member, value in tool.extra.items() if member not in _ELSEWHERE}
    if is_custom(tool):
        form = tool.extra.get("format")
        if isinstance(form, dict) and form.get("type") == "grammar" and "grammar" not in form:
            form = {"type": "grammar", "grammar": {key: value for key, value in form.items() if key != "type"}}
        return {"type": "custom", "custom": made | ({} if form is None else {"format": form}) | rest}
    made["parameters"] = tool.parameters or _NO_PARAMETERS
    if tool.strict is not None:
        made["strict"] = tool.strict
    return {"type": "function", "function": made | rest}
