"""Tools, the choice among them and the form of the answer: Responses API to ours and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from promptd.core.content import Foreign, Tool
from promptd.core.errors import InvalidRequest
from promptd.core.parameters import Parameters
from promptd.dialects import fields
from promptd.dialects.offers import is_custom, refused
from promptd.dialects.responses import namespaces
from promptd.dialects.responses.parts import DIALECT
from promptd.dialects.searching import responses_search

_MODES: Final = ("auto", "none", "required")
_ELSEWHERE: Final = frozenset({"cache_control", "eager_input_streaming", "input_examples"})
_OURS: Final = ("function", "custom")
_CALLERS: Final = ("direct", "programmatic")


def decode_tools(body: dict[str, Any]) -> tuple[tuple[Tool, ...], tuple[Foreign, ...]]:
    """Functions, and what the service or only this dialect knows. Takes `tools`; raises `InvalidRequest`."""
    tools: list[Tool] = []
    foreign: list[Foreign] = []
    for place, given in enumerate(fields.objects(body, "tools")):
        tool, where = dict(given), f"tools[{place}]."
        kind = fields.needed_text(tool, "type", where)
        if kind in _OURS:
            tools.append(_tool(tool, kind, where))
        elif kind == namespaces.KIND and _holds_tools(tool):
            tools += _inner(tool, where)
        else:
            foreign.append(Foreign(DIALECT, {"type": kind, **fields.rest(tool)}, place))
    namespaces.check(tools)
    return tuple(tools), tuple(foreign)


def _tool(tool: dict[str, Any], kind: str, where: str) -> Tool:
    name = fields.needed_text(tool, "name", where)
    words = fields.text(tool, "description", where) or ""
    if kind == "custom":
        return Tool(name, words, extra={"type": kind, **fields.rest(tool)})
    return Tool(
        name,
        words,
        parameters=fields.mapping(tool, "parameters", where) or {},
        strict=fields.flag(tool, "strict", where),
        extra=fields.rest(tool),
    )


def _holds_tools(space: dict[str, Any]) -> bool:
    """Whether everything in the namespace is a tool that other dialects have too."""
    inner = space.get("tools")
    return isinstance(inner, list) and all(isinstance(tool, dict) and tool.get("type") in _OURS for tool in inner)


def _inner(space: dict[str, Any], where: str) -> list[Tool]:
    name = fields.needed_text(space, "name", where)
    words = fields.text(space, "description", where) or ""
    found = []
    for place, given in enumerate(fields.objects(space, "tools", where)):
        tool, inside = dict(given), f"{where}tools[{place}]."
        kind = fields.needed_text(tool, "type", inside)
        found.append(namespaces.placed(_tool(tool, kind, inside), name, words))
    return found


def decode_tool_choice(body: dict[str, Any], tools: Sequence[Tool] = ()) -> tuple[str | None, Any]:
    """Mode or name (of one of `tools`), and the choice as it came where it says more than that. Takes `tool_choice`."""
    choice = body.pop("tool_choice", None)
    if choice is None or choice in _MODES:
        return choice, None
    if type(choice) is not dict or type(choice.get("type")) is not str:
        raise InvalidRequest(field="tool_choice", expected=f"one of {', '.join(_MODES)}, or an object with a type")
    match choice["type"]:
        case "function" | "custom":
            name = fields.needed_text(dict(choice), "name", "tool_choice.")
            return namespaces.found(tools, name, fields.text(dict(choice), "namespace", "tool_choice.")), None
        case "allowed_tools":
            mode = choice.get("mode")
            if mode not in _MODES:
                raise InvalidRequest(field="tool_choice.mode", expected="auto or required")
            return mode, choice
    return "required", choice


def encode_tools(parameters: Parameters) -> list[dict[str, Any]]:
    """Raises `UnsupportedInput` for a tool that another dialect's service runs."""
    tools = namespaces.told(parameters.tools, encode_tool)
    for place, foreign in enumerate(parameters.foreign_tools):
        if foreign.dialect != DIALECT:
            raise refused(foreign, place)
        tools.append(foreign.value)
    search = responses_search(parameters)
    return tools if search is None else [*tools, search]


def encode_tool(tool: Tool) -> dict[str, Any]:
    """What says nothing of strictness means no strictness in every other dialect, and the opposite in this one."""
    extra = {name: value for name, value in tool.extra.items() if name not in _ELSEWHERE}
    callers = extra.get("allowed_callers")
    if isinstance(callers, list) and not all(caller in _CALLERS for caller in callers):
        del extra["allowed_callers"]  # Anthropic's
    if is_custom(tool):
        return {"type": "custom", "name": tool.name, "description": tool.description or None, **extra}
    function: dict[str, Any] = {
        "type": "function",
        "name": tool.name,
        "description": tool.description or None,
        "parameters": tool.parameters or {"type": "object", "properties": {}},
        "strict": bool(tool.strict),
    }
    return function | extra if extra else function


def encode_tool_choice(parameters: Parameters) -> Any:
    """None where nothing was chosen."""
    choice = parameters.tool_choice
    given = parameters.extra.get("tool_choice")
    if isinstance(given, dict):
        return given
    if choice is None or choice in _MODES:
        return choice
    custom = any(tool.name == choice and is_custom(tool) for tool in parameters.tools)
    return {"type": "custom" if custom else "function", **namespaces.named(parameters.tools, choice)}


def encode_text(parameters: Parameters) -> dict[str, Any]:
    """`text`: the form of the answer and its verbosity; empty where nothing was asked."""
    given = parameters.extra.get("text")
    text: dict[str, Any] = dict(given) if isinstance(given, dict) else {}
    rest = text.pop("format", None)
    form = rest if isinstance(rest, dict) else {}
    if parameters.json_schema is not None:
        form = {
            "type": "json_schema",
            "name": parameters.schema_name or "answer",
            "schema": parameters.json_schema,
            "strict": bool(parameters.schema_strict),
            **form,
        }
    elif parameters.json_object:
        form = {"type": "json_object", **form}
    if form:
        text["format"] = form
    verbosity = parameters.extra.get("verbosity")
    if verbosity is not None:
        text["verbosity"] = verbosity
    return text
