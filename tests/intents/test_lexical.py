"""The lexical matcher: the exam, its settings, and how often it is right on sentences of real users."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from promptd.core.content import Turn
from promptd.core.model import Target
from promptd.core.ports import Intent
from promptd.intents.lexical import Lexical, LexicalConfig
from promptd.testing.intents import TARGETS, IntentContract

SAMPLE = json.loads((Path(__file__).parent / "clinc150_sample.json").read_text())


class TestLexical(IntentContract):
    @pytest.fixture
    def intent(self) -> Intent:
        return Lexical()


async def test_score_is_a_cosine() -> None:
    only = Target("echo", "say this again")
    match = await Lexical(LexicalConfig(threshold=1)).match([Turn("user", "say THIS again!")], [only])
    assert match is not None
    assert match.score == pytest.approx(1.0)
    assert match.score <= 1.0


async def test_threshold_decides() -> None:
    said = [Turn("user", "set the clock of the kitchen")]
    match = await Lexical(LexicalConfig(threshold=0)).match(said, TARGETS)
    assert match is not None
    assert await Lexical(LexicalConfig(threshold=match.score)).match(said, TARGETS) == match
    assert await Lexical(LexicalConfig(threshold=match.score + 1e-6)).match(said, TARGETS) is None


async def test_at_threshold_zero_something_must_be_shared() -> None:
    assert await Lexical(LexicalConfig(threshold=0)).match([Turn("user", "zxqv")], TARGETS) is None


async def test_a_follow_up_is_understood_by_what_was_said_before() -> None:
    said = [Turn("user", "what is the weather in Rome"), Turn("assistant", "Sunny."), Turn("user", "and in Paris")]
    match = await Lexical(LexicalConfig(turns=2)).match(said, TARGETS)
    assert match is not None
    assert match.target == "weather"
    assert await Lexical(LexicalConfig(turns=1)).match(said, TARGETS) is None


async def test_spelling_is_forgiven() -> None:
    match = await Lexical().match([Turn("user", "weathr forcast ROME")], TARGETS)
    assert match is not None
    assert match.target == "weather"


async def test_only_the_end_of_a_long_message_is_read() -> None:
    text = "set a timer " * 100_000 + "x " * 3000 + "what is the weather in Rome, will it rain"
    match = await Lexical(LexicalConfig(threshold=0)).match([Turn("user", text)], TARGETS)
    assert match is not None
    assert match.target == "weather"


async def test_targets_that_change_are_indexed_anew() -> None:
    intent, said = Lexical(), [Turn("user", "what is the weather")]
    for round_ in range(20):
        name = f"weather-{round_}"
        match = await intent.match(said, [Target(name, "what is the weather")])
        assert match is not None
        assert match.target == name


async def test_accuracy_on_real_sentences() -> None:
    """20 intents with 10 examples each, 200 new sentences, 40 that fit none. Measured: 188 nearest, 172 right, 8 wrong, 33 left alone."""
    targets = [Target(name, name.replace("_", " "), tuple(texts)) for name, texts in sorted(SAMPLE["examples"].items())]
    intent, open_ = Lexical(), Lexical(LexicalConfig(threshold=0))
    best = right = wrong = 0
    for text, expected in SAMPLE["queries"]:
        nearest, match = [await one.match([Turn("user", text)], targets) for one in (open_, intent)]
        best += nearest is not None and nearest.target == expected
        right += match is not None and match.target == expected
        wrong += match is not None and match.target != expected
    left_alone = [await intent.match([Turn("user", text)], targets) for text in SAMPLE["out_of_scope"]].count(None)
    figures = (best, right, wrong, left_alone)
    assert best >= 186, figures
    assert right >= 170, figures
    assert wrong <= 10, figures
    assert left_alone >= 32, figures


@pytest.mark.parametrize(
    "values", [{"threshold": -0.1}, {"threshold": 1.1}, {"turns": 0}, {"fading": 2}, {"treshold": 0.5}]
)
def test_settings_of_the_wrong_form(values: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        LexicalConfig.model_validate(values)
