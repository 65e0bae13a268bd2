"""Calls as the requests that a service of the Messages API gets."""

from __future__ import annotations

from typing import Any

import pytest

from promptd.core.content import Document, Foreign, Image, Refusal, Sound, Text, Thinking, Tool, ToolCall, Turn
from promptd.core.errors import InvalidInput, UnsupportedInput
from promptd.core.model import Blob
from promptd.core.parameters import Parameters
from promptd.dialects.messages import DIALECT
from tests.dialects.messages.making import IMAGE, make_call, sent

ADD = Tool("add", parameters={"type": "object", "properties": {}})
CALL = ToolCall(0, "t1", "add", '{"a": 1}')


def messages(*given: Turn, **manners: Any) -> list[dict[str, Any]]:
    made = sent(make_call(*given), **manners)["messages"]
    assert isinstance(made, list)
    return made


def test_a_plain_call() -> None:
    assert sent(make_call()) == {"model": "m", "max_tokens": 8192, "messages": [{"role": "user", "content": "hi"}]}
    assert sent(make_call(), stream=True, max_tokens=5)["stream"] is True
    assert sent(make_call(), max_tokens=5)["max_tokens"] == 5


def test_parameters() -> None:
    made = sent(
        make_call(
            parameters=Parameters(
                temperature=1.7,
                top_p=1.0,
                top_k=4,
                max_tokens=7,
                stop=("x",),
                user="u",
                seed=3,
                presence_penalty=1.0,
                extra={"service_tier": "default", "n": 2, "logit_bias": {}, "mcp_servers": [], "model": "other"},
            )
        )
    )
    assert made == {
        "model": "m",
        "max_tokens": 7,
        "messages": [{"role": "user", "content": "hi"}],
        "temperature": 1.0,
        "top_k": 4,
        "stop_sequences": ["x"],
        "metadata": {"user_id": "u"},
        "service_tier": "standard_only",
        "mcp_servers": [],
    }


def test_every_system_message_is_told_in_order() -> None:
    made = sent(make_call(Turn("system", "a"), Turn("user", "hi"), Turn("developer", "b"), Turn("system", "")))
    assert made["system"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert made["messages"] == [{"role": "user", "content": "hi"}]
    in_place = sent(make_call(Turn("system", "a"), Turn("user", "hi"), Turn("system", "b")), system_in_place=True)
    assert in_place["system"] == "a"
    assert in_place["messages"][1] == {"role": "system", "content": "b"}


def test_instructions_alone_are_asked() -> None:
    made = sent(make_call(Turn("system", "Say hello")))
    assert "system" not in made
    assert made["messages"] == [{"role": "user", "content": "Say hello"}]


def test_neighbours_of_one_role_are_one_message_with_results_first() -> None:
    assert messages(
        Turn("user", "a"),
        Turn("user", "b"),
        Turn("assistant", parts=(Thinking("hm", "sig"), Text("let me")), tool_calls=(CALL,)),
        Turn("assistant", "and"),
        Turn("tool", "2", tool_call_id="t1"),
        Turn("user", "go on"),
        Turn("tool", parts=(Text("x"),), tool_call_id="t2", failed=True),
    ) == [
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "sig"},
                {"type": "text", "text": "let me"},
                {"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 1}},
                {"type": "text", "text": "and"},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": "2"},
                {
                    "type": "tool_result",
                    "tool_use_id": "t2",
                    "content": [{"type": "text", "text": "x"}],
                    "is_error": True,
                },
                {"type": "text", "text": "go on"},
            ],
        },
    ]


def test_what_says_nothing_is_not_sent() -> None:
    """A model's blanks around its calls, empty texts, and thoughts that their maker would not know."""
    assert messages(
        Turn("user", "hi"),
        Turn("assistant", "\n\n", tool_calls=(CALL,)),
        Turn("user", parts=(Text(""), Text("x"))),
        Turn(
            "assistant", parts=(Thinking("hm"), Thinking(sealed="rs_1:x"), Thinking(sealed="y", extra={"id": "rs_2"}))
        ),
        Turn("user", ""),
    ) == [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "t1", "name": "add", "input": {"a": 1}}]},
        {"role": "user", "content": "x"},
    ]
    (_, second) = messages(Turn("user", "x"), Turn("assistant", parts=(Thinking("hm"),)), unsigned_thinking=True)
    assert second["content"] == [{"type": "thinking", "thinking": "hm", "signature": ""}]


