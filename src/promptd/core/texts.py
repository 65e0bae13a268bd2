"""Everything a prompt or an answer says, as turns that a guard can judge.

Each piece of text stands in the `content` of a turn of its own, so that a guard which looks at nothing else misses
nothing. JSON gives its names and values one per line: encoded, an escaped quote or line end would hide a word.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from promptd.core.errors import InvalidRequest
from promptd.core.model import Answer, Parameters, Request, Role, Turn

#: How deep lists and objects of a request may be nested; stores and engines walk them recursively
MAX_DEPTH = 100


def request_turns(request: Request) -> tuple[Turn, ...]:
    """What the caller wrote that an engine may see: conversation, texts, parameters, tools, schemas, `extra`."""
    spoken = [turn for message in request.messages for turn in _spoken(message)]
    written = [*request.texts, *_written(request.parameters)]
    return (*spoken, *(Turn("user", text) for text in written if text))


def answer_turns(answer: Answer) -> tuple[Turn, ...]:
    """What an answer says: its text, its tool calls and its value."""
    said = Turn("assistant", answer.text, tool_calls=answer.tool_calls)
    value = "" if answer.value is None else _lines(answer.value)
    return (*_spoken(said), *([Turn("assistant", value)] if value else []))


def check_depth(value: Any, field: str) -> None:
    """Raise `InvalidRequest` that names `field` where lists and objects are nested deeper than `MAX_DEPTH`."""
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [child for parent in level for child in _children(parent) if isinstance(child, dict | list | tuple)]
        if not level:
            return
    raise InvalidRequest(field=field, expected=f"at most {MAX_DEPTH} levels of lists and objects")


def _spoken(turn: Turn) -> Iterator[Turn]:
    yield from _turns(turn.role, turn.content, turn.name, turn.tool_call_id)
    for call in turn.tool_calls:
        yield from _turns(turn.role, call.id, call.name, call.arguments)


def _turns(role: Role, *texts: str | None) -> Iterator[Turn]:
    return (Turn(role, text) for text in texts if text)


def _written(parameters: Parameters) -> Iterator[str]:
    yield from parameters.stop
    yield parameters.template or ""
    yield parameters.grammar or ""
    yield parameters.tool_choice or ""
    for tool in parameters.tools:
        yield tool.name
        yield tool.description
        yield _lines(tool.parameters)
    if parameters.json_schema is not None:
        yield _lines(parameters.json_schema)
    if parameters.image is not None:
        yield parameters.image.prompt or ""
        yield parameters.image.negative_prompt or ""
        yield from parameters.image.styles
        yield _lines(parameters.image.extra)
    if parameters.speech is not None:
        yield parameters.speech.voice or ""
    yield _lines(parameters.extra)


def _lines(value: Any) -> str:
    """Every name and every value in a JSON value, one per line, in order; iterative, for answers of any depth."""
    lines: list[str] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            for name, child in reversed(one.items()):
                waiting += (child, str(name))
        elif isinstance(one, list | tuple):
            waiting += reversed(one)
        else:
            lines.append(str(one))
    return "\n".join(lines)


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        yield from value.values()
    elif isinstance(value, list | tuple):
        yield from value
