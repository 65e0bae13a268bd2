"""Identifiers: sortable by time, 80 random bits, never monotonic. Time and randomness come in as arguments."""

from __future__ import annotations

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [a + b for a in _ALPHABET for b in _ALPHABET]


def make_id(prefix: str, now: float, random: bytes) -> str:
    """`prefix_` and 26 characters of Crockford base 32: 48 bits of milliseconds, then the 80 bits of `random`."""
    value = (int(now * 1000) & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(random[:10], "big")
    pairs = _PAIRS
    return f"{prefix}_" + "".join([pairs[(value >> shift) & 1023] for shift in range(120, -1, -10)])


def born(identifier: str) -> float:
    """The time in seconds at which `make_id` made this id."""
    value = 0
    for letter in identifier.rpartition("_")[2][:10]:
        value = value << 5 | _ALPHABET.index(letter)
    return (value & 0xFFFF_FFFF_FFFF) / 1000
