"""What a text says by its letters: its words, pairs of words and pieces of words, each with a weight.

Words that every text has (of the word vectors' vocabulary, which is roughly in the order of frequency) weigh little, so that
two short descriptions are not alike because both begin with "get the".
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

from promptd.vectors import words

#: Kinds of features: words, pairs of words, pieces of words
KINDS: Final = 3

Bag = Mapping[str, float]
Bags = tuple[Bag, ...]

_PIECES: Final = (3, 4)

#: Longer words are told apart by their start
_LONGEST: Final = 32


def bags(text: str) -> Bags:
    """One bag for each kind; time is linear in the text."""
    return tuple(
        {feature: (1 + math.log(count)) * rare for feature, (count, rare) in bag.items()} for bag in _counts(text)
    )


def blend(parts: Sequence[tuple[Bags, float]]) -> Bags:
    """Several texts as one, each with a weight."""
    if len(parts) == 1 and parts[0][1] == 1:
        return parts[0][0]
    sums: tuple[dict[str, float], ...] = tuple({} for _ in range(KINDS))
    for of_text, weight in parts:
        for total, bag in zip(sums, of_text, strict=True):
            for feature, value in bag.items():
                total[feature] = total.get(feature, 0.0) + value * weight
    return sums


def _counts(text: str) -> Iterator[dict[str, tuple[int, float]]]:
    single: dict[str, tuple[int, float]] = {}
    double: dict[str, tuple[int, float]] = {}
    pieces: dict[str, tuple[int, float]] = {}
    before, before_rare = "", 0.0
    for whole in words.words(text):
        word = whole[:_LONGEST]
        rare = _rarity(word)
        _count(single, word, rare)
        if before:
            _count(double, f"{before} {word}", (before_rare + rare) / 2)
        for piece in _split(word):
            _count(pieces, piece, rare)
        before, before_rare = word, rare
    yield from (single, double, pieces)


def _count(into: dict[str, tuple[int, float]], feature: str, rare: float) -> None:
    count, known = into.get(feature, (0, 0.0))
    into[feature] = (count + 1, max(known, rare))


@lru_cache(maxsize=8192)
def _split(word: str) -> tuple[str, ...]:
    framed = f"<{word}>"
    return tuple(framed[start : start + size] for size in _PIECES for start in range(len(framed) - size + 1))


@lru_cache(maxsize=8192)
def _rarity(word: str) -> float:
    """From 0.4 for words like "the" to 1 for one that is not known."""
    place = words.rank(word)
    return 1.0 if place is None else math.log(2 + place) / math.log(2 + words.size())
