"""Whether a value was said: it stands in the user's turns, or follows from them as a number, a date or a code."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import date, time
from functools import cached_property
from typing import Any, Final

from promptd.core.targets import Parameter
from promptd.core.utterances.dates import find_dates, find_times, is_day_first, written
from promptd.core.utterances.kinds import Kind, subject
from promptd.core.utterances.options import find_options, option_for
from promptd.core.utterances.quantities import TIME_UNITS, Quantity, find_quantities
from promptd.core.utterances.shapes import currency, find_currencies, plain
from promptd.core.utterances.text import Span, Word, in_order, is_close, listed, recent, stem, tidy, words

_EXACT: Final = frozenset({Kind.ID, Kind.EMAIL, Kind.IP, Kind.URL, Kind.PHONE})  #: no letter of them may be another
_LONG: Final = 4  #: words from which on a text may be put a little differently
_SHARE: Final = 0.75
_DEEP: Final = 8
_MANY: Final = 512
_LITTLE: Final = listed(
    "a an the of in at on for from to and or with by is are was be my your our his her their please that this it"
)
_SHORT: Final = {"sf": "san francisco", "nyc": "new york city", "la": "los angeles", "dc": "washington dc"}
_CLOCK: Final = re.compile(r"(\d{1,2}):(\d{2})(?::\d{2})?")


class Evidence:
    """What the user said, read once."""

    def __init__(self, said: Sequence[str], today: date) -> None:
        self._texts = [tidy(text) for text in said[len(said) - recent(said) :]]
        self._today = today
        self._read_days: dict[bool, list[date]] = {}

    def holds(self, parameter: Parameter, value: Any) -> bool:
        """Whether the value was said. Options, switches and the default need no proof."""
        if parameter.enum:
            items = value if isinstance(value, list) else [value]
            return bool(items) and all(option_for(parameter.enum, one) is not None for one in items)
        if isinstance(value, bool) or (parameter.default is not None and value == parameter.default):
            return True
        return self._said(parameter, value, _DEEP)

    def trimmed(self, parameter: Parameter, value: Any) -> Any:
        """The value, or the part of it that was said: `Seattle` of `Seattle, WA`. None where nothing of it was."""
        if self.holds(parameter, value):
            return value
        if isinstance(value, str) and subject(parameter).kind is Kind.PLACE:
            head = value.partition(",")[0].strip()
            return head if head and self.holds(parameter, head) else None
        return None

    def _said(self, parameter: Parameter, value: Any, depth: int) -> bool:
        if isinstance(value, bool):
            return True
        if isinstance(value, int | float):
            return self._is_number(value)
        if isinstance(value, str):
            return self._is_text(parameter, value[:4096])
        children = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
        return (
            0 < len(children) <= _MANY and depth > 0 and all(self._said(parameter, one, depth - 1) for one in children)
        )

    def _is_number(self, value: int | float) -> bool:
        return value in self._numbers or (self._percent and round(value * 100, 6) in self._numbers)

    def _is_text(self, parameter: Parameter, value: str) -> bool:
        tokens = words(tidy(value))
        plain_words = [word.low for word in tokens if word.is_word]
        if not plain_words:
            return bool(value.strip()) and any(tidy(value) in text for text in self._texts)
        if f" {' '.join(plain_words)} " in self._joined:
            return True
        if (number := _number(value)) is not None:
            return self._is_number(number)
        kind = subject(parameter).kind
        if kind in _EXACT:
            return self._is_verbatim(value)
        if (code := currency(value)) and code in self._currencies:
            return True
        if self._is_date(value, parameter.format) or self._is_time(value) or self._is_duration(value, tokens):
            return True
        if value in subject(parameter).options and self._is_option(value):
            return True
        return kind not in (Kind.DATE, Kind.TIME, Kind.MOMENT) and self._is_worded(plain_words)

    def _is_verbatim(self, value: str) -> bool:
        edged = re.compile(rf"(?<!\w){re.escape(tidy(value))}(?!\w)", re.IGNORECASE)
        return any(edged.search(text) for text in self._texts)

    def _is_option(self, value: str) -> bool:
        pairs = zip(self._texts, self._tokens, strict=True)
        return any(True for text, tokens in pairs for _ in find_options((value,), text, tokens))

    def _is_worded(self, said: list[str]) -> bool:
        """Whether the words that matter were said, in any order; a longer text may be put a little differently."""
        matter = [part for word in said for part in in_order(_SHORT.get(word, word)) if part not in _LITTLE]
        held = sum(self._knows(word) for word in matter)
        return bool(matter) and (held == len(matter) or (len(matter) >= _LONG and held >= _SHARE * len(matter)))

    def _knows(self, word: str) -> bool:
        low = stem(word)
        if low in self._stems:
            return True
        if word.isdigit():
            return int(word) in self._numbers if len(word) < 16 else False
        return any(is_close(other, low) for other in self._stems if other[:1] == low[:1])

    def _is_date(self, value: str, form: str) -> bool:
        day = value.partition("T")[0].strip()
        turned = is_day_first(form)
        if not any(written(one, form) == value or one.isoformat() == day for one in self._days(turned)):
            return False
        clock = _CLOCK.search(value.partition("T")[2])
        return clock is None or time(int(clock[1]) % 24, int(clock[2]) % 60) in self._times

    def _is_time(self, value: str) -> bool:
        return any(
            span.value in self._times for span in find_times(value) if span.end - span.start == len(value.strip())
        )

    def _is_duration(self, value: str, tokens: list[Word]) -> bool:
        told = [one for one in find_quantities(value, tokens) if one.unit]
        return bool(told) and all(_seconds(one) in self._seconds for one in told)

    # -------------------------------------------------------------- what was said

    @cached_property
    def _tokens(self) -> list[list[Word]]:
        return [words(text) for text in self._texts]

    @cached_property
    def _joined(self) -> str:
        return " ".join(["", *[" ".join([word.low for word in one if word.is_word]) for one in self._tokens], ""])

    @cached_property
    def _stems(self) -> frozenset[str]:
        whole = {stem(_bare(word.low)) for one in self._tokens for word in one if word.is_word}
        parts = {stem(part) for word in whole for part in re.split(r"[-'’.]", word) if part}
        return frozenset(whole | parts)

    @cached_property
    def _quantities(self) -> list[Quantity]:
        return [
            one for text, tokens in zip(self._texts, self._tokens, strict=True) for one in find_quantities(text, tokens)
        ]

    @cached_property
    def _numbers(self) -> frozenset[int | float]:
        plainly = {one.value for one in self._quantities}
        turned = {
            value
            for one in self._quantities
            if one.unit
            for unit in TIME_UNITS
            if (value := one.within(unit)) is not None
        }
        digits = {
            int(one.text) for tokens in self._tokens for one in tokens if one.text.isdecimal() and len(one.text) < 19
        }
        return frozenset(plainly | turned | digits)

    @cached_property
    def _percent(self) -> bool:
        return any("%" in text or "percent" in text.casefold() for text in self._texts)

    @cached_property
    def _seconds(self) -> frozenset[float]:
        return frozenset([_seconds(one) for one in self._quantities if one.unit])

    @cached_property
    def _currencies(self) -> frozenset[str]:
        pairs = zip(self._texts, self._tokens, strict=True)
        return frozenset([str(span.value) for text, tokens in pairs for span in find_currencies(text, tokens)])

    @cached_property
    def _times(self) -> frozenset[time]:
        return frozenset([one.value for text in self._texts for one in find_times(text) if isinstance(one.value, time)])

    def _days(self, day_first: bool) -> list[date]:
        if day_first in self._read_days:
            return self._read_days[day_first]
        pairs = zip(self._texts, self._tokens, strict=True)
        found: list[Span] = [
            one for text, tokens in pairs for one in find_dates(text, tokens, self._today, day_first=day_first)
        ]
        self._read_days[day_first] = [one.value for one in found if isinstance(one.value, date)]
        return self._read_days[day_first]


def _number(value: str) -> int | float | None:
    try:
        return int(value) if value.strip().lstrip("+-").isdecimal() and len(value) < 19 else float(value)
    except ValueError:
        return None


def _seconds(one: Quantity) -> float:
    return float(plain(round(one.value * TIME_UNITS[one.unit], 2)))


def _bare(word: str) -> str:
    return word[:-2] if word.endswith(("'s", "’s")) else word
