"""From what a user said to the values of parameters.

Every reader offers spans, each with how surely it is meant for this parameter; the surest take their places first. Nothing
is made up: a value is what stands at its place, or what that means as a number, a date, an option or a code.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final

from msgspec import Struct

from promptd.core.targets import Parameter
from promptd.core.utterances.candidates import candidates
from promptd.core.utterances.heard import Heard
from promptd.core.utterances.kinds import Kind, Subject, subject
from promptd.core.utterances.phrases import STOPS
from promptd.core.utterances.text import Span, Utterance, recent, tidy, words

_OFFERS: Final = 256  #: spans per parameter and turn
_BARE: Final = frozenset({Kind.PLACE, Kind.NAME, Kind.ID, Kind.WORD, Kind.TEXT, Kind.SEARCH, Kind.DURATION})
_FREE: Final = frozenset({Kind.TEXT, Kind.SEARCH})
_LONGEST: Final = 8  #: words of a bare answer that is no free text
_CORRECTED: Final = re.compile(
    r"\b(?:no wait|wait|actually|i mean|i meant|sorry|make (?:it|that)|(?:what|how) about|rather|correction|instead)\b",
    re.IGNORECASE,
)
_OPENING: Final = re.compile(
    r"^(?:(?:oh|um+|uh|well|ok(?:ay)?|sure|yes|yeah|so|it['’]?s|it is|that['’]?s|that is|they are|i['’]?d like|i would like|i want|let['’]?s say|"
    r"make it|make that|please|just|about|for|in|at|on|to|from|with|by|the|my|use|take|say|actually|sorry|i mean|rather)\b[\s,:]*)+",
    re.IGNORECASE,
)
_CLOSING: Final = re.compile(
    r"(?:[\s,]*+\b(?:please|thanks|thank you|thx|ok(?:ay)?|i think|i guess|ones?)\b|[\s.,;!]++)++$", re.IGNORECASE
)
_PIECES: Final = re.compile(r"\s*[,;\n]\s*(?:and\s+)?|\s+and\s+", re.IGNORECASE)
_NO_ANSWER: Final = re.compile(
    r"\?|\b(?:don['’]?t (?:know|care|mind)|do not (?:know|care|mind)|not sure|no idea|whatever|anything|any of|what do you|why|which|skip|none|nothing|"
    r"can(?:not|['’]?t) (?:say|tell)|forget|never ?mind|hello|help|thanks?|thank you)\b",
    re.IGNORECASE,
)


class _Offer(Struct, frozen=True):
    of: int
    span: Span

    @property
    def rank(self) -> tuple[float, int, int, int]:
        return (-self.span.strength, self.span.start, -self.span.end, self.of)


def extract(parameters: Sequence[Parameter], said: Sequence[Utterance], *, today: date) -> dict[str, Any]:
    """The values that the user told, by the name of their parameter; what nobody told is not in it.

    Later turns win where they are an answer, a correction or clearly say it again. Takes time in proportion to what was
    said, of which the last turns are heard.
    """
    subjects = [subject(one) for one in parameters]
    values: dict[str, Any] = {}
    heard = recent([one.text for one in said])
    for utterance in said[len(said) - heard :]:
        values |= _hear(subjects, utterance, values, today)
    return {one.name: values[one.name] for one in parameters if one.name in values}


def _hear(subjects: Sequence[Subject], utterance: Utterance, known: Mapping[str, Any], today: date) -> dict[str, Any]:
    text = tidy(utterance.text)
    heard = Heard(text, words(text), today)
    corrected = [found.start() for found in _CORRECTED.finditer(text)]
    offers = [
        _Offer(number, _weighed(span, one, utterance, corrected))
        for number, one in enumerate(subjects)
        for span in candidates(one, heard, subjects)[:_OFFERS]
    ]
    taken: dict[int, Span] = {}
    for offer in sorted(offers, key=lambda one: one.rank):
        one = subjects[offer.of]
        if offer.of in taken or any(offer.span.overlaps(other.start, other.end) for other in taken.values()):
            continue
        if one.name not in known or one.name in utterance.asked or _says_again(one, offer.span, text, corrected):
            taken[offer.of] = offer.span
    found = {subjects[number].name: span.value for number, span in taken.items()}
    return found | _bare(subjects, utterance, text, taken)


def _weighed(span: Span, one: Subject, utterance: Utterance, corrected: Sequence[int]) -> Span:
    """What was asked for, and what comes behind a correction, is more likely meant."""
    more = 0.25 * (one.name in utterance.asked) + 0.5 * any(place < span.start for place in corrected)
    return span.meant(span.strength + more) if more else span


def _says_again(one: Subject, span: Span, text: str, corrected: Sequence[int]) -> bool:
    """Whether a value that was known is replaced by what a later turn says."""
    if any(place < span.start for place in corrected):
        return span.strength >= 2.5
    named = one.kind not in (Kind.PLACE, Kind.NAME, Kind.WORD) or text[span.start : span.start + 1].isupper()
    return span.strength >= 4 and named


def _bare(subjects: Sequence[Subject], utterance: Utterance, text: str, taken: Mapping[int, Span]) -> dict[str, Any]:
    """Answers without any word around them, for what was asked and is still open."""
    waiting = [
        one
        for name in utterance.asked
        for number, one in enumerate(subjects)
        if one.name == name and number not in taken and one.kind in _BARE
    ]
    if not waiting or (_NO_ANSWER.search(text) and not (len(waiting) == 1 and waiting[0].kind in _FREE)):
        return {}
    rests = _between(text, list(taken.values()))
    parts = rests if len(waiting) == 1 else [piece for rest in rests for piece in _PIECES.split(rest)]
    said = [piece for part in parts if (piece := _peeled(part))]
    if len(said) > len(waiting):
        return {}
    found = {}
    for one, piece in zip(waiting, said, strict=False):
        if one.kind in _FREE or (len(piece.split()) <= _LONGEST and piece.casefold() not in STOPS):
            found[one.name] = [part for part in _PIECES.split(piece) if part] if one.many else piece
    return found


def _between(text: str, spans: Sequence[Span]) -> list[str]:
    """What is left of a text before, between and behind the values that were found."""
    pieces, place = [], 0
    for span in sorted(spans, key=lambda one: one.start):
        pieces.append(text[place : span.start])
        place = max(place, span.end)
    return [*pieces, text[place:]]


def _peeled(piece: str) -> str:
    """An answer without the politeness around it."""
    plain = _CLOSING.sub("", piece.strip(" \t\r\n,;."))
    core = _OPENING.sub("", plain).strip(" \t\r\n,;.\"'“”")
    while (last := core.rpartition(" ")) and last[1] and last[2].casefold() in STOPS:
        core = last[0].rstrip(" ,;")
    return core if re.search(r"\w", core) else ""
