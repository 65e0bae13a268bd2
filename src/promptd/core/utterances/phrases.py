"""Names, places and free text: what is known by the words before it, and by its capitals."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import Final, Literal

from promptd.core.utterances.text import Span, Word, listed, stem

_LONGEST: Final = 6  #: words of a name
_ARTICLES: Final = listed("a an the my our your his her their this that")
#: a name ends before these
STOPS: Final = listed(
    "in at on for from to of with by about and or but nor than then if so as that because while when where who whom whose why how "
    "what which there here is are was were be been being am do does did done have has had having will would shall should can "
    "could may might must the a an my our your his her their this these those it its i you he she we they me him us them "
    "next last past coming today tomorrow tonight yesterday now later soon ago please thanks thank over during within without including until till "
    "between via using per near around before after since not no yes ok okay just only also too again instead rather "
    "morning afternoon evening night noon midnight weekend week weeks month months year years day days hour hours minute minutes "
    "second seconds monday tuesday wednesday thursday friday saturday sunday one two three four five six seven eight nine ten "
    "eleven twelve dozen half any all some each every more less like look looking want need know get give show tell find make "
    "let lets let's i'm i'd i'll it's what's that's"
)
#: words that follow a preposition and name nothing
_IDLE: Final = listed(
    "celsius fahrenheit kelvin metric imperial general detail details total advance case fact english german french spanish "
    "particular person mind order short time touch progress place addition"
)
#: words that begin a sentence and name nothing
_STARTERS: Final = listed(
    "hi hello hey dear sure well maybe actually sorry great good check update start stop open close create file book reserve "
    "schedule send reboot restart convert change set add remove delete list search order buy cancel play call write "
    "weather forecast temperature"
)
_STATES: Final = listed(
    "al ak az ar ca co ct de fl ga hi id il in ia ks ky la me md ma mi mn ms mo mt ne nv nh nj nm ny nc nd oh ok or pa ri sc sd tn tx "
    "ut vt va wa wv wi wy dc uk us usa bc qc ab on nsw"
)
_TRAVEL: Final = listed("flight train ticket trip bus seat fly drive travel route distance journey ride way connection")
_LINKS: Final = listed("de del la las los le du da di do dos of the von van upon sur am den y e")
_SENTENCE: Final = re.compile(r"[.!?](?:\s|$)|[\n;]")
_LABELLED: Final = "(?:\\s*(?:is|are|was|to be|should be|should read|=|:|to|as|of)\\s*:?\\s*|\\s+)"
#: what introduces a text of its own
_SAYING: Final = re.compile(
    r"\b(?:saying(?: that)?|that (?:says|reads|states)|which (?:says|reads)|with the (?:text|words?|message|note|comment)|telling (?:him|her|them|everyone)(?: that)?|(?:tell|inform|remind|let) (?:\w+ ){1,3}?(?:know )?that)\b\s*:?\s*",
    re.IGNORECASE,
)
_SEARCH: Final = re.compile(
    r"\b(?:search(?:ing)?(?: (?:the )?\w+)? for|look(?:ing)? (?:up|for)|find(?: me)?(?: (?:some |any )?(?:information|info|something)(?: (?:on|about))?)?|google|learn about|know about|information (?:on|about)|ask(?:ing)? about)\b\s+",
    re.IGNORECASE,
)


#: how a name goes on behind a comma: as no place does, as the only place does, or as one of several
Place = Literal["", "alone", "among"]


def phrase_at(tokens: Sequence[Word], place: int) -> int:
    """Where the name ends that begins at `place`: the index behind its last word. Not a name: `place` itself."""
    end = place
    while end < len(tokens) and end - place < _LONGEST:
        word = tokens[end]
        glued = end == place or tokens[end - 1].is_word or tokens[end - 1].text == "."
        if word.text == "." and end > place and len(tokens[end - 1].text) <= 2 and tokens[end - 1].capital:
            end += 1  # `St. Louis`
            continue
        if not word.is_word or not glued or word.text[0].isdigit():
            break
        capital_follows = end + 1 < len(tokens) and tokens[end + 1].capital
        linked = end > place and word.low in _LINKS and capital_follows and tokens[place].capital
        if (
            word.low in STOPS
            and not linked
            and not (word.capital and end == place and capital_follows and len(word.low) > 3)
        ):
            break
        if end > place and tokens[place].capital and not word.capital and not linked:
            break
        end += 1
    while end > place and not tokens[end - 1].is_word:
        end -= 1
    return end


def after_words(
    text: str,
    tokens: Sequence[Word],
    cues: Collection[str],
    strength: float,
    *,
    place: Place,
    low: bool = True,
    known: Collection[str] = (),
) -> Iterator[Span]:
    """Names behind one of the words, that are no `known` word; `low`: they may be written without capitals; `place`:
    `City, State` is one name."""
    for number, word in enumerate(tokens[:-1]):
        if word.low not in cues or _is_verbal(tokens, number):
            continue
        first = number + 1
        while first < len(tokens) and tokens[first].low in _ARTICLES:
            first += 1
        end = phrase_at(tokens, first)
        if end == first or not (low or tokens[first].capital):
            continue
        if tokens[first].low in _IDLE or stem(tokens[first].low) in known:
            continue
        at_home = bool(_HOME & {one.low for one in tokens[max(0, number - 2) : number]})
        yield span(text, tokens, first, _ended(tokens, end, place), strength + 0.2 * tokens[first].capital - at_home)


_HOME: Final = listed("live lives living based born")  #: where somebody is, not where the wish is
#: `to` behind these begins a verb
_WISHES: Final = listed(
    "like want need wish have has going try love plan how able ready us me you where what when used got about glad happy"
)


def before_to(text: str, tokens: Sequence[Word], known: Collection[str], strength: float) -> Iterator[Span]:
    """The name in front of `to`, as in `flights boston to denver`."""
    for number in range(1, len(tokens) - 1):
        if tokens[number].low != "to" or _is_verbal(tokens, number):
            continue
        first = number
        while first and number - first < 3:
            word = tokens[first - 1]
            idle = word.low in STOPS or word.low in _STARTERS or stem(word.low) in known or stem(word.low) in _TRAVEL
            if not word.is_word or idle or word.text[0].isdigit():
                break
            first -= 1
        if first < number:
            yield span(text, tokens, first, number, strength)


def _is_verbal(tokens: Sequence[Word], place: int) -> bool:
    return place > 0 and tokens[place].low == "to" and tokens[place - 1].low in _WISHES


def _ended(tokens: Sequence[Word], end: int, place: Place) -> int:
    return with_state(tokens, end, alone=place == "alone") if place else end


def with_state(tokens: Sequence[Word], end: int, *, alone: bool = True) -> int:
    """Behind `, WA` or `, Germany`, where that comes next; not `alone`: what follows could be another place, unless it is a
    state's short name."""
    for _ in range(2):
        comma, word = tokens[end : end + 1], tokens[end + 1 : end + 2]
        if not (comma and word and comma[0].text == "," and word[0].is_word):
            break
        if word[0].low in _STATES and (word[0].text.isupper() or word[0].low not in STOPS | {"me", "ok", "hi", "us"}):
            end += 2
        elif alone and word[0].capital and (behind := phrase_at(tokens, end + 1)) > end + 1:
            end = behind
        else:
            break
    return end


