"""Who compares a conversation with targets: the built-in matcher, or models that the operator names."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import cached_property, partial
from typing import Final, TypeVar

from promptd.app.guards import Desk
from promptd.core.errors import SettingsError
from promptd.core.ports import Intent
from promptd.intents.builtin import BuiltIn, BuiltInConfig
from promptd.intents.composite import Composite, CompositeConfig
from promptd.intents.embeddings import Embed, Embeddings, EmbeddingsConfig
from promptd.intents.onnx import CrossEncoder, CrossEncoderConfig, Encoder, EncoderConfig
from promptd.settings import Settings
from promptd.vectors import words

T = TypeVar("T")
_PLACE: Final = "compat.arch.intent"
EMBEDDING_MODEL: Final = f"{_PLACE}.embedding_model"


class Matchers:
    """Who compares, as the settings name them. Models are read once, however many matchers are made with them."""

    def __init__(self, settings: Settings, desk: Desk) -> None:
        self._given, self._desk = settings.compat.arch.intent, desk

    async def load(self) -> None:
        """Read the models, which may take seconds, so that `make` need not. Raises `SettingsError`."""
        await asyncio.to_thread(words.load)
        await asyncio.to_thread(lambda: self._models)

    def make(self, threshold: float) -> Intent:
        """A target is chosen from `threshold` on. Raises `SettingsError`."""
        embed, entail = self._models
        if entail is not None:
            return Composite(CompositeConfig(threshold=threshold), embed, entail)
        if embed is not None:
            return Embeddings(EmbeddingsConfig(threshold=threshold), embed)
        return BuiltIn(BuiltInConfig(threshold=threshold))

    @cached_property
    def _models(self) -> tuple[Embed | None, CrossEncoder | None]:
        given = self._given
        embed: Embed | None = None
        if given.embedding_model is not None:
            embed = partial(self._desk.embed, given.embedding_model)
        elif given.encoder is not None:
            encoder = EncoderConfig.model_validate(given.encoder.model_dump())
            embed = _at(f"{_PLACE}.encoder", lambda: Encoder(encoder))
        if given.nli is None:
            return embed, None
        nli = CrossEncoderConfig.model_validate(given.nli.model_dump())
        return embed, _at(f"{_PLACE}.nli", lambda: CrossEncoder(nli))


def _at(place: str, made: Callable[[], T]) -> T:
    """A thing of the settings, whose faults are told with their place."""
    try:
        return made()
    except SettingsError as error:
        raise SettingsError(f"{place}.{error.message}", key=f"{place}.{error.key}") from None
