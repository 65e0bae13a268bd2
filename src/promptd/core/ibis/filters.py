"""The filters of the language. Each counts what it makes before it makes it."""

from __future__ import annotations

import html
import pprint
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from sys import getsizeof
from typing import Any, Final

from msgspec import Struct

from promptd.core.ibis import markup
from promptd.core.ibis.scope import MISSING, Scope
from promptd.core.metering import Fault, Limits, Meter

_SEQUENCES: Final = (str, list, tuple, range)
_WORD: Final = re.compile(r"[A-Za-z]+('[A-Za-z]+)?")
_NO_SPACE: Final = re.compile(r"\S+")
_MOMENT: Final = re.compile(r"(?:[^%]|%[-_0^#]?[A-Za-z%]){0,200}")
_ESCAPED_GROWTH: Final = 6  # `'` becomes `&#x27;`
_UPPER_GROWTH: Final = 3
_TITLE_COST: Final = 8
_PRETTY: Final = Limits(work=1 << 15)  # Python's printer is slow
_PRETTY_STEP: Final = 8  # bytes in the time of a step

FAILURES: Final = (TypeError, ValueError, LookupError, ArithmeticError)


class Filter(Struct, frozen=True):
    """A function on a value, and how many more values it takes."""

    name: str
    function: Callable[..., Any]
    least: int
    most: int

    def apply(self, scope: Scope, value: Any, arguments: tuple[Any, ...], line: int) -> Any:
        """Raises `Fault` where the value is not of the filter's kind."""
        try:
            return self.function(scope, value, *arguments)
        except FAILURES:
            raise Fault(f"The filter {self.name} can't take this value", line) from None
        except Fault as fault:
            raise fault.at(line) from None


FILTERS: Final[dict[str, Filter]] = {}


def _filter(*names: str, least: int = 0, most: int = 0) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            FILTERS[name] = Filter(name, function, least, max(least, most))
        return function

    return register


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _number(value: Any) -> int | float:
    if not isinstance(value, int | float):  # `%` on a text would format it
        raise TypeError
    return value


def _sequence(value: Any) -> Sequence[Any]:
    if not isinstance(value, _SEQUENCES):
        raise TypeError
    return value


def _items(meter: Meter, value: Any) -> list[Any]:
    """The items of anything that can be walked through, counted before they are listed."""
    if not hasattr(value, "__iter__"):
        raise TypeError
    count = len(value)
    meter.step(count)
    return list(value)


# --- any value ---------------------------------------------------------------------------------------------------


@_filter("default", least=1)
def _default(_: Scope, value: Any, fallback: Any) -> Any:
    return value or fallback


@_filter("if_undefined", least=1)
def _if_undefined(scope: Scope, value: Any, fallback: Any) -> Any:
    return value if _is_defined(scope, value) else fallback


@_filter("is_defined")
def _is_defined(_: Scope, value: Any) -> bool:
    return value is not MISSING


@_filter("str")
def _str(scope: Scope, value: Any) -> str:
    return scope.text(value)


@_filter("repr")
def _repr(scope: Scope, value: Any) -> str:
    scope.meter.weigh(value)
    return repr(value)


