"""Static word vectors: a text as the weighted sum of the vectors of its words, without a model or a download.

The vectors were distilled from a sentence encoder (`training/words`), so that the sum of a short text's vectors points
where the encoder would have pointed. English only; the order of words is lost. Reading costs about 2 µs a known word.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import IO, Any, Final
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from promptd.core.errors import SettingsError

Vectors = npt.NDArray[np.float32]

#: How many numbers a vector has
DIMENSIONS: Final = 220

#: Parts of the file, from frequent words to rare ones
_BANDS: Final = 4

_WORD: Final = re.compile(r"[^\W_\u0300-\u036f][\w\u0300-\u036f]*")

#: Longer runs of letters are no words; splitting them would take quadratic time, remembering them much memory
_LONGEST: Final = 48


class _Table:
    """The file as it is kept in memory: small numbers, and a scale for each row. `training/words/packing.py` says how the
    file is made: words in bands, each word as what it has more than a gain of an earlier one."""

    def __init__(self, stored: Mapping[str, npt.NDArray[Any]]) -> None:
        names = bytes(stored["names"]).decode().split("\n")
        lengths = np.exp2(stored["lengths"] / np.float32(16) - np.float32(8)).astype(np.float32)
        parents, gains = stored["parents"], stored["gains"] / np.float32(64)
        rows = np.empty((len(names), DIMENSIONS), np.float32)
        first = start = 0
        for levels, packed in ((stored[f"levels{band}"], stored[f"packed{band}"]) for band in range(_BANDS)):
            end = start + len(packed)
            rows[start:end] = _numbers(levels, packed) * lengths[start:end, None]
            if start:
                own = slice(start - first, end - first)
                rows[start:end] += gains[own, None] * rows[parents[own]]
            first, start = first or end, end
        self.scales: Vectors = np.maximum(np.abs(rows).max(axis=1), np.float32(1e-9)) / np.float32(127)
        self.rows: npt.NDArray[np.int8] = np.rint(rows / self.scales[:, None]).astype(np.int8)
        self.numbers = {name: number for number, name in enumerate(names)}


def _numbers(levels: Vectors, packed: npt.NDArray[np.uint8]) -> Vectors:
    """The rows of numbers of which each byte holds several."""
    base = len(levels)
    count = int(math.log(256, base))
    in_byte = np.arange(256)[:, None] // base ** np.arange(count) % base
    found: Vectors = levels[in_byte][packed].reshape(len(packed), -1)
    return found


@lru_cache(maxsize=1)
def _table() -> _Table:
    with (files("promptd") / "models" / "words.npz").open("rb") as file:
        return read(file)


def read(file: IO[bytes]) -> _Table:
    """Raises `SettingsError` where the file is damaged."""
    try:
        with np.load(file, allow_pickle=False) as stored:
            return _Table(stored)
    except (OSError, EOFError, ValueError, LookupError, BadZipFile) as error:
        fault = f"models/words.npz of this installation is damaged, install promptd again: {error}"
        raise SettingsError(fault, key="models") from None


def load() -> None:
    """Read the file now, so that the first `embed` need not (some 60 ms)."""
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
