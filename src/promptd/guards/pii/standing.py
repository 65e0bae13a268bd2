"""How a candidate stands in its text: for itself, or as a part of something longer; behind which word."""

from __future__ import annotations

from typing import Any

#: characters before a number in which the word may stand that says what it is
CONTEXT = 48


def stands_alone(text: str, start: int, end: int) -> bool:
    """Whether no word, number or identifier goes on across the edges of `text[start:end]`."""
    before, after = text[start - 1 : start], text[end : end + 1]
    if before.isalnum() or before == "_" or after.isalnum() or after == "_":
        return False
    if (
        before in ("-", ".")
        and start >= 2
        and (text[start - 2].isdigit() or (before == "-" and text[start - 2].isalpha()))
    ):
        return False
    return not (after in ("-", ".") and text[end + 1 : end + 2].isalnum() and (after == "-" or text[end + 1].isdigit()))


def is_announced(text: str, start: int, words: Any) -> bool:
    """Whether the pattern `words` is found shortly before `start`."""
    return bool(words.search(text[max(0, start - CONTEXT) : start]))
