"""Slips of spelling, mended by the words that the targets' own texts have."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from promptd.vectors import words

#: Words of fewer letters are too alike to be guessed
_SHORTEST: Final = 5
_LONGEST: Final = 24

#: How much of their pieces two words must share (Dice)
_ALIKE: Final = 0.55

_UNKNOWN: Final = re.compile(rf"(?<!\w)[^\W\d_]{{{_SHORTEST},{_LONGEST}}}(?!\w)")


class Spelling:
    """Knows the words of some texts."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._words = {word for text in texts for word in words.words(text) if _SHORTEST <= len(word) <= _LONGEST}
        self._having: dict[str, list[str]] = {}
        for word in sorted(self._words):
            for piece in _pieces(word):
                self._having.setdefault(piece, []).append(word)
        self._mended = lru_cache(maxsize=4096)(self._nearest)

    def mend(self, text: str) -> str:
        """The text, with each word that nobody knows replaced by the known word that it nearly is."""
        return _UNKNOWN.sub(lambda found: self._mended(found[0].lower()) or found[0], text)

    def _nearest(self, word: str) -> str | None:
        if word in self._words or words.rank(word) is not None:
            return None
        own = _pieces(word)
        shared: dict[str, int] = {}
        for piece in own:
            for other in self._having.get(piece, ()):
                shared[other] = shared.get(other, 0) + 1
        alike = {other: 2 * count / (len(own) + len(_pieces(other))) for other, count in shared.items()}
        best = min(alike, key=lambda other: (-alike[other], other), default=None)
        return best if best is not None and alike[best] >= _ALIKE else None


def _pieces(word: str) -> frozenset[str]:
    framed = f"<{word}>"
    return frozenset(framed[start : start + 3] for start in range(len(framed) - 2))
