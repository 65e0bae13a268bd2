"""Signs between two values. What grows is counted before it is made."""

from __future__ import annotations

from collections.abc import Callable
from sys import getsizeof
from typing import Any, Final

from promptd.core.jinja.scope import Scope, known
from promptd.core.metering import MAX_BITS, Fault

_NUMBER: Final = (int, float)
_ORDER: Final = ("<", ">", "<=", ">=")
_ITEM: Final = 8


def binary(sign: str, scope: Scope, left: Any, right: Any) -> Any:
    """Raises `Fault` where the sign can't be put between these values."""
    one, other = known(left), known(right)
    scope.meter.step()
    if sign == "~":
        return _joined(scope, scope.meter.text(one), scope.meter.text(other))
    try:
        if isinstance(one, _NUMBER) and isinstance(other, _NUMBER):
            return _bounded(_ARITHMETIC[sign](one, other))
        if sign == "+" and isinstance(one, str) and isinstance(other, str):
            return _joined(scope, one, other)
        if sign == "+" and isinstance(one, list) and isinstance(other, list):
            scope.meter.take(_ITEM * (len(one) + len(other)))
            return one + other
        if sign == "*" and isinstance(one, str | list) and type(other) is int:
            scope.meter.take((getsizeof(one) if isinstance(one, str) else _ITEM * len(one)) * max(0, other))
            return one * other
    except (ArithmeticError, ValueError):
        pass
    raise Fault(f"{sign} can't be put between these values")


def compared(sign: str, scope: Scope, left: Any, right: Any) -> bool:
    """Raises `Fault` where the values can't be compared."""
    one, other = known(left), known(right)
    scope.meter.step()
    for value in (one, other):
        if isinstance(value, list | tuple | dict):
            scope.meter.weigh(value)
        elif isinstance(value, str):
            scope.meter.take(len(value))
    if sign in _ORDER and isinstance(one, _NUMBER) and isinstance(other, _NUMBER):
        one, other = ranked(one), ranked(other)
    try:
        return bool(_COMPARED[sign](one, other))
    except TypeError:
        raise Fault(f"{sign} can't compare these values") from None


def ranked(value: Any) -> Any:
    """The value as it is put in order: truth values come before all numbers."""
    return (type(value) is not bool, value) if isinstance(value, _NUMBER) else value


def negative(value: Any) -> Any:
    if type(known(value)) not in _NUMBER:
        raise Fault("- can't stand before this value")
    return -value


def _joined(scope: Scope, one: str, other: str) -> str:
    scope.meter.take(4 * (len(one) + len(other)) if not (one.isascii() and other.isascii()) else len(one) + len(other))
    return one + other


def _bounded(value: Any) -> Any:
    if type(value) is int and value.bit_length() > MAX_BITS:
        raise Fault("A number has too many digits")
    return value


_ARITHMETIC: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b,
    "//": lambda a, b: a // b,
    "%": lambda a, b: a % b,
}
_COMPARED: Final[dict[str, Callable[[Any, Any], Any]]] = {
    "==": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    ">": lambda a, b: a > b,
    "<=": lambda a, b: a <= b,
    ">=": lambda a, b: a >= b,
    "in": lambda a, b: a in b,
    "not in": lambda a, b: a not in b,
}
