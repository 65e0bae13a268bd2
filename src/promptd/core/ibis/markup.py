"""Filters on HTML, each in time proportional to its text: a pattern that gives up and starts again would not be."""

from __future__ import annotations

import re
from typing import Final

from promptd.core.metering import Meter

_BETWEEN_TAGS: Final = re.compile(r">\s+<")
_HEADING: Final = re.compile(r"<h([0-9]{1,2})")


class _Finder:
    """Where a text stands next; asked for growing positions only, it reads each character once."""

    def __init__(self, whole: str, part: str) -> None:
        self._whole, self._part, self._found = whole, part, -1
        self._over = False

    def after(self, position: int) -> int:
        """The first place at or behind `position`; -1: none."""
        if self._found < position and not self._over:
            self._found = self._whole.find(self._part, position)
            self._over = self._found < 0
        return -1 if self._over else self._found


def spaceless(meter: Meter, html: str) -> str:
    """Take out the space between tags."""
    return meter.made(_BETWEEN_TAGS.sub("><", html))


def strip_tags(meter: Meter, html: str) -> str:
    """Take out all tags."""
    kept: list[str] = []
    position = 0
    closing = _Finder(html, ">")
    while (start := html.find("<", position)) >= 0 and (end := closing.after(start)) >= 0:
        meter.step()
        kept.append(html[position:start])
        position = end + 1
    kept.append(html[position:])
    return meter.made("".join(kept))


def first_element(meter: Meter, html: str, opening: str, closing: str) -> str:
    """What stands in the first element whose tag begins with `opening`, if it is on one line; else nothing."""
    tags, ends, lines = _Finder(html, ">"), _Finder(html, closing), _Finder(html, "\n")
    position = 0
    while (start := html.find(opening, position)) >= 0:
        meter.step()
        position = start + len(opening)
        inner = tags.after(position) + 1
        end = ends.after(inner) if inner else -1
        if end < 0:
            break
        if not 0 <= lines.after(inner) < end:
            return meter.made(html[inner:end])
    return ""


def first_heading(meter: Meter, html: str) -> str:
    """What stands in the first heading, of any rank, that is closed by its own rank."""
    tags = _Finder(html, ">")
    closings: dict[str, _Finder] = {digit: _Finder(html, f"</h{digit}>") for digit in "0123456789"}
    position = 0
    while heading := _HEADING.search(html, position):
        meter.step()
        position = heading.end()
        inner = tags.after(position) + 1
        if not inner:
            break
        for digit in dict.fromkeys(reversed(heading[1])):
            end = closings[digit].after(inner)
            if end >= 0:
                return meter.made(html[inner:end])
    return ""
