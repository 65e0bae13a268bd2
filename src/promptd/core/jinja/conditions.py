"""What stands behind `is`: each says whether a value is so, and no more than that: what is missing or of another kind is not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from promptd.core.jinja.operators import compared
from promptd.core.jinja.scope import Scope, Undefined, as_number, as_text, truth

_WALKED: Final = (list, tuple, str, dict, type(None), Undefined)
_WRITTEN: Final = (str, int, float, list, tuple)


def _is(*kinds: type) -> Callable[..., Any]:
    return lambda _, value: type(value) in kinds


def _rest(divisor: int, rest: int) -> Callable[..., Any]:
    return lambda _, value: isinstance(value, int | float) and value % divisor == rest


def _compares(sign: str) -> Callable[..., Any]:
    return lambda scope, value, other: compared(sign, scope, value, other)


def _divisible(_: Scope, value: Any, divisor: Any) -> bool:
    return isinstance(value, int | float) and value % as_number(divisor) == 0


def _starts(scope: Scope, value: Any, start: Any) -> bool:
    return type(value) in _WRITTEN and scope.meter.text(value).startswith(as_text(start))


def _ends(scope: Scope, value: Any, end: Any) -> bool:
    return type(value) in _WRITTEN and scope.meter.text(value).endswith(as_text(end))


TESTS: Final[Mapping[str, Callable[..., Any]]] = {
    "boolean": _is(bool),
    "defined": lambda _, value: not isinstance(value, Undefined),
    "divisibleby": _divisible,
    "endingwith": _ends,
    "eq": _compares("=="),
    "equalto": _compares("=="),
    "even": _rest(2, 0),
    "false": lambda _, value: value is False,
    "float": _is(float),
    "ge": _compares(">="),
    "gt": _compares(">"),
    "in": _compares("in"),
    "integer": _is(int),
    "iterable": _is(*_WALKED),
    "le": _compares("<="),
    "lt": _compares("<"),
    "mapping": _is(dict),
    "ne": _compares("!="),
    "none": lambda _, value: value is None,
    "number": _is(int, float, bool),
    "odd": _rest(2, 1),
    "sequence": _is(list, tuple, Undefined),
    "startingwith": _starts,
    "string": _is(str),
    "true": lambda _, value: value is True,
    "truthy": lambda _, value: truth(value),
    "undefined": lambda _, value: isinstance(value, Undefined),
}
