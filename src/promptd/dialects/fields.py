"""Members of a JSON object, taken out one by one with their types checked. What is left at the end is unknown to us.

`where` is the path of the object with its dot (`input[0].`), empty for the body itself. Null means absent, as the
vendor's SDKs write it.
"""

from __future__ import annotations

from typing import Any, Final

from promptd.core.errors import InvalidRequest

_MOST: Final = 2**53  # beyond it other languages count wrong


def text(body: dict[str, Any], name: str, where: str = "") -> str | None:
    value = body.pop(name, None)
    if value is None or type(value) is str:
        return value
    raise InvalidRequest(field=where + name, expected="a string")


def needed_text(body: dict[str, Any], name: str, where: str = "") -> str:
    value = body.pop(name, None)
    if type(value) is str:
        return value
    raise InvalidRequest(field=where + name, expected="a string")


def flag(body: dict[str, Any], name: str, where: str = "") -> bool | None:
    value = body.pop(name, None)
    if value is None or type(value) is bool:
        return value
    raise InvalidRequest(field=where + name, expected="true or false")


def count(body: dict[str, Any], name: str, where: str = "") -> int | None:
    value = body.pop(name, None)
    if value is None or (type(value) is int and 0 <= value < _MOST):
        return value
    raise InvalidRequest(field=where + name, expected="a whole number that is not negative")


def number(body: dict[str, Any], name: str, where: str = "") -> float | None:
    value = body.pop(name, None)
    if value is None or type(value) is float:
        return value
    if type(value) is int and abs(value) < _MOST:
        return float(value)
    raise InvalidRequest(field=where + name, expected="a number")


def mapping(body: dict[str, Any], name: str, where: str = "") -> dict[str, Any] | None:
    value = body.pop(name, None)
    if value is None or type(value) is dict:
        return value
    raise InvalidRequest(field=where + name, expected="an object")


def objects(body: dict[str, Any], name: str, where: str = "") -> list[dict[str, Any]]:
    """A list of objects, each of which may be taken apart as well; empty where there is none."""
    value = body.pop(name, None)
    if value is None:
        return []
    if type(value) is not list:
        raise InvalidRequest(field=where + name, expected="a list of objects")
    for place, item in enumerate(value):
        if type(item) is not dict:
            raise InvalidRequest(field=f"{where}{name}[{place}]", expected="an object")
    return value


def texts(body: dict[str, Any], name: str, where: str = "") -> tuple[str, ...]:
    value = body.pop(name, None)
    if value is None:
        return ()
    if type(value) is not list or not all(type(item) is str for item in value):
        raise InvalidRequest(field=where + name, expected="a list of strings")
    return tuple(value)


def rest(body: dict[str, Any]) -> dict[str, Any]:
    """What is left of an object. Null means absent to the vendors, and their SDKs write it."""
    return {name: value for name, value in body.items() if value is not None} if body else body
