"""The deterministic function model: targets, values, questions, changes of mind; over the real matcher."""

from __future__ import annotations

from typing import Any

import pytest

from promptd.core.content import ToolCall, Turn
from promptd.core.ports import Intent
from promptd.core.targets import Asking, Decision, FunctionModel, Target
from promptd.core.utterances.dialogue import question
from promptd.core.utterances.replies import read_reply
from promptd.intents.builtin import BuiltIn
from promptd.service.targets.standin import StandIn
from promptd.testing.function_model import ASKING, OTHER, REBOOT, TARGETS, WEATHER, FunctionModelContract
from tests.core.utterances.corpus import TARGETS as CORPUS

NOON = 1_795_003_200.0  # 2026-11-18, a Wednesday
NETWORK = (CORPUS["weather"], CORPUS["reboot"], CORPUS["convert"])


def _standin(threshold: float = 0.0) -> StandIn:
    return StandIn(BuiltIn(), clock=lambda: NOON, threshold=threshold)


@pytest.mark.arch("9.4", "9.5")
class TestStandIn(FunctionModelContract):
    @pytest.fixture
    def function_model(self) -> FunctionModel:
        return StandIn(BuiltIn(), clock=lambda: NOON)


async def _talk(
    *said: str, targets: tuple[Target, ...] = TARGETS, running: str | None = None, intent: Intent | None = None
) -> Decision:
    """The last decision of a dialogue in which the gateway asks after every turn but the last."""
    standin = StandIn(intent or BuiltIn(), clock=lambda: NOON)
    turns: list[Turn] = []
    decision = Decision()
    for number, text in enumerate(said):
        turns.append(Turn("user", text))
        asking = Asking(caller=ASKING.caller, in_dialogue=number > 0, running=running)
        decision = await standin.decide(turns, targets, asking)
        turns.append(Turn("assistant", decision.question, extra={"model": "Arch-Function-1.5B"}))
    return decision


@pytest.mark.arch("3.2.question")
async def test_the_question_is_the_originals() -> None:
    decision = await _talk("what is the weather?")
    assert decision.question == (
        "It seems I'm missing some information. Could you provide the following details location, days ?"
    )
    assert (decision.target, decision.missing) == (WEATHER.name, ("location", "days"))
    reply = read_reply(decision.raw)
    assert (reply.functions, reply.clarification) == ((WEATHER.name,), decision.question)


@pytest.mark.parametrize("running", [None, WEATHER.name])
@pytest.mark.arch("3.7.dialogue")
async def test_values_come_from_all_turns(running: str | None) -> None:
    decision = await _talk("weather in seattle", "2 days", running=running)
    assert decision.arguments == {"location": "seattle", "days": 2}
    decision = await _talk("what is the weather", "seattle", "in fahrenheit, for a week", running=running)
    assert decision.arguments == {"location": "seattle", "days": 7, "units": "fahrenheit"}
    assert not decision.changed


async def test_an_answer_that_is_none_is_asked_for_again() -> None:
    decision = await _talk("weather in seattle", "I don't know")
    assert decision.question == question(["days"])
    assert decision.arguments == {"location": "seattle"}


async def test_a_change_of_mind_switches_the_target() -> None:
    decision = await _talk("weather in seattle", "please reboot the devices A1 and A2")
    assert (decision.target, decision.changed) == (REBOOT.name, True)
    assert decision.arguments == {"device_ids": ["A1", "A2"]}


async def test_a_switched_dialogue_goes_on_there() -> None:
    decision = await _talk("weather in seattle", "please reboot the devices", "A1 and A2")
    assert (decision.target, decision.arguments) == (REBOOT.name, {"device_ids": ["A1", "A2"]})


@pytest.mark.parametrize("text", ["never mind", "Cancel that, please."])
async def test_cancel_ends_it(text: str) -> None:
    assert await _talk("weather in seattle", text) == Decision(changed=True)


async def test_cancel_at_the_beginning_is_a_wish_like_any_other() -> None:
    assert await _talk("never mind") == Decision()


async def test_a_correction() -> None:
    decision = await _talk("weather in Seattle", "no wait, in Portland, for 3 days")
    assert decision.arguments == {"location": "Portland", "days": 3}


async def test_the_default_target_is_never_chosen() -> None:
    assert await _talk("Anything that is not about weather or devices", targets=(OTHER,)) == Decision()


async def test_several_targets() -> None:
    assert (await _talk("convert an amount of 20 euros to dollars", targets=NETWORK)).arguments == {
        "amount": 20.0,
        "from_currency": "EUR",
        "to_currency": "USD",
    }
    assert (await _talk("reboot device A1", targets=NETWORK)).target == "reboot"


async def test_a_match_under_the_threshold_is_none() -> None:
    turns = [Turn("user", "What is the weather in Seattle for 2 days?")]
    assert (await _standin(1.1).decide(turns, TARGETS, ASKING)) == Decision()
    assert (await _standin(0.3).decide(turns, TARGETS, ASKING)).target == WEATHER.name


