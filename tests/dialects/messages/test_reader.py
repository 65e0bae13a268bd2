"""What a service of the Messages API answers, in every cut and shape."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.content import Thinking, ToolCall
from promptd.core.errors import (
    AuthenticationFailed,
    InvalidOutput,
    NetworkError,
    PromptdError,
    RateLimited,
    ServiceUnavailable,
)
from promptd.core.model import Chunk, Usage
from promptd.dialects import responses
from promptd.dialects.messages import Reader, decode_answer
from tests.dialects.messages.streams import START, STOP, answer_of, delta, end, read, spelled, start, stop

FULL = spelled(
    {
        "type": "message_start",
        "message": {
            "usage": {
                "input_tokens": 3,
                "cache_read_input_tokens": 10,
                "cache_creation_input_tokens": 4,
                "output_tokens": 1,
            }
        },
    },
    {"type": "ping"},
    start(0, type="thinking", thinking="", signature=""),
    delta(0, "thinking_delta", thinking="Hm, "),
    delta(0, "thinking_delta", thinking="já 🦉"),
    delta(0, "signature_delta", signature="sig=="),
    stop(0),
    start(1, type="redacted_thinking", data="sealed"),
    stop(1),
    start(2, type="text", text=""),
    delta(2, "text_delta", text="Zwölf "),
    delta(2, "citations_delta", citation={"type": "char_location"}),
    delta(2, "text_delta", text="Bäume 🌲"),
    stop(2),
    start(3, type="server_tool_use", id="s", name="web_search", input={}),
    delta(3, "input_json_delta", partial_json='{"q"'),
    stop(3),
    start(4, type="web_search_tool_result", tool_use_id="s", content=[]),
    stop(4),
    start(5, type="tool_use", id="t1", name="add", input={}),
    delta(5, "input_json_delta", partial_json=""),
    delta(5, "input_json_delta", partial_json='{"a":'),
    delta(5, "input_json_delta", partial_json='"ü"}'),
    stop(5),
    start(6, type="tool_use", id="t2", name="now", input={}),
    stop(6),
    end("tool_use", 20, output_tokens_details={"thinking_tokens": 6}),
    STOP,
)


def test_a_stream_with_everything() -> None:
    chunks = read(FULL)
    answer = answer_of(chunks)
    assert answer.text == "Zwölf Bäume 🌲"
    assert answer.thinking == (Thinking("Hm, já 🦉", "sig=="), Thinking(sealed="sealed"))
    assert answer.tool_calls == (ToolCall(0, "t1", "add", '{"a":"ü"}'), ToolCall(1, "t2", "now", "{}"))
    assert answer.finish_reason == "tool_calls"
    assert answer.usage == Usage(17, 20, cached_tokens=10, cache_write_tokens=4, reasoning_tokens=6)


def test_pages_that_a_search_found_are_told_as_the_chat_api_tells_them() -> None:
    """With the place of the text that is from them; OpenAI's clients get them as `url_citation`."""
    page = {"type": "web_search_result_location", "url": "https://a.example", "title": "A", "cited_text": "…"}
    streamed = read(
        spelled(
            start(0, type="text", text=""),
            delta(0, "text_delta", text="It is "),
            stop(0),
            start(1, type="text", text="", citations=[]),
            delta(1, "citations_delta", citation=page),
            delta(1, "text_delta", text="so."),
            stop(1),
            end("end_turn", 5),
            STOP,
        )
    )
    blocks = [{"type": "text", "text": "It is "}, {"type": "text", "text": "so.", "citations": [page, {"type": "x"}]}]
    body = {"type": "message", "content": blocks, "stop_reason": "end_turn"}
    place = {"url": "https://a.example", "title": "A", "start_index": 6, "end_index": 9}
    for chunks in (streamed, decode_answer(json.dumps(body).encode())):
        assert chunks[-1].value == {"annotations": [{"type": "url_citation", "url_citation": place}]}
    answer = answer_of(streamed)
    told_of = json.loads(responses.encode_answer(answer, id="resp_1", model="m", created=0.0))
    (told,) = told_of["output"][0]["content"][0]["annotations"]
    assert told == {"type": "url_citation", **place}


