"""Which target a text is most like: kernel ridge regression over texts of the targets.

The kernel mixes cosines (of vectors, words, pairs and pieces of words), so one solution in closed form learns from names,
descriptions and examples alike, within milliseconds, and gives the same answer every time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from promptd.core.errors import InvalidRequest
from promptd.core.targets import Target
from promptd.intents.features import Bags, bags
from promptd.intents.lexicon import Floats, Lexicon
from promptd.intents.names import in_other_words
from promptd.intents.said import LONGEST, spoken, without_numbers
from promptd.vectors.words import unit

#: Texts that are learned from; more of them are left out evenly. Learning takes cubic time
TEXTS: Final = 3000

#: Lists of more targets are refused
TARGETS: Final = 1000

_RIDGE: Final = 0.1

#: From so many texts on their mean is believed more than not, where a kind of vectors is seen from it
_STEADY: Final = 100


class Text(NamedTuple):
    """A text of a target, by its number in the list."""

    target: int
    text: str


class Mix(NamedTuple):
    """Shares of the kernel: for each kind of vectors, and for words, pairs and pieces."""

    vectors: tuple[float, ...]
    letters: tuple[float, float, float]
    steepness: float  #: how much more near texts count than far ones
    centred: int | None = None  #: the kind of vectors that is seen from the mean of the texts, as these are all alike


class Standing(NamedTuple):
    """How the targets stand to a text: what a calibration decides by."""

    number: int  #: the best target
    first: float  #: what the regression says of it, about 1 for a text that was learned
    second: float  #: what it says of the next best
    likeness: float  #: the mixed cosine with the nearest text of the best target
    letters: float  #: the cosine of the words with the nearest of these


def texts_of(targets: Sequence[Target]) -> list[Text]:
    """What is learned from: description, name, the name in other words, examples. Raises `InvalidRequest` for too many."""
    if len(targets) > TARGETS:
        raise InvalidRequest(field="targets", expected=f"at most {TARGETS} targets")
    found: list[Text] = []
    each = TEXTS // max(1, len(targets))
    for number, target in enumerate(targets):
        name = spoken(target.name)
        told = [name] if target.examples else []  # a bare name promises too little
        if target.description:
            told = [target.description, f"{name} {target.description}"]
        if told and len(told) + 1 < each and (other := in_other_words(name)):
            told.append(other)
        room = max(1, each - len(told))
        plain = (without_numbers(text[:LONGEST]) for text in (*told, *_some(target.examples, room)))
        found += [Text(number, text) for text in plain if text.strip()]
    return found


def _some(examples: Sequence[str], room: int) -> Sequence[str]:
    if len(examples) <= room:
        return examples
    return [examples[place * len(examples) // room] for place in range(room)]


class Ranking:
    """Learned once for a list of targets. `vectors` holds for each kind one row of length 1 (or 0) for each text."""

    def __init__(self, texts: Sequence[Text], vectors: Sequence[Floats], mix: Mix) -> None:
        self._mix = mix
        self._mean = self._mean_of(vectors)
        self._vectors = [self._seen(kind, rows) for kind, rows in enumerate(vectors)]
        self._owner = np.array([text.target for text in texts])
        self.targets = np.unique(self._owner)
        self.widths = [rows.shape[1] for rows in vectors]
        found = [bags(text.text) for text in texts]
        self._lexicon = Lexicon(found)
        letters = [self._letters(self._lexicon.cosines(of_text)) for of_text in found]
        likeness = sum(
            (
                np.float32(share) * (rows @ rows.T)
                for share, rows in zip(mix.vectors, self._vectors, strict=True)
                if share
            ),
            np.array(letters),
        )
        kernel = self._kernel(likeness).astype(np.float64)
        wanted = (self._owner[:, None] == self.targets[None, :]).astype(np.float64)
        kernel[np.diag_indices_from(kernel)] += _RIDGE
        self._weights = np.linalg.solve(kernel, wanted).astype(np.float32)

    def _mean_of(self, vectors: Sequence[Floats]) -> Floats | None:
        if self._mix.centred is None:
            return None
        rows = vectors[self._mix.centred]
        mean: Floats = rows.mean(0) * np.float32(len(rows) / (len(rows) + _STEADY))
        return mean

    def _seen(self, kind: int, rows: Floats) -> Floats:
        return rows if self._mean is None or kind != self._mix.centred else unit(rows - self._mean)

    def _kernel(self, likeness: Floats) -> Floats:
        result: Floats = np.exp(np.float32(self._mix.steepness) * (likeness - np.float32(1)))
        return result

    def _letters(self, cosines: Sequence[Floats]) -> Floats:
        total: Floats = sum(
            (np.float32(share) * one for share, one in zip(self._mix.letters, cosines, strict=True)),
            np.zeros(len(self._owner), np.float32),
        )
        return total

    def stand(self, said: Bags, vectors: Sequence[Floats]) -> Standing:
        """How the targets stand to a text, of which each vector has length 1 (or 0)."""
        cosines = self._lexicon.cosines(said)
        likeness = self._letters(cosines)
        for kind, (share, rows) in enumerate(zip(self._mix.vectors, self._vectors, strict=True)):
            if share:
                likeness = likeness + np.float32(share) * (rows @ self._seen(kind, vectors[kind][None, :])[0])
        said_of = self._kernel(likeness) @ self._weights
        place = int(np.argmax(said_of))
        first = float(said_of[place])
        second = float(np.partition(said_of, -2)[-2]) if len(said_of) > 1 else 0.0
        own = np.flatnonzero(self._owner == self.targets[place])
        return Standing(
            int(self.targets[place]),
            first,
            second,
            float(likeness[own].max()),
            float(cosines[0][own].max()),
        )
