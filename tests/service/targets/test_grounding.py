"""A model's decision without what nobody said."""

from __future__ import annotations

from typing import Any

import pytest

from promptd.core.content import Text, Turn
from promptd.core.errors import ServiceUnavailable
from promptd.core.targets import Decision
from promptd.core.utterances.dialogue import question
from promptd.service.targets.grounding import Grounded
from promptd.testing.function_model import ASKING, TARGETS, ScriptedFunctionModel

NOON = 1_795_003_200.0  # 2026-11-18, a Wednesday


async def _ground(decision: Decision, *said: str) -> Decision:
    turns = [Turn("user", text) for text in said]
    return await Grounded(ScriptedFunctionModel(decision), clock=lambda: NOON).decide(turns, TARGETS, ASKING)


def _weather(**arguments: Any) -> Decision:
    return Decision(target="get_current_weather", arguments=arguments, raw="raw")


async def test_what_was_said_stays() -> None:
    decision = _weather(location="Seattle", days=14, units="kelvin")
    kept = await _ground(decision, "weather in seattle", "for two weeks")
    assert kept.arguments == {"location": "Seattle", "days": 14}  # an option that is none is no value
    whole = _weather(location="Seattle", days=14, units="celsius")
    assert await _ground(whole, "weather in seattle", "for two weeks") == whole


@pytest.mark.arch("5.4.grounded")
async def test_what_was_made_up_is_asked_for() -> None:
    decision = await _ground(_weather(location="Seattle", days=7), "weather in seattle")
    assert decision.arguments == {"location": "Seattle"}
    assert decision.missing == ("days",)
    assert decision.question == question(["days"])
    assert (decision.target, decision.raw) == ("get_current_weather", "raw")


async def test_a_made_up_qualifier_is_cut() -> None:
    decision = await _ground(_weather(location="Seattle, WA", days=2), "weather in seattle for 2 days")
    assert (decision.arguments, decision.question) == ({"location": "Seattle", "days": 2}, "")


@pytest.mark.parametrize("role", ["assistant", "system", "tool"])
@pytest.mark.arch("5.4.grounded")
async def test_only_the_user_is_believed(role: Any) -> None:
    turns = [Turn(role, "in Seattle for 7 days"), Turn("user", "weather?")]
    model = Grounded(ScriptedFunctionModel(_weather(location="Seattle", days=7)), clock=lambda: NOON)
    assert (await model.decide(turns, TARGETS, ASKING)).missing == ("location", "days")


async def test_the_models_own_question_stays() -> None:
    decision = Decision(target="get_current_weather", arguments={"location": "Mars"}, question="How long?", raw="raw")
    kept = await _ground(decision, "weather")
    assert (kept.question, kept.arguments) == ("How long?", {})


async def test_nothing_to_ground() -> None:
    for decision in (Decision(), Decision(question="Which city?"), Decision(target="everything_else")):
        assert await _ground(decision, "hello") == decision


async def test_today_is_the_clocks() -> None:
    day = "2026-11-19"
    decision = await _ground(_weather(location=day, days=2), "weather 2 days from tomorrow")
    assert decision.arguments["location"] == day


async def test_parts_are_read() -> None:
    turn = Turn("user", parts=(Text("weather in Seattle "), Text("for 2 days")))
    model = Grounded(ScriptedFunctionModel(_weather(location="Seattle", days=2)), clock=lambda: NOON)
    assert (await model.decide([turn], TARGETS, ASKING)).question == ""


async def test_errors_pass() -> None:
    model = Grounded(ScriptedFunctionModel(ServiceUnavailable("down")), clock=lambda: NOON)
    with pytest.raises(ServiceUnavailable, match="down"):
        await model.decide([Turn("user", "hello")], TARGETS, ASKING)
