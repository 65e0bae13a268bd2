"""Cuts a template into text and tags, and a tag into tokens. Every pattern here takes time in proportion to its text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import Enum
from typing import Final, NamedTuple

from promptd.core.metering import Fault
from promptd.core.tokens import Token

MAX_TAGS: Final = 3_000
MAX_TOKENS: Final = 10_000  # of all tags together


class Kind(Enum):
    TEXT = "text"
    PRINT = "{{"
    ESCAPED = "{$"
    TAG = "{%"


class Piece(NamedTuple):
    kind: Kind
    text: str
    line: int


_OPENING: Final = re.compile(r"\{[#$%{]")
_CLOSING: Final = {"{#": "#}", "{$": "$}", "{{": "}}", "{%": "%}"}
_TOKEN: Final = re.compile(
    r"""\s*(?:
        (?P<text>(?:[rRuU](?=['"]))?(?:"(?:[^"\\]++|\\.)*+(?:"|\Z)|'(?:[^'\\]++|\\.)*+(?:'|\Z)))
      | (?P<number>(?:0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+
                     |(?:[0-9][0-9_]*(?:\.[0-9_]*)?|\.[0-9][0-9_]*)(?:[eE][+-]?[0-9]+)?)(?![\w.]))
      | (?P<word>[\w.]+)
      | (?P<sign>\|\||&&|\?\?|::|[=!<>]=|[|&,()\[\]{}:<>=+-])
    )""",
    re.VERBOSE | re.DOTALL,
)


def pieces(source: str) -> Iterator[Piece]:
    """Text and tags in their order, without comments. Raises `Fault` for a tag without an end, and for too many."""
    position, line, tags = 0, 1, 0
    while opening := _OPENING.search(source, position):
        start = opening.start()
        if start > position:
            yield Piece(Kind.TEXT, source[position:start], line)
        line += source.count("\n", position, start)
        closing = _CLOSING[opening.group()]
        end = source.find(closing, start + 2)
        if end < 0:
            raise Fault(f"A {opening.group()} has no {closing}", line)
        tags += 1
        if tags > MAX_TAGS:
            raise Fault(f"There are more than {MAX_TAGS} tags", line)
        if opening.group() != "{#":
            yield Piece(Kind(opening.group()), source[start + 2 : end].strip(), line)
        position = end + 2
        line += source.count("\n", start, position)
    if position < len(source):
        yield Piece(Kind.TEXT, source[position:], line)


def tokens(text: str, line: int, most: int) -> list[Token]:
    """The tokens of a tag. Raises `Fault` for a sign that means nothing, and for more than `most` tokens."""
    found: list[Token] = []
    position, end = 0, len(text)
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            raise Fault(f"{text[position : position + 20]!r} can't be read", line)
        found.append(Token(match.lastgroup, match.group(match.lastgroup)))
        if len(found) > most:
            raise Fault(f"The tags have more than {MAX_TOKENS} words and signs", line)
        position = match.end()
    return found
