"""Classifiers of texts by onnxruntime: windows of tokens in, probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from promptd.core.errors import ExecutionFailed, SettingsError
from promptd.vectors.onnx import OnnxModel

if TYPE_CHECKING:
    from tokenizers import Encoding

Activation = Literal["softmax", "sigmoid"]


class Classifier:
    """An ONNX file that gives a number for each of so many labels. Raises `SettingsError` where it can't be used."""

    def __init__(self, path: Path, *, labels: int, threads: int) -> None:
        self._model, self._labels = OnnxModel(path, threads=threads), labels
        width = self._model.width
        if width is not None and width != labels:
            raise SettingsError(f"labels: expected {width}, as many as the model has", key="labels")

    def probabilities(self, encodings: Sequence[Encoding], activation: Activation) -> list[list[float]]:
        """One row for each window, one column for each label. Raises `ExecutionFailed`."""
        numbers = np.asarray(self._model.run(encodings)[0], np.float64)
        if numbers.shape != (len(encodings), self._labels) or not np.isfinite(numbers).all():
            raise ExecutionFailed("the classifier gave no numbers for its labels", detail=str(numbers.shape))
        if activation == "sigmoid":
            return list((1 / (1 + np.exp(-np.clip(numbers, -60, 60)))).tolist())
        powers = np.exp(numbers - numbers.max(axis=1, keepdims=True))
        return list((powers / powers.sum(axis=1, keepdims=True)).tolist())
