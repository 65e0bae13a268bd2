"""The built-in guard: length, forbidden words, forbidden patterns. It works offline and in time linear in the text.

Words are found by one Aho-Corasick automaton, patterns by one RE2 set; neither can be made slow by clever input. Like
every guard it must fail closed: whatever `inspect` raises has to become a refusal where it is called.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import ahocorasick
import re2
from pydantic import BaseModel, ConfigDict, Field

from promptd.core.content import Turn
from promptd.core.engine import Config
from promptd.core.errors import SettingsError
from promptd.core.guarding import ALLOWED, GuardTools
from promptd.core.model import Verdict
from promptd.guards.patterns import PatternSet, compiled
from promptd.guards.texts import LARGE, texts_of
from promptd.guards.widths import longest_match

_FEW: Final = 16
_SHORT: Final = 256  #: characters of these words together

#: Found in place of a pattern where the memory ran out
_UNCHECKED: Final = "not checked, out of memory"

#: A reach beyond so many characters is none: holding so much of an answer back is as good as holding all
_FAR: Final = 4_096

#: What asserts the edge of a text, in RE2's syntax; the edge of a word is the same beside a line's end
_ANCHORS: Final = ("^", "$", r"\A", r"\z")

#: Characters that are normalized at once
_PIECE: Final = 16_384

#: Characters that are not seen (Default_Ignorable_Code_Point); they must not hide a word
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]+"
)

#: Sorting a run of combining marks takes quadratic time; a run of more than 30 is not language (UAX #15, stream-safe)
_MARKS: Final = re2.compile(r"([\p{M}\x{FF9E}\x{FF9F}]{30})[\p{M}\x{FF9E}\x{FF9F}]+")


class NamedPattern(BaseModel):
    """A regular expression in RE2 syntax (no look-around, no back-references) and the name that refusals show."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, description="Shown as the reason of the refusal.")
    pattern: str = Field(min_length=1, description="Regular expression in RE2 syntax, searched in the text as written.")
    category: str = Field("", description="What a text is that matches. Default: the name.")


