"""How plain data is read and shown. What the language's first implementation does in JavaScript holds here as well:
`5.0` is shown as `5`, an empty list is false, an empty object is true. An object is shown as JSON, not by its type.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from promptd.core.metering import MAX_DEPTH, Fault, Meter

_EXACT: Final = 2**53  #: whole numbers that a float holds exactly end here
_PART: Final = 64  #: what a part of a list or an object counts beside its text
_SLICE: Final = 1 << 16


def text_of(value: Any, meter: Meter) -> str:
    """`value` as it is shown; nothing for what is absent."""
    match value:
        case str():
            return value
        case None:
            return ""
        case bool():
            return "true" if value else "false"
        case int() | float():
            return _number(value)
        case list():
            _measure(value, 0, meter)
            return ",".join([_element(one) for one in value])
        case _:
            return json_of(value, 0, meter)


def json_of(value: Any, indent: int, meter: Meter) -> str:
    """`value` as JSON, on one line or with `indent` blanks per level."""
    _measure(value, indent, meter)
    return _json(value, indent)


def is_empty(value: Any) -> bool:
    """Whether a condition on `value` fails; zero does not count, because `if` and `with` differ in it."""
    if isinstance(value, list):
        return not value
    if isinstance(value, float) and math.isnan(value):
        return True
    return value is None or value is False or value == ""


def is_zero(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value == 0


def same(one: Any, other: Any) -> bool:
    """Strictly: nothing is converted, and a list or an object equals only itself."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other
    if isinstance(one, str) and isinstance(other, str):
        return one == other
    return one is other


def member(value: Any, name: str) -> Any:
    """What `value.name` is: an entry of an object, an element of a list or text, a length, and nothing else."""
    if isinstance(value, dict):
        return value.get(name)
    if not isinstance(value, list | str):
        return None
    if name == "length":
        return len(value)
    if name.isascii() and name.isdigit() and len(name) < 10:
        return value[int(name)] if int(name) < len(value) else None
    return None


def _measure(value: Any, indent: int, meter: Meter) -> None:
    """Count all that `value` as JSON is made of, before it is made."""
    waiting: list[Iterator[Any]] = [iter((value,))]
    while waiting:
        one = next(waiting[-1], waiting)
        if one is waiting:
            waiting.pop()
        elif isinstance(one, dict | list):
            meter.take((_PART + indent * len(waiting)) * (len(one) + 1))
            if len(waiting) > MAX_DEPTH:
                raise Fault(f"A value is nested more than {MAX_DEPTH} levels deep")
            waiting.append(iter(one if isinstance(one, list) else [*one, *one.values()]))
        elif isinstance(one, str):
            for start in range(0, len(one), _SLICE):
                meter.take(len(msgspec.json.encode(one[start : start + _SLICE])))


def _element(value: Any) -> str:
    """What a list shows of one of its elements; what was measured with the list is not measured again."""
    match value:
        case str():
            return value
        case None:
            return ""
        case list():
            return ",".join([_element(one) for one in value])
        case _:
            return _json(value, 0)


def _json(value: Any, indent: int) -> str:
    try:
        text = msgspec.json.encode(_shown(value))
    except (TypeError, ValueError) as error:
        raise Fault(f"A value can't be shown as JSON: {error}") from None
    return (msgspec.json.format(text, indent=indent) if indent else text).decode()


def _number(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    digits, _, power = repr(value).partition("e")
    return digits if not power else f"{digits.removesuffix('.0')}e{power[0]}{power[1:].lstrip('0')}"


def _shown(value: Any) -> Any:
    """`value` with whole floats as the integers that they are."""
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
        return int(value)
    if isinstance(value, dict):
        return {key: _shown(child) for key, child in value.items()}
    if isinstance(value, list):
        return [_shown(child) for child in value]
    return value
