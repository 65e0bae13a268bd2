"""Calls as bodies of requests to a service that speaks the chat API."""

import json
from typing import Any

import pytest

from promptd.core.content import Document, Foreign, Image, Refusal, Sound, Text, Thinking, Tool, ToolCall, Turn
from promptd.core.engine import Call, NoConfig
from promptd.core.errors import InvalidInput, UnsupportedInput
from promptd.core.model import Blob, Capability
from promptd.core.parameters import Parameters
from promptd.dialects.chat import Manners, encode_request
from promptd.egress import Egress

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}


def call(**fields: Any) -> Call[NoConfig]:
    defaults: dict[str, Any] = {
        "connection": NoConfig(),
        "connection_name": "c",
        "model": "m",
        "http": Egress(),
        "messages": (Turn("user", "hi"),),
    }
    return Call(**(defaults | fields))


def body(made: Call[NoConfig], *, stream: bool = True, **manners: Any) -> dict[str, Any]:
    decoded = json.loads(encode_request(made, stream=stream, manners=Manners(**manners)))
    assert isinstance(decoded, dict)
    return decoded


def test_a_plain_chat() -> None:
    assert body(call()) == {
        "model": "m",
        "messages": [{"role": "user", "content": "hi"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert "stream_options" not in body(call(), stream_usage=False)
    assert "stream" not in body(call(), stream=False)


def test_every_parameter_has_its_place() -> None:
    parameters = Parameters(
        temperature=0.0,
        top_p=0.5,
        max_tokens=7,
        stop=("x",),
        seed=0,
        json_schema=SCHEMA,
        tools=(Tool("add", "adds", SCHEMA),),
        tool_choice="add",
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        parallel_tool_calls=False,
        effort="low",
        logprobs=True,
        top_logprobs=2,
        extra={"logit_bias": {"5": 1}, "temperature": 0.25},
    )
    made = body(call(parameters=parameters, end_user_ref="u1"), max_tokens="max_completion_tokens")
    assert made["temperature"] == 0.25
    assert (made["top_p"], made["max_completion_tokens"], made["stop"], made["seed"]) == (0.5, 7, ["x"], 0)
    assert made["response_format"]["json_schema"]["schema"] == SCHEMA
    assert made["tools"][0]["function"] == {"name": "add", "description": "adds", "parameters": SCHEMA}
    assert made["tool_choice"] == {"type": "function", "function": {"name": "add"}}
    assert (made["logit_bias"], made["user"]) == ({"5": 1}, "u1")
    assert "max_tokens" not in made
    assert (made["presence_penalty"], made["frequency_penalty"], made["reasoning_effort"]) == (0.5, -0.5, "low")
    assert (made["parallel_tool_calls"], made["logprobs"], made["top_logprobs"]) == (False, True, 2)


@pytest.mark.parametrize("choice", ["auto", "none", "required"])
def test_the_general_tool_choices(choice: str) -> None:
    made = body(call(parameters=Parameters(tools=(Tool("add"),), tool_choice=choice)))
    assert made["tool_choice"] == choice


def test_a_conversation_with_tools() -> None:
    turns = (
        Turn("system", "be brief"),
        Turn("user", "1+1", name="ann"),
        Turn("assistant", "", tool_calls=(ToolCall(0, "c1", "add", '{"a":1}'),)),
        Turn("tool", "2", tool_call_id="c1"),
    )
    assert body(call(messages=turns))["messages"] == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "1+1", "name": "ann"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}}],
        },
        {"role": "tool", "content": "2", "tool_call_id": "c1"},
    ]


def test_a_template_makes_a_completion_and_fills_every_place_once() -> None:
    turns = (Turn("user", "old"), Turn("assistant", "x"), Turn("user", "new {prompt}"))
    made = body(call(messages=turns, parameters=Parameters(template="<{prompt}|{prompt}> {other}", max_tokens=3)))
    assert made["prompt"] == "<new {prompt}|new {prompt}> {other}"
    assert made["max_tokens"] == 3
    assert "messages" not in made
    assert body(call(messages=turns, capability=Capability.COMPLETION))["prompt"] == "new {prompt}"


def test_an_embedding() -> None:
    made = body(call(capability=Capability.EMBEDDING, texts=("a", "b"), parameters=Parameters(extra={"dimensions": 2})))
    assert made == {"model": "m", "input": ["a", "b"], "dimensions": 2}


def test_a_grammar_goes_only_where_it_is_understood() -> None:
    made = call(parameters=Parameters(grammar="root ::= 'a'"))
    assert body(made, grammar=True)["grammar"] == "root ::= 'a'"
    with pytest.raises(UnsupportedInput, match=r"^parameters\.grammar"):
        encode_request(made)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"messages": ()}, "messages"),
        ({"messages": (Turn("system", "x"),), "capability": Capability.COMPLETION}, "messages"),
        ({"capability": Capability.EMBEDDING}, "texts"),
        ({"parameters": Parameters(extra={"stream": False})}, "parameters.extra.stream"),
        ({"parameters": Parameters(extra={"x": object()})}, "parameters"),
    ],
)
def test_bad_input_names_its_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        encode_request(call(**fields))
    assert raised.value.message.startswith(f"{field}: ")


