"""The guard itself: which topics are refused, and from which score on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Annotated, Final, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from promptd.core.content import Turn
from promptd.core.engine import Config
from promptd.core.errors import SettingsError
from promptd.core.guarding import GuardTools
from promptd.core.model import Verdict
from promptd.guards.texts import texts_of

Hazard = Literal["violence", "weapons", "crime", "cybercrime", "drugs", "hate", "self_harm", "sexual", "privacy"]

#: the kinds of hazard that are known
HAZARDS: Final[tuple[Hazard, ...]] = get_args(Hazard)

#: above this many characters texts are judged in a thread: a kilobyte takes half a millisecond
_LARGE: Final = 4096
_EACH: Final = 128  #: what each costs beside its own
_MOST_EXAMPLES: Final = 2000


class Topic(BaseModel):
    """A topic of the operator's own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    examples: tuple[str, ...] = Field(
        min_length=2, max_length=_MOST_EXAMPLES, description="Sentences that are about it; ten or more are good."
    )
    others: tuple[str, ...] = Field(
        (), max_length=_MOST_EXAMPLES, description="Sentences that sound like it and are not meant."
    )
    threshold: float | None = Field(None, gt=0, le=1, description="Score from which on it is refused.")


class TopicsConfig(Config):
    """Which topics are refused. By default, none."""

    hazards: tuple[Hazard, ...] = Field((), description="Kinds of hazard that are refused.")
    topics: dict[str, Topic] = Field(default_factory=dict, description="Topics of your own, by name.")
    threshold: float = Field(0.5, gt=0, le=1, description="Score from which on a topic is refused.")
    thresholds: dict[str, Annotated[float, Field(gt=0, le=1)]] = Field(
        default_factory=dict, description="Other thresholds of single hazards."
    )


class Topics:
    """The guard. Raises `SettingsError` where nothing could be enforced; `key` is its path below the guard's settings."""

    config_class: Final = TopicsConfig
    reach: int | None = None  # a topic is that of sentences, however long

    def __init__(self, config: TopicsConfig = TopicsConfig(), tools: GuardTools | None = None) -> None:  # noqa: B008 - frozen
        # numpy, which only this guard should cost; by way of `vectors`, which sets its threads
        from promptd.vectors.words import load

        load()
        from promptd.guards.topics.learning import Learned, hazard, unknown

        if not config.hazards and not config.topics:
            raise SettingsError("hazards: expected a kind of hazard, or a topic in topics", key="hazards")
        for name in config.thresholds:
            if name not in config.hazards:
                key = f"thresholds.{name}"
                raise SettingsError(f"{key}: expected one of hazards", key=key)
        given: dict[str, tuple[Sequence[str], Sequence[str]]] = {name: (hazard(name), ()) for name in config.hazards}
        thresholds: dict[str, float] = {name: config.thresholds.get(name, config.threshold) for name in config.hazards}
        for name, topic in config.topics.items():
            if name in given:
                raise SettingsError(f"topics.{name}: there is a hazard of this name", key=f"topics.{name}")
            if (at := unknown(topic.examples)) is not None:
                key = f"topics.{name}.examples[{at}]"
                raise SettingsError(f"{key}: expected a sentence of English words", key=key)
            given[name] = (topic.examples, topic.others)
            thresholds[name] = config.threshold if topic.threshold is None else topic.threshold
        self._thresholds = thresholds
        self._learned = Learned(given)

    async def inspect(self, turns: Sequence[Turn]) -> Verdict:
        """Refuse where any sentence of the turns is about a topic; the categories are all that are found."""
        texts = texts_of(turns)
        large = sum(map(len, texts)) + _EACH * len(texts) > _LARGE
        return await asyncio.to_thread(self._judge, texts) if large else self._judge(texts)

    def _judge(self, texts: Sequence[str]) -> Verdict:
        best = dict.fromkeys(self._thresholds, 0.0)
        for text in texts:
            for name, score in zip(best, self._learned.score(text).tolist(), strict=True):
                best[name] = max(best[name], round(score, 4))
        found = {name: score for name, score in best.items() if score >= self._thresholds[name]}
        top = max(best.values())
        if not found:
            return Verdict(True, "", top)
        return Verdict(False, f"topics: {', '.join(found)}", max(found.values()), found)
