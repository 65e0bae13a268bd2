"""Readers: what in a text could be the value of a parameter."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final

from promptd.core.utterances import measures, phrases, shapes
from promptd.core.utterances.heard import Heard
from promptd.core.utterances.kinds import Kind, Subject
from promptd.core.utterances.lists import members
from promptd.core.utterances.options import find_options
from promptd.core.utterances.text import Span, first_from, listed, stem

_FROM: Final = listed("from between since starting beginning leaving departing of checkin arriving base")
_TO: Final = listed("to against versus vs until till through into and ending returning return checkout towards")
_BETWEEN: Final = listed("on the a an at")


def candidates(one: Subject, heard: Heard, others: Sequence[Subject]) -> list[Span]:
    """What the parameter could be, each as a value of its type."""
    if one.many:
        return members(one, heard, list(_single(one, heard, others)))
    return [span for span in _single(one, heard, others) if span.value is not None]


def _single(one: Subject, heard: Heard, others: Sequence[Subject]) -> Iterator[Span]:
    if one.kind is Kind.NUMBER:
        yield from measures.numbers(one, heard, others)
        return
    for span in _READERS[one.kind](one, heard):
        yield _sided(span, one, heard) if one.side and one.kind in _SIDED else span


def _sided(span: Span, one: Subject, heard: Heard) -> Span:
    """Stronger behind the words of its own side (`from` … `to`), weaker behind those of the other."""
    word = _cue(span, heard)
    if word not in _FROM and word not in _TO:
        return span
    right = word in (_FROM if one.side == "start" else _TO)
    return span.meant(span.strength + (1 if right else -1.5))


def _cue(span: Span, heard: Heard) -> str:
    """The word in front that says which of two it is."""
    return next((word for word in heard.before(span.start) if word not in _BETWEEN), "")


def _currencies(one: Subject, heard: Heard) -> Iterator[Span]:
    """Where there is one parameter for two currencies, it is what the money is changed to."""
    for span in heard.currencies:
        aim = not one.side and _cue(span, heard) in {"to", "into", "in", "against", "versus", "vs"}
        yield span.meant(span.strength + 0.5 * aim)


def _options(one: Subject, heard: Heard) -> Iterator[Span]:
    for span in find_options(one.parameter.enum, heard.text, heard.tokens):
        yield _sided(span, one, heard) if one.side else span


def _switches(one: Subject, heard: Heard) -> Iterator[Span]:
    """On where its words are said, off where they are denied; a bare yes or no is for whoever was asked."""
    lows = [stem(word.text) for word in heard.tokens]
    vague = listed("include including is has have with enable enabled show use only want should be get flag as")
    wanted = {stem(word) for word in one.words if word not in vague}
    for place, low in enumerate(lows):
        if low in wanted and wanted <= set(lows[max(0, place - 3) : place + 4]):
            around = [word.low for word in heard.tokens[max(0, place - 4) : place]]
            after = [word.low for word in heard.tokens[place + 1 : place + 4]]
            denied = {"no", "not", "without", "don't", "dont", "never", "exclude", "disable", "skip"} & set(around)
            off = denied or {"off", "false", "disabled"} & set(after)
            yield Span(not off, heard.tokens[place].start, heard.tokens[place].end, 4)
    first = heard.tokens[0].low if heard.tokens else ""
    said = {
        "yes": True,
        "yeah": True,
        "yep": True,
        "sure": True,
        "true": True,
        "no": False,
        "nope": False,
        "false": False,
    }
    if first in said:
        yield Span(said[first], heard.tokens[0].start, heard.tokens[0].end, 1.5)


#: words of descriptions that are never the value
_VAGUE: Final = listed(
    "city town country state place area region zip code forecast temperature condition information info status report current"
)


def _places(one: Subject, heard: Heard) -> Iterator[Span]:
    where: phrases.Place = "among" if one.side else "alone"
    text, tokens, known = heard.text, heard.tokens, _known(one) | _VAGUE
    if one.side == "start":
        yield from phrases.after_words(text, tokens, {"from", "leaving", "departing"}, 4, place=where, known=known)
        yield from phrases.before_to(text, tokens, known, 3)
    elif one.side == "end":
        yield from phrases.after_words(text, tokens, {"to", "into", "towards"}, 4, place=where, known=known)
        yield from phrases.after_words(text, tokens, {"in", "for", "near"}, 3.5, place=where, low=False, known=known)
    else:
        yield from phrases.after_words(text, tokens, {"in", "near", "around", "at"}, 4, place=where, known=known)
        yield from phrases.after_words(text, tokens, {"for", "about"}, 3.2, place=where, known=known)
        yield from phrases.after_words(text, tokens, {"to", "from", "of"}, 3.2, place=where, low=False, known=known)
    yield from phrases.capitals(text, tokens, known, 2.5, place=where)
    yield from shapes.find_postcodes(text)
    yield from _labelled(one, heard)


def _names(one: Subject, heard: Heard) -> Iterator[Span]:
    text, tokens = heard.text, heard.tokens
    yield from (span.meant(3.5) for span in heard.quoted)
    yield from phrases.after_words(text, tokens, {"named", "called"}, 4.2, place="")
    yield from phrases.after_words(
        text, tokens, {stem(word) for word in one.words} - {"name"}, 3.8, place="", low=False
    )
    yield from phrases.after_words(
        text, tokens, {"for", "to", "with", "by", "from", "of", "at", "about"}, 3.2, place="", low=False
    )
    yield from phrases.capitals(text, tokens, _known(one), 2.5, place="")
    yield from _chosen(one, heard)
    yield from _labelled(one, heard)


def _known(one: Subject) -> set[str]:
    return {stem(word) for word in (*one.words, *re.findall(r"\w+", one.parameter.description[:1000]))}


def _ids(one: Subject, heard: Heard) -> Iterator[Span]:
    """Behind the noun that it belongs to (`claim CLM-12`), or because it looks like nothing else."""
    yield from (span.meant(3.5) for span in heard.quoted if " " not in str(span.value))
    noise = {"id", "ids", "number", "no", "no.", "#", ":", "=", "is", "are", "identifier", "with", "the", "code", "."}
    for place, word in enumerate(heard.tokens):
        if stem(word.text) in one.nouns or word.low in ("id", "ids", "#"):
            number = place + 1
            while number < len(heard.tokens) and number < place + 5 and heard.tokens[number].low in noise:
                number += 1
            if number < len(heard.tokens) and (span := _id(heard, number, 4.0 if word.low != "id" else 3.8)):
                yield span
    for place, word in enumerate(heard.tokens):
        head, dash, _ = word.low.partition("-")
        if word.low in ("called", "named") and place + 1 < len(heard.tokens):
            name = heard.tokens[place + 1]
            if name.is_word and name.low not in phrases.STOPS:
                yield Span(name.text, name.start, name.end, 4)
        if (dash and head in one.nouns) or shapes.is_telling_id(word.text):
            if span := _id(heard, place, 4.0 if dash and head in one.nouns else 2.5):
                yield span
        elif word.text.isalpha() and len(word.text) <= 5 and {"symbol", "ticker"} & set(one.words):
            cued = place > 0 and heard.tokens[place - 1].low in ("symbol", "ticker") and word.low not in phrases.STOPS
            if cued or (word.text.isupper() and len(word.text) > 1):
                yield Span(word.text, word.start, word.end, 3 + cued)


def _id(heard: Heard, place: int, strength: float) -> Span | None:
    word = heard.tokens[place]
    said = shapes.as_id(word.text)
    if re.match(r"[/.:]\w", heard.text[word.end : word.end + 2]):
        return None  # the beginning of something longer
    if not said or (
        word.low in phrases.STOPS and not (len(word.text) == 1 and word.text.isupper() and word.text != "I")
    ):
        return None
    if strength < 3 and any(
        span.overlaps(word.start, word.end) for span in [*heard.dates, *heard.shaped, *heard.times]
    ):
        return None
    return Span(said, word.start, word.end, strength)


def _texts(one: Subject, heard: Heard) -> Iterator[Span]:
    yield from (span.meant(4.5) for span in heard.quoted)
    yield from phrases.sayings(heard.text)
    yield from phrases.behind_colon(heard.text)
    yield from _labelled(one, heard, 4.2)


def _searches(one: Subject, heard: Heard) -> Iterator[Span]:
    yield from (span.meant(4) for span in heard.quoted)
    yield from phrases.searches(heard.text)
    yield from _labelled(one, heard)
    said = heard.text.strip()
    if {"query", "question", "prompt"} & set(one.words) and len(heard.tokens) > 1:
        start = heard.text.find(said)
        yield Span(said, start, start + len(said), 0.5)


def _words(one: Subject, heard: Heard) -> Iterator[Span]:
    yield from (span.meant(3) for span in heard.quoted)
    yield from _chosen(one, heard)
    yield from _labelled(one, heard)
    if one.words and one.words[-1] in ("type", "kind", "category", "class"):
        heads = {stem(word) for word in one.words[:-1]}
        heads |= {"insurance"} if "policy" in heads else set()
        for before, word in pairwise(heard.tokens):
            idle = before.low in phrases.STOPS or before.low in _ADJECTIVES or stem(before.text) in heads
            if stem(word.text) in heads and before.is_word and not idle:
                yield Span(before.text, before.start, before.end, 3)


_ADJECTIVES: Final = listed("new current existing old insurance specific certain other different same first second")


def _chosen(one: Subject, heard: Heard) -> Iterator[Span]:
    for span in find_options(one.options, heard.text, heard.tokens):
        yield span.meant(span.strength - 0.2)


def _labelled(one: Subject, heard: Heard, sure: float = 4.0) -> Iterator[Span]:
    """`title: Budget review`, `the title is Budget review`."""
    labels = (
        {tuple(one.words), one.words[-1:], tuple(map(stem, one.words)), (stem(one.words[-1]),)} if one.words else ()
    )
    for start, certain in phrases.labelled(heard.text, sorted({" ".join(label) for label in labels})):
        if one.kind in (Kind.TEXT, Kind.SEARCH) and certain:
            yield from phrases.rest_of_sentence(heard.text, start, sure)
        elif certain:
            first = first_from(heard.tokens, start)
            end = phrases.phrase_at(heard.tokens, first)
            end = max(end, first + 1) if first < len(heard.tokens) and heard.tokens[first].is_word else end
            if end > first:
                end = phrases.with_state(heard.tokens, end, alone=not one.side) if one.kind is Kind.PLACE else end
                yield phrases.span(heard.text, heard.tokens, first, end, sure)


def _objects(one: Subject, heard: Heard) -> Iterator[Span]:
    yield from heard.objects(one.parameter, dict)


_Reader = Callable[[Subject, Heard], Iterator[Span]]
_SIDED: Final = frozenset({Kind.DATE, Kind.TIME, Kind.MOMENT, Kind.CURRENCY, Kind.PLACE, Kind.EMAIL})
_READERS: Final[Mapping[Kind, _Reader]] = {
    Kind.OPTION: _options,
    Kind.SWITCH: _switches,
    Kind.DATE: measures.dates,
    Kind.TIME: measures.times,
    Kind.MOMENT: measures.moments,
    Kind.DURATION: measures.durations,
    Kind.EMAIL: lambda one, heard: iter(shapes.find_emails(heard.text)),
    Kind.IP: lambda one, heard: iter(shapes.find_ips(heard.text)),
    Kind.URL: lambda one, heard: iter(shapes.find_urls(heard.text)),
    Kind.PHONE: lambda one, heard: iter(shapes.find_phones(heard.text)),
    Kind.CURRENCY: _currencies,
    Kind.PLACE: _places,
    Kind.NAME: _names,
    Kind.ID: _ids,
    Kind.TEXT: _texts,
    Kind.SEARCH: _searches,
    Kind.OBJECT: _objects,
    Kind.WORD: _words,
}
