"""A model's weights in one byte each, made of its file when it is loaded; needs the extra `int8`."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

from promptd.core.errors import SettingsError

#: Says that shapes need not be inferred first: only constant weights are made small, and their shapes are known
_READY: Final = {"onnx.quant.pre_process": "onnxruntime.quant"}


def quantized(path: Path) -> bytes:
    """The file's model with one-byte weights and a scale for each of their columns; some two seconds for 90 MB.

    Raises `SettingsError` where that can't be done.
    """
    try:
        import onnx
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError:
        raise SettingsError(
            "weights: int8 needs the extra `int8`: pip install 'promptd[int8]'", key="weights"
        ) from None
    with tempfile.TemporaryDirectory() as folder:
        small = Path(folder) / "small.onnx"
        try:
            model = onnx.load(str(path))
            onnx.helper.set_model_props(model, _READY)
            quantize_dynamic(model, small, weight_type=QuantType.QInt8, per_channel=True)
            return small.read_bytes()
        except Exception as error:  # both packages raise classes of many kinds
            raise SettingsError(f"weights: can't be made smaller: {str(error)[:300]}", key="weights") from None
