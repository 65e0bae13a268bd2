"""A matcher that learns from the texts of the targets, once for each list of them, whatever its vectors come from."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from operator import is_
from typing import Final, NamedTuple

import numpy as np
from pydantic import Field

from promptd.core.content import Turn
from promptd.core.engine import Config
from promptd.core.errors import InvalidOutput
from promptd.core.model import Match
from promptd.core.targets import Target
from promptd.intents.calibration import Calibration
from promptd.intents.features import bags, blend
from promptd.intents.lexicon import Floats
from promptd.intents.ranking import Mix, Ranking, texts_of
from promptd.intents.said import wishes
from promptd.intents.spelling import Spelling
from promptd.vectors.words import unit

#: One matrix for each kind of vectors, one row for each text; lengths may differ
Vectors = Callable[[Sequence[str]], Awaitable[Sequence[Floats]]]

#: How many lists of targets stay learned
_LISTS: Final = 8

#: Of how many messages the vectors are kept
_HEARD: Final = 256

#: From this many texts on a list is learned in a thread, to keep the event loop free
_MANY: Final = 48

#: Of matches that are as good as each other to this many digits, the first by name is taken
_DIGITS: Final = 6


class LearnedConfig(Config):
    """When a target is chosen, and what is listened to."""

    threshold: float = Field(0.8, ge=0, le=1, description="Lowest score that is a match.")
    turns: int = Field(3, ge=1, le=32, description="How many of the user's last messages are looked at.")
    fading: float = Field(0.4, ge=0, le=1, description="Weight of each message, compared with the one after it.")


class Manner(NamedTuple):
    """How a list of targets is learned, and what the score is made of."""

    mix: Mix
    calibration: Calibration


class _Known(NamedTuple):
    ranking: Ranking
    calibration: Calibration
    spelling: Spelling
    names: Sequence[str]
    texts: int


class Learned:
    """The machinery: `shown` is the manner of lists with at least one example for each target on average, `told` that of
    others. Lists of targets and vectors of messages are remembered. Default targets never compete."""

    def __init__(self, config: LearnedConfig, vectors: Vectors, told: Manner, shown: Manner | None = None) -> None:
        self._config, self._vectors, self._told, self._shown = config, vectors, told, shown or told
        self._heard: OrderedDict[str, Sequence[Floats]] = OrderedDict()
        self._known: OrderedDict[tuple[Target, ...], _Known | None] = OrderedDict()
        self._last: tuple[Sequence[Target], _Known | None] = ((), None)
        self._learning = asyncio.Lock()

    async def match(self, messages: Sequence[Turn], targets: Sequence[Target]) -> Match | None:
        """The likeliest target, if its score reaches the threshold.

        Raises `InvalidRequest` for too many targets, and what the source of vectors raises.
        """
        said = wishes(messages, self._config.turns, self._config.fading)
        if not said:
            return None
        known = await self._learned(targets)
        if known is None:
            return None
        said = [(known.spelling.mend(text), weight) for text, weight in said]
        weights = np.array([weight for _, weight in said], np.float32)
        heard = await self._hear([text for text, _ in said])
        if any([len(row) for row in rows] != known.ranking.widths for rows in heard):
            self._heard.clear()
            self._last = ((), None)
            self._known.clear()  # another model answers than before: learn anew, the next time
            raise InvalidOutput("the embeddings are not all of one length")
        vectors = [_direction(weights @ np.array(rows)) for rows in zip(*heard, strict=True)]
        standing = known.ranking.stand(blend([(bags(text), weight) for text, weight in said]), vectors)
        score = known.calibration.score(standing, len(known.ranking.targets), known.texts)
        found = Match(known.names[standing.number], round(score, _DIGITS))
        return found if found.score >= self._config.threshold else None

    async def _learned(self, targets: Sequence[Target]) -> _Known | None:
        listed, known = self._last
        # mostly they are the same objects as before; to compare what they say takes longer than all else but the encoder
        if len(listed) == len(targets) and all(map(is_, listed, targets)):
            return known
        # in the order of names, so that the order in which targets are listed decides nothing
        chosen = sorted((target for target in targets if not target.default), key=lambda target: target.name)
        key = tuple(Target(target.name, target.description, target.examples) for target in chosen)
        if key not in self._known:
            async with self._learning:
                if key not in self._known:
                    self._known[key] = await self._learn(key)
                    while len(self._known) > _LISTS:
                        self._known.popitem(last=False)
        self._known.move_to_end(key)
        self._last = (tuple(targets), self._known[key])
        return self._known[key]

    async def _hear(self, texts: Sequence[str]) -> Sequence[Sequence[Floats]]:
        """Vectors of each text. Of a dialogue's messages all but the last were heard before."""
        new = [text for text in dict.fromkeys(texts) if text not in self._heard]
        found = {text: self._heard[text] for text in texts if text in self._heard}
        if new:
            found.update(zip(new, zip(*await self._vectors(new), strict=True), strict=True))
        for text in texts:
            self._heard[text] = found[text]
            self._heard.move_to_end(text)
        while len(self._heard) > _HEARD:
            self._heard.popitem(last=False)
        return [found[text] for text in texts]

    async def _learn(self, targets: Sequence[Target]) -> _Known | None:
        """None where the targets say nothing."""
        texts = texts_of(targets)
        if not texts:
            return None
        vectors = [unit(rows) for rows in await self._vectors([text.text for text in texts])]
        examples = sum(len(target.examples) for target in targets)
        mix, calibration = self._shown if examples >= len(targets) else self._told
        if len(texts) < _MANY:
            ranking = Ranking(texts, vectors, mix)
        else:
            ranking = await asyncio.to_thread(Ranking, texts, vectors, mix)
        spelling = Spelling(text.text for text in texts)
        return _Known(ranking, calibration, spelling, [target.name for target in targets], len(texts))


def _direction(vector: Floats) -> Floats:
    only: Floats = unit(vector[None, :])[0]
    return only
