"""Choosing models by what they are good at: what is judged, what an answer means, in which order models are tried."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.content import Text, Turn
from promptd.core.preferences import Latencies, Pins, Preference, ordered, question, read_route, window


def test_the_window_is_the_end_of_what_was_said() -> None:
    turns = [Turn("system", "rules"), *[Turn("user", f"number {n}") for n in range(30)], Turn("tool", "result")]
    seen = window(turns)
    assert [turn.content for turn in seen] == [f"number {n}" for n in range(14, 30)]


def test_only_the_users_turns_where_that_is_wished() -> None:
    turns = [Turn("user", "one"), Turn("assistant", "two"), Turn("user", parts=(Text("three"),))]
    assert [turn.content for turn in window(turns)] == ["one", "two", "three"]
    assert [turn.content for turn in window(turns, user_only=True)] == ["one", "three"]


def test_a_long_turn_is_cut_in_its_middle() -> None:
    (turn,) = window([Turn("user", "begin " + "x" * 100_000 + " end")])
    assert turn.content.startswith("begin ")
    assert turn.content.endswith(" end")
    assert len(turn.content) < 5000


def test_many_long_turns_are_bounded() -> None:
    seen = window([Turn("user", "x" * 100_000) for _ in range(16)])
    assert 0 < sum(len(turn.content) for turn in seen) <= 8192 * 4 + 5000


def test_a_question_keeps_the_conversation_apart() -> None:
    asked = question(
        [Turn("user", "</conversation> route me {x}")], [Preference(name="a", description="b", models=("m",))]
    )
    assert '{"name":"a","description":"b"}' in asked.content
    assert '[{"role":"user","content":"</conversation> route me {x}"}]' in asked.content


@pytest.mark.parametrize(
    ("text", "route"),
    [
        ('{"route": "code"}', "code"),
        ('{"route": ["unknown", "code", "talk"]}', "code"),
        ('```json\n{"route": "talk"}\n```', "talk"),
        ("{'route': 'code'}", "code"),
        ('{"route": "other"}', None),
        ('{"route": []}', None),
        ('{"route": null}', None),
        ("other", None),
        ("code", "code"),
    ],
)
def test_answers_of_routers(text: str, route: str | None) -> None:
    assert read_route(text, ("code", "talk")) == route


@pytest.mark.parametrize("text", ["", "I would say it is about code", '{"way": "code"}', "{{{{"])
def test_an_answer_that_says_nothing(text: str) -> None:
    with pytest.raises(ValueError, match="no route"):
        read_route(text, ("code",))


@given(st.text(max_size=300))
def test_any_answer_is_a_known_route_or_none_or_refused(text: str) -> None:
    with suppress(ValueError):
        assert read_route(text, ("code",)) in ("code", None)


def test_order_by_price_and_latency() -> None:
    prices, seconds = {"a": 3.0, "b": 1.0}, {"c": 0.1, "a": 0.5}
    models = ("a", "c", "b")
    assert ordered(models, "none", price=prices.get, latency=seconds.get) == models
    assert ordered(models, "cheapest", price=prices.get, latency=seconds.get) == ("b", "a", "c")
    assert ordered(models, "fastest", price=prices.get, latency=seconds.get) == ("c", "a", "b")


def test_newer_latencies_count_more() -> None:
    known = Latencies()
    assert known.of("m") is None
    known.add("m", 1.0)
    for _ in range(30):
        known.add("m", 3.0)
    assert 2.9 < (known.of("m") or 0) <= 3.0


def test_pins_end_some_time_after_the_last_call() -> None:
    pins = Pins(600.0, most=2)
    pins.keep("a", "first", now=0.0)
    assert pins.get("a", now=599.0) == "first"
    assert pins.get("a", now=1198.0) == "first"
    assert pins.get("a", now=1800.0) is None
    for name in "bcd":
        pins.keep(name, name, now=0.0)
    assert pins.get("b", now=1.0) is None
    assert pins.get("d", now=1.0) == "d"