def capitals(
    text: str, tokens: Sequence[Word], known: Collection[str], strength: float, *, place: Place
) -> Iterator[Span]:
    """Names that nothing introduces: words with a capital that are no `known` word and begin no sentence by chance."""
    number = 0
    while number < len(tokens):
        word = tokens[number]
        first = number == 0 or tokens[number - 1].text in ".!?:"
        idle = word.low in STOPS or word.low in _STARTERS or word.low in _IDLE or stem(word.low) in known
        if not (word.is_word and word.capital) or idle or len(word.text) < 2:
            number += 1
            continue
        end = phrase_at(tokens, number)
        while end > number + 1 and stem(tokens[end - 1].low) in known:
            end -= 1
        if end > number:
            end = _ended(tokens, end, place)
            yield span(
                text, tokens, number, end, strength - 0.5 * (first and end < len(tokens) and tokens[end].is_word)
            )
        number = max(end, number + 1)


def span(text: str, tokens: Sequence[Word], first: int, end: int, strength: float) -> Span:
    start, stop = tokens[first].start, tokens[end - 1].end
    said = text[start:stop]
    if said.endswith(("'s", "’s")):
        said, stop = said[:-2], stop - 2
    return Span(said, start, stop, strength)


def labelled(text: str, labels: Collection[str]) -> Iterator[tuple[int, bool]]:
    """Where the text behind one of the labels begins and whether it is surely its value: `note: …`, `the title is …`."""
    for label in labels:
        pattern = r"[\s_-]*".join(re.escape(part) for part in label.split())
        for found in re.finditer(rf"(?<!\w){pattern}(?!\w){_LABELLED}", text, re.IGNORECASE):
            sure = found[0].rstrip().endswith((":", "=")) or bool(
                re.search(r"\b(?:is|are|should be|should read)\s*$", found[0])
            )
            yield found.end(), sure


def sayings(text: str) -> Iterator[Span]:
    """What comes behind `saying` and its like, to the end."""
    for found in _SAYING.finditer(text):
        yield from _rest(text, found.end(), 4.0, whole=True)


def behind_colon(text: str) -> Iterator[Span]:
    """What comes behind the first colon, to the end: `message Bob: …`."""
    if found := re.search(r":\s+(?=\S+\s+\S)", text):
        yield from _rest(text, found.end(), 3.2, whole=True)


def searches(text: str) -> Iterator[Span]:
    for found in _SEARCH.finditer(text):
        yield from _rest(text, found.end(), 3.0, whole=False)


def _rest(text: str, start: int, strength: float, *, whole: bool) -> Iterator[Span]:
    end = _SENTENCE.search(text, start)
    stop = end.start() if end and not whole else len(text)
    said = text[start:stop]
    start += len(said) - len(said.lstrip())
    said = said.strip().strip("\"'“”").rstrip("?!") if not whole else said.strip().strip('"“”')
    if said:
        begin = text.find(said, start)
        yield Span(said, begin, begin + len(said), strength)


def rest_of_sentence(text: str, start: int, strength: float) -> Iterator[Span]:
    yield from _rest(text, start, strength, whole=False)
