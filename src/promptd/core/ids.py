"""Identifiers: sortable by time, 80 random bits, never monotonic. Time and randomness come in as arguments."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS: Final = [a + b for a in _ALPHABET for b in _ALPHABET]


def make_id(prefix: str, now: float, random: bytes) -> str:
    """`prefix_` and 26 characters of Crockford base 32: 48 bits of milliseconds, then the 80 bits of `random`."""
    value, pairs = int.from_bytes(random[:10], "big"), _PAIRS
    return (
        f"{_begin(prefix, int(now * 1000))}{pairs[value >> 70]}{pairs[value >> 60 & 1023]}{pairs[value >> 50 & 1023]}"
        f"{pairs[value >> 40 & 1023]}{pairs[value >> 30 & 1023]}{pairs[value >> 20 & 1023]}"
        f"{pairs[value >> 10 & 1023]}{pairs[value & 1023]}"
    )


@lru_cache(64)
def _begin(prefix: str, milliseconds: int) -> str:
    """The part that ids of one moment share: at full speed a dozen of them."""
    value = milliseconds & 0xFFFF_FFFF_FFFF
    return f"{prefix}_" + "".join([_ALPHABET[(value >> shift) & 31] for shift in range(45, -1, -5)])
