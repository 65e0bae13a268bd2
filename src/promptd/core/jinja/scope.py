"""What a template sees while it is rendered. A name without a value is an error as soon as its value is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from promptd.core.metering import Fault, Meter, MissingVariable

_ITEM: Final = 64  # bytes of an item, about


class Undefined:
    """What an unknown name gives; only `is defined` and `default` can do with it."""

    def __init__(self, path: str) -> None:
        self.path = path


class Scope:
    """Names and values, innermost first, and the meter that counts."""

    def __init__(self, values: Mapping[str, Any], meter: Meter, partial: Callable[[str], Any]) -> None:
        self.meter, self.partial = meter, partial
        self.frames: list[dict[str, Any]] = [dict(values), {}]
        self.included = 0

    def get(self, name: str) -> Any:
        for frame in reversed(self.frames):
            if name in frame:
                return frame[name]
        return Undefined(name)


def known(value: Any) -> Any:
    """The value itself. Raises `MissingVariable` where there is none."""
    if type(value) is Undefined:
        raise MissingVariable(value.path) if value.path else Fault("A list has no such item")
    return value


def truth(value: Any) -> bool:
    return bool(known(value))


def as_text(value: Any) -> str:
    """The text. Raises `TypeError` for anything else."""
    if not isinstance(known(value), str):
        raise TypeError
    return str(value)


def as_number(value: Any) -> int | float:
    """The number. Raises `TypeError` for anything else."""
    if not isinstance(known(value), int | float):
        raise TypeError
    return value  # type: ignore[no-any-return]


def items(meter: Meter, value: Any) -> list[Any]:
    """The items of a list, the names of an object, the characters of a text, nothing of none; counted before they are
    listed."""
    if known(value) is None:
        return []
    if isinstance(value, str | list | tuple | dict):
        meter.take(_ITEM * len(value) if isinstance(value, str) else 8 * len(value))
        return list(value)
    raise Fault("A value that is no list can't be walked through")


def part(value: Any, key: Any, path: str = "") -> Any:
    """`value[key]`: of data only, and never an attribute of a Python object. `path` names it where it is missing."""
    known(value)
    try:
        if type(value) is dict or (isinstance(value, str | list | tuple) and type(key) is int):
            return value[key]
    except (LookupError, TypeError):
        pass
    return Undefined(path)
