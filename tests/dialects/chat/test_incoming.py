"""Requests of clients of the chat API."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.content import Document, Foreign, Image, Refusal, Sound, Text, Thinking, Tool, ToolCall, Turn
from promptd.core.engine import Call, NoConfig
from promptd.core.errors import InvalidRequest
from promptd.core.model import Capability
from promptd.core.parameters import Parameters
from promptd.dialects.asked import Asked
from promptd.dialects.chat import FUNCTIONS, Manners, decode_request, encode_request
from promptd.egress import Egress

HI = {"role": "user", "content": "hi"}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


def decode(*messages: Any, **members: Any) -> Asked:
    return decode_request(json.dumps({"model": "m", "messages": messages or [HI], **members}).encode())


def turn(**message: Any) -> Turn:
    return decode(message).request.messages[0]


def parameters(**members: Any) -> Parameters:
    return decode(**members).request.parameters


def test_a_plain_chat() -> None:
    asked = decode()
    assert asked.request.messages == (Turn("user", "hi"),)
    assert asked.request.parameters == Parameters()
    assert (asked.model, asked.stream, asked.usage, asked.keep) == ("m", False, False, None)
    assert asked.capability is Capability.CHAT


def test_every_parameter_has_its_place() -> None:
    assert parameters(
        temperature=0,
        top_p=0.5,
        max_tokens=9,
        max_completion_tokens=7,
        stop=["x", "y"],
        seed=-1,
        top_k=4,
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        parallel_tool_calls=False,
        reasoning_effort="high",
        logprobs=True,
        top_logprobs=3,
        user="ann",
        logit_bias={"5": 1},
        service_tier="flex",
        n=3,
        min_p=0.25,
        nothing=None,
    ) == Parameters(
        temperature=0.0,
        top_p=0.5,
        max_tokens=7,
        stop=("x", "y"),
        seed=-1,
        top_k=4,
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        parallel_tool_calls=False,
        effort="high",
        logprobs=True,
        top_logprobs=3,
        user="ann",
        n=3,
        extra={"logit_bias": {"5": 1}, "service_tier": "flex", "min_p": 0.25},
    )
    assert parameters(max_tokens=9, stop="x", n=1) == Parameters(max_tokens=9, stop=("x",))


def test_what_is_not_a_parameter() -> None:
    asked = decode(stream=True, stream_options={"include_usage": True}, store=True, metadata={"a": "b"})
    assert (asked.stream, asked.usage, asked.keep, asked.request.metadata) == (True, True, True, {"a": "b"})
    assert decode(stream=True, stream_options={"include_obfuscation": False}).usage is False
    assert decode_request(b'{"model": "", "messages": [{"role": "user"}]}').model is None


def test_null_is_as_good_as_absent() -> None:
    members = dict.fromkeys(("temperature", "stop", "tools", "tool_choice", "response_format", "n", "stream", "audio"))
    assert decode(**members).request == decode().request


def test_who_is_the_end_user() -> None:
    assert parameters(safety_identifier="s").user == "s"
    both = parameters(safety_identifier="s", user="u")
    assert (both.user, both.extra) == ("u", {"safety_identifier": "s"})


def test_the_wish_to_think_in_another_form() -> None:
    asked = parameters(reasoning={"effort": "low", "max_tokens": 50})
    assert (asked.effort, asked.thinking_tokens, asked.extra) == ("low", 50, {})
    assert parameters(reasoning={"exclude": True}).extra == {"reasoning": {"exclude": True}}


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        ({"type": "text"}, Parameters()),
        ({"type": "json_object"}, Parameters(json_object=True)),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA, "strict": True}},
            Parameters(json_schema=SCHEMA, schema_name="n", schema_strict=True),
        ),
        (
            {"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}},
            Parameters(json_schema=SCHEMA, schema_name="n", schema_strict=False),
        ),
        ({"type": "json_object", "schema": SCHEMA}, Parameters(json_schema=SCHEMA, schema_strict=False)),
        ({"type": "grammar", "x": 1}, Parameters(extra={"response_format": {"type": "grammar", "x": 1}})),
    ],
)
def test_forms_of_the_answer(form: dict[str, Any], expected: Parameters) -> None:
    assert parameters(response_format=form) == expected


# ------------------------------------------------------------------ messages


def test_a_conversation_with_tools() -> None:
    called = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}
    custom = {"id": "c2", "type": "custom", "custom": {"name": "calc", "input": "1 + 1"}}
    asked = decode(
        {"role": "developer", "content": "be brief"},
        {"role": "system", "content": [{"type": "text", "text": "be kind"}]},
        {"role": "user", "content": "1+1", "name": "ann"},
        {"role": "assistant", "content": None, "tool_calls": [called, custom]},
        {"role": "tool", "content": "2", "tool_call_id": "c1"},
        {
            "role": "tool",
            "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
            "tool_call_id": "c2",
        },
    )
    assert asked.request.messages == (
        Turn("developer", "be brief"),
        Turn("system", "be kind"),
        Turn("user", "1+1", name="ann"),
        Turn(
            "assistant",
            tool_calls=(ToolCall(0, "c1", "add", '{"a":1}'), ToolCall(1, "c2", "calc", "1 + 1", custom=True)),
        ),
        Turn("tool", "2", tool_call_id="c1"),
        Turn("tool", tool_call_id="c2", parts=(Text("a"), Text("b"))),
    )


def test_parts_of_every_kind() -> None:
    content = [
        {"type": "text", "text": "look", "cache_control": {"type": "ephemeral"}},
        {"type": "image_url", "image_url": {"url": "https://host/a.png", "detail": "low"}},
        {"type": "image_url", "image_url": "https://host/b.png"},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
        {"type": "file", "file": {"filename": "a.txt", "file_data": "AAAA"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "video_url", "video_url": {"url": "https://host/v"}},
    ]
    assert turn(role="user", content=content).parts == (
        Text("look", {"cache_control": {"type": "ephemeral"}}),
        Image(url="https://host/a.png", detail="low"),
        Image(url="https://host/b.png"),
        Sound("AAAA", "wav"),
        Document(url="data:application/pdf;base64,AAAA", name="a.pdf"),
        Document(url="data:text/plain;base64,AAAA", name="a.txt"),
        Document(file="file-1"),
        Foreign("openai.chat", {"type": "video_url", "video_url": {"url": "https://host/v"}}),
    )


def test_what_an_assistant_says_besides_text() -> None:
    said = turn(
        role="assistant", content="a", reasoning_content="hm", refusal="no", audio={"id": "x"}, annotations=[{}]
    )
    assert said.parts == (Thinking("hm"), Text("a"), Refusal("no"))
    assert (said.content, said.extra) == ("", {"audio": {"id": "x"}, "annotations": [{}]})
    assert turn(role="assistant", content=[{"type": "refusal", "refusal": "no"}]).parts == (Refusal("no"),)
    assert turn(role="assistant", content="a", refusal=None, annotations=[], audio=None) == Turn("assistant", "a")


@pytest.mark.parametrize(
    "message", [{"role": "assistant"}, {"role": "assistant", "content": ""}, {"role": "user", "content": []}]
)
def test_a_message_may_be_empty(message: dict[str, Any]) -> None:
    assert turn(**message) == Turn(message["role"])


def test_unknown_members_of_messages_and_calls_are_kept() -> None:
    called = {"id": "c1", "function": {"name": "add", "arguments": "{}", "x": 1}, "extra_content": {"google": {}}}
    said = turn(role="assistant", content="a", tool_calls=[called], prefix=True)
    assert said.extra == {"prefix": True}
    assert said.tool_calls == (ToolCall(0, "c1", "add", "{}", extra={"extra_content": {"google": {}}}),)


def test_functions_as_they_were_once() -> None:
    asked = decode(
        HI,
        {"role": "assistant", "content": None, "function_call": {"name": "add", "arguments": "{}"}},
        {"role": "function", "name": "add", "content": "2"},
        functions=[{"name": "add", "parameters": SCHEMA}],
        function_call={"name": "add"},
    )
    call, result = asked.request.messages[1:]
    assert call.tool_calls[0].name == "add"
    assert (result.role, result.tool_call_id) == ("tool", call.tool_calls[0].id)
    assert asked.request.parameters.tools == (Tool("add", parameters=SCHEMA),)
    assert asked.request.parameters.tool_choice == "add"
    assert asked.request.echo == {FUNCTIONS: True}
    assert decode(functions=[{"name": "add"}], function_call="none").request.parameters.tool_choice == "none"


# ------------------------------------------------------------------ tools

ADD = {"type": "function", "function": {"name": "add", "description": "adds", "parameters": SCHEMA, "strict": True}}
SUB = {"type": "function", "function": {"name": "sub"}}
GRAMMAR = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}
CALC = {"type": "custom", "custom": {"name": "calc", "format": GRAMMAR}}


def test_tools_of_every_kind() -> None:
    made = parameters(tools=[ADD, CALC, {"type": "web_search", "x": 1}])
    assert made.tools == (
        Tool("add", "adds", SCHEMA, strict=True),
        Tool("calc", extra={"type": "custom", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}}),
    )
    assert made.foreign_tools == (Foreign("openai.chat", {"type": "web_search", "x": 1}, 2),)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "function": {"name": "add"}}, "add"),
        ({"type": "custom", "custom": {"name": "calc"}}, "calc"),
    ],
)
def test_choices_of_a_tool(choice: Any, expected: str) -> None:
    assert parameters(tools=[ADD, CALC], tool_choice=choice).tool_choice == expected


def test_tools_that_are_not_allowed_are_as_good_as_not_there() -> None:
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "sub"}}]}
    made = parameters(tools=[ADD, SUB, CALC], tool_choice={"type": "allowed_tools", "allowed_tools": allowed})
    assert ([tool.name for tool in made.tools], made.tool_choice) == (["sub"], "required")


# ------------------------------------------------------------------ what is wrong


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"messages": []}, "messages"),
        ({"messages": "hi"}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [{"content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "robot", "content": "hi"}]}, "messages[0].role"),
        ({"messages": [HI, {"role": "user", "content": 5}]}, "messages[1].content"),
        ({"messages": [{"role": "user", "content": ["hi"]}]}, "messages[0].content[0]"),
        ({"messages": [{"role": "user", "content": [{}]}]}, "messages[0].content[0].type"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "messages[0].content[0].image_url"),
        (
            {"messages": [{"role": "user", "content": [{"type": "input_audio", "input_audio": {"data": "A"}}]}]},
            "messages[0].content[0].input_audio.format",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "file", "file": {}}]}]}, "messages[0].content[0].file"),
        ({"messages": [{"role": "assistant", "tool_calls": [{"id": "a"}]}]}, "messages[0].tool_calls[0].function"),
        (
            {"messages": [{"role": "assistant", "tool_calls": [{"function": {"arguments": "{}"}}]}]},
            "messages[0].tool_calls[0].function.name",
        ),
        ({"model": 5}, "model"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": 1e300}, "max_tokens"),
        ({"n": 0}, "n"),
        ({"seed": 2**63}, "seed"),
        ({"stop": [1]}, "stop[0]"),
        ({"stream": "yes"}, "stream"),
        ({"metadata": {"a": 1}}, "metadata[...]"),
        ({"tools": [{}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {"name": "a", "parameters": 1}}]}, "tools[0].function.parameters"),
        ({"tool_choice": "any"}, "tool_choice"),
        ({"tool_choice": {"type": "function"}}, "tool_choice.function"),
        ({"tool_choice": {"type": "x"}}, "tool_choice.type"),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {}}}, "tool_choice.allowed_tools.tools"),
        ({"response_format": {}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": 1}}},
            "response_format.json_schema.schema",
        ),
        ({"reasoning": {"max_tokens": -1}}, "reasoning.max_tokens"),
        ({"unknown": 1, "temperature": "hot"}, "temperature"),
    ],
)
def test_the_wrong_field_is_named(members: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequest) as raised:
        decode_request(json.dumps({"model": "m", "messages": [HI]} | members).encode())
    assert raised.value.field == field
    assert "`" not in raised.value.message


def test_a_missing_field_is_named_too() -> None:
    with pytest.raises(InvalidRequest, match="messages: is missing") as raised:
        decode_request(b'{"model": "m"}')
    assert raised.value.field == "messages"


@pytest.mark.parametrize(
    "body", [b"", b"no", b"[]", b"5", b'{"messages": ', b"\xff\xfe", b"[" * 100_000, b'{"model":"\\ud800"}']
)
def test_what_is_no_request_at_all(body: bytes) -> None:
    with pytest.raises(InvalidRequest):
        decode_request(body)


NAMES = st.sampled_from(
    [
        "messages",
        "role",
        "user",
        "content",
        "type",
        "text",
        "tools",
        "function",
        "name",
        "tool_calls",
        "response_format",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=15,
)


@given(JSON)
def test_no_json_breaks_the_decoder(body: Any) -> None:
    try:
        asked = decode_request(json.dumps(body).encode())
    except InvalidRequest:
        return
    assert asked.request.messages


# ------------------------------------------------------------------ there and back

TEXTS = st.text(max_size=10)
SOME = st.text(min_size=1, max_size=10)
CALLS = st.lists(st.tuples(SOME, SOME, st.just('{"a":1}')), min_size=1, max_size=3).map(
    lambda made: tuple([ToolCall(index, *fields) for index, fields in enumerate(made)])
)
PARTS = st.lists(
    st.builds(Text, SOME)
    | st.builds(Image, url=SOME, detail=st.none() | st.just("low"))
    | st.builds(Sound, SOME, st.just("wav"))
    | st.builds(Document, file=SOME),
    min_size=2,
    max_size=4,
).map(tuple)
THOUGHTS = st.tuples(st.builds(Thinking, SOME), st.builds(Text, SOME), st.builds(Refusal, SOME))
TURNS = (
    st.builds(Turn, st.sampled_from(["system", "developer"]), TEXTS)
    | st.builds(Turn, st.just("user"), TEXTS, name=st.none() | SOME)
    | st.builds(Turn, st.just("user"), parts=PARTS)
    | st.builds(Turn, st.just("assistant"), SOME)
    | st.builds(Turn, st.just("assistant"), parts=THOUGHTS)
)
CONVERSATIONS = st.lists(
    TURNS | st.builds(Turn, st.just("tool"), TEXTS, tool_call_id=SOME), min_size=1, max_size=5
).flatmap(
    lambda turns: st.builds(
        lambda calls: (*turns, Turn("assistant", tool_calls=calls), Turn("tool", "done", tool_call_id=calls[0].id)),
        CALLS,
    )
)
WISHES = st.builds(
    Parameters,
    temperature=st.none() | st.floats(0, 2),
    max_tokens=st.none() | st.integers(0, 9),
    stop=st.lists(SOME, max_size=2).map(tuple),
    seed=st.none() | st.integers(-5, 5),
    tools=st.lists(st.builds(Tool, SOME, TEXTS, st.just(SCHEMA), st.none() | st.booleans()), max_size=2).map(tuple),
    json_schema=st.none() | st.just(SCHEMA),
    effort=st.none() | st.just("low"),
    user=st.none() | SOME,
    extra=st.just({}) | st.just({"logit_bias": {"1": 2}, "min_p": 0.5}),
)


@given(CONVERSATIONS, WISHES)
def test_nothing_is_lost_on_the_way_to_a_service_and_back(turns: tuple[Turn, ...], wishes: Parameters) -> None:
    call = Call(connection=NoConfig(), connection_name="c", model="m", http=Egress(), messages=turns, parameters=wishes)
    manners = Manners(developer=True, thoughts="reasoning_content")
    asked = decode_request(encode_request(call, stream=False, manners=manners))
    assert asked.request.messages == turns
    named = Parameters(schema_name="answer", schema_strict=True) if wishes.json_schema is not None else Parameters()
    for name in Parameters.__struct_fields__:
        expected = (
            getattr(wishes, name) if getattr(named, name) == getattr(Parameters(), name) else getattr(named, name)
        )
        assert getattr(asked.request.parameters, name) == expected
