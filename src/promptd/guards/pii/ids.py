"""Numbers that states give to people. Each is checked by its own rule: check digits, dates, ranges.

A number whose form or rule is too common to tell it from others counts only behind a word that says what it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from typing import Final, NamedTuple

import re2

from promptd.guards.detecting import Finding
from promptd.guards.patterns import PatternSet
from promptd.guards.pii.checksums import luhn, mod11_2, mod11_10, verhoeff, weighted
from promptd.guards.pii.standing import is_announced, stands_alone

_CONTROL: Final = "TRWAGMYFPDXBNJZSQVHLCKE"  # Spain
_HETU: Final = "0123456789ABCDEFHJKLMNPRSTUVWXY"  # Finland
_CURP: Final = "0123456789ABCDEFGHIJKLMN\u00d1OPQRSTUVWXYZ"  # Mexico
_ODD: Final = (1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23)  # Italy


class _Kind(NamedTuple):
    """`check` gets letters and digits of the candidate, in capitals. With `word` a candidate needs it before it."""

    country: str
    pattern: str
    check: Callable[[str], bool]
    word: str = ""  #: a pattern for it


class Ids:
    """The search for the numbers of some countries."""

    def __init__(self, countries: frozenset[str]) -> None:
        self._kinds = [kind for kind in _KINDS if kind.country in countries]
        self._patterns = [re2.compile(f"(?i){kind.pattern}") for kind in self._kinds]
        self._words = [kind.word and re2.compile(rf"(?i)\b(?:{kind.word})\b") for kind in self._kinds]
        self._set = PatternSet(f"(?i){kind.pattern}" for kind in self._kinds)

    def find(self, text: str) -> Iterator[Finding]:
        some = self._set.search(text)  # one pass says which of them are worth another
        for number in range(len(self._kinds)) if some is None else some:
            check, word = self._kinds[number].check, self._words[number]
            for found in self._patterns[number].finditer(text):
                start, end = found.span()
                if not stands_alone(text, start, end) or (word and not is_announced(text, start, word)):
                    continue
                if check("".join([sign for sign in found[0].upper() if sign.isalnum()])):
                    yield Finding("national_id", start, end)


# ------------------------------------------------------------------ the rules


def _always(value: str) -> bool:
    return True


def _is_day(day: int, month: int) -> bool:
    return 1 <= month <= 12 and 1 <= day <= 31


def _us_ssn(value: str) -> bool:
    area, group, serial = value[:3], value[3:5], value[5:]
    if area in ("000", "666") or group == "00" or serial == "0000":
        return False
    return area[0] != "9" or 50 <= int(group) <= 99  # a tax number of somebody without social security


def _weights(value: str, weights: tuple[int, ...], modulus: int, *, ten: int = -1) -> bool:
    """The last digit is what the weighted sum of the others lacks to a multiple; `ten`: what stands for a check of ten."""
    check = -weighted(value[: len(weights)], weights) % modulus
    return int(value[len(weights)]) == (ten if check == 10 else check)


def _es_dni(value: str) -> bool:
    digits = value[:-1].translate(str.maketrans("XYZ", "012"))
    return value[-1] == _CONTROL[int(digits) % 23]


def _fr_nir(value: str) -> bool:
    number = value[:13].replace("2A", "19").replace("2B", "18")
    return number.isdigit() and int(value[13:]) == 97 - int(number) % 97


def _de_tax(value: str) -> bool:
    """Among the first ten digits one stands twice or three times, all others at most once."""
    counts = sorted((len(list(same)) for _, same in groupby(sorted(value[:10]))), reverse=True)
    return value[0] != "0" and counts[0] in (2, 3) and counts[1] == 1 and mod11_10(value)


def _it_code(value: str) -> bool:
    total = 0
    for place, sign in enumerate(value[:15]):
        number = int(sign) if sign.isdigit() else ord(sign) - 65
        total += number if place % 2 else _ODD[number]
    return value[15] == chr(65 + total % 26)


def _nl_bsn(value: str) -> bool:
    return value != "000000000" and weighted(value, (9, 8, 7, 6, 5, 4, 3, 2, -1)) % 11 == 0


def _be_number(value: str) -> bool:
    return int(value[9:]) in (97 - int(value[:9]) % 97, 97 - int("2" + value[:9]) % 97) and int(value[2:4]) % 20 <= 12


def _pl_pesel(value: str) -> bool:
    day = _is_day(int(value[4:6]), int(value[2:4]) % 20)
    return day and _weights(value, (1, 3, 7, 9, 1, 3, 7, 9, 1, 3), 10)


def _se_number(value: str) -> bool:
    value = value[-10:]
    return luhn(value) and _is_day(int(value[4:6]) % 60, int(value[2:4]))


def _fi_hetu(value: str) -> bool:
    date, rest = value[:6], value[-4:]
    return _is_day(int(date[:2]), int(date[2:4])) and rest[3] == _HETU[int(date + rest[:3]) % 31]


def _no_number(value: str) -> bool:
    if not _is_day(int(value[:2]) % 40, int(value[2:4]) % 40):
        return False
    first = _weights(value, (3, 7, 6, 1, 8, 9, 4, 5, 2), 11)
    return first and _weights(value, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2), 11)


def _ean13(value: str) -> bool:
    return _weights(value, (1, 3) * 6, 10)


def _at_number(value: str) -> bool:
    check = weighted(value, (3, 7, 9, 0, 5, 8, 4, 2, 1, 6)) % 11
    return int(value[3]) == check and int(value[6:8]) <= 15


def _gb_nhs(value: str) -> bool:
    return _weights(value, (10, 9, 8, 7, 6, 5, 4, 3, 2), 11)


def _br_cpf(value: str) -> bool:
    if len(set(value)) == 1:
        return False
    first = weighted(value, tuple(range(10, 1, -1))) * 10 % 11 % 10
    second = weighted(value, tuple(range(11, 1, -1))) * 10 % 11 % 10
    return value[9:] == f"{first}{second}"


def _cl_rut(value: str) -> bool:
    check = -weighted(value[-2::-1], (2, 3, 4, 5, 6, 7, 2, 3)) % 11
    return value[-1] == ("K" if check == 10 else str(check))


def _mx_curp(value: str) -> bool:
    total = sum(_CURP.index(sign) * (18 - place) for place, sign in enumerate(value[:17]))
    return _is_day(int(value[8:10]), int(value[6:8])) and int(value[17]) == -total % 10


def _cn_id(value: str) -> bool:
    return _is_day(int(value[12:14]), int(value[10:12])) and value[6:8] in ("18", "19", "20") and mod11_2(value)


def _kr_number(value: str) -> bool:
    """Numbers since October 2020 have no check digit."""
    return _is_day(int(value[4:6]), int(value[2:4]))


def _jp_number(value: str) -> bool:
    total = weighted(value[10::-1], (2, 3, 4, 5, 6, 7, 2, 3, 4, 5, 6)) % 11
    return int(value[11]) == (0 if total <= 1 else 11 - total)


def _tr_number(value: str) -> bool:
    digits = [int(digit) for digit in value]
    tenth = (sum(digits[0:9:2]) * 7 - sum(digits[1:8:2])) % 10
    return digits[0] != 0 and digits[9] == tenth and digits[10] == sum(digits[:10]) % 10


def _za_number(value: str) -> bool:
    return luhn(value) and _is_day(int(value[4:6]), int(value[2:4]))


def _au_tax(value: str) -> bool:
    return weighted(value, (1, 4, 3, 7, 5, 8, 6, 9, 10)) % 11 == 0


_ELEVEN: Final = r"[0-9]{11}"
_TAX: Final = r"tax|tin"

_KINDS: Final = (
    _Kind("US", r"[0-9]{3}-[0-9]{2}-[0-9]{4}", _us_ssn),
    _Kind("US", r"[0-9]{3} ?[0-9]{2} ?[0-9]{4}", _us_ssn, "ssn|social security|itin"),
    _Kind("GB", r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z](?: [0-9]{2}){3} [A-D]", _always),
    _Kind(
        "GB",
        r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?[0-9]{6} ?[A-D]",
        _always,
        r"nino|ni|national insurance|insurance n\w*",
    ),
    _Kind("GB", r"[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{4}", _gb_nhs, "nhs"),
    _Kind("ES", r"(?:[0-9]{8}|[XYZ]-?[0-9]{7})[- ]?[A-HJ-NP-TV-Z]", _es_dni),
    _Kind(
        "FR",
        r"[12] ?[0-9]{2} ?(?:0[1-9]|1[0-2]|[2-9][0-9]) ?(?:[0-9]{2}|2[AB]) ?[0-9]{3} ?[0-9]{3} ?[0-9]{2}",
        _fr_nir,
    ),
    _Kind("DE", r"[1-9][0-9] [0-9]{3} [0-9]{3} [0-9]{3}", _de_tax),
    _Kind(
        "DE",
        r"[1-9][0-9]{10}",
        _de_tax,
        rf"(?:steuer|identifikations|id)[ -]?(?:id\w*|nummer|nr)|idnr|{_TAX}",
    ),
    _Kind("IT", r"[A-Z]{6}[0-9]{2}[A-EHLMPR-T][0-9]{2}[A-Z][0-9]{3}[A-Z]", _it_code),
    _Kind("NL", r"[0-9]{9}|[0-9]{4}\.[0-9]{2}\.[0-9]{3}", _nl_bsn, "bsn|sofi|burgerservicenummer"),
    _Kind("BE", r"[0-9]{2}\.[0-9]{2}\.[0-9]{2}-[0-9]{3}\.[0-9]{2}", _be_number),
    _Kind("BE", _ELEVEN, _be_number, "rijksregister\\w*|registre national|insz|niss|national number"),
    _Kind("PL", _ELEVEN, _pl_pesel, "pesel"),
    _Kind("PT", r"[0-9]{3} ?[0-9]{3} ?[0-9]{3}", partial(_weights, weights=(9, 8, 7, 6, 5, 4, 3, 2), modulus=11, ten=0), "nif|contribuinte"),
    _Kind("SE", r"(?:[0-9]{2})?[0-9]{6}[-+][0-9]{4}", _se_number),
    _Kind("FI", r"[0-9]{6}[-+A-FU-Y][0-9]{3}[0-9A-FHJ-NPR-Y]", _fi_hetu),
    _Kind("NO", r"[0-9]{6} ?[0-9]{5}", _no_number),
    _Kind("DK", r"[0-3][0-9][01][0-9]{3}-?[0-9]{4}", _always, "cpr"),
    _Kind("CH", r"756(?:\.[0-9]{4}\.[0-9]{4}\.[0-9]{2}|[0-9]{10})", _ean13),
    _Kind("AT", r"[1-9][0-9]{3} ?[0-9]{6}", _at_number, r"svnr|sv-?\w*|sozialversicherung\w*|versicherung\w*"),
    _Kind("BR", r"[0-9]{3}\.[0-9]{3}\.[0-9]{3}-[0-9]{2}", _br_cpf),
    _Kind("BR", _ELEVEN, _br_cpf, "cpf"),
    _Kind("CL", r"[0-9]{1,2}\.[0-9]{3}\.[0-9]{3}-[0-9K]", _cl_rut),
    _Kind("AR", r"(?:20|23|24|27|3[034])-[0-9]{8}-[0-9]", partial(_weights, weights=(5, 4, 3, 2, 7, 6, 5, 4, 3, 2), modulus=11)),
    _Kind("MX", r"[A-Z]{4}[0-9]{6}[HMX][A-Z]{5}[0-9A-Z][0-9]", _mx_curp),
    _Kind("IN", r"[2-9][0-9]{3}[ -][0-9]{4}[ -][0-9]{4}", verhoeff),
    _Kind("IN", r"[2-9][0-9]{11}", verhoeff, "aadhaar|aadhar|uidai|uid"),
    _Kind("IN", r"[A-Z]{3}[ABCFGHJLPT][A-Z][0-9]{4}[A-Z]", _always, "pan"),
    _Kind("CN", r"[1-9][0-9]{16}[0-9X]", _cn_id),
    _Kind("KR", r"[0-9]{6}-[1-8][0-9]{6}", _kr_number),
    _Kind("JP", r"[0-9]{4}[ -]?[0-9]{4}[ -]?[0-9]{4}", _jp_number, "my ?number|individual number"),
    _Kind("TR", r"[1-9][0-9]{10}", _tr_number, r"tc|tckn|kimlik\w*"),
    _Kind("ZA", r"[0-9]{6} ?[0-9]{4} ?[0-9]{3}", _za_number, r"id|identity"),
    _Kind("CA", r"[0-9]{3}[ -]?[0-9]{3}[ -]?[0-9]{3}", luhn, "sin|social insurance|nas"),
    _Kind("AU", r"[0-9]{3} ?[0-9]{3} ?[0-9]{3}", _au_tax, "tfn|tax file"),
)  # fmt: skip

#: the countries whose numbers are known
COUNTRIES: Final = frozenset(kind.country for kind in _KINDS)
