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
from promptd.intents.learned import Learned, LearnedConfig
from promptd.intents.lexicon import Floats
from promptd.intents.onnx import Encoder, EncoderConfig
from promptd.intents.ranking import Mix
from promptd.vectors import words

#: A vector for each text, all of one length
Embed = Callable[[Sequence[str]], Awaitable[Sequence[Sequence[float]]]]

#: Texts that are asked for at once
BATCH: Final = 64

MIX: Final = Mix(vectors=(0.6, 0.2), letters=(0.1, 0.05, 0.05))

CALIBRATION: Final = Calibration(
    base=8.831,
    plain=(2.583, 0.359, 11.743, -1.434, 0.002, -1.606),
    by_texts=(1.259, -2.263, 1.278),
    by_targets=(-0.087, -2.519, -0.251, 0.522),
)


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
            return (await rows_of(source, texts), words.embed_sums(texts))

        super().__init__(config, vectors, MIX, CALIBRATION)


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
