"""Numbers with what they count: `3 days`, `a fortnight`, `the last two weeks`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from promptd.core.utterances.numbers import Number, find_numbers
from promptd.core.utterances.text import Word, first_from, listed, stem

_DAY: Final = 86400
#: seconds
TIME_UNITS: Final[Mapping[str, int]] = {
    "second": 1,
    "minute": 60,
    "hour": 3600,
    "day": _DAY,
    "night": _DAY,
    "week": 7 * _DAY,
    "fortnight": 14 * _DAY,
    "month": 30 * _DAY,
    "year": 365 * _DAY,
}
_SHORT: Final = {
    "sec": "second",
    "s": "second",
    "min": "minute",
    "h": "hour",
    "hr": "hour",
    "d": "day",
    "w": "week",
    "wk": "week",
    "mo": "month",
    "yr": "year",
}
_ARTICLES: Final = listed("a an last past previous")
_AHEAD: Final = listed("next coming following")  #: `next week` is a time, `for the next week` is as long
_LASTING: Final = listed("the for over during within")
_ENDS: Final = listed("for in at on from to and or with per by within until over during than if but")
_REACH: Final = 3  #: words behind a number that may say what it counts
_LABEL: Final = 4  #: words before it that may


class Quantity(Struct, frozen=True):
    """`behind` and `before` are the stems of the words around the number, the nearest first."""

    value: int | float
    start: int
    end: int
    unit: str = ""  #: of time
    behind: tuple[str, ...] = ()
    before: tuple[str, ...] = ()

    def within(self, unit: str) -> int | float | None:
        """The value in another unit of time, None where that is no even number of hundredths."""
        exact = self.value * TIME_UNITS[self.unit] / TIME_UNITS[unit]
        if abs(exact - round(exact, 2)) > 1e-9:
            return None
        rounded = round(exact, 2)
        return int(rounded) if rounded == int(rounded) else rounded


def unit_of(word: str) -> str:
    """The unit of time that a word means, or nothing."""
    low = stem(word)
    return low if low in TIME_UNITS else _SHORT.get(low, "")


def find_quantities(text: str, tokens: Sequence[Word]) -> list[Quantity]:
    """Every number of a text with its surroundings, and units of time that stand for one: `a week`."""
    found = [_counted(one, tokens) for one in find_numbers(text, tokens)]
    found += [
        one for one in _single(tokens) if not any(one.start < other.end and other.start < one.end for other in found)
    ]
    return _joined(sorted(found, key=lambda one: one.start), text)


def _counted(number: Number, tokens: Sequence[Word]) -> Quantity:
    place = first_from(tokens, number.end)
    behind: list[str] = []
    end = number.end
    unit = ""
    for word in tokens[place : place + _REACH]:
        if not word.is_word or word.low in _ENDS or word.text[0].isdigit():
            break
        behind.append(stem(word.text))
        if not unit and (unit := unit_of(word.low)):
            end = word.end
            break
    # digits with their unit attached are one word
    inner = next((word for word in tokens if word.start == number.start and word.end > number.end), None)
    if inner is not None:
        unit, end = unit_of(inner.text[number.end - number.start :].lstrip("-")) or unit, inner.end
    before: list[str] = []
    first = first_from(tokens, number.start) - 1
    for word in tokens[max(0, first - _LABEL + 1) : first + 1][::-1]:
        if not word.is_word and word.text not in ":=$€£#":
            break
        before.append(stem(word.text))
    return Quantity(number.value, number.start, end, unit, tuple(behind), tuple(before))


def _single(tokens: Sequence[Word]) -> list[Quantity]:
    found = []
    for place, word in enumerate(tokens):
        unit = unit_of(word.low) if len(word.low) > 2 else ""
        before = tokens[place - 1].low if place else ""
        earlier_word = tokens[place - 2].low if place > 1 else ""
        lasts = before in _ARTICLES or (before in _AHEAD and earlier_word in _LASTING)
        if not unit or not lasts or word.low.endswith("s"):
            continue
        half = place > 1 and tokens[place - 2].low == "half"
        start = tokens[place - 2].start if half else tokens[place - 1].start
        earlier = tuple([stem(one.text) for one in tokens[max(0, place - 4) : place][::-1] if one.is_word])
        found.append(Quantity(0.5 if half else 1, start, word.end, unit, (unit,), earlier))
    return found


def _joined(found: list[Quantity], text: str) -> list[Quantity]:
    """`1 hour and 30 minutes` is one quantity."""
    result: list[Quantity] = []
    for one in found:
        last = result[-1] if result else None
        between = text[last.end : one.start].strip(" ,") if last else "?"
        if last and last.unit and one.unit and between in ("", "and") and TIME_UNITS[last.unit] > TIME_UNITS[one.unit]:
            total = last.value * TIME_UNITS[last.unit] / TIME_UNITS[one.unit] + one.value
            whole = int(total) if float(total).is_integer() else total
            result[-1] = Quantity(whole, last.start, one.end, one.unit, one.behind, last.before)
        else:
            result.append(one)
    return result
