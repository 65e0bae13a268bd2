"""What a parameter is about, by its type, name, description and format."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import lru_cache
from typing import Final

import msgspec
from msgspec import Struct

from promptd.core.targets import Parameter
from promptd.core.utterances.options import options_in
from promptd.core.utterances.quantities import TIME_UNITS, unit_of
from promptd.core.utterances.text import listed, name_words, stem


class Kind(StrEnum):
    OPTION = "option"
    SWITCH = "switch"
    NUMBER = "number"
    DATE = "date"
    TIME = "time"
    MOMENT = "moment"  #: date and time
    DURATION = "duration"  #: as it was said: `two weeks`
    EMAIL = "email"
    IP = "ip"
    URL = "url"
    PHONE = "phone"
    CURRENCY = "currency"
    PLACE = "place"
    NAME = "name"
    ID = "id"
    TEXT = "text"  #: that somebody will read
    SEARCH = "search"  #: what is asked or looked for
    OBJECT = "object"
    WORD = "word"  #: anything else


class Subject(Struct, frozen=True):
    """A parameter as extraction sees it."""

    parameter: Parameter
    kind: Kind
    words: tuple[str, ...]  #: of its name
    nouns: frozenset[str]  #: stems of what it counts, names or belongs to
    unit: str = ""  #: of time, of a number
    side: str = ""  #: `start` or `end`, where there are two of a kind
    options: tuple[str, ...] = ()  #: that its description counts up

    @property
    def name(self) -> str:
        return self.parameter.name

    @property
    def many(self) -> bool:
        return self.parameter.type == "list"


_BY_NAME: Final = (
    (Kind.EMAIL, "email mail emails"),
    (Kind.IP, "ip ips"),
    (Kind.URL, "url urls link website uri"),
    (Kind.PHONE, "phone mobile telephone"),
    (Kind.CURRENCY, "currency currencies"),
    (Kind.MOMENT, "datetime timestamp"),
    (Kind.DATE, "date dates birthday dob deadline checkin checkout weekday"),
    (
        Kind.ID,
        "id ids identifier identifiers uuid code ref reference sku ticker symbol symbols serial vin isbn zip postcode",
    ),
    (Kind.PLACE, "location locations city cities place town destination origin country state region address airport"),
    (
        Kind.TEXT,
        "message messages note notes content body text comment comments reason subject title summary details remark",
    ),
    (Kind.SEARCH, "query question prompt search term keyword keywords topic"),
    (
        Kind.NAME,
        "name names person customer recipient artist author contact employee user patient company team channel guest",
    ),
    (Kind.TIME, "time"),
)
_BY_DESCRIPTION: Final = (
    (Kind.EMAIL, "email e-mail"),
    (Kind.IP, "ip"),
    (Kind.URL, "url"),
    (Kind.CURRENCY, "currency currencies"),
    (Kind.DATE, "date"),
    (Kind.ID, "id ids identifier identifiers"),
    (Kind.PLACE, "city location country"),
)
_COUNTS: Final = listed(
    "count quantity qty number num amount age days hours minutes weeks months years nights seconds people guests persons passengers "
    "travelers adults children seats rooms price budget deductible temperature percentage percent limit"
)
_DURATIONS: Final = listed("duration period range timeframe timespan")
_VAGUE: Final = listed(
    "number num count of amount total max min maximum minimum quantity qty value in the id ids is to from per"
)
_PEOPLE: Final = listed(
    "person people guest passenger traveler traveller seat adult party attendee participant visitor"
)
_MONEY: Final = listed(
    "price amount cost budget deductible fee payment salary premium balance money sum dollar usd euro"
)
_START: Final = listed(
    "start from begin beginning checkin departure depart origin source base since after first check in"
)
_END: Final = listed("end to until till checkout return destination target dest arrival before due last out quote")
_NUMBER_OF: Final = re.compile(
    r"\b(?:number|count|amount) of (?:the )?(\w+)(?: (\w+))?|\bhow many (\w+)(?: (\w+))?", re.IGNORECASE
)


@lru_cache(1024)
def _subject(encoded: bytes) -> Subject:
    parameter = msgspec.json.decode(encoded, type=Parameter)
    words = name_words(parameter.name)
    described = re.findall(r"[a-z][a-z-]*", parameter.description[:1000].casefold())
    kind = _kind(parameter, words, described)
    told = [word for word in described if word.endswith("s")] if not set(map(stem, words)) & _MONEY else []
    unit = next((unit for word in [*words, *told] if (unit := unit_of(word) if len(word) > 2 else "")), "")
    nouns = {stem(word) for word in words if word not in _VAGUE and not unit_of(word)}
    for found in _NUMBER_OF.finditer(parameter.description[:1000]):
        nouns |= {stem(word) for word in found.groups() if word and word not in _VAGUE and not unit_of(word)}
    if nouns & _PEOPLE:
        nouns |= _PEOPLE
    side = "start" if set(words) & _START else "end" if set(words) & _END else ""
    options = options_in(parameter.description[:1000]) if kind in (Kind.WORD, Kind.NAME) else ()
    return Subject(parameter, kind, words, frozenset(nouns), unit if kind is Kind.NUMBER else "", side, options)


def subject(parameter: Parameter) -> Subject:
    """What a parameter is about; parameters of a configuration are looked at once."""
    return _subject(msgspec.json.encode(parameter))


def is_money(one: Subject) -> bool:
    return bool(one.nouns & _MONEY)


def _kind(parameter: Parameter, words: tuple[str, ...], described: list[str]) -> Kind:
    if parameter.enum:
        return Kind.OPTION
    by_type = {"bool": Kind.SWITCH, "dict": Kind.OBJECT, "int": Kind.NUMBER, "float": Kind.NUMBER}.get(parameter.type)
    if by_type:
        return by_type
    form = parameter.format.casefold()
    if "yy" in form or "%y" in form or form in ("date", "date-time"):
        return Kind.MOMENT if "hh" in form or "%h" in form or form == "date-time" else Kind.DATE
    if re.search(r"\bhh\b|\bhh:", form):
        return Kind.TIME
    if "city" in form:
        return Kind.PLACE
    said = set(words)
    if said & _DURATIONS and not said & set(TIME_UNITS):
        return Kind.DURATION
    named = _first(_BY_NAME, said)
    if words == ("day",):
        return Kind.DATE
    if words and words[-1] == "number":
        return named or Kind.ID
    if said & (_COUNTS | set(TIME_UNITS)) and named not in (Kind.ID, Kind.NAME, Kind.PHONE, Kind.DATE):
        return Kind.NUMBER
    return named or _first(_BY_DESCRIPTION, set(described)) or Kind.WORD


def _first(table: tuple[tuple[Kind, str], ...], said: set[str]) -> Kind | None:
    return next((kind for kind, named in table if said & listed(named)), None)
