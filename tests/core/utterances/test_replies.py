"""Replies of function models in every form, and what becomes of them."""

from __future__ import annotations

from typing import Any

import pytest

from promptd.core.content import ToolCall
from promptd.core.model import Caller
from promptd.core.targets import Asking, Decision, Parameter, Target
from promptd.core.utterances.deciding import decided
from promptd.core.utterances.replies import FunctionCall, Reply, read_reply, written
from promptd.core.utterances.schemas import check, tool_of
from tests.core.utterances.corpus import TARGETS

ASKING = Asking(caller=Caller("somebody"))
CALL = FunctionCall("weather", {"location": "Rome", "days": "2"})
BODY = '{"name": "weather", "arguments": {"location": "Rome", "days": "2"}}'


@pytest.mark.parametrize(
    "text",
    [
        f"<tool_call>{BODY}</tool_call>",
        f"<tool_call>\n{BODY}\n",
        f"<tool_call>{BODY[:-1]}</tool_call>",
        f"<tool_call>{BODY[:-2]}",
        f"<tool_call>{BODY}}}</tool_call>",
        f"<tool_call>{BODY[:-2]}]</tool_call>",
        f"Sure! <tool_call>{BODY}</tool_call><tool_call>{BODY}</tool_call>",
        f'```json\n{{"tool_calls": [{BODY}]}}\n```',
        f'{{"tool_calls": [{BODY}]}}',
        f'{{"tool_calls": [{BODY}',
        f'<think>hm {{}}</think>\n{{"tool_calls": [{BODY},]}}',
        BODY,
        BODY.replace("arguments", "parameters"),
        f'{{"function": {BODY}}}',
    ],
)
def test_calls(text: str) -> None:
    reply = read_reply(text)
    assert reply.form
    assert reply.calls[0] == CALL
    assert reply.raw == text


def test_native_calls_go_first() -> None:
    call = ToolCall(name="weather", arguments='{"location": "Rome", "days": "2"}')
    reply = read_reply("I call it.", [call, call])
    assert reply.calls == (CALL, CALL)
    assert read_reply("", [call]).raw == written([CALL])
    assert written([CALL]) == (
        '```json\n{"tool_calls":[{"name":"weather","arguments":{"location":"Rome","days":"2"}}]}\n```'
    )


@pytest.mark.parametrize(
    ("arguments", "read"), [("", {}), ("{}", {}), ("nothing", None), ("[1]", None), ('{"a": 1', {"a": 1})]
)
def test_arguments(arguments: str, read: dict[str, Any] | None) -> None:
    assert read_reply("", [ToolCall(name="x", arguments=arguments)]).calls == (FunctionCall("x", read),)


def test_questions_and_answers() -> None:
    asks = '```json\n{"required_functions": ["weather"], "clarification": "Which days?"}\n```'
    assert read_reply(asks) == Reply(functions=("weather",), clarification="Which days?", form=True, raw=asks)
    assert read_reply('{"response": "Hello"}').response == "Hello"
    assert read_reply(" NONE ") == Reply(response="NONE", raw=" NONE ")
    assert read_reply("").response == ""


def _decide(text: str, *names: str, running: str | None = None) -> tuple[Decision, str]:
    asking = Asking(caller=ASKING.caller, running=running)
    found = decided(read_reply(text), [TARGETS[name] for name in names or TARGETS], asking)
    return found.decision, found.warning


def test_a_call_that_fits() -> None:
    decision, warning = _decide(BODY)
    assert (decision.target, decision.arguments, decision.question, warning) == ("weather", CALL.arguments, "", "")
    assert _decide(BODY, running="convert")[0].changed
    assert not _decide(BODY, running="weather")[0].changed


@pytest.mark.arch("5.3.ask")
def test_only_values_are_missing() -> None:
    decision, _ = _decide('{"name": "weather", "arguments": {"location": "Rome", "days": null}}')
    assert (decision.target, decision.missing) == ("weather", ("days",))
    assert decision.question.endswith("details days ?")


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "unknown", "arguments": {}}',
        '{"name": "weather", "arguments": {"location": "Rome", "days": "2", "invented": 1}}',
        '{"name": "convert", "arguments": {"amount": "much"}}',
        '{"name": "hotel", "arguments": {"guests": 2.5}}',
        '{"name": "hotel", "arguments": {"guests": true}}',
        '{"name": "weather", "arguments": [1]}',
        '{"response": "weather? location?"}',
        "NONE",
        "Hello, how can I help you?",
        "",
    ],
)
@pytest.mark.arch("5.3.none")
def test_no_intent(text: str) -> None:
    decision, _ = _decide(text)
    assert (decision.target, decision.question, decision.arguments, decision.raw) == (None, "", {}, text)


def test_a_warning_quotes_nothing() -> None:
    secret = '{"name": "secret-name", "arguments": {}}'
    for text in (secret, f"<tool_call>{BODY}</tool_call>" * 3, '{"name": "weather", "arguments": {"secret-name": 1}}'):
        warning = _decide(text)[1]
        assert warning
        assert "secret" not in warning


def test_a_question_in_plain_words() -> None:
    decision, _ = _decide("For how many days?", "weather", running="weather")
    assert decision == Decision(
        target="weather", missing=("days",), question="For how many days?", raw="For how many days?"
    )
    assert _decide('{"required_functions": ["weather"]}')[0].missing == ("location", "days")


# ------------------------------------------------------------------ schema


def test_a_tool_of_any_model() -> None:
    tool = tool_of(TARGETS["statistics"])
    assert tool.parameters["properties"]["device_ids"]["type"] == "array"
    assert tool.parameters["properties"]["time_range"]["type"] == "integer"
    assert tool.parameters["required"] == ["device_ids"]


def _checked(value: Any, **parameter: Any) -> tuple[Any, bool]:
    found = check(Target("t", "", (), (Parameter(name="p", **parameter),)), {"p": value})
    return found.arguments.get("p"), not found.fault


@pytest.mark.parametrize(
    ("value", "kind", "typed", "fits"),
    [
        (1, "float", 1.0, True),
        (1.5, "int", None, False),
        ("1", "int", None, False),
        (True, "int", None, False),
        (1, "bool", None, False),
        (1, "str", "1", True),
        (1.0, "str", "1", True),
        (False, "str", "false", True),
        ([1], "str", "[1]", True),
        ("", "str", None, True),
        (None, "int", None, True),
        ("[1, 2]", "list", [1, 2], True),
        ("a, b", "list", ["a", "b"], True),
        ([], "list", None, True),
        (3, "list", None, False),
        ({"a": 1}, "dict", {"a": 1}, True),
        ([], "dict", None, False),
        (10**400, "float", None, True),
    ],
)
def test_types(value: Any, kind: Any, typed: Any, fits: bool) -> None:
    found, right = _checked(value, type=kind)
    assert (found, type(found), right) == (typed, type(typed), fits)


def test_options_are_found_by_their_letters() -> None:
    assert _checked("First Class", enum=("first_class", "other")) == ("first_class", True)
    assert _checked("third", enum=("first_class", "other")) == (None, True)
    assert _checked(["A", "x"], enum=("a", "b"), type="list") == (["a"], True)
    assert _checked("A", enum=("a", "b"), type="list") == (["a"], True)
    assert _checked(["a"], enum=("a", "b")) == (None, False)
