"""Tools that a vendor's service runs by itself, such as a search of the web, in front of a service that has no such tool.

Coding agents offer them with every request. A model need not use what it is offered, so that it is left out, and the
prompt's record says so, unless the caller can't do without it: it demands that tool, or offers nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeVar

from msgspec.structs import replace

from promptd.core.calls import Call
from promptd.core.content import Foreign, Turn
from promptd.core.model import Chunk
from promptd.core.parameters import Parameters
from promptd.dialects.offers import allowed

HostedTools = Literal["leave_out", "refuse"]
#: The same tool in the words of the service's dialect, where it has it
Translate = Callable[[Foreign], dict[str, Any] | None]

AnyCall = TypeVar("AnyCall", bound=Call[Any, Any])


def fitted(
    call: AnyCall, dialect: str, rule: HostedTools, translate: Translate | None = None
) -> tuple[AnyCall, tuple[str, ...]]:
    """The call for a service that speaks `dialect`, and what was left out of it.

    What stays in it of other dialects is refused by whoever encodes it.
    """
    parameters = call.parameters
    if parameters.foreign_tools and translate is not None:
        parameters = _translated(parameters, dialect, translate)
        call = replace(call, parameters=parameters)
    if rule == "refuse":
        return call, ()
    left: list[str] = []
    others = [tool for tool in parameters.foreign_tools if tool.dialect != dialect]
    if others and not _needed(parameters, others):
        mine = tuple([tool for tool in parameters.foreign_tools if tool.dialect == dialect])
        call = replace(call, parameters=replace(parameters, foreign_tools=mine))
        left += [f"the tool {_kind(tool)} was left out: the service has none like it" for tool in others]
    if any(_used(part, dialect) for turn in call.messages if turn.role == "assistant" for part in turn.parts):
        call = replace(call, messages=tuple([turn for one in call.messages if (turn := _without(one, dialect))]))
        left.append("what tools of another service did in earlier turns was left out")
    return call, tuple(left)


def noted(end: Chunk, left: tuple[str, ...]) -> Chunk:
    """An engine's `done` that says what was left out of its call."""
    return replace(end, warnings=(*end.warnings, *left)) if left else end


def _translated(parameters: Parameters, dialect: str, translate: Translate) -> Parameters:
    tools: list[Foreign] = []
    choice, exact = parameters.tool_choice, parameters.extra.get("tool_choice")
    for tool in parameters.foreign_tools:
        wire = translate(tool) if tool.dialect != dialect else None
        if wire is not None and isinstance(exact, dict) and exact.get("type") == tool.value.get("type"):
            choice = wire["name"]
        tools.append(tool if wire is None else Foreign(dialect, wire, tool.place))
    return replace(parameters, foreign_tools=tuple(tools), tool_choice=choice)


def _needed(parameters: Parameters, others: list[Foreign]) -> bool:
    """Whether the call is about these tools: one is demanded, or nothing else is offered."""
    choice, exact = parameters.tool_choice, parameters.extra.get("tool_choice")
    if choice == "none":
        return False
    if isinstance(exact, dict) and exact.get("type") not in ("allowed_tools", "function", "custom"):
        return True
    if any(choice is not None and choice == tool.value.get("name") for tool in others):
        return True
    tools, foreign = allowed(parameters)
    return not tools and not any(tool not in others for tool in foreign)


def _used(part: Any, dialect: str) -> bool:
    return isinstance(part, Foreign) and part.dialect != dialect


def _without(turn: Turn, dialect: str) -> Turn | None:
    """An earlier turn of the model without what tools of other services did; None where that was all of it."""
    if turn.role != "assistant":
        return turn
    parts = tuple([part for part in turn.parts if not _used(part, dialect)])
    if not parts and turn.parts and not turn.content and not turn.tool_calls:
        return None
    return turn if len(parts) == len(turn.parts) else replace(turn, parts=parts)


def _kind(tool: Foreign) -> str:
    return str(tool.value.get("type", "tool"))[:80]
