"""From texts to weights: the table of the heads, then the few numbers that join what they say of a text."""

from __future__ import annotations

import random
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix

from promptd.guards import evidence
from promptd.guards.evidence import Weights
from promptd.guards.unpacking import unpack
from promptd.vectors.ngrams import grams

from . import prior
from .samples import Sample

LONGEST = 4_000
RIDGE = 1e-3
#: What a feature may weigh; the others nothing below 0. A document that asks is mostly a caller's own, so that weighs little.
BOUNDS = {
    "windows": (None, 0.0),
    "document": (None, None),
    "embedded": (0.0, 0.6),
}
TECHNICAL = {"library", "technical", "manual"}
#: They say but a little, and to the first head alone: that a language is no evidence. Weighing more, they take the trust from words
#: that mean the same in all languages.
ABROAD = {"abroad": 0.3, "letter_abroad": 0.3}
STRENGTH = (6.0, 3.0, 3.0, 3.0)  #: of each head: how freely it may weigh single grams
#: What occurs in fewer families of attacks than this may weigh but `RARE` as freely for the first head, so that it finds each by what it
#: shares with others. Rows of public sets are many hands' work: each kind of them counts as so many families.
SHARED, HANDS = 4, 8
RARE = 0.5
REQUESTS = {"brief", "how_to", "roleplay", "task", "chat", "security", "innocent_words", "system_prompt", "odd_task"}
REQUESTS |= {"benign-roleplay", "benign-task", "benign-user-task", "benign-utterance"}


class Bit(NamedTuple):
    """A piece of a text and what each head should say of it: 1, 0, or -1 where it is not asked."""

    owner: int
    text: str
    attack: int
    request: int
    document: int
    technical: int
    weight: float


_PIECE = re.compile(r"(?<=[.!?:;>])\s+|\n+")


def bits(number: int, sample: Sample) -> Iterator[Bit]:
    """What heads learn from a text: the whole, hidden orders by themselves and beside a neighbour, pieces of ordinary ones.

    Technical texts teach but one head what they are: told that all of this is ordinary, the others forget what they know.
    """
    rng = random.Random(sample.text)

    def bit(text: str, attack: int, request: int, document: int, technical: int, weight: float) -> Bit:
        return Bit(number, text, attack, request, document, technical, weight)

    text = unpack(sample.text[:LONGEST]).plain
    asks = int(sample.family in REQUESTS)
    if sample.span is not None:
        order = unpack(sample.text[slice(*sample.span)]).plain
        rest = sample.text[: sample.span[0]] + " " + sample.text[sample.span[1] :]
        if sample.source == "technical":
            yield bit(order, -1, -1, -1, 0, 1)
            yield bit(unpack(rest).plain, -1, -1, -1, 1, 1 / 3)
            return
        mild = sample.family == "odd_task"
        yield bit(order, -1 if mild else 1, 1, -1, 0, 1)
        pieces = [one for one in _PIECE.split(rest) if len(one) > 12]
        if pieces:
            other = rng.choice(pieces)
            both = rng.choice((f"{other} {order}", f"{order} {other}"))
            yield bit(both, -1 if mild else 1, -1, -1, 0, 1 / 2)
            plain = 0 if sample.document else -1
            yield bit(rng.choice(pieces), plain, plain, -1, 0, 1 / 2)
        yield bit(unpack(rest).plain, 0, -1, int(sample.document), 0, 1 / 3)
        yield bit(text, -1, -1, int(sample.document), 0, 1)
    elif sample.attack:
        yield bit(text, 1, -1, 0, 0, 1)
        pieces = [one for one in _PIECE.split(text) if len(one) > 60]
        if len(text) > 600 and pieces:
            for one in rng.sample(pieces, min(2, len(pieces))):
                yield bit(one, 1, -1, -1, 0, 1 / 4)
    else:
        technical = int(sample.family in TECHNICAL)
        kind = asks if asks or sample.document else -1
        labels = (-1, -1, -1, 1) if technical else (0, kind, int(sample.document), 0)
        if sample.family in ABROAD:
            labels = 0, -1, -1, -1
        yield bit(text, *labels, 1)
        pieces = [one for one in _PIECE.split(text) if len(one) > 12]
        for one in rng.sample(pieces, min(6 if technical else 3, len(pieces))):
            yield bit(one, labels[0], labels[1], -1, labels[3], 1 / 2)


