"""A text as hashed n-grams: runs of letters, words, pairs and triples of words, and pairs of notions.

Every step is one numpy call over the whole text, so that a kilobyte costs some ten microseconds. A gram is a place in a
table of weights and the byte it begins at; who sums the weights by place gets a score of every span of the text at once.
The same text has the same grams on every machine and in every version of promptd that reads the same weights.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

#: Longest text that is looked at in one piece, in bytes; the tables of powers are that long
PIECE: Final = 65_536

_BASE: Final = 0x9E3779B97F4A7C15
_FACTOR: Final = np.uint64(0xD6E8FEB86659FD93)
_HALF: Final = np.uint64(32)
_SPACE: Final = 32
_RUN: Final = 3

#: Stands between texts that are read at once: no byte of UTF-8
BORDER: Final = 255

#: Keeps grams of one kind apart from those of another
_KINDS: Final = tuple(np.uint64(kind * 0x632BE59BD9B4E019 % (1 << 64)) for kind in range(24))

Bytes = NDArray[np.uint8]
Hashes = NDArray[np.uint64]
Places = NDArray[np.int64]


class _Add(Protocol):
    def __call__(
        self, hashes: Hashes, kind: int, at: Places, /, parts: Places, step: int, near: Places | None = None
    ) -> None: ...


class Grams(NamedTuple):
    """Of each gram its place in the table, and the byte at which it begins."""

    places: Places
    begins: Places


class Words(NamedTuple):
    """Of each word its first byte, the byte behind its last one, and its hash."""

    begins: Places
    ends: Places
    hashes: Hashes


class Recipe(NamedTuple):
    """Which grams are made. `notions` groups words that mean the same: from a word's hash, or its first five letters', to
    a number above zero."""

    bits: int = 19  #: the table has 2 to the power of so many places
    letters: Sequence[int] = (4, 5)
    notions: Notions | None = None


class Notions(NamedTuple):
    """Sorted hashes and the number of each; at the end the largest hash there is, without a notion."""

    hashes: Hashes
    numbers: NDArray[np.int64]


def squeeze(text: str) -> Bytes:
    """The bytes that grams are made of: small letters, every digit as `0`, one blank or line end for any white space.

    More than three of a sign in a row count as three.
    """
    return _squeeze(text.encode("utf-8", "replace"))


def squeeze_many(texts: Sequence[str]) -> Bytes:
    """The bytes of several texts, none of them empty, each as `squeeze` leaves it with a `BORDER` behind."""
    return _squeeze(b"".join([text.encode("utf-8", "replace") + _BORDER for text in texts]))


_BORDER: Final = bytes([BORDER])


def _squeeze(said: bytes) -> Bytes:
    folded = _fold()[np.frombuffer(said, np.uint8)]
    same = folded[1:] == folded[:-1]
    blank = folded <= _SPACE
    drop = blank[1:] & blank[:-1]
    drop[_RUN - 1 :] |= same[_RUN - 1 :] & same[_RUN - 2 : -1] & same[: 1 - _RUN] if len(same) >= _RUN else False
    keep = np.ones(len(folded), np.bool_)
    keep[1:] = ~drop
    return folded[keep]


def find_words(data: Bytes) -> Words:
    """Runs of letters, digits and bytes beyond ASCII."""
    return _words(data, _sums(data))


def hash_word(word: str) -> int:
    """The hash that `find_words` gives `word`."""
    data = squeeze(word)
    return int(_spans(_sums(data), np.array([0]), np.array([len(data)]))[0])


def read_notions(groups: Mapping[str, Sequence[str]]) -> Notions:
    """Groups of words by their name. `ignor*` stands for all words whose first five letters are those."""
    numbers: dict[int, int] = {}
    for number, words in enumerate(groups.values(), 1):
        for word in words:
            stem = word.endswith("*")
            if stem and len(word) != _STEM + 1:
                raise ValueError(f"{word}: a stem has {_STEM} letters")
            numbers[_stem_hash(hash_word(word[:-1])) if stem else hash_word(word)] = number
    order = sorted(numbers)
    found = [*(numbers[one] for one in order), 0]
    return Notions(np.array([*order, _LAST], np.uint64), np.array(found, np.int64))


def notion_places(numbers: Sequence[int], recipe: Recipe) -> list[int]:
    """Where two notions have their place that follow each other closely, or three, by their numbers."""
    found = [np.array([number], np.uint64) for number in numbers]
    hashes = functools.reduce(_join, found)
    kinds = (21, 22) if len(numbers) == 2 else (23,)
    return [int(_places(hashes + _KINDS[kind], recipe.bits)[0]) for kind in kinds]


def phrase_place(words: str, recipe: Recipe) -> int:
    """Where two or three words have their place that follow each other."""
    data = np.maximum(squeeze(words), np.uint8(_SPACE))
    found = _words(data, _sums(data)).hashes
    if len(found) not in (2, 3):
        raise ValueError(f"{words!r}: expected two or three words")
    return int(_places(functools.reduce(_join, found[:, None]) + _KINDS[15 + len(found)], recipe.bits)[0])


def grams(data: Bytes, recipe: Recipe, owners: Places | None = None) -> Grams:
    """All grams of a text of at most `PIECE` bytes; a line end counts as a blank.

    `owners`: of several texts at once, the number of each byte's text, with other numbers for each border; no gram is of two.
    """
    data = np.maximum(data, np.uint8(_SPACE))
    sums = _sums(data)
    words = _words(data, sums)
    kinds: list[Hashes] = []
    begins: list[Places] = []

    def add(hashes: Hashes, kind: int, at: Places, parts: Places, step: int, near: Places | None = None) -> None:
        """`parts`, `step` and `near` say where the last part of a gram is."""
        if owners is not None:
            last = parts[step : step + len(at)] if near is None else parts[near + step]
            own = (owners[at] == owners[last]).nonzero()[0]
            hashes, at = hashes[own], at[own]
        kinds.append(hashes + _KINDS[kind])
        begins.append(at)

    where = _counted()[: len(data)]
    for size in recipe.letters:
        at = where[: max(len(data) - size + 1, 0)]
        add((sums[size : size + len(at)] - sums[: len(at)]) * _powers()[1][: len(at)], size, at, where, size - 1)
    one, at = words.hashes, words.begins
    add(one, 16, at, at, 0)
    two = _join(one[:-1], one[1:])
    add(two, 17, at[:-1], at, 1)
    add(_join(two[:-1], one[2:]), 18, at[:-2], at, 2)
    add(_join(one[:-2], one[2:]), 19, at[:-2], at, 2)
    if recipe.notions is not None:
        _add_notions(add, words, sums, recipe.notions)
    return Grams(_places(np.concatenate(kinds), recipe.bits), np.concatenate(begins))


def _add_notions(add: _Add, words: Words, sums: Hashes, notions: Notions) -> None:
    """Notions, and what follows them closely in the text whatever stands between."""
    stems = _stem_hash(_spans(sums, words.begins, np.minimum(words.ends, words.begins + _STEM)))
    count = len(stems)
    known = _lookup(np.concatenate((words.hashes, stems)), notions)
    numbers = np.where(known[:count] == 0, known[count:], known[:count])
    order = numbers.nonzero()[0]
    found = numbers[order].view(np.uint64)
    at = words.begins[order]
    add(found, 20, at, at, 0)
    for step, kind, reach in ((1, 21, 6), (2, 22, 10)):
        near = (order[step:] - order[:-step] <= reach).nonzero()[0]
        first, begins = found[near], at[near]
        add(_join(first, found[near + step]), kind, begins, at, step, near)
        if step == 2:
            add(_join(_join(first, found[near + 1]), found[near + 2]), 23, begins, at, 2, near)


_STEM: Final = 5
_LAST: Final = (1 << 64) - 1


def _stem_hash(hashes: Any) -> Any:
    """Keeps a stem apart from the word of the same letters."""
    return hashes ^ (np.uint64(_BASE) if isinstance(hashes, np.ndarray) else _BASE)


def _lookup(hashes: Hashes, notions: Notions) -> Places:
    at = np.searchsorted(notions.hashes, hashes)
    return np.where(notions.hashes[at] == hashes, notions.numbers[at], 0)


@functools.cache
def _fold() -> Bytes:
    """What each byte counts as."""
    table = np.arange(256, dtype=np.uint8)
    table[:_SPACE] = _SPACE
    table[ord("\n")] = ord("\n")
    table[127] = _SPACE
    table[ord("A") : ord("Z") + 1] += 32
    table[ord("0") : ord("9") + 1] = ord("0")
    return table


@functools.cache
def _in_word() -> NDArray[np.bool_]:
    table = np.zeros(256, np.bool_)
    table[ord("a") : ord("z") + 1] = True
    table[ord("0") : ord("9") + 1] = True
    table[128:BORDER] = True
    return table


@functools.cache
def _counted() -> Places:
    found = np.arange(PIECE, dtype=np.int64)
    found.flags.writeable = False
    return found


@functools.cache
def _powers() -> tuple[Hashes, Hashes]:
    """Powers of the base and of its inverse, modulo 2 to the power of 64."""
    inverse = pow(_BASE, -1, 1 << 64)
    with np.errstate(over="ignore"):
        up = np.full(PIECE + 1, _BASE, np.uint64)
        down = np.full(PIECE + 1, inverse, np.uint64)
        up[0] = down[0] = 1
        return np.multiply.accumulate(up), np.multiply.accumulate(down)


def _sums(data: Bytes) -> Hashes:
    """Prefix sums of a polynomial hash: the hash of any span is a difference of two of them."""
    if len(data) > PIECE:
        raise ValueError(f"longer than {PIECE} bytes")
    sums = np.zeros(len(data) + 1, np.uint64)
    np.cumsum(data * _powers()[0][: len(data)], out=sums[1:])
    return sums


def _spans(sums: Hashes, begins: Places, ends: Places) -> Hashes:
    """The hash of every span."""
    return (sums[ends] - sums[begins]) * _powers()[1][begins]


def _words(data: Bytes, sums: Hashes) -> Words:
    inside = np.zeros(len(data) + 2, np.bool_)
    inside[1:-1] = _in_word()[data]
    edges = (inside[1:] != inside[:-1]).nonzero()[0]
    begins, ends = edges[::2], edges[1::2]
    return Words(begins, ends, _spans(sums, begins, ends))


def _join(left: Hashes, right: Hashes) -> Hashes:
    return (left ^ (left >> _HALF)) * _FACTOR + right


def _places(hashes: Hashes, bits: int) -> Places:
    mixed = hashes * _FACTOR
    mixed ^= mixed >> _HALF
    mixed *= _FACTOR
    mixed >>= np.uint64(64 - bits)
    return mixed.view(np.int64)
