"""Literals as Python writes them: texts, numbers, `True`, `False`, `None`, tuples, lists and objects."""

from __future__ import annotations

import re
import unicodedata
from typing import Any, Final

from promptd.core.metering import MAX_BITS, MAX_DIGITS, Fault

_ESCAPE: Final = re.compile(
    r"""\\(?: (?P<octal>[0-7]{1,3}) | x(?P<x>[0-9a-fA-F]{2}) | u(?P<u>[0-9a-fA-F]{4}) | U(?P<U>[0-9a-fA-F]{8})
            | N\{(?P<name>[^}]{1,100})\} | (?P<bad>[xuUN]) | (?P<plain>.) )""",
    re.VERBOSE | re.DOTALL,
)
_PLAIN: Final = {"\n": "", "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_SURROGATES: Final = range(0xD800, 0xE000)  # halves of characters, which no wire can carry
_KEPT: Final = "\\'\""

CONSTANTS: Final[dict[str, Any]] = {"True": True, "False": False, "None": None}


def text(written: str, line: int) -> str:
    """The text between quotes. Raises `Fault` for a missing quote or an escape that means nothing."""
    raw = written[0] in "rR"
    if written[0] in "rRuU":
        written = written[1:]
    if len(written) < 2 or written[-1] != written[0] or _is_escaped(written):
        raise Fault("A text has no closing quote", line)
    inner = written[1:-1]
    if raw or "\\" not in inner:
        return inner

    def character(match: re.Match[str]) -> str:
        match match.lastgroup:
            case "octal":
                return chr(int(match["octal"], 8))
            case "x" | "u" | "U" as width:
                return _character(int(match[width], 16))
            case "name":
                return unicodedata.lookup(match["name"])
            case "plain":
                plain = match["plain"]
                return plain if plain in _KEPT else _PLAIN.get(plain, match.group())
            case _:
                raise ValueError

    try:
        return _ESCAPE.sub(character, inner)
    except (ValueError, KeyError, OverflowError):
        raise Fault("A text has an escape that means nothing", line) from None


def _character(code: int) -> str:
    if code in _SURROGATES:
        raise ValueError
    return chr(code)


def number(written: str, line: int) -> int | float | None:
    """The number, or None where Python sees none (`007`). Raises `Fault` for one of too many digits."""
    if len(written) > MAX_DIGITS:
        raise Fault("A number has too many digits", line)
    try:
        whole = int(written, 0)
    except ValueError:
        try:
            return None if written.replace("_", "").isdecimal() else float(written)
        except ValueError:
            return None
    if whole.bit_length() > MAX_BITS:
        raise Fault("A number has too many digits", line)
    return whole


def _is_escaped(written: str) -> bool:
    """Whether the last quote stands behind an odd number of backslashes, and so closes nothing."""
    body = written[:-1]
    return (len(body) - len(body.rstrip("\\"))) % 2 == 1
