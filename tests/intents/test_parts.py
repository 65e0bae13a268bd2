"""The parts of the learned matchers: spelling, wishes, names, calibration."""

from __future__ import annotations

import itertools

import pytest

from promptd.core.content import Turn
from promptd.core.targets import Target
from promptd.intents import builtin, embeddings
from promptd.intents.calibration import Calibration
from promptd.intents.names import in_other_words
from promptd.intents.ranking import TARGETS, TEXTS, Standing, texts_of
from promptd.intents.said import label, spoken, wishes
from promptd.intents.spelling import Spelling


@pytest.mark.parametrize(
    ("text", "mended"),
    [
        ("weathr forcast ROME", "weather forecast ROME"),
        ("the temprature in Rome", "the temperature in Rome"),
        ("whether", "whether"),  # a word of its own
        ("wthr", "wthr"),  # too short to be guessed
        ("zxqvjjkw", "zxqvjjkw"),
        ("weatherweatherweatherweather", "weatherweatherweatherweather"),
        ("", ""),
    ],
)
def test_slips_of_spelling_are_mended(text: str, mended: str) -> None:
    assert Spelling(["the weather forecast", "temperature of a city"]).mend(text) == mended


def test_the_last_messages_of_the_user_are_heard() -> None:
    said = [
        Turn("user", "one"),
        Turn("user", "two"),
        Turn("assistant", "what?"),
        Turn("user", "on 12.05. at 10:30 three"),
        Turn("tool", "four"),
    ]
    assert wishes(said, 2, 0.5) == [("on  . at   three", 1.0), ("two", 0.5)]
    assert wishes(said, 9, 0.0) == [("on  . at   three", 1.0)]
    assert wishes([*said, Turn("user", "42 ?!")], 2, 0.5) == []


def test_names_are_read_as_words() -> None:
    assert spoken("get_weatherForecast-2") == "get weather forecast 2"
    assert label("Get_Weather-Forecast!") == "get weather forecast"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("order status", ["where is my order", "did my order go through"]),
        ("update shopping list", ["what is on my update shopping list", "add to shopping list"]),
        ("pto balance", ["paid time off balance", "how much paid time off do i have left"]),
        ("goodbye", ["see you later"]),
        ("status", []),
        ("weather forecast", []),
        ("", []),
    ],
)
def test_names_are_told_in_other_words(name: str, said: list[str]) -> None:
    told = in_other_words(name)
    assert [one for one in said if one not in told] == []
    assert bool(told) == bool(said)
    assert "{" not in told


def test_what_is_learned_from() -> None:
    def learned(target: Target) -> list[str]:
        return [text.text for text in texts_of([target])]

    other = in_other_words("order status")
    assert learned(Target("order_status", "")) == []  # a bare name promises too little
    assert learned(Target("orderStatus", "Track it")) == ["Track it", "order status Track it", other]
    assert learned(Target("order_status", "", ("has it come",))) == ["order status", other, "has it come"]


def test_of_many_targets_no_more_texts_are_learned_than_of_few() -> None:
    listed = [Target("order_status", f"track {number}x", ("has it come", "so late")) for number in range(TARGETS)]
    assert len(texts_of(listed)) == TEXTS
    assert len(texts_of(listed[:600])) == TEXTS


@pytest.mark.parametrize(
    "calibration", [manner.calibration for manner in (builtin.MANNER, embeddings.SINGLE, embeddings.LAYERED)]
)
def test_the_nearer_the_surer_whatever_the_list(calibration: Calibration) -> None:
    """What is as near as a learned text is a match; what is far is none; a score is always a probability."""
    for targets, each in itertools.product((1, 3, 20, 150, 5000), (1, 2, 12, 500)):
        scores = [
            calibration.score(Standing(0, first, 0.03, near, near), targets, targets * each)
            for first, near in ((0.02, 0.1), (0.9, 0.95))
        ]
        assert 0 <= scores[0] < 0.3
        assert 0.8 < scores[1] <= 1


@pytest.mark.parametrize("value", [0.0, -1.0, 1e9])
def test_no_standing_is_too_odd(value: float) -> None:
    standing = Standing(0, value, -value, value, value)
    assert 0 <= builtin.MANNER.calibration.score(standing, 1, 1) <= 1
