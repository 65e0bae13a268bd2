"""Who compares a conversation with targets: the built-in matcher, or models that the operator names."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, TypeVar

from promptd.app.guards import Desk
from promptd.core.errors import SettingsError
from promptd.core.ports import Intent
from promptd.intents.builtin import BuiltIn, BuiltInConfig
from promptd.intents.composite import Composite, CompositeConfig
from promptd.intents.embeddings import Embed, Embeddings, EmbeddingsConfig
from promptd.intents.onnx import CrossEncoder, CrossEncoderConfig, Encoder, EncoderConfig
from promptd.settings import Settings

T = TypeVar("T")
_PLACE: Final = "compat.arch.intent"
EMBEDDING_MODEL: Final = f"{_PLACE}.embedding_model"


def make(settings: Settings, desk: Desk, threshold: float) -> Intent:
    """The matcher that the settings name; a target is chosen from `threshold` on. Raises `SettingsError`."""
    given = settings.compat.arch.intent
    embed: Embed | None = None
    if given.embedding_model is not None:
        embed = partial(desk.embed, given.embedding_model)
    elif given.encoder is not None:
        encoder = EncoderConfig.model_validate(given.encoder.model_dump())
        embed = _at(f"{_PLACE}.encoder", lambda: Encoder(encoder))
    if given.nli is not None:
        nli = CrossEncoderConfig.model_validate(given.nli.model_dump())
        entail = _at(f"{_PLACE}.nli", lambda: CrossEncoder(nli))
        return Composite(CompositeConfig(threshold=threshold), embed, entail)
    if embed is not None:
        return Embeddings(EmbeddingsConfig(threshold=threshold), embed)
    return BuiltIn(BuiltInConfig(threshold=threshold))


def _at(place: str, made: Callable[[], T]) -> T:
    """A thing of the settings, whose faults are told with their place."""
    try:
        return made()
    except SettingsError as error:
        raise SettingsError(f"{place}.{error.message}", key=f"{place}.{error.key}") from None
