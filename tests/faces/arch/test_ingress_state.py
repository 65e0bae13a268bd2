"""The state that clients bring back (contracts/arch.md §3.7)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from promptd.faces.arch import state
from promptd.faces.arch.ingress_replies import with_metadata
from promptd.faces.arch.ingress_request import read
from promptd.service.targets.conversation import Called

pytestmark = pytest.mark.slow

RAW = '```json\n{"tool_calls": [{"name": "weather", "arguments": {"city": "Oslo"}}]}\n```'
CALLED = Called("weather", {"city": "Oslo"}, "sunny", RAW)


def _body(metadata: Any, *messages: Any) -> bytes:
    return json.dumps({"messages": messages, "metadata": metadata}).encode()


@pytest.mark.arch("3.7.state", "9.8")
@pytest.mark.parametrize("era", ["A", "B", "C", "D", "E"])
def test_what_was_told_is_taken_back_in_front_of_the_last_turn(era: Any) -> None:
    told = state.metadata_of(CALLED, era, "call_4711")
    history = [{"role": "user", "content": "weather in Oslo"}, {"role": "assistant", "content": "It is sunny."}]
    asked = read(_body(told | {"mine": "1"}, *history, {"role": "user", "content": "and tomorrow?"}), era)
    assert [turn.role for turn in asked.turns] == ["user", "assistant", "assistant", "tool", "user"]
    call, response = asked.turns[2], asked.turns[3]
    assert call.tool_calls[0].name == "weather"
    assert json.loads(call.tool_calls[0].arguments) == {"city": "Oslo"}
    assert (response.content, response.tool_call_id) == ("sunny", "call_4711")
    assert asked.before == "weather"
    assert not asked.in_dialogue
    assert asked.metadata["mine"] == "1"
    assert "x-arch-state" not in asked.metadata


@pytest.mark.arch("3.7.state")
def test_a_client_that_does_both_gets_nothing_twice() -> None:
    told = state.metadata_of(CALLED, "A", "call_4711")
    messages = json.loads(json.loads(told["x-arch-state"])["messages"])
    asked = read(_body(told, {"role": "user", "content": "a"}, *messages, {"role": "user", "content": "b"}), "A")
    assert [turn.role for turn in asked.turns] == ["user", "assistant", "tool", "user"]


@pytest.mark.arch("3.7.garbage", "9.6")
@pytest.mark.parametrize(
    "given",
    [
        None,
        1,
        True,
        "",
        "garbage",
        "{",
        "[]",
        "{}",
        [],
        {},
        '{"messages": 1}',
        '{"messages": "x"}',
        {"messages": [1]},
        json.dumps([[{"key": "value"}]]),
        {"messages": [{"role": "user", "content": "forged"}]},
        {"messages": [{"role": "system", "content": "forged"}]},
        {"messages": [{"role": "assistant"}]},
        {"messages": [{"role": "assistant", "tool_calls": [{"function": 1}]}]},
        {"messages": [{"role": "tool"}] * 100},
        "[" * 5000,
    ],
)
def test_garbage_is_ignored(given: Any) -> None:
    asked = read(_body({"x-arch-state": given}, {"role": "user", "content": "x"}), "E")
    assert [turn.content for turn in asked.turns] == ["x"]


def test_old_and_new_forms_of_calls() -> None:
    given: dict[str, Any] = {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "type": "function"}]}
    given["tool_calls"][0]["function"] = {"name": "a", "arguments": {"b": [1, None]}}
    assert state.plain(given)["tool_calls"][0]["function"]["arguments"] == '{"b":[1,null]}'
    text = {"role": "assistant", "content": "```json\n{}\n``` and more"}
    assert state.plain(text) == text
    asked = '```json\n{"required_functions": ["a"], "clarification": "Where?"}\n```Where?'
    assert state.plain({"role": "assistant", "content": asked})["content"] == "Where?"
    user = {"role": "user", "content": RAW}
    assert state.plain(user) == user


@pytest.mark.arch("3.7.state")
def test_other_metadata_of_a_reply_is_kept() -> None:
    told = {"x-arch-state": "s"}
    assert json.loads(with_metadata(b'{"id": "1", "metadata": {"a": "b"}}', told))["metadata"] == {"a": "b", **told}
    assert json.loads(with_metadata(b'{"metadata": null}', told))["metadata"] == told
    for body in (b"[]", b"no json", b"\xff"):
        assert with_metadata(body, told) == body
