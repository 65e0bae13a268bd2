"""How alike texts are by their letters: cosines of bags of features, found over an inverted index."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from promptd.intents.features import KINDS, Bag, Bags

Floats = npt.NDArray[np.float32]


class Lexicon:
    """An index of texts."""

    def __init__(self, texts: Sequence[Bags]) -> None:
        self._kinds = [_Index([bags[kind] for bags in texts]) for kind in range(KINDS)]

    def cosines(self, bags: Bags) -> list[Floats]:
        """For each kind of feature the cosines of a text with all texts of the index."""
        return [index.cosines(bag) for index, bag in zip(self._kinds, bags, strict=True)]


class _Index:
    def __init__(self, bags: Sequence[Bag]) -> None:
        self._size = len(bags)
        found = Counter(feature for bag in bags for feature in bag)
        self._rarity = {feature: math.log((1 + len(bags)) / (1 + count)) + 1 for feature, count in found.items()}
        self._unknown = math.log(1 + len(bags)) + 1
        rows: dict[str, list[int]] = {}
        values: dict[str, list[float]] = {}
        for row, bag in enumerate(bags):
            length = self._length(bag)
            for feature, weight in bag.items():
                rows.setdefault(feature, []).append(row)
                values.setdefault(feature, []).append(weight * self._rarity[feature] ** 2 / length)
        self._postings = {
            feature: (np.array(rows[feature], np.intp), np.array(values[feature], np.float32)) for feature in rows
        }

    def _length(self, bag: Bag) -> float:
        rarity, unknown = self._rarity, self._unknown
        return math.sqrt(sum((weight * rarity.get(feature, unknown)) ** 2 for feature, weight in bag.items())) or 1.0

    def cosines(self, bag: Bag) -> Floats:
        hits = [(posting, weight) for feature, weight in bag.items() if (posting := self._postings.get(feature))]
        if not hits:
            return np.zeros(self._size, np.float32)
        rows = np.concatenate([posting[0] for posting, _ in hits])
        values = np.concatenate([posting[1] * np.float32(weight) for posting, weight in hits])
        sums = np.bincount(rows, values, self._size)
        return (sums / self._length(bag)).astype(np.float32)
