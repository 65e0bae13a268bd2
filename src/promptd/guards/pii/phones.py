"""Phone numbers. Patterns find what is written like one; `phonenumbers` (Google's tables) knows which numbers exist."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import re2

from promptd.core.errors import SettingsError
from promptd.guards.detecting import Finding
from promptd.guards.pii.standing import is_announced, stands_alone

#: from abroad: a plus, or two zeros
_ABROAD: Final = re2.compile(r"(?:\+|00) ?[1-9](?:[ ().\-/]{0,3}[0-9]){6,14}")
#: of the North American plan: (415) 555-0132
_AMERICAN: Final = re2.compile(r"(?:1[ .-])?\(?[2-9][0-9]{2}(?:\)[ .-]{0,2}|[ .-])[0-9]{3}[ .-][0-9]{4}")
#: elsewhere, with the zero that is dialled first: 030 1234567
_TRUNK: Final = re2.compile(r"\(?0[1-9][0-9]{0,4}\)?(?:[ /.-]{1,3}[0-9]{2,8}){1,5}")
#: anything, behind a word that says that it is one
_ANY: Final = re2.compile(r"\(?[0-9](?:[ ().\-/]{0,3}[0-9]){6,14}")

_WORD: Final = re2.compile(
    r"(?i)(?:\b(?:phone|telephone|mobile|cell|cellphone|fax|call|text|dial|ring|whatsapp|sms|signal|tel|mob|hotline"
    r"|telefon\w*|handy\w*|mobil\w*|rufnummer|anrufen|ruf|portable|movil|celular|cellulare)\b)"
    r"[^0-9\n]{0,24}$"
)
_DATE: Final = re2.compile(
    r"^\(?(?:[0-9]{1,2}[./-][0-9]{1,2}[./-](?:[0-9]{4}|[0-9]{2})|[0-9]{4}[./-][0-9]{2}[./-][0-9]{2})(?:[^0-9]|$)"
)

#: how often the tables are asked for one text, at 20 µs; what is written like a number beyond that is taken for one
_MOST_LOOKUPS: Final = 5000
_AMERICAN_CODE: Final = 1
_FEWEST_DIGITS: Final = 7
_FEWEST_UNNAMED: Final = 10  # of a number that nothing but its zero tells from others


class Phones:
    """`regions`: where numbers without a country's code may be from. Raises `SettingsError` for one that is not known."""

    def __init__(self, regions: Sequence[str]) -> None:
        import phonenumbers

        for at, region in enumerate(regions):
            if region not in phonenumbers.SUPPORTED_REGIONS:
                key = f"regions[{at}]"
                raise SettingsError(f"{key}: no country with phone numbers of its own: {region!r}", key=key)
        codes = {region: phonenumbers.country_code_for_region(region) for region in regions}
        self._american = tuple(region for region in regions if codes[region] == _AMERICAN_CODE)
        self._others = tuple(region for region in regions if codes[region] != _AMERICAN_CODE)
        #: a plus needs no country; two zeros are dialled in most of them
        self._abroad = ("", "DE")
        self._all = self._american + self._others

    def find(self, text: str) -> Iterator[Finding]:
        lookups = _Lookups()
        for found in _ABROAD.finditer(text):
            start, end = found.span()
            bare = found[0].startswith("00") and found[0].isdigit() and not is_announced(text, start, _WORD)
            if not bare:
                yield from lookups.find(text, start, end, found[0], self._abroad)
        if self._american:
            for found in _AMERICAN.finditer(text):
                start, end = found.span()
                if stands_alone(text, start, end):  # written like this it is one, also one that is not given out
                    yield _finding(text, start, end)
        if self._others:
            for found in _TRUNK.finditer(text):
                yield from lookups.find(text, found.start(), found.end(), found[0], self._others, _FEWEST_UNNAMED)
        for found in _ANY.finditer(text):
            if is_announced(text, found.start(), _WORD):
                yield from lookups.find(text, found.start(), found.end(), found[0], self._all)


class _Lookups:
    """The look-ups for one text."""

    def __init__(self) -> None:
        self._left = _MOST_LOOKUPS

    def find(
        self, text: str, start: int, end: int, number: str, regions: Sequence[str], fewest: int = _FEWEST_DIGITS
    ) -> Iterator[Finding]:
        """The longest number that begins at `start`: what follows it may be another one."""
        if _DATE.search(number):
            return
        while sum(sign.isdigit() for sign in number) >= fewest:
            if stands_alone(text, start, end) and self._exists(number, regions):
                yield _finding(text, start, end)
                return
            cut = len(number.rstrip("0123456789").rstrip(" ().-/"))
            end -= len(number) - cut
            number = number[:cut]

    def _exists(self, number: str, regions: Sequence[str]) -> bool:
        self._left -= len(regions)
        return self._left < 0 or any(_is_number(number, region) for region in regions)


def _finding(text: str, start: int, end: int) -> Finding:
    """Without a bracket that is around the number."""
    return Finding("phone", start + (text[start] == "(" and ")" not in text[start:end]), end)


def _is_number(number: str, region: str) -> bool:
    import phonenumbers

    try:
        read = phonenumbers.parse(number, region or None)
    except phonenumbers.NumberParseException:
        return False
    if number[0] == "+" and not region:  # nothing else is written like that, also where the number is not given out
        return phonenumbers.is_possible_number(read)
    return phonenumbers.is_valid_number(read)
