"""The check digits that several kinds of number share. Arguments are digits, in ASCII."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

_DOUBLED: Final = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)

#: Verhoeff: the dihedral group of order ten, and its permutation's powers
_TIMES: Final = tuple(
    tuple((a + b) % 5 if a < 5 and b < 5 else
          (a + b - 5) % 5 + 5 if a < 5 else
          (a - 5 - b) % 5 + 5 if b < 5 else
          (a - b) % 5 for b in range(10))
    for a in range(10)
)  # fmt: skip
_PERMUTATION: Final = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)


def luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = ord(digit) - 48
        total += _DOUBLED[value] if place % 2 else value
    return total % 10 == 0


def weighted(digits: str, weights: Sequence[int]) -> int:
    """The sum of each digit times its weight; what is beyond the weights doesn't count."""
    return sum((ord(digit) - 48) * weight for digit, weight in zip(digits, weights, strict=False))


def mod97(iban: str) -> bool:
    """ISO 7064 MOD 97-10 with the first four characters moved behind the others; letters in capitals."""
    return int("".join([str(int(sign, 36)) for sign in iban[4:] + iban[:4]])) % 97 == 1


def mod11_10(digits: str) -> bool:
    """ISO 7064 MOD 11,10."""
    product = 10
    for digit in digits[:-1]:
        total = (ord(digit) - 48 + product) % 10 or 10
        product = total * 2 % 11
    return (11 - product) % 10 == ord(digits[-1]) - 48


def mod11_2(digits: str) -> bool:
    """ISO 7064 MOD 11-2; the last sign may be an X."""
    total = 0
    for sign in digits[:-1]:
        total = (total + ord(sign) - 48) * 2 % 11
    check = (12 - total) % 11
    return digits[-1].upper() == ("X" if check == 10 else str(check))


def verhoeff(digits: str) -> bool:
    state = 0
    for place, digit in enumerate(reversed(digits)):
        value = ord(digit) - 48
        for _ in range(place % 8):
            value = _PERMUTATION[value]
        state = _TIMES[state][value]
    return state == 0
