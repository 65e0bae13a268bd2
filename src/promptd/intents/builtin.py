"""The built-in intent matcher: by words, pieces of words and word vectors. No download, no network, the same answer
every time.

It learns from names, descriptions and example utterances of the targets: a few examples for each make it much surer. It
reads English; of other languages it knows the words that the targets' own texts have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from promptd.intents.calibration import Calibration
from promptd.intents.learned import Learned, LearnedConfig
from promptd.intents.lexicon import Floats
from promptd.intents.ranking import Mix
from promptd.vectors import words

MIX: Final = Mix(vectors=(0.7,), letters=(0.1, 0.1, 0.1))

CALIBRATION: Final = Calibration(
    base=7.17,
    plain=(1.911, 0.211, 7.432, 6.192, -0.069, -1.387),
    by_texts=(1.279, -1.334, -0.349),
    by_targets=(-0.024, -2.181, -0.592, 0.596),
)


class BuiltInConfig(LearnedConfig):
    """When a target is chosen, and what is listened to."""


class BuiltIn(Learned):
    """The matcher."""

    config_class: Final = BuiltInConfig

    def __init__(self, config: BuiltInConfig = BuiltInConfig()) -> None:  # noqa: B008 - frozen
        super().__init__(config, word_sums, MIX, CALIBRATION)


async def word_sums(texts: Sequence[str]) -> Sequence[Floats]:
    """The sums of the words' vectors of each text."""
    return (words.embed_sums(texts),)
