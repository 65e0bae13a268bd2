"""Answers as clients of the chat API and of legacy completions get them, read by the vendor's own types."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from promptd.core.chunks import gather
from promptd.core.content import Thinking, ToolCall
from promptd.core.errors import (
    ContentFiltered,
    Forbidden,
    InputTooLarge,
    InvalidInput,
    InvalidRequest,
    NetworkError,
    PromptdError,
    RateLimited,
    TooManyRequests,
    UnknownModel,
    UnsupportedInput,
)
from promptd.core.model import Answer, Chunk, Usage
from promptd.dialects.chat import (
    CompletionWriter,
    Reader,
    Writer,
    decode_answer,
    encode_answer,
    encode_completion,
    error_object,
)

FRAME: dict[str, Any] = {"id": "chatcmpl-1", "model": "m", "created": 1700000000.9}
USAGE = Usage(10, 5, 4, 1, 2)
LOGPROBS = [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": []}]
COUNTS = {
    "prompt_tokens": 10,
    "completion_tokens": 5,
    "total_tokens": 15,
    "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0, "cache_write_tokens": 1},
    "completion_tokens_details": {
        "reasoning_tokens": 2,
        "audio_tokens": 0,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
}


def whole(answer: Answer, **options: Any) -> dict[str, Any]:
    body = encode_answer(answer, **FRAME, **options)
    ChatCompletion.model_validate_json(body, strict=True)
    decoded = json.loads(body)
    assert isinstance(decoded, dict)
    return decoded


def events(stream: bytes) -> list[Any]:
    """What each event holds; every one is as the vendor has it."""
    blocks = stream.split(b"\n\n")
    assert blocks.pop() == b""
    assert all(block.startswith(b"data: ") for block in blocks)
    found = [block.removeprefix(b"data: ") for block in blocks]
    decoded: list[Any] = [one.decode() if one == b"[DONE]" else json.loads(one) for one in found]
    for event in decoded:
        # the vendor's types know no calls of custom tools in a stream, its API does
        if event != "[DONE]" and event.get("object") == "chat.completion.chunk" and b'"custom"' not in stream:
            ChatCompletionChunk.model_validate(event)
    return decoded


def deltas(stream: bytes) -> list[Any]:
    return [event["choices"][0]["delta"] for event in events(stream) if event != "[DONE]" and event["choices"]]


def said(text: str = "", **fields: Any) -> Chunk:
    return Chunk("progress", text=text, **fields)


def end(reason: str = "stop", **fields: Any) -> Chunk:
    return Chunk("done", finish_reason=reason, usage=USAGE, **fields)


# ------------------------------------------------------------------ whole


def test_a_whole_answer() -> None:
    assert whole(Answer("msg", "hello", usage=USAGE)) == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1700000000,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hello", "refusal": None, "annotations": []},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": COUNTS,
    }


def test_a_whole_answer_with_everything_else() -> None:
    calls = (ToolCall(0, "c1", "add", '{"a":1}'), ToolCall(1, "c2", "calc", "1 + 1", custom=True), ToolCall(2, "", "x"))
    made = whole(
        Answer(
            "msg",
            tool_calls=calls,
            finish_reason="tool_calls",
            thinking=(Thinking("hm "), Thinking("so")),
            logprobs=LOGPROBS,
            value={
                "annotations": [
                    {
                        "type": "url_citation",
                        "url_citation": {"start_index": 0, "end_index": 1, "title": "t", "url": "u"},
                    }
                ]
            },
        )
    )
    message = made["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == (None, "hm so")
    assert message["tool_calls"] == [
        {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a":1}'}},
        {"id": "c2", "type": "custom", "custom": {"name": "calc", "input": "1 + 1"}},
        {"id": "call_chatcmpl-1_2", "type": "function", "function": {"name": "x", "arguments": ""}},
    ]
    assert made["choices"][0]["logprobs"] == {"content": LOGPROBS, "refusal": None}
    assert message["annotations"][0]["type"] == "url_citation"


def test_a_refusal_has_no_content() -> None:
    message = whole(Answer("msg", refusal="no"))["choices"][0]["message"]
    assert (message["content"], message["refusal"]) == (None, "no")


@pytest.mark.parametrize(
    ("reason", "word"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("context_length", "length"),
        ("tool_calls", "tool_calls"),
        ("content_filter", "content_filter"),
        ("pause", "stop"),
        ("whatever", "stop"),
    ],
)
def test_how_it_ended(reason: str, word: str) -> None:
    assert whole(Answer("msg", "a", finish_reason=reason))["choices"][0]["finish_reason"] == word
    assert events(Writer(**FRAME).write(end(reason)))[0]["choices"][0]["finish_reason"] == word


def test_functions_as_they_were_once() -> None:
    calls = (ToolCall(0, "c1", "add", "{}"), ToolCall(1, "c2", "sub", "{}"))
    choice = whole(Answer("msg", tool_calls=calls, finish_reason="tool_calls"), functions=True)["choices"][0]
    assert choice["finish_reason"] == "function_call"
    assert choice["message"]["function_call"] == {"name": "add", "arguments": "{}"}
    assert "tool_calls" not in choice["message"]
    writer = Writer(**FRAME, functions=True)
    pieces = (said(tool_calls=(ToolCall(0, "c1", "add"),)), said(tool_calls=(ToolCall(0, arguments="{}"),)))
    assert deltas(b"".join(map(writer.write, pieces))) == [
        {"function_call": {"name": "add", "arguments": ""}},
        {"function_call": {"arguments": "{}"}},
    ]


# ------------------------------------------------------------------ streams


def test_a_stream_begins_with_who_speaks_and_ends_with_its_mark() -> None:
    writer = Writer(**FRAME)
    stream = writer.begin() + writer.write(said("a")) + writer.write(said('"é\n')) + writer.write(end())
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1700000000, "model": "m"}
    blank = {"index": 0, "logprobs": None, "finish_reason": None}
    assert events(stream) == [
        head | {"choices": [blank | {"delta": {"role": "assistant", "content": "", "refusal": None}}]},
        head | {"choices": [blank | {"delta": {"content": "a"}}]},
        head | {"choices": [blank | {"delta": {"content": '"é\n'}}]},
        head | {"choices": [blank | {"delta": {}, "finish_reason": "stop"}]},
        "[DONE]",
    ]


def test_token_counts_come_only_to_those_who_asked() -> None:
    writer = Writer(**FRAME, usage=True)
    begun, spoken, finished, counted, mark = events(writer.begin() + writer.write(said("a")) + writer.write(end()))
    assert begun["usage"] is spoken["usage"] is finished["usage"] is None
    assert (counted["choices"], counted["usage"], mark) == ([], COUNTS, "[DONE]")
    assert not any("usage" in event for event in events(Writer(**FRAME).write(end()))[:-1])


def test_deltas_of_every_kind_in_their_order() -> None:
    writer = Writer(**FRAME)
    called = (ToolCall(0, "c1", "add", '{"a"'), ToolCall(1, "", "calc", "1", custom=True))
    stream = writer.write(said("a", thinking="hm", refusal="no", tool_calls=called))
    stream += writer.write(said(tool_calls=(ToolCall(0, arguments=":1}"), ToolCall(1, arguments="+1", custom=True))))
    assert deltas(stream) == [
        {"reasoning_content": "hm"},
        {"content": "a"},
        {"refusal": "no"},
        {
            "tool_calls": [
                {"index": 0, "id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a"'}},
                {"index": 1, "id": "call_chatcmpl-1_1", "type": "custom", "custom": {"name": "calc", "input": "1"}},
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": ":1}"}}, {"index": 1, "custom": {"input": "+1"}}]},
    ]


def test_probabilities_come_with_their_text() -> None:
    (event,) = events(Writer(**FRAME).write(said("a", logprobs=LOGPROBS)))
    assert event["choices"][0]["logprobs"] == {"content": LOGPROBS, "refusal": None}


def test_what_says_nothing_is_not_told() -> None:
    writer = Writer(**FRAME)
    assert writer.write(said(fraction=0.5)) == b""
    assert writer.write(Chunk("restart")) == b""


@pytest.mark.parametrize(
    ("error", "kind", "param", "code"),
    [
        (InvalidRequest(field="messages", expected="a list"), "invalid_request_error", "messages", "invalid_request"),
        (UnknownModel(field="model"), "invalid_request_error", "model", "model_not_found"),
        (Forbidden(), "permission_error", None, "forbidden"),
        (TooManyRequests(), "rate_limit_error", None, "rate_limit_exceeded"),
        (RateLimited(), "rate_limit_error", None, "rate_limit_exceeded"),
        (InputTooLarge(), "invalid_request_error", None, "context_length_exceeded"),
        (UnsupportedInput("parameters.extra.n: one choice"), "invalid_request_error", "n", "unsupported_parameter"),
        (InvalidInput("messages[0].parts[1]: no"), "invalid_request_error", "messages[0].parts[1]", "invalid_input"),
        (InvalidInput("An input value is not valid (400): a: b"), "invalid_request_error", None, "invalid_input"),
        (ContentFiltered(), "invalid_request_error", None, "content_filter"),
        (NetworkError(), "server_error", None, "network_error"),
    ],
)
def test_errors_are_the_vendors(error: PromptdError, kind: str, param: str | None, code: str) -> None:
    told = {"message": error.message, "type": kind, "param": param, "code": code}
    assert error_object(error) == told
    assert events(Writer(**FRAME).fail(error)) == [{"error": told}]


PIECES = st.lists(
    st.builds(said, st.text(min_size=1))
    | st.builds(said, thinking=st.text(min_size=1))
    | st.builds(said, refusal=st.text(min_size=1))
    | st.builds(lambda text: said(tool_calls=(ToolCall(0, "c1", "add", text),)), st.text()),
    min_size=1,
    max_size=8,
)


@given(PIECES, st.sampled_from(["stop", "length", "content_filter"]), st.booleans())
def test_what_is_written_can_be_read(pieces: list[Chunk], reason: str, usage: bool) -> None:
    writer, reader = Writer(**FRAME, usage=usage), Reader()
    stream = b"".join([writer.begin(), *map(writer.write, pieces), writer.write(end(reason))])
    events(stream)
    chunks = [*reader.feed(stream), *reader.finish()]
    sent = gather(pieces, end(reason), USAGE, "msg")
    read = gather(chunks[:-1], chunks[-1], chunks[-1].usage or Usage(), "msg")
    called = reason == "stop" and bool(sent.tool_calls)
    assert chunks[-1].finish_reason == ("tool_calls" if called else reason)
    assert chunks[-1].usage == (USAGE if usage else Usage())
    assert (read.text, read.refusal, read.tool_calls) == (sent.text, sent.refusal, sent.tool_calls)
    assert [thought.text for thought in read.thinking] == [thought.text for thought in sent.thinking]
    body = encode_answer(sent, **FRAME)
    ChatCompletion.model_validate_json(body)
    *progress, done = decode_answer(body)
    again = gather(progress, done, done.usage or Usage(), "msg")
    assert (again.text, again.refusal, again.tool_calls) == (sent.text, sent.refusal, sent.tool_calls)


# ------------------------------------------------------------------ legacy completions


def test_a_completion_with_several_choices() -> None:
    answers = [
        Answer("m1", "a", usage=USAGE, logprobs=LOGPROBS),
        Answer("m2", "b", finish_reason="length", usage=USAGE),
    ]
    body = encode_completion(answers, **FRAME)
    made = Completion.model_validate_json(body)
    assert [(choice.index, choice.text, choice.finish_reason) for choice in made.choices] == [
        (0, "a", "stop"),
        (1, "b", "length"),
    ]
    assert made.object == "text_completion"
    assert made.usage is not None
    assert (made.usage.prompt_tokens, made.usage.completion_tokens) == (20, 10)
    assert made.choices[0].logprobs is not None
    assert (made.choices[0].logprobs.tokens, made.choices[0].logprobs.text_offset) == (["a"], [0])
    assert json.loads(body)["choices"][1]["logprobs"] is None


def test_a_stream_of_several_completions_ends_with_the_last() -> None:
    writer = CompletionWriter(**FRAME, usage=True, choices=2)
    stream = writer.begin() + writer.write(said("a"), 0) + writer.write(said("b"), 1) + writer.write(end(), 1)
    assert b"[DONE]" not in stream
    found = events(stream + writer.write(end("length"), 0))
    assert [event["choices"][0]["index"] for event in found[:-2]] == [0, 1, 1, 0]
    assert found[-2]["usage"]["prompt_tokens"] == 20
    assert found[-1] == "[DONE]"
    Completion.model_validate(found[-2])
