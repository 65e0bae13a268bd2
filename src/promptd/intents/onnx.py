"""Sentence encoders and NLI cross-encoders from files, by onnxruntime; both need the extra `onnx`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal

import numpy as np
from pydantic import Field

from promptd.core.engine import Config
from promptd.core.errors import ExecutionFailed, SettingsError
from promptd.intents.lexicon import Floats
from promptd.intents.quantizing import quantized
from promptd.vectors.onnx import Mask, OnnxModel, Tokens, existing
from promptd.vectors.words import unit

#: Rows that a model takes at once
_BATCH: Final = 16

#: So few texts go one by one: weights of one byte give a text another vector beside others, and what a message is taken for
#: must not depend on what it came with
_FEW: Final = 32

#: Name of the output with the states of a middle layer, where a model gives them
MIDDLE: Final = "middle_hidden_state"

#: Rows of vectors of each kind, out of the outputs, the mask of tokens, and the mask of those that are no marks
_Read = Callable[[Sequence[Floats], Mask, Mask], Sequence[Floats]]

#: Batches of one model that run beside each other; more wait
_BESIDE: Final = 2


class ModelConfig(Config):
    """Where a model is, and how much of a text it takes."""

    model: Path | None = Field(None, description="File of the model (ONNX).")
    tokenizer: Path | None = Field(None, description="Its tokenizer.json; default: the one beside the model.")
    max_tokens: int = Field(512, ge=8, le=8192, description="Tokens that the model takes; the rest is cut off.")
    threads: int = Field(1, ge=1, le=64, description="Threads for one batch.")


class EncoderConfig(ModelConfig):
    """A sentence encoder."""

    pooling: Literal["cls", "mean"] = Field("mean", description="Which of the model's states make the vector.")
    weights: Literal["file", "int8"] = Field(
        "file", description="As the file has them, or made one byte each when it is loaded; needs the extra `int8`."
    )


class CrossEncoderConfig(ModelConfig):
    """An NLI model: a text and a hypothesis go in, and out come numbers for its labels."""

    hypothesis: str = Field(
        "This example is {}.", pattern=r"\{\}", description="What is asked; {} is the target's name."
    )
    labels: tuple[str, ...] = Field(
        (),
        description="In the model's order, with entailment and contradiction; default: of the config.json beside it.",
    )


class Encoder:
    """Texts to vectors of length 1. Raises `SettingsError` where the model can't be used."""

    def __init__(self, config: EncoderConfig) -> None:
        self._pooling, self._model = config.pooling, _Model(config, small=config.weights == "int8")

    async def __call__(self, texts: Sequence[str]) -> Sequence[Sequence[float]]:
        """Raises `ExecutionFailed` where the model fails."""
        (rows,) = await self._model.run([(text, None) for text in texts], self._trained)
        result: Sequence[Sequence[float]] = rows.tolist()
        return result

    @property
    def layered(self) -> bool:
        """Whether the model gives the states of a middle layer."""
        return MIDDLE in self._model.outputs

    async def views(self, texts: Sequence[str]) -> Sequence[Floats]:
        """What there is to learn from: one kind of vectors of length 1, and one more if `layered`.

        Means leave the tokenizer's marks out, which tell short questions apart less than their words do. Raises
        `ExecutionFailed` where the model fails.
        """
        outputs = [self._model.outputs[0], MIDDLE] if self.layered else self._model.outputs[:1]
        at_once = 1 if len(texts) <= _FEW else _BATCH
        return await self._model.run([(text, None) for text in texts], self._seen, outputs, at_once)

    def _trained(self, outputs: Sequence[Floats], mask: Mask, _: Mask) -> Sequence[Floats]:
        return [self._pool(outputs[0], mask)]

    def _seen(self, outputs: Sequence[Floats], _: Mask, inner: Mask) -> Sequence[Floats]:
        return [self._pool(outputs[0], inner), *(_mean(states, inner) for states in outputs[1:])]

    def _pool(self, states: Floats, mask: Mask) -> Floats:
        if states.ndim == 2:  # a model that pools itself
            return unit(states)
        if states.ndim == 3 and self._pooling == "cls":
            return unit(states[:, 0])
        return _mean(states, mask)


