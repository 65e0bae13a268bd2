"""Readers of numbers, dates and times for one parameter."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date, datetime, time
from typing import Any, Final

from promptd.core.utterances import shapes
from promptd.core.utterances.dates import find_dates, is_day_first, written
from promptd.core.utterances.heard import Heard
from promptd.core.utterances.kinds import Kind, Subject, is_money
from promptd.core.utterances.quantities import Quantity
from promptd.core.utterances.text import Span

_MOST_UNITS: Final = 9999  #: days or hours that nobody called so
_SIGNS: Final = "$€£¥"


def numbers(one: Subject, heard: Heard, others: Sequence[Subject]) -> Iterator[Span]:
    taken = {noun for other in others if other is not one and other.kind is Kind.NUMBER for noun in other.nouns}
    rivals = {other.unit for other in others if other is not one and other.kind is Kind.NUMBER} - {""}
    for found in heard.quantities:
        value, strength = found.value, 2.0
        if found.unit:
            if one.unit:
                within = found.within(one.unit)
                if within is None or (found.unit != one.unit and found.unit in rivals):
                    continue
                value, strength = within, 4.0
            elif not one.nouns & set(found.behind[:1]):
                continue
        elif one.nouns & set(found.behind):
            strength = 4.0
        elif set(found.behind[:2]) & taken:
            continue
        if strength < 4 and one.nouns & set(found.before):
            strength = 4.0 - 0.1 * min(list(found.before).index(word) for word in one.nouns & set(found.before))
        elif strength < 4 and set(found.before[:2]) & taken:
            strength = 1.0
        if strength < 4 and is_money(one) and _is_money(found, heard):
            strength = 4.0
        typed = _typed(value, one)
        implausible = bool(one.unit) and not found.unit and strength < 4 and abs(value) > _MOST_UNITS
        if typed is not None and not implausible:
            yield Span(typed, found.start, found.end, strength)


def _is_money(found: Quantity, heard: Heard) -> bool:
    sign = heard.text[max(0, found.start - 1) : found.start] in _SIGNS and found.start > 0
    return sign or any(
        0 <= span.start - found.end <= 1 or 0 <= found.start - span.end <= 1 for span in heard.currencies
    )


def _typed(value: int | float, one: Subject) -> Any:
    kind = one.parameter.type
    if kind == "float":
        return float(value)
    if kind == "int":
        return int(value) if float(value).is_integer() else None
    return shapes.plain(value) if kind == "str" else value


# ------------------------------------------------------------------ dates and times


def dates(one: Subject, heard: Heard) -> Iterator[Span]:
    form = one.parameter.format
    turned = is_day_first(form)
    found = find_dates(heard.text, heard.tokens, heard.today, day_first=True) if turned else heard.dates
    for span in found:
        if isinstance(span.value, date):
            yield Span(written(span.value, form), span.start, span.end, span.strength)


def times(one: Subject, heard: Heard) -> Iterator[Span]:
    for span in heard.times:
        if isinstance(span.value, time):
            yield Span(span.value.strftime("%H:%M"), span.start, span.end, span.strength)


def moments(one: Subject, heard: Heard) -> Iterator[Span]:
    times = [span for span in heard.times if isinstance(span.value, time)]
    for day in heard.dates:
        near = min(times, key=lambda span: abs(span.start - day.start), default=None)
        if not isinstance(day.value, date):
            continue
        if near is None or not isinstance(near.value, time):
            yield Span(day.value.isoformat(), day.start, day.end, 2.5)
            continue
        moment = datetime.combine(day.value, near.value).isoformat(timespec="minutes")
        yield Span(moment, min(day.start, near.start), max(day.end, near.end), 3.5)


def durations(one: Subject, heard: Heard) -> Iterator[Span]:
    for found in heard.quantities:
        if found.unit:
            yield Span(heard.text[found.start : found.end], found.start, found.end, 3.5)
