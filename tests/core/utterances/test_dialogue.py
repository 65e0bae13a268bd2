"""Which turns are one dialogue, what was asked in it, and what ends it."""

from __future__ import annotations

import pytest

from promptd.core.content import ToolCall, Turn
from promptd.core.utterances import Utterance
from promptd.core.utterances.dialogue import asked_in, is_cancel, is_following, question, read_dialogue
from tests.core.utterances.corpus import TARGETS

ALL = tuple(TARGETS.values())
ASKED = "It seems I'm missing some information. Could you provide the following details location, days ?"
CALL = '```json\n{"tool_calls":[{"name":"weather","arguments":{"location":"Rome"}}]}\n```'


@pytest.mark.arch("3.2.question")
def test_the_question_to_the_letter() -> None:
    assert question(["location", "days"]) == ASKED
    assert question(["days"]) == (
        "It seems I'm missing some information. Could you provide the following details days ?"
    )


def test_what_a_question_asks() -> None:
    assert asked_in(ASKED, ALL) == ("location", "days")
    assert asked_in("For how many days do you need the from city?", ALL) == ("days", "from_city")
    assert asked_in("Whatever?", ALL) == ()


def test_a_dialogue_goes_back_to_its_first_turn() -> None:
    turns = [
        Turn("system", "Be brief."),
        Turn("user", "hello"),
        Turn("assistant", "Hi!"),
        Turn("user", "weather"),
        Turn("assistant", ASKED),
        Turn("user", "Rome"),
        Turn("assistant", "How many days?", extra={"model": "Arch-Function-Chat"}),
        Turn("user", "two"),
    ]
    dialogue = read_dialogue(turns, ALL, running=True)
    assert dialogue.said == (
        Utterance("weather"),
        Utterance("Rome", ("location", "days")),
        Utterance("two", ("days",)),
    )
    assert (dialogue.asked, dialogue.last) == (("days",), "two")


def test_without_a_mark_an_answer_is_no_question() -> None:
    turns = [Turn("user", "weather"), Turn("assistant", "How many days?"), Turn("user", "two")]
    assert read_dialogue(turns, ALL, running=False).said == (Utterance("two"),)
    assert len(read_dialogue(turns, ALL, running=True).said) == 2


@pytest.mark.parametrize(
    "turn",
    [
        Turn("assistant", tool_calls=(ToolCall(name="weather"),)),
        Turn("assistant", CALL, extra={"model": "Arch-Function"}),
    ],
    ids=["tool_calls", "fenced"],
)
def test_a_call_ends_a_dialogue(turn: Turn) -> None:
    turns = [
        Turn("user", "weather in Rome"),
        turn,
        Turn("tool", "{}"),
        Turn("assistant", "Sunny."),
        Turn("user", "and Oslo?"),
    ]
    dialogue = read_dialogue(turns, ALL, running=False)
    assert dialogue.said == (Utterance("and Oslo?"),)
    assert dialogue.called == "weather"


def test_nobody_spoke() -> None:
    assert read_dialogue([], ALL, running=True).said == ()
    assert read_dialogue([Turn("assistant", ASKED)], ALL, running=True).said == ()
    assert read_dialogue([Turn("user", "a"), Turn("assistant", "b")], ALL, running=False).last == "a"


def test_a_long_dialogue_is_cut() -> None:
    turns = [Turn("user", "weather"), *[Turn("assistant", ASKED), Turn("user", "hm")] * 100]
    assert len(read_dialogue(turns, ALL, running=True).said) <= 17


@pytest.mark.parametrize(
    "text",
    ["never mind", "Nevermind.", "cancel", "Oh, cancel that please", "forget it", "No, stop!", "I changed my mind"],
)
def test_cancel(text: str) -> None:
    assert is_cancel(text)


@pytest.mark.parametrize(
    "text", ["", "cancel my subscription", "never in my life", "stop over in Rome", "2 days", "no"]
)
def test_no_cancel(text: str) -> None:
    assert not is_cancel(text)


def test_following() -> None:
    assert is_following("And in Oslo?")
    assert is_following("what about tomorrow")
    assert not is_following("Andrew is here")
