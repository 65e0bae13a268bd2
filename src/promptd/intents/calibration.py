"""From how a target stands to a text to how surely it is meant: the score.

The score is the chance that the target is the right one when every other message is about something else. So the same
threshold means about the same precision for one target and for a hundred, with examples and without. The numbers were
fitted by `training/words/calibrate.py` on one set of intents and checked on another; docs/intents.md has the figures.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from promptd.intents.ranking import Standing

#: What was fitted on: beyond so many targets, and outside of so many texts of each, the logarithms are taken as at the edge
MANY: Final = math.log(150)
FEWEST: Final = math.log(2)
EACH: Final = math.log(42)


class Calibration(NamedTuple):
    """Weights of a logistic regression: of each sign alone, times log texts per target, and times log targets."""

    base: float
    plain: tuple[
        float, ...
    ]  #: of what the regression says, its margin, likeness, letters, log targets, log texts per target
    by_texts: tuple[float, ...]  #: of what the regression says, likeness, letters; times log texts per target
    by_targets: tuple[float, ...]  #: of the same three and of log texts per target; times log targets

    def score(self, standing: Standing, targets: int, texts: int) -> float:
        """Chance that the best of `targets`, which have `texts` texts together, is meant."""
        first, margin, *near = signs(standing)
        many, each = min(math.log(targets), MANY), min(max(math.log(texts / targets), FEWEST), EACH)
        value = self.base + _sum(self.plain, (first, margin, *near, many, each))
        value += each * _sum(self.by_texts, (first, *near)) + many * _sum(self.by_targets, (first, *near, each))
        return 1 / (1 + math.exp(-max(-40.0, min(40.0, value))))


def signs(standing: Standing) -> tuple[float, float, float, float]:
    """What the regression says and by how much more than of the next target, and how near the nearest text is."""
    first, second = (math.log(max(value, 1e-3)) for value in (standing.first, standing.second))
    return (first, first - second, standing.likeness, standing.letters)


def _sum(weights: Sequence[float], values: Sequence[float]) -> float:
    return sum(weight * value for weight, value in zip(weights, values, strict=True))
