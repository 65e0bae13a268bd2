"""The filters of the language. Each counts what it makes before it makes it."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Mapping
from sys import getsizeof
from typing import Any, Final

from promptd.core.jinja import lists
from promptd.core.jinja.conditions import TESTS
from promptd.core.jinja.scope import Scope, Undefined, as_number, items, known, truth
from promptd.core.metering import MAX_DIGITS, Fault

Function = Callable[..., Any]

_MAX_INDENT: Final = 1000
_NUMBER: Final = (int, float)
_SEQUENCES: Final = (list, tuple, str, dict)
_UNICODE_GROWTH: Final = 3
_WORD: Final = re.compile(r"[^-\s({\[<]+")
_WORD_COST: Final = 32  # bytes per character, where every other one may be a word
_ESCAPED: Final = 24  # bytes that a sign of HTML may become


def _written(scope: Scope, value: Any) -> str:
    return scope.meter.text(known(value))


def _changed(change: Callable[[str], str]) -> Function:
    def function(scope: Scope, value: Any) -> str:
        text = _written(scope, value)
        scope.meter.take(getsizeof(text) * (1 if text.isascii() else _UNICODE_GROWTH))
        return change(text)

    return function


def _default(_: Scope, value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    if isinstance(value, Undefined) or (boolean and not value):
        return default_value
    return value


def _length(_: Scope, value: Any) -> int:
    if not isinstance(known(value), _SEQUENCES):
        raise TypeError
    return len(value)


def _replace(scope: Scope, value: Any, old: Any, new: Any) -> str:
    text, before, after = _written(scope, value), _written(scope, old), _written(scope, new)
    wide = 1 if text.isascii() and after.isascii() else 4
    scope.meter.take(len(text))
    scope.meter.take(wide * (len(text) + text.count(before) * len(after)))
    return text.replace(before, after)


def _split(scope: Scope, value: Any, separator: str | None = None, maxsplit: int = -1) -> list[str]:
    text = _written(scope, value)
    scope.meter.take(_split_cost(text, separator))
    return text.split(separator, maxsplit)


def _split_cost(text: str, separator: str | None) -> int:
    if separator is None:
        return _WORD_COST * len(text)  # every other character may be a word
    return getsizeof(text) + 64 * (text.count(separator) + 1)


def _lines(scope: Scope, value: Any) -> list[str]:
    text = _written(scope, value)
    scope.meter.take(getsizeof(text) + 64 * (text.count("\n") + text.count("\r") + 1))
    return text.replace("\r\n", "\n").split("\n")


def _indent(scope: Scope, value: Any, width: int = 4, first: bool = False, blank: bool = False) -> str:
    text = _written(scope, value)
    if not isinstance(width, int) or not 0 <= width <= _MAX_INDENT:
        raise Fault(f"indent takes a width from 0 to {_MAX_INDENT}")
    count = text.count("\n") + 1
    scope.meter.step(count)
    scope.meter.take(2 * getsizeof(text) + count * (64 + width * (1 if text.isascii() else 4)))
    lines = text.split("\n")
    space = " " * width
    padded = [space + line if (line or blank) and (index or first) else line for index, line in enumerate(lines)]
    return "\n".join(padded)


def _tojson(scope: Scope, value: Any, indent: int | None = None) -> str:
    scope.meter.weigh(known(value))
    scope.meter.weigh(value)  # twice: quotes grow
    if indent is True:
        indent = 2
    if indent is not None and not 0 <= indent <= 8:
        raise Fault("tojson takes an indent from 0 to 8")
    if indent:
        scope.meter.weigh(value)
        scope.meter.step(_nodes(value))
    return scope.meter.made(json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False, default=list))


def _nodes(value: Any) -> int:
    count, level = 0, [value]
    while level:
        count += len(level)
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
    return count


def _escape(scope: Scope, value: Any) -> str:
    text = _written(scope, value)
    scope.meter.take(getsizeof(text) + _ESCAPED * sum(map(text.count, "&<>\"'")))
    return html.escape(text)


def _int(_: Scope, value: Any, default: Any = None) -> Any:
    """Whole numbers are cut, not rounded."""
    if isinstance(known(value), str) and len(value) > MAX_DIGITS:
        raise ValueError
    return _converted(int, value, default)


def _float(_: Scope, value: Any, default: Any = None) -> Any:
    return _converted(float, value, default)


def _converted(kind: Callable[[Any], Any], value: Any, default: Any) -> Any:
    try:
        if isinstance(known(value), str | int | float):
            return kind(value)
    except (ValueError, OverflowError):
        pass
    if default is None:
        raise ValueError
    return default


def _round(_: Scope, value: Any, precision: int = 0) -> float | int:
    if abs(precision) > 100:
        raise ValueError
    number = _measure(value)
    return number if isinstance(number, int) else round(number, precision)


def _map(scope: Scope, value: Any, *given: Any, attribute: Any = None, default: Any = None) -> list[Any]:
    found = items(scope.meter, value)
    scope.meter.step(len(found))
    if attribute is not None:
        inner = [lists.inner(item, attribute) for item in found]
        return [default if isinstance(item, Undefined) and default is not None else known(item) for item in inner]
    name, *rest = given
    if name not in FILTERS or FILTERS[name] is _map:
        raise Fault(f"There is no filter {str(name)[:40]!r} for map")
    return [FILTERS[name](scope, item, *rest) for item in found]


def _choose(wanted: bool, by_attribute: bool) -> Function:
    def function(scope: Scope, value: Any, *given: Any) -> list[Any]:
        attribute, rest = (given[0], given[1:]) if by_attribute else (None, given)
        name, *more = rest or ("truthy",)
        if name not in TESTS:
            raise Fault(f"There is no test {str(name)[:40]!r}")
        found = items(scope.meter, value)
        scope.meter.step(len(found))
        return [item for item in found if bool(TESTS[name](scope, lists.inner(item, attribute), *more)) is wanted]

    return function


def _pprint(scope: Scope, value: Any) -> str:
    return _tojson(scope, value, 2)


def _title(scope: Scope, value: Any) -> str:
    text = _written(scope, value)
    scope.meter.take(_WORD_COST * len(text))
    return _WORD.sub(lambda word: word[0][:1].upper() + word[0][1:].lower(), text)


def _safe(_: Scope, value: Any) -> Any:
    return value


def _list(scope: Scope, value: Any) -> list[Any]:
    return items(scope.meter, value)


def _string(scope: Scope, value: Any) -> str:
    return _written(scope, value)


def _bool(_: Scope, value: Any) -> bool:
    return truth(value)


def _absolute(_: Scope, value: Any) -> int | float:
    return abs(_measure(value))


def _measure(value: Any) -> int | float:
    """A number that is no truth value. Raises `TypeError`."""
    if type(value) is bool:
        raise TypeError
    return as_number(value)


FILTERS: Final[Mapping[str, Function]] = {
    "abs": _absolute,
    "batch": lists.batch,
    "bool": _bool,
    "capitalize": _changed(str.capitalize),
    "count": _length,
    "d": _default,
    "default": _default,
    "dictsort": lists.dictsort,
    "e": _escape,
    "escape": _escape,
    "first": lists.first,
    "float": _float,
    "indent": _indent,
    "int": _int,
    "items": lists.pairs,
    "join": lists.join,
    "last": lists.last,
    "length": _length,
    "lines": _lines,
    "list": _list,
    "lower": _changed(str.lower),
    "map": _map,
    "max": lists.extreme(max),
    "min": lists.extreme(min),
    "pprint": _pprint,
    "reject": _choose(wanted=False, by_attribute=False),
    "rejectattr": _choose(wanted=False, by_attribute=True),
    "replace": _replace,
    "reverse": lists.reverse,
    "round": _round,
    "safe": _safe,
    "select": _choose(wanted=True, by_attribute=False),
    "selectattr": _choose(wanted=True, by_attribute=True),
    "sort": lists.sort,
    "split": _split,
    "string": _string,
    "sum": lists.total,
    "title": _title,
    "tojson": _tojson,
    "trim": _changed(str.strip),
    "unique": lists.unique,
    "upper": _changed(str.upper),
}
