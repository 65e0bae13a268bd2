"""Requests to a service of the Responses API, and that nothing is lost between the two."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.content import Document, Foreign, Image, Part, Refusal, Sound, Text, Thinking, ToolCall, Turn
from promptd.core.engine import Call, NoConfig
from promptd.core.errors import InvalidInput, UnsupportedInput
from promptd.core.model import Blob
from promptd.dialects import chat, responses
from promptd.dialects.responses import decode_items, encode_items
from tests.dialects.responses.asking import asked, call, encode, sent


def test_the_first_system_turn_is_the_instructions() -> None:
    body = sent((Turn("system", "s"), Turn("developer", "d"), Turn("user", "u")))
    assert body["instructions"] == "s"
    assert [item["role"] for item in body["input"]] == ["developer", "user"]


def test_files_belong_to_the_last_message_of_the_user() -> None:
    body = msgspec.json.decode(
        responses.encode_request(
            call((Turn("user", "look"), Turn("assistant", "yes")), files=(Blob("a.png", "image/png", b"\1"),)),
            stream=False,
        )
    )
    assert [part["type"] for part in body["input"][0]["content"]] == ["input_text", "input_image"]
    with pytest.raises(InvalidInput):
        responses.encode_request(call((), files=(Blob("a.png", "image/png", b"\1"),)), stream=False)
    with pytest.raises(UnsupportedInput):
        responses.encode_request(call((Turn("user", ""),), files=(Blob("a", "video/mp4", b""),)), stream=False)


@pytest.mark.parametrize(
    "parameters",
    [
        {"stop": ("x",)},
        {"grammar": "g"},
        {"template": "{prompt}"},
        {"foreign_tools": (Foreign("anthropic.messages", {}),)},
    ],
)
def test_what_the_api_can_not_do_is_refused(parameters: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedInput):
        sent(**parameters)


@pytest.mark.parametrize("name", ["store", "previous_response_id", "background", "model", "conversation"])
def test_nobody_keeps_state_at_the_service(name: str) -> None:
    with pytest.raises(InvalidInput, match=name):
        sent(extra={name: True})


def test_a_custom_tool_of_the_chat_api_becomes_flat() -> None:
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: x"}}
    tools = [{"type": "custom", "custom": {"name": "sh", "format": grammar}}]
    asked = chat.decode_request(msgspec.json.encode({"messages": [{"role": "user", "content": "q"}], "tools": tools}))
    body = sent(tools=asked.request.parameters.tools, tool_choice="sh")
    form = {"type": "grammar", "syntax": "lark", "definition": "start: x"}
    assert body["tools"] == [{"type": "custom", "name": "sh", "description": None, "format": form}]
    assert body["tool_choice"] == {"type": "custom", "name": "sh"}


def test_a_service_gets_the_thoughts_that_it_sealed_and_no_others() -> None:
    thoughts: tuple[Part, ...] = (
        Thinking("mine"),
        Thinking(sealed="rs_7:gAAA"),
        Thinking("another maker's", "signature"),
        Thinking(sealed="another maker's"),
        Text("so"),
    )
    items = sent((Turn("user", "q"), Turn("assistant", parts=thoughts)))["input"]
    assert items[1] == {
        "type": "reasoning",
        "id": "rs_7",
        "summary": [{"type": "summary_text", "text": "mine"}],
        "encrypted_content": "gAAA",
    }
    assert [item["type"] for item in items] == ["message", "reasoning", "message"]


# ------------------------------------------------------------------ there and back

_text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
_plain = _text.map(Text)
_inputs = st.lists(
    _plain
    | st.builds(Image, url=st.just("https://x/y"), detail=st.sampled_from([None, "low", "high"]))
    | st.builds(Image, file=_text)
    | st.builds(Document, url=st.just("https://x/y"), name=st.just("") | _text)
    | st.builds(Document, url=st.just("data:text/plain;base64,AA=="), name=_text)
    | st.builds(Sound, data=_text, format=_text),
    min_size=1,
    max_size=4,
)
_thoughts = st.lists(
    _text.map(Thinking)
    | st.builds(Thinking, text=_text, signature=_text)
    | st.builds(Thinking, sealed=_text.map("x".__add__)),
    max_size=3,
)
_calls = st.lists(st.tuples(_text, _text, _text, st.booleans()), max_size=3).map(
    lambda found: tuple(ToolCall(index, *call) for index, call in enumerate(found))
)


def _simplest(role: Any, parts: list[Part], calls: tuple[ToolCall, ...] = (), **more: Any) -> Turn:
    if len(parts) == 1 and isinstance(parts[0], Text):
        return Turn(role, parts[0].text, tool_calls=calls, **more)
    return Turn(role, tool_calls=calls, parts=tuple(parts), **more)


_asking = st.builds(_simplest, st.sampled_from(["user", "system", "developer"]), _inputs)
_saying = st.builds(
    lambda thoughts, said, calls: _simplest("assistant", [*thoughts, *said], calls),
    _thoughts,
    st.lists(_plain | _text.map(Refusal), min_size=1, max_size=3),
    _calls,
)
_results = st.builds(
    lambda parts, call_id, failed: _simplest("tool", parts, tool_call_id=call_id, failed=failed),
    _inputs,
    _text,
    st.booleans(),
)


@given(st.lists(_asking | _saying | _results, max_size=6))
def test_a_conversation_comes_back_as_it_was(turns: list[Turn]) -> None:
    there = msgspec.json.decode(encode(encode_items(turns)))
    assert decode_items(there) == tuple(turns)
    assert encode_items(decode_items(there)) == there


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "temperature": st.floats(0, 2),
            "top_p": st.floats(0, 1),
            "max_output_tokens": st.integers(1, 9),
            "parallel_tool_calls": st.booleans(),
            "reasoning": st.just({"effort": "low", "summary": "auto"}),
            "text": st.just({"format": {"type": "json_object"}, "verbosity": "low"})
            | st.just({"format": {"type": "json_schema", "name": "n", "schema": {}, "strict": False}}),
            "tools": st.just(
                [{"type": "function", "name": "f", "description": "d", "parameters": {"a": 1}, "strict": True}]
            ),
            "truncation": st.just("auto"),
            "service_tier": st.just("flex"),
            "safety_identifier": st.just("u"),
        },
    )
)
def test_parameters_come_back_as_they_were(members: dict[str, Any]) -> None:
    parameters = asked(**members).request.parameters
    body = msgspec.json.decode(
        responses.encode_request(
            Call(
                connection=NoConfig(),
                connection_name="c",
                model="m",
                http=None,  # type: ignore[arg-type]
                messages=(Turn("user", "hi"),),
                parameters=parameters,
            ),
            stream=False,
        )
    )
    assert {name: body.get(name) for name in members} == members
