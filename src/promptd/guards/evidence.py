"""What speaks for an attack in a text, as numbers: of the whole text, of its windows, and of how it is made up.

A window is up to three sentences in a row. Weights of grams are summed once over the text; a window's sum is the difference
of two sums, so that looking at every window costs hardly more than looking at the whole.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import IO, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from promptd.guards.notions import GROUPS, spaced
from promptd.guards.texts import windows
from promptd.guards.unpacking import Unpacked
from promptd.vectors.ngrams import BORDER, Bytes, Recipe, grams, read_notions, squeeze, squeeze_many

Numbers = NDArray[np.float64]
Places = NDArray[np.int64]

#: The table has 2 to the power of so many places
BITS: Final = 18

#: What the table weighs: attack or not; asking an assistant or not; a document or a prompt; technical documentation or not
HEADS: Final = ("attack", "request", "document", "technical")
COLUMNS: Final = len(HEADS)

#: What is known of a text in the end. `embedded`: how much a document asks an assistant for something.
FEATURES: Final = ("whole", "highest", "windows", "embedded", "document", "disguised", "hidden")

#: Grams that a window is taken to have beyond its own, so that a few words prove little
SMOOTH: Final = 40.0

#: Log odds that a window loses which is technical for certain, and the log odds from which on it counts as such: manuals are full
#: of the words that attacks are made of
_DISCOUNT: Final = 7.0
_CERTAIN: Final = 2.0

#: Two sums share a number: no sum of a part's weights is half as much
_APART: Final = 2.0**26
_MILD: Final = frozenset({"escaped", "leet"})  #: tricks that names such as `s3` and addresses have too
_SENTENCE: Final = 240  #: bytes after which a sentence ends at the latest
_SHORT: Final = 12  #: bytes: what is shorter is no sentence of its own
_SPAN: Final = 3  #: sentences in a window, at most
_PART: Final = 8_192  #: characters of a part of a large text; each has at most four bytes
_OVERLAP: Final = 3 * _SENTENCE
_MOST: Final = math.log(400)  #: of the logarithm of a text's windows: beyond, length hides nothing more
_STRONG: Final = 4.0  #: more than this no sentence asks
_AT_ONCE: Final = 128  #: short texts; with their borders they are no more than a piece
_DIVERSE: Final = 0.5  #: share of a text's words that say something new; below, it repeats itself


class Weights(NamedTuple):
    """`table`: places × `COLUMNS`, in small numbers; `scales` and `biases` for each of `HEADS`; `joint`: for each of `FEATURES`,
    and at the end what is added."""

    table: NDArray[np.int8]
    scales: Numbers
    biases: Numbers
    joint: Numbers


def load(file: IO[bytes]) -> Weights:
    """The weights in a file of `training/guard`."""
    with np.load(file, allow_pickle=False) as stored:
        return Weights(**{name: stored[name] for name in Weights._fields})


class Evidence(NamedTuple):
    """`features` of a text, or of that part of it which says most, and the log odds for an attack."""

    features: Numbers
    log_odds: float

    @property
    def in_document(self) -> bool:
        """Whether it stands in somebody else's text, rather than in a request."""
        return bool(self.features[FEATURES.index("document")] > 0)


@functools.cache
def recipe() -> Recipe:
    """The grams of the classifier."""
    return Recipe(bits=BITS, letters=(4,), notions=read_notions(GROUPS))


def squeezed(text: str) -> Bytes:
    """What its grams are made of."""
    return squeeze(spaced(text))