@pytest.mark.parametrize("name", ["n", "best_of"])
def test_how_many_answers_there_are_is_not_for_extra_to_say(name: str) -> None:
    with pytest.raises(InvalidInput, match=rf"^parameters\.extra\.{name}: "):
        encode_request(call(parameters=Parameters(extra={name: 2})))


def test_the_best_of_several_is_asked_of_raw_texts_only() -> None:
    asked = Parameters(best_of=3)
    assert body(call(parameters=asked, capability=Capability.COMPLETION))["best_of"] == 3
    assert "best_of" not in body(call(parameters=asked))


def test_members_of_other_dialects_stay_away_and_unknown_ones_go_along() -> None:
    extra = {"thinking": {"type": "enabled"}, "include": ["x"], "truncation": "auto", "min_p": 0.1, "verbosity": "low"}
    made = body(call(parameters=Parameters(extra=extra)))
    assert not made.keys() & {"thinking", "include", "truncation"}
    assert (made["min_p"], made["verbosity"]) == (0.1, "low")
    assert body(call(parameters=Parameters(extra=extra)), taken=frozenset({"thinking"}))["thinking"]
    assert "verbosity" not in body(call(parameters=Parameters(extra=extra)), refused=frozenset({"verbosity"}))


def test_the_manners_of_services() -> None:
    wish = Parameters(seed=5, top_k=7, effort="high", thinking_tokens=100)
    assert "top_k" not in body(call(parameters=wish))
    assert body(call(parameters=wish), top_k=True)["top_k"] == 7
    assert body(call(parameters=wish), seed="random_seed")["random_seed"] == 5
    thinking = body(call(parameters=wish), reasoning=True)
    assert thinking["reasoning"] == {"effort": "high", "max_tokens": 100}
    assert "reasoning_effort" not in thinking
    assert "name" not in body(call(messages=(Turn("user", "hi", name="ann"),)), names=False)["messages"][0]
    assert body(call(parameters=Parameters(user="mine"), end_user_ref="theirs"))["user"] == "mine"


def test_developers_are_known_to_one_vendor_only() -> None:
    turns = (Turn("developer", "be brief"), Turn("user", "hi"))
    assert body(call(messages=turns))["messages"][0] == {"role": "system", "content": "be brief"}
    assert body(call(messages=turns), developer=True)["messages"][0]["role"] == "developer"


def test_the_forms_of_an_answer() -> None:
    assert body(call(parameters=Parameters(json_object=True)))["response_format"] == {"type": "json_object"}
    named = Parameters(json_schema=SCHEMA, schema_name="sum", schema_strict=False)
    made = body(call(parameters=named))
    assert made["response_format"]["json_schema"] == {"name": "sum", "strict": False, "schema": SCHEMA}
    told = body(call(parameters=named), schemas=False)
    assert told["response_format"] == {"type": "json_object"}
    assert told["messages"][0]["role"] == "system"
    assert json.dumps(SCHEMA, separators=(",", ":")) in told["messages"][0]["content"]


def test_parts_of_every_kind() -> None:
    parts = (
        Text("look", {"cache_control": {"type": "ephemeral"}}),
        Image(url="https://host/a.png", detail="low"),
        Sound("AAAA", "wav"),
        Document(url="data:application/pdf;base64,AAAA", name="a.pdf"),
        Document(file="file-1"),
        Document(text="said", name="a.txt"),
        Foreign("openai.chat", {"type": "video_url", "video_url": {"url": "https://host/v"}}),
    )
    wire: list[dict[str, Any]] = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": "https://host/a.png", "detail": "low"}},
        {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
        {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "text", "text": "[a.txt]\nsaid"},
        {"type": "video_url", "video_url": {"url": "https://host/v"}},
    ]
    turns = (Turn("user", parts=parts),)
    assert body(call(messages=turns))["messages"][0]["content"] == wire
    marked = body(call(messages=turns), cache_control=True)["messages"][0]["content"][0]
    assert marked == wire[0] | {"cache_control": {"type": "ephemeral"}}


@pytest.mark.parametrize(
    "part",
    [
        Image(file="file-1"),
        Document(url="https://host/a.pdf"),
        Foreign("anthropic.messages", {"type": "search_result"}),
    ],
)
def test_parts_without_a_place(part: Any) -> None:
    with pytest.raises(UnsupportedInput, match=r"^messages\[0\]\.parts\[1\]: "):
        encode_request(call(messages=(Turn("user", parts=(Text("a"), part)),)))


