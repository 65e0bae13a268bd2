"""Distil word vectors from MiniLM.

    python -m training.words.train --texts TEXTS.jsonl [--output FILE]

Deterministic: nothing is drawn at random. Takes about two minutes on two cores. See README.md for the data card.
"""

from __future__ import annotations

import argparse
import json
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from scipy import sparse
from tokenizers import Tokenizer

from training.words import minilm, packing

OUTPUT = Path("src/promptd/models/words.npz")

DIMENSIONS = 220
#: tokens before this one are special ones and punctuation
FIRST = 1000
#: how firmly a token keeps to the vector that it has alone
RIDGE = 1.0
ROUNDS = 40
#: how much the broadest directions are narrowed; 0 not at all, 0.5 all to the same width
NARROWING = 0.15

Matrix = npt.NDArray[np.float64]


class Teacher:
    """The sentence encoder."""

    def __init__(self, folder: Path, graph: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 2
        self.session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(128)

    def encode(self, rows: list[list[int]]) -> Matrix:
        """The mean of the last states."""
        out = np.zeros((len(rows), minilm.WIDTH))
        order = sorted(range(len(rows)), key=lambda row: len(rows[row]))
        for start in range(0, len(rows), 64):
            batch = order[start : start + 64]
            ids = np.zeros((len(batch), max(len(rows[row]) for row in batch)), np.int64)
            mask = np.zeros_like(ids)
            for place, row in enumerate(batch):
                ids[place, : len(rows[row])] = rows[row]
                mask[place, : len(rows[row])] = 1
            states = self.session.run(None, {"input_ids": ids, "attention_mask": mask})[0]
            out[batch] = (states * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        return out


def unit(rows: Matrix) -> Matrix:
    result: Matrix = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
    return result


def sentences(path: Path) -> list[str]:
    """Sentences of the file's texts, without those of the data that the intent matcher is judged by."""
    found: set[str] = set()
    for line in path.read_text().removesuffix("\n").split("\n"):
        entry = json.loads(line)
        if entry.get("source") == "clinc/oos-eval":
            continue
        parts = (part.strip() for part in re.split(r"(?<=[.!?])\s+|\n", entry["text"].lower()))
        found.update(part for part in parts if 8 < len(part) < 160)
    return sorted(found)


def refine(vectors: Matrix, bags: Any, taught: Matrix) -> Matrix:
    """Move the vectors so that their sums come nearer to what the teacher says of the whole (ridge regression)."""
    sums = bags @ vectors
    bags = sparse.diags(1 / np.maximum(np.linalg.norm(sums, axis=1), 1e-9)) @ bags
    sums = bags @ vectors
    vectors = vectors * ((sums * taught).sum() / (sums * sums).sum())
    system = bags.T @ bags + RIDGE * sparse.eye(bags.shape[1])
    moved = np.zeros_like(vectors)
    rest = bags.T @ (taught - bags @ vectors)
    direction, length = rest.copy(), (rest * rest).sum(0)
    for _ in range(ROUNDS):
        image = system @ direction
        step = length / ((direction * image).sum(0) + 1e-12)
        moved += step * direction
        rest -= step * image
        before, length = length, (rest * rest).sum(0)
        direction = rest + length / (before + 1e-12) * direction
    result: Matrix = vectors + moved
    return result


def kept(vocabulary: list[str]) -> list[int]:
    """Numbers of the tokens that are kept: those of Latin letters and digits."""
    return [
        number for number, token in enumerate(vocabulary) if number >= FIRST and re.fullmatch(r"(##)?[a-z0-9]+", token)
    ]


def train(texts: Path, output: Path) -> None:
    folder = minilm.folder()
    if folder is None:
        raise SystemExit(f"the package {minilm.PACKAGE} is not installed")
    with tempfile.TemporaryDirectory() as scratch:
        graph = Path(scratch) / "minilm.onnx"
        minilm.build(folder, graph)
        teacher = Teacher(folder, graph)
    vocabulary = (folder / "vocab.txt").read_text().removesuffix("\n").split("\n")
    first, last = vocabulary.index("[CLS]"), vocabulary.index("[SEP]")
    alone = teacher.encode([[first, number, last] for number in range(len(vocabulary))])
    encoded = [encoding.ids for encoding in teacher.tokenizer.encode_batch(sentences(texts))]
    taught = unit(teacher.encode(encoded))
    inner = [[number for number in ids if number >= FIRST] for ids in encoded]
    rows = np.repeat(np.arange(len(inner)), [len(ids) for ids in inner])
    columns = np.array([number for ids in inner for number in ids])
    # rare words say more: the vocabulary is roughly in the order of frequency
    weights = np.log1p(np.maximum(np.arange(len(vocabulary)), 1))
    bags = sparse.csr_matrix((weights[columns], (rows, columns)), (len(inner), len(vocabulary)))
    vectors = refine(alone - alone.mean(0), bags, taught)
    sums = unit(bags @ vectors)
    widths, axes = np.linalg.eigh(sums.T @ sums / len(sums))
    axes, widths = axes[:, ::-1][:, :DIMENSIONS], widths[::-1][:DIMENSIONS]
    folded = (vectors * weights[:, None]) @ axes / widths**NARROWING
    numbers = kept(vocabulary)
    names = np.frombuffer("\n".join(vocabulary[number] for number in numbers).encode(), np.uint8)
    exact, packed = folded[numbers], packing.pack(folded[numbers], output, names=names)
    alike = (unit(exact) * unit(packed)).sum(1).mean()
    print(f"{len(numbers)} tokens, {output.stat().st_size} bytes, cosine {alike:.3f}, {len(inner)} sentences")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Distil word vectors from MiniLM.")
    parser.add_argument("--texts", type=Path, required=True, help="JSON lines with a field `text`")
    parser.add_argument("--output", type=Path, default=OUTPUT)
    options = parser.parse_args()
    train(options.texts, options.output)
