"""Token counts as services write them, read in one way in all dialects.

A count is a whole number, also one that is written `12.0`. What is anything else counts nothing: the answer is good all the
same, and `ABSURD` says that its counts are not to be believed.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from promptd.core.claims import ABSURD

T = TypeVar("T")

_LARGEST: Final = 2**53  # of a float that still tells one whole number from the next
_DETAILS: Final = "_details"
_HOLDERS: Final = ("message", "response")  # in which an event's counts may stand


class InputDetails(Struct, frozen=True):
    """Of what was read, as both of OpenAI's APIs write it."""

    cached_tokens: int | None = None
    cache_write_tokens: int | None = None


class OutputDetails(Struct, frozen=True):
    """… and of what was written."""

    reasoning_tokens: int | None = None


def count(told: Any) -> int | None:
    """A count as it was told; None where there is none, and a negative number where it is no count."""
    if told is None or type(told) is int:
        return told
    if type(told) is float and told.is_integer() and abs(told) <= _LARGEST:
        return int(told)
    return ABSURD.input_tokens


def counts_of(told: Any, form: type[T]) -> T | None:
    """`usage` as a struct of counts; None where it is no object."""
    return msgspec.convert(_mended(told), form) if type(told) is dict else None


def decoded_anyway(decoder: msgspec.json.Decoder[T], data: bytes) -> T | None:
    """What `decoder` refused only for its counts; None where something else is wrong with it."""
    try:
        found = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    if type(found) is not dict:
        return None
    for holder in (found, *[found.get(name) for name in _HOLDERS]):
        if type(holder) is dict and "usage" in holder:
            holder["usage"] = _mended(holder["usage"])
    try:
        return msgspec.convert(found, decoder.type)
    except msgspec.ValidationError:
        return None


def _mended(told: Any) -> dict[str, Any] | None:
    if type(told) is not dict:
        return None
    return {name: _mended(value) if name.endswith(_DETAILS) else count(value) for name, value in told.items()}