class Reader:
    """Reads texts by weights."""

    def __init__(self, weights: Weights) -> None:
        table = weights.table.astype(np.float64)
        self._both = table[:, 0] + table[:, 1] * _APART
        self._rest = table[:, 3] + _APART
        self._kind = np.ascontiguousarray(weights.table[:, 2])
        self._scales = [float(one) for one in weights.scales]
        self._biases = [float(one) for one in weights.biases]
        self._joint = weights.joint[:-1]
        self._added = float(weights.joint[-1])

    def read(self, said: Unpacked) -> Evidence:
        """Of a text of any length, and of what is hidden in it. Time is linear in both."""
        disguised = float(bool(said.tricks - _MILD))
        found = [self._part(part, disguised, 0.0) for part in windows(said.plain, _PART, _OVERLAP)]
        for text in said.hidden:
            found += [self._part(part, disguised, disguised) for part in windows(text, _PART, _OVERLAP)]
        return max(found, key=lambda evidence: evidence.log_odds)

    def _part(self, text: str, disguised: float, hidden: float) -> Evidence:
        """Of one part. What speaks for an attack only because it is said over and over does not: a filler is none."""
        found = self._evidence(text, disguised, hidden)
        if found.log_odds <= 0:
            return found
        words = text.split()
        new = _first_said(words)
        if len(new) > _DIVERSE * len(words):
            return found
        return self._evidence(" ".join(new), disguised, hidden)

    def read_short(self, texts: Sequence[str]) -> list[Evidence]:
        """Of many short texts (`is_short`), all at once: what each would have by itself costs a fraction of that."""
        found: list[Evidence] = []
        for start in range(0, len(texts), _AT_ONCE):
            found += self._crowd(texts[start : start + _AT_ONCE])
        return [self._part(text, 0.0, 0.0) if one.log_odds > 0 else one for text, one in zip(texts, found, strict=True)]

    def _crowd(self, texts: Sequence[str]) -> list[Evidence]:
        data = squeeze_many([spaced(text) for text in texts])
        border = data == BORDER
        owners = np.cumsum(border) - border
        found = grams(data, recipe(), np.where(border, -1 - owners, owners))
        edges = _edges_of_many(data, border)
        sentences = len(edges) - 1
        number = np.arange(sentences).repeat(edges[1:] - edges[:-1])[found.begins]
        sums = self._sums(found.places, number, sentences)
        owner, text = owners[edges[:-1]], owners[found.begins]
        length = np.sqrt(np.bincount(text, minlength=len(texts)) + SMOOTH)
        total = np.bincount(owner, sums[0]) / length * self._scales[0] + self._biases[0]
        kind = np.bincount(text, self._kind[found.places], len(texts)) / length * self._scales[2] + self._biases[2]
        spans = _spans(sums)
        # of a run of sentences the first one's owner; those that end in another text are left out
        owned = [owner[: sentences - more] for more in range(min(_SPAN, sentences))]
        own = np.concatenate([one == owner[more:] for more, one in enumerate(owned)]).nonzero()[0]
        whose = np.concatenate(owned)[own]
        attack, request = self._weighed(*spans[:, own])
        highest, asks = np.full(len(texts), -np.inf), np.full(len(texts), -np.inf)
        np.maximum.at(highest, whose, attack)
        np.maximum.at(asks, whose, request)
        many = np.minimum(np.log(np.bincount(whose)), _MOST)
        embedded = np.minimum(asks + self._biases[1], _STRONG) / (1 + np.exp(-np.clip(kind, -30, 30)))
        none = np.zeros(len(texts))
        features = np.stack([total, highest + self._biases[0], many, embedded, kind, none, none], axis=1)
        odds = features @ self._joint + self._added
        return [Evidence(*one) for one in zip(features, odds.tolist(), strict=True)]

    def _evidence(self, text: str, disguised: float, hidden: float) -> Evidence:
        data = squeezed(text)
        edges = _edges(data)
        found = grams(data, recipe())
        sentences = len(edges) - 1
        number = np.arange(sentences).repeat(edges[1:] - edges[:-1])[found.begins]
        sums = self._sums(found.places, number, sentences)
        length = math.sqrt(len(found.places) + SMOOTH)
        total = float(sums[0].sum()) / length * self._scales[0] + self._biases[0]
        kind = int(self._kind[found.places].sum(dtype=np.int64)) / length * self._scales[2] + self._biases[2]
        spans = _spans(sums)
        attack, request = self._weighed(*spans)
        highest = float(attack.max()) + self._biases[0]
        asks = float(request.max()) + self._biases[1]
        many = min(math.log(spans.shape[1]), _MOST)
        embedded = min(asks, _STRONG) * _sigmoid(kind)
        features = np.array([total, highest, many, embedded, kind, disguised, hidden])
        return Evidence(features, float(features @ self._joint) + self._added)

    def _sums(self, places: Places, number: Places, sentences: int) -> Numbers:
        """Of each sentence what the heads `attack`, `request` and `technical` say, and its grams."""
        sums = np.empty((4, sentences))
        for row, table in ((0, self._both), (2, self._rest)):
            both = np.bincount(number, table[places], sentences)
            np.rint(both / _APART, out=sums[row + 1])
            np.subtract(both, sums[row + 1] * _APART, out=sums[row])
        return sums

    def _weighed(
        self, attack: Numbers, request: Numbers, technical: Numbers, count: Numbers
    ) -> tuple[Numbers, Numbers]:
        """How much each window is an attack, and how much it asks, less what a technical one loses."""
        norm = 1 / np.sqrt(count + SMOOTH)
        certain = technical * norm * self._scales[3] + (self._biases[3] - _CERTAIN)
        less = _DISCOUNT / 2 * (1 + np.tanh(certain / 2))
        return attack * norm * self._scales[0] - less, request * norm * self._scales[1] - less


