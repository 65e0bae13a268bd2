"""Values out of a list: by their own words, simple synonyms, and with slips of the pen."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from promptd.core.utterances.numbers import find_numbers
from promptd.core.utterances.shapes import plain
from promptd.core.utterances.text import Span, Word, in_order, is_close, listed, name_words, stem

_CLOSE: Final = 64  #: options that are compared letter by letter
_WORDS: Final = 400  #: words of a turn that are
_NOT: Final = listed("not no without except don't dont never isn't")
_GROUPS: Final = (
    "celsius centigrade c metric °c",
    "fahrenheit f imperial °f",
    "kelvin k",
    "car auto automobile vehicle motor",
    "home house homeowner property",
    "bike bicycle cycle",
    "motorcycle motorbike",
    "high urgent critical",
    "medium normal moderate",
    "low minor",
    "economy coach",
    "business",
    "first",
    "big large",
    "small little",
    "cheap budget",
    "fast express quick",
    "contract contractor temporary",
    "fte full-time permanent fulltime",
    "part-time parttime",
    "europe european emea",
    "asia asian apac",
    "us usa america american americas",
    "yes true on enable enabled",
    "no false off disable disabled",
    "daily day",
    "weekly week",
    "monthly month",
    "yearly annual annually year",
    "hourly hour",
)
_SYNONYMS: Final[Mapping[str, frozenset[str]]] = {word: listed(group) for group in _GROUPS for word in in_order(group)}
_LISTED: Final = re.compile(
    r"(?:one of|either|such as|e\.?g\.?,?|for example|for instance|like|options?(?: are)?:|values?(?: are)?:|choose from|:)\s*:?\s*([^.()\n]{3,200})",
    re.IGNORECASE,
)


def find_options(options: Collection[Any], text: str, tokens: Sequence[Word]) -> Iterator[Span]:
    """Where an option is said; not where it is said not to be it."""
    numeric = any(isinstance(option, int | float) for option in options)
    numbers = {number.value: number for number in reversed(find_numbers(text, tokens))} if numeric else {}
    places: dict[str, list[int]] = {}
    for place, word in enumerate(tokens[:_WORDS]):
        for form in {word.low, stem(word.low)}:
            places.setdefault(form, []).append(place)
    known = {part for option in options for part in _forms(option)[0]}
    for number, option in enumerate(options):
        if isinstance(option, int | float) and not isinstance(option, bool):
            if option in numbers:
                yield Span(option, numbers[option].start, numbers[option].end, 4)
            continue
        forms, synonyms = _forms(option)
        yield from _phrase(option, forms, tokens, places, 4)
        if len(forms) == 1:
            for other in sorted(synonyms - known):
                yield from _phrase(option, tuple(other.split("-")), tokens, places, 3.5)

            if number < _CLOSE:
                yield from _slips(option, forms[0], tokens, places, known)


def option_for(options: Collection[Any], value: Any) -> Any:
    """The option that a value means, by its letters alone; None where it is none of them."""
    if value in options:
        return next(option for option in options if option == value)
    low = " ".join(name_words_of(value))
    return next((option for option in options if " ".join(name_words_of(option)) == low), None)


def name_words_of(option: Any) -> tuple[str, ...]:
    """`first_class`, `First class` and `first-class` are the same words."""
    return tuple(re.findall(r"[^\W_]+|[^\w\s-]", plain(option).casefold()))


def options_in(description: str) -> tuple[str, ...]:
    """Values that a description counts up: `Type of policy: auto, home or boat`."""
    found = _LISTED.search(description)
    if found is None:
        return ()
    parts = [part.strip(" '\"`“”") for part in re.split(r",|/|\bor\b|\band\b|\betc\b", found[1])]
    said = [part for part in parts if part]
    return tuple(said) if len(said) > 1 and all(len(part.split()) <= 3 for part in said) else ()


def _forms(option: Any) -> tuple[tuple[str, ...], frozenset[str]]:
    forms = name_words_of(option)
    camel = name_words(option) if isinstance(option, str) and len(forms) == 1 and not option.isupper() else ()
    forms = camel if len(camel) > 1 else forms
    return forms, _SYNONYMS.get(forms[0], frozenset()) if len(forms) == 1 else frozenset()


def _phrase(
    option: Any, forms: Sequence[str], tokens: Sequence[Word], places: Mapping[str, list[int]], strength: float
) -> Iterator[Span]:
    if not forms:
        return
    for place in [*places.get(forms[0], ()), *(places.get(stem(forms[0]), ()) if stem(forms[0]) != forms[0] else ())]:
        end, number = place, 0
        while number < len(forms) and end < len(tokens):
            if tokens[end].low in (forms[number], f"{forms[number]}s") or stem(tokens[end].low) == stem(forms[number]):
                number += 1
            elif tokens[end].low != "-" or number == 0:
                break
            end += 1
        if number == len(forms) and not _denied(tokens, place):
            yield Span(option, tokens[place].start, tokens[end - 1].end, strength + 0.01 * len(forms))
    joined = "-".join(forms)
    if len(forms) > 1:
        for place in places.get(joined, ()):
            yield Span(option, tokens[place].start, tokens[place].end, strength)


def _slips(
    option: Any, form: str, tokens: Sequence[Word], places: Mapping[str, list[int]], known: Collection[str]
) -> Iterator[Span]:
    for said, where in places.items():
        if said != form and is_close(said, form, known) and stem(said) != stem(form) and not _denied(tokens, where[0]):
            yield Span(option, tokens[where[0]].start, tokens[where[0]].end, 3)


def _denied(tokens: Sequence[Word], place: int) -> bool:
    return any(word.low in _NOT for word in tokens[max(0, place - 2) : place])
