"""Numbers in digits and in words."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import islice, pairwise
from typing import Final

from msgspec import Struct

from promptd.core.utterances.text import MAX_SPANS, Word, in_order, listed, words

_ONES: Final = {
    word: value
    for value, word in enumerate(
        in_order(
            "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
            "seventeen eighteen nineteen"
        )
    )
}
_TENS: Final = {
    word: 20 + 10 * place
    for place, word in enumerate(in_order("twenty thirty forty fifty sixty seventy eighty ninety"))
}
_SCALES: Final = {"hundred": 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
_GROUPS: Final = {"dozen": 12, "couple": 2, "score": 20}
_SHORT: Final = {"k": 1000, "m": 10**6, "bn": 10**9}
#: before `one` these make it no number
_POINTING: Final = listed("this that the which any each every another no first last next some")
#: behind `one` these make it none, before it these make it one all the same
_PASSING: Final = listed("of is was that which with for in at to and or please who by on from")
_COUNTING: Final = listed("for just only exactly about make")
#: units that are written right behind the digits
_ATTACHED: Final = "d|h|hrs?|mins?|secs?|s|wks?|w|km|kg|lbs?|cm|mm|gb|mb|tb|c|f|°|€|£|\\$|usd|eur|gbp|ms"
_PERIODS: Final = "seconds?|minutes?|hours?|days?|nights?|weeks?|months?|years?"
_DIGITS: Final = re.compile(
    r"(?<![\w:/#.\-])(?<!\d,)(?P<sign>[-+](?=\d))?(?P<digits>\d{1,3}(?:,\d{3})+|\d{1,18})(?P<rest>\.\d{1,12})?"
    rf"(?:(?P<scale>k|bn|m)(?!\w)|(?=(?:{_ATTACHED})(?!\w))|(?=-(?:{_PERIODS})(?!\w))|(?![\w:/-]|[.,]\d|\s?/\s?\d))",
    re.IGNORECASE,
)


class Number(Struct, frozen=True):
    value: int | float
    start: int
    end: int
    written: bool = False  #: in words


def find_numbers(text: str, tokens: Sequence[Word] | None = None) -> list[Number]:
    """Every number of a text, in order."""
    tokens = words(text) if tokens is None else tokens
    found = [_digits(one) for one in islice(_DIGITS.finditer(text), MAX_SPANS)] + _spelled(tokens)
    return _scaled(sorted(found, key=lambda one: one.start), tokens)


def _digits(found: re.Match[str]) -> Number:
    plain = found["digits"].replace(",", "")
    value: int | float = float(plain + found["rest"]) if found["rest"] else int(plain)
    if found["scale"]:
        value = _whole(value * _SHORT[found["scale"].casefold()])
    return Number(-value if found["sign"] == "-" else value, found.start(), found.end())


def _whole(value: int | float) -> int | float:
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value


def _scaled(found: list[Number], tokens: Sequence[Word]) -> list[Number]:
    """`2 million` and `3 dozen`: the word behind the digits belongs to them."""
    behind = {before.end: word for before, word in pairwise(tokens)}
    result: list[Number] = []
    for one in found:
        word = behind.get(one.end)
        factor = (_SCALES | _GROUPS).get(word.low, 0) if word and not one.written else 0
        if factor and word and word.low not in ("couple", "score"):
            result.append(Number(_whole(one.value * factor), one.start, word.end))
        elif not result or one.start >= result[-1].end:
            result.append(one)
    return result


def _spelled(tokens: Sequence[Word]) -> list[Number]:
    found: list[Number] = []
    place = 0
    while place < len(tokens) and len(found) < MAX_SPANS:
        taken, value = _spelled_at(tokens, place)
        if taken:
            found.append(Number(value, tokens[place].start, tokens[place + taken - 1].end, written=True))
        elif "-" in tokens[place].low and (first := _period(tokens[place])):
            found.append(first)
        place += max(taken, 1)
    return found


def _spelled_at(tokens: Sequence[Word], place: int) -> tuple[int, int | float]:
    """How many words of a number begin here, and what they say."""
    before = tokens[place - 1].low if place else ""
    low = [word.low for word in tokens[place : place + 14]]
    if low[:3] == ["half", "a", "dozen"]:
        return 3, 6
    if low[:2] == ["couple", "of"] and before not in ("a", "an"):
        return 1, 2
    if low[0] in ("a", "an") and len(low) > 1 and low[1] in {"dozen", "couple", "hundred", "thousand", "million"}:
        return 2, (_GROUPS | _SCALES)[low[1]]
    if low[0] == "minus" and len(low) > 1:
        taken, value = _spelled_at(tokens, place + 1)
        return (taken + 1, -value) if taken else (0, 0)
    total: int | float = 0
    part = taken = 0
    last = 10**12
    for number, word in enumerate(low):
        amount = _amount(word)
        if amount is not None and amount < last:
            part, last, taken = part + amount, (10 if amount >= 20 and not amount % 10 else 1), number + 1
        elif word in _SCALES and part:
            if word == "hundred":
                part *= 100
                last = 100
            else:
                total, part, last = total + part * _SCALES[word], 0, 1000
            taken = number + 1
        elif word == "dozen" and part:
            part, taken = part * 12, number + 1
            break
        elif not (word == "and" and last >= 100 and taken == number and taken):
            break
    value = total + part
    if not taken or (low[:taken] == ["one"] and _is_pronoun(before, low[1:2], tokens)):
        return 0, 0
    if low[taken : taken + 3] == ["and", "a", "half"]:
        return taken + 3, value + 0.5
    return taken, value


def _is_pronoun(before: str, behind: Sequence[str], tokens: Sequence[Word]) -> bool:
    """Whether `one` stands for a thing: `this one`, `the big one`, `one of them`."""
    counts = behind and behind[0][0].isalnum() and behind[0] not in _PASSING
    return before in _POINTING or not (counts or before in _COUNTING or len(tokens) <= 2)


def _period(word: Word) -> Number | None:
    """The number of `three-day`."""
    head, _, tail = word.low.partition("-")
    value = _amount(head)
    if value is None or not re.fullmatch(_PERIODS, tail):
        return None
    return Number(value, word.start, word.start + len(head), written=True)


def _amount(word: str) -> int | None:
    if word in _ONES:
        return _ONES[word]
    if word in _TENS:
        return _TENS[word]
    tens, dash, ones = word.partition("-")
    if dash and tens in _TENS and 0 < _ONES.get(ones, 0) < 10:
        return _TENS[tens] + _ONES[ones]
    return None
