"""The words behind `oo post`: which of them make the path, and what body the `--key=value` flags make."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from promptd.oo.failure import Failed

_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_INT64_DIGITS: Final = 19
_TRUE: Final = frozenset({"1", "t", "T", "TRUE", "true", "True"})
_FALSE: Final = frozenset({"0", "f", "F", "FALSE", "false", "False"})


class Arguments(NamedTuple):
    path: str
    """As typed, words joined by `/`, with a `/` in front."""

    flags: list[tuple[str, str]]
    """Key and text of each flag, in the order of the command line."""


def read(words: Sequence[str]) -> Arguments:
    """Tell path words from flags. Raises `Failed` without a path, and for a flag without `=` or without a key."""
    path = [word for word in words if not word.startswith("--")]
    if not path:
        raise Failed("a path is missing; expected something like /prompt-svc/prompts")
    flags = [_flag(word) for word in words if word.startswith("--")]
    return Arguments("/" + "/".join(path).removeprefix("/"), flags)


def _flag(word: str) -> tuple[str, str]:
    key, equals, text = word.removeprefix("--").partition("=")
    if not equals or not key:
        raise Failed(f"{word}: expected --key=value, with no space around the =")
    return _as_text(key), _as_text(text)


def _as_text(word: str) -> str:
    """The shell may hand over bytes that are no text; JSON has none."""
    return word.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def tree(flags: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The request body: keys nest at `.`, or at `-` where they have no `.`; a repeated key makes an array.

    Raises `Failed` where a key is used both for a value and for an object, or has an empty part.
    """
    root: dict[str, Any] = {}
    for key, text in flags:
        *parents, last = key.split("." if "." in key else "-")
        if not last or not all(parents):
            raise Failed(f"--{key}: a part of the key is empty")
        place = root
        for name in parents:
            place = place.setdefault(name, {})
            if not isinstance(place, dict):
                raise Failed(f"--{key}: {name} has a value already, so it can't be an object too")
        if isinstance(place.get(last), dict):
            raise Failed(f"--{key}: {last} is an object already, so it can't have a value too")
        if last not in place:
            place[last] = value(text)
        elif isinstance(place[last], list):
            place[last].append(value(text))
        else:
            place[last] = [place[last], value(text)]
    return root


def value(text: str) -> int | bool | str:
    """A decimal integer of 64 bits as a number, else a truth word as a bool, else the text as it is."""
    if _INTEGER.fullmatch(text) and len(text.lstrip("+-0")) <= _INT64_DIGITS:
        number = int(text.lstrip("+-0") or "0") * (-1 if text[0] == "-" else 1)
        if -(2**63) <= number < 2**63:
            return number
    if text in _TRUE:
        return True
    return False if text in _FALSE else text
