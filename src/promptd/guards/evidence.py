"""What speaks for an attack in a text, as numbers: of the whole text, of its windows, and of how it is made up.

A window is up to three sentences in a row. Weights of grams are summed once over the text; a window's sum is the difference
of two sums, so that looking at every window costs hardly more than looking at the whole.
"""

from __future__ import annotations

import functools
import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from promptd.guards.notions import GROUPS
from promptd.guards.texts import windows
from promptd.guards.unpacking import Unpacked
from promptd.vectors.ngrams import Bytes, Recipe, grams, read_notions, squeeze

Numbers = NDArray[np.float64]
Places = NDArray[np.int64]

#: The table has 2 to the power of so many places
BITS: Final = 18

#: What the table weighs: attack or not; asking an assistant or not; a document or a prompt. The fourth column is empty, so
#: that a row has the size of one number and is looked up as such.
HEADS: Final = ("attack", "request", "document")
COLUMNS: Final = 4

#: What is known of a text in the end. `embedded`: how much a document asks an assistant for something.
FEATURES: Final = ("whole", "highest", "windows", "embedded", "document", "symbols", "disguised", "hidden")

#: Grams that a window is taken to have beyond its own, so that a few words prove little
SMOOTH: Final = 40.0

_SENTENCE: Final = 240  #: bytes after which a sentence ends at the latest
_SHORT: Final = 12  #: bytes: what is shorter is no sentence of its own
_SPAN: Final = 3  #: sentences in a window, at most
_PART: Final = 8_192  #: characters of a part of a large text; each has at most four bytes
_OVERLAP: Final = 3 * _SENTENCE
_MOST: Final = math.log(400)  #: of the logarithm of a text's windows: beyond, length hides nothing more
_STRONG: Final = 4.0  #: more than this no sentence asks
_DIVERSE: Final = 0.5  #: share of a text's words that say something new; below, it repeats itself


class Weights(NamedTuple):
    """`table`: places × `COLUMNS`, in small numbers; `scales` and `biases` for each of `HEADS`; `joint`: for each of `FEATURES`,
    and at the end what is added."""

    table: NDArray[np.int8]
    scales: Numbers
    biases: Numbers
    joint: Numbers


class Evidence(NamedTuple):
    """`features` of a text, or of that part of it which says most."""

    features: Numbers

    def log_odds(self, weights: Weights) -> float:
        """For an attack."""
        return float(self.features @ weights.joint[:-1] + weights.joint[-1])

    @property
    def in_document(self) -> bool:
        """Whether it stands in somebody else's text, rather than in a request."""
        return bool(self.features[FEATURES.index("document")] > 0)


@functools.cache
def recipe() -> Recipe:
    """The grams of the classifier."""
    return Recipe(bits=BITS, letters=(4,), notions=read_notions(GROUPS))


def read(said: Unpacked, weights: Weights) -> Evidence:
    """Of a text of any length, and of what is hidden in it. Time is linear in both."""
    marks = [float(bool(said.tricks - {"escaped", "leet"})), 0.0]
    found = [_part(part, marks, weights) for part in windows(said.plain, _PART, _OVERLAP)]
    marks[1] = 1.0
    for text in said.hidden:
        found += [_part(part, marks, weights) for part in windows(text, _PART, _OVERLAP)]
    return max(found, key=lambda evidence: evidence.log_odds(weights))


def _part(text: str, marks: list[float], weights: Weights) -> Evidence:
    """Of one part. What speaks for an attack only because it is said over and over does not: a filler is none."""
    found = Evidence(np.append(_features(text, weights), marks))
    if found.log_odds(weights) <= 0:
        return found
    words = text.split()
    new = _first_said(words)
    if len(new) > _DIVERSE * len(words):
        return found
    return Evidence(np.append(_features(" ".join(new), weights), marks))


def _first_said(words: list[str]) -> list[str]:
    """The words without those that only end a run of three that was there before."""
    known: set[tuple[str, ...]] = set()
    new: list[str] = []
    for place, word in enumerate(words):
        run = tuple(words[max(0, place - 2) : place + 1])
        if run not in known:
            known.add(run)
            new.append(word)
    return new


def _features(text: str, weights: Weights) -> Numbers:
    """All of `FEATURES` but the last two."""
    data = squeeze(text)
    edges = _edges(data)
    found = grams(data, recipe())
    rows = weights.table.view(np.int32).ravel()[found.places].view(np.int8).reshape(-1, COLUMNS)
    sentence = np.repeat(np.arange(len(edges) - 1), np.diff(edges))[found.begins]
    sums = [np.bincount(sentence, values, len(edges) - 1) for values in (None, rows[:, 0], rows[:, 1])]
    whole = float(sums[1].sum()), float(rows[:, 2].sum(dtype=np.int64))
    count, attack, request = _spans(np.array(sums))
    norm = 1 / np.sqrt(count + SMOOTH)
    attack = attack * norm * weights.scales[0] + weights.biases[0]
    asks = float((request * norm).max()) * weights.scales[1] + weights.biases[1]
    scale = weights.scales / math.sqrt(len(found.places) + SMOOTH)
    total = whole[0] * scale[0] + weights.biases[0]
    kind = whole[1] * scale[2] + weights.biases[2]
    odd = np.count_nonzero(_symbols()[data]) / (len(data) + 20)
    many = min(math.log(len(attack)), _MOST)
    return np.array([total, attack.max(), many, min(asks, _STRONG) * _sigmoid(kind), kind, odd])


def _spans(sums: Numbers) -> Numbers:
    """Of each row the sums of all runs of one, two and three sentences."""
    found = [sums]
    for span in range(1, min(_SPAN, sums.shape[1])):
        found.append(found[-1][:, :-1] + sums[:, span:])
    return np.concatenate(found, axis=1)


def _edges(data: Bytes) -> Places:
    """Where sentences begin, and the end of the text."""
    stops = _stops()[data[:-1]] & (data[1:] <= _BLANK)
    stops |= data[:-1] == _LINE_END
    found = np.concatenate(([0], np.flatnonzero(stops) + 1, [len(data)]))
    if (np.diff(found) > _SENTENCE).any():
        found = np.union1d(found, np.arange(0, len(data), _SENTENCE))
    keep = np.diff(found) >= _SHORT
    keep[-1:] = True
    return np.concatenate(([0], found[1:][keep]))


_BLANK: Final = 32
_LINE_END: Final = 10


@functools.cache
def _stops() -> NDArray[np.bool_]:
    return _members(".!?:;>")


@functools.cache
def _symbols() -> NDArray[np.bool_]:
    return _members("<>[]{}|#=\\/_*~^$%&@+()")


def _members(signs: str) -> NDArray[np.bool_]:
    table = np.zeros(256, np.bool_)
    table[[ord(sign) for sign in signs]] = True
    return table


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-max(min(value, 30.0), -30.0)))
