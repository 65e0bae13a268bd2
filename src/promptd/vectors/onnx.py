"""Models from ONNX files that read tokens, and their tokenizers; they need the extra `onnx`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from promptd.core.errors import ExecutionFailed, SettingsError

if TYPE_CHECKING:
    from tokenizers import Encoding

_INPUTS: Final = frozenset({"input_ids", "attention_mask", "token_type_ids"})
_EXTRA: Final = "needs the extra `onnx`: pip install 'promptd[onnx]'"

Mask = npt.NDArray[np.int64]


def existing(path: Path | None, key: str) -> Path:
    """Raises `SettingsError` where there is no such file."""
    if path is None:
        raise SettingsError(f"{key}: expected the path of a file", key=key)
    if not path.is_file():
        raise SettingsError(f"{key}: no such file: {path}", key=key)
    return path


class Tokens:
    """A tokenizer.json; None: the one beside the model. Raises `SettingsError` where it can't be used."""

    def __init__(self, path: Path | None, model: Path, longest: int, *, overlap: int = 0) -> None:
        found = existing(path or model.parent / "tokenizer.json", "tokenizer")
        try:
            from tokenizers import Tokenizer
        except ImportError:
            raise SettingsError(f"tokenizer: {_EXTRA}", key="tokenizer") from None
        try:
            self._tokenizer = Tokenizer.from_file(str(found))
            self._tokenizer.enable_truncation(longest, stride=overlap)
            self._tokenizer.no_padding()
        except Exception as error:  # tokenizers raises plain Exception
            raise SettingsError(f"tokenizer: can't be used: {str(error)[:300]}", key="tokenizer") from None

    def first(self, text: str, other: str | None = None) -> Encoding:
        """As much of a text, or of a pair, as the model takes."""
        return self._tokenizer.encode(_plain(text), None if other is None else _plain(other))

    def windows(self, text: str) -> list[Encoding]:
        """The text in windows of at most `longest` tokens; each begins with the last `overlap` ones of the one before."""
        first = self.first(text)
        return [first, *first.overflowing]


class OnnxModel:
    """A model, as a file or its content, that takes `input_ids` and `attention_mask`. Raises `SettingsError` where it can't be
    used."""

    def __init__(self, model: Path | bytes, *, threads: int) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise SettingsError(f"model: {_EXTRA}", key="model") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        try:
            given = model if isinstance(model, bytes) else str(model)
            session = onnxruntime.InferenceSession(given, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime raises classes of its own making
            raise SettingsError(f"model: not a usable ONNX file: {str(error)[:300]}", key="model") from None
        self._session: Any = session
        self._names = [one.name for one in session.get_inputs()]
        if "input_ids" not in self._names or not _INPUTS.issuperset(self._names):
            inputs = ", ".join(self._names)
            raise SettingsError(f"model: expected the inputs input_ids and attention_mask, not {inputs}", key="model")

    @property
    def outputs(self) -> Sequence[str]:
        """Names of what it gives."""
        return [one.name for one in self._session.get_outputs()]

    @property
    def width(self) -> int | None:
        """How many numbers it gives for a row, where it says so."""
        shape = self._session.get_outputs()[0].shape
        return shape[-1] if shape and isinstance(shape[-1], int) else None

    def run(self, encodings: Sequence[Encoding]) -> tuple[Any, Mask]:
        """Its first output, one row for each encoding, and which tokens are none of padding. Raises `ExecutionFailed`."""
        outputs, mask = self.run_for(self.outputs[:1], encodings)
        return outputs[0], mask

    def run_for(self, outputs: Sequence[str], encodings: Sequence[Encoding]) -> tuple[Sequence[Any], Mask]:
        """Like `run`, with the outputs of these names."""
        shape = (len(encodings), max(1, *(len(encoding.ids) for encoding in encodings)))
        given = {name: np.zeros(shape, np.int64) for name in _INPUTS}
        for row, encoding in enumerate(encodings):
            length = len(encoding.ids)
            given["input_ids"][row, :length] = encoding.ids
            given["attention_mask"][row, :length] = 1
            given["token_type_ids"][row, :length] = encoding.type_ids
        try:
            found = self._session.run(outputs, {name: given[name] for name in self._names})
        except Exception as error:  # onnxruntime raises classes of its own making
            raise ExecutionFailed("the model failed", detail=repr(error)) from error
        return found, given["attention_mask"]


def _plain(text: str) -> str:
    """Without lone surrogates, which the tokenizer can't take."""
    return text.encode("utf-8", "replace").decode()
