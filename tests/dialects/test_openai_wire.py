"""The OpenAI dialect without a socket: request bodies, and what becomes of every kind of answer."""

import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from promptd.core.engine import Call, NoConfig
from promptd.core.errors import (
    ContentFiltered,
    InvalidInput,
    InvalidOutput,
    NetworkError,
    PromptdError,
    ServiceUnavailable,
    UnsupportedInput,
)
from promptd.core.model import Capability, Chunk, Parameters, Tool, ToolCall, Turn, Usage
from promptd.dialects.openai import chat_stream, decode_embeddings, decode_models, decode_response, encode_request
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


def body(made: Call[NoConfig], **options: Any) -> dict[str, Any]:
    decoded = json.loads(encode_request(made, **options))
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
        extra={"logit_bias": {"5": 1}, "temperature": 0.25},
    )
    made = body(call(parameters=parameters, user_ref="u1"), max_tokens_field="max_completion_tokens")
    assert made["temperature"] == 0.25
    assert (made["top_p"], made["max_completion_tokens"], made["stop"], made["seed"]) == (0.5, 7, ["x"], 0)
    assert made["response_format"]["json_schema"]["schema"] == SCHEMA
    assert made["tools"][0]["function"] == {"name": "add", "description": "adds", "parameters": SCHEMA}
    assert made["tool_choice"] == {"type": "function", "function": {"name": "add"}}
    assert (made["logit_bias"], made["user"]) == ({"5": 1}, "u1")
    assert "max_tokens" not in made


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
        ({"parameters": Parameters(extra={"n": 2})}, "parameters.extra.n"),
        ({"parameters": Parameters(extra={"x": object()})}, "parameters"),
    ],
)
def test_bad_input_names_its_field(fields: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        encode_request(call(**fields))
    assert raised.value.message.startswith(f"{field}: ")


# ------------------------------------------------------------------ answers


class Canned:
    """A response whose packets are known."""

    def __init__(self, *packets: bytes, content_type: str = "text/event-stream", breaks: bool = False) -> None:
        self.status = 200
        self.headers: Mapping[str, str] = {"content-type": content_type}
        self._packets = packets
        self._breaks = breaks

    async def chunks(self) -> AsyncIterator[bytes]:
        for packet in self._packets:
            yield packet
        if self._breaks:
            raise NetworkError("broke")

    async def read(self) -> bytes:
        return b"".join(self._packets)


def event(*choices: Any, **fields: Any) -> bytes:
    return b"data: " + json.dumps({"choices": list(choices), **fields}).encode() + b"\n\n"


def delta(content: Any = None, finish: str | None = None, **fields: Any) -> dict[str, Any]:
    return {"index": 0, "delta": {"content": content, **fields}, "finish_reason": finish}


DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}


async def read(*packets: bytes, **options: Any) -> list[Chunk]:
    return [chunk async for chunk in chat_stream(Canned(*packets, **options))]


def end(finish_reason: str = "stop", usage: Usage | None = None) -> Chunk:
    return Chunk("done", finish_reason=finish_reason, usage=usage or Usage())


def said(text: str) -> Chunk:
    return Chunk("progress", text=text)


@pytest.mark.parametrize(
    ("packets", "chunks"),
    [
        (
            [
                event(delta("", role="assistant")),
                event(delta("a")),
                event(delta(None, "length")),
                event(usage=USAGE),
                DONE,
            ],
            [said("a"), end("length", Usage(5, 2, 4))],
        ),
        ([event(delta("a"), usage=None), DONE], [said("a"), end()]),
        ([event(delta("a", "stop"))], [said("a"), end()]),
        ([event(delta("a", "stop")).rstrip()], [said("a"), end()]),
        ([event(delta("a")), b"data: [DONE]"], [said("a"), end()]),
        ([event(delta("a")), DONE, event(delta("never"))], [said("a"), end()]),
        ([event(delta("b") | {"index": 1}, delta("a", "stop")), DONE], [said("a"), end()]),
        ([event({"text": "raw", "finish_reason": "stop"}), DONE], [said("raw"), end()]),
        ([event({"delta": None, "finish_reason": "stop"}), DONE], [end()]),
        ([event(delta("a", "content_filter")), DONE], [said("a"), end("content_filter")]),
        ([b": ping\n\n", event(), b"data: {}\n\n", event(delta("a", "stop")), DONE], [said("a"), end()]),
        (
            [event(delta("a", "stop")), event(usage={"prompt_tokens": -5, "completion_tokens": None}), DONE],
            [said("a"), end()],
        ),
        (
            [event(delta(None, "tool_calls", tool_calls=[{"index": 1, "function": None}, {"index": -1}])), DONE],
            [Chunk("progress", tool_calls=(ToolCall(1), ToolCall(0))), end("tool_calls")],
        ),
        (  # a server without indexes
            [
                event(delta(tool_calls=[{"id": "a", "function": {"name": "f"}}])),
                event(delta(tool_calls=[{"function": {"arguments": "{}"}}])),
                event(delta(tool_calls=[{"id": "b", "function": {"name": "g"}}])),
                event(delta(None, "tool_calls", tool_calls=[{"id": "b", "function": {"arguments": "[]"}}])),
                DONE,
            ],
            [
                Chunk("progress", tool_calls=(ToolCall(0, "a", "f"),)),
                Chunk("progress", tool_calls=(ToolCall(0, arguments="{}"),)),
                Chunk("progress", tool_calls=(ToolCall(1, "b", "g"),)),
                Chunk("progress", tool_calls=(ToolCall(1, "b", arguments="[]"),)),
                end("tool_calls"),
            ],
        ),
    ],
)
async def test_streams_with_a_result(packets: list[bytes], chunks: list[Chunk]) -> None:
    assert await read(*packets) == chunks
    assert await read(b"".join(packets)) == chunks


