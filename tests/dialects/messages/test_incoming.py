"""What becomes of a client's Messages request."""

from __future__ import annotations

from typing import Any

import pytest

from promptd.core.content import Document, Foreign, Image, Text, Thinking, Tool, ToolCall, Turn
from promptd.core.errors import InvalidRequest
from promptd.core.model import Capability
from promptd.core.parameters import Parameters
from promptd.dialects.messages import DIALECT, decode_request
from tests.dialects.messages.making import IMAGE, ask, turns

USER = {"role": "user", "content": "hi"}


def test_a_plain_request() -> None:
    asked = ask(stream=True, system="Be brief")
    assert (asked.model, asked.stream, asked.usage, asked.capability) == ("m", True, True, Capability.CHAT)
    assert asked.request.messages == (Turn("system", "Be brief"), Turn("user", "hi"))
    assert asked.request.parameters == Parameters(max_tokens=10)
    assert asked.request.unchecked


def test_every_parameter_has_its_place() -> None:
    parameters = ask(
        temperature=1,
        top_p=0.5,
        top_k=3,
        stop_sequences=["x"],
        metadata={"user_id": "u1"},
        thinking={"type": "enabled", "budget_tokens": 2000},
        output_config={"effort": "low", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        service_tier="auto",
        container="c1",
    ).request.parameters
    assert (parameters.temperature, parameters.top_p, parameters.top_k, parameters.stop) == (1.0, 0.5, 3, ("x",))
    assert (parameters.user, parameters.thinking_tokens, parameters.effort) == ("u1", 2000, "low")
    assert parameters.json_schema == {"type": "object"}
    assert parameters.extra["service_tier"] == "auto"
    assert parameters.extra["container"] == "c1"


@pytest.mark.parametrize(("tokens", "effort"), [(1024, "low"), (5000, "medium"), (20000, "high")])
def test_a_budget_is_told_as_an_effort_too(tokens: int, effort: str) -> None:
    parameters = ask(thinking={"type": "enabled", "budget_tokens": tokens}).request.parameters
    assert (parameters.thinking_tokens, parameters.effort) == (tokens, effort)
    assert ask(thinking={"type": "disabled"}).request.parameters.effort is None
    assert ask(thinking={"type": "adaptive"}).request.parameters.effort is None


def test_the_older_member_for_a_schema_is_known() -> None:
    asked = ask(output_format={"type": "json_schema", "schema": {"type": "array"}})
    assert asked.request.parameters.json_schema == {"type": "array"}


def test_tools_and_the_choice_among_them() -> None:
    search = {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}
    own = {"name": "add", "description": "adds", "input_schema": {"type": "object"}, "strict": True}
    cached = {"type": "custom", "name": "b", "input_schema": {}, "cache_control": {"type": "ephemeral"}}
    parameters = ask(
        tools=[own, search, cached], tool_choice={"type": "any", "disable_parallel_tool_use": True}
    ).request.parameters
    assert parameters.tools == (
        Tool("add", "adds", {"type": "object"}, True),
        Tool("b", extra={"cache_control": {"type": "ephemeral"}}),
    )
    assert parameters.foreign_tools == (Foreign(DIALECT, search, 1),)
    assert (parameters.tool_choice, parameters.parallel_tool_calls) == ("required", False)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [({"type": "auto"}, "auto"), ({"type": "none"}, "none"), ({"type": "tool", "name": "add"}, "add")],
)
def test_every_form_of_choice(choice: dict[str, Any], expected: str) -> None:
    parameters = ask(tool_choice=choice).request.parameters
    assert (parameters.tool_choice, parameters.parallel_tool_calls) == (expected, None)


def test_system_blocks_keep_their_cache_marks() -> None:
    marked = {"type": "text", "text": "two", "cache_control": {"type": "ephemeral"}}
    first, _ = ask(system=[{"type": "text", "text": "one"}, marked]).request.messages
    assert first.parts == (Text("one"), Text("two", {"cache_control": {"type": "ephemeral"}}))
    assert turns(USER, {"role": "system", "content": "later"}, USER)[1] == Turn("system", "later")