def is_short(said: Unpacked) -> bool:
    """Whether `read_short` can read it: an undisguised text that fits into one sentence."""
    if said.hidden or said.tricks or not 0 < len(said.plain) <= _SENTENCE:
        return False
    return said.plain.isascii() or len(spaced(said.plain).encode("utf-8", "replace")) <= _SENTENCE


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


def _spans(sums: Numbers) -> Numbers:
    """Of each row the sums of all runs of one, two and three sentences."""
    found = [sums]
    for span in range(1, min(_SPAN, sums.shape[1])):
        found.append(found[-1][:, :-1] + sums[:, span:])
    return np.concatenate(found, axis=1)


def _edges(data: Bytes) -> Places:
    """Where sentences begin, and the end of the text."""
    last = data[:-1]
    stops = _stops()[last]
    stops &= data[1:] <= _BLANK
    stops |= last == _LINE_END
    ends = stops.nonzero()[0]
    found = np.empty(len(ends) + 2, np.int64)
    found[0] = 0
    np.add(ends, 1, out=found[1:-1])
    found[-1] = len(data)
    size = found[1:] - found[:-1]
    if (size > _SENTENCE).any():
        found = np.union1d(found, np.arange(0, len(data), _SENTENCE))
        size = found[1:] - found[:-1]
    keep = np.empty(len(found), np.bool_)
    np.greater_equal(size, _SHORT, out=keep[1:])
    keep[[0, -1]] = True
    return found[keep]


def _edges_of_many(data: Bytes, border: NDArray[np.bool_]) -> Places:
    """As `_edges`, of short texts with a border behind each, which counts with its text."""
    last, after = data[:-1], data[1:]
    found = _stops()[last] & (after <= _BLANK) | ((last == _LINE_END) | border[:-1]) & ~border[1:]
    edges = np.concatenate(([0], found.nonzero()[0] + 1, [len(data)]))
    keep = np.ones(len(edges), np.bool_)
    keep[1:-1] = (edges[1:-1] - edges[:-2] >= _SHORT) | border[edges[1:-1] - 1]
    return edges[keep]


_BLANK: Final = 32
_LINE_END: Final = 10


@functools.cache
def _stops() -> NDArray[np.bool_]:
    return _members(".!?:;>")


def _members(signs: str) -> NDArray[np.bool_]:
    table = np.zeros(256, np.bool_)
    table[[ord(sign) for sign in signs]] = True
    return table


def _sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-max(min(value, 30.0), -30.0)))
