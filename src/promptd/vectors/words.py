"""Static word vectors: a text as the weighted sum of the vectors of its words, without a model or a download.

The vectors were distilled from a sentence encoder (`training/words`), so that the sum of a short text's vectors points
where the encoder would have pointed. English only; the order of words is lost. Reading costs about 2 µs a known word.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Final

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]

#: How many numbers a vector has
DIMENSIONS: Final = 192

_WORD: Final = re.compile(r"[^\W_\u0300-\u036f][\w\u0300-\u036f]*")

#: Longer runs of letters are no words; splitting them would take quadratic time, remembering them much memory
_LONGEST: Final = 48


class _Table:
    """The file, as it is kept in memory: small numbers, and a scale for each row."""

    def __init__(self) -> None:
        with (
            (files("promptd") / "models" / "words.npz").open("rb") as file,
            np.load(file, allow_pickle=False) as stored,
        ):
            self.rows: npt.NDArray[np.int8] = stored["rows"]
            self.scales: Vectors = stored["scales"].astype(np.float32)
            names = bytes(stored["names"]).decode().split("\n")
        self.numbers = {name: number for number, name in enumerate(names)}


@lru_cache(maxsize=1)
def _table() -> _Table:
    return _Table()


def load() -> None:
    """Read the file now, so that the first `embed` need not (some 30 ms)."""
    _table()


def words(text: str) -> list[str]:
    """The words of a text in lower case, without accents and punctuation."""
    return [_plain(word) for word in _WORD.findall(text.lower())]


def embed(texts: Sequence[str]) -> Vectors:
    """One row for each text, of length 1; all zero where no word of it is known. Time is linear in the texts."""
    return unit(embed_sums(texts))


def embed_sums(texts: Sequence[str]) -> Vectors:
    """Like `embed` before rows are brought to length 1; sums of parts of a text add up to the sum of the text."""
    table = _table()
    sums = np.zeros((len(texts), DIMENSIONS), np.float32)
    for row, text in enumerate(texts):
        pieces = [number for word in words(text) if len(word) <= _LONGEST for number in _pieces(word)]
        if pieces:
            sums[row] = table.scales[pieces] @ table.rows[pieces].astype(np.float32)
    return sums


def rank(word: str) -> int | None:
    """Place of a word of `words` in the order of the vocabulary, roughly from frequent to rare; None: not in it."""
    return _table().numbers.get(word)


def size() -> int:
    """How many words and pieces of words are known."""
    return len(_table().numbers)


def unit(rows: Vectors) -> Vectors:
    """The rows brought to length 1; rows of zeros stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    result: Vectors = (rows / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return result


def _plain(word: str) -> str:
    if word.isascii():
        return word
    return "".join(sign for sign in unicodedata.normalize("NFKD", word[:_LONGEST]) if not unicodedata.combining(sign))


@lru_cache(maxsize=32_768)
def _pieces(word: str) -> tuple[int, ...]:
    """Rows of the fewest known pieces, longest first from the left; none where a part of the word is unknown."""
    numbers = _table().numbers
    if (number := numbers.get(word)) is not None:
        return (number,)
    found: list[int] = []
    start = 0
    while start < len(word):
        mark = "##" if start else ""
        for end in range(len(word), start, -1):
            if (number := numbers.get(mark + word[start:end])) is not None:
                found.append(number)
                start = end
                break
        else:
            return ()
    return tuple(found)