def test_parts() -> None:
    ((content),) = [
        message["content"]
        for message in messages(
            Turn(
                "user",
                parts=(
                    Text("look", {"cache_control": {"type": "ephemeral"}, "annotations": []}),
                    Image(f"data:image/png;base64,{IMAGE}", detail="low"),
                    Image("data:image/png,%89PNG%0D%0A%1A%0A"),
                    Image("https://a/b.png"),
                    Image(file="f1"),
                    Document("data:application/pdf;base64,JVBE", name="a.pdf"),
                    Document("data:text/markdown;base64,aGk="),
                    Document(text="words"),
                    Refusal("no"),
                    Foreign(DIALECT, {"type": "search_result", "source": "s"}),
                ),
            )
        )
    ]
    png = {"type": "base64", "media_type": "image/png", "data": IMAGE}
    assert content == [
        {"type": "text", "text": "look", "cache_control": {"type": "ephemeral"}},
        {"type": "image", "source": png},
        {"type": "image", "source": png},
        {"type": "image", "source": {"type": "url", "url": "https://a/b.png"}},
        {"type": "image", "source": {"type": "file", "file_id": "f1"}},
        {
            "type": "document",
            "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
            "title": "a.pdf",
        },
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hi"}},
        {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "words"}},
        {"type": "text", "text": "no"},
        {"type": "search_result", "source": "s"},
    ]


def test_files_go_with_the_last_message() -> None:
    made = sent(make_call(Turn("user", "what is it"), blobs=(Blob("a.png", "image/png", b"\x89PNG\r\n\x1a\n"),)))
    assert made["messages"][0]["content"][1]["source"] == {"type": "base64", "media_type": "image/png", "data": IMAGE}


@pytest.mark.parametrize(
    ("turn", "named"),
    [
        (Turn("user", parts=(Sound("aGk=", "wav"),)), "messages[0].parts[0]"),
        (Turn("user", parts=(Foreign("openai.responses", {"type": "item_reference"}),)), "item_reference"),
        (Turn("user", parts=(Document("data:application/zip;base64,UEsD"),)), "application/zip"),
    ],
)
def test_what_the_service_can_not_read_is_named(turn: Turn, named: str) -> None:
    with pytest.raises(UnsupportedInput) as raised:
        messages(turn)
    assert named in raised.value.message


