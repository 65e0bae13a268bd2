"""What a function model said, however it said it: calls, a question back, or neither (contracts/arch.md §5.3)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from promptd.core.content import ToolCall
from promptd.core.extraction.finding import Failed, Finder, spoken

_LONGEST: Final = 64 * 1024
_MOST: Final = 16  #: calls of one reply
_TAG: Final = re.compile(r"<tool_call>(.*?)(?:</tool_call>|(?=<tool_call>)|\Z)", re.DOTALL)
_BRACKETS: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.DOTALL)
_CLOSES: Final = {"{": "}", "[": "]"}


class FunctionCall(Struct, frozen=True):
    """A call that a model wants; `arguments` are None where they can't be read."""

    name: str
    arguments: dict[str, Any] | None = None


class Reply(Struct, frozen=True, kw_only=True):
    """`functions` are those that the model would need more for; `clarification` is its question."""

    calls: tuple[FunctionCall, ...] = ()
    functions: tuple[str, ...] = ()
    clarification: str = ""
    response: str = ""  #: an answer that calls nothing
    form: bool = False  #: it is in one of the forms, and not plain words
    raw: str = field(default="")


def read_reply(text: str, calls: Sequence[ToolCall] = ()) -> Reply:
    """Native calls first, then tags, then JSON with or without a fence, else plain words. Broken brackets are mended."""
    raw = text[:_LONGEST]
    if native := tuple([FunctionCall(one.name, _arguments(one.arguments)) for one in calls[:_MOST]]):
        return Reply(calls=native, form=True, raw=raw or written(native))
    said = spoken(raw).answer
    tagged = [call for found in _TAG.finditer(said) for call in _calls(_objects(found[1]))][:_MOST]
    if tagged:
        return Reply(calls=tuple(tagged), form=True, raw=raw)
    objects = _objects(said) if "{" in said else []
    if found_calls := tuple(_calls(objects))[:_MOST]:
        return Reply(calls=found_calls, form=True, raw=raw)
    for one in objects:
        if "required_functions" in one or "clarification" in one:
            return Reply(
                functions=tuple(_names(one.get("required_functions"))),
                clarification=_text(one, "clarification"),
                form=True,
                raw=raw,
            )
        if "response" in one or "tool_calls" in one:
            return Reply(response=_text(one, "response"), form=True, raw=raw)
    return Reply(response=said.strip(), raw=raw)


def written(calls: Iterable[FunctionCall]) -> str:
    """Calls as a fenced block, the form in which clients see them."""
    return _fenced({"tool_calls": [{"name": one.name, "arguments": one.arguments or {}} for one in calls]})


def written_question(function: str, text: str) -> str:
    """A question in the same form."""
    return _fenced({"required_functions": [function], "clarification": text})


def _fenced(value: dict[str, Any]) -> str:
    return f"```json\n{msgspec.json.encode(value).decode()}\n```"


def _objects(text: str) -> list[dict[str, Any]]:
    scan = Finder(text).scan(text)
    found = [one.value for one in scan.found]
    if not found or (scan.cut and not scan.deep):
        start = text.find("{")
        mended = Finder(text).at(_mended(text[start:]), 0) if start >= 0 else None
        if mended is not None and not isinstance(mended, Failed):
            found = [mended.value]
    flat = [inner for one in found for inner in (one if isinstance(one, list) else [one])]
    return [one for one in flat if isinstance(one, dict)][:_MOST]


def _mended(text: str) -> str:
    """With the brackets closed that were opened, each where its partner ends or at the end."""
    pieces: list[str] = []
    open_: list[str] = []
    place = 0
    for found in _BRACKETS.finditer(text):
        sign = found[0]
        if sign[0] == '"':
            continue
        pieces.append(text[place : found.start()])
        place = found.end()
        if sign in _CLOSES:
            open_.append(sign)
            pieces.append(sign)
        elif sign in [_CLOSES[one] for one in open_[-4:]]:
            while _CLOSES[last := open_.pop()] != sign:
                pieces.append(_CLOSES[last])
            pieces.append(sign)
            if not open_:
                return "".join(pieces)
    rest = text[place:].rstrip().removesuffix("```").rstrip()
    return "".join([*pieces, rest, *[_CLOSES[one] for one in reversed(open_)]])


def _calls(objects: Iterable[dict[str, Any]]) -> Iterator[FunctionCall]:
    for one in objects:
        listed = one.get("tool_calls")
        if isinstance(listed, list):
            yield from _calls([inner for inner in listed if isinstance(inner, dict)])
            continue
        inner = one.get("function")
        one = inner if isinstance(inner, dict) else one
        name = one.get("name")
        if isinstance(name, str) and ("arguments" in one or "parameters" in one):
            yield FunctionCall(name[:256], _arguments(one.get("arguments", one.get("parameters"))))


def _arguments(value: Any) -> dict[str, Any] | None:
    if isinstance(value, str):
        found = _objects(value)
        return found[0] if found else None if value.strip() else {}
    if value is None:
        return {}
    return value if isinstance(value, dict) else None


def _names(value: Any) -> Iterator[str]:
    for one in value if isinstance(value, list) else [value]:
        name = one.get("name") if isinstance(one, dict) else one
        if isinstance(name, str):
            yield name


def _text(one: dict[str, Any], member: str) -> str:
    value = one.get(member)
    return value.strip() if isinstance(value, str) else ""
