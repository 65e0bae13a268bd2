"""What examples say of an output, and whether it holds."""

from __future__ import annotations

import re
from typing import Any, Final

import re2

from promptd.core.errors import InvalidRequest
from promptd.core.output import check_schema, validator
from promptd.core.template import Assertion

_STEP: Final = re.compile(r"\.?([A-Za-z_][A-Za-z0-9_-]*)|\[(\d{1,6})\]")
_MISSING: Final = object()
_SHOWN: Final = 200  # characters of a value in a message


def check_assertion(assertion: Assertion, field: str) -> None:
    """Raises `InvalidRequest` for an assertion that could never be judged."""
    kind, value = assertion.kind, assertion.value
    if assertion.path and _steps(assertion.path) is None:
        raise InvalidRequest(field=f"{field}.path", expected="a path such as items[0].name")
    if kind in ("contains", "not_contains") and not isinstance(value, str):
        raise InvalidRequest(field=f"{field}.value", expected="a text")
    if kind in ("min_length", "max_length") and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise InvalidRequest(field=f"{field}.value", expected="a whole number")
    if kind == "schema":
        if not isinstance(value, dict):
            raise InvalidRequest(field=f"{field}.value", expected="a JSON Schema")
        check_schema(value, f"{field}.value")
    if kind == "matches":
        try:
            re2.compile(value)
        except (re2.error, TypeError):
            raise InvalidRequest(field=f"{field}.value", expected="a regular expression of RE2") from None


def failure(assertion: Assertion, output: Any) -> str | None:
    """Why the assertion does not hold of `output` (the value that was promised, or else the text); None where it does."""
    found = _at(output, assertion.path)
    place = assertion.path or "the output"
    if found is _MISSING:
        return f"{place} is not there"
    expected = assertion.value
    match assertion.kind:
        case "equals":
            held = _same(found, expected)
        case "contains":
            held = _contains(found, expected)
        case "not_contains":
            held = not _contains(found, expected)
        case "matches":
            held = isinstance(found, str) and re2.search(expected, found) is not None
        case "schema":
            held = validator(expected).is_valid(found)
        case "min_length":
            held = isinstance(found, str | list | dict) and len(found) >= expected
        case "max_length":
            held = isinstance(found, str | list | dict) and len(found) <= expected
    return None if held else f"{place}: expected {assertion.kind} {_short(expected)}, found {_short(found)}"


def _contains(found: Any, expected: str) -> bool:
    return expected in found if isinstance(found, str | list | dict) else False


def _same(one: Any, other: Any) -> bool:
    """Equal as JSON: `true` is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _steps(path: str) -> list[str | int] | None:
    steps: list[str | int] = []
    place = 0
    while place < len(path):
        found = _STEP.match(path, place)
        if found is None or found.end() == place:
            return None
        steps.append(found[1] if found[1] is not None else int(found[2]))
        place = found.end()
    return steps


def _at(value: Any, path: str) -> Any:
    for step in _steps(path) or ():
        named = isinstance(value, dict) and isinstance(step, str) and step in value
        counted = isinstance(value, list) and isinstance(step, int) and step < len(value)
        if not (named or counted):
            return _MISSING
        value = value[step]
    return value


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