@_filter("pprint")
def _pprint(scope: Scope, value: Any) -> str:
    pretty = Meter(_PRETTY)
    pretty.weigh(value)
    scope.meter.step(pretty.worked // _PRETTY_STEP)
    scope.meter.weigh(value)
    return scope.meter.made(pprint.pformat(value))


@_filter("wrap", least=1)
def _wrap(scope: Scope, value: Any, tag: Any) -> str:
    inner, name = scope.text(value), scope.text(tag)
    scope.meter.take(getsizeof(inner) + 2 * getsizeof(name))
    return f"<{name}>{inner}</{name}>"


# --- lists and texts ---------------------------------------------------------------------------------------------


@_filter("len", "length")
def _length(_: Scope, value: Any) -> int:
    return len(value)


@_filter("join", most=1)
def _join(scope: Scope, value: Any, separator: str = "") -> str:
    items = _items(scope.meter, value)
    scope.meter.take(getsizeof(_text(separator)) * len(items))
    texts = [scope.text(item) for item in items]
    scope.meter.take(sum(map(getsizeof, texts)))
    return separator.join(texts)


@_filter("first")
def _first(_: Scope, value: Any) -> Any:
    return _sequence(value)[0]


@_filter("last")
def _last(_: Scope, value: Any) -> Any:
    return _sequence(value)[-1]


@_filter("index", least=1)
def _index(_: Scope, value: Any, place: Any) -> Any:
    return value[place] if isinstance(value, dict) else _sequence(value)[place]


@_filter("slice", least=1, most=3)
def _slice(scope: Scope, value: Any, start: Any, stop: Any = None, step: Any = None) -> Any:
    cut = slice(start, stop, step)
    sequence = _sequence(value)
    if not isinstance(sequence, range):
        scope.meter.take(len(range(*cut.indices(len(sequence)))) * (4 if isinstance(sequence, str) else 8))
    return sequence[cut]


@_filter("reversed")
def _reversed(scope: Scope, value: Any) -> list[Any]:
    if value is MISSING:
        raise TypeError
    return _items(scope.meter, value)[::-1]


@_filter("random")
def _random(scope: Scope, value: Any) -> Any:
    return scope.random.choice(_sequence(value))


# --- numbers and moments -----------------------------------------------------------------------------------------


@_filter("even")
def _even(_: Scope, value: Any) -> bool:
    return _number(value) % 2 == 0


@_filter("odd")
def _odd(_: Scope, value: Any) -> bool:
    return _number(value) % 2 != 0


@_filter("divisible_by", least=1)
def _divisible_by(_: Scope, value: Any, divisor: Any) -> bool:
    return _number(value) % _number(divisor) == 0


@_filter("dtformat", most=1)
def _dtformat(_: Scope, value: Any, written: str = "%Y-%m-%d %H:%M") -> str:
    if not isinstance(value, datetime) or not _MOMENT.fullmatch(_text(written)):
        raise TypeError
    return value.strftime(written)


# --- texts -------------------------------------------------------------------------------------------------------


@_filter("upper")
def _upper(scope: Scope, value: Any) -> str:
    scope.meter.take(getsizeof(_text(value)) * (1 if value.isascii() else _UPPER_GROWTH))
    return _text(value).upper()


@_filter("lower")
def _lower(scope: Scope, value: Any) -> str:
    scope.meter.take(getsizeof(_text(value)) * (1 if value.isascii() else _UPPER_GROWTH))
    return _text(value).lower()


@_filter("title", "titlecase")
def _title(scope: Scope, value: Any) -> str:
    scope.meter.take(_TITLE_COST * getsizeof(_text(value)))
    return _WORD.sub(lambda word: word[0][0].upper() + word[0][1:], value)


@_filter("startswith", least=1)
def _startswith(_: Scope, value: Any, start: Any) -> bool:
    return _text(value).startswith(start)


@_filter("endswith", least=1)
def _endswith(_: Scope, value: Any, end: Any) -> bool:
    return _text(value).endswith(end)


@_filter("truncatechars", least=1, most=2)
def _truncatechars(scope: Scope, value: Any, most: int, ellipsis: str = "...") -> Any:
    if not hasattr(value, "__len__") or len(value) <= most:
        len(value)
        return value
    kept = scope.meter.made(_text(value)[: most - 3]).rstrip(" .,;:?!")
    return scope.meter.made(kept + _text(ellipsis))


@_filter("truncatewords", least=1, most=2)
def _truncatewords(scope: Scope, value: Any, most: int, ellipsis: str = " [...]") -> str:
    words: list[str] = []
    limit = most if most >= 0 else None
    for word in _NO_SPACE.finditer(_text(value)):
        scope.meter.step()
        if limit is not None and len(words) == limit:
            return scope.meter.made(" ".join(words) + _text(ellipsis))
        words.append(word[0])
    if limit is None and len(words) > most:
        return scope.meter.made(" ".join(words[:most]) + _text(ellipsis))
    return scope.meter.made(" ".join(words))


@_filter("teaser", most=1)
def _teaser(scope: Scope, value: Any, delimiter: str = "<!-- more -->") -> str:
    found = _text(value).find(delimiter)
    return "" if found < 0 else scope.meter.made(value[:found])


@_filter("escape", "e", "esc", most=1)
def _escape(scope: Scope, value: Any, quotes: Any = True) -> str:
    return escaped(scope.meter, _text(value), bool(quotes))


@_filter("pygmentize", most=1)
def _pygmentize(scope: Scope, value: Any, _language: Any = None) -> str:
    return escaped(scope.meter, _text(value))


@_filter("spaceless")
def _spaceless(scope: Scope, value: Any) -> str:
    return markup.spaceless(scope.meter, _text(value))


@_filter("striptags")
def _striptags(scope: Scope, value: Any) -> str:
    return markup.strip_tags(scope.meter, _text(value))


@_filter("firsth")
def _firsth(scope: Scope, value: Any) -> str:
    return markup.first_heading(scope.meter, _text(value))


@_filter("firsth1")
def _firsth1(scope: Scope, value: Any) -> str:
    return markup.first_element(scope.meter, _text(value), "<h1", "</h1>")


@_filter("firstp")
def _firstp(scope: Scope, value: Any) -> str:
    return markup.first_element(scope.meter, _text(value), "<p", "</p>")


def escaped(meter: Meter, text: str, quotes: bool = True) -> str:
    """A text that HTML shows as it is."""
    special = sum(map(text.count, "&<>\"'"))
    meter.take(getsizeof(text) + 4 * _ESCAPED_GROWTH * special)
    return html.escape(text, quotes)
