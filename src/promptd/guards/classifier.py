"""The guard `classifier`: jailbreaks and injected orders, by weights that ship with promptd; no download, no network.

It reads every text of the turns for itself: without its disguises, and with what is encoded in it; as a whole and in windows of
a few sentences, so that an order is found that stands in a long document. Figures and limits are in docs/guard.md. It is made to
be one layer of several; an attack that looks like an honest request gets past it.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Final, NamedTuple

from pydantic import Field

from promptd.core.content import Document, Turn
from promptd.core.engine import Config
from promptd.core.guarding import GuardTools
from promptd.core.model import Verdict
from promptd.guards.texts import is_much, texts_of_turn

if TYPE_CHECKING:
    from promptd.guards.evidence import Weights

_DIGITS: Final = 3  #: of a score; what a caller learns of it is coarse anyway


class ClassifierConfig(Config):
    """When a text is refused."""

    threshold: float = Field(
        0.5, gt=0, le=1, description="Refuse from this score on; one in a hundred ordinary texts has 0.5 or more."
    )


class _Finding(NamedTuple):
    score: float = 0.0
    category: str = ""


class Classifier:
    """The guard. `score` is that of the worst text; what is refused is an `injection` where it stands in somebody else's text (the
    result of a tool, a document), else a `jailbreak`."""

    config_class: Final = ClassifierConfig
    reach: int | None = 1_024  #: three sentences, with room

    def __init__(self, config: ClassifierConfig = ClassifierConfig(), tools: GuardTools | None = None) -> None:  # noqa: B008 - frozen
        self._threshold = config.threshold

    async def inspect(self, turns: Sequence[Turn]) -> Verdict:
        """Judge every text of the turns for itself; large ones in a thread."""
        texts = [(text, foreign) for turn in turns for text, foreign in _texts(turn)]
        if not texts:
            return Verdict(True)
        much = is_much([text for text, _ in texts])
        found = await asyncio.to_thread(_worst, texts) if much else _worst(texts)
        if found.score < self._threshold:
            return Verdict(True, score=found.score)
        return Verdict(False, found.category, found.score, {found.category: found.score})


def score(text: str) -> float:
    """Of one text, from 0 to 1: the probability of an attack where attacks are rare. Takes time linear in the text."""
    return _judge(text, foreign=False).score


def _texts(turn: Turn) -> Iterator[tuple[str, bool]]:
    """All texts of a turn, and whether it is known that somebody else than the caller or the model wrote them."""
    documents = {part.text for part in turn.parts if isinstance(part, Document)}
    for text in texts_of_turn(turn):
        yield text, turn.role == "tool" or text in documents


def _worst(texts: Sequence[tuple[str, bool]]) -> _Finding:
    return max((_judge(text, foreign) for text, foreign in texts), key=lambda found: found.score)


def _judge(text: str, foreign: bool) -> _Finding:
    # numpy is slow to import, and not everybody has this guard
    from promptd.guards.evidence import read
    from promptd.guards.unpacking import unpack

    weights = _weights()
    found = read(unpack(text), weights)
    category = "injection" if foreign or found.in_document else "jailbreak"
    return _Finding(round(1 / (1 + math.exp(-_bounded(found.log_odds(weights)))), _DIGITS), category)


def _bounded(log_odds: float) -> float:
    return max(min(log_odds, 30.0), -30.0)


@cache
def _weights() -> Weights:
    import numpy as np

    from promptd.guards.evidence import Weights

    with (files("promptd") / "models" / "guard.npz").open("rb") as file, np.load(file, allow_pickle=False) as stored:
        return Weights(**{name: stored[name] for name in Weights._fields})
