"""Template text to tags and the text between them, in one pass and in time linear in its length."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from promptd.core.metering import Fault

MAX_TAGS: Final = 5_000
_MAX_TOKENS: Final = 100
_END: Final = re.compile(r"~?\}\}")
_DASHED_END: Final = re.compile(r"--~?\}\}")
_UNESCAPED: Final = re.compile(r"\\([\"'\]])")
#: What may stand in a tag. No alternative of a repetition can match what another one does, so nothing is tried twice.
_TOKEN: Final = re.compile(
    r"""\s*+(?:
      (?P<end>\}~?\}\}|~?\}\})
    | (?P<text>"(?:[^"\\]|\\.)*+"|'(?:[^'\\]|\\.)*+')
    | (?P<number>-?[0-9]+(?:\.[0-9]+)?(?=[~}\s)\]]))
    | (?P<word>(?:true|false|null|undefined)(?=[~}\s)\]]))
    | (?P<names>as\s++\|[^|{}]*\|)
    | (?P<up>\.\.)
    | (?P<this>\.(?=[=~}\s)/|\]]))
    | (?P<separator>[/.])
    | (?P<open>\()
    | (?P<close>\))
    | (?P<equals>=)
    | (?P<data>@)
    | (?P<name>\[(?:[^\]\\]|\\.)*+\]|[^\s!"\#%-,./;->@\[-^`{-~]+)
    )""",
    re.VERBOSE | re.DOTALL,
)
#: How a tag begins, the longest first. What the last two lead to is not part of the language here.
_OPENING: Final = re.compile(
    r"\{\{(?P<trim>~?)(?:(?P<comment>!)|(?P<sign>[#^/>&{]|\*)(?P<more>[>*]?)|(?P<word>\s*+else\b(?=[\s~}]))|)"
)
_KINDS: Final = {"#": "block", "^": "inverse", "/": "close", ">": "partial", "&": "output", "{": "output", "": "output"}


class Token(Struct, frozen=True):
    kind: str
    text: str


class Tag(Struct, frozen=True):
    """One `{{…}}`. `kind`: `output`, `block`, `inverse`, `else`, `close`, `partial` or `comment`."""

    kind: str
    line: int
    start: int
    end: int
    tokens: tuple[Token, ...] = ()
    trim_left: bool = False
    trim_right: bool = False


def lex(source: str) -> Iterator[str | Tag]:
    """The texts and tags of a template, in order. Raises `Fault` for a broken one."""
    position, line, tags = 0, 1, 0
    while True:
        found = source.find("{{", position)
        if found < 0:
            break
        text = source[position:found]
        tags += 1
        if tags > MAX_TAGS:
            raise fault(line, f"a template has at most {MAX_TAGS} tags")
        if text.endswith("\\") and not text.endswith("\\\\"):
            # an escaped tag is text up to where the next one begins, escaped or not
            following = source.find("{{", found + 2)
            following = len(source) if following < 0 else following - _backslashes(source, following)
            yield text[:-1]
            yield source[found:following]
            line += source.count("\n", position, following)
            position = following
            continue
        if text.endswith("\\\\"):
            text = text[:-1]
        if text:
            yield text
        line += source.count("\n", position, found)
        tag = _tag(source, found, line)
        yield tag
        line += source.count("\n", found, tag.end)
        position = tag.end
    if position < len(source):
        yield source[position:]


def fault(line: int, reason: str) -> Fault:
    """What a broken template is refused with."""
    return Fault(reason[0].upper() + reason[1:], line)


def unquoted(text: str) -> str:
    """What stands between quotes or square brackets."""
    return _UNESCAPED.sub(r"\1", text[1:-1])


def _backslashes(source: str, end: int) -> int:
    """How many of the backslashes before `end` belong to the tag there: none, one or two."""
    return 2 if source.endswith("\\\\", 0, end) else int(source.endswith("\\", 0, end))


def _tag(source: str, start: int, line: int) -> Tag:
    if source.startswith("{{{{", start):
        raise fault(line, "raw blocks (`{{{{`) are not supported")
    opening = _OPENING.match(source, start)
    if opening is None:
        raise fault(line, "not a tag")
    trim = bool(opening["trim"])
    if opening["comment"]:
        return _comment(source, start, opening.end(), line, trim)
    sign, more = opening["sign"] or "", opening["more"] or ""
    if sign == "*" or more == "*":
        raise fault(line, "decorators and inline partials (`*`) are not supported")
    if more == ">" and sign == "#":
        raise fault(line, "partial blocks (`{{#>`) are not supported")
    at = opening.end() - len(more)
    kind = "else" if opening["word"] else _KINDS[sign]
    tokens, end, trims = _tokens(source, at, line, triple=sign == "{")
    if kind == "inverse" and not tokens:
        kind = "else"
    return Tag(kind, line, start, end, tokens, trim, trims)


def _comment(source: str, start: int, at: int, line: int, trim: bool) -> Tag:
    """A comment with dashes ends at the next dashes, so that it may hold tags."""
    dashes = source.startswith("--", at)
    end = (_DASHED_END if dashes else _END).search(source, at)
    if end is None:
        raise fault(line, "the comment has no end")
    return Tag("comment", line, start, end.end(), (), trim, "~" in end[0])


def _tokens(source: str, at: int, line: int, *, triple: bool) -> tuple[tuple[Token, ...], int, bool]:
    tokens: list[Token] = []
    while True:
        found = _TOKEN.match(source, at)
        if found is None or len(tokens) > _MAX_TOKENS:
            here = source[at : at + 20].lstrip().partition("\n")[0]
            raise fault(line, f"the tag can't be read at {here!r}" if here else "the tag has no end")
        kind = found.lastgroup or ""
        text = found[kind]
        if kind == "end":
            return tuple(tokens), *_end(text, found.end(), line, triple=triple)
        tokens.append(Token(kind, text))
        at = found.end()


def _end(text: str, end: int, line: int, *, triple: bool) -> tuple[int, bool]:
    """Where the tag ends, and whether it trims what follows."""
    if triple and text not in ("}}}", "}~}}"):
        raise fault(line, "a tag that begins with {{{ ends with }}}")
    if triple:
        return end, "~" in text
    if text == "}~}}":
        raise fault(line, "the tag can't be read at '}~}}'")
    return end - (text == "}}}"), text.startswith("~")
