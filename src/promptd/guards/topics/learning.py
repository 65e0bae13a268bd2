"""Topics from examples: a line between a topic's sentences and ordinary ones, and how near the nearest of both are.

Both are calibrated by sentences that the line was not drawn with, so that a score of one half means the same for each topic:
less than one ordinary sentence in a hundred has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Final

import msgspec
import numpy as np
import re2

from promptd.vectors.words import Vectors, embed, embed_sums, unit

_FOLDS: Final = 5
_RIDGE: Final = 0.03
_NEAREST: Final = 3
_NEARNESS: Final = 2.0  # weight of the nearest sentences beside the line
_STEEPNESS: Final = 1.5
_LEVEL: Final = 0.994  # of the ordinary sentences are below a score of one half
_PER_LENGTH: Final = 0.1  # standard deviations that a text must be odder for each e-fold of its pieces
_LONG: Final = 400  # pieces; beyond that a text needs nothing more, or nothing in it would count
_FEWEST_WORDS: Final = 4
_PIECE_WORDS: Final = 16
_ROWS: Final = 2048  # pieces that are compared at once, which bounds the memory
_SENTENCE: Final = re2.compile(r"[^.!?\n]+[.!?\n]*")


@lru_cache(1)
def _hazards() -> Mapping[str, tuple[str, ...]]:
    return msgspec.json.decode(_read("hazards.json"), type=dict[str, tuple[str, ...]])


@lru_cache(1)
def ordinary() -> tuple[str, ...]:
    """Sentences that are about nothing in particular, or only sound as if."""
    return msgspec.json.decode(_read("ordinary.json"), type=tuple[str, ...])


def _read(name: str) -> bytes:
    return (files("promptd") / "guards" / "topics" / name).read_bytes()


def hazard(name: str) -> tuple[str, ...]:
    """Examples of a kind of hazard."""
    return _hazards()[name]


def unknown(sentences: Sequence[str]) -> int | None:
    """The first sentence of which no word is known, so that nothing can be near it."""
    return next((at for at, row in enumerate(embed(sentences)) if not row.any()), None)


class Learned:
    """What was learned of all topics. Made once, in some ten milliseconds for each topic."""

    def __init__(self, topics: Mapping[str, tuple[Sequence[str], Sequence[str]]]) -> None:
        """Of each topic its examples, and sentences that are near but not meant."""
        self._common = embed(ordinary())
        self._topics = [
            _Topic(embed(examples), self._common, embed(others) if others else self._common[:0])
            for examples, others in topics.values()
        ]
        self._lines = np.stack([topic.line for topic in self._topics], axis=1)

    def score(self, text: str) -> Vectors:
        """For each topic the score of the piece, or pair of neighbours, that is most about it; 0 … 1.

        Of many pieces one is odd by chance, so that a long text needs one that is a little odder.
        """
        best = np.full(len(self._topics), -np.inf, np.float32)
        count = 0
        for rows in _batches(text):
            count += len(rows)
            near = _near(rows, self._common)
            drawn = rows @ self._lines[:-1] + self._lines[-1]
            for place, topic in enumerate(self._topics):
                best[place] = max(best[place], topic.height(rows, drawn[:, place], near))
        height = best - _PER_LENGTH * np.log(min(max(count, 1), _LONG))
        return np.asarray(1 / (1 + np.exp(-_STEEPNESS * np.clip(height, -40, 40))), np.float32)


class _Topic:
    def __init__(self, examples: Vectors, common: Vectors, others: Vectors) -> None:
        self._examples, self._others = examples, others
        against = np.vstack([common, others])
        self.line = _line(examples, against)
        # each ordinary sentence is judged by what was learned without it
        held = np.concatenate(
            [
                _raw(against[fold::_FOLDS], _line(examples, rest), examples, rest)
                for fold in range(_FOLDS)
                for rest in [np.delete(against, np.s_[fold::_FOLDS], axis=0)]
            ]
        )
        self._middle, self._scale = float(np.quantile(held, _LEVEL)), float(held.std()) or 1.0

    def height(self, rows: Vectors, drawn: Vectors, near: Vectors) -> float:
        """How far the row that is most about the topic is above the oddest ordinary sentence, in standard deviations."""
        if len(self._others):
            near = np.maximum(near, _near(rows, self._others))
        raw = drawn + _NEARNESS * (_near(rows, self._examples) - near)
        return (float(raw.max()) - self._middle) / self._scale


def _line(examples: Vectors, others: Vectors) -> Vectors:
    """Ridge regression; both sides weigh the same."""
    rows = np.vstack([examples, others])
    rows = np.hstack([rows, np.ones((len(rows), 1), np.float32)])
    weights = np.concatenate([np.full(len(examples), 0.5 / len(examples)), np.full(len(others), 0.5 / len(others))])
    wanted = np.concatenate([np.ones(len(examples)), -np.ones(len(others))])
    penalty = np.full(rows.shape[1], _RIDGE)
    penalty[-1] = 1e-6
    weighted = rows * weights[:, None]
    return np.asarray(np.linalg.solve(weighted.T @ rows + np.diag(penalty), weighted.T @ wanted), np.float32)


def _raw(rows: Vectors, line: Vectors, examples: Vectors, others: Vectors) -> Vectors:
    drawn: Vectors = rows @ line[:-1] + line[-1]
    return drawn + _NEARNESS * (_near(rows, examples) - _near(rows, others))


def _near(rows: Vectors, sentences: Vectors) -> Vectors:
    """Mean cosine of the nearest few."""
    cosines = rows @ sentences.T
    count = min(_NEAREST, cosines.shape[1])
    nearest = np.partition(cosines, -count, axis=1)[:, -count:]
    return np.asarray(nearest.mean(axis=1), np.float32)


def _batches(text: str) -> Iterator[Vectors]:
    """Vectors of the text's pieces, and of each two neighbours together."""
    waiting: list[str] = []
    for piece in _pieces(text):
        waiting.append(piece)
        if len(waiting) == _ROWS:
            yield _rows(waiting)
            waiting = waiting[-1:]
    if waiting:
        yield _rows(waiting)


def _rows(pieces: Sequence[str]) -> Vectors:
    sums = embed_sums(pieces)
    return unit(np.vstack([sums, sums[:-1] + sums[1:]]))


def _pieces(text: str) -> Iterator[str]:
    """Sentences; the short ones with their neighbours, the long ones in pieces."""
    waiting: list[str] = []
    for sentence in _SENTENCE.finditer(text.encode("utf-8", "replace").decode()):
        waiting += sentence[0].split()
        if len(waiting) >= _FEWEST_WORDS:
            for at in range(0, len(waiting), _PIECE_WORDS):
                yield " ".join(waiting[at : at + _PIECE_WORDS])
            waiting = []
    if waiting:
        yield " ".join(waiting)
