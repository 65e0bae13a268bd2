"""The guard `onnx`: a text classifier from a file, as Prompt Guard and its kin are, by onnxruntime.

Texts are cut into windows of so many tokens as the model takes, each beginning with the last ones of the window before, so that
nothing hides behind the model's bound. The worst window decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from promptd.core.content import Turn
from promptd.core.engine import Config
from promptd.core.errors import SettingsError
from promptd.core.guarding import GuardTools
from promptd.core.model import Verdict
from promptd.guards.texts import texts_of

_ALLOWED: Final = Verdict(True)
_TOO_LONG: Final = Verdict(False, "onnx: too long to be judged", 1.0, {"length": 1.0})
_CHARS_PER_TOKEN: Final = 32  # a text that has more in each of its tokens is no text


class OnnxConfig(Config):
    """Which model, and what its labels mean."""

    model: Path | None = Field(None, description="File of the classifier (ONNX).")
    tokenizer: Path | None = Field(None, description="Its tokenizer.json; default: the one beside the model.")
    labels: tuple[str, ...] = Field(
        ("benign", "injection", "jailbreak"), min_length=1, description="In the model's order."
    )
    refused: tuple[str, ...] = Field(
        (), description="Labels that are refused; empty: all but the first. Their probabilities are added."
    )
    threshold: float = Field(0.5, gt=0, le=1, description="Refuse from this probability on.")
    activation: Literal["softmax", "sigmoid"] = Field(
        "softmax", description="What makes probabilities of the model's numbers; sigmoid where labels go together."
    )
    max_tokens: int = Field(512, ge=8, le=8192, description="Tokens that the model takes at once.")
    overlap: int = Field(64, ge=0, le=4096, description="Tokens that two neighbouring windows have in common.")
    batch: int = Field(8, ge=1, le=64, description="Windows that are judged at once.")
    max_windows: int = Field(256, ge=1, le=10_000, description="Most windows; a longer text is refused.")
    threads: int = Field(1, ge=1, le=64, description="Threads for one batch.")


class Onnx:
    """The guard. Raises `SettingsError` where the model can't be used; `key` is its path below the guard's settings."""

    config_class: Final = OnnxConfig
    reach: int | None = None  # a classifier judges a whole

    def __init__(self, config: OnnxConfig = OnnxConfig(), tools: GuardTools | None = None) -> None:  # noqa: B008 - frozen
        self._config = config
        self._refused = _refused(config)
        if 2 * config.overlap >= config.max_tokens:
            raise SettingsError("overlap: expected less than half of max_tokens", key="overlap")
        # numpy and more, which only this guard should cost; by way of `vectors`, which sets its threads
        from promptd.vectors.onnx import Tokens, existing  # isort: skip
        from promptd.guards.inference import Classifier

        model = existing(config.model, "model")
        self._tokens = Tokens(config.tokenizer, model, config.max_tokens, overlap=config.overlap)
        self._classifier = Classifier(model, labels=len(config.labels), threads=config.threads)

    async def inspect(self, turns: Sequence[Turn]) -> Verdict:
        """Judge every text of the turns for itself. Raises `ExecutionFailed` where the model fails."""
        texts = texts_of(turns)
        return await asyncio.to_thread(self._judge, texts) if texts else _ALLOWED

    def _judge(self, texts: Sequence[str]) -> Verdict:
        config = self._config
        if sum(map(len, texts)) > config.max_windows * config.max_tokens * _CHARS_PER_TOKEN:
            return _TOO_LONG
        windows = []
        for text in texts:
            windows += self._tokens.windows(text)
            if len(windows) > config.max_windows:
                return _TOO_LONG
        worst, rest = [0.0] * len(config.labels), 0.0
        for at in range(0, len(windows), config.batch):
            for row in self._classifier.probabilities(windows[at : at + config.batch], self._config.activation):
                score = self._score(row)
                if score >= rest:
                    worst, rest = row, score
            if rest >= config.threshold:
                break
        if rest < config.threshold:
            return Verdict(True, "", rest)
        found = {config.labels[at]: round(worst[at], 6) for at in self._refused}
        top = {name: score for name, score in found.items() if score >= max(found.values()) / 2 and score > 0}
        return Verdict(False, f"onnx: {', '.join(top)}", rest, top)

    def _score(self, row: Sequence[float]) -> float:
        """How sure it is that one of the refused labels fits."""
        chosen = [row[at] for at in self._refused]
        return round(min(sum(chosen), 1.0) if self._config.activation == "softmax" else max(chosen), 6)


def _refused(config: OnnxConfig) -> list[int]:
    for at, label in enumerate(config.refused):
        if label not in config.labels:
            key = f"refused[{at}]"
            raise SettingsError(f"{key}: expected one of {', '.join(config.labels)}", key=key)
    chosen = config.refused or config.labels[1:]
    if not chosen:
        raise SettingsError("refused: expected at least one label", key="refused")
    return [config.labels.index(label) for label in chosen]
