"""The running dialogue about parameters: what the gateway asks, and which turns belong to it (contracts/arch.md §3.7)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from promptd.core.content import Turn, text_of
from promptd.core.targets import Target
from promptd.core.utterances.replies import read_reply
from promptd.core.utterances.text import MAX_TURNS, Utterance, name_words

#: how every question for parameters begins
OPENING: Final = "It seems I'm missing some information."
_ASKED: Final = re.compile(re.escape(OPENING) + r" Could you provide the following details (.{1,2000}?) \?", re.DOTALL)
#: a model of the gateway spoke, by the names that clients send back
_MARK: Final = "Arch"
_CANCEL: Final = re.compile(
    r"^\W*(?:(?:oh|no|ok(?:ay)?|please|actually|well|sorry|thanks|thank you)[\s,.!]+)*"
    r"(?:never\s?mind|cancel(?: (?:that|it|this))?|forget (?:it|that|about it)|stop(?: (?:that|it))?|drop it|"
    r"leave it|quit|abort|i changed my mind|don['’]?t bother|no longer needed)"
    r"(?:[\s,.!]+(?:please|thanks|thank you|then|it|that|for now))*\W*$",
    re.IGNORECASE,
)
_FOLLOWING: Final = re.compile(r"^\W*(?:and|what about|how about|what if|same (?:for|with)|also)\b", re.IGNORECASE)


class Dialogue(Struct, frozen=True):
    """What the user said in it, oldest first; `asked`: parameters that the last question named."""

    said: tuple[Utterance, ...] = ()
    asked: tuple[str, ...] = ()
    last: str = ""  #: the user's last turn
    called: str = ""  #: the target that was called just before, where there is no running dialogue


def question(missing: Sequence[str]) -> str:
    """What the gateway asks, to the letter."""
    return f"{OPENING} Could you provide the following details {', '.join(missing)} ?"


def is_cancel(text: str) -> bool:
    """Whether the whole turn says that the user wants it no more."""
    return len(text) <= 120 and bool(_CANCEL.match(text))


def is_following(text: str) -> bool:
    """Whether a turn goes on with what was before: `and in Portland?`."""
    return bool(_FOLLOWING.match(text))


def user_texts(turns: Sequence[Turn]) -> list[str]:
    """What the user said in the whole conversation, of which the last turns count."""
    return [text_of(turn) for turn in turns if turn.role == "user"][-MAX_TURNS:]


def read_dialogue(turns: Sequence[Turn], targets: Sequence[Target], *, running: bool) -> Dialogue:
    """The dialogue that ends with the user's last turn; `running`: the turn before it was a question of the gateway."""
    spoken = [turn for turn in turns if turn.role in ("user", "assistant", "tool")]
    while spoken and spoken[-1].role != "user":
        spoken.pop()
    if not spoken:
        return Dialogue()
    said = [Utterance(text_of(spoken[-1]))]
    asked: tuple[str, ...] = ()
    place = len(spoken) - 2
    certain = running
    while place >= 0 and len(said) < MAX_TURNS and (certain or _is_question(spoken[place])):
        certain = False
        if spoken[place].role == "user":  # two turns of the user in a row are one
            said.insert(0, Utterance(text_of(spoken[place])))
        else:
            named = asked_in(text_of(spoken[place]), targets)
            said[0] = Utterance(said[0].text, named)
            asked = asked or named
            if place and spoken[place - 1].role == "user":
                place -= 1
                said.insert(0, Utterance(text_of(spoken[place])))
        place -= 1
    called = _called(spoken[:-1]) if len(said) == 1 and not running else ""
    return Dialogue(tuple(said), asked, said[-1].text, called)


def asked_in(text: str, targets: Sequence[Target]) -> tuple[str, ...]:
    """The parameters that a question is about: those it lists, or those whose names it speaks of."""
    names = list(dict.fromkeys([one.name for target in targets for one in target.parameters]))
    if found := _ASKED.search(text):
        listed = [name.strip() for name in found[1].split(",")]
        return tuple([name for name in listed if name in names])
    low = " ".join(re.findall(r"\w+", text[:4096].casefold()))
    spoken = {name: " ".join(name_words(name)) for name in names}
    named = [name for name in names if spoken[name] and f" {spoken[name]} " in f" {low} "]
    return tuple([name for name in named if not any(_is_part(spoken[name], spoken[other]) for other in named)])


def _is_part(name: str, other: str) -> bool:
    """`city` is not meant where `from city` is asked for."""
    return name != other and f" {name} " in f" {other} "


def _is_question(turn: Turn) -> bool:
    if turn.role != "assistant" or turn.tool_calls:
        return False
    text = text_of(turn)
    if text.startswith(OPENING):
        return True
    marked = str(turn.extra.get("model", "")).startswith(_MARK)
    return marked and not read_reply(text).calls


def _called(before: Sequence[Turn]) -> str:
    """The function that was called since the user's turn before."""
    for turn in reversed(before):
        if turn.role == "user":
            break
        if turn.role == "assistant":
            calls = turn.tool_calls or read_reply(text_of(turn)).calls
            if calls:
                return calls[0].name
    return ""