class CrossEncoder:
    """How probable it is that a text entails a hypothesis, each label for itself (entailment against contradiction).

    Raises `SettingsError` where the model can't be used.
    """

    def __init__(self, config: CrossEncoderConfig) -> None:
        self._model = _Model(config)
        self._hypothesis = config.hypothesis
        labels = [name.lower() for name in config.labels or _labels(config)]
        for wanted in ("entailment", "contradiction"):
            if wanted not in labels:
                raise SettingsError(f"labels: expected one called {wanted}", key="labels")
        self._entailed, self._denied, self._count = (
            labels.index("entailment"),
            labels.index("contradiction"),
            len(labels),
        )

    async def __call__(self, text: str, labels: Sequence[str]) -> Sequence[float]:
        """Raises `ExecutionFailed` where the model fails."""
        asked = [(text, self._hypothesis.replace("{}", one)) for one in labels]
        (rows,) = await self._model.run(asked, self._probability)
        return [float(row[0]) for row in rows]

    def _probability(self, outputs: Sequence[Floats], *_: Mask) -> Sequence[Floats]:
        (numbers,) = outputs
        if numbers.ndim != 2 or numbers.shape[1] != self._count:
            raise ExecutionFailed("the NLI model gave no numbers for its labels", detail=str(numbers.shape))
        apart = np.clip(numbers[:, self._denied] - numbers[:, self._entailed], -60, 60)
        probabilities: Floats = 1 / (1 + np.exp(apart))
        return [probabilities[:, None]]


class _Model:
    """Tokenizer and session of one model."""

    def __init__(self, config: ModelConfig, *, small: bool = False) -> None:
        path = existing(config.model, "model")
        self._model = OnnxModel(quantized(path) if small else path, threads=config.threads)
        self._tokens = Tokens(config.tokenizer, path, config.max_tokens)
        self._beside = asyncio.Semaphore(_BESIDE)
        self.outputs = self._model.outputs

    async def run(
        self, asked: Sequence[tuple[str, str | None]], read: _Read, outputs: Sequence[str] = (), at_once: int = _BATCH
    ) -> Sequence[Floats]:
        """Of each kind that `read` makes of the outputs (default: of the first) one row for each text or pair."""
        names = outputs or self.outputs[:1]
        batches = []
        for start in range(0, len(asked), at_once):
            async with self._beside:
                batches.append(await asyncio.to_thread(self._run, asked[start : start + at_once], read, names))
        return [np.concatenate(kind) for kind in zip(*batches, strict=True)]

    def _run(self, asked: Sequence[tuple[str, str | None]], read: _Read, names: Sequence[str]) -> Sequence[Floats]:
        encodings = [self._tokens.first(text, other) for text, other in asked]
        outputs, mask = self._model.run_for(names, encodings)
        inner = mask.copy()
        for row, encoding in enumerate(encodings):
            inner[row, : len(encoding.ids)] -= np.asarray(encoding.special_tokens_mask, np.int64)
        kinds = read([np.asarray(output, np.float32) for output in outputs], mask, inner)
        for rows in kinds:
            if len(rows) != len(asked) or not np.isfinite(rows).all():
                raise ExecutionFailed("the model gave no usable numbers", detail=str(rows.shape))
        return kinds


def _mean(states: Floats, mask: Mask) -> Floats:
    """The direction of the mean of the masked states."""
    if states.ndim != 3:
        raise ExecutionFailed("the encoder gave no states", detail=str(states.shape))
    return unit((mask[:, None, :].astype(np.float32) @ states)[:, 0])


def _labels(config: ModelConfig) -> Sequence[str]:
    path = existing(config.model, "model").parent / "config.json"
    try:
        names = json.loads(path.read_bytes())["id2label"]
        return [str(names[str(place)]) for place in range(len(names))]
    except (OSError, ValueError, KeyError, TypeError):
        raise SettingsError(f"labels: expected the model's labels, here or in {path}", key="labels") from None