@given(st.lists(st.integers(0, len(FULL)), max_size=30))
def test_any_cut_of_the_bytes_gives_the_same_chunks(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(FULL)]
    packets = [FULL[one:other] for one, other in pairwise(places)]
    assert read(*packets) == read(FULL)


def test_a_chunk_comes_with_the_event_that_says_it() -> None:
    reader = Reader()
    assert reader.feed(spelled(START, start(0, type="text", text=""))) == []
    assert [chunk.text for chunk in reader.feed(spelled(delta(0, "text_delta", text="a")))] == ["a"]
    assert not reader.ended
    (done,) = reader.feed(spelled(stop(0), end(), STOP))
    assert (done.kind, done.finish_reason, reader.ended) == ("done", "stop", True)
    assert reader.feed(spelled(end(), STOP)) == []
    assert reader.finish() == []


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("tool_use", "tool_calls"),
        ("pause_turn", "pause"),
        ("refusal", "content_filter"),
        ("model_context_window_exceeded", "context_length"),
        ("of_next_year", "stop"),
    ],
)
def test_stop_reasons(reason: str, expected: str) -> None:
    assert read(spelled(START, end(reason), STOP))[-1].finish_reason == expected


def test_the_stop_sequence_is_told() -> None:
    last = end("stop_sequence")
    last["delta"]["stop_sequence"] = "X"
    done = read(spelled(START, last, STOP))[-1]
    assert (done.finish_reason, done.stop_sequence) == ("stop", "X")


def test_a_refusal_without_words_says_why() -> None:
    last = end("refusal")
    last["delta"]["stop_details"] = {"type": "refusal", "category": "bio", "explanation": "not this"}
    assert answer_of(read(spelled(START, last, STOP))).refusal == "not this"


def test_counts_are_totals_and_may_come_late() -> None:
    first = {"type": "message_start", "message": {"usage": {"input_tokens": 0, "output_tokens": 0}}}
    done = read(spelled(first, end(output=2, input_tokens=7), end(output=9, cache_read_input_tokens=None), STOP))[-1]
    assert done.usage == Usage(7, 9)


# ------------------------------------------------------------------ odd servers


@pytest.mark.parametrize(
    "stream",
    [
        spelled(delta(0, "text_delta", text="hi"), end(), STOP),
        spelled(START, start(0, type="text", text="hi"), stop(0), end(), STOP),
        spelled(START, delta(0, "text_delta", text="hi"), end()),
        spelled(START, delta(0, "text_delta", text="hi"), end())[:-2],
        spelled(START, delta(0, "text_delta", text="hi"), end(), named=False) + b"data: [DONE]\n\n",
        spelled(START, delta(0, "text_delta", text="hi"), {"type": "of_next_year", "x": 1}, end(), STOP),
        spelled(START, delta(0, "of_next_year", more=[1]), delta(0, "text_delta", text="hi"), end(), STOP),
        b": hello\r\n\r\n" + spelled(START, delta(0, "text_delta", text="hi"), end(), STOP).replace(b"\n", b"\r\n"),
        spelled(START, delta(0, "text_delta", text="hi"), end()) + b'event: message_stop\ndata: {"type":"mess',
    ],
)
def test_streams_that_are_not_as_they_should_be(stream: bytes) -> None:
    answer = answer_of(read(stream))
    assert (answer.text, answer.finish_reason) == ("hi", "stop")


def test_a_call_whose_arguments_come_with_its_start() -> None:
    stream = spelled(START, start(0, type="tool_use", id="t", name="add", input={"a": 1}), stop(0), end(), STOP)
    assert answer_of(read(stream)).tool_calls == (ToolCall(0, "t", "add", '{"a":1}'),)


