"""Several values of one parameter: `devices A, B and C`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from promptd.core.utterances import phrases, shapes
from promptd.core.utterances.heard import Heard
from promptd.core.utterances.kinds import Kind, Subject
from promptd.core.utterances.quantities import unit_of
from promptd.core.utterances.text import Span, Word, stem

_MOST: Final = 256
_JOINTS: Final = frozenset([",", "and", "or", "&", ";", "plus", "as", "well"])
_SPLIT: Final = re.compile(r"\s*[,;\n]\s*(?:and\s+|or\s+)?|\s+(?:and|or|&)\s+", re.IGNORECASE)
_POLITE: Final = re.compile(r"\s+(?:please|thanks|thank you)$", re.IGNORECASE)
_TELLING: Final = 2.5  #: what a member must be without the others


def members(one: Subject, heard: Heard, singles: Sequence[Span]) -> list[Span]:
    """The list, in one span from its first member to its last; nothing where no member is there."""
    if written := heard.objects(one.parameter, list):
        return written[:1]
    if one.kind in (Kind.WORD, Kind.TEXT, Kind.SEARCH):
        found = _counted_up(one, heard.text, heard.tokens) or _taken(singles)
    elif one.kind is Kind.ID:
        found = _continued(_taken(singles), heard.tokens)
    else:
        found = _taken(singles)
    values: list[Any] = []
    for span in sorted(found, key=lambda span: span.start):
        if span.value not in values:
            values.append(span.value)
    if not values:
        return []
    strength = max(span.strength for span in found)
    return [Span(values[:_MOST], min(span.start for span in found), max(span.end for span in found), strength)]


def _taken(singles: Sequence[Span]) -> list[Span]:
    """The surest members, none in the place of another."""
    found: list[Span] = []
    for span in sorted(singles, key=lambda span: (-span.strength, span.start))[:_MOST]:
        if span.strength >= _TELLING and not any(span.overlaps(other.start, other.end) for other in found):
            found.append(span)
    return found


def _continued(found: Sequence[Span], tokens: Sequence[Word]) -> list[Span]:
    """Behind a member, whatever is joined to it is one as well."""
    result = list(found)
    by_end = {word.end: place for place, word in enumerate(tokens)}
    for first in found:
        place = by_end.get(first.end, len(tokens)) + 1
        while place < len(tokens) and len(result) < _MOST:
            joints = 0
            while place + joints < len(tokens) and tokens[place + joints].low in _JOINTS:
                joints += 1
            word = tokens[place + joints] if place + joints < len(tokens) else None
            said = shapes.as_id(word.text) if word and (joints or shapes.is_numbered(word.text)) else ""
            if word is None or not said or (word.low in phrases.STOPS and len(word.text) > 1):
                break
            behind = tokens[place + joints + 1 : place + joints + 2]
            if said.isdecimal() and behind and unit_of(behind[0].low):
                break  # `device K9, 2 days`
            if not any(span.overlaps(word.start, word.end) for span in result):
                result.append(Span(said, word.start, word.end, first.strength))
            place += joints + 1
    return result


def _counted_up(one: Subject, text: str, tokens: Sequence[Word]) -> list[Span]:
    """`toppings: cheese, ham and olives`, `with the toppings cheese and ham`, and just `with cheese and ham`."""
    wanted = {stem(word) for word in one.words}
    named = any(stem(word.text) in wanted for word in tokens)
    for place, word in enumerate(tokens[:-1]):
        if stem(word.text) not in wanted and (named or word.low != "with"):
            continue
        start = tokens[place + 1].end if tokens[place + 1].text in ":=" else word.end
        stop = re.search(r"[.!?\n]|$", text[start:])
        end = start + (stop.start() if stop else 0)
        found: list[Span] = []
        at = start
        for piece in _SPLIT.split(text[start:end]):
            said = _POLITE.sub("", piece.strip(" \"'“”,"))
            begin = text.find(said, at) if said else -1
            if begin < 0 or len(said.split()) > 4 or said.split()[0].casefold() in phrases.STOPS:
                break
            found.append(Span(said, begin, begin + len(said), 3.5))
            at = begin + len(said)
        if found:
            return found
    return []
