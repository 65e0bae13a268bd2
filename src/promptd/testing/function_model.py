"""The exam of the port `FunctionModel`, and one that decides by script."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import pytest
from msgspec import Struct

from promptd.core.content import Turn
from promptd.core.model import Caller
from promptd.core.targets import Asking, Decision, FunctionModel, Parameter, Target
from promptd.core.utterances.dialogue import question

WEATHER: Final = Target(
    "get_current_weather",
    "Get the current weather and the forecast at a location",
    ("what is the weather in Rome", "will it rain tomorrow", "weather in seattle"),
    (
        Parameter(name="location", description="The place", required=True, format="City, State"),
        Parameter(name="days", description="the number of days", type="int", required=True),
        Parameter(name="units", description="of the temperature", enum=("celsius", "fahrenheit"), default="celsius"),
    ),
)
REBOOT: Final = Target(
    "reboot_devices",
    "Reboot network devices",
    ("reboot device A1", "restart the devices 12 and 13"),
    (Parameter(name="device_ids", description="Identifiers of the devices", type="list", required=True),),
)
OTHER: Final = Target("everything_else", "Anything that is not about weather or devices", default=True)
TARGETS: Final = (WEATHER, REBOOT, OTHER)
ASKING: Final = Asking(caller=Caller("listener:test"))
_ASKED: Final = Turn("assistant", question(["days"]), extra={"model": "Arch-Function"})


class Asked(Struct, frozen=True):
    """What a function model was given."""

    turns: tuple[Turn, ...]
    targets: tuple[Target, ...]
    asking: Asking


class ScriptedFunctionModel:
    """Gives one decision after the other, the last of them for ever; an exception is raised."""

    def __init__(self, *decisions: Decision | Exception) -> None:
        self._decisions = decisions or (Decision(),)
        self.asked: list[Asked] = []

    async def decide(self, turns: Sequence[Turn], targets: Sequence[Target], asking: Asking) -> Decision:
        decision = self._decisions[min(len(self.asked), len(self._decisions) - 1)]
        self.asked.append(Asked(tuple(turns), tuple(targets), asking))
        if isinstance(decision, Exception):
            raise decision
        return decision


class FunctionModelContract:
    """Inherit it and give the fixture `function_model`: one that knows `TARGETS`, or has a model behind it that would say
    what a good one says."""

    @pytest.fixture
    def function_model(self) -> FunctionModel:
        raise AssertionError("give the fixture `function_model`")

    @pytest.mark.parametrize(
        ("text", "target", "arguments"),
        [
            (
                "What is the weather in Seattle for the next 2 days?",
                "get_current_weather",
                {"location": "Seattle", "days": 2},
            ),
            ("Please reboot the devices A1 and B2", "reboot_devices", {"device_ids": ["A1", "B2"]}),
        ],
    )
    async def test_a_call(
        self, function_model: FunctionModel, text: str, target: str, arguments: dict[str, Any]
    ) -> None:
        decision = await function_model.decide([Turn("user", text)], TARGETS, ASKING)
        assert (decision.target, decision.arguments) == (target, arguments)
        assert (decision.missing, decision.question) == ((), "")
        assert 0 < decision.score <= 1
        assert target in decision.raw

    async def test_what_is_missing_is_asked_for(self, function_model: FunctionModel) -> None:
        decision = await function_model.decide([Turn("user", "What is the weather in Seattle?")], TARGETS, ASKING)
        assert decision.target == "get_current_weather"
        assert decision.missing == ("days",)
        assert decision.question

    async def test_the_dialogue_is_one(self, function_model: FunctionModel) -> None:
        turns = [Turn("user", "What is the weather in Seattle?"), _ASKED, Turn("user", "2 days")]
        asking = Asking(caller=ASKING.caller, in_dialogue=True, running="get_current_weather")
        decision = await function_model.decide(turns, TARGETS, asking)
        assert (decision.target, decision.question) == ("get_current_weather", "")
        assert decision.arguments == {"location": "Seattle", "days": 2}

    async def test_no_intent(self, function_model: FunctionModel) -> None:
        decision = await function_model.decide([Turn("user", "My grandfather painted old boats.")], TARGETS, ASKING)
        assert (decision.target, decision.question, decision.arguments) == (None, "", {})

    async def test_nothing_to_decide(self, function_model: FunctionModel) -> None:
        hello = Turn("user", "What is the weather in Seattle?")
        for turns, targets in (((), TARGETS), ((hello,), ()), ((Turn("assistant", "Hello"),), TARGETS)):
            assert (await function_model.decide(turns, targets, ASKING)).target is None
