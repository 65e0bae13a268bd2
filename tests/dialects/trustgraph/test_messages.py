"""Requests, replies and errors as every way carries them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from promptd.core import errors
from promptd.core.content import Turn
from promptd.core.errors import InvalidInput, InvalidRequest, PromptdError
from promptd.core.model import Answer, Capability, Model, Usage
from promptd.dialects import trustgraph
from promptd.dialects.trustgraph import CompletionAsk, ListModels, PromptAsk
from promptd.dialects.trustgraph.replies import aliased, is_complete

USED = Usage(3, 5)
END = {"end_of_stream": True, "in_token": 3, "out_token": 5, "model": "m"}


# ---------------------------------------------------------------- prompt requests


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"id": "q", "variables": {"a": 1, "b": None, "c": [True]}}, PromptAsk("q", {"a": 1, "b": None, "c": [True]})),
        ({"id": "q"}, PromptAsk("q", {})),
        ({"variables": {}}, PromptAsk("", {})),
        ({"id": "q", "terms": {"a": '"abc"', "b": "5", "c": "null"}}, PromptAsk("q", {"a": "abc", "b": 5, "c": None})),
        ({"id": "q", "variables": {}, "terms": {"a": "not read at all"}}, PromptAsk("q", {})),
        ({"id": "q", "variables": None, "terms": {"a": "[1]"}}, PromptAsk("q", {"a": [1]})),
        ({"id": "q", "streaming": True, "workspace": "w", "more": 1}, PromptAsk("q", {}, True)),
        ({"id": None, "streaming": None}, PromptAsk("", {})),
    ],
)
def test_prompts_are_read(body: Any, expected: PromptAsk) -> None:
    assert trustgraph.read_prompt(body) == expected


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ([], "request"),
        (None, "request"),
        ({"id": 5}, "id"),
        ({"variables": "a"}, "variables"),
        ({"terms": []}, "terms"),
        ({"terms": {"a": 5}}, "terms.a"),
        ({"streaming": "yes"}, "streaming"),
        ({"streaming": 1}, "streaming"),
    ],
)
def test_the_wrong_member_of_a_prompt_is_named(body: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        trustgraph.read_prompt(body)
    assert refused.value.field == field


@pytest.mark.parametrize("text", ["abc", "", "{", "NaN", "[" * 100_000])
def test_terms_must_be_json(text: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        trustgraph.read_prompt({"terms": {"a": text}})
    assert refused.value.field == "terms.a"


# ---------------------------------------------------------------- completion requests


def test_completions_are_read() -> None:
    ask = trustgraph.read_completion({"system": "s", "prompt": "p", "streaming": True, "schema": {"a": 1}})
    assert ask == CompletionAsk("s", "p", True)  # a schema counts with `response_format` only


def test_the_system_prompt_is_a_system_turn_where_there_is_one() -> None:
    assert CompletionAsk("s", "p").request.messages == (Turn("system", "s"), Turn("user", "p"))
    assert CompletionAsk("", "p").request.messages == (Turn("user", "p"),)


def test_what_form_is_asked_for_goes_along_and_the_caller_judges_it() -> None:
    schema = {"type": "object"}
    given = {"prompt": "p", "response_format": "json", "schema": schema}
    for body, expected in ((given, (schema, False)), ({**given, "schema": None}, (None, True))):
        ask = trustgraph.read_completion(body)
        assert isinstance(ask, CompletionAsk)
        parameters = ask.request.parameters
        assert (parameters.json_schema, parameters.json_object) == expected
        assert ask.request.unchecked


def test_models_can_be_listed() -> None:
    assert trustgraph.read_completion({"operation": "list-models"}) == ListModels()
    assert trustgraph.read_completion({"operation": "completion", "prompt": "p"}) == CompletionAsk("", "p")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "prompt"),
        ({"prompt": 1}, "prompt"),
        ({"prompt": "p", "system": {}}, "system"),
        ({"prompt": "p", "operation": "dance"}, "operation"),
        ({"prompt": "p", "response_format": "xml"}, "response_format"),
        ({"prompt": "p", "response_format": "json", "schema": "{}"}, "schema"),
    ],
)
def test_the_wrong_member_of_a_completion_is_named(body: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        trustgraph.read_completion(body)
    assert refused.value.field == field


# ---------------------------------------------------------------- replies


def test_a_text_prompt_says_text_and_no_object() -> None:
    answer = Answer("", text="t", usage=USED)
    assert trustgraph.prompt_reply(answer, "text", "m") == {"text": "t", **END}


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ({"a": [1, 2.5, "ü"], "b": None}, '{"a": [1, 2.5, "\\u00fc"], "b": null}'),
        ([], "[]"),
        (None, "null"),
        (False, "false"),
    ],
)
def test_a_json_prompt_says_object_and_no_text(value: Any, text: str) -> None:
    answer = Answer("", text="raw", value=value, usage=USED)
    assert trustgraph.prompt_reply(answer, "json", "m") == {"object": text, **END}


def test_a_json_string_comes_back_as_text() -> None:
    assert trustgraph.prompt_reply(Answer("", text='"s"', value="s", usage=USED), "json", "m") == {"text": "s", **END}


def test_numbers_that_json_does_not_have_are_no_reply() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        trustgraph.prompt_reply(Answer("", value=float("nan")), "json", "m")


def test_streams_end_with_the_value() -> None:
    assert trustgraph.prompt_piece("t") == {"text": "t", "end_of_stream": False}
    assert trustgraph.prompt_end({"a": 1}, "json", USED, "m") == {"text": "", "object": '{"a": 1}', **END}
    assert trustgraph.prompt_end(None, "text", USED, "m") == {"text": "", **END}


def test_a_completion() -> None:
    assert trustgraph.completion_reply(Answer("", text="t", usage=USED), "m") == {"response": "t", **END}
    assert trustgraph.completion_reply(Answer("", refusal="no"), "m")["response"] == "no"
    assert trustgraph.completion_piece("t", "m") == {"response": "t", "end_of_stream": False, "model": "m"}
    assert trustgraph.completion_end(None, "m") == {"response": "", **END, "in_token": 0, "out_token": 0}


@pytest.mark.parametrize(
    ("reply", "response"),
    [
        ({"text": "t"}, "t"),
        ({"object": "{}"}, "{}"),
        ({"text": "", "object": "{}"}, ""),  # equal to the text: stream readers take `response` first
        ({"response": "r"}, "r"),
        ({"error": {}}, None),
        ({"values": []}, None),
    ],
)
def test_prompts_are_aliased_for_the_socket(reply: dict[str, Any], response: str | None) -> None:
    assert aliased(reply).get("response") == response


def test_only_a_piece_is_incomplete() -> None:
    assert not is_complete(trustgraph.prompt_piece("t"))
    assert is_complete(trustgraph.prompt_end(None, "text", None, "m"))
    assert is_complete({"values": []})
    assert is_complete(trustgraph.error_reply({}))


def test_models() -> None:
    able = (Capability.CHAT, Capability.VISION)
    model = Model(
        name="m", connection="c", upstream="u", engine="engine", capabilities=able, status="ready", context=4096
    )
    assert trustgraph.models_reply([model])["models"] == [
        {
            "id": "m",
            "owned_by": "engine",
            "context_length": 4096,
            "input_modalities": ["text", "image"],
            "output_modalities": ["text"],
        }
    ]


# ---------------------------------------------------------------- errors

CLIENTS_KNOW = {
    "llm-error",
    "gateway-error",
    "config-error",
    "flow-error",
    "too-many-requests",
    "auth-required",
    "access-denied",
    "error",
    "unknown-service",
    "bad-operation",
}


@pytest.mark.parametrize("kind", sorted(errors.leaves(), key=str))
def test_every_error_has_a_type_and_a_message(kind: type[PromptdError]) -> None:
    told = trustgraph.wire_error(kind("what happened"))
    assert set(told) == {"type", "message"}
    assert told["type"] in CLIENTS_KNOW
    assert told["message"]


def test_errors_of_the_output_have_the_words_that_clients_look_for() -> None:
    parse, schema = errors.InvalidOutput("a"), errors.InvalidOutput("answer.b: does not fit")
    parse.step, schema.step = "parse", "schema"
    assert trustgraph.wire_error(parse) == {"type": "llm-error", "message": "JSON parse fail"}
    assert trustgraph.wire_error(schema) == {
        "type": "llm-error",
        "message": "Schema validation fail: answer.b: does not fit",
    }


def test_replies_are_json() -> None:
    replies = [trustgraph.completion_piece("\u2028\x00", "m"), trustgraph.prompt_end([1], "jsonl", USED, "m")]
    assert json.loads(json.dumps(replies)) == replies
