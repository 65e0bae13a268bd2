"""A chat model as the function model: what it is asked, and how its answers are read."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from promptd.core.content import ToolCall, Turn
from promptd.core.errors import PromptdError, ServiceUnavailable, UnsupportedInput
from promptd.core.model import Answer
from promptd.core.parameters import Parameters
from promptd.core.targets import Asking, Decision, FunctionModel
from promptd.core.utterances import Utterance, extract
from promptd.service.targets.by_model import ByModel, answer_schema, bounded
from promptd.service.targets.grounding import Grounded
from promptd.testing.function_model import ASKING, REBOOT, TARGETS, WEATHER, FunctionModelContract

NOON = 1_795_003_200.0  # 2026-11-18, a Wednesday
TODAY = datetime.fromtimestamp(NOON, UTC).date()
HELLO = [Turn("user", "weather in Seattle for 2 days")]
CALL = '{"name": "get_current_weather", "arguments": {"location": "Seattle", "days": 2}}'


class Models:
    """Stands for the house's models: `say` makes each answer of what was asked."""

    def __init__(self, say: Callable[[Sequence[Turn], Parameters], Answer | PromptdError]) -> None:
        self._say = say
        self.asked: list[tuple[str, tuple[Turn, ...], Parameters, Asking, str | None]] = []

    async def ask(
        self,
        model: str,
        turns: Sequence[Turn],
        parameters: Parameters,
        asking: Asking,
        *,
        connection: str | None = None,
    ) -> Answer:
        self.asked.append((model, tuple(turns), parameters, asking, connection))
        said = self._say(turns, parameters)
        if isinstance(said, PromptdError):
            raise said
        return said

    def by_model(self, **options: Any) -> ByModel:
        return ByModel(self.ask, "small", clock=lambda: NOON, **options)


def _saying(text: str, *calls: ToolCall) -> Models:
    return Models(lambda turns, parameters: Answer("msg", text, calls))


def _good(turns: Sequence[Turn], parameters: Parameters) -> Answer:
    """A model that understands everything, and makes up what it was not told."""
    said = [Utterance(turn.content) for turn in turns if turn.role == "user"]
    for target, word in ((WEATHER, "weather"), (REBOOT, "reboot")):
        if any(word in one.text.casefold() for one in said):
            told = {"days": 7} if target is WEATHER else {}
            arguments = told | extract(target.parameters, said, today=TODAY)
            call = {"name": target.name, "arguments": arguments}
            if parameters.tools:
                return Answer("msg", "", (ToolCall(name=target.name, arguments=json.dumps(arguments)),))
            return Answer("msg", json.dumps({"tool_calls": [call]}))
    return Answer("msg", "NONE" if parameters.tools else '{"response": "NONE"}')


@pytest.mark.arch("9.4")
class TestByModel(FunctionModelContract):
    @pytest.fixture(params=["tools", "json"])
    def function_model(self, request: pytest.FixtureRequest) -> FunctionModel:
        return Grounded(Models(_good).by_model(form=request.param), clock=lambda: NOON)


async def test_what_the_model_is_asked() -> None:
    models = _saying("", ToolCall(name=WEATHER.name, arguments='{"location": "Seattle", "days": 2}'))
    decision = await models.by_model(connection="local").decide(HELLO, TARGETS, ASKING)
    assert (decision.target, decision.arguments) == (WEATHER.name, {"location": "Seattle", "days": 2})
    ((model, turns, parameters, asking, connection),) = models.asked
    assert (model, connection, asking) == ("small", "local", ASKING)
    assert [turn.role for turn in turns] == ["system", "user"]
    assert "Wednesday, 2026-11-18" in turns[0].content
    assert parameters.temperature == 0
    assert [tool.name for tool in parameters.tools] == [WEATHER.name, REBOOT.name]  # never the default one
    assert parameters.tools[0].parameters["required"] == ["location", "days"]
    assert (parameters.tool_choice, parameters.json_schema) == ("auto", None)


async def test_without_tools_the_answer_has_a_schema() -> None:
    models = _saying(f'{{"tool_calls": [{CALL}]}}')
    decision = await models.by_model(form="json").decide(HELLO, TARGETS, ASKING)
    assert decision.arguments == {"location": "Seattle", "days": 2}
    ((_, turns, parameters, _, _),) = models.asked
    assert parameters.tools == ()
    assert parameters.json_schema == answer_schema([WEATHER, REBOOT])
    tools = turns[0].content.partition("<tools>\n")[2].partition("\n</tools>")[0].split("\n")
    assert [msgspec.json.decode(line) for line in tools] == [WEATHER.tool(), REBOOT.tool()]


async def test_an_engine_without_tools_is_asked_by_schema_from_then_on() -> None:
    models = Models(
        lambda turns, parameters: UnsupportedInput("no tools") if parameters.tools else _good(turns, parameters)
    )
    model = models.by_model()
    for _ in range(2):
        assert (await model.decide(HELLO, TARGETS, ASKING)).target == WEATHER.name
    assert [bool(parameters.tools) for _, _, parameters, _, _ in models.asked] == [True, False, False]


