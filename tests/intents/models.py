"""Tiny models of our own: graphs and tokenizers that really run, small enough to be understood."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

#: Words that say nothing; their vectors are zero
STOP = (
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "this",
    "example",
    "is",
    "the",
    "a",
    "to",
    "in",
    "what",
    "my",
    "of",
    "an",
    "used",
)
KNOWN = ("weather", "forecast", "city", "timer", "set", "invoice", "send", "customer", "rain", "tell", "rome", "oslo")
VOCABULARY = (*STOP, *KNOWN)


def tokenizer(folder: Path) -> Path:
    """Whole words in lower case, with the usual marks round one text or two."""
    made = Tokenizer(models.WordLevel({word: place for place, word in enumerate(VOCABULARY)}, unk_token="[UNK]"))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    marks = [(mark, VOCABULARY.index(mark)) for mark in ("[CLS]", "[SEP]")]
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=marks
    )
    path = folder / "tokenizer.json"
    made.save(str(path))
    return path


def encoder(folder: Path, *, first_only: bool = False) -> Path:
    """One direction for each known word. With `first_only` all of it stands in the first state, for `cls`."""
    table = np.zeros((len(VOCABULARY), len(VOCABULARY)), np.float32)
    for place in range(len(STOP), len(VOCABULARY)):
        table[place, place] = 1
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["words"])]
    if first_only:
        nodes += [
            helper.make_node("ReduceSum", ["words", "axis"], ["sum"], keepdims=1),
            helper.make_node("Mul", ["words", "zero"], ["nothing"]),
            helper.make_node("Slice", ["nothing", "one", "end", "axis"], ["rest"]),
            helper.make_node("Concat", ["sum", "rest"], ["states"], axis=1),
        ]
    else:
        nodes.append(helper.make_node("Identity", ["words"], ["states"]))
    constants: dict[str, npt.NDArray[Any]] = {
        "table": table,
        "axis": np.array([1], np.int64),
        "one": np.array([1], np.int64),
        "end": np.array([9999], np.int64),
        "zero": np.array(0, np.float32),
    }
    return _save(folder / "encoder.onnx", nodes, ["input_ids", "attention_mask"], ["batch", "length", None], constants)


def layered(folder: Path) -> Path:
    """One direction for each known word and mark, and in the states of the middle layer the next one."""
    table = np.eye(len(VOCABULARY), dtype=np.float32)
    nodes = [
        helper.make_node("Gather", ["next", "input_ids"], ["middle_hidden_state"]),
        helper.make_node("Gather", ["table", "input_ids"], ["states"]),
    ]
    constants: dict[str, npt.NDArray[Any]] = {"table": table, "next": np.roll(table, 1, axis=1)}
    shape: list[str | int | None] = ["batch", "length", None]
    return _save(
        folder / "layered.onnx",
        nodes,
        ["input_ids", "attention_mask"],
        shape,
        constants,
        outputs=("states", "middle_hidden_state"),
    )


def dense(folder: Path) -> Path:
    """The directions of the known words, turned by a matrix that can be made smaller."""
    table = np.eye(len(VOCABULARY), dtype=np.float32)
    turn = np.random.default_rng(1).normal(size=table.shape).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["words"]),
        helper.make_node("MatMul", ["words", "turn"], ["states"]),
    ]
    shape: list[str | int | None] = ["batch", "length", None]
    constants: dict[str, npt.NDArray[Any]] = {"table": table, "turn": turn}
    return _save(folder / "dense.onnx", nodes, ["input_ids", "attention_mask"], shape, constants)


def nli(folder: Path) -> Path:
    """Says how many of the hypothesis' known words stand in the text: contradiction, neutral, entailment."""
    known = np.zeros(len(VOCABULARY), np.float32)
    known[len(STOP) :] = 1
    nodes = [
        helper.make_node("Gather", ["known", "input_ids"], ["weights"]),
        helper.make_node("Cast", ["token_type_ids"], ["second"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["one", "second"], ["first"]),
        helper.make_node("Mul", ["weights", "second"], ["asked"]),
        helper.make_node("Unsqueeze", ["input_ids", "two"], ["down"]),
        helper.make_node("Unsqueeze", ["input_ids", "axis"], ["across"]),
        helper.make_node("Equal", ["down", "across"], ["same"]),
        helper.make_node("Cast", ["same"], ["alike"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["first", "axis"], ["of_first"]),
        helper.make_node("Mul", ["alike", "of_first"], ["pairs"]),
        helper.make_node("ReduceMax", ["pairs", "two"], ["told"], keepdims=0),
        helper.make_node("Mul", ["asked", "told"], ["hits"]),
        helper.make_node("ReduceSum", ["hits", "axis"], ["hit"], keepdims=1),
        helper.make_node("ReduceSum", ["asked", "axis"], ["wanted"], keepdims=1),
        helper.make_node("Max", ["wanted", "least"], ["count"]),
        helper.make_node("Div", ["hit", "count"], ["share"]),
        helper.make_node("Mul", ["share", "slope"], ["scaled"]),
        helper.make_node("Add", ["scaled", "offset"], ["logits"]),
    ]
    constants: dict[str, npt.NDArray[Any]] = {
        "known": known,
        "one": np.array(1, np.float32),
        "least": np.array(0.5, np.float32),
        "axis": np.array([1], np.int64),
        "two": np.array([2], np.int64),
        "slope": np.array([[-10, 0, 10]], np.float32),
        "offset": np.array([[5, 9, -5]], np.float32),
    }
    inputs = ["input_ids", "attention_mask", "token_type_ids"]
    (folder / "config.json").write_text(
        '{"id2label": {"0": "CONTRADICTION", "1": "NEUTRAL", "2": "ENTAILMENT"}}', "utf-8"
    )
    return _save(folder / "nli.onnx", nodes, inputs, ["batch", 3], constants)


def _save(
    path: Path,
    nodes: list[onnx.NodeProto],
    inputs: list[str],
    shape: list[str | int | None],
    constants: Mapping[str, npt.NDArray[Any]],
    outputs: Sequence[str] = (),
) -> Path:
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"]) for name in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in outputs or nodes[-1].output],
        [numpy_helper.from_array(value, name) for name, value in constants.items() if name in used],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), str(path))
    return path
