"""The built-in intent matcher: it compares the words of the conversation with those of each target.

TF-IDF over words, pairs of words and pieces of words; the score is a cosine. No model, no network, the same answer every
time. It knows no synonyms: a target is found by the words of its description and examples, so examples matter.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final

from pydantic import Field

from promptd.core.content import Turn
from promptd.core.engine import Config
from promptd.core.model import Match, Target

_WORD: Final = re.compile(r"\w+")

#: Characters of a turn that are looked at, from its end: that is where the wish stands, and it bounds the time
_LONGEST: Final = 4096

#: How many lists of targets stay indexed
_INDEXES: Final = 8


class LexicalConfig(Config):
    """When a target is chosen."""

    threshold: float = Field(0.2, ge=0, le=1, description="Lowest score that is a match.")
    turns: int = Field(2, ge=1, le=32, description="How many of the user's last messages are looked at.")
    fading: float = Field(0.25, ge=0, le=1, description="Weight of each message, compared with the one after it.")


class Lexical:
    """The matcher. Lists of targets are indexed once and remembered; keep a list's order to be fast."""

    config_class: Final = LexicalConfig

    def __init__(self, config: LexicalConfig = LexicalConfig()) -> None:  # noqa: B008 - frozen
        self._config = config
        self._index = lru_cache(_INDEXES)(_Index)

    async def match(self, messages: Sequence[Turn], targets: Sequence[Target]) -> Match | None:
        """The nearest target, if its score reaches the threshold; never one that shares nothing with what was said."""
        if not targets:
            return None
        said = [turn.content[-_LONGEST:] for turn in messages if turn.role == "user"][-self._config.turns :]
        query = _sum(
            {feature: weight * self._config.fading**age for feature, weight in _weights(text).items()}
            for age, text in enumerate(reversed(said))
        )
        found = self._index(tuple(targets)).best(query)
        return found if found.score >= self._config.threshold and found.score > 0 else None


class _Index:
    """Each target as the sum of its texts, sorted by feature."""

    def __init__(self, targets: tuple[Target, ...]) -> None:
        self._names = [target.name for target in targets]
        bags = [[_weights(text) for text in (target.description, *target.examples)] for target in targets]
        texts = [bag for bags_of_target in bags for bag in bags_of_target if bag]
        found = Counter(feature for bag in texts for feature in bag)
        self._rarity = {feature: math.log((1 + len(texts)) / (1 + count)) + 1 for feature, count in found.items()}
        self._unknown = math.log(1 + len(texts)) + 1
        self._postings: dict[str, list[tuple[int, float]]] = {}
        for number, bags_of_target in enumerate(bags):
            for feature, weight in _unit(_sum(map(self._direction, bags_of_target))).items():
                self._postings.setdefault(feature, []).append((number, weight))

    def best(self, query: Mapping[str, float]) -> Match:
        """The nearest target, of equal ones the first by name, and the cosine."""
        cosines = [0.0] * len(self._names)
        for feature, weight in self._direction(query).items():
            for number, other in self._postings.get(feature, ()):
                cosines[number] += weight * other
        score, name = min((-round(cosine, 9), name) for cosine, name in zip(cosines, self._names, strict=True))
        return Match(name, min(1.0, -score))

    def _direction(self, bag: Mapping[str, float]) -> dict[str, float]:
        """The bag weighed by how rare its features are, as a vector of length 1."""
        return _unit({feature: weight * self._rarity.get(feature, self._unknown) for feature, weight in bag.items()})


def _sum(bags: Iterable[Mapping[str, float]]) -> dict[str, float]:
    total: dict[str, float] = {}
    for bag in bags:
        for feature, weight in bag.items():
            total[feature] = total.get(feature, 0.0) + weight
    return total


def _unit(vector: Mapping[str, float]) -> dict[str, float]:
    length = math.sqrt(math.fsum(weight * weight for weight in vector.values()))
    return {feature: weight / length for feature, weight in vector.items()} if length else {}


def _weights(text: str) -> dict[str, float]:
    """Features and their weights; the tenth mention says little more than the first."""
    return {feature: 1 + math.log(count) for feature, count in Counter(_features(text)).items()}


def _features(text: str) -> Iterator[str]:
    words = _WORD.findall(unicodedata.normalize("NFKC", text).casefold())
    for before, word in zip(["", *words], words, strict=False):
        yield word
        if before:
            yield f"{before} {word}"
        framed = f"<{word}>"
        for length in (3, 4):
            for start in range(len(framed) - length + 1):
                yield framed[start : start + length]