def test_the_schema_of_answers() -> None:
    check = jsonschema_rs.validator_for(answer_schema([WEATHER, REBOOT])).is_valid
    assert check({"tool_calls": [json.loads(CALL)]})
    assert check({"tool_calls": [{"name": REBOOT.name, "arguments": {}}]})  # what nobody said can be left out
    assert check({"required_functions": [WEATHER.name], "clarification": "Which days?"})
    assert check({"response": "NONE"})
    assert not check({"tool_calls": [{"name": "gone", "arguments": {}}]})
    assert not check({"tool_calls": [{"name": REBOOT.name, "arguments": {"days": 2}}]})
    assert not check({})


@pytest.mark.parametrize(
    "text", [f"<tool_call>{CALL[:-1]}</tool_call>", f'```json\n{{"tool_calls": [{CALL}]}}\n```', f"Sure: {CALL}"]
)
async def test_calls_in_words(text: str) -> None:
    decision = await _saying(text).by_model().decide(HELLO, TARGETS, ASKING)
    assert (decision.target, decision.arguments, decision.raw) == (
        WEATHER.name,
        {"location": "Seattle", "days": 2},
        text,
    )


async def test_a_question_of_the_models() -> None:
    asks = '{"required_functions": ["get_current_weather"], "clarification": "For how many days?"}'
    decision = await _saying(asks).by_model().decide(HELLO, TARGETS, ASKING)
    assert decision == Decision(target=WEATHER.name, missing=("days",), question="For how many days?", raw=asks)
    decision = await _saying("How many days do you want?").by_model().decide(HELLO, TARGETS, ASKING)
    assert (decision.target, decision.question) == (None, "How many days do you want?")


@pytest.mark.parametrize(
    "text", ["NONE", "", "Hello! How can I help you?", '{"response": "hi"}', '{"name": "gone", "arguments": {}}']
)
async def test_no_intent(text: str) -> None:
    decision = await _saying(text).by_model().decide(HELLO, TARGETS, ASKING)
    assert (decision.target, decision.question) == (None, "")


async def test_more_calls_than_one_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    call = ToolCall(name=WEATHER.name, arguments='{"location": "Seattle", "days": 2}')
    with caplog.at_level(logging.WARNING, "promptd"):
        decision = await _saying("", call, call).by_model().decide(HELLO, TARGETS, ASKING)
    assert decision.target == WEATHER.name
    assert "2 calls" in caplog.text
    assert "Seattle" not in caplog.text


async def test_errors_pass() -> None:
    with pytest.raises(ServiceUnavailable, match="gone"):
        await Models(lambda turns, parameters: ServiceUnavailable("gone")).by_model().decide(HELLO, TARGETS, ASKING)


async def test_nobody_is_asked_about_nothing() -> None:
    models = _saying("NONE")
    for turns, targets in (([], TARGETS), ([Turn("assistant", "hi")], TARGETS), (HELLO, TARGETS[2:])):
        assert await models.by_model().decide(turns, targets, ASKING) == Decision()
    assert models.asked == []


# ------------------------------------------------------------------ history


def test_the_end_of_the_conversation_is_told() -> None:
    turns = [Turn("user", f"{number} " + "x" * 97) for number in range(100)]
    kept = bounded(turns, 250)  # a thousand characters
    assert [turn.content[:2] for turn in kept] == [f"{number}" for number in range(90, 100)]


def test_the_last_turn_is_the_users() -> None:
    turns = [Turn("system", "s"), Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c"), Turn("tool", "d")]
    assert bounded(turns, 100) == (Turn("user", "a"), Turn("assistant", "b"), Turn("user", "c"))


def test_a_long_last_turn_is_cut_in_the_middle() -> None:
    (kept,) = bounded([Turn("user", "begin" + "x" * 100_000 + "end")], 100)
    assert kept.content.startswith("begin")
    assert kept.content.endswith("end")
    assert len(kept.content) < 6500


def test_calls_and_their_results_are_words() -> None:
    call = ToolCall(id="call_1", name="weather", arguments='{"days": 2}')
    turns = [
        Turn("user", "a"),
        Turn("assistant", tool_calls=(call,)),
        Turn("tool", "sunny", tool_call_id="call_1"),
        Turn("user", "b"),
    ]
    told = bounded(turns, 100)
    assert [turn.role for turn in told] == ["user", "assistant", "user", "user"]
    assert told[1].content == '```json\n{"tool_calls":[{"name":"weather","arguments":{"days":2}}]}\n```'
    assert told[2].content == "<tool_response>\nsunny\n</tool_response>"
    assert not any(turn.tool_calls or turn.tool_call_id for turn in told)
