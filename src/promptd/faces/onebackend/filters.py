"""Filters of `POST /prompt-svc/prompts` in both dialects (contract section 5), mixed as callers like."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from promptd.core.errors import InvalidRequest
from promptd.core.filters import Filter, Operator
from promptd.faces.onebackend.lenient import decode, text_of
from promptd.faces.onebackend.times import seconds_of

View = dict[str, Any]
Test = Callable[[View], bool]

_DEEPEST: Final = 20
_MOST_FILTERS: Final = 100  #: of a query, those below `or` included; each is asked about every prompt
_MOST_VALUES: Final = 1000  #: of a filter
_ACTIVE: Final = ("running", "scheduled")
_OPERATORS: Final = {
    "equals": "eq",
    "isInList": "in",
    "in": "in",
    "containsSubstring": "contains",
    "contains": "contains",
    "startsWith": "starts",
    "intersects": "intersects",
    "or": "or",
    "gt": "gt",
    "gte": "gte",
    "lt": "lt",
    "lte": "lte",
    "ne": "ne",
}
#: Members that the store knows by the same meaning; those of `_TIMES` as seconds.
STORED: Final = {
    "id": "id",
    "threadId": "thread",
    "userId": "user",
    "status": "status",
    "modelId": "model",
    "createdAt": "created",
    "updatedAt": "updated",
    "runCount": "runs",
}
_TIMES: Final = frozenset({"createdAt", "updatedAt"})
#: Operators that the store has too.
_EXACT: Final = frozenset({"eq", "in", "ne", "gt", "gte", "lt", "lte"})


def parse(given: Any) -> tuple[tuple[Filter, ...], tuple[Test, ...]]:
    """The filters in two parts, with the usual status where the bare list is asked for."""
    items = _listed(given, "query.filters")
    if _count(items) > _MOST_FILTERS:
        raise InvalidRequest(
            field="query.filters", expected=f"at most {_MOST_FILTERS} filters, {_DEEPEST} levels of subFilters"
        )
    stored: list[Filter] = []
    tests: list[Test] = []
    of_code, about_status = True, False
    for index, item in enumerate(items):
        path = f"query.filters[{index}]"
        fields, operator, values, below = _read(item, path)
        of_code = of_code and not {name.lower() for name in item} & {"field", "operator", "value"}
        about_status = about_status or _names_status(item)
        if (
            len(fields) == 1
            and (operator, fields[0]) != ("ne", "threadId")
            and operator in _EXACT
            and fields[0] in STORED
        ):
            stored.append(_stored(fields[0], operator, values, path))
        else:
            tests.append(_test(fields, operator, values, below, path))
    if not items or (of_code and not about_status):
        stored.append(Filter("status", "in", _ACTIVE))
    return tuple(stored), tuple(tests)


def _lower(item: dict[str, Any]) -> dict[str, Any]:
    return {name.lower(): value for name, value in item.items()}


def _below(item: dict[str, Any]) -> list[dict[str, Any]]:
    return _listed(_lower(item).get("subfilters"), "query.filters.subFilters")


def _count(items: list[dict[str, Any]]) -> int:
    """How many filters there are at all; those below the deepest level make it too many."""
    total = 0
    for _ in range(_DEEPEST):
        total += len(items)
        if not items or total > _MOST_FILTERS:
            return total
        items = [entry for item in items for entry in _below(item)]
    return total + (_MOST_FILTERS if items else 0)


def _names_status(item: dict[str, Any]) -> bool:
    lower = _lower(item)
    named = [*_names(lower.get("fields")), *_names(lower.get("field"))]
    return "status" in named or any(_names_status(entry) for entry in _below(item))


def _names(given: Any) -> list[str]:
    """Names of members, from a list, one text, or the JSON of a list."""
    if isinstance(given, str) and given.lstrip()[:1] == "[":
        given = _json(given, "query.filters.fields")
    names = given if isinstance(given, list) else [given]
    return [first_small(name) for name in names if isinstance(name, str)]


def first_small(name: str) -> str:
    return name[:1].lower() + name[1:]


def _listed(given: Any, path: str) -> list[dict[str, Any]]:
    """Filters as a list, one object, JSON text of either, or a list of such texts."""
    if isinstance(given, str):
        given = _json(given, path) if given.strip() else None
    if given is None:
        return []
    items = given if isinstance(given, list) else [given]
    found: list[dict[str, Any]] = []
    for index, item in enumerate(items):
        parsed = _json(item, f"{path}[{index}]") if isinstance(item, str) else item
        for entry in parsed if isinstance(parsed, list) else [parsed]:
            if not isinstance(entry, dict):
                raise InvalidRequest(field=f"{path}[{index}]", expected="an object")
            found.append(entry)
    return found


def _json(text: str, path: str) -> Any:
    try:
        return decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        raise InvalidRequest(field=path, expected="JSON in the string") from None


def _read(item: dict[str, Any], path: str) -> tuple[list[str], str, list[Any], list[dict[str, Any]]]:
    """Fields, operator, values and sub-filters of one filter, whichever names they have."""
    lower = _lower(item)
    named = lower.get("op") or lower.get("operator")
    operator = _OPERATORS.get(named) if isinstance(named, str) else None
    if operator is None:
        raise InvalidRequest(field=f"{path}.op", expected=f"one of {', '.join(_OPERATORS)}")
    fields = [*_names(lower.get("fields")), *_names(lower.get("field"))]
    if not fields and operator != "or":
        raise InvalidRequest(field=f"{path}.field", expected="the name of a member")
    if len(fields) > _MOST_FILTERS:
        raise InvalidRequest(field=f"{path}.field", expected=f"at most {_MOST_FILTERS} names")
    values = _values(lower, path)
    if len(values) > _MOST_VALUES:
        raise InvalidRequest(field=f"{path}.value", expected=f"at most {_MOST_VALUES} values")
    if not values and operator not in ("in", "intersects", "or"):
        raise InvalidRequest(field=f"{path}.value", expected="a value")
    return fields, operator, values, _listed(lower.get("subfilters"), f"{path}.subFilters")


def _values(lower: dict[str, Any], path: str) -> list[Any]:
    """The values: JSON text of a list in one dialect, in the other whatever it is, or such a text too."""
    given = lower.get("valuesjson")
    if isinstance(given, str):
        given = _json(given, f"{path}.valuesJson") if given.strip() else None
    if given is None:
        given = next((lower[name] for name in ("values", "value") if lower.get(name) is not None), [])
        if isinstance(given, str) and given.lstrip()[:1] == "[":
            try:
                parsed = decode(given)
            except (msgspec.DecodeError, RecursionError, UnicodeError):
                parsed = given  # a text that happens to begin like a list
            given = parsed
    return given if isinstance(given, list) else [given]


def _stored(member: str, operator: str, values: list[Any], path: str) -> Filter:
    usable = [stored_value(member, value, f"{path}.value") for value in values]
    if operator == "in":
        return Filter(STORED[member], "in", tuple(usable))
    plain: dict[str, Operator] = {"eq": "eq", "ne": "ne", "gt": "gt", "gte": "gte", "lt": "lt", "lte": "lte"}
    return Filter(STORED[member], plain[operator], usable[0])


def stored_value(member: str, value: Any, path: str) -> Any:
    if member in _TIMES:
        seconds = seconds_of(value) if isinstance(value, str) else None
        if seconds is None:
            raise InvalidRequest(field=path, expected="an RFC 3339 time")
        return seconds
    if member == "runCount":
        number = _number(value)
        if number is None or abs(number) > 2**53:
            raise InvalidRequest(field=path, expected="a number")
        return number
    return text_of(value, path)


def _test(fields: list[str], operator: str, values: list[Any], below: list[dict[str, Any]], path: str) -> Test:
    if operator == "or":
        parts = []
        for index, item in enumerate(below):
            inner = f"{path}.subFilters[{index}]"
            names, inner_operator, inner_values, deeper = _read(item, inner)
            parts.append(_test(names, inner_operator, inner_values, deeper, inner))
        return lambda view: any(part(view) for part in parts)
    if operator == "contains":
        values = [str(values[0]).lower()]
    return lambda view: any(_fits(member_of(view, name), operator, values) for name in fields)


def member_of(view: View, path: str) -> Any:
    value: Any = view
    for name in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(name, value.get(first_small(name)))
    return value


def _fits(value: Any, operator: str, values: list[Any]) -> bool:
    match operator:
        case "eq":
            return any(_same(part, values[0]) for part in value) if isinstance(value, list) else _same(value, values[0])
        case "ne":
            return not _same(value, values[0])
        case "in":
            return any(_same(value, wanted) for wanted in values)
        case "contains":
            return values[0] in str(value or "").lower()
        case "starts":
            return str(value or "").startswith(str(values[0]))
        case "intersects":
            return isinstance(value, list) and any(_same(part, wanted) for part in value for wanted in values)
        case _:
            return _compare(value, operator, values[0])


def _same(value: Any, wanted: Any) -> bool:
    if isinstance(value, bool):
        return str(wanted).lower() in (("true", "1") if value else ("false", "0"))
    if isinstance(value, int | float):
        return _number(wanted) == value
    return bool(value == wanted)


def _compare(value: Any, operator: str, wanted: Any) -> bool:
    left, right = comparable(value), comparable(wanted)
    if left is None or right is None:
        return False
    return {"gt": left > right, "gte": left >= right, "lt": left < right, "lte": left <= right}[operator]


def comparable(value: Any) -> float | None:
    number = _number(value)
    return number if number is not None else seconds_of(value) if isinstance(value, str) else None


def _number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except (ValueError, OverflowError):
        return None
