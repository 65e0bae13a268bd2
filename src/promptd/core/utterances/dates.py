"""Dates and times of day. Today comes in as an argument."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date, time, timedelta
from itertools import islice
from typing import Final

from promptd.core.utterances.numbers import find_numbers
from promptd.core.utterances.text import MAX_SPANS, Span, Word, in_order

_MONTHS: Final = in_order("january february march april may june july august september october november december")
_DAYS: Final = in_order("monday tuesday wednesday thursday friday saturday sunday")
_MONTH: Final = "|".join([f"{name}|{name[:3]}" for name in _MONTHS]) + "|sept"
_NEAR: Final = {"today": 0, "tonight": 0, "tomorrow": 1, "yesterday": -1}

_ISO: Final = re.compile(r"(?<![\w-])(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?![\d-])")
_NUMERIC: Final = re.compile(r"(?<![\w/.-])(\d{1,2})([/.-])(\d{1,2})\2(\d{4}|\d{2})(?![\w/-])")
_MONTH_DAY: Final = re.compile(
    rf"\b({_MONTH})\.?\s+(?:the\s+)?(\d{{1,2}})(?:st|nd|rd|th)?(?!\d|:|\s?[ap]m)(?:,?\s+(\d{{4}}))?\b", re.IGNORECASE
)
_DAY_MONTH: Final = re.compile(
    rf"\b(\d{{1,2}})(?:st|nd|rd|th)?\s+(?:of\s+)?({_MONTH})\b\.?(?:,?\s+(\d{{4}})\b)?", re.IGNORECASE
)
_WEEKDAY: Final = re.compile(
    r"\b(?:(next|this|last|coming|past)\s+)?(" + "|".join(_DAYS) + r"|mon|tues?|wed|thu(?:rs)?|fri|sat|sun)\b",
    re.IGNORECASE,
)
_RELATIVE: Final = re.compile(
    r"\b(?:the\s+)?(day after tomorrow|day before yesterday|today|tonight|tomorrow|yesterday)\b", re.I
)
_TIME: Final = re.compile(
    r"(?<![\w:.,/-])(?:(\d{1,2})[:.h](\d{2})(?::\d{2})?\s*([ap])?\.?(?:m\b\.?)?|(\d{1,2})\s*([ap])\.?m\b\.?|(\d{1,2})\s*o['’]?clock)"
    r"(?![\w:/-])",
    re.IGNORECASE,
)
_NAMED: Final = re.compile(r"\b(noon|midday|midnight)\b", re.IGNORECASE)


def find_dates(text: str, tokens: Sequence[Word], today: date, *, day_first: bool = False) -> list[Span]:
    """Every day that a text names; those that were said without a year are the next of their kind."""
    found: list[Span] = []
    for one in _all_dates(text, tokens, today, day_first):
        if not any(one.overlaps(other.start, other.end) for other in found):
            found.append(one)
    return sorted(found, key=lambda one: one.start)


def _all_dates(text: str, tokens: Sequence[Word], today: date, day_first: bool) -> Iterator[Span]:
    """The surest forms first."""
    for found in islice(_ISO.finditer(text), MAX_SPANS):
        yield from _span(found, _day(int(found[1]), int(found[2]), int(found[3])))
    for found in islice(_NUMERIC.finditer(text), MAX_SPANS):
        first, second, year = int(found[1]), int(found[3]), int(found[4])
        turned = day_first or first > 12 or found[2] == "."
        month, day = (second, first) if turned else (first, second)
        yield from _span(found, _day(year + 2000 if year < 100 else year, month, day))
    for found in islice(_MONTH_DAY.finditer(text), MAX_SPANS):
        yield from _span(found, _next(found[1], int(found[2]), found[3], today))
    for found in islice(_DAY_MONTH.finditer(text), MAX_SPANS):
        yield from _span(found, _next(found[2], int(found[1]), found[3], today))
    for found in islice(_RELATIVE.finditer(text), MAX_SPANS):
        low = found[1].casefold()
        away = {"day after tomorrow": 2, "day before yesterday": -2}.get(low, _NEAR.get(low, 0))
        yield from _span(found, _away(today, away))
    for found in islice(_WEEKDAY.finditer(text), MAX_SPANS):
        if len(found[2]) > 3 or found[2][0].isupper() or found[1]:
            yield from _span(found, _weekday(found[2].casefold(), (found[1] or "").casefold(), today))
    yield from _counted(tokens, text, today)


def _span(found: re.Match[str], day: date | None) -> Iterator[Span]:
    if day is not None:
        yield Span(day, found.start(), found.end())


def _day(year: int, month: int, day: int) -> date | None:
    try:
        return date(year, month, day)
    except ValueError:
        return None


def _away(today: date, days: int) -> date | None:
    try:
        return today + timedelta(days=days)
    except OverflowError:
        return None


def _next(month: str, day: int, year: str | None, today: date) -> date | None:
    number = next(place for place, name in enumerate(_MONTHS, 1) if name.startswith(month.casefold()[:3]))
    if year:
        return _day(int(year), number, day)
    return next((one for ahead in range(9) if (one := _day(today.year + ahead, number, day)) and one >= today), None)


def _weekday(name: str, which: str, today: date) -> date | None:
    wanted = next(place for place, full in enumerate(_DAYS) if full.startswith(name[:3]))
    ahead = (wanted - today.weekday()) % 7
    if which in ("last", "past"):
        return _away(today, ahead - 7)
    if which == "next":  # of the next week, where that is another day than the coming one
        return _away(today, wanted - today.weekday() + 7)
    return _away(today, ahead or 7)


def _counted(tokens: Sequence[Word], text: str, today: date) -> Iterator[Span]:
    """`in 3 days`, `two weeks ago`, `a week from now`."""
    starts = {word.start: place for place, word in enumerate(tokens)}
    ends = {word.end: place for place, word in enumerate(tokens)}
    for number in find_numbers(text, tokens):
        first, last = starts.get(number.start), ends.get(number.end)
        if first is None or last is None or last + 1 >= len(tokens) or not isinstance(number.value, int):
            continue
        unit = {"day": 1, "days": 1, "week": 7, "weeks": 7}.get(tokens[last + 1].low)
        behind = " ".join([word.low for word in tokens[last + 2 : last + 4]])
        before = tokens[first - 1] if first else None
        if unit is None or abs(number.value) > 100_000:
            continue
        if behind.startswith("ago") or behind == "from now":
            sign = -1 if behind.startswith("ago") else 1
            end = tokens[last + (2 if sign < 0 else 3)].end
            if day := _away(today, sign * unit * number.value):
                yield Span(day, number.start, end, 2.9)
        elif before and before.low == "in" and (day := _away(today, unit * number.value)):
            yield Span(day, before.start, tokens[last + 1].end, 2.0)


def find_times(text: str) -> list[Span]:
    """Every time of day."""
    found = []
    for one in islice(_TIME.finditer(text), MAX_SPANS):
        hours, minutes = int(one[1] or one[4] or one[6]), int(one[2] or 0)
        half = (one[3] or one[5] or "").casefold()
        if half and not 1 <= hours <= 12:
            continue
        hours = hours % 12 + (12 if half == "p" else 0) if half else hours
        if hours < 24 and minutes < 60:
            found.append(Span(time(hours, minutes), one.start(), one.end()))
    found += [
        Span(time(0 if one[1].casefold() == "midnight" else 12), one.start(), one.end())
        for one in islice(_NAMED.finditer(text), MAX_SPANS)
    ]
    return sorted(found, key=lambda one: one.start)


def written(day: date, form: str) -> str:
    """A date as a `format` such as `DD/MM/YYYY` asks for it; without one, as ISO 8601 has it."""
    low = form.casefold()
    if "%" in form:
        low = low.replace("%y", "yyyy").replace("%m", "mm").replace("%d", "dd")
    pattern = re.search(r"(yyyy|mm|dd)([-/. ]?)(yyyy|mm|dd)([-/. ]?)(yyyy|mm|dd)", low)
    if pattern is None:
        return day.isoformat()
    parts = {"yyyy": f"{day.year:04}", "mm": f"{day.month:02}", "dd": f"{day.day:02}"}
    return parts[pattern[1]] + pattern[2] + parts[pattern[3]] + pattern[4] + parts[pattern[5]]


def is_day_first(form: str) -> bool:
    return bool(re.match(r"\W*(%d|dd)", form.casefold()))
