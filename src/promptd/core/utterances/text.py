"""What a user said, in words with their places."""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left
from collections.abc import Collection, Sequence
from typing import Final

from msgspec import Struct

#: characters of a turn that are looked at: its end, where the wish stands
MAX_TEXT: Final = 4096
#: values of a kind that are read out of one turn
MAX_SPANS: Final = 256
#: turns that are looked at, and what they may have together
MAX_TURNS: Final = 16
_MAX_TOTAL: Final = 4 * MAX_TEXT

_WORD: Final = re.compile(r"\w+(?:[-'’.]\w+)*|[^\w\s]")
_PARTS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")
_IRREGULAR: Final = {"people": "person", "persons": "person", "children": "child", "cities": "city", "men": "man"}


class Word(Struct, frozen=True):
    """A word or a sign, and where it stands."""

    text: str
    low: str
    start: int
    end: int

    @property
    def is_word(self) -> bool:
        return self.text[0].isalnum() or self.text[0] == "_"

    @property
    def capital(self) -> bool:
        return self.text[0].isupper()


class Span(Struct, frozen=True):
    """A value that was read at a place. The higher `strength`, the more it is meant for this parameter."""

    value: object
    start: int
    end: int
    strength: float = 3.0

    def overlaps(self, start: int, end: int) -> bool:
        return self.start < end and start < self.end

    def meant(self, strength: float) -> Span:
        """The same, so much meant."""
        return Span(self.value, self.start, self.end, strength)


class Utterance(Struct, frozen=True):
    """One turn of the user, and the parameters that had been asked for just before."""

    text: str
    asked: tuple[str, ...] = ()


def recent(texts: Sequence[str]) -> int:
    """How many of the last texts are looked at; the last one always is."""
    room = _MAX_TOTAL
    for number, text in enumerate(reversed(texts[-MAX_TURNS:])):
        room -= min(len(text), MAX_TEXT)
        if room < 0:
            return number
    return min(len(texts), MAX_TURNS)


def in_order(words: str) -> tuple[str, ...]:
    """The words of a table."""
    return tuple(words.split())


def listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


def tidy(text: str) -> str:
    """The end of a text in one normal form; all places are places in what this gives."""
    return unicodedata.normalize("NFKC", text[-MAX_TEXT:])[-MAX_TEXT:]


def words(text: str) -> list[Word]:
    return [Word(found[0], found[0].casefold(), found.start(), found.end()) for found in _WORD.finditer(text)]


def first_from(tokens: Sequence[Word], position: int) -> int:
    """Index of the first word that begins at the position or behind it."""
    return bisect_left(tokens, position, key=lambda word: word.start)


def stem(word: str) -> str:
    """Plural to singular, roughly."""
    low = word.casefold()
    if low in _IRREGULAR:
        return _IRREGULAR[low]
    if len(low) > 4 and low.endswith("ies"):
        return f"{low[:-3]}y"
    if len(low) > 4 and low.endswith(("sses", "xes", "ches", "shes")):
        return low[:-2]
    if len(low) > 3 and low.endswith("s") and not low.endswith(("ss", "us", "is")):
        return low[:-1]
    return low


def name_words(name: str) -> tuple[str, ...]:
    """`fromCity`, `from_city` → `from`, `city`."""
    return tuple([part.casefold() for part in _PARTS.findall(name)])


def one_edit(first: str, second: str) -> bool:
    """Whether one letter more, less, other, or two neighbours swapped, make one word of the other."""
    if first == second:
        return True
    if abs(len(first) - len(second)) > 1:
        return False
    same = 0
    for one, other in zip(first, second, strict=False):
        if one != other:
            break
        same += 1
    left, right = first[same:], second[same:]
    if len(left) == len(right):
        return left[1:] == right[1:] or (left[:2] == right[1::-1] and left[2:] == right[2:])
    return left[1:] == right or left == right[1:]


def is_close(said: str, meant: str, known: Collection[str] = ()) -> bool:
    """Whether it is a slip of the pen: long enough to tell, and no word of its own."""
    return len(meant) >= 5 and said not in known and said[:1] == meant[:1] and one_edit(said, meant)
