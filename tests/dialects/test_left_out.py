"""What one dialect alone has words for does not reach a service of another, which may refuse what it does not know."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from promptd.core.chunks import gather
from promptd.core.content import Thinking, Tool, ToolCall, Turn
from promptd.core.engine import Call, NoConfig
from promptd.core.errors import PromptExecutionError, QuotaExceeded, ResourceNotFound, ServiceUnavailable, Timeout
from promptd.core.model import Answer, Chunk, Request, Usage
from promptd.core.parameters import Parameters
from promptd.dialects import chat, messages, responses
from promptd.dialects.errors import error_from_object
from promptd.dialects.messages.customs import CustomCalls
from promptd.egress import Egress

QUESTION = {"role": "user", "content": "q"}
MARK = {"cache_control": {"type": "ephemeral"}}
SCHEMA = {"type": "object", "properties": {}}


def sent(module: Any, request: Request) -> dict[str, Any]:
    """What an engine of the dialect asks its service."""
    call = Call(
        connection=NoConfig(),
        connection_name="c",
        model="claude-opus-4-5",
        http=Egress(),
        messages=request.messages,
        parameters=request.parameters,
    )
    body: dict[str, Any] = json.loads(module.encode_request(call, stream=False))
    return body


def asked(module: Any, **members: Any) -> Request:
    request: Request = module.decode_request(json.dumps({"model": "m", **members}).encode()).request
    return request


def of_anthropic(**members: Any) -> Request:
    return asked(messages, **{"max_tokens": 5000, "messages": [QUESTION], **members})


def of_responses(**members: Any) -> Request:
    return asked(responses, **{"input": "q", **members})


ANTHROPICS: dict[str, Any] = {
    "service_tier": "standard_only",
    "container": "c_1",
    "context_management": {"edits": []},
    "mcp_servers": [],
    "inference_geo": "eu",
    "speed": "fast",
    "output_config": {"effort": "low"},
    "thinking": {"type": "enabled", "budget_tokens": 2048},
    "cache_control": {"type": "ephemeral"},
}
RESPONSES: dict[str, Any] = {
    "include": ["reasoning.encrypted_content"],
    "reasoning": {"effort": "low", "summary": "auto"},
    "text": {"verbosity": "low", "format": {"type": "text"}},
    "truncation": "auto",
    "max_tool_calls": 3,
    "client_metadata": {"installation": "i"},
    "context_management": [{"type": "compaction"}],
    "top_logprobs": 0,
}


@pytest.mark.parametrize("module", [chat, responses], ids=["chat", "responses"])
def test_members_of_anthropic_alone(module: Any) -> None:
    body = sent(module, of_anthropic(**ANTHROPICS))
    assert body.pop("service_tier") == "default"
    assert body.pop("reasoning_effort", None) or body.pop("reasoning") == {"effort": "low"}
    assert not body.keys() & ANTHROPICS.keys()


@pytest.mark.parametrize("module", [chat, messages], ids=["chat", "messages"])
def test_members_of_the_responses_api_alone(module: Any) -> None:
    body = sent(module, of_responses(**RESPONSES))
    assert not body.keys() & RESPONSES.keys()
    assert body.get("verbosity") == ("low" if module is chat else None)
    assert "logprobs" not in body


@pytest.mark.parametrize("module", [chat, messages], ids=["chat", "messages"])
def test_a_choice_of_allowed_tools(module: Any) -> None:
    tools = [{"type": "function", "name": name, "parameters": SCHEMA} for name in ("f", "g")]
    choice = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "g"}]}
    body = sent(module, of_responses(tools=tools, tool_choice=choice))
    assert [tool.get("function", tool)["name"] for tool in body["tools"]] == ["g"]
    assert body["tool_choice"] == ("required" if module is chat else {"type": "any"})


@pytest.mark.parametrize("odd", [5, "x", {}, [5], [{}], [{"type": [], "name": {}}]], ids=str)
@pytest.mark.parametrize("module", [chat, responses, messages], ids=["chat", "responses", "messages"])
def test_odd_choices_and_callers_do_no_harm(module: Any, odd: Any) -> None:
    tools = [{"type": "function", "name": "f", "parameters": SCHEMA, "allowed_callers": odd}]
    choice = {"type": "allowed_tools", "mode": "auto", "tools": odd}
    assert sent(module, of_responses(tools=tools, tool_choice=choice))["model"]


@pytest.mark.parametrize("module", [chat, responses], ids=["chat", "responses"])
def test_marks_on_blocks_calls_and_tools(module: Any) -> None:
    use = {"type": "tool_use", "id": "t", "name": "f", "input": {}, "caller": {"type": "direct"}, **MARK}
    result = {"type": "tool_result", "tool_use_id": "t", "content": "done", **MARK}
    tool = {"name": "f", "input_schema": SCHEMA, "input_examples": [{}], "allowed_callers": ["code_execution"], **MARK}
    body = sent(
        module,
        of_anthropic(
            system=[{"type": "text", "text": "s", **MARK}],
            messages=[
                {"role": "user", "content": [{"type": "text", "text": "q", **MARK}]},
                {"role": "assistant", "content": [{"type": "text", "text": "a", "citations": [], **MARK}, use]},
                {"role": "user", "content": [result]},
            ],
            tools=[tool],
        ),
    )
    told = json.dumps(body)
    for member in ("cache_control", "caller", "citations", "input_examples", "allowed_callers"):
        assert f'"{member}"' not in told


def test_a_custom_tool_in_every_dialect() -> None:
    form = {"type": "grammar", "syntax": "lark", "definition": "start: x"}
    tool = {"type": "custom", "name": "sh", "description": "d", "format": form}
    items = [
        QUESTION,
        {"type": "custom_tool_call", "call_id": "c_1", "name": "sh", "input": "ls"},
        {"type": "custom_tool_call_output", "call_id": "c_1", "output": "a"},
    ]
    request = of_responses(input=items, tools=[tool], tool_choice={"type": "custom", "name": "sh"})
    body = sent(chat, request)
    grammar = {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: x"}}
    assert body["tools"] == [{"type": "custom", "custom": {"name": "sh", "description": "d", "format": grammar}}]
    assert body["tool_choice"] == {"type": "custom", "custom": {"name": "sh"}}
    assert body["messages"][1]["tool_calls"] == [
        {"id": "c_1", "type": "custom", "custom": {"name": "sh", "input": "ls"}}
    ]
    assert sent(responses, asked(chat, **body)) | {"model": "m"} == sent(responses, request) | {"model": "m"}
    body = sent(messages, request)
    (offered,) = body["tools"]
    assert offered["input_schema"]["properties"] == {"input": {"type": "string"}}
    assert "start: x" in offered["description"]
    assert body["messages"][1]["content"][0]["input"] == {"input": "ls"}


def test_the_text_of_a_custom_call_is_taken_out_of_its_object() -> None:
    calls = CustomCalls({"sh"})
    pieces = [ToolCall(0, "a", "sh"), ToolCall(1, "b", "f", "{}"), ToolCall(0, arguments='{"input": "l')]
    pieces += [ToolCall(0, arguments='s }"}'), ToolCall(2, "c", "sh", "no object")]
    chunks = [Chunk("progress", tool_calls=(piece,)) for piece in pieces]
    told = [one for chunk in [*chunks, Chunk("done")] for one in calls.take(chunk)]
    answer = gather(told[:-1], told[-1], Usage(), "")
    assert told[-1].kind == "done"
    assert [(call.id, call.custom, call.arguments) for call in answer.tool_calls] == [
        ("a", True, "ls }"),
        ("b", False, "{}"),
        ("c", True, "no object"),
    ]


# ------------------------------------------------------------------ thoughts


def loop(*thoughts: Thinking, **parameters: Any) -> Request:
    """The results of a call are on their way to the model."""
    turns = (
        Turn("user", "q"),
        Turn("assistant", parts=thoughts, tool_calls=(ToolCall(0, "t", "f", "{}"),)),
        Turn("tool", "done", tool_call_id="t"),
    )
    return Request(turns, Parameters(max_tokens=9000, tools=(Tool("f"),), **parameters))


WISH = {"type": "enabled", "budget_tokens": 2048}


@pytest.mark.parametrize(
    ("thought", "theirs"),
    [
        (Thinking("hm", "signed"), True),
        (Thinking(sealed="EqQB"), True),
        (Thinking("hm"), False),
        (Thinking(sealed="rs_1:gAAA"), False),
        (Thinking(sealed="gAAA", extra={"id": "rs_1"}), False),
    ],
)
@pytest.mark.parametrize("wish", [{"effort": "medium"}, {"thinking_tokens": 2048}, {"extra": {"thinking": WISH}}])
def test_a_model_that_called_without_a_thought_of_its_own_does_not_think(
    thought: Thinking, theirs: bool, wish: dict[str, Any]
) -> None:
    """The service refuses thoughts of others, and a call without a thought before it where thinking is on."""
    body = sent(messages, loop(thought, **wish))
    assert body["messages"][1]["content"][0]["type"].endswith("thinking") is theirs
    assert (body.get("thinking", {}).get("type") == "enabled") is theirs


def test_a_sealed_thought_of_anthropic_survives_a_client_of_the_responses_api() -> None:
    """Clients give an item back with its id, and an id with a bare seal is OpenAI's."""
    answer = Answer("", text="a", thinking=(Thinking(sealed="EqQB"),))
    body = json.loads(responses.encode_answer(answer, id="resp_1", model="m", created=0.0))
    request = of_responses(input=[QUESTION, *body["output"], QUESTION])
    assert sent(messages, request)["messages"][1]["content"][0] == {"type": "redacted_thinking", "data": "EqQB"}


