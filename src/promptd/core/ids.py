"""Identifiers: sortable by time, 80 random bits, never monotonic. Time and randomness come in as arguments."""

from __future__ import annotations

from typing import Final

_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
#: two letters for each number of ten bits
PAIRS: Final = [a + b for a in _ALPHABET for b in _ALPHABET]
_LETTERS: Final = (_ALPHABET * 8).encode()
LATE: Final = 10  #: bits of the milliseconds that change within a second


def make_id(prefix: str, now: float, random: bytes) -> str:
    """`prefix_` and 26 characters of Crockford base 32: 48 bits of milliseconds, then the 80 bits of `random`."""
    value = int.from_bytes(random[:10], "big")
    moment = int(now * 1000)
    late = "".join([PAIRS[(value >> shift) & 1023] for shift in range(70, -1, -10)])
    return early(prefix, moment >> LATE) + PAIRS[moment & 1023] + late


def early(prefix: str, second: int) -> str:
    """How all ids begin that are made within a second of 1,024 ms: two letters for the milliseconds come behind it."""
    return f"{prefix}_" + "".join([_ALPHABET[(second >> shift) & 31] for shift in range(35, -1, -5)])


def letters(random: bytes) -> str:
    """A letter for each byte, which gives five of its bits: dearer in randomness than `make_id`, and made at once for many."""
    return random.translate(_LETTERS).decode()