async def test_after_a_call_it_goes_on() -> None:
    called = Turn("assistant", tool_calls=(ToolCall(name=WEATHER.name, arguments="{}"),))
    first = [Turn("user", "weather in Seattle for 2 days"), called, Turn("tool", "{}"), Turn("assistant", "Sunny.")]
    decision = await _standin().decide([*first, Turn("user", "and in Portland?")], TARGETS, ASKING)
    assert decision.arguments == {"location": "Portland", "days": 2}
    decision = await _standin().decide([*first, Turn("user", "thank you")], TARGETS, ASKING)
    assert decision == Decision()
    decision = await _standin().decide([*first, Turn("user", "and reboot the device A1")], TARGETS, ASKING)
    assert decision.target == REBOOT.name


async def test_a_call_that_is_no_targets_changes_nothing() -> None:
    called = Turn("assistant", tool_calls=(ToolCall(name="gone", arguments="{}"),))
    turns = [Turn("user", "x"), called, Turn("user", "and in Lisbon?")]
    assert await _standin().decide(turns, TARGETS, ASKING) == Decision()


async def test_a_dialogue_about_nothing_known() -> None:
    turns = [Turn("user", "hm"), Turn("assistant", "What?"), Turn("user", "zxqv")]
    asking = Asking(caller=ASKING.caller, in_dialogue=True, running="gone")
    assert await _standin().decide(turns, TARGETS, asking) == Decision(changed=True)


async def test_the_question_tells_what_it_is_about() -> None:
    turns = [Turn("user", "hm"), Turn("assistant", question(["device_ids"])), Turn("user", "A1 and A2")]
    asking = Asking(caller=ASKING.caller, in_dialogue=True)
    decision = await _standin().decide(turns, TARGETS, asking)
    assert (decision.target, decision.arguments) == (REBOOT.name, {"device_ids": ["A1", "A2"]})


# ------------------------------------------------------------------ the sample configurations, over the built-in matcher

SAMPLES = {
    "weather": ("weather",),
    "network": ("reboot", "statistics", "ping"),
    "currency": ("convert",),
    "insurance": ("coverage", "deductible", "claim"),
    "staff": ("workforce", "message", "meeting"),
    "travel": ("flight", "hotel", "weather"),
}


@pytest.mark.parametrize(
    ("sample", "said", "target", "arguments", "missing"),
    [
        ("weather", ["how is the weather in Seattle"], "weather", {"location": "Seattle"}, ["days"]),
        (
            "weather",
            ["how is the weather in Seattle", "for 5 days"],
            "weather",
            {"location": "Seattle", "days": "5"},
            [],
        ),
        ("weather", ["what's the weather like?", "Oslo", "a week"], "weather", {"location": "Oslo", "days": "7"}, []),
        ("network", ["reboot the device SW-1"], "reboot", {"device_ids": ["SW-1"]}, []),
        ("network", ["show statistics of devices R1 and R2"], "statistics", {"device_ids": ["R1", "R2"]}, []),
        ("network", ["ping the host", "10.1.1.1"], "ping", {"ip_address": "10.1.1.1"}, []),
        ("network", ["reboot a device", "ping the host 10.1.1.1"], "ping", {"ip_address": "10.1.1.1"}, []),
        (
            "currency",
            ["convert 20 dollars", "to yen"],
            "convert",
            {"amount": 20.0, "from_currency": "USD", "to_currency": "JPY"},
            [],
        ),
        ("insurance", ["what does my auto policy cover"], "coverage", {"policy_type": "auto"}, []),
        ("insurance", ["change the deductible of policy P-1"], "deductible", {"policy_id": "P-1"}, ["deductible"]),
        (
            "staff",
            ["numbers of contract staff", "in Europe"],
            "workforce",
            {"staffing_type": "contract", "region": "europe"},
            [],
        ),
        (
            "travel",
            ["book a flight", "from Oslo to Rome", "tomorrow"],
            "flight",
            {"from_city": "Oslo", "to_city": "Rome", "departure_date": "2026-11-19"},
            [],
        ),
    ],
)
@pytest.mark.arch("9.5")
async def test_samples(
    sample: str, said: list[str], target: str, arguments: dict[str, Any], missing: list[str]
) -> None:
    targets = (*[CORPUS[name] for name in SAMPLES[sample]], OTHER)
    decision = await _talk(*said, targets=targets, intent=BuiltIn())
    assert (decision.target, decision.arguments, list(decision.missing)) == (target, arguments, missing)
    assert decision.question == (question(missing) if missing else "")


@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize(
    "text", ["hello", "tell me a joke", "who painted the Mona Lisa?", "what is for dinner", "thanks a lot"]
)
async def test_out_of_scope(sample: str, text: str) -> None:
    targets = (*[CORPUS[name] for name in SAMPLES[sample]], OTHER)
    assert (await _talk(text, targets=targets, intent=BuiltIn())).target is None
