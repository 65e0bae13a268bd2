"""Items of an answer that has one JSON value per line, or should have."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from msgspec import Struct

from promptd.core.extraction.finding import Failed, Finder, Found, spoken, whole

MAX_ITEMS: Final = 100_000
_MAX_DROPPED: Final = 10_000
_MAX_TRIES: Final = 64  # of values that begin on a line and don't end there
_TOLD: Final = 20
_LEADING: Final = re.compile(r"\s*```(?:jsonl|ndjson|json)?", re.IGNORECASE)
_BLANK: Final = re.compile(r"\s*")
_TRAILING: Final = re.compile(r"```\s*\Z")

#: what is wrong with a value, None where it fits; in words only if somebody will read them
Judge = Callable[[Any, bool], str | None]


class Item(Struct, frozen=True):
    line: int
    value: Any


def read_lines(text: str, judge: Judge, constrained: bool) -> tuple[list[Any], tuple[str, ...]]:
    """The items that can be read and fit, and what became of the others. Never an error.

    A value may go over several lines. A list stands for its members where it is all there is, or where members are asked
    for (`constrained`) and the list is none.
    """
    dropped: list[str] = []
    found = list(_found(_unfenced(spoken(text).answer), dropped))
    if not constrained:
        sole = len(found) == 1 and isinstance(found[0].value, list)
        items = found[0].value if sole else [item.value for item in found]
        return items, _told(dropped)
    items = []
    for item in found:
        problem = judge(item.value, len(dropped) < _TOLD)
        if problem is None:
            items.append(item.value)
        elif not isinstance(item.value, list):
            dropped.append(f"line {item.line}: {problem}")
        else:
            for member in item.value:
                if wrong := judge(member, len(dropped) < _TOLD):
                    dropped.append(f"line {item.line}: {wrong}")
                else:
                    items.append(member)
    return items, _told(dropped)


def _unfenced(text: str) -> str:
    leading = _LEADING.match(text)
    rest = text[leading.end() :] if leading else text
    return rest[: -len(end[0])] if (end := _TRAILING.search(rest[-1024:])) else rest


def _found(text: str, dropped: list[str]) -> Iterator[Item]:
    finder, tries, count = Finder(text), 0, 0
    position, number = 0, 0
    while position <= len(text) and count < MAX_ITEMS and len(dropped) < _MAX_DROPPED:
        empty = text.rfind("\n", position, _past_blank(text, position)) + 1
        if empty:
            number += text.count("\n", position, empty)
            position = empty
        end = _end_of_line(text, position)
        number += 1
        line, start = text[position:end].strip(), position
        position = end + 1
        if not line or line.startswith("```"):
            continue
        result = whole(line)
        at = number
        if isinstance(result, Failed) and line[0] in "{[" and tries < _MAX_TRIES:
            begin = text.index(line[0], start)
            result = finder.at(text, begin)
            tries += isinstance(result, Failed)
            last = _end_of_line(text, result.end) if isinstance(result, Found) else position
            if isinstance(result, Found) and text[result.end : last].strip() in ("", ","):
                number += text.count("\n", begin, last)
                position = last + 1
            else:  # a value with words behind it is no line of values
                result = Failed(begin, "")
        if isinstance(result, Found):
            count += 1
            yield Item(at, result.value)
        else:
            dropped.append(f"line {at}: not JSON")
    if position <= len(text):
        dropped.append(f"the lines from {number + 1} on were not read: there are too many")


def _past_blank(text: str, position: int) -> int:
    blank = _BLANK.match(text, position)
    return blank.end() if blank else position


def _end_of_line(text: str, position: int) -> int:
    end = text.find("\n", position)
    return len(text) if end < 0 else end


def _told(dropped: list[str]) -> tuple[str, ...]:
    more = len(dropped) - _TOLD
    return (*dropped[:_TOLD], *([f"{more} more"] if more > 0 else []))
