"""Cuts a template into text and tags of tokens. Every pattern here takes time in proportion to its text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from promptd.core.metering import Fault
from promptd.core.tokens import Token

MAX_TOKENS: Final = 10_000
MAX_TAGS: Final = 3_000


class Piece(NamedTuple):
    kind: str  #: `text`, `{{` or `{%`
    text: str
    tokens: list[Token]
    line: int


_OPENING: Final = re.compile(r"\{[#%{]")
_CLOSING: Final = re.compile(r"[-+]?(?:\}\}|%\})")
_COMMENT_END: Final = "#}"
_RAW: Final = re.compile(r"\{%[-+]?\s*raw\s*[-+]?%\}")
_END_RAW: Final = re.compile(r"\{%[-+]?\s*endraw\s*[-+]?%\}")
_TOKEN: Final = re.compile(
    r"""(?P<text>"(?:[^"\\]++|\\.)*+(?:"|\Z)|'(?:[^'\\]++|\\.)*+(?:'|\Z))
      | (?P<number>[0-9][0-9_]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![\w]))
      | (?P<name>[^\W\d]\w*)
      | (?P<sign>[=!<>]=|//|\*\*|[-+*/%~|.,()\[\]{}:=<>])""",
    re.VERBOSE | re.DOTALL,
)
_SPACE: Final = re.compile(r"\s*")


def pieces(source: str) -> Iterator[Piece]:
    """Text and tags in their order, without comments, and without the space that a `-` takes away."""
    if source.endswith("\n"):
        source = source[:-1]
    position, line, tags, left, strip = 0, 1, 0, MAX_TOKENS, False
    while opening := _OPENING.search(source, position):
        start = opening.start()
        text = source[position:start]
        if strip:
            text = text.lstrip()
        if source.startswith("-", start + 2):
            text = text.rstrip()
        if text:
            yield Piece("text", text, [], line)
        line += source.count("\n", position, start)
        tags += 1
        if tags > MAX_TAGS:
            raise Fault(f"There are more than {MAX_TAGS} tags", line)
        found: list[Token] = []
        if opening.group() == "{#":
            end = source.find(_COMMENT_END, start + 2)
            if end < 0:
                raise Fault("A {# has no #}", line)
            strip, end = source[end - 1] == "-" and end > start + 2, end + 2
        elif raw := _RAW.match(source, start):
            closing = _END_RAW.search(source, raw.end())
            if closing is None:
                raise Fault("A raw has no endraw", line)
            inner = source[raw.end() : closing.start()]
            inner = inner.lstrip() if raw.group()[-3] == "-" else inner
            inner = inner.rstrip() if closing.group()[2] == "-" else inner
            yield Piece("text", inner, [], line)
            strip, end = closing.group()[-3] == "-", closing.end()
        else:
            end = _tag(source, start, line, left, found)
            left -= len(found)
            strip = source[end - 3] == "-"
            yield Piece(opening.group(), "", found, line)
        line += source.count("\n", start, end)
        position = end
    text = source[position:]
    if strip:
        text = text.lstrip()
    if text:
        yield Piece("text", text, [], line)


def _tag(source: str, start: int, line: int, most: int, found: list[Token]) -> int:
    """Read the tokens of the tag at `start` and say where it ends."""
    position = start + 2
    if source.startswith(("-", "+"), position):
        position += 1
    closing = source[start : start + 1] + source[start + 1 : start + 2]
    wanted = "}}" if closing == "{{" else "%}"
    braces = 0
    while True:
        space = _SPACE.match(source, position)
        position = space.end() if space else position
        ending = _CLOSING.match(source, position) if braces == 0 else None
        if ending is not None and ending.group().endswith(wanted):
            return ending.end()
        match = _TOKEN.match(source, position)
        if match is None or match.lastgroup is None:
            if position >= len(source):
                raise Fault(f"A {closing} has no {wanted}", line)
            raise Fault(f"{source[position : position + 20]!r} can't be read", line)
        text = match.group()
        braces += (text == "{") - (text == "}")
        found.append(Token(match.lastgroup, text))
        if len(found) > most:
            raise Fault(f"The tags have more than {MAX_TOKENS} words and signs", line)
        position = match.end()
