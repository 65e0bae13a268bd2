"""How much text a pattern can match at most."""

from __future__ import annotations

import re
from typing import Final

_REPEAT: Final = re.compile(r"\{(\d+)(,?)(\d*)\}")
_CLASS: Final = re.compile(r"\[\^?\]?(?:\[:\^?\w+:\]|\\.|[^\]\\])*\]", re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(?:[pPx]\{[^}]*\}|x[0-9A-Fa-f]{2}|[0-7]{1,3}|.)", re.DOTALL)
_OPENING: Final = re.compile(r"\((?:\?(?:P?<\w+>|[imsU-]*:))?")
_FLAGS: Final = re.compile(r"\(\?[imsU-]+\)")
_NOTHING: Final = frozenset({r"\b", r"\B"})
_NO_BOUND: Final = frozenset({r"\A", r"\z", r"\Q"})  # the edges of the text, and a quotation that nobody takes apart


def longest_match(pattern: str) -> int | None:
    """Characters that a match of an RE2 pattern has at most; None where there is no bound, or it looks at the edges of the
    text, or it is too odd to say."""
    best: list[int] = [0]  # of each open group: its widest alternative so far …
    width: list[int] = [0]  # … the alternative that is being read …
    last: list[int] = [0]  # … and what a repetition behind it would repeat
    at = 0
    while at < len(pattern):
        sign = pattern[at]
        if sign in "*+^$":
            return None
        token = _one(pattern, at)
        if not token or token in _NO_BOUND:
            return None
        one = 0 if token in _NOTHING else 1
        if sign == "(":
            if (found := _FLAGS.match(pattern, at)) is None:
                opening = _OPENING.match(pattern, at)
                at += len(opening[0]) if opening is not None else 1
                best, width, last = [*best, 0], [*width, 0], [*last, 0]
                continue
            token, one = found[0], 0
        elif sign == "|":
            best[-1], width[-1], last[-1] = max(best[-1], width[-1]), 0, 0
            at += 1
            continue
        elif sign == ")":
            if len(best) == 1:
                return None
            one = max(best.pop(), width.pop())
            last.pop()
        elif sign == "?":
            at += 1
            continue
        elif sign == "{" and (found := _REPEAT.match(pattern, at)) is not None:
            if found[2] and not found[3]:
                return None
            times = int(found[3] or found[1])
            width[-1] += last[-1] * max(times - 1, 0)
            last[-1] *= max(times, 1)
            at += len(found[0])
            continue
        width[-1] += one
        last[-1] = one
        at += len(token)
    return max(best[0], width[0]) if len(best) == 1 else None


def _one(pattern: str, at: int) -> str:
    """The sign, class or escape at a place; empty where it has no end."""
    wanted = {"\\": _ESCAPE, "[": _CLASS}.get(pattern[at])
    if wanted is None:
        return pattern[at]
    found = wanted.match(pattern, at)
    return "" if found is None else found[0]
