"""Identifiers: sortable by time, 80 random bits, never monotonic. Time and randomness come in as arguments."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS: Final = [a + b for a in _ALPHABET for b in _ALPHABET]
_LETTERS: Final = (_ALPHABET * 8).encode()
_LATE: Final = 10  # bits of the milliseconds that change within a second


def make_id(prefix: str, now: float, random: bytes) -> str:
    """`prefix_` and 26 characters of Crockford base 32: 48 bits of milliseconds, then the 80 bits of `random`."""
    value = int.from_bytes(random[:10], "big")
    return begin(prefix, now) + "".join([_PAIRS[(value >> shift) & 1023] for shift in range(70, -1, -10)])


def begin(prefix: str, now: float) -> str:
    """The part of an id that tells its time; 16 letters that nobody can guess come behind it."""
    value = int(now * 1000)
    return _early(prefix, value >> _LATE) + _PAIRS[value & 1023]


def letters(random: bytes) -> str:
    """A letter for each byte, which gives five of its bits: dearer in randomness than `make_id`, and made at once for many."""
    return random.translate(_LETTERS).decode()


@lru_cache(64)
def _early(prefix: str, value: int) -> str:
    return f"{prefix}_" + "".join([_ALPHABET[(value >> shift) & 31] for shift in range(35, -1, -5)])
