"""What detectors of marked things (addresses, numbers, keys) have in common: findings, one spelling, the guard itself.

A detector tells where in a text something stands. From that follow the verdict, which names categories, and the text with a
placeholder for each finding. A placeholder names the category and nothing else: the same person can't be told from another
one by it, because texts are redacted one at a time and a number would mean somebody else in each.
"""

from __future__ import annotations

import asyncio
import unicodedata
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct
from pydantic import Field, field_validator

from promptd.core.content import Turn
from promptd.core.engine import Config
from promptd.core.guarding import Redacted
from promptd.core.model import Verdict
from promptd.guards.texts import LARGE, texts_of

_ALLOWED: Final = Verdict(True)
_KNOWN: Final = 8192  # characters whose plain spelling is remembered


class Finding(Struct, frozen=True):
    """`text[start:end]` is of `category`."""

    category: str
    start: int
    end: int


class Plain(Struct, frozen=True):
    """A text in ASCII, one character for one: digits, dashes and blanks of all scripts are the plain ones.

    `places` says where in the original each character stands, where invisible ones are gone; None: where it stands here.
    """

    text: str
    places: Sequence[int] | None = None

    def original(self, finding: Finding) -> Finding:
        """The finding as it stands in the original."""
        if self.places is None:
            return finding
        return Finding(finding.category, self.places[finding.start], self.places[finding.end - 1] + 1)


class DetectorConfig(Config):
    """What every detector can be told."""

    placeholder: str = Field(
        "[{category}]",
        min_length=1,
        max_length=100,
        description="What stands in place of a finding; `{category}` is its category in capitals.",
    )
    allow: tuple[str, ...] = Field(
        (), description="Values that are let through; one that begins with `*` stands for all that end with its rest."
    )

    @field_validator("allow")
    @classmethod
    def _names_something(cls, values: tuple[str, ...]) -> tuple[str, ...]:
        if any(not value.strip().removeprefix("*") for value in values):
            raise ValueError("expected values that are not empty")
        return values


class Detector(ABC):
    """A guard that is made of a search for findings."""

    name: str  #: of the kind; the reason of a refusal begins with it
    reach: int | None  #: characters that a finding may span, what must stand before it included

    def __init__(self, config: DetectorConfig) -> None:
        self._placeholder = config.placeholder
        allowed = [value.strip().casefold() for value in config.allow]
        self._allowed = frozenset(value for value in allowed if not value.startswith("*"))
        self._allowed_ends = tuple(value[1:] for value in allowed if value.startswith("*"))

    @abstractmethod
    def search(self, text: str) -> Iterable[Finding]:
        """All that the text holds, in any order; of findings that overlap the first one told counts."""

    async def inspect(self, turns: Sequence[Turn]) -> Verdict:
        """Refuse where any text of the turns holds something; the categories say what."""
        texts = texts_of(turns)
        large = sum(map(len, texts)) > LARGE
        found = await asyncio.to_thread(self._categories, texts) if large else self._categories(texts)
        if not found:
            return _ALLOWED
        return Verdict(False, f"{self.name}: {', '.join(sorted(found))}", 1.0, dict.fromkeys(sorted(found), 1.0))

    def redact(self, text: str) -> Redacted:
        """The text with a placeholder for each finding."""
        findings = self.find(text)
        if not findings:
            return Redacted(text)
        pieces: list[str] = []
        end = 0
        for finding in findings:
            shown = self._placeholder.replace("{category}", finding.category.upper())
            pieces += (text[end : finding.start], shown)
            end = finding.end
        pieces.append(text[end:])
        return Redacted("".join(pieces), Counter(finding.category for finding in findings))

    def find(self, text: str) -> list[Finding]:
        """What the text holds, in order and without overlaps."""
        taken = _Taken()
        for finding in self.search(text):
            if not self._is_allowed(text[finding.start : finding.end]):
                taken.add(finding)
        return taken.in_order()

    def _categories(self, texts: Sequence[str]) -> set[str]:
        return {finding.category for text in texts for finding in self.find(text)}

    def _is_allowed(self, value: str) -> bool:
        if not (self._allowed or self._allowed_ends):
            return False
        value = value.casefold()
        return value in self._allowed or (bool(self._allowed_ends) and value.endswith(self._allowed_ends))


class _Taken:
    """Findings without overlaps. Cells of a grid, so that many findings cost no more than their number."""

    def __init__(self) -> None:
        self._cells: dict[int, list[Finding]] = {}
        self._all: list[Finding] = []

    def add(self, finding: Finding) -> None:
        cells = range(finding.start // _CELL, (finding.end - 1) // _CELL + 1)
        near = (one for cell in cells for one in self._cells.get(cell, ()))
        if any(one.start < finding.end and finding.start < one.end for one in near):
            return
        for cell in cells:
            self._cells.setdefault(cell, []).append(finding)
        self._all.append(finding)

    def in_order(self) -> list[Finding]:
        return sorted(self._all, key=lambda one: one.start)


_CELL: Final = 64


def plain(text: str) -> Plain:
    """The text as patterns see it: see `Plain`."""
    if text.isascii():
        return Plain(text)
    spelled = [_SPELLINGS[character] for character in text]
    same = "".join(spelled)
    if len(same) == len(text):
        return Plain(same)
    return Plain(same, [place for place, one in enumerate(spelled) if one])


class _Spellings(dict[str, str]):
    """One ASCII character for each character, or none for one that is not seen."""

    def __missing__(self, character: str) -> str:
        plainly = _plain_character(character)
        if len(self) < _KNOWN:  # a text of all characters there are must not fill the memory
            self[character] = plainly
        return plainly


_SPELLINGS: Final = _Spellings()


def _plain_character(character: str) -> str:
    """Letters without a plain form stand as `z`, all other signs as a control character that no pattern knows."""
    if character.isascii():
        return character
    if (digit := unicodedata.digit(character, None)) is not None:
        return str(digit)
    kind = unicodedata.category(character)
    if kind == "Cf" or kind[0] == "M":
        return ""
    if kind == "Pd" or character == "\u2212":
        return "-"
    if kind == "Zs":
        return " "
    form = unicodedata.normalize("NFKD", character)[0]
    if form.isascii():
        return form
    return "z" if kind[0] == "L" else "\x1f"