def test_what_an_assistant_thought_goes_back_only_to_those_who_want_it() -> None:
    turns = (Turn("user", "hi"), Turn("assistant", parts=(Thinking("hm", "sig"), Text("a"), Text("b"))))
    assert body(call(messages=turns))["messages"][1] == {"role": "assistant", "content": "ab"}
    kept = body(call(messages=turns), thoughts="reasoning_content")["messages"][1]
    assert kept == {"role": "assistant", "content": "ab", "reasoning_content": "hm"}


def test_a_refusal_is_a_member_or_a_text() -> None:
    turns = (Turn("user", "hi"), Turn("assistant", parts=(Refusal("no"),)))
    assert body(call(messages=turns))["messages"][1] == {"role": "assistant", "content": "no"}
    known = body(call(messages=turns), developer=True)["messages"][1]
    assert known == {"role": "assistant", "content": None, "refusal": "no"}


def test_a_model_that_speaks_behind_its_calls_has_said_it_before() -> None:
    turns = (
        Turn("user", "hi"),
        Turn("assistant", "one", tool_calls=(ToolCall(0, "c1", "add", "{}"),)),
        Turn("assistant", "two", tool_calls=(ToolCall(0, "c2", "add", "{}"),)),
        Turn("tool", "1", tool_call_id="c1"),
        Turn("tool", "2", tool_call_id="c2"),
    )
    roles = body(call(messages=turns))["messages"]
    assert [message["role"] for message in roles] == ["user", "assistant", "tool", "tool"]
    assert roles[1]["content"] == "onetwo"
    assert [made["id"] for made in roles[1]["tool_calls"]] == ["c1", "c2"]


def test_images_of_a_tool_are_shown_by_the_user_behind_all_results() -> None:
    turns = (
        Turn("assistant", tool_calls=(ToolCall(0, "c1", "see"), ToolCall(1, "c2", "see"))),
        Turn("tool", tool_call_id="c1", parts=(Text("here"), Image(url="data:image/png;base64,AA"))),
        Turn("tool", "nothing", tool_call_id="c2"),
        Turn("user", "well?"),
    )
    made = body(call(messages=turns))["messages"]
    assert [message["role"] for message in made] == ["assistant", "tool", "tool", "user", "user"]
    assert made[1] == {"role": "tool", "content": "here", "tool_call_id": "c1"}
    assert made[3]["content"] == [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}]
    assert body(call(messages=turns[:2]))["messages"][-1]["role"] == "user"


def test_custom_tools_and_their_calls() -> None:
    grammar = {"type": "grammar", "syntax": "lark", "definition": "start: NUMBER"}
    tool = Tool("calc", "counts", extra={"type": "custom", "format": grammar})
    parameters = Parameters(tools=(tool, Tool("add", strict=True)), tool_choice="calc")
    turns = (Turn("user", "1+1"), Turn("assistant", tool_calls=(ToolCall(0, "c1", "calc", "1 + 1", custom=True),)))
    made = body(call(messages=turns, parameters=parameters))
    assert made["tools"][0] == {
        "type": "custom",
        "custom": {
            "name": "calc",
            "description": "counts",
            "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: NUMBER"}},
        },
    }
    assert made["tools"][1]["function"]["strict"] is True
    assert made["tool_choice"] == {"type": "custom", "custom": {"name": "calc"}}
    assert made["messages"][1]["tool_calls"] == [
        {"id": "c1", "type": "custom", "custom": {"name": "calc", "input": "1 + 1"}}
    ]


def test_tools_that_run_elsewhere_are_refused() -> None:
    ours = Foreign("openai.chat", {"type": "code", "x": 1})
    assert body(call(parameters=Parameters(foreign_tools=(ours,))))["tools"] == [{"type": "code", "x": 1}]
    theirs = Foreign("anthropic.messages", {"type": "web_search_20250305"})
    with pytest.raises(UnsupportedInput, match=r"^parameters\.foreign_tools\[0\]: web_search"):
        encode_request(call(parameters=Parameters(foreign_tools=(theirs,))))


def test_files_join_the_parts_of_the_last_users_message() -> None:
    turns = (Turn("user", parts=(Text("a"), Text("b"))), Turn("assistant", "c"))
    made = body(call(messages=turns, blobs=(Blob("i.png", "image/png", b"x"),)))
    assert [part["type"] for part in made["messages"][0]["content"]] == ["text", "text", "image_url"]


def test_probabilities_of_a_raw_completion_are_a_number() -> None:
    raw = {"capability": Capability.COMPLETION}
    assert body(call(parameters=Parameters(logprobs=True, top_logprobs=3), **raw))["logprobs"] == 3
    assert body(call(parameters=Parameters(logprobs=True), **raw))["logprobs"] == 1
    assert "logprobs" not in body(call(**raw))