class WordList(BaseModel):
    """Words of one category."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    category: str = Field(min_length=1, description="What a text is that holds one of the words.")
    words: tuple[str, ...] = Field(min_length=1, description="Words and phrases, as in the blocklist.")


class RulesConfig(Config):
    """What is refused. By default, nothing."""

    max_chars: int | None = Field(None, ge=1, description="Longest text, in characters over all messages.")
    blocklist: tuple[str, ...] = Field((), description="Words and phrases, in any case and any form of letters.")
    lists: tuple[WordList, ...] = Field((), description="More words and phrases, by category.")
    whole_words: bool = Field(
        True, description="A word counts only between non-letters. Turn it off for Chinese or Thai."
    )
    patterns: tuple[NamedPattern, ...] = Field((), description="Patterns that are refused.")


class Rules:
    """The guard. Raises `SettingsError` where a rule can't be enforced; `key` is its path below the guard's settings.

    A refused text is told with the categories of all rules that it breaks; those without one have their own name, or
    `blocklist`, or `length`.
    """

    config_class: Final = RulesConfig

    def __init__(self, config: RulesConfig = RulesConfig(), tools: GuardTools | None = None) -> None:  # noqa: B008 - frozen
        self._max_chars = config.max_chars
        self._whole_words = config.whole_words
        words = [_Word(word, "blocklist", f"blocklist[{at}]") for at, word in enumerate(config.blocklist)]
        for number, one in enumerate(config.lists):
            words += [_Word(word, one.category, f"lists[{number}].words[{at}]") for at, word in enumerate(one.words)]
        self._words = _automaton(words) if words else None
        #: what a text surely holds that holds one of the words: so few are looked for one by one, which costs less than a
        #: step of the automaton for each letter
        normal: list[str] = list(self._words.keys()) if self._words is not None else []
        self._few = tuple({word.partition(" ")[0] for word in normal}) if len(normal) <= _FEW else ()
        self._has_phrases = any(" " in word for word in normal)
        short = self._few if sum(map(len, self._few)) <= _SHORT else ()
        self._patterns = _PatternSet(config.patterns, short) if config.patterns else None
        #: patterns and words in one pass, for texts that are ASCII
        self._quick = self._patterns.quick if self._patterns is not None else None
        #: characters that a finding may span at most; None: nobody can say, or the length of all counts
        self.reach = _reach(config, normal)

    async def inspect(self, messages: Sequence[Turn]) -> Verdict:
        """Judge everything the messages say, tool calls included; the first rule that is broken is the reason."""
        verdict = self.at_once(messages)
        if verdict is None:
            texts = texts_of(messages)
            verdict = await asyncio.to_thread(self._judge, texts, "\n".join(texts))
        return verdict

    def at_once(self, messages: Sequence[Turn]) -> Verdict | None:
        """As `inspect`; None where they say so much that it takes a thread."""
        texts = texts_of(messages)
        if self._max_chars is not None and sum(map(len, texts)) > self._max_chars:
            return Verdict(False, "length", 1.0, {"length": 1.0})
        joined = "\n".join(texts)
        if len(joined) > LARGE:
            return None
        return ALLOWED if self._is_clean(joined) else self._first_broken(texts)

    def _judge(self, texts: Sequence[str], joined: str) -> Verdict:
        return ALLOWED if self._is_clean(joined) else self._first_broken(texts)

    def _first_broken(self, texts: Sequence[str]) -> Verdict:
        for place, text in enumerate(texts):
            if self._words is not None and (word := next(self._forbidden_words(normalize(text)), None)) is not None:
                return Verdict(False, f"blocklist: {word.text}", 1.0, self._categories(texts[place:]))
            if self._patterns is not None and (names := self._patterns.search(text)):
                return Verdict(False, f"pattern: {names[0]}", 1.0, self._categories(texts[place:]))
        return ALLOWED

    def _is_clean(self, text: str) -> bool:
        """Whether none of the texts that are joined here breaks a rule: one look at all of them, as most break none.

        What goes on from one text to the next may look like a word or a match, and is looked at again.
        """
        quick, patterns = self._quick, self._patterns
        if quick is not None and text.isascii() and quick.finds_nothing(text.encode()):
            return True
        if self._words is not None:
            normal = normalize(text)
            may_hold = not self._few
            for word in self._few:
                if word in normal:
                    may_hold = True
            if may_hold and next(self._forbidden_words(normal), None) is not None:
                return False
        return patterns is None or (not patterns.anchored and not patterns.search(text))

    def _categories(self, texts: Sequence[str]) -> dict[str, float]:
        """Of all that is wrong with the texts. Only a refusal pays for it."""
        found: dict[str, float] = {}
        for text in texts:
            if self._words is not None:
                found |= {word.category: 1.0 for word in self._forbidden_words(normalize(text))}
            if self._patterns is not None:
                found |= {self._patterns.category(name): 1.0 for name in self._patterns.search(text)}
        return found

    def _forbidden_words(self, text: str) -> Iterator[_Word]:
        """The words that the normalized text holds."""
        assert self._words is not None
        if self._has_phrases:
            text = " ".join(text.split())
        for end, (length, words) in self._words.iter(text):
            start = end + 1 - length
            if not self._whole_words or (_is_edge(text, start) and _is_edge(text, end + 1)):
                yield from words


class _Word(NamedTuple):
    text: str
    category: str
    key: str  #: its place in the settings


class _PatternSet:
    """All patterns in one pass, and whether one of a few words is there: that costs nothing more."""

    def __init__(self, patterns: Sequence[NamedPattern], words: Sequence[str]) -> None:
        """`words` are normal, and found in any case, as long as a text is ASCII."""
        #: some may match at the edge of a text alone, so that texts can't be searched together
        self.anchored = any(sign in pattern.pattern for pattern in patterns for sign in _ANCHORS)
        self._names = [pattern.name for pattern in patterns]
        self._categories = {pattern.name: pattern.category or pattern.name for pattern in patterns}
        for index, (name, pattern) in enumerate((one.name, one.pattern) for one in patterns):
            key = f"patterns[{index}]"
            if name in self._names[:index]:
                raise SettingsError(f"{key}.name: {name!r} is used twice", key=f"{key}.name")
            try:
                compiled(pattern)  # its error says what is wrong, the set's does not
            except ValueError as error:
                raise SettingsError(
                    f"{key}.pattern: {name!r} is not an RE2 pattern: {error}", key=f"{key}.pattern"
                ) from None
        try:
            self._set = PatternSet([one.pattern for one in patterns] + [f"(?i:{re2.escape(word)})" for word in words])
        except ValueError as error:
            raise SettingsError(f"patterns: {error}", key="patterns") from None
        #: what finds nothing in a text that holds none of the patterns, and none of the words; None where it can't tell
        self.quick = self._set if words and not self.anchored else None

    def search(self, text: str) -> list[str]:
        """The names of the patterns that the text holds, in the order of the settings."""
        found = self._set.search(text.encode("utf-8", "replace"))
        if not found:
            return [_UNCHECKED] if found is None else []
        return [self._names[index] for index in found if index < len(self._names)]

    def category(self, name: str) -> str:
        return self._categories.get(name, "unknown")


def _reach(config: RulesConfig, words: Sequence[str]) -> int | None:
    if config.max_chars is not None:
        return None
    lengths = [len(word) for word in words]
    for one in config.patterns:
        longest = longest_match(one.pattern)
        if longest is None or longest > _FAR:
            return None
        lengths.append(longest)
    return max(lengths, default=0)


def normalize(text: str) -> str:
    """One spelling for all that read alike: no case, no compatibility forms, nothing invisible."""
    if text.isascii():
        return text.lower()
    visible = _INVISIBLE.sub("", _MARKS.sub(r"\1", text.encode("utf-8", "replace").decode()))
    return "".join(
        unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", piece).casefold()) for piece in _pieces(visible)
    )


def _pieces(text: str) -> Iterator[str]:
    """The text cut where normalization does not care: one call for all of it would hold up every other thread."""
    start = 0
    while start < len(text):
        end = start + _PIECE
        while end < len(text) and _joins(text[end]):
            end += 1
        yield text[start:end]
        start = end


def _joins(character: str) -> bool:
    """Whether a character can become one with the character before it: marks, and vowels and finals of Hangul."""
    first = unicodedata.normalize("NFKD", character)[0]
    return unicodedata.category(first)[0] == "M" or "\u1160" <= first <= "\u11ff"


def _automaton(words: Sequence[_Word]) -> ahocorasick.Automaton:
    """A word may stand in several lists."""
    known: dict[str, list[_Word]] = {}
    for word in words:
        normal = " ".join(normalize(word.text).split())
        if not normal:
            raise SettingsError(f"{word.key}: expected a visible word", key=word.key)
        known.setdefault(normal, []).append(word)
    automaton = ahocorasick.Automaton()
    for normal, same in known.items():
        automaton.add_word(normal, (len(normal), same))
    automaton.make_automaton()
    return automaton


def _is_edge(text: str, at: int) -> bool:
    """Whether no word goes on across position `at`."""
    return not (0 < at < len(text) and _is_letter(text[at - 1]) and _is_letter(text[at]))


def _is_letter(character: str) -> bool:
    return character.isalnum() or character == "_"
