"""Cards (Luhn, ranges of the issuers, lengths) and accounts (IBAN: mod 97, each country's length)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import re2

from promptd.guards.detecting import Finding
from promptd.guards.pii.checksums import luhn, mod97
from promptd.guards.pii.standing import is_announced, stands_alone

_RUN: Final = re2.compile(r"[0-9](?:(?: ?[-.] ?| {1,2}|\t)?[0-9]){11,}")
_GROUP: Final = re2.compile(r"[0-9]+")
_CARD_WORD: Final = re2.compile(r"(?i)card|visa|karte|carte|tarjeta|carta|kaart|\bpan\b|\bcc\b")

#: how the digits of a card are grouped in print
_GROUPINGS: Final = frozenset(
    {(4, 4, 4, 4), (4, 6, 5), (4, 6, 4), (4, 4, 4, 4, 3), (8, 8), (4, 4, 4, 2), (4, 4, 5), (6, 13)}
)
_FIRST_GROUPS: Final = frozenset({grouping[0] for grouping in _GROUPINGS} | set(range(13, 20)))
_MOST_GROUPS: Final = 5

#: first and last prefix of a range, and the lengths of its numbers; ISO/IEC 7812, from the networks' own lists
_RANGES: Final = (
    ("4", "4", (16, 19)),
    ("51", "55", (16,)),
    ("2221", "2720", (16,)),
    ("34", "34", (15,)),
    ("37", "37", (15,)),
    ("300", "305", (14, 16)),
    ("3095", "3095", (14, 16)),
    ("36", "36", (14, 16)),
    ("38", "39", (14, 16)),
    ("6011", "6011", (16, 19)),
    ("644", "649", (16, 19)),
    ("65", "65", (16, 19)),
    ("3528", "3589", (16, 19)),
    ("62", "62", (16, 17, 18, 19)),
    ("81", "82", (16, 17, 18, 19)),
    ("2200", "2204", (16, 19)),
    ("9792", "9792", (16,)),
    ("508", "508", (16,)),
    ("606", "608", (16,)),
    ("5018", "5018", (16, 18, 19)),
    ("5020", "5020", (16, 18, 19)),
    ("5038", "5038", (16, 18, 19)),
    ("5893", "5893", (16, 18, 19)),
    ("6304", "6304", (16, 18, 19)),
    ("6759", "6763", (16, 18, 19)),
)
_OLD: Final = (13,)  # Visa's short numbers are no longer given out, but those of goods in Germany look the same

_IBAN_START: Final = re2.compile(r"(?i)[a-z]{2}[0-9]{2}")
#: characters of each country's IBAN (ISO 13616, release 99 of its register)
_IBAN_LENGTHS: Final = {
    country: int(length)
    for length, countries in (
        ("15", "NO"),
        ("16", "BE"),
        ("18", "DK FI FK FO GL NL SD"),
        ("19", "MK SI"),
        ("20", "AT BA EE KZ LT LU MN XK"),
        ("21", "CH CR HR LI LV"),
        ("22", "BG BH DE GB GE HN IE ME RS VA"),
        ("23", "AE GI IL IQ OM SO TL"),
        ("24", "AD CZ ES MD PK RO SA SE SK TN VG"),
        ("25", "LY PT ST"),
        ("26", "IS TR"),
        ("27", "BI DJ FR GR IT MC MR SM"),
        ("28", "AL AZ BY CY DO GT HU LB NI PL SV"),
        ("29", "BR EG PS QA UA"),
        ("30", "JO KW MU YE"),
        ("31", "MT SC"),
        ("32", "LC"),
        ("33", "RU"),
    )
    for country in countries.split()
}


def find_cards(text: str) -> Iterator[Finding]:
    for run in _RUN.finditer(text):
        spans = [(run.start() + one.start(), run.start() + one.end()) for one in _GROUP.finditer(run[0])]
        if all(end - start == 1 for start, end in spans):  # each digit for itself
            yield from _card(text, spans)
            continue
        at = 0
        while at < len(spans):
            step = 1
            if spans[at][1] - spans[at][0] not in _FIRST_GROUPS:
                at += 1
                continue
            for count in range(min(_MOST_GROUPS, len(spans) - at), 0, -1):
                chosen = spans[at : at + count]
                if _is_grouping(chosen) and (found := list(_card(text, chosen))):
                    yield from found
                    step = count
                    break
            at += step


def _is_grouping(spans: list[tuple[int, int]]) -> bool:
    lengths = tuple(end - start for start, end in spans)
    return lengths in _GROUPINGS or (len(lengths) == 1 and 13 <= lengths[0] <= 19)


def _card(text: str, spans: list[tuple[int, int]]) -> Iterator[Finding]:
    start, end = spans[0][0], spans[-1][1]
    digits = "".join([text[first:last] for first, last in spans])
    if not 13 <= len(digits) <= 19 or not stands_alone(text, start, end) or not luhn(digits):
        return
    lengths = next((lengths for first, last, lengths in _RANGES if first <= digits[: len(first)] <= last), ())
    old = digits[0] == "4" and len(digits) in _OLD and is_announced(text, start, _CARD_WORD)
    if (len(digits) in lengths or old) and len(set(digits)) > 1:
        yield Finding("card", start, end)


def find_ibans(text: str) -> Iterator[Finding]:
    for found in _IBAN_START.finditer(text):
        start = found.start()
        length = _IBAN_LENGTHS.get(text[start : start + 2].upper(), 0)
        if not length or text[start - 1 : start].isalnum():
            continue
        read = _read_iban(text, start, length)
        if read is not None and mod97(read[0]):
            yield Finding("iban", start, read[1])


def _read_iban(text: str, start: int, length: int) -> tuple[str, int] | None:
    """So many letters and digits with at most one blank or dash between two of them, and where they end."""
    signs: list[str] = []
    at = start
    while len(signs) < length:
        sign = text[at : at + 1]
        if not sign.isalnum():
            if not sign or sign not in " -" or not text[at - 1].isalnum():
                return None
        else:
            signs.append(sign.upper())
        at += 1
    after = text[at : at + 1]
    return None if after.isalnum() or after == "_" else ("".join(signs), at)