# ------------------------------------------------------------------ sources and errors


def test_sources_come_with_events_where_their_text_is_still_open() -> None:
    source = {"url": "https://models.example/a", "title": "t", "start_index": 0, "end_index": 1}
    value = {"annotations": [{"type": "url_citation", "url_citation": source}]}
    writer = responses.Writer(id="resp_1", model="m", created=0.0)
    stream = writer.begin() + writer.write(Chunk("progress", text="a")) + writer.write(Chunk("done", value=value))
    events = [json.loads(line[6:]) for line in stream.splitlines() if line.startswith(b"data: ")]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    (added,) = [event for event in events if event["type"] == "response.output_text.annotation.added"]
    assert added["annotation"] == {"type": "url_citation", **source}
    (done,) = [event for event in events if event["type"] == "response.content_part.done"]
    assert done["part"]["annotations"] == [added["annotation"]]
    assert events[-1]["response"]["output"][0]["content"][0]["annotations"] == [added["annotation"]]


@pytest.mark.parametrize(
    ("kind", "meaning"),
    [
        ("billing_error", QuotaExceeded),
        ("not_found_error", ResourceNotFound),
        ("timeout_error", Timeout),
        ("api_error", ServiceUnavailable),
        ("overloaded_error", ServiceUnavailable),
    ],
)
def test_errors_of_anthropic_inside_a_stream(kind: str, meaning: type[PromptExecutionError]) -> None:
    event = {"type": "error", "error": {"type": kind, "message": "m"}}
    assert type(error_from_object(event["error"])) is meaning
    with pytest.raises(meaning):
        messages.Reader().feed(b"event: error\ndata: " + msgspec.json.encode(event) + b"\n\n")
