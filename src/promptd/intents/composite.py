"""The composite score of Arch's first files: 0.7 of what an NLI model says of the target's name, and 0.3 of the cosine
between message and description (contracts/arch.md §5.2). Examples are not looked at."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from pydantic import Field

from promptd.core.content import Turn
from promptd.core.engine import Config
from promptd.core.errors import InvalidOutput, SettingsError
from promptd.core.model import Match
from promptd.core.targets import Target
from promptd.intents.embeddings import Embed, encoder_of, rows_of
from promptd.intents.lexicon import Floats
from promptd.intents.onnx import CrossEncoder, CrossEncoderConfig, EncoderConfig
from promptd.intents.said import LONGEST, label, last

#: How probable it is that a text (first) entails each of the labels
Entail = Callable[[str, Sequence[str]], Awaitable[Sequence[float]]]

NLI_SHARE: Final = 0.7
COSINE_SHARE: Final = 0.3

_DIGITS: Final = 6
_LISTS: Final = 8


class CompositeConfig(Config):
    """The two models, and when a target is chosen."""

    threshold: float = Field(0.8, ge=0, le=1, description="Lowest score that is a match.")
    encoder: EncoderConfig | None = Field(None, description="Model file for the cosine; needs the extra `onnx`.")
    nli: CrossEncoderConfig | None = Field(None, description="Model file for entailment; needs the extra `onnx`.")


class Composite:
    """The matcher; `embed` and `entail` take the place of model files.

    Raises `SettingsError` where one of the two is missing or can't be used. `match` raises what they raise, and
    `InvalidOutput` where what they give has no usable form.
    """

    config_class: Final = CompositeConfig

    def __init__(
        self,
        config: CompositeConfig = CompositeConfig(),  # noqa: B008 - frozen
        embed: Embed | None = None,
        entail: Entail | None = None,
    ) -> None:
        if entail is None and config.nli is None:
            raise SettingsError("nli: expected a model file", key="nli")
        self._threshold = config.threshold
        self._embed = embed or encoder_of(config.encoder)
        self._entail: Entail = entail or CrossEncoder(config.nli or CrossEncoderConfig())
        self._described: OrderedDict[tuple[str, ...], Floats] = OrderedDict()

    async def match(self, messages: Sequence[Turn], targets: Sequence[Target]) -> Match | None:
        """The target that the user's last message entails most, if the composite score reaches the threshold."""
        text = last(messages)
        chosen = sorted((one for one in targets if not one.default and label(one.name)), key=lambda one: one.name)
        if not text or not chosen:
            return None
        entailed = await self._entail(text, [label(target.name) for target in chosen])
        if len(entailed) != len(chosen) or not all(0 <= one <= 1 for one in entailed):
            raise InvalidOutput(f"expected {len(chosen)} probabilities of entailment")
        best = max(range(len(chosen)), key=lambda place: round(entailed[place], _DIGITS))
        score = NLI_SHARE * entailed[best] + COSINE_SHARE * await self._cosine(text, chosen, best)
        found = Match(chosen[best].name, round(min(1.0, max(0.0, score)), _DIGITS))
        return found if found.score >= self._threshold else None

    async def _cosine(self, text: str, targets: Sequence[Target], best: int) -> float:
        key = tuple(target.description[:LONGEST] for target in targets)
        described = self._described.get(key)
        if described is None:
            described = self._described[key] = await rows_of(self._embed, key)
            while len(self._described) > _LISTS:
                self._described.popitem(last=False)
        (row,) = await rows_of(self._embed, [text])
        if row.shape != described[best].shape:
            self._described.clear()  # another model answers than before: ask anew, the next time
            raise InvalidOutput("the embeddings are not all of one length")
        return float(row @ described[best])
