"""Configuration that clients keep here: texts by type and key, whatever they mean to them."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from promptd.core.errors import InvalidRequest

LONGEST_NAME: Final = 512  #: characters of a type or a key
LONGEST_VALUE: Final = 4 * 1024 * 1024  #: characters
MOST_ITEMS: Final = 10_000
MOST_CHARACTERS: Final = 64 * 1024 * 1024  #: of all values together


class ConfigItem(Struct, frozen=True, kw_only=True):
    """One text. The id is made of type and key."""

    id: str
    type: str
    key: str
    value: str
    updated: float
    user: str  #: who set it


class ConfigCount(Struct, frozen=True, kw_only=True):
    """How often anything was set or deleted, and how much there is."""

    id: str
    version: int
    items: int = 0
    characters: int = 0  #: of all values together


def item_id(kind: str, key: str) -> str:
    """The length keeps `a` + `bc` and `ab` + `c` apart."""
    return f"{len(kind)}:{kind}:{key}"


def check_item(kind: str, key: str, value: str = "") -> None:
    """Raises `InvalidRequest`."""
    for field, text in (("type", kind), ("key", key)):
        if not 1 <= len(text) <= LONGEST_NAME:
            raise InvalidRequest(field=field, expected=f"1 to {LONGEST_NAME} characters")
    if len(value) > LONGEST_VALUE:
        raise InvalidRequest(field="value", expected=f"at most {LONGEST_VALUE} characters")
