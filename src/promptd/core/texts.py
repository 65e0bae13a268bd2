"""Everything a prompt or an answer says, as turns that a guard can judge.

Each piece of text stands in the `content` of a turn of its own, so that a guard which looks at nothing else misses
nothing. JSON gives its names and values one per line: encoded, an escaped quote or line end would hide a word.
"""

from __future__ import annotations

import json
import re
from binascii import Error, a2b_base64, unhexlify
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from promptd.core.content import Document, Foreign, Image, Part, Refusal, Role, Text, Thinking, Turn, text_of
from promptd.core.errors import InvalidRequest
from promptd.core.model import Answer, Request
from promptd.core.parameters import Parameters

#: How deep lists and objects of a request may be nested; stores and engines walk them recursively
MAX_DEPTH = 100


class _Offered(Struct, frozen=True):
    tools: Any = None


_ESCAPED: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_offered: Final = msgspec.json.Decoder(_Offered).decode
_decode: Final = msgspec.json.Decoder().decode
_encode: Final = msgspec.json.Encoder().encode
#: how an escaped colon begins
_COLON: Final = b"\\u003"


def is_plain(request: Request) -> bool:
    """Whether it says nothing but the words of its turns, none of them a tool's: each turn is one text, and no more."""
    if request.texts or request.metadata or request.value or not request.parameters.wordless():
        return False
    for turn in request.messages:
        if turn.parts or turn.tool_calls or turn.name or turn.tool_call_id or turn.extra or turn.role == "tool":
            return False
    return True


def request_turns(request: Request, body: bytes = b"") -> tuple[Turn, ...]:
    """What the caller wrote that an engine may see: conversation, texts, parameters, tools, schemas, labels, `extra`.

    `body` is the request as it came, where a service may get that: it may tell of tools what has no place in a request.
    """
    parameters = request.parameters
    wordless = parameters.wordless() and not request.texts and not request.metadata and not request.value
    if wordless and all(map(_is_simple, request.messages)):
        return request.messages  # most calls: nothing to take apart
    spoken = [turn for message in request.messages for turn in _spoken(message)]
    written = [*request.texts, *_written(parameters), _lines(request.metadata), _lines(request.value or ())]
    if body and (parameters.tools or parameters.foreign_tools):
        written.append(_lines(_offered(body).tools))
    return (*spoken, *(Turn("user", text) for text in written if text))


def names_twice(body: bytes) -> bool:
    """Whether an object of a JSON text has a name twice: readers differ in which of the two members they take."""
    if b"\\" in body and _COLON in body:
        return _names_twice(body)
    try:
        # of two members with one name only the last is left, and its colon: most texts are told at the cost of that
        return _colons(_encode(_decode(body))) != _colons(body)
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError):
        return _names_twice(body)


def _colons(text: bytes) -> int:
    """How many: `count` looks at each byte, and costs several times as much as this."""
    return len(text) - len(text.replace(b":", b""))


def _names_twice(body: bytes) -> bool:
    """The same of every text that some reader takes for JSON."""
    found = False

    def look(members: list[tuple[str, Any]]) -> None:
        nonlocal found
        found = found or len({name for name, _ in members}) < len(members)

    try:
        # numbers are no matter, and some are too long to be read
        json.loads(body, object_pairs_hook=look, parse_int=len, parse_float=len, strict=False)
    except (ValueError, RecursionError):
        return body.lstrip()[:1] == b"{"
    return found


def answer_turns(answer: Answer) -> tuple[Turn, ...]:
    """What an answer says: its text, its tool calls and its value."""
    parts: tuple[Part, ...] = answer.thinking
    if answer.refusal:
        parts = (*parts, Refusal(answer.refusal))
    said = Turn("assistant", answer.text, tool_calls=answer.tool_calls, parts=parts)
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


def _is_simple(turn: Turn) -> bool:
    return not (turn.parts or turn.tool_calls or turn.name or turn.tool_call_id or turn.extra)


def _spoken(turn: Turn) -> Iterator[Turn]:
    yield from _turns(turn.role, turn.content, turn.name, turn.tool_call_id)
    for part in turn.parts:
        yield from _turns(turn.role, *_part(part))
    if sum(isinstance(part, Text | Refusal) for part in turn.parts) > 1:
        yield from _turns(turn.role, text_of(turn))  # a word may begin in one part and end in the next
    if turn.extra:
        yield from _turns(turn.role, _lines(turn.extra))
    for call in turn.tool_calls:
        yield from _turns(turn.role, call.id, call.name, call.arguments)
        if "\\" in call.arguments:
            yield from _turns(turn.role, _unescaped(call.arguments))


def _part(part: Part) -> Iterator[str]:
    """What a part says, and what stands beside it; bytes and proofs say nothing."""
    match part:
        case Text() | Refusal() | Thinking():
            yield part.text
        case Document():
            yield part.text
            yield part.name
            yield text_in(part.url) if part.url[:5].lower() == "data:" else part.url
        case Image():
            yield "" if part.url.startswith("data:") else part.url
        case Foreign():
            yield _lines(part.value)
            return
    if part.extra:
        yield _lines(part.extra)


def _unescaped(arguments: str) -> str:
    """Each value of JSON text; nothing where it is none."""
    try:
        return _lines(_decode(arguments))
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        return ""


def text_in(address: str) -> str:
    """What a `data:` address holds, where that is text."""
    head, _, data = address[5:].partition(",")
    kind, *options = head.lower().split(";")
    if kind.strip() and not kind.strip().startswith("text/"):
        return ""
    try:
        plain = _ESCAPED.sub(lambda one: unhexlify(one[1]), data.encode(errors="replace"))
        found = a2b_base64(plain) if "base64" in options[-1:] else plain
    except (Error, ValueError):
        return ""  # no service can read it either
    return found.decode("utf-8", "replace")


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
        yield _lines(tool.extra)
    for foreign in parameters.foreign_tools:
        yield _lines(foreign.value)
    yield parameters.schema_name or ""
    yield parameters.user or ""
    yield parameters.effort or ""
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
