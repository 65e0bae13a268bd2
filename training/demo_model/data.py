"""Conversations as token ids with a loss mask, grouped by length so that batches carry little padding."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from .generate import Sample
from .tokenizer import special

CHUNK = 20_000


@dataclass
class Corpus:
    """All conversations end to end: `tokens`, whether each is learned, and where each conversation starts."""

    tokens: np.ndarray
    learned: np.ndarray
    starts: np.ndarray

    def __len__(self) -> int:
        return len(self.starts) - 1


def encode(tokenizer: Tokenizer, samples: Iterable[Sample], limit: int) -> Corpus:
    """Tokenise conversations as the chat template writes them; those over `limit` tokens are left out."""
    ids, mask, starts = array("h"), array("b"), array("q", [0])
    end = special(tokenizer, "end")
    rest = iter(samples)
    while chunk := list(islice(rest, CHUNK)):
        texts = [m.content.strip() for s in chunk for m in s.messages]
        encoded = iter(tokenizer.encode_batch(texts))
        for item in chunk:
            row: list[int] = []
            flags: list[bool] = []
            for message in item.messages:
                piece = next(encoded)
                assistant = message.role == "assistant"
                row += [special(tokenizer, message.role), *piece.ids, end]
                flags += [False, *(assistant and at >= message.learn_from for at, _ in piece.offsets), assistant]
            if len(row) <= limit:
                ids.extend(row)
                mask.extend(flags)
                starts.append(len(ids))
    return Corpus(np.array(ids), np.array(mask, np.bool_), np.array(starts))


def round_up(number: int, step: int) -> int:
    """The next multiple of `step`: few different shapes keep the matrix kernels' caches warm."""
    return -(-number // step) * step


def batches(corpus: Corpus, tokens_per_batch: int, seed: int) -> Iterator[tuple[Tensor, Tensor]]:
    """One pass: (token ids, targets) with -100 where nothing is learned; batches of like length, in random order."""
    rng = random.Random(seed)
    lengths = np.diff(corpus.starts)
    noise = np.random.default_rng(seed).random(len(lengths))
    order = np.argsort(lengths + noise * 4, kind="stable")
    groups: list[list[int]] = [[]]
    for index in order:
        width = round_up(int(lengths[[*groups[-1], index]].max()), 8)
        if groups[-1] and (len(groups[-1]) + 1) * width > tokens_per_batch:
            groups.append([])
        groups[-1].append(int(index))
    rng.shuffle(groups)
    for group in groups:
        width = round_up(int(lengths[group].max()), 8)
        ids = np.zeros((len(group), width), np.int64)
        targets = np.full((len(group), width), -100, np.int64)
        for row, index in enumerate(group):
            start, stop = corpus.starts[index], corpus.starts[index + 1]
            part = corpus.tokens[start:stop].astype(np.int64)
            ids[row, : len(part)] = part
            targets[row, : len(part) - 1] = np.where(corpus.learned[start + 1 : stop], part[1:], -100)
        yield torch.from_numpy(ids), torch.from_numpy(targets)
