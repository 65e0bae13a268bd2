"""What is known by how it is written: addresses, currencies, ids, quoted text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from itertools import islice
from typing import Any, Final

from promptd.core.extraction.finding import Finder, Scan
from promptd.core.utterances.text import MAX_SPANS, Span, Word, listed

_EMAIL: Final = re.compile(
    r"(?<![\w.+-])[\w+-]{1,64}(?:\.[\w+-]{1,64}){0,8}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}(?![\w@-])"
)
_URL: Final = re.compile(r"\bhttps?://[^\s<>\"']{1,2000}", re.IGNORECASE)
_IP: Final = re.compile(
    r"(?<![\w.:-])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7})(?:/\d{1,3})?(?![\w:-]|\.\d)", re.I
)
_PHONE: Final = re.compile(r"(?<![\w+])\+?\(?\d[\d\s().-]{5,20}\d(?!\w)")
_QUOTED: Final = re.compile(
    r"\"([^\"]{1,2000})\"|“([^”]{1,2000})”|«([^»]{1,2000})»|`([^`]{1,2000})`|(?<!\w)'([^']{1,2000})'(?!\w)"
)
_ID: Final = re.compile(r"#?(?=[\w-]{0,40}\d|[A-Z])[A-Za-z0-9]+(?:[-_][A-Za-z0-9]+)*")
_NUMBERED: Final = re.compile(r"[a-z]+[-_]?\d+", re.IGNORECASE)
_POSTCODE: Final = re.compile(
    r"(?:(?<=in )|(?<=for )|(?<=near )|(?<=code )|\A)(\d{5}(?:-\d{4})?)(?![\w-]|[.,]\d)", re.IGNORECASE
)
_PAIRS: Final = re.compile(r"\b([a-z]{3})\s?(?:/|->|→)\s?([a-z]{3})\b", re.IGNORECASE)

_CODES: Final = listed(
    "AED ARS AUD BGN BHD BRL BTC CAD CHF CLP CNY COP CZK DKK EGP ETH EUR GBP HKD HUF IDR ILS INR ISK JPY KES KRW KWD MAD "
    "MXN MYR NGN NOK NZD OMR PEN PHP PKR PLN QAR RON RSD RUB SAR SEK SGD THB TRY TWD UAH USD UYU VND ZAR"
)
#: codes that are words: only in capitals
_WORDS: Final = frozenset({"PEN", "TRY", "COP", "RON", "MAD"})
_CURRENCIES: Final[Mapping[str, str]] = {
    "us dollar": "USD",
    "american dollar": "USD",
    "u.s dollar": "USD",
    "dollar": "USD",
    "buck": "USD",
    "usd": "USD",
    "canadian dollar": "CAD",
    "australian dollar": "AUD",
    "new zealand dollar": "NZD",
    "singapore dollar": "SGD",
    "hong kong dollar": "HKD",
    "euro": "EUR",
    "pound": "GBP",
    "british pound": "GBP",
    "pound sterling": "GBP",
    "sterling": "GBP",
    "quid": "GBP",
    "yen": "JPY",
    "japanese yen": "JPY",
    "yuan": "CNY",
    "chinese yuan": "CNY",
    "renminbi": "CNY",
    "rupee": "INR",
    "indian rupee": "INR",
    "swiss franc": "CHF",
    "franc": "CHF",
    "won": "KRW",
    "korean won": "KRW",
    "rouble": "RUB",
    "ruble": "RUB",
    "mexican peso": "MXN",
    "real": "BRL",
    "brazilian real": "BRL",
    "swedish krona": "SEK",
    "norwegian krone": "NOK",
    "danish krone": "DKK",
    "zloty": "PLN",
    "polish zloty": "PLN",
    "czech koruna": "CZK",
    "forint": "HUF",
    "turkish lira": "TRY",
    "lira": "TRY",
    "rand": "ZAR",
    "shekel": "ILS",
    "baht": "THB",
    "dirham": "AED",
    "bitcoin": "BTC",
    "ether": "ETH",
    "hryvnia": "UAH",
    "ringgit": "MYR",
}
_SIGNS: Final[Mapping[str, str]] = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR", "₩": "KRW"}
_PLURAL: Final[Mapping[str, str]] = {
    **{f"{name}s": code for name, code in _CURRENCIES.items()},
    "kroner": "NOK",
    "swedish kronor": "SEK",
    "norwegian kroner": "NOK",
    "danish kroner": "DKK",
    "zlotys": "PLN",
    **_CURRENCIES,
}


def find_emails(text: str) -> list[Span]:
    return [Span(found[0], found.start(), found.end(), 4) for found in islice(_EMAIL.finditer(text), MAX_SPANS)]


def find_urls(text: str) -> list[Span]:
    return [
        Span(url := found[0].rstrip(".,;:!?)"), found.start(), found.start() + len(url), 4)
        for found in islice(_URL.finditer(text), MAX_SPANS)
    ]


def find_phones(text: str) -> list[Span]:
    return [
        Span(found[0], found.start(), found.end(), 3)
        for found in islice(_PHONE.finditer(text), MAX_SPANS)
        if sum(sign.isdigit() for sign in found[0]) >= 7
    ]


def find_postcodes(text: str) -> list[Span]:
    """Five digits where a place is meant."""
    return [Span(found[1], found.start(1), found.end(1), 3) for found in islice(_POSTCODE.finditer(text), MAX_SPANS)]


def find_ips(text: str) -> list[Span]:
    found = []
    for one in islice(_IP.finditer(text), MAX_SPANS):
        try:
            ip_address(one[0].partition("/")[0])
        except ValueError:
            continue
        found.append(Span(one[0], one.start(), one.end(), 4))
    return found


def find_quoted(text: str) -> list[Span]:
    return [
        Span(said, found.start(), found.end(), 3)
        for found in islice(_QUOTED.finditer(text), MAX_SPANS)
        if (said := next(filter(None, found.groups()), "").strip())
    ]


def find_objects(text: str, kind: type) -> list[Span]:
    """JSON objects or arrays that stand in the text."""
    scan: Scan = Finder(text).scan(text)
    return [Span(one.value, one.start, one.end, 5) for one in scan.found if isinstance(one.value, kind)]


def find_currencies(text: str, tokens: Sequence[Word]) -> list[Span]:
    """ISO 4217 codes, by code, name or sign."""
    found: list[Span] = []
    for pair in islice(_PAIRS.finditer(text), MAX_SPANS):
        if pair[1].upper() in _CODES and pair[2].upper() in _CODES:
            found += [Span(pair[number].upper(), pair.start(number), pair.end(number), 4) for number in (1, 2)]
    paired = list(found)
    place = 0
    while place < len(tokens) and len(found) < MAX_SPANS:
        taken, code = _currency_at(tokens, place)
        if taken:
            start, end = tokens[place].start, tokens[place + taken - 1].end
            if not any(one.overlaps(start, end) for one in paired):
                found.append(Span(code, start, end, 3.5))
        place += max(1, taken)
    return sorted(found, key=lambda one: one.start)


def currency(text: str) -> str:
    """The code of a currency that is the whole text, or nothing."""
    low = " ".join(text.casefold().split())
    return text.strip().upper() if text.strip().upper() in _CODES else _PLURAL.get(low, _SIGNS.get(low, ""))


def _currency_at(tokens: Sequence[Word], place: int) -> tuple[int, str]:
    for count in (3, 2, 1):
        said = tokens[place : place + count]
        if len(said) == count and (code := _PLURAL.get(" ".join([word.low for word in said]), "")):
            return count, code
    text = tokens[place].text
    if text.upper() in _CODES and (text.isupper() or (text.islower() and text.upper() not in _WORDS)):
        return 1, text.upper()
    if text in _SIGNS:
        return 1, _SIGNS[text]
    return 0, ""


def as_id(text: str) -> str:
    """The id that a word is, without a leading `#`; nothing where it looks like no id: digits or capitals are in one."""
    return text.lstrip("#") if _ID.fullmatch(text) else ""


def is_numbered(text: str) -> bool:
    """Whether it has letters and digits: `b2`."""
    return any(sign.isdigit() for sign in text) and text[0].isalpha()


def is_telling_id(text: str) -> bool:
    """Whether it is one without anybody saying so: it has digits, and letters or many of them."""
    digits = sum(sign.isdigit() for sign in text)
    if _NUMBERED.fullmatch(text):
        return True
    return digits >= 4 or (digits >= 1 and any(sign.isalpha() for sign in text) and text[0].isupper())


def plain(value: Any) -> str:
    """A value as it could stand in a sentence."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value)