def test_blocks_become_parts() -> None:
    blocks: list[dict[str, Any]] = [
        {"type": "text", "text": "look", "citations": None},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": IMAGE}},
        {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}},
        {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
        {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}, "title": "T"},
        {"type": "document", "source": {"type": "url", "url": "https://a/b.pdf"}, "citations": {"enabled": True}},
        {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "x"}]},
    ]
    search = {**blocks[-1]}
    asked = ask(messages=[{"role": "user", "content": blocks}])
    assert asked.capability is Capability.VISION
    (turn,) = asked.request.messages
    assert turn.parts == (
        Text("look"),
        Image(f"data:image/png;base64,{IMAGE}"),
        Image("https://a/b.png"),
        Image(file="file_1"),
        Document("data:application/pdf;base64,JVBE"),
        Document(text="words", name="T"),
        Document("https://a/b.pdf", extra={"citations": {"enabled": True}}),
        Foreign(DIALECT, search),
    )


def test_a_source_that_nobody_knows_stays_as_it_is() -> None:
    block = {"type": "document", "source": {"type": "content", "content": "a"}, "title": "T"}
    (turn,) = turns({"role": "user", "content": [dict(block)]})
    assert turn.parts == (Foreign(DIALECT, block),)


def test_a_model_that_speaks_between_its_calls_takes_turns() -> None:
    made = turns(
        USER,
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "sig"},
                {"type": "redacted_thinking", "data": "xx"},
                {"type": "text", "text": "first"},
                {"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 1}},
                {"type": "tool_use", "id": "t2", "name": "add", "input": {}, "cache_control": {"type": "ephemeral"}},
                {"type": "text", "text": "then"},
                {"type": "tool_use", "id": "t3", "name": "add", "input": {"ü": [1.5]}},
            ],
        },
    )
    assert made[1] == Turn(
        "assistant",
        parts=(Thinking("hm", "sig"), Thinking(sealed="xx"), Text("first")),
        tool_calls=(
            ToolCall(0, "t1", "add", '{"a":1}'),
            ToolCall(1, "t2", "add", "{}", extra={"cache_control": {"type": "ephemeral"}}),
        ),
    )
    assert made[2] == Turn("assistant", "then", tool_calls=(ToolCall(0, "t3", "add", '{"ü":[1.5]}'),))


def test_results_are_turns_before_the_words_of_their_message() -> None:
    image = {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}}
    made = turns(
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "here"},
                {"type": "tool_result", "tool_use_id": "t1", "content": "2"},
                {"type": "tool_result", "tool_use_id": "t2", "is_error": True},
                {"type": "tool_result", "tool_use_id": "t3", "content": [{"type": "text", "text": "x"}, image]},
            ],
        }
    )
    assert made == (
        Turn("tool", "2", tool_call_id="t1"),
        Turn("tool", tool_call_id="t2", failed=True),
        Turn("tool", tool_call_id="t3", parts=(Text("x"), Image("https://a/b.png"))),
        Turn("user", "here"),
    )


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"model": ...}, "model"),
        ({"model": 3}, "model"),
        ({"max_tokens": ...}, "max_tokens"),
        ({"max_tokens": True}, "max_tokens"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"messages": ...}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": {}}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"role": "bot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user"}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": ["x"]}]}, "messages[0].content[0]"),
        ({"messages": [USER, {"role": "user", "content": [{"text": "x"}]}]}, "messages[1].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0].source"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image", "source": {"type": "base64"}}]}]},
            "messages[0].content[0].source.media_type",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]},
            "messages[0].content[0].tool_use_id",
        ),
        (
            {"messages": [{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": 1}]}]},
            "messages[0].content[0].content",
        ),
        (
            {"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "b"}]}]},
            "messages[0].content[0].input",
        ),
        ({"system": 3}, "system"),
        ({"system": [3]}, "system[0]"),
        ({"stream": "yes"}, "stream"),
        ({"temperature": "1"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"top_k": 1.5}, "top_k"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"tools": [{"name": "a"}]}, "tools[0].input_schema"),
        ({"tools": [{"input_schema": {}}]}, "tools[0].name"),
        ({"tools": [{"type": 3}]}, "tools[0].type"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"tool_choice": {"type": "some"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "tool"}}, "tool_choice.name"),
        ({"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ({"thinking": {}}, "thinking.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"metadata": {"user_id": 3}}, "metadata.user_id"),
    ],
)
def test_what_is_wrong_is_named(members: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        ask(**members)
    assert raised.value.field == field
    assert raised.value.expected


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_object(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        decode_request(body)


def test_counting_needs_no_bound() -> None:
    body = b'{"model": "m", "messages": [{"role": "user", "content": "hi"}]}'
    assert decode_request(body, counting=True).request.parameters.max_tokens is None
