"""What is understood of a service's answers in the Responses API."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.chunks import gather, join_thoughts, join_tool_calls
from promptd.core.content import Thinking, ToolCall
from promptd.core.errors import (
    Cancelled,
    InvalidOutput,
    NetworkError,
    PromptExecutionError,
    RateLimited,
)
from promptd.core.model import Answer, Chunk, Usage
from promptd.dialects.responses import Reader, decode_answer
from tests.dialects.responses.shapes import DONE, USAGE, call, progress, writer


def sse(*found: dict[str, Any]) -> bytes:
    return b"".join([b"event: %b\ndata: %b\n\n" % (one["type"].encode(), msgspec.json.encode(one)) for one in found])


def read(data: bytes) -> list[Chunk]:
    reader = Reader()
    chunks = reader.feed(data)
    return chunks if reader.ended else chunks + reader.finish()


def said(chunks: list[Chunk]) -> tuple[Any, ...]:
    return (
        join_thoughts(chunks),
        "".join([chunk.text for chunk in chunks]),
        "".join([chunk.refusal for chunk in chunks]),
        join_tool_calls([one for chunk in chunks for one in chunk.tool_calls]),
    )


RECORDED = sse(
    {"type": "response.created", "sequence_number": 0, "response": {"status": "in_progress"}},
    {"type": "response.output_item.added", "output_index": 0, "item": {"type": "reasoning", "id": "rs_9"}},
    {"type": "response.reasoning_summary_part.added", "output_index": 0, "summary_index": 0},
    {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 0, "delta": "hm"},
    {"type": "response.reasoning_summary_text.done", "output_index": 0, "summary_index": 0, "text": "hm"},
    {"type": "response.reasoning_summary_text.delta", "output_index": 0, "summary_index": 1, "delta": "so"},
    {
        "type": "response.output_item.done",
        "output_index": 0,
        "item": {
            "type": "reasoning",
            "id": "rs_9",
            "summary": [{"type": "summary_text", "text": "hm"}, {"type": "summary_text", "text": "so"}],
            "encrypted_content": "gAA",
        },
    },
    {"type": "response.output_text.delta", "output_index": 1, "content_index": 0, "delta": "né"},
    {"type": "response.output_text.done", "output_index": 1, "content_index": 0, "text": "né"},
    {
        "type": "response.output_item.added",
        "output_index": 2,
        "item": {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "f", "arguments": ""},
    },
    {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": '{"a":'},
    {"type": "response.function_call_arguments.delta", "output_index": 2, "delta": "1}"},
    {
        "type": "response.output_item.done",
        "output_index": 2,
        "item": {"type": "function_call", "call_id": "c1", "name": "f", "arguments": '{"a":1}'},
    },
    {
        "type": "response.completed",
        "response": {
            "status": "completed",
            "output": [{"type": "message", "content": [{"type": "output_text", "text": "né"}]}],
            "usage": {
                "input_tokens": 10,
                "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3},
                "output_tokens": 5,
                "output_tokens_details": {"reasoning_tokens": 2},
            },
        },
    },
)


def test_a_recorded_stream() -> None:
    chunks = read(RECORDED)
    assert said(chunks) == (
        (Thinking("hm\n\nso"), Thinking(sealed="rs_9:gAA")),
        "né",
        "",
        (ToolCall(0, "c1", "f", '{"a":1}'),),
    )
    assert chunks[-1] == Chunk("done", finish_reason="tool_calls", usage=USAGE)


@given(st.lists(st.integers(0, len(RECORDED)), max_size=8))
def test_a_stream_may_be_cut_anywhere(cuts: list[int]) -> None:
    reader, chunks = Reader(), []
    places = [0, *sorted(cuts), len(RECORDED)]
    for begin, end in pairwise(places):
        chunks += reader.feed(RECORDED[begin:end])
    assert (reader.ended, chunks) == (True, read(RECORDED))


@given(st.integers(0, len(RECORDED) - 3))
def test_a_stream_that_breaks_off_is_no_answer(end: int) -> None:
    reader = Reader()
    chunks = reader.feed(RECORDED[:end])
    with pytest.raises(NetworkError):
        chunks += reader.finish()
    assert not any(chunk.kind == "done" for chunk in chunks)


def test_what_no_event_told_is_told_at_the_end() -> None:
    output = [
        {"type": "reasoning", "id": "rs_1", "summary": [], "content": [{"type": "reasoning_text", "text": "hm"}]},
        {"type": "message", "content": [{"type": "output_text", "text": "so"}, {"type": "refusal", "refusal": "no"}]},
        {"type": "custom_tool_call", "call_id": "c", "name": "sh", "input": "ls"},
        {"type": "web_search_call", "id": "ws"},
    ]
    body = {"status": "completed", "output": output, "error": None}
    expected = ((Thinking("hm"),), "so", "no", (ToolCall(0, "c", "sh", "ls", True),))
    assert said(read(sse({"type": "response.completed", "response": body}))) == expected
    whole = decode_answer(msgspec.json.encode(body))
    assert said(list(whole)) == expected
    assert whole[-1] == Chunk("done", finish_reason="tool_calls", usage=Usage())


def test_a_thought_is_told_once_though_two_events_show_it() -> None:
    chunks = read(
        sse(
            {"type": "response.reasoning_text.delta", "output_index": 0, "content_index": 0, "delta": "hm"},
            {
                "type": "response.reasoning_summary_text.delta",
                "output_index": 0,
                "summary_index": 0,
                "delta": "in short",
            },
            {"type": "response.completed", "response": {"status": "completed"}},
        )
    )
    assert said(chunks)[0] == (Thinking("hm"),)


@pytest.mark.parametrize(
    ("details", "finish_reason"),
    [({"reason": "max_output_tokens"}, "length"), ({"reason": "content_filter"}, "content_filter"), (None, "length")],
)
def test_an_incomplete_answer(details: Any, finish_reason: str) -> None:
    body = {"status": "incomplete", "incomplete_details": details, "output": []}
    assert decode_answer(msgspec.json.encode(body))[-1].finish_reason == finish_reason
    assert read(sse({"type": "response.incomplete", "response": body}))[-1].finish_reason == finish_reason


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ({"type": "error", "code": "rate_limit_exceeded", "message": "slow"}, RateLimited),
        ({"type": "error", "error": {"code": "rate_limit_exceeded", "message": "slow"}}, RateLimited),
        ({"type": "response.failed", "response": {"status": "failed", "error": {"code": "x", "message": "m"}}}, PromptExecutionError),
        ({"type": "response.completed", "response": {"status": "failed"}}, PromptExecutionError),
        ({"type": "response.completed", "response": {"status": "cancelled"}}, Cancelled),
        ({"type": "response.completed", "response": {"status": "queued"}}, InvalidOutput),
    ],
)  # fmt: skip
def test_what_fails_in_a_stream(event: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        read(sse(event))


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"\xff", b'{"status": "completed"}', b'{"output": [], "status": "queued"}']
)
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(InvalidOutput):
        decode_answer(body)


_odd = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 5) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "item",
                    "response",
                    "output",
                    "delta",
                    "status",
                    "summary",
                    "content",
                    "text",
                    "usage",
                    "arguments",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=8,
)


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "type": st.sampled_from(
                    [
                        "response.output_text.delta",
                        "response.output_item.added",
                        "response.output_item.done",
                        "response.function_call_arguments.delta",
                        "response.reasoning_summary_text.delta",
                        "response.completed",
                        "response.failed",
                    ]
                )
            },
            optional={
                "output_index": _odd,
                "item": _odd
                | st.fixed_dictionaries(
                    {"type": st.sampled_from(["message", "reasoning", "function_call"])},
                    optional={"content": _odd, "summary": _odd, "arguments": _odd, "call_id": _odd},
                ),
                "response": _odd,
                "delta": _odd,
            },
        ),
        max_size=5,
    )
)
def test_nothing_that_a_service_sends_breaks_the_reader(found: list[dict[str, Any]]) -> None:
    reader = Reader()
    try:
        chunks = reader.feed(sse(*found))
        assert reader.ended or reader.finish() == []
    except PromptExecutionError:
        return
    assert sum(chunk.kind == "done" for chunk in chunks) == 1


_words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
_pieces = st.lists(
    st.builds(progress, text=_words)
    | st.builds(progress, thinking=_words)
    | st.builds(progress, thinking=_words, signature=_words)
    | st.builds(progress, refusal=_words)
    | st.builds(call, st.integers(0, 1), st.just("c"), st.just("f"), _words),
    max_size=8,
)


@given(_pieces)
def test_what_one_house_writes_another_reads(chunks: list[Chunk]) -> None:
    one = writer()
    # a call's piece behind something else has no event of its own: it is in the end's response alone
    last = max([place for place, chunk in enumerate(chunks) if not chunk.tool_calls], default=-1)
    chunks = chunks[: last + 1] + sorted(chunks[last + 1 :], key=lambda chunk: chunk.tool_calls[0].index)
    chunks = [chunk for place, chunk in enumerate(chunks) if not chunk.tool_calls or place > last]
    frames = one.begin() + b"".join(map(one.write, chunks)) + one.write(DONE)
    there = read(frames)
    answer, back = gather(chunks, DONE, USAGE, "m"), gather(there[:-1], there[-1], USAGE, "m")
    assert (back.text, back.refusal, _spelled(back)) == (answer.text, answer.refusal, _spelled(answer))
    assert [thought.signature for thought in back.thinking if thought.signature] == [
        thought.signature for thought in answer.thinking if thought.signature
    ]
    assert "".join([thought.text for thought in back.thinking]) == "".join([one.text for one in answer.thinking])
    assert there[-1].usage == USAGE


def _spelled(answer: Answer) -> list[tuple[str, str]]:
    return [(one.name, one.arguments) for one in answer.tool_calls]