class Corpus:
    """Texts with all that heads learn from them, made once: folds only choose among it."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self.samples = samples
        self.bits = [one for number, sample in enumerate(samples) for one in bits(number, sample)]
        self.owners = np.array([one.owner for one in self.bits])
        self.labels = {name: np.array([getattr(one, name) for one in self.bits]) for name in evidence.HEADS}
        self.weights = np.array([one.weight for one in self.bits])
        self.rows = matrix([one.text for one in self.bits])
        names = [self._hand(self.samples[one.owner]) for one in self.bits]
        self.families, self.hands = np.unique(names, return_inverse=True)

    def heads(self, chosen: Sequence[int], expected: float = prior.WEIGHT) -> Weights:
        """One logistic regression for each head, in eight bits a weight; nothing is joined yet. `expected`: what a line of the
        prior weighs; 0 is without it."""
        share = np.zeros(len(self.samples))
        size = Counter((self.samples[at].family, self.samples[at].attack) for at in chosen)
        for at in chosen:
            share[at] = self._share(self.samples[at], size)
        wanted = np.flatnonzero(share[self.owners])
        weight = (share[self.owners] * self.weights)[wanted]
        table = np.zeros((1 << evidence.BITS, evidence.COLUMNS), np.int8)
        scales, biases = np.zeros(len(evidence.HEADS)), np.zeros(len(evidence.HEADS))
        for head, (name, strength) in enumerate(zip(evidence.HEADS, STRENGTH, strict=True)):
            label = self.labels[name][wanted]
            asked = label >= 0
            rows = self.rows[wanted[asked]]
            part = balanced(weight[asked], label[asked])
            begin, free = np.zeros(rows.shape[1]), np.ones(rows.shape[1])
            if name == "attack":
                begin = prior.weights(expected)
                free = np.where(self._shared(wanted[asked][label[asked] == 1]), 1.0, RARE)
            found, biases[head] = regress(rows, label[asked], part * len(part) * strength, begin, free)
            scales[head] = np.abs(found).max() / 127
            table[:, head] = np.round(found / scales[head])
        first = np.zeros(len(evidence.FEATURES) + 1)
        first[[evidence.FEATURES.index("whole"), evidence.FEATURES.index("highest")]] = 1
        return Weights(table, scales, biases, first)

    def _shared(self, attacks: Any) -> Any:
        """Of each place whether enough families of these attacks have it."""
        which = csr_matrix(
            (np.ones(len(attacks), np.float32), (self.hands[attacks], np.arange(len(attacks)))),
            shape=(len(self.families), len(attacks)),
        )
        return np.asarray((which @ self.rows[attacks] > 0).sum(0)).ravel() >= SHARED

    @staticmethod
    def _hand(sample: Sample) -> str:
        if sample.source in ("own", "technical"):
            return f"{sample.family} {sample.source}"
        return f"{sample.family} {sample.source} {zlib.crc32(sample.text.encode('utf-8', 'replace')) % HANDS}"

    def _share(self, sample: Sample, size: Counter[tuple[str, bool]]) -> float:
        share: float = min((300 / size[sample.family, sample.attack]) ** 0.5, 2.0)
        if sample.family == "benign-roleplay" or sample.source.startswith("deepset"):
            share *= 1.5
        return share * ABROAD.get(sample.family, 1.0)


def regress(rows: csr_matrix, label: Any, weight: Any, begin: Any, free: Any) -> tuple[Any, float]:
    """Logistic regression with a ridge that pulls each place to where it begins; `free`: how freely it may leave it."""
    free = free.astype(np.float32)
    sign, columns = 2.0 * label - 1, rows.T
    before = rows @ begin.astype(np.float32)
    size = weight.sum()

    def loss(guess: Any) -> tuple[float, Any]:
        margin = sign * (rows @ (guess[:-1] * free).astype(np.float32) + before + guess[-1])
        slope = -weight * sign / (1 + np.exp(np.clip(margin, -30, 30)))
        value = (weight * np.logaddexp(0, -margin)).sum() + (guess[:-1] ** 2).sum() / 2
        there = free * (columns @ slope.astype(np.float32)) + guess[:-1]
        return value / size, np.append(there, slope.sum()) / size

    wanted = {"maxiter": 100, "ftol": 1e-9, "gtol": 2e-5}
    found = minimize(loss, np.zeros(rows.shape[1] + 1), jac=True, method="L-BFGS-B", options=wanted).x
    return begin + found[:-1] * free, float(found[-1])


def matrix(texts: Sequence[str]) -> csr_matrix:
    """A row of grams for each text."""
    places, values, starts = [], [], [0]
    for text in texts:
        found = grams(evidence.squeezed(text[:LONGEST]), evidence.recipe()).places
        places.append(found.astype(np.int32))
        values.append(np.full(len(found), 1 / np.sqrt(len(found) + evidence.SMOOTH), np.float32))
        starts.append(starts[-1] + len(found))
    joined = csr_matrix(
        (np.concatenate(values), np.concatenate(places), np.array(starts)), shape=(len(texts), 1 << evidence.BITS)
    )
    joined.sum_duplicates()
    return joined


def balanced(weight: Any, label: Any) -> Any:
    """Both kinds weigh one half."""
    share = weight.astype(float)
    for kind in (0, 1):
        share[label == kind] *= 0.5 / share[label == kind].sum()
    return share


def look(samples: Sequence[Sample], weights: Weights) -> Any:
    """Features of whole texts."""
    reader = evidence.Reader(weights)
    return np.array([reader.read(unpack(one.text)).features for one in samples])


def join(values: Any, samples: Sequence[Sample]) -> Any:
    """One number for each feature, and a last one that is added: log odds where both kinds are as frequent.

    What speaks for an attack may not count against it, and length may count against it only.
    """
    label = np.array([int(one.attack) for one in samples])
    size = Counter((one.family, one.attack) for one in samples)
    share = balanced(np.array([size[one.family, one.attack] ** -0.5 for one in samples]), label)
    centre, spread = values.mean(0), values.std(0) + 1e-6
    scaled, sign = (values - centre) / spread, 2 * label - 1

    def loss(guess: Any) -> tuple[float, Any]:
        margin = sign * (scaled @ guess[:-1] + guess[-1])
        slope = -share * sign / (1 + np.exp(np.clip(margin, -30, 30)))
        value = (share * np.logaddexp(0, -margin)).sum() + RIDGE * (guess[:-1] ** 2).sum()
        return value, np.append(scaled.T @ slope + 2 * RIDGE * guess[:-1], slope.sum())

    bounds: list[Any] = []
    for name, unit in zip(evidence.FEATURES, spread, strict=True):
        bounds.append([one if one is None else one * unit for one in BOUNDS.get(name, (0.0, None))])
    bounds.append((None, None))
    found = minimize(loss, np.zeros(len(bounds)), jac=True, bounds=bounds, method="L-BFGS-B").x
    plain = found[:-1] / spread
    return np.append(plain, found[-1] - plain @ centre)
