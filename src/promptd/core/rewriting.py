"""The words of a request changed one by one, wherever they stand: what guards that replace things work through."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from msgspec.structs import replace

from promptd.core.content import Document, Foreign, Part, Refusal, Text, Thinking, ToolCall, Turn
from promptd.core.model import Request
from promptd.core.parameters import Parameters
from promptd.core.texts import text_in

Change = Callable[[str], str]


def rewrite(request: Request, change: Change, *, tool: bool = True, rest: bool = True) -> Request:
    """The request with `change` made to each of its texts: those of tools' results (`tool`), all others (`rest`).

    Names, ids, schemas and addresses stay as they are, for they are no prose: who must be sure that nothing is left looks
    once more. Raises `RecursionError` for values that are nested too deep.
    """
    turns = tuple(_turn(turn, change) if (tool if turn.role == "tool" else rest) else turn for turn in request.messages)
    if not rest:
        return replace(request, messages=turns)
    return replace(
        request,
        messages=turns,
        texts=tuple(map(change, request.texts)),
        metadata=deep(request.metadata, change),
        value=deep(request.value, change),
        parameters=_parameters(request.parameters, change),
    )


def rewrite_turns(turns: tuple[Turn, ...], change: Change) -> tuple[Turn, ...]:
    """As `rewrite`, of what a conversation says that no tool gave back."""
    return tuple(turn if turn.role == "tool" else _turn(turn, change) for turn in turns)


def deep(value: Any, change: Change) -> Any:
    """A JSON value with `change` made to each of its strings, but not to names."""
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {name: deep(child, change) for name, child in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(deep(child, change) for child in value)
    return value


def arguments(text: str, change: Change) -> str:
    """The arguments of a call: JSON, of which only what is changed is written anew, or any text."""
    try:
        value = json.loads(text)
    except ValueError:
        return change(text)
    changed = deep(value, change)
    return text if changed == value else json.dumps(changed, ensure_ascii=False)


def _turn(turn: Turn, change: Change) -> Turn:
    return replace(
        turn,
        content=change(turn.content) if turn.content else "",
        parts=tuple(_part(part, change) for part in turn.parts),
        tool_calls=tuple(_call(call, change) for call in turn.tool_calls),
        extra=deep(turn.extra, change),
    )


def _call(call: ToolCall, change: Change) -> ToolCall:
    return replace(call, arguments=arguments(call.arguments, change))


def _part(part: Part, change: Change) -> Part:
    match part:
        case Thinking():
            text = change(part.text)
            # a proof of other words is none, and its maker would refuse it
            return part if text == part.text else replace(part, text=text, signature="")
        case Text() | Refusal():
            return replace(part, text=change(part.text), extra=deep(part.extra, change))
        case Document():
            return _document(part, change)
        case Foreign():
            return replace(part, value=deep(part.value, change))
        case _:
            return part


def _document(part: Document, change: Change) -> Document:
    part = replace(part, text=change(part.text), name=change(part.name))
    text = text_in(part.url)
    changed = change(text)
    return part if changed == text else replace(part, url="", text=changed)


def _parameters(parameters: Parameters, change: Change) -> Parameters:
    if parameters.wordless():
        return parameters
    image = parameters.image
    if image is not None:
        image = replace(
            image,
            prompt=None if image.prompt is None else change(image.prompt),
            negative_prompt=None if image.negative_prompt is None else change(image.negative_prompt),
        )
    return replace(
        parameters,
        image=image,
        user=None if parameters.user is None else change(parameters.user),
        tools=tuple(replace(tool, description=change(tool.description)) for tool in parameters.tools),
        extra=deep(parameters.extra, change),
    )
