"""From texts to weights: the table of the heads, then the few numbers that join what they say of a text."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from promptd.guards import evidence
from promptd.guards.evidence import Weights
from promptd.guards.unpacking import unpack
from promptd.vectors.ngrams import grams, squeeze

from .samples import Sample

LONGEST = 4_000
RIDGE = 1e-3
#: What a feature may weigh; the others nothing below 0. A document that asks is mostly a caller's own, so that weighs little.
BOUNDS = {
    "windows": (None, 0.0),
    "document": (None, None),
    "embedded": (0.0, 0.6),
}
STRENGTH = (6.0, 3.0, 3.0)  #: of each head: how freely it may weigh single grams
REQUESTS = {"brief", "roleplay", "task", "chat", "security", "innocent_words", "system_prompt", "odd_task"}
REQUESTS |= {"benign-roleplay", "benign-task", "benign-user-task", "benign-utterance"}


class Bit(NamedTuple):
    """A piece of a text and what each head should say of it: 1, 0, or -1 where it is not asked."""

    text: str
    attack: int
    request: int
    document: int
    weight: float


_PIECE = re.compile(r"(?<=[.!?:;>])\s+|\n+")


def bits(samples: Sequence[Sample], seed: int) -> list[Bit]:
    """What heads learn from: whole texts, hidden orders by themselves and beside a neighbour, pieces of ordinary texts."""
    rng = random.Random(seed)
    size = Counter((sample.family, sample.attack) for sample in samples)
    found: list[Bit] = []
    for sample in samples:
        text = unpack(sample.text[:LONGEST]).plain
        weight = min((300 / size[sample.family, sample.attack]) ** 0.5, 2.0)
        if sample.family == "benign-roleplay" or sample.source.startswith("deepset"):
            weight *= 1.5
        asks = int(sample.family in REQUESTS)
        if sample.span is not None:
            order = unpack(sample.text[slice(*sample.span)]).plain
            rest = sample.text[: sample.span[0]] + " " + sample.text[sample.span[1] :]
            mild = sample.family == "odd_task"
            found.append(Bit(order, -1 if mild else 1, 1, -1, weight))
            pieces = [one for one in _PIECE.split(rest) if len(one) > 12]
            if pieces:
                other = rng.choice(pieces)
                found.append(
                    Bit(rng.choice((f"{other} {order}", f"{order} {other}")), -1 if mild else 1, -1, -1, weight / 2)
                )
                found.append(
                    Bit(rng.choice(pieces), 0 if sample.document else -1, 0 if sample.document else -1, -1, weight / 2)
                )
            found.append(Bit(unpack(rest).plain, 0, -1, int(sample.document), weight / 3))
            found.append(Bit(text, -1, -1, int(sample.document), weight))
        elif sample.attack:
            found.append(Bit(text, 1, -1, 0, weight))
            pieces = [one for one in _PIECE.split(text) if len(one) > 60]
            if len(text) > 600 and pieces:
                found += [Bit(one, 1, -1, -1, weight / 4) for one in rng.sample(pieces, min(2, len(pieces)))]
        else:
            found.append(Bit(text, 0, asks if asks or sample.document else -1, int(sample.document), weight))
            pieces = [one for one in _PIECE.split(text) if len(one) > 12]
            for one in rng.sample(pieces, min(3, len(pieces))):
                found.append(Bit(one, 0, asks if asks or sample.document else -1, -1, weight / 2))
    return found


def matrix(texts: Sequence[str]) -> csr_matrix:
    places, values, starts = [], [], [0]
    for text in texts:
        found = grams(squeeze(text[:LONGEST]), evidence.recipe()).places
        places.append(found)
        values.append(np.full(len(found), 1 / np.sqrt(len(found) + evidence.SMOOTH), np.float32))
        starts.append(starts[-1] + len(found))
    shape = (len(texts), 1 << evidence.BITS)
    joined = csr_matrix(
        (np.concatenate(values), np.concatenate(places).astype(np.int32), np.array(starts)), shape=shape
    )
    joined.sum_duplicates()
    return joined


def heads(wanted: Sequence[Bit], rows: csr_matrix) -> Weights:
    """One logistic regression for each head, in eight bits a weight; nothing is joined yet."""
    table = np.zeros((1 << evidence.BITS, evidence.COLUMNS), np.int8)
    scales, biases = np.zeros(len(evidence.HEADS)), np.zeros(len(evidence.HEADS))
    weight = np.array([one.weight for one in wanted])
    for head, (name, strength) in enumerate(zip(evidence.HEADS, STRENGTH, strict=True)):
        label = np.array([getattr(one, name) for one in wanted])
        asked = label >= 0
        model = LogisticRegression(C=strength, max_iter=100, tol=2e-5)
        share = balanced(weight[asked], label[asked])
        model.fit(rows[asked], label[asked], sample_weight=share * len(share))
        scales[head] = np.abs(model.coef_[0]).max() / 127
        table[:, head] = np.round(model.coef_[0] / scales[head])
        biases[head] = model.intercept_[0]
    first = np.zeros(len(evidence.FEATURES) + 1)
    first[[evidence.FEATURES.index("whole"), evidence.FEATURES.index("highest")]] = 1
    return Weights(table, scales, biases, first)


def balanced(weight: Any, label: Any) -> Any:
    """Both kinds weigh one half."""
    share = weight.astype(float)
    for kind in (0, 1):
        share[label == kind] *= 0.5 / share[label == kind].sum()
    return share


def look(samples: Sequence[Sample], weights: Weights) -> Any:
    """Features of whole texts."""
    return np.array([evidence.read(unpack(one.text), weights).features for one in samples])


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