@pytest.mark.parametrize(
    ("packets", "error"),
    [
        ([], NetworkError),
        ([b": ping\n\n"], NetworkError),
        ([event(delta("a"))], NetworkError),
        ([event(delta("a")), b'data: {"choi'], NetworkError),
        ([DONE], InvalidOutput),
        ([event(usage=USAGE), DONE], InvalidOutput),
        ([b"data: {\n\n"], InvalidOutput),
        ([b"data: \xff\xfe\n\n"], InvalidOutput),
        ([b"data: []\n\n"], InvalidOutput),
        ([b"data: " + b"[" * 100_000 + b"\n\n"], InvalidOutput),
        ([event("text")], InvalidOutput),
        ([event(delta(5))], InvalidOutput),
        ([event(delta(finish=7))], InvalidOutput),  # type: ignore[arg-type]
        ([event(delta(tool_calls={"a": 1}))], InvalidOutput),
        ([event(delta("a"), usage={"prompt_tokens": "many"})], InvalidOutput),
        ([event(delta("a")), b'data: {"error": {"message": "x"}}\n\n'], ServiceUnavailable),
        ([event(delta(None, "content_filter")), DONE], ContentFiltered),
        ([event(delta(refusal="I can't")), event(delta(None, "stop")), DONE], ContentFiltered),
    ],
)
async def test_streams_without_one(packets: list[bytes], error: type[PromptdError]) -> None:
    with pytest.raises(error):
        await read(*packets)


async def test_a_break_behind_the_finish_reason_loses_only_the_usage() -> None:
    assert await read(event(delta("a", "stop")), breaks=True) == [said("a"), end()]
    with pytest.raises(NetworkError):
        await read(event(delta("a")), breaks=True)


async def test_a_whole_answer_to_a_streamed_question() -> None:
    message = {"role": "assistant", "content": "all", "tool_calls": [{"id": "c", "function": {"name": "f"}}]}
    answer = json.dumps({"choices": [{"message": message, "finish_reason": "stop"}], "usage": USAGE}).encode()
    assert await read(answer, content_type="application/json; charset=utf-8") == [
        Chunk("progress", text="all", tool_calls=(ToolCall(0, "c", "f"),)),
        end(usage=Usage(5, 2, 4)),
    ]


@pytest.mark.parametrize(
    "answer", [b"", b"{}", b'{"choices": []}', b"null", b'"text"', b'{"choices": [{"message": 5}]}']
)
def test_a_whole_answer_that_is_none(answer: bytes) -> None:
    with pytest.raises(InvalidOutput):
        decode_response(answer)


async def test_another_content_type_is_refused() -> None:
    with pytest.raises(InvalidOutput, match="text/html"):
        await read(b"<html>", content_type="text/html")


def test_embeddings_come_in_the_order_of_their_texts() -> None:
    answer = {"data": [{"index": 1, "embedding": [2, 2.5]}, {"index": 0, "embedding": [1, 1.5]}], "usage": USAGE}
    done = decode_embeddings(json.dumps(answer).encode(), 2)
    assert done.value == {"embeddings": [[1, 1.5], [2, 2.5]]}
    assert done.usage == Usage(5, 2, 4)


@pytest.mark.parametrize(
    "answer",
    [
        b"{}",
        b"[]",
        b'{"data": null}',
        b'{"data": [{"index": 0, "embedding": [1]}]}',
        b'{"data": [{"index": 0, "embedding": [1]}, {"index": 0, "embedding": [1]}]}',
        b'{"data": [{"index": 0, "embedding": [1]}, {"index": 5, "embedding": [1]}]}',
        b'{"data": [{"index": 0, "embedding": "AAAA"}, {"index": 1, "embedding": "AAAA"}]}',
    ],
)
def test_embeddings_that_are_none(answer: bytes) -> None:
    with pytest.raises(InvalidOutput):
        decode_embeddings(answer, 2)


def test_models_have_names() -> None:
    assert decode_models(b'{"object": "list", "data": [{"id": "a"}, {"id": "b", "x": 1}]}') == ("a", "b")
    for answer in (b"{}", b'{"data": [{}]}', b"no"):
        with pytest.raises(InvalidOutput):
            decode_models(answer)
