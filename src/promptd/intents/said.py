"""What the user wants, out of a dialogue: the last messages, of which the last counts most."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from promptd.core.content import Turn

#: Characters of a message that are looked at, from its end: that is where the wish stands, and it bounds the time
LONGEST: Final = 4096

_SIGN: Final = re.compile(r"[^\W_]")

#: Numbers, times and addresses: they are values of a wish and say nothing about which one it is
_NUMBER: Final = re.compile(r"(?<!\w)\d+(?:[.,:/-]\d+)*(?!\w)")


def wishes(turns: Sequence[Turn], count: int, fading: float) -> list[tuple[str, float]]:
    """Texts with their weights, the last message first with 1. Empty where the last message has no letter in it."""
    said = [without_numbers(turn.content[-LONGEST:]) for turn in turns if turn.role == "user"][-count:]
    if not said or not _SIGN.search(said[-1]):
        return []
    return [(text, fading**age) for age, text in enumerate(reversed(said)) if age == 0 or fading > 0]


def last(turns: Sequence[Turn]) -> str:
    """The user's last message as it is, or "" where it has no letter and no digit."""
    text = next((turn.content[-LONGEST:] for turn in reversed(turns) if turn.role == "user"), "")
    return text if _SIGN.search(text) else ""


def without_numbers(text: str) -> str:
    return _NUMBER.sub(" ", text)


def spoken(name: str) -> str:
    """The name of a target as words: `get_weatherForecast` becomes `get weather forecast`."""
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    return " ".join(re.sub(r"[\W_]+", " ", apart).split()).lower()


def label(name: str) -> str:
    """The name of a target as an NLI model is asked for it: in lower case, with punctuation as spaces."""
    return " ".join(re.sub(r"[\W_]+", " ", name.lower()).split())