@pytest.mark.parametrize(
    ("turn", "named"),
    [
        (Turn("tool", "x"), "tool_call_id"),
        (Turn("assistant", tool_calls=(ToolCall(name="a"),)), "tool_calls[0].id"),
        (Turn("user", parts=(Image("data:nothing"),)), "parts[0]"),
        (Turn("user", parts=(Document("data:text/plain;base64,/w=="),)), "parts[0]"),
        (Turn("user", "\ud800"), "surrogate"),
    ],
)
def test_what_is_wrong_is_named(turn: Turn, named: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        messages(turn)
    assert named in raised.value.message


@pytest.mark.parametrize(
    "parameters",
    [
        Parameters(grammar="root ::= x"),
        Parameters(template="{prompt}"),
        Parameters(logprobs=True),
        Parameters(foreign_tools=(Foreign("openai.responses", {"type": "web_search"}),)),
    ],
)
def test_what_the_service_can_not_do_is_refused(parameters: Parameters) -> None:
    with pytest.raises(UnsupportedInput, match=r"parameters\."):
        sent(make_call(parameters=parameters))


@pytest.mark.parametrize(
    ("arguments", "sent_as"),
    [
        ("", {}),
        ("{}", {}),
        ('{"n": 12345678901234567890123, "x": 1.0}', {"n": 12345678901234567890123, "x": 1.0}),
        ("not json", {"input": "not json"}),
        ("[1]", {"input": "[1]"}),
    ],
)
def test_arguments_are_always_an_object(arguments: str, sent_as: dict[str, Any]) -> None:
    (message,) = messages(Turn("assistant", tool_calls=(ToolCall(0, "t1", "add", arguments),)))
    assert message["content"][0]["input"] == sent_as


def test_ids_are_written_in_letters_that_the_service_knows() -> None:
    call, result = messages(
        Turn("assistant", tool_calls=(ToolCall(0, "call.1|fc", "add", "{}"),)),
        Turn("tool", "x", tool_call_id="call.1|fc"),
    )
    made = call["content"][0]["id"]
    assert made == result["content"][0]["tool_use_id"]
    assert made.replace("_", "").isalnum()


def test_tools_and_choices() -> None:
    search = Foreign(DIALECT, {"type": "web_search_20250305", "name": "web_search"})
    parameters = Parameters(
        tools=(Tool("add", "adds", {"properties": {}}, True, {"cache_control": {}}), Tool("now")),
        foreign_tools=(search,),
        tool_choice="required",
        parallel_tool_calls=False,
    )
    made = sent(make_call(parameters=parameters))
    assert made["tools"] == [
        {
            "name": "add",
            "description": "adds",
            "input_schema": {"type": "object", "properties": {}},
            "strict": True,
            "cache_control": {},
        },
        {"name": "now", "input_schema": {"type": "object", "properties": {}}},
        search.value,
    ]
    assert made["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}


@pytest.mark.parametrize(
    ("choice", "parallel", "expected"),
    [
        (None, None, None),
        ("none", True, {"type": "none"}),
        ("add", None, {"type": "tool", "name": "add"}),
        (None, True, {"type": "auto", "disable_parallel_tool_use": False}),
    ],
)
def test_every_choice(choice: str | None, parallel: bool | None, expected: dict[str, Any] | None) -> None:
    parameters = Parameters(tools=(ADD,), tool_choice=choice, parallel_tool_calls=parallel)
    assert sent(make_call(parameters=parameters)).get("tool_choice") == expected
    assert "tool_choice" not in sent(make_call(parameters=Parameters(tool_choice=choice, parallel_tool_calls=parallel)))


# ------------------------------------------------------------------ form


def test_a_schema_is_kept_to_by_the_service_itself() -> None:
    schema = {
        "type": "object",
        "properties": {
            "age": {"type": "integer", "minimum": 0},
            "tags": {"type": "array", "items": {"type": "object", "properties": {}}, "minItems": 3},
            "kind": {"oneOf": [{"type": "string", "maxLength": 3}, {"$ref": "#/$defs/k"}]},
        },
        "$defs": {"k": {"type": "object", "properties": {}, "additionalProperties": True}},
    }
    closed = {"type": "object", "properties": {}, "additionalProperties": False}
    assert sent(make_call(parameters=Parameters(json_schema=schema)))["output_config"] == {
        "format": {
            "type": "json_schema",
            "schema": {
                "type": "object",
                "properties": {
                    "age": {"type": "integer"},
                    "tags": {"type": "array", "items": closed},
                    "kind": {"anyOf": [{"type": "string"}, {"$ref": "#/$defs/k"}]},
                },
                "$defs": {"k": closed},
                "additionalProperties": False,
            },
        }
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object"},
        {"type": "object", "properties": {"a": {"type": "object", "additionalProperties": {"type": "string"}}}},
    ],
)
def test_a_schema_beyond_the_service_is_asked_for_in_words(schema: dict[str, Any]) -> None:
    made = sent(make_call(Turn("system", "x"), Turn("user", "hi"), parameters=Parameters(json_schema=schema)))
    assert "output_config" not in made
    assert [block["text"].split("\n")[0] for block in made["system"]] == [
        "x",
        "Answer with JSON that fits this JSON Schema, and with nothing else:",
    ]


def test_an_older_service_is_asked_in_words() -> None:
    fine = {"type": "object", "properties": {"a": {"type": "string"}}}
    made = sent(make_call(parameters=Parameters(json_schema=fine)), schemas=False)
    assert '"a"' in made["system"]
    assert "JSON object" in sent(make_call(parameters=Parameters(json_object=True)))["system"]


# ------------------------------------------------------------------ thinking


def thinking(parameters: Parameters, *turns: Turn, model: str = "claude-sonnet-4-6", **manners: Any) -> dict[str, Any]:
    made = sent(make_call(*turns, model=model, parameters=parameters), **manners)
    return {name: made[name] for name in ("thinking", "output_config", "max_tokens", "temperature") if name in made}


def test_an_effort_is_told_as_each_model_understands_it() -> None:
    wish = Parameters(effort="medium", temperature=0.3)
    adaptive = {"thinking": {"type": "adaptive"}, "output_config": {"effort": "medium"}, "max_tokens": 16384}
    assert thinking(wish) == adaptive
    assert thinking(wish, model="claude-opus-5") == adaptive
    budget = {"thinking": {"type": "enabled", "budget_tokens": 8192}, "max_tokens": 16384}
    for model in (
        "claude-sonnet-4-5-20250929",
        "claude-sonnet-4-5",
        "claude-opus-4-20250514",
        "claude-3-7-sonnet-latest",
    ):
        assert thinking(wish, model=model) == budget
    assert thinking(wish, model="claude-3-5-haiku-20241022") == {"max_tokens": 8192, "temperature": 0.3}
    assert thinking(wish, effort="off") == {"max_tokens": 8192, "temperature": 0.3}
    assert thinking(wish, effort="budget") == budget


def test_a_budget_leaves_room_for_an_answer() -> None:
    wish = Parameters(effort="high", max_tokens=3000)
    assert thinking(wish, effort="budget")["thinking"]["budget_tokens"] == 2999
    assert "thinking" not in thinking(Parameters(effort="high", max_tokens=1000), effort="budget")


def test_a_model_does_not_begin_to_think_amid_its_calls() -> None:
    wish = Parameters(effort="high", tools=(ADD,))
    history = (Turn("user", "hi"), Turn("assistant", tool_calls=(CALL,)), Turn("tool", "2", tool_call_id="t1"))
    assert "thinking" not in thinking(wish, *history, effort="budget")
    assert "thinking" in thinking(wish, *history, Turn("user", "more"), effort="budget")
    forced = Parameters(effort="high", tools=(ADD,), tool_choice="required")
    for told in ("adaptive", "budget"):
        assert "thinking" not in thinking(forced, effort=told)


def test_tokens_of_thought() -> None:
    assert thinking(Parameters(thinking_tokens=2000))["thinking"] == {"type": "enabled", "budget_tokens": 2000}
    assert thinking(Parameters(thinking_tokens=0))["thinking"] == {"type": "disabled"}
    own = Parameters(extra={"thinking": {"type": "adaptive", "display": "omitted"}}, temperature=0.5)
    assert thinking(own)["thinking"] == {"type": "adaptive", "display": "omitted"}
    assert "thinking" not in thinking(Parameters(effort="none"))