@pytest.mark.parametrize(
    "stream",
    [b"", spelled(START), spelled(START, delta(0, "text_delta", text="hi")), spelled(START) + b"data: [DONE]\n\n"],
)
def test_a_stream_that_breaks_off(stream: bytes) -> None:
    with pytest.raises(NetworkError):
        read(stream)


def test_a_connection_that_breaks_behind_the_answer() -> None:
    reader = Reader()
    reader.feed(spelled(START, delta(0, "text_delta", text="hi")))
    assert reader.cut() is None
    reader.feed(spelled(end(output=4)))
    assert reader.cut() == Chunk("done", finish_reason="stop", usage=Usage(3, 4))


@pytest.mark.parametrize(
    ("error", "meaning"),
    [
        ({"type": "overloaded_error", "message": "busy"}, ServiceUnavailable),
        ({"type": "rate_limit_error", "message": "slow"}, RateLimited),
        ({"type": "authentication_error", "message": "key sk-123456"}, AuthenticationFailed),
        ({"type": "api_error", "message": "x"}, ServiceUnavailable),
        ("a text", ServiceUnavailable),
    ],
)
def test_errors_in_a_stream(error: Any, meaning: type[PromptdError]) -> None:
    reader = Reader(secrets=["sk-123456"])
    with pytest.raises(meaning) as raised:
        reader.feed(spelled(START, {"type": "error", "error": error}))
    assert "sk-123456" not in raised.value.message


def test_what_was_said_before_an_error_is_not_lost() -> None:
    reader = Reader()
    failed = {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    (chunk,) = reader.feed(spelled(START, delta(0, "text_delta", text="hi"), failed, end(), STOP))
    assert chunk.text == "hi"
    assert isinstance(reader.error, ServiceUnavailable)
    with pytest.raises(ServiceUnavailable):
        reader.feed(b"")
    with pytest.raises(ServiceUnavailable):
        reader.finish()


def test_an_error_without_words() -> None:
    with pytest.raises(ServiceUnavailable):
        read(b"event: error\ndata: {}\n\n")


@pytest.mark.parametrize(
    "data", [b"{", b"[]", b"nothing", b'{"delta": 3}', b'{"message": {"content": 3}}', b"\xff", b"[" * 50_000]
)
def test_what_is_no_event(data: bytes) -> None:
    with pytest.raises(InvalidOutput):
        read(b"data: " + data + b"\n\n")


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_rubbish_ends_in_a_typed_error(packets: list[bytes]) -> None:
    with pytest.raises((InvalidOutput, NetworkError)):
        read(*packets)


# ------------------------------------------------------------------ whole


def test_a_whole_message() -> None:
    body = {
        "type": "message",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "s"},
            {"type": "redacted_thinking", "data": "x"},
            {"type": "text", "text": "a", "citations": [{"type": "char_location"}]},
            {"type": "text", "text": "b"},
            {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}},
            {"type": "tool_use", "id": "t", "name": "add", "input": {"a": [1, 2.5]}},
        ],
        "stop_reason": "max_tokens",
        "usage": {"input_tokens": 1, "cache_read_input_tokens": 2, "output_tokens": 3},
    }
    answer = answer_of(decode_answer(json.dumps(body).encode()))
    assert (answer.text, answer.finish_reason) == ("ab", "length")
    assert answer.thinking == (Thinking("hm", "s"), Thinking(sealed="x"))
    assert answer.tool_calls == (ToolCall(0, "t", "add", '{"a":[1,2.5]}'),)
    assert answer.usage == Usage(3, 3, cached_tokens=2)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"<html>", b'{"content": "hi"}', b'{"content": [3]}'])
def test_what_is_no_message(body: bytes) -> None:
    with pytest.raises(InvalidOutput):
        decode_answer(body)


def test_an_error_in_a_success() -> None:
    with pytest.raises(ServiceUnavailable):
        decode_answer(b'{"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}')
