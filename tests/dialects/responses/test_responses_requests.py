"""Requests of the Responses API: what the house understands, and what it refuses."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.content import Document, Foreign, Image, Refusal, Sound, Text, Thinking, Tool, ToolCall, Turn
from promptd.core.errors import InvalidRequest
from promptd.core.model import Capability
from promptd.dialects import responses
from promptd.dialects.responses import DIALECT, decode_items, encode_items
from tests.dialects.responses.asking import asked, encode, sent


def test_a_plain_request() -> None:
    found = asked(
        instructions="be short",
        stream=True,
        store=False,
        temperature=0,
        top_p=0.5,
        max_output_tokens=9,
        metadata={"a": "b"},
    )
    assert found.request.messages == (Turn("system", "be short"), Turn("user", "hi"))
    assert (found.model, found.stream, found.keep, found.capability) == ("m", True, False, Capability.CHAT)
    parameters = found.request.parameters
    assert (parameters.temperature, parameters.top_p, parameters.max_tokens) == (0.0, 0.5, 9)
    assert found.request.metadata == {"a": "b"}
    assert parameters.extra == {}
    assert found.request.echo == {"object": "response", "instructions": True}


def test_a_conversation_of_items_becomes_turns() -> None:
    items = [
        {"role": "developer", "content": "rules"},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "q"}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}]},
        {"role": "assistant", "content": [{"type": "output_text", "text": "let me see", "annotations": []}]},
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}", "id": "fc_1", "status": "completed"},
        {"type": "custom_tool_call", "call_id": "c2", "name": "sh", "input": "ls"},
        {"type": "function_call_output", "call_id": "c1", "output": "1"},
        {"type": "custom_tool_call_output", "call_id": "c2", "output": [{"type": "input_text", "text": "a"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
    ]
    assert decode_items(items) == (
        Turn("developer", "rules"),
        Turn("user", "q"),
        Turn(
            "assistant",
            parts=(Thinking("hm"), Text("let me see")),
            tool_calls=(ToolCall(0, "c1", "f", "{}"), ToolCall(1, "c2", "sh", "ls", True)),
        ),
        Turn("tool", "1", tool_call_id="c1"),
        Turn("tool", "a", tool_call_id="c2"),
        Turn("assistant", parts=(Refusal("no"),)),
    )


def test_a_model_that_speaks_again_after_a_call_takes_another_turn() -> None:
    items = [
        {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"},
        {"role": "assistant", "content": "and"},
        {"role": "assistant", "content": "so"},
    ]
    assert decode_items(items) == (
        Turn("assistant", tool_calls=(ToolCall(0, "c1", "f", "{}"),)),
        Turn("assistant", "and"),
        Turn("assistant", "so"),
    )


def test_images_files_and_sounds() -> None:
    content = [
        {"type": "input_image", "image_url": "https://x/y.png", "detail": "low"},
        {"type": "input_image", "file_id": "file_1", "detail": "auto"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,AA==", "filename": "a.pdf"},
        {"type": "input_file", "file_data": "AA==", "filename": "b.pdf"},
        {"type": "input_file", "file_url": "https://x/c.pdf"},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        {"type": "input_hologram", "x": 1},
    ]
    found = asked(input=[{"role": "user", "content": content}])
    assert found.request.messages[0].parts == (
        Image("https://x/y.png", detail="low"),
        Image(file="file_1"),
        Document("data:application/pdf;base64,AA==", name="a.pdf"),
        Document("data:application/pdf;base64,AA==", name="b.pdf"),
        Document("https://x/c.pdf"),
        Sound("AA==", "wav"),
        Foreign(DIALECT, {"type": "input_hologram", "x": 1}),
    )
    assert found.capability is Capability.VISION


def test_items_that_only_this_dialect_knows_stay_as_they_are() -> None:
    searched = {"type": "web_search_call", "id": "ws_1", "status": "completed"}
    answered = {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot"}}
    assert decode_items([searched, answered]) == (
        Turn("assistant", parts=(Foreign(DIALECT, searched),)),
        Turn("user", parts=(Foreign(DIALECT, answered),)),
    )
    assert encode_items(decode_items([searched, answered])) == [searched, answered]


def test_references_are_replaced_by_their_items() -> None:
    body = encode(
        {"model": "m", "input": [{"type": "item_reference", "id": "msg_1"}, {"role": "user", "content": "go"}]}
    )
    assert responses.references(body) == ("msg_1",)
    item = {"id": "msg_1", "type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]}
    assert responses.decode_request(body, items={"msg_1": item}).request.messages == (
        Turn("assistant", "a"),
        Turn("user", "go"),
    )
    (kept, _) = responses.decode_request(body).request.messages
    assert kept.parts == (Foreign(DIALECT, {"type": "item_reference", "id": "msg_1"}),)


def test_tools_and_choices() -> None:
    found = asked(
        tools=[
            {"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": True, "description": "d"},
            {"type": "function", "name": "g", "parameters": None, "defer_loading": True},
            {"type": "custom", "name": "sh", "format": {"type": "text"}},
            {"type": "web_search"},
        ],
        tool_choice={"type": "custom", "name": "sh"},
        parallel_tool_calls=False,
    )
    parameters = found.request.parameters
    assert parameters.tools == (
        Tool("f", "d", {"type": "object"}, True),
        Tool("g", extra={"defer_loading": True}),
        Tool("sh", extra={"type": "custom", "format": {"type": "text"}}),
    )
    assert [tool.value["type"] for tool in parameters.foreign_tools] == ["web_search"]
    assert (parameters.tool_choice, parameters.parallel_tool_calls) == ("sh", False)
    assert sent(tools=parameters.tools, foreign_tools=parameters.foreign_tools, tool_choice="sh")["tool_choice"] == {
        "type": "custom",
        "name": "sh",
    }
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "f"}]}
    found = asked(tools=[{"type": "function", "name": "f"}], tool_choice=allowed)
    assert found.request.parameters.tool_choice == "required"
    assert found.request.parameters.extra["tool_choice"] == allowed


def test_the_form_of_the_answer() -> None:
    schema = {"type": "object"}
    form = {"type": "json_schema", "name": "n", "schema": schema, "strict": True, "description": "d"}
    found = asked(text={"format": form, "verbosity": "low"}).request.parameters
    assert (found.json_schema, found.schema_name, found.schema_strict) == (schema, "n", True)
    assert found.extra == {"text": {"format": {"description": "d"}}, "verbosity": "low"}
    text = sent(json_schema=schema, schema_name="n", schema_strict=True, extra=found.extra)["text"]
    assert text == {"format": form, "verbosity": "low"}
    assert asked(text={"format": {"type": "json_object"}}).request.parameters.json_object
    assert asked(text={"format": {"type": "text"}}).request.parameters.extra == {}


def test_how_to_think_and_what_to_include() -> None:
    found = asked(reasoning={"effort": "high", "summary": "auto"}, include=["reasoning.encrypted_content"]).request
    assert found.parameters.effort == "high"
    body = sent(effort="high", extra=found.parameters.extra)
    assert body["reasoning"] == {"effort": "high", "summary": "auto"}
    assert body["include"] == ["reasoning.encrypted_content"]
    found = asked(include=["message.output_text.logprobs"], top_logprobs=2).request
    assert (found.parameters.logprobs, found.parameters.top_logprobs) == (True, 2)
    assert sent(logprobs=True)["include"] == ["message.output_text.logprobs"]


def test_members_of_a_client_reach_a_service_of_its_dialect() -> None:
    extra = asked(truncation="auto", max_tool_calls=3, prompt_cache_key="k", novelty={"x": 1}).request.parameters.extra
    body = sent(extra=extra)
    assert {name: body[name] for name in extra} == {
        "truncation": "auto",
        "max_tool_calls": 3,
        "prompt_cache_key": "k",
        "novelty": {"x": 1},
    }
    assert (body["store"], body["stream"], body["model"]) == (False, True, "up")


def test_members_of_other_dialects_stay_behind() -> None:
    body = sent(extra={"n": 1, "logit_bias": {}, "thinking": {}, "stream_options": {}, "service_tier": "flex"})
    assert body["service_tier"] == "flex"
    assert not {"n", "logit_bias", "thinking", "stream_options"} & set(body)
    assert "seed" not in sent(seed=1, without=("seed",))


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"[]", ""),
        (b"{", ""),
        (b'{"input": "\xff"}', ""),
        (b'{"model": 1, "input": "x"}', "model"),
        (b'{"model": "m"}', "input"),
        (b'{"input": 5}', "input"),
        (b'{"input": ""}', "input"),
        (b'{"input": []}', "input"),
        (b'{"input": "x", "max_output_tokens": 9007199254740993}', "max_output_tokens"),
        (b'{"input": "x", "truncation": {}}', "truncation"),
        (b'{"input": "x", "max_tool_calls": "3"}', "max_tool_calls"),
        (b'{"input": [5]}', "input[0]"),
        (b'{"input": [{"role": "critic", "content": "x"}]}', "input[0].role"),
        (b'{"input": [{"role": "user"}]}', "input[0].content"),
        (b'{"input": [{"role": "user", "content": [{"type": "input_text"}]}]}', "input[0].content[0].text"),
        (b'{"input": [{"role": "user", "content": [{"type": "input_image"}]}]}', "input[0].content[0].image_url"),
        (b'{"input": [{"type": "function_call", "name": "f", "arguments": "{}"}]}', "input[0].call_id"),
        (b'{"input": [{"type": "reasoning", "summary": [3]}]}', "input[0].summary[0]"),
        (b'{"input": "x", "tools": [{"type": "function"}]}', "tools[0].name"),
        (b'{"input": "x", "tools": {}}', "tools"),
        (b'{"input": "x", "tool_choice": "f"}', "tool_choice"),
        (b'{"input": "x", "tool_choice": {"type": "function"}}', "tool_choice.name"),
        (b'{"input": "x", "text": {"format": {"type": "json_schema", "name": "n"}}}', "text.format.schema"),
        (b'{"input": "x", "temperature": "hot"}', "temperature"),
        (b'{"input": "x", "top_p": 1e999}', ""),
        (b'{"input": "x", "max_output_tokens": -1}', "max_output_tokens"),
        (b'{"input": "x", "metadata": {"a": 1}}', "metadata.a"),
        (b'{"input": "x", "stream": 1}', "stream"),
        (b'{"input": "x", "background": "yes"}', "background"),
        (b'{"input": "x", "conversation": "conv_1"}', "conversation"),
        (b'{"input": "x", "include": [1]}', "include"),
    ],
)
def test_what_is_wrong_is_named(body: bytes, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        responses.decode_request(body)
    assert refused.value.field == field


@given(
    st.binary(max_size=200) | st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists).map(encode)
)
def test_no_body_breaks_it(body: bytes) -> None:
    with suppress(InvalidRequest):
        responses.decode_request(body)


_names = st.sampled_from(
    [
        "type",
        "role",
        "content",
        "text",
        "input",
        "id",
        "summary",
        "call_id",
        "name",
        "tools",
        "format",
        "reasoning",
        "x",
    ]
)
_json = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_names, inner, max_size=4),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from(["input", "tools", "tool_choice", "text", "reasoning", "metadata", "model"]), _json)
)
def test_no_odd_member_breaks_it(body: dict[str, Any]) -> None:
    with suppress(InvalidRequest):
        responses.decode_request(encode(body))
