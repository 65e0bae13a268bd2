"""The intent matcher with a sentence encoder: that of a connection, or a model file run by onnxruntime.

It learns like the built-in one, and has the encoder's vectors beside those of words and letters.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import numpy as np
from pydantic import Field

from promptd.core.errors import InvalidOutput, SettingsError
from promptd.intents.calibration import Calibration
from promptd.intents.learned import Learned, LearnedConfig, Manner
from promptd.intents.lexicon import Floats
from promptd.intents.onnx import Encoder, EncoderConfig
from promptd.intents.ranking import Mix
from promptd.vectors import words

#: A vector for each text, all of one length
Embed = Callable[[Sequence[str]], Awaitable[Sequence[Sequence[float]]]]

#: Texts that are asked for at once
BATCH: Final = 64

#: With one vector for each text, and the sum of its words' vectors
SINGLE: Final = Manner(
    Mix(vectors=(0.7, 0.15), letters=(0.05, 0.05, 0.05), steepness=3.0),
    Calibration(
        base=7.956,
        plain=(3.433, 0.159, 12.264, 0.558, -0.345, -1.9),
        by_texts=(1.289, -1.741, 0.897),
        by_targets=(-0.322, -2.081, -0.499, 0.519),
    ),
)

#: With the states of a middle layer too, which tell how something is said: of use where there are examples of it
LAYERED: Final = Manner(
    Mix(vectors=(0.45, 0.3, 0.15), letters=(0.03, 0.05, 0.02), steepness=2.5, centred=1),
    Calibration(
        base=7.166,
        plain=(5.206, -0.074, 8.283, 2.088, 0.905, -2.272),
        by_texts=(1.033, 0.791, -0.022),
        by_targets=(-0.292, -2.31, -0.737, 0.246),
    ),
)

#: What is made of these vectors where there are none
_LAYERED_TOLD: Final = SINGLE._replace(mix=SINGLE.mix._replace(vectors=(0.7, 0.0, 0.15)))


class EmbeddingsConfig(LearnedConfig):
    """Where vectors come from, when a target is chosen, and what is listened to."""

    encoder: EncoderConfig | None = Field(None, description="A model file; needs the extra `onnx`.")


class Embeddings(Learned):
    """The matcher; vectors come from `embed`, or from the configured model file.

    Raises `SettingsError` where neither is given or the file can't be used. `match` raises what `embed` raises, and
    `InvalidOutput` where it does not give one vector for each text, all finite and of one length.
    """

    config_class: Final = EmbeddingsConfig

    def __init__(self, config: EmbeddingsConfig = EmbeddingsConfig(), embed: Embed | None = None) -> None:  # noqa: B008 - frozen
        source = embed or encoder_of(config.encoder)

        async def vectors(texts: Sequence[str]) -> Sequence[Floats]:
            views = await source.views(texts) if isinstance(source, Encoder) else [await rows_of(source, texts)]
            return (*views, words.embed_sums(texts))

        if isinstance(source, Encoder) and source.layered:
            super().__init__(config, vectors, _LAYERED_TOLD, LAYERED)
        else:
            super().__init__(config, vectors, SINGLE)


def encoder_of(config: EncoderConfig | None) -> Embed:
    """The configured encoder. Raises `SettingsError` where there is none."""
    if config is None:
        raise SettingsError("encoder: expected a model file, or a connection that embeds", key="encoder")
    return Encoder(config)


async def rows_of(embed: Embed, texts: Sequence[str]) -> Floats:
    """Vectors of length 1, asked for in small batches. Raises `InvalidOutput` where they have no usable form."""
    batches = [
        _checked(await embed(batch), len(batch))
        for batch in (texts[start : start + BATCH] for start in range(0, len(texts), BATCH))
    ]
    if len({batch.shape[1] for batch in batches}) > 1:
        raise InvalidOutput("the embeddings are not all of one length")
    return words.unit(np.concatenate(batches))


def _checked(given: Sequence[Sequence[float]], count: int) -> Floats:
    try:
        rows = np.asarray(given, np.float32)
    except (TypeError, ValueError) as error:
        raise InvalidOutput("the embeddings are no lists of numbers of one length", detail=repr(error)) from error
    if rows.ndim != 2 or rows.shape[0] != count or not rows.shape[1] or not np.isfinite(rows).all():
        raise InvalidOutput(f"expected {count} embeddings of finite numbers", detail=str(rows.shape))
    return rows
