"""How alike texts are by their letters: cosines of bags of features, found over an inverted index."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from promptd.intents.features import KINDS, Bag, Bags

Floats = npt.NDArray[np.float32]


class _Posting(NamedTuple):
    """A feature of some texts."""

    rarity: float
    rows: npt.NDArray[np.intp]  #: which texts have it, counted through all kinds
    values: Floats  #: how much it adds to their cosines with a text that has it once


class Lexicon:
    """An index of texts."""

    def __init__(self, texts: Sequence[Bags]) -> None:
        self._size = len(texts)
        self._unknown: Final = math.log(1 + len(texts)) + 1
        self._kinds = [self._index([bags[kind] for bags in texts], kind * len(texts)) for kind in range(KINDS)]

    def cosines(self, bags: Bags) -> Sequence[Floats]:
        """For each kind of feature the cosines of a text with all texts of the index."""
        hits: list[_Posting] = []
        weights: list[float] = []
        lengths: list[float] = []
        for index, bag in zip(self._kinds, bags, strict=True):
            total = 0.0
            for feature, weight in bag.items():
                posting = index.get(feature)
                if posting is None:
                    total += (weight * self._unknown) ** 2
                else:
                    total += (weight * posting.rarity) ** 2
                    hits.append(posting)
                    weights.append(weight)
            lengths.append(math.sqrt(total) or 1.0)
        if not hits:
            return [np.zeros(self._size, np.float32)] * KINDS
        rows = np.concatenate([posting.rows for posting in hits])
        values = np.concatenate([posting.values for posting in hits])
        values = values * np.repeat(weights, [len(posting.rows) for posting in hits])
        sums = np.bincount(rows, values, KINDS * self._size).reshape(KINDS, self._size)
        return list((sums / np.array(lengths)[:, None]).astype(np.float32))

    def _index(self, bags: Sequence[Bag], first: int) -> dict[str, _Posting]:
        found = Counter(feature for bag in bags for feature in bag)
        rarity = {feature: math.log((1 + len(bags)) / (1 + count)) + 1 for feature, count in found.items()}
        rows: dict[str, list[int]] = {}
        values: dict[str, list[float]] = {}
        for row, bag in enumerate(bags, first):
            length = math.sqrt(sum((weight * rarity[feature]) ** 2 for feature, weight in bag.items())) or 1.0
            for feature, weight in bag.items():
                rows.setdefault(feature, []).append(row)
                values.setdefault(feature, []).append(weight * rarity[feature] ** 2 / length)
        return {
            feature: _Posting(one, np.array(rows[feature], np.intp), np.array(values[feature], np.float32))
            for feature, one in rarity.items()
        }
