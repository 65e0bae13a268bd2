"""A tiny text classifier as an ONNX file, written byte by byte: each label's number is the highest weight among the tokens.

The format is protocol buffers; only the fields that this graph needs are written, by their numbers in onnx.proto.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path

INT64, FLOAT = 7, 1
WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "hello", "birnam", "macbeth")


def write(folder: Path, weights: Sequence[Sequence[float]], *, inputs: Sequence[str] = ("input_ids", "attention_mask"), name: str = "logits") -> Path:  # fmt: skip
    """`model.onnx` and `tokenizer.json` in `folder`; one row of `weights` for each of `WORDS`, one column a label."""
    labels = len(weights[0])
    flat = [number for row in weights for number in row]
    table = _field(1, len(weights)) + _field(1, labels) + _field(2, FLOAT) + _field(8, "table")
    table += _field(9, struct.pack(f"<{len(flat)}f", *flat))
    nodes = [
        _node("Gather", ["table", "input_ids"], "rows"),
        _node("ReduceMax", ["rows"], name, _field(1, "axes") + _field(8, 1) + _field(20, 7), _flag("keepdims", 0)),
    ]
    graph = b"".join(_field(1, node) for node in nodes) + _field(2, "tiny") + _field(5, table)
    graph += b"".join(_field(11, _value(given, INT64, ["batch", "length"])) for given in inputs)
    graph += _field(12, _value(name, FLOAT, ["batch", labels]))
    opset = _field(2, 13)
    (folder / "model.onnx").write_bytes(_field(1, 8) + _field(7, graph) + _field(8, opset))
    (folder / "tokenizer.json").write_text(json.dumps(_TOKENIZER))
    return folder / "model.onnx"


_TOKENIZER = {
    "version": "1.0",
    "added_tokens": [
        {"id": at, "content": WORDS[at], "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        for at in range(4)
    ],
    "normalizer": {"type": "Lowercase"},
    "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": "[CLS]", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
            {"SpecialToken": {"id": "[SEP]", "type_id": 0}},
        ],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {
            "[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
            "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]},
        },
    },
    "model": {"type": "WordLevel", "vocab": {word: at for at, word in enumerate(WORDS)}, "unk_token": "[UNK]"},
}  # fmt: skip


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 0x7F:
        found.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*found, number])


def _field(number: int, value: int | str | bytes) -> bytes:
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _flag(name: str, value: int) -> bytes:
    return _field(1, name) + _field(3, value) + _field(20, 2)


def _node(kind: str, inputs: Sequence[str], output: str, *attributes: bytes) -> bytes:
    said = b"".join(_field(1, one) for one in inputs) + _field(2, output) + _field(4, kind)
    return said + b"".join(_field(5, one) for one in attributes)


def _value(name: str, kind: int, shape: Sequence[int | str]) -> bytes:
    sizes = b"".join(_field(1, _field(1, size) if isinstance(size, int) else _field(2, size)) for size in shape)
    return _field(1, name) + _field(2, _field(1, _field(1, kind) + _field(2, sizes)))
