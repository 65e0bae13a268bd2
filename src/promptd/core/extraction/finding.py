"""JSON in what a model wrote: in fences, in prose, behind thoughts, with a comma too many, or cut.

Everything here takes time linear in the text: a failed attempt goes on where it failed, and what can't be bounded by that
is counted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import msgspec
from msgspec import Struct

from promptd.core.descriptors.walking import unfit

_MAX_FAILURES: Final = 256
_MAX_FOUND: Final = 1024
_MAX_FENCES: Final = 256
_MAX_DIGITS: Final = 4300  # Python's own bound, which has no place in the text where it is broken

#: where JSON may begin; of the brackets in prose few look like this
_START: Final = re.compile(r'\{\s*["}]|\[\s*(?:[\[\]{"\d-]|true|false|null)')
_TOKEN: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[{\[]|[}\]]|,(?=\s*[}\]])', re.DOTALL)
_FENCE: Final = re.compile(r"`{3,}[ \t]*([A-Za-z0-9+.-]*)")
_TAGS: Final = frozenset({"", "json", "jsonl", "ndjson", "json5", "jsonc", "javascript", "js"})
_CLOSED: Final = re.compile(r"\s*`{3}")
_BLANK: Final = re.compile(r"\s*")

_THOUGHT: Final = "(?:think|thinking|thought|reasoning)"
_OPEN: Final = re.compile(rf"\s*<{_THOUGHT}>", re.IGNORECASE)
_CLOSE: Final = re.compile(rf"</{_THOUGHT}>", re.IGNORECASE)
#: without its beginning, which some services keep; no string of JSON goes on like this
_LONE_CLOSE: Final = re.compile(rf"</{_THOUGHT}>[ \t]*(?:\r?\n|(?=[\[{{`])|\Z)", re.IGNORECASE)

#: what may be left of a value that was cut in the middle of a word or number
_REST: Final = re.compile(
    r"\s*(?:t(?:r(?:ue?)?)?|f(?:a(?:l(?:se?)?)?)?|n(?:u(?:ll?)?)?|-|\.\d*|\d*\.?\d*[eE][+-]?)?\s*\Z"
)


class Found(Struct, frozen=True):
    """A value, and the piece of the text that says it."""

    value: Any
    start: int
    end: int


class Failed(Struct, frozen=True):
    """`position` is where no JSON could go on; `cut`: because the text ends."""

    position: int
    reason: str
    cut: bool = False
    deep: bool = False


class Scan(Struct):
    """All values of a text, and how its last attempt failed."""

    found: list[Found]
    cut: bool = False
    deep: bool = False


class Finder:
    """One search; its budget bounds the repairs."""

    def __init__(self, text: str) -> None:
        self._budget = len(text) + 1024

    def at(self, text: str, start: int) -> Found | Failed:
        """The value that begins at `start`; commas before a closing bracket are forgiven."""
        result = _decode(text, start)
        if isinstance(result, Failed) and _is_comma(text, result.position):
            return self._without_commas(text, start, result)
        return result

    def scan(self, text: str) -> Scan:
        """Every object and array that stands in the text for itself. What is inside one that failed is no answer."""
        scan, position, failures = Scan([]), 0, 0
        while failures < _MAX_FAILURES and len(scan.found) < _MAX_FOUND:
            begin = _START.search(text, position)
            if begin is None:
                break
            result = self.at(text, begin.start())
            if isinstance(result, Found):
                scan.found.append(result)
                position = result.end
                continue
            scan.cut, scan.deep = result.cut, result.deep
            if result.deep:
                break
            failures += 1
            position = max(result.position, begin.start() + 1)
        return scan

    def fenced(self, text: str) -> Iterator[Found]:
        """The values right behind the opening of a fence, whatever the fence is called."""
        position = 0
        for _ in range(_MAX_FENCES):
            fence = _FENCE.search(text, position)
            if fence is None:
                return
            position = fence.end()
            blank = _BLANK.match(text, position)
            start = blank.end() if blank else position
            if fence[1].lower() not in _TAGS or start == len(text):
                continue
            holds_many = text[start] in "{["
            if not holds_many and not fence[1]:
                continue  # more likely the end of a fence, and a word behind it
            result = self.at(text, start)
            if isinstance(result, Found) and (holds_many or _CLOSED.match(text, result.end)):
                position = result.end
                yield result
            elif isinstance(result, Failed) and result.deep:
                return

    def _without_commas(self, text: str, start: int, failed: Failed) -> Found | Failed:
        """The value once more with blanks for the commas, so that each place in it stays where it was."""
        pieces: list[str] = []
        depth, kept, end = 0, start, start
        for token in _TOKEN.finditer(text, start, start + self._budget):
            sign, end = token[0][0], token.end()
            if sign == ",":
                pieces += (text[kept : token.start()], " ")
                kept = end
            elif sign != '"':
                depth += 1 if sign in "{[" else -1
                if depth <= 0:
                    break
        self._budget -= end - start
        if depth > 0 and self._budget <= 0:
            return failed
        end = end if depth <= 0 else len(text)
        pieces.append(text[kept:end])
        result = _decode("".join(pieces), 0)
        if isinstance(result, Found):
            return Found(result.value, start, start + result.end)
        # an end that is only the end of the piece is not the end of the text
        return Failed(start + result.position, result.reason, result.cut and end == len(text), result.deep)


def whole(text: str) -> Found | Failed:
    """The text as one JSON value, to the letter."""
    plain = text.strip()
    try:
        value = msgspec.json.decode(plain)
    except RecursionError:
        return Failed(0, "nested too deeply", deep=True)
    except (msgspec.DecodeError, UnicodeError) as error:
        return Failed(0, str(error))
    found = Found(value, 0, len(text))
    return _usable(found) if isinstance(value, dict | list) else found


def first_block(text: str) -> str | None:
    """What stands between the first three backticks and the next three, without a `json` in front."""
    begin = text.find("```")
    if begin < 0:
        return None
    begin += 3
    if text.startswith("json", begin):
        begin += 4
    end = text.find("```", begin)
    return text[begin:end] if end >= 0 else None


class Spoken(Struct, frozen=True):
    """The text behind a byte order mark and thoughts; `thinking`: the thoughts have no end."""

    answer: str
    thinking: bool = False


def spoken(text: str) -> Spoken:
    """What a model said after it thought."""
    start = len(text) - len(text.lstrip("\ufeff\u200b \t\r\n"))
    thought = False
    while opened := _OPEN.match(text, start):
        closed = _CLOSE.search(text, opened.end())
        if closed is None:
            return Spoken(text[start:], thinking=True)
        start, thought = closed.end(), True
    if not thought and (lone := _LONE_CLOSE.search(text, start)):
        start = lone.end()
    return Spoken(text[start:].lstrip("\ufeff\u200b \t\r\n"))


def _decode(text: str, start: int) -> Found | Failed:
    try:
        value, end = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        unclosed = error.msg.startswith("Unterminated string")
        escape = error.msg.startswith("Invalid \\") and len(text) - error.pos <= 6
        cut = unclosed or escape or bool(_REST.match(text, error.pos))
        return Failed(error.pos, str(error), cut=cut)
    except RecursionError:
        return Failed(start, "nested too deeply", deep=True)
    return _usable(Found(value, start, end))


def _usable(found: Found) -> Found | Failed:
    """Not what JSON has no word for, and not what would be too deep or too large for all that comes behind."""
    problem = unfit(found.value)
    if problem is None:
        return found
    return Failed(found.end, f"expected {problem.expected}", deep=problem.large)


def _is_comma(text: str, position: int) -> bool:
    """Whether a comma with nothing behind it was the trouble; versions of Python differ in where they say that it is."""
    if text[position : position + 1] == ",":
        return text[position + 1 : position + 1024].lstrip()[:1] in ("}", "]")
    before = text[max(0, position - 1024) : position].rstrip()
    return text[position : position + 1] in ("}", "]") and before.endswith(",")


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= _MAX_DIGITS else float("inf")


_DECODER: Final = json.JSONDecoder(parse_int=_integer)
