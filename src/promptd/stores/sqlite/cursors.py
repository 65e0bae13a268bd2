"""The `after` of a page, and back: values of the last row, as opaque text."""

from __future__ import annotations

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Any

import msgspec

from promptd.core.errors import InvalidRequest


def write_cursor(values: tuple[Any, ...]) -> str:
    """Where a page ended, as text: the sort values of its last row."""
    return urlsafe_b64encode(msgspec.json.encode(values)).decode().rstrip("=")


def read_cursor(text: str, width: int) -> list[Any]:
    """The `width` values of a cursor. Raises `InvalidRequest`, as all of these do."""
    try:
        values = msgspec.json.decode(urlsafe_b64decode(text + "=" * (-len(text) % 4)), type=list[Any])
    except (ValueError, msgspec.DecodeError):
        values = []
    if len(values) != width or not all(map(storable, values)):
        raise InvalidRequest(field="after", expected="the `after` of the page before, for the same order")
    return values


def read_start(text: str) -> int:
    """A cursor that counts records."""
    (start,) = read_cursor(text, 1)
    if not isinstance(start, int) or start < 0:
        raise InvalidRequest(field="after", expected="the `after` of the page before")
    return start


def read_last(text: str) -> str:
    """A cursor that is the id of a record."""
    (last,) = read_cursor(text, 1)
    if not isinstance(last, str):
        raise InvalidRequest(field="after", expected="the `after` of the page before")
    return last


_SURROGATE = re.compile("[\ud800-\udfff]")


def storable(value: Any) -> bool:
    """Whether a column can hold the value at all."""
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    if isinstance(value, str):
        return value.isascii() or not _SURROGATE.search(value)
    return value is None or isinstance(value, float)
