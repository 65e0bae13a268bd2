"""What a Converse service answers, and in which ways it fails."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptd.core.chunks import gather
from promptd.core.claims import ABSURD
from promptd.core.content import Thinking, ToolCall
from promptd.core.errors import (
    AuthenticationFailed,
    ExecutionFailed,
    InputTooLarge,
    InvalidInput,
    InvalidOutput,
    NetworkError,
    PermissionDenied,
    PromptdError,
    PromptExecutionError,
    QuotaExceeded,
    RateLimited,
    ResourceNotFound,
    ServiceUnavailable,
    Timeout,
)
from promptd.core.model import Answer, Chunk, Usage
from promptd.dialects.converse import Reader, decode_answer, error_from_exception, error_from_refusal
from promptd.dialects.event_stream import encode_message
from tests.dialects.converse.wire import check, event

BEGIN = event("messageStart", {"role": "assistant"}, p="abcdefgh")
STOP = event("messageStop", {"stopReason": "end_turn"})
COUNTS = {"usage": {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}, "metrics": {"latencyMs": 1}}
METADATA = event("metadata", COUNTS)


def delta(index: int, **said: Any) -> bytes:
    return event("contentBlockDelta", {"contentBlockIndex": index, "delta": said})


def read(stream: bytes, size: int = 1 << 16) -> list[Chunk]:
    reader = Reader()
    chunks = [chunk for at in range(0, len(stream), size) for chunk in reader.feed(stream[at : at + size])]
    return chunks + reader.finish()


def told(chunks: list[Chunk]) -> Answer:
    *pieces, end = chunks
    assert end.kind == "done"
    return gather(pieces, end, end.usage or Usage(), "")


@pytest.mark.parametrize("size", [1, 7, 1 << 16])
def test_everything_that_a_model_says(size: int) -> None:
    use = {"toolUse": {"toolUseId": "t", "name": "f"}}
    stream = (
        BEGIN
        + delta(0, reasoningContent={"text": "hm"})
        + delta(0, reasoningContent={"signature": "sig"})
        + delta(1, reasoningContent={"redactedContent": "EqQB"})
        + delta(2, text="Zwölf ")
        + delta(2, text="Bäume 🌲")
        + delta(2, citation={"title": "t"})
        + event("contentBlockStart", {"contentBlockIndex": 3, "start": use})
        + delta(3, toolUse={"input": '{"a"'})
        + delta(3, toolUse={"input": ": 1}"})
        + event("contentBlockStop", {"contentBlockIndex": 3})
        + event("contentBlockStart", {"contentBlockIndex": 4, "start": use})
        + delta(4, toolUse={"input": ""})
        + event("contentBlockStop", {"contentBlockIndex": 4})
        + event("messageStop", {"stopReason": "tool_use"})
        + METADATA
    )
    answer = told(read(stream, size))
    assert answer.text == "Zwölf Bäume 🌲"
    assert answer.thinking == (Thinking("hm", "sig"), Thinking(sealed="EqQB"))
    assert answer.tool_calls == (ToolCall(0, "t", "f", '{"a": 1}'), ToolCall(1, "t", "f", "{}"))
    assert (answer.finish_reason, answer.usage) == ("tool_calls", Usage(3, 2))


def test_tools_that_the_service_runs_are_nobodys_to_answer() -> None:
    use = {"toolUse": {"toolUseId": "t", "name": "f", "type": "server_tool_use"}}
    start = event("contentBlockStart", {"contentBlockIndex": 0, "start": use})
    stop = event("contentBlockStop", {"contentBlockIndex": 0})
    assert told(read(BEGIN + start + delta(0, toolUse={"input": "{}"}) + stop + STOP + METADATA)).tool_calls == ()


def test_a_whole_answer() -> None:
    blocks = [
        {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "sig"}}},
        {"reasoningContent": {"redactedContent": "EqQB"}},
        {"citationsContent": {"content": [{"text": "cited "}], "citations": []}},
        {"text": "text"},
        {"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": [1]}}},
    ]
    wire = {"output": {"message": {"role": "assistant", "content": blocks}}, "stopReason": "max_tokens", **COUNTS}
    check("ConverseResponse", wire)
    answer = told(list(decode_answer(json.dumps(wire).encode())))
    assert answer.text == "cited text"
    assert answer.thinking == (Thinking("hm", "sig"), Thinking(sealed="EqQB"))
    assert answer.tool_calls == (ToolCall(0, "t", "f", '{"a":[1]}'),)
    assert (answer.finish_reason, answer.usage) == ("length", Usage(3, 2))


@pytest.mark.parametrize(
    ("reason", "ours"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("tool_use", "tool_calls"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
        ("model_context_window_exceeded", "context_length"),
        ("of_tomorrow", "stop"),
    ],
)
def test_ends(reason: str, ours: str) -> None:
    stop = encode_message(
        {":message-type": "event", ":event-type": "messageStop"}, json.dumps({"stopReason": reason}).encode()
    )
    assert told(read(BEGIN + delta(0, text="a") + stop + METADATA)).finish_reason == ours


@pytest.mark.parametrize("reason", ["malformed_model_output", "malformed_tool_use"])
def test_what_the_service_could_not_read_is_no_answer(reason: str) -> None:
    with pytest.raises(InvalidOutput, match="could not read"):
        read(BEGIN + event("messageStop", {"stopReason": reason}))


def test_the_sequence_that_ended_it() -> None:
    more = {"additionalModelResponseFields": {"stop_sequence": "END"}}
    for reason, sequence in (("stop_sequence", "END"), ("end_turn", None)):
        assert told(read(event("messageStop", {"stopReason": reason, **more}) + METADATA)).stop_sequence == sequence


@pytest.mark.parametrize(
    ("counts", "usage"),
    [
        ((3, 2, 14, 5, 4), Usage(12, 2, cached_tokens=5, cache_write_tokens=4)),
        ((12, 2, 14, 5, 4), Usage(12, 2, cached_tokens=5, cache_write_tokens=4)),  # the sum says that all are in there
        ((3, 2, 5, 0, 0), Usage(3, 2)),
        ((-1, -2, 0, -3, -4), ABSURD),
    ],
)
def test_tokens(counts: tuple[int, ...], usage: Usage) -> None:
    names = ("inputTokens", "outputTokens", "totalTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
    payload = json.dumps({"usage": dict(zip(names, counts, strict=True))}).encode()
    metadata = encode_message({":message-type": "event", ":event-type": "metadata"}, payload)
    assert told(read(STOP + metadata)).usage == usage


# ------------------------------------------------------------------ streams that go wrong


def test_a_stream_that_breaks_off() -> None:
    with pytest.raises(NetworkError):
        read(BEGIN + delta(0, text="a"))
    with pytest.raises(NetworkError):
        read(b"")
    assert told(read(BEGIN + delta(0, text="a") + STOP + METADATA[:-1])).text == "a"  # but for the counts it is whole
    reader = Reader()
    reader.feed(BEGIN)
    assert reader.cut() is None
    reader.feed(STOP)
    end = reader.cut()
    assert end is not None
    assert end.finish_reason == "stop"
    assert reader.cut() is None


@pytest.mark.parametrize(
    ("kind", "meaning"),
    [
        ("internalServerException", ServiceUnavailable),
        ("modelStreamErrorException", ServiceUnavailable),
        ("modelTimeoutException", Timeout),
        ("serviceUnavailableException", ServiceUnavailable),
        ("throttlingException", RateLimited),
        ("validationException", InvalidInput),
        ("ofTomorrow", ServiceUnavailable),
    ],
)
def test_exceptions_inside_a_stream_come_behind_what_was_said(kind: str, meaning: type[PromptExecutionError]) -> None:
    headers = {":message-type": "exception", ":exception-type": kind}
    reader = Reader(["sk-secret"])
    (chunk,) = reader.feed(delta(0, text="a") + encode_message(headers, b'{"message": "no, sk-secret"}') + STOP)
    assert chunk.text == "a"
    with pytest.raises(meaning, match=r"no, \*\*\*") as raised:
        reader.feed(b"")
    assert type(raised.value) is meaning
    with pytest.raises(meaning):
        reader.finish()


def test_an_error_that_is_no_exception() -> None:
    headers = {":message-type": "error", ":error-code": "ThrottlingException", ":error-message": "slow down"}
    with pytest.raises(RateLimited, match="slow down"):
        read(encode_message(headers, b""))


@pytest.mark.parametrize(
    "stream",
    [
        b"data: {}\n\n" * 3,
        encode_message({}, b"{}"),
        encode_message({":message-type": "event", ":event-type": "messageStop"}, b"no JSON"),
        encode_message({":message-type": "event", ":event-type": "messageStop"}, b"[" * 5000),
        encode_message({":message-type": "event", ":event-type": "metadata"}, b'{"stopReason": 5}'),
        STOP[:-1] + b"\0",
    ],
)
def test_what_is_no_stream_of_an_answer(stream: bytes) -> None:
    with pytest.raises(InvalidOutput):
        read(stream)


def test_a_broken_message_in_the_last_packet_is_an_error_all_the_same() -> None:
    reader = Reader()
    assert [chunk.text for chunk in reader.feed(delta(0, text="a") + STOP + b"\0" * 12)] == ["a"]
    with pytest.raises(InvalidOutput, match="checksum"):
        reader.finish()


@pytest.mark.parametrize("payload", [b"\xff no JSON", b"[1]", b'{"start": "x", "usage": 7, "delta": []}', b""])
def test_an_event_that_nobody_knows_yet_is_passed_over(payload: bytes) -> None:
    odd = encode_message({":message-type": "event", ":event-type": "contentBlockRevised"}, payload)
    assert [chunk.text for chunk in read(odd + delta(0, text="a") + odd + STOP + METADATA)] == ["a", ""]


def test_nothing_counts_behind_the_end() -> None:
    reader = Reader()
    assert [chunk.kind for chunk in reader.feed(STOP + METADATA + b"garbage of any kind")] == ["done"]
    assert reader.feed(b"more") == reader.finish() == []


@given(
    kind=st.sampled_from(
        ["contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata", "x"]
    ),
    payload=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda below: (
            st.lists(below, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["start", "delta", "toolUse", "text", "usage", "input", "contentBlockIndex", "stopReason"]
                )
                | st.sampled_from(
                    ["reasoningContent", "inputTokens", "additionalModelResponseFields", "stop_sequence"]
                ),
                below,
                max_size=4,
            )
        ),
        max_leaves=8,
    ),
)
@settings(deadline=None, max_examples=80)
def test_odd_events_end_in_chunks_or_typed_errors(kind: str, payload: Any) -> None:
    odd = encode_message({":message-type": "event", ":event-type": kind}, json.dumps(payload).encode())
    try:
        chunks = read(BEGIN + odd + STOP + METADATA)
    except PromptdError:
        return
    assert chunks[-1].kind == "done"


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"output": {}}', b"<html>", b'{"output": 5, "stopReason": "x"}'])
def test_what_is_no_answer(body: bytes) -> None:
    with pytest.raises(InvalidOutput):
        decode_answer(body)


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("status", "kind", "message", "meaning"),
    [
        (400, "ValidationException", "The model id is invalid", InvalidInput),
        (400, "ValidationException", "Input is too long for requested model.", InputTooLarge),
        (400, "ServiceQuotaExceededException", "no more", QuotaExceeded),
        (403, "AccessDeniedException", "not authorized to perform: bedrock:InvokeModel", PermissionDenied),
        (403, "AccessDeniedException", "Authentication failed: make sure your API key is valid", AuthenticationFailed),
        (403, "ExpiredTokenException", "expired", AuthenticationFailed),
        (403, "InvalidSignatureException", "no match", AuthenticationFailed),
        (403, "UnrecognizedClientException", "invalid token", AuthenticationFailed),
        (404, "ResourceNotFoundException", "no such model", ResourceNotFound),
        (408, "ModelTimeoutException", "too slow", Timeout),
        (424, "ModelErrorException", "the model failed", ServiceUnavailable),
        (429, "ThrottlingException", "Too many requests", RateLimited),
        (429, "ModelNotReadyException", "wait", ServiceUnavailable),
        (500, "InternalServerException", "oh", ServiceUnavailable),
        (503, "ServiceUnavailableException", "oh", ServiceUnavailable),
        (418, "", "", ExecutionFailed),
    ],
)
@pytest.mark.parametrize("place", ["header", "body", "namespace"])
def test_refusals_mean_what_they_are(
    status: int, kind: str, message: str, meaning: type[PromptExecutionError], place: str
) -> None:
    headers = {"retry-after": "7"}
    body = {"Message": message}
    if place == "header":
        headers["x-amzn-errortype"] = f"{kind}:http://internal.example/coral/"
    else:
        body["__type"] = kind if place == "body" else f"com.example.coral#{kind}"
    error = error_from_refusal(status, headers, json.dumps(body).encode(), now=0.0)
    assert type(error) is meaning
    assert message in error.message
    assert error.retry_after == 7
    assert error.answered is not None
    assert error.answered.status == status


@pytest.mark.parametrize(
    ("original", "meaning"),
    [
        (400, InvalidInput),
        (422, InvalidInput),
        *[(other, ServiceUnavailable) for other in (408, 429, 500, 200, True, "400", None, 10**30)],
    ],
)
def test_what_a_model_refused_is_not_the_services_failure(original: Any, meaning: type[PromptExecutionError]) -> None:
    """Or else one caller could make it rest for all."""
    body = json.dumps({"message": "no such role", "originalStatusCode": original}).encode()
    refused = error_from_refusal(424, {"x-amzn-errortype": "ModelErrorException"}, body, now=0.0)
    within = error_from_exception("modelStreamErrorException", body)
    assert type(refused) is type(within) is meaning
    assert "no such role" in refused.message
    assert refused.answered is not None
    assert refused.answered.status == 424


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"message": 5, "__type": {}}', b"[" * 5000, b"\xff"])
def test_a_refusal_without_words(body: bytes) -> None:
    assert type(error_from_refusal(503, {}, body, now=0.0)) is ServiceUnavailable
    assert isinstance(error_from_exception("", body), PromptExecutionError)
