"""Patterns of RE2: what is wrong with one, and many of them in one pass."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import re2


def compiled(pattern: str | bytes) -> Any:
    """Raises `ValueError`, which says what is wrong with it."""
    try:
        return re2.compile(pattern, _quiet())
    except re2.error as error:
        said = error.args[0] if error.args else ""
        raise ValueError(said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)) from None


class PatternSet:
    """Patterns that are searched together, each of them good for itself. Raises `ValueError` where RE2 can't hold them all."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._set = re2.Set.SearchSet(_quiet())
        for pattern in patterns:
            self._set.Add(pattern)
        # a set that runs out of memory says that nothing was found; a text always has a beginning, so its absence tells
        self._proof: int = self._set.Add(r"\A")
        self._nothing = [self._proof]
        try:
            self._set.Compile()
        except re2.error:
            raise ValueError("together they are too large for RE2") from None

    def finds_nothing(self, text: bytes) -> bool:
        """Whether the text holds none of them, for certain."""
        found: Sequence[int] | None = self._set.Match(text)
        return found == self._nothing

    def search(self, text: str | bytes) -> Sequence[int] | None:
        """The numbers of those that the text holds, in order; None where the memory ran out, so that nobody knows."""
        found: Sequence[int] | None = self._set.Match(text)
        if not found or self._proof not in found:
            return None
        return () if len(found) == 1 else [number for number in sorted(found) if number != self._proof]


def _quiet() -> Any:
    options = re2.Options()
    options.log_errors = False
    return options
