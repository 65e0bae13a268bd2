"""Requests as this wire's clients really send them (contract sections 1, 5, 12, 15, 16).

Member names match in any case, unknown members are ignored, `null` means absent, text stands for numbers, booleans,
lists and objects, numbers and booleans stand for text, and one value stands for a list of one. What still does not fit
raises `InvalidRequest` that names the member.
"""

from __future__ import annotations

import math
import types
from functools import cache
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import UNSET, Struct, UnsetType

from promptd.core.errors import InvalidRequest
from promptd.faces.asgi import is_wide

S = TypeVar("S", bound=Struct)

_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})
_INT_MIN: Final = -(2**63)
_INT_MAX: Final = 2**63 - 1


def decode(text: str) -> Any:
    """JSON within a string. Raises as msgspec does, also for very many values."""
    raw = text.encode()
    if is_wide(raw):
        raise msgspec.DecodeError("too many values")
    return msgspec.json.decode(raw)


class _Member:
    """A member of a request: its wire name, the struct's name and the type of its value."""

    __slots__ = ("kind", "name", "wire")

    def __init__(self, name: str, wire: str, kind: Any) -> None:
        self.name, self.wire, self.kind = name, wire, kind


@cache
def _members(kind: type[Struct]) -> dict[str, _Member]:
    hints = get_type_hints(kind)
    wires = dict(zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True))
    return {wire.lower(): _Member(name, wire, _bare(hints[name])) for name, wire in wires.items()}


def _bare(kind: Any) -> Any:
    """`str | None` and `str | UnsetType` are a string that may be absent."""
    if get_origin(kind) in (Union, types.UnionType):
        kinds = [part for part in get_args(kind) if part not in (type(None), UnsetType)]
        return kinds[0] if len(kinds) == 1 else Any
    return kind


def fit(body: Any, kind: type[S], path: str = "") -> S:
    """The request as a struct; absent members get its defaults. Raises `InvalidRequest`."""
    if body is None:
        body = {}
    if isinstance(body, str):
        body = _parsed(body, path or "body", "an object") if body.strip() else {}
    if not isinstance(body, dict):
        raise InvalidRequest(field=path or "body", expected="an object")
    known = _members(kind)
    values: dict[str, Any] = {}
    exact: set[str] = set()
    for wire, value in body.items():
        member = known.get(wire.lower())
        if member is None or value is None or (member.name in exact):
            continue
        if wire == member.wire:  # the exact spelling wins over another one of the same name
            exact.add(member.name)
        values[member.name] = _value(value, member.kind, f"{path}.{wire}" if path else wire)
    try:
        return kind(**values)
    except TypeError:
        missing = next(member for member in known.values() if member.name not in values)
        raise InvalidRequest(field=f"{path}.{missing.wire}" if path else missing.wire, expected="a value") from None


def _value(value: Any, kind: Any, path: str) -> Any:
    origin = get_origin(kind) or kind
    if kind is Any:
        return value
    if kind is str:
        return text_of(value, path)
    if kind is bool:
        return _flag(value, path)
    if kind is int:
        return _integer(value, path)
    if kind is float:
        return _number(value, path)
    if origin in (tuple, list):
        return _items(value, get_args(kind)[0], path)
    if origin is dict:
        return _object(value, path)
    if isinstance(kind, type) and issubclass(kind, Struct):
        return fit(value, kind, path)
    raise AssertionError(f"no rule for {kind}")


def text_of(value: Any, path: str) -> str:
    """A text, also from a number or a truth value. Raises `InvalidRequest`."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return str(value)
    raise InvalidRequest(field=path, expected="a string")


def _flag(value: Any, path: str) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value) if isinstance(value, int | str) else None
    if text in _TRUE:
        return True
    if text in _FALSE or text == "":
        return False
    raise InvalidRequest(field=path, expected="true or false")


def _integer(value: Any, path: str) -> int:
    number = _number(value, path, "a whole number")
    whole = value
    if isinstance(value, str):
        try:
            whole = int(value)
        except ValueError:
            whole = number
    if (isinstance(whole, float) and not whole.is_integer()) or not _INT_MIN <= whole <= _INT_MAX:
        raise InvalidRequest(field=path, expected="a whole number")
    return int(whole)


def _number(value: Any, path: str, expected: str = "a number") -> float:
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise InvalidRequest(field=path, expected=expected)
    return number


def _items(value: Any, kind: Any, path: str) -> tuple[Any, ...]:
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{", '"', ""):
        value = _parsed(value, path, "a list") if value.strip() else []
    if not isinstance(value, list):
        value = [value]
    return tuple(_value(item, kind, f"{path}[{index}]") for index, item in enumerate(value) if item is not None)


def texts(value: Any, path: str) -> tuple[str, ...]:
    """A list of strings in which a `null` is a mistake: where it was skipped, less would be asked for than was meant."""
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        value = _parsed(value, path, "a list")
    if isinstance(value, list) and None in value:
        raise InvalidRequest(field=f"{path}[{value.index(None)}]", expected="a string")
    return _items(list(value) if isinstance(value, tuple) else value, str, path)


def _object(value: Any, path: str) -> dict[str, Any]:
    if isinstance(value, str):
        value = _parsed(value, path, "an object") if value.strip() else {}
    if not isinstance(value, dict):
        raise InvalidRequest(field=path, expected="an object")
    return value


def _parsed(text: str, path: str, expected: str) -> Any:
    """JSON that arrives as a string, because the command line can't send anything else."""
    try:
        return decode(text)
    except (msgspec.DecodeError, RecursionError, UnicodeError):
        raise InvalidRequest(field=path, expected=f"{expected}, or JSON of one in a string") from None


__all__ = ["UNSET", "decode", "fit", "texts"]
