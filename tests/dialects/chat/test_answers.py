"""What becomes of every kind of answer that a service may give."""

import json
from collections.abc import AsyncIterator, Mapping
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.chunks import join_tool_calls
from promptd.core.claims import ABSURD
from promptd.core.content import ToolCall
from promptd.core.errors import ContentFiltered, InvalidOutput, NetworkError, PromptdError, ServiceUnavailable
from promptd.core.model import Chunk, Usage
from promptd.dialects.chat import Reader, decode_answer, decode_embeddings, decode_models, read_stream


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
    return [chunk async for chunk in read_stream(Canned(*packets, **options))]


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
            [said("a"), Chunk("done", finish_reason="stop", usage=ABSURD)],
        ),
        (
            [event(delta(None, "tool_calls", tool_calls=[{"index": 1, "function": None}, {"index": -1}])), DONE],
            [Chunk("progress", tool_calls=(ToolCall(1), ToolCall(0))), end("tool_calls")],
        ),
        (
            [event(delta(refusal="I can't")), event(delta(None, "stop")), DONE],
            [Chunk("progress", refusal="I can't"), end()],
        ),
        (
            [
                event(delta(reasoning_content="hm")),
                event(delta(reasoning=" so", content="a")),
                event(delta("", "stop")),
            ],
            [Chunk("progress", thinking="hm"), Chunk("progress", thinking=" so", text="a"), end()],
        ),
        (
            [
                event(delta([{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}])),
                event(delta("a", "stop")),
            ],
            [Chunk("progress", thinking="hm"), said("a"), end()],
        ),
        (
            [event(delta("", "stop", reasoning_details=[{"signature": "s"}, {"data": "d"}, 5])), DONE],
            [Chunk("progress", signature="s", sealed="d"), end()],
        ),
        (
            [event(delta("a", "stop") | {"logprobs": {"content": [{"token": "a", "logprob": -1}]}}), DONE],
            [Chunk("progress", text="a", logprobs=[{"token": "a", "logprob": -1}]), end()],
        ),
        (
            [event(delta("a", "stop") | {"stop_reason": "END"}), DONE],
            [said("a"), Chunk("done", finish_reason="stop", usage=Usage(), stop_sequence="END")],
        ),
        ([event(delta("a", "stop") | {"stop_reason": 128}), DONE], [said("a"), end()]),
        ([event(delta("a", "model_length")), DONE], [said("a"), end("length")]),
        ([event(delta("a", "eos")), DONE], [said("a"), end()]),
        (
            [event(delta(function_call={"name": "f", "arguments": "{}"})), event(delta(None, "function_call"))],
            [Chunk("progress", tool_calls=(ToolCall(0, "", "f", "{}"),)), end("tool_calls")],
        ),
        (
            [event(delta(tool_calls=[{"index": 0, "id": "a", "custom": {"name": "f", "input": "x"}}])), DONE],
            [Chunk("progress", tool_calls=(ToolCall(0, "a", "f", "x", custom=True),)), end("tool_calls")],
        ),
        (
            [event(delta("a", "stop", annotations=[{"type": "url_citation"}])), DONE],
            [
                said("a"),
                Chunk("done", finish_reason="stop", usage=Usage(), value={"annotations": [{"type": "url_citation"}]}),
            ],
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
        ([event(choices={"a": 1})], InvalidOutput),
        ([event(delta("a")), b'data: {"error": {"message": "x"}}\n\n'], ServiceUnavailable),
        ([event(delta(None, "content_filter")), DONE], ContentFiltered),
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
        end("tool_calls", Usage(5, 2, 4)),
    ]


@pytest.mark.parametrize(
    "answer", [b"", b"{}", b'{"choices": []}', b"null", b'"text"', b'{"choices": [{"message": 5}]}']
)
def test_a_whole_answer_that_is_none(answer: bytes) -> None:
    with pytest.raises(InvalidOutput):
        decode_answer(answer)


async def test_another_content_type_is_refused() -> None:
    with pytest.raises(InvalidOutput, match="text/html"):
        await read(b"<html>", content_type="text/html")


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        (USAGE, Usage(5, 2, 4)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}, Usage(5, 2)),
        ({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 17}, Usage(5, 12)),
        ({"prompt_tokens": 5, "prompt_cache_hit_tokens": 3, "total_tokens": 5}, Usage(5, 0, 3)),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 8,
                "prompt_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 2},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            Usage(9, 8, 1, 2, 3),
        ),
    ],
)
def test_tokens_are_counted(counts: dict[str, Any], usage: Usage) -> None:
    answer = {"choices": [{"message": {"content": "a"}, "finish_reason": "stop"}], "usage": counts}
    assert decode_answer(json.dumps(answer).encode())[-1].usage == usage


def test_legacy_probabilities_become_those_of_a_chat() -> None:
    told = {"tokens": ["a", "é"], "token_logprobs": [None, -0.5], "top_logprobs": [None, {"e": -1.0}]}
    answer = {"choices": [{"text": "aé", "finish_reason": "stop", "logprobs": told}]}
    assert decode_answer(json.dumps(answer).encode())[0].logprobs == [
        {"token": "a", "logprob": 0.0, "bytes": [97], "top_logprobs": []},
        {
            "token": "é",
            "logprob": -0.5,
            "bytes": [195, 169],
            "top_logprobs": [{"token": "e", "logprob": -1.0, "bytes": [101]}],
        },
    ]


STREAM = b"".join(
    [
        event(delta("grüße ")),
        event(delta(reasoning_content="🌍")),
        event(delta(None, tool_calls=[{"index": 0, "id": "c", "function": {"name": "f", "arguments": '{"a"'}}])),
        event(delta(None, "tool_calls")),
        event(usage=USAGE),
        DONE,
    ]
)


@given(st.lists(st.integers(0, len(STREAM)), max_size=12), st.booleans())
def test_any_split_reads_the_same(cuts: list[int], crlf: bool) -> None:
    wire = STREAM.replace(b"\n", b"\r\n") if crlf else STREAM
    edges = [0, *sorted(cuts), len(wire)]
    reader = Reader()
    chunks = [chunk for start, stop in pairwise(edges) for chunk in reader.feed(wire[start:stop])]
    whole = Reader()
    assert chunks + reader.finish() == [*whole.feed(STREAM), *whole.finish()]


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(wire: bytes) -> None:
    reader = Reader()
    try:
        list(reader.feed(wire))
        reader.finish()
    except PromptdError:
        return
    assert reader.complete


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=3),
        lambda inner: (
            st.lists(inner)
            | st.dictionaries(
                st.sampled_from(["choices", "delta", "content", "tool_calls", "index", "usage", "error", "message"]),
                inner,
            )
        ),
        max_leaves=12,
    )
)
def test_no_json_breaks_the_decoder(body: Any) -> None:
    try:
        chunks = decode_answer(json.dumps(body).encode())
    except PromptdError:
        return
    assert chunks[-1].kind == "done"


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


def test_the_proof_behind_a_call_stays_with_it() -> None:
    first = {"index": 0, "id": "c", "function": {"name": "f"}, "extra_content": {"google": {"thought_signature": "s"}}}
    more = {"index": 0, "function": {"arguments": "{}"}}
    stream = event(delta(tool_calls=[first])) + event(delta(None, "tool_calls", tool_calls=[more])) + DONE
    made = join_tool_calls([call for chunk in Reader().feed(stream) for call in chunk.tool_calls])
    assert made == (ToolCall(0, "c", "f", "{}", extra={"extra_content": {"google": {"thought_signature": "s"}}}),)
