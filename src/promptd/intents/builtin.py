"""The built-in intent matcher: by words, pieces of words and word vectors. No download, no network, the same answer
every time.

It learns from names, descriptions and example utterances of the targets: a few examples for each make it much surer. It
reads English; of other languages it knows the words that the targets' own texts have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from promptd.intents.calibration import Calibration
from promptd.intents.learned import Learned, LearnedConfig, Manner
from promptd.intents.lexicon import Floats
from promptd.intents.ranking import Mix
from promptd.vectors import words

MANNER: Final = Manner(
    Mix(vectors=(0.82,), letters=(0.05, 0.1, 0.03), steepness=2.5),
    Calibration(
        base=6.522,
        plain=(3.164, 0.01, 9.19, 4.997, 0.017, -1.834),
        by_texts=(1.515, -0.935, -0.034),
        by_targets=(-0.267, -2.577, -0.596, 0.64),
    ),
)


class BuiltInConfig(LearnedConfig):
    """When a target is chosen, and what is listened to."""


class BuiltIn(Learned):
    """The matcher."""

    config_class: Final = BuiltInConfig

    def __init__(self, config: BuiltInConfig = BuiltInConfig()) -> None:  # noqa: B008 - frozen
        super().__init__(config, word_sums, MANNER)


async def word_sums(texts: Sequence[str]) -> Sequence[Floats]:
    """The sums of the words' vectors of each text."""
    return (words.embed_sums(texts),)
