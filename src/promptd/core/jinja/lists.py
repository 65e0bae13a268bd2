"""Filters on lists. Each counts what it makes before it makes it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from promptd.core.jinja.operators import ranked
from promptd.core.jinja.scope import Scope, Undefined, as_number, as_text, items, known, part


def join(scope: Scope, value: Any, d: str = "", attribute: Any = None) -> str:
    found = items(scope.meter, value)
    scope.meter.step(len(found))
    if attribute is not None:
        found = [inner(item, attribute) for item in found]
    texts = [scope.meter.text(known(item)) for item in found]
    wide = 1 if as_text(d).isascii() and all(map(str.isascii, texts)) else 4
    scope.meter.take(wide * (len(d) * len(texts) + sum(map(len, texts))))
    return d.join(texts)


def first(scope: Scope, value: Any) -> Any:
    if isinstance(known(value), dict):
        return next(iter(value), Undefined(""))
    return part(value, 0)


def last(_: Scope, value: Any) -> Any:
    return part(value, -1)


def pairs(scope: Scope, value: Any) -> list[tuple[Any, Any]]:
    if type(known(value)) is not dict:
        raise TypeError
    scope.meter.take(128 * len(value))
    return list(value.items())


def dictsort(scope: Scope, value: Any, by: str = "key", reverse: bool = False) -> list[tuple[Any, Any]]:
    place = {"key": 0, "value": 1}[by]
    return _in_order(scope, pairs(scope, value), lambda pair: pair[place], case_sensitive=False, reverse=reverse)


def sort(
    scope: Scope, value: Any, reverse: bool = False, case_sensitive: bool = False, attribute: Any = None
) -> list[Any]:
    found = items(scope.meter, value)
    return _in_order(scope, found, lambda item: inner(item, attribute), case_sensitive=case_sensitive, reverse=reverse)


def _in_order(
    scope: Scope, found: list[Any], key: Callable[[Any], Any], *, case_sensitive: bool, reverse: bool
) -> list[Any]:
    scope.meter.step(2 * len(found))
    return sorted(found, key=_order(scope, key, case_sensitive=case_sensitive), reverse=bool(reverse))


def _order(scope: Scope, key: Callable[[Any], Any], *, case_sensitive: bool) -> Callable[[Any], Any]:
    def order(item: Any) -> Any:
        value = known(key(item))
        scope.meter.weigh(value)
        return value.lower() if isinstance(value, str) and not case_sensitive else ranked(value)

    return order


def unique(scope: Scope, value: Any, attribute: Any = None, case_sensitive: bool = False) -> list[Any]:
    seen: set[str] = set()
    kept: list[Any] = []
    for item in items(scope.meter, value):
        scope.meter.step()
        mark = _mark(scope, inner(item, attribute), case_sensitive=case_sensitive)
        if mark not in seen:
            seen.add(mark)
            kept.append(item)
    return kept


def extreme(choose: Callable[..., Any]) -> Callable[..., Any]:
    def function(scope: Scope, value: Any, case_sensitive: bool = False) -> Any:
        found = items(scope.meter, value)
        scope.meter.step(len(found))
        order = _order(scope, known, case_sensitive=case_sensitive)
        return choose(found, key=order) if found else Undefined("")

    return function


def total(scope: Scope, value: Any, attribute: Any = None) -> int | float:
    found: int | float = 0
    for item in items(scope.meter, value):
        scope.meter.step()
        found += as_number(inner(item, attribute))
    return found


def reverse(scope: Scope, value: Any) -> Any:
    if isinstance(known(value), str):
        return scope.meter.made(value[::-1])
    return items(scope.meter, value)[::-1]


def batch(scope: Scope, value: Any, count: int, fill_with: Any = None) -> list[list[Any]]:
    found = items(scope.meter, value)
    if not isinstance(count, int) or count < 1:
        raise ValueError
    scope.meter.step(len(found) // count)
    scope.meter.take(128 * (len(found) // count + 1))
    groups = [found[start : start + count] for start in range(0, len(found), count)]
    if groups and fill_with is not None:
        scope.meter.take(8 * (count - len(groups[-1])))
        groups[-1].extend([fill_with] * (count - len(groups[-1])))
    return groups


def inner(item: Any, path: Any) -> Any:
    """What an item has under a dotted path."""
    if path is None:
        return item
    for word in str(path).split("."):
        item = part(item, int(word) if word.isdecimal() and not isinstance(item, dict) else word)
    return item


def _mark(scope: Scope, value: Any, *, case_sensitive: bool) -> str:
    """A text that is the same for equal values only."""
    scope.meter.weigh(known(value))
    if isinstance(value, str) and not case_sensitive:
        value = value.lower()
    elif type(value) is float and value.is_integer():
        value = int(value)
    return scope.meter.made(json.dumps(value, default=list))
