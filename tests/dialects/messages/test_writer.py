"""Answers as clients of the Messages API get them, read with the vendor's own types."""

from __future__ import annotations

import json
from typing import Any

import pytest
from anthropic.types import Message
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.content import Thinking, ToolCall
from promptd.core.errors import InputTooLarge, InvalidRequest, PromptdError, RateLimited, ServiceUnavailable, leaves
from promptd.core.model import Answer, Chunk, Usage
from promptd.dialects.messages import PING, Writer, encode_answer, error_body, kind_of
from promptd.dialects.sse import Parser
from tests.dialects.messages.streams import check_order, read, written

DONE = Chunk("done", finish_reason="stop", usage=Usage(20, 7, cached_tokens=10, cache_write_tokens=4))


def say(text: str = "", **more: Any) -> Chunk:
    return Chunk("progress", text=text, **more)


def piece(index: int, arguments: str = "", identifier: str = "", name: str = "") -> Chunk:
    return Chunk("progress", tool_calls=(ToolCall(index, identifier, name, arguments),))


def test_the_events_of_an_answer_are_the_vendors() -> None:
    events = written(say("Hello "), say("there"), DONE)
    assert [event["type"] for event in events] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert events[0]["message"] == {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {
            "input_tokens": 0,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 0,
            "output_tokens": 0,
        },
    }
    assert events[-2] == {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {
            "input_tokens": 6,
            "cache_creation_input_tokens": 4,
            "cache_read_input_tokens": 10,
            "output_tokens": 7,
        },
    }


def test_each_kind_of_piece_has_its_block() -> None:
    message = check_order(
        written(
            say(thinking="Hm"),
            say(thinking=" so"),
            say(signature="sig"),
            say(sealed="xx"),
            say("Let me look"),
            piece(0, "", "t1", "look"),
            piece(0, '{"q":'),
            piece(0, '"x"}'),
            piece(1, "", "t2", "now"),
            say("and"),
            Chunk("done", finish_reason="tool_calls", usage=Usage(1, 2, reasoning_tokens=1)),
        )
    )
    assert [block.type for block in message.content] == [
        "thinking",
        "redacted_thinking",
        "text",
        "tool_use",
        "tool_use",
        "text",
    ]
    thought, sealed, text, first, second, _ = message.content
    assert thought.type == "thinking"
    assert (thought.thinking, thought.signature) == ("Hm so", "sig")
    assert sealed.type == "redacted_thinking"
    assert sealed.data == "xx"
    assert text.type == "text"
    assert text.text == "Let me look"
    assert first.type == second.type == "tool_use"
    assert (first.id, first.name, first.input) == ("t1", "look", {"q": "x"})
    assert (second.id, second.name, second.input) == ("t2", "now", {})
    assert message.stop_reason == "tool_use"
    assert message.usage.output_tokens_details is not None


def test_arguments_are_passed_on_as_they_come() -> None:
    writer = Writer(id="msg_1", model="m")
    assert b"content_block_start" in writer.write(piece(0, "", "t", "add"))
    assert b'"partial_json":"{\\"a\\""' in writer.write(piece(0, '{"a"'))
    writer.write(piece(0, ":1}"))
    assert writer.write(piece(1, '{"b"', "u", "add")).count(b"event: ") == 3  # stop, start, delta


def test_pieces_of_parallel_calls_may_come_mixed() -> None:
    message = check_order(
        written(
            piece(0, "", "t0", "a"),
            piece(1, "", "t1", "b"),
            piece(0, '{"x":'),
            piece(1, '{"y":'),
            piece(2, "{}", "t2", "c"),
            piece(1, "2}"),
            piece(0, "1}"),
            DONE,
        )
    )
    found = [(block.id, block.name, block.input) for block in message.content if block.type == "tool_use"]
    assert found == [("t0", "a", {"x": 1}), ("t1", "b", {"y": 2}), ("t2", "c", {})]


CALLS = st.lists(st.dictionaries(st.text(max_size=4), st.integers() | st.text(max_size=5), max_size=3), max_size=4)


@given(CALLS, st.data())
def test_any_mixture_gives_the_same_calls(inputs: list[dict[str, Any]], data: st.DataObject) -> None:
    waiting = [[json.dumps(given)[at : at + 3] for at in range(0, len(json.dumps(given)), 3)] for given in inputs]
    chunks = []
    begun: set[int] = set()
    while any(waiting):
        index = data.draw(st.sampled_from([at for at, pieces in enumerate(waiting) if pieces]))
        name = "" if index in begun else f"f{index}"
        begun.add(index)
        chunks.append(piece(index, waiting[index].pop(0), name and f"t{index}", name))
    message = check_order(written(*chunks, DONE))
    assert {block.id: block.input for block in message.content if block.type == "tool_use"} == {
        f"t{index}": given for index, given in enumerate(inputs)
    }


def test_a_call_without_an_id_gets_one() -> None:
    (block,) = check_order(written(piece(3, "{}", "", "now"), DONE)).content
    assert block.type == "tool_use"
    assert block.id == "toolu_1_3"


def test_a_refusal_is_said_and_named() -> None:
    message = check_order(written(say(refusal="I won't"), DONE))
    assert message.stop_reason == "refusal"
    assert message.content[0].type == "text"


def test_an_empty_answer_and_one_that_is_only_a_value() -> None:
    assert check_order(written(DONE)).content == []
    (block,) = check_order(written(Chunk("done", value={"a": 1}))).content
    assert block.type == "text"
    assert block.text == '{"a":1}'


@pytest.mark.parametrize(
    ("finish_reason", "stop_sequence", "expected"),
    [
        ("stop", None, "end_turn"),
        ("stop", "X", "stop_sequence"),
        ("length", None, "max_tokens"),
        ("tool_calls", None, "tool_use"),
        ("pause", None, "pause_turn"),
        ("content_filter", None, "refusal"),
        ("context_length", None, "model_context_window_exceeded"),
        (None, None, "end_turn"),
        ("something", None, "end_turn"),
    ],
)
def test_stop_reasons(finish_reason: str | None, stop_sequence: str | None, expected: str) -> None:
    done = Chunk("done", finish_reason=finish_reason, stop_sequence=stop_sequence)
    message = check_order(written(say("x"), done))
    assert (message.stop_reason, message.stop_sequence) == (expected, stop_sequence)
    answer = Answer("m", "x", finish_reason=finish_reason or "stop", stop_sequence=stop_sequence)
    assert json.loads(encode_answer(answer, id="m", model="m"))["stop_reason"] == expected


def test_what_is_written_can_be_read_again() -> None:
    chunks = [say(thinking="a"), say(signature="b"), say("c"), piece(0, '{"d":1}', "t", "f"), DONE]
    writer = Writer(id="msg_1", model="m")
    data = writer.begin() + b"".join([writer.write(chunk) for chunk in chunks])
    *progress, done = read(data)
    assert "".join(chunk.text for chunk in progress) == "c"
    assert done.usage == DONE.usage
    assert done.finish_reason == "tool_calls"


def test_a_whole_answer() -> None:
    answer = Answer(
        "m",
        "Hello",
        tool_calls=(ToolCall(0, "t", "add", '{"a": 1}'), ToolCall(1, "", "raw", "text", custom=True)),
        finish_reason="tool_calls",
        usage=Usage(20, 7, cached_tokens=10, cache_write_tokens=4),
        thinking=(Thinking("hm", "sig"), Thinking(sealed="x")),
    )
    message = Message.model_validate_json(encode_answer(answer, id="msg_ab", model="m", created=1.0))
    assert [block.type for block in message.content] == [
        "thinking",
        "redacted_thinking",
        "text",
        "tool_use",
        "tool_use",
    ]
    assert [block.input for block in message.content if block.type == "tool_use"] == [{"a": 1}, {"input": "text"}]
    assert [block.id for block in message.content if block.type == "tool_use"] == ["t", "toolu_ab_1"]
    assert (message.usage.input_tokens, message.usage.cache_read_input_tokens) == (6, 10)
    assert message.stop_reason == "tool_use"


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize("kind", list(leaves()))
def test_every_error_has_a_status_and_a_type(kind: type[PromptdError]) -> None:
    status, name = kind_of(kind("said"))
    assert 400 <= status < 600
    assert name.endswith("_error") or name == "request_too_large"
    wire = json.loads(error_body(kind("said"), "req_1"))
    assert wire["type"] == "error"
    assert wire["error"]["message"].endswith("said")
    assert wire["request_id"] == "req_1"


def test_errors_in_the_vendors_words() -> None:
    assert kind_of(InvalidRequest(field="model", expected="a string")) == (400, "invalid_request_error")
    assert kind_of(RateLimited()) == (429, "rate_limit_error")
    assert kind_of(ServiceUnavailable()) == (529, "overloaded_error")
    too_long = json.loads(error_body(InputTooLarge("300 tokens")))
    assert too_long["error"]["message"] == "prompt is too long: 300 tokens"
    assert "request_id" not in too_long


def test_a_failed_stream_ends_with_its_error() -> None:
    writer = Writer(id="msg_1", model="m", request_id="req_1")
    data = writer.begin() + writer.write(say("x")) + writer.fail(RateLimited("slow down"))
    last = Parser().feed(data)[-1]
    assert last.name == "error"
    assert json.loads(last.data) == {
        "type": "error",
        "error": {"type": "rate_limit_error", "message": "slow down"},
        "request_id": "req_1",
    }


def test_a_ping_is_an_event() -> None:
    (event,) = Parser().feed(PING)
    assert (event.name, json.loads(event.data)) == ("ping", {"type": "ping"})
