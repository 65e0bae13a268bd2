"""Bytes that pass through: what is changed in them, what is seen in them, and that nothing else happens to them."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from promptd.core.errors import (
    InputTooLarge,
    InvalidInput,
    InvalidOutput,
    NetworkError,
    PromptdError,
    PromptExecutionError,
    RateLimited,
    ServiceUnavailable,
)
from promptd.core.model import Native, Usage
from promptd.dialects.passing import Stream, prepare, rename
from promptd.dialects.passing.bodies import Sent
from promptd.dialects.passing.looks import look_for

CHAT, COMPLETIONS, RESPONSES, MESSAGES = "openai.chat", "openai.completions", "openai.responses", "anthropic.messages"

NAMES = st.sampled_from(["model", "stream_options", "messages", "mod\\el", '"model":"x"', "é"]) | st.text(max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(allow_nan=False, allow_infinity=False) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(NAMES.filter(lambda name: name not in ("model", "stream_options")), JSON, max_size=4)


def written(value: Any, *, escaped: bool = False, spaced: bool = False) -> bytes:
    return json.dumps(value, ensure_ascii=escaped, separators=(", ", ": ") if spaced else (",", ":")).encode()


# ------------------------------------------------------------------ requests


@given(OBJECTS, OBJECTS, st.text(), st.text(), st.booleans(), st.booleans())
def test_only_the_name_is_changed(
    before: dict[str, Any], after: dict[str, Any], told: str, model: str, escaped: bool, spaced: bool
) -> None:
    request = before | {"model": told} | after
    try:
        body = written(request, escaped=escaped, spaced=spaced)
        written(model)
    except UnicodeEncodeError:
        return
    sent = prepare(Native(CHAT, body), model)
    assert json.loads(sent.body) == request | {"model": model}
    assert sent.model == (None if told == model else told)
    if told == model:
        assert sent.body is body


@given(OBJECTS, st.none() | st.dictionaries(st.sampled_from(["include_usage", "x"]), st.booleans()), st.booleans())
def test_token_counts_are_asked_for_on_a_stream_whose_client_did_not(
    request: dict[str, Any], options: dict[str, bool] | None, spaced: bool
) -> None:
    request = {"model": "m"} | request | ({} if options is None else {"stream_options": options})
    try:
        body = written(request, spaced=spaced)
    except UnicodeEncodeError:
        return
    for dialect in (CHAT, COMPLETIONS):
        sent = prepare(Native(dialect, body, stream=True, usage=False), "m")
        assert sent.hidden
        assert json.loads(sent.body) == request | {"stream_options": (options or {}) | {"include_usage": True}}


@pytest.mark.parametrize(
    ("native", "asks"),
    [
        (Native(CHAT, b'{"model": "m"}', stream=False, usage=False), True),
        (Native(CHAT, b'{"model": "m"}', stream=True, usage=True), True),
        (Native(CHAT, b'{"model": "m"}', stream=True, usage=False), False),
        (Native(RESPONSES, b'{"model": "m"}', stream=True, usage=False), True),
        (Native(MESSAGES, b'{"model": "m"}', stream=True, usage=False), True),
    ],
)
def test_elsewhere_they_are_not(native: Native, asks: bool) -> None:
    sent = prepare(native, "m", ask_for_usage=asks)
    assert (sent.body, sent.hidden) == (native.body, False)


def test_a_second_name_is_not_smuggled_past() -> None:
    for second in (b'"model"', b'"mod\\u0065l"'):
        sent = prepare(Native(CHAT, b'{"model": "cheap", ' + second + b': "dear", "x": {"model": "cheap"}}'), "mine")
        assert json.loads(sent.body) == {"model": "mine", "x": {"model": "cheap"}}
        assert sent.body.count(b'"mine"') == 1
        assert b"dear" not in sent.body


@pytest.mark.parametrize("second", [b'"model"', b'"mod\\u0065l"', b'"mod\\u0065\\u006C"'])
@pytest.mark.parametrize("told", ["mine", None])
def test_a_name_that_stays_goes_on_once(second: bytes, told: str | None) -> None:
    """We mean the last one; the service may mean the first."""
    body = b'{"model": "dear", ' + second + b': "mine"}'
    assert prepare(Native(CHAT, body, model=told), "mine").body == b'{"model":"mine"}'


def test_a_request_without_a_name_gets_one() -> None:
    assert prepare(Native(CHAT, b'{"x": "model"}'), "m").body == b'{"x":"model","model":"m"}'
    assert prepare(Native(CHAT, b'{"model": null}'), "m") == Sent(b'{"model":"m"}')


@pytest.mark.parametrize("body", [b"", b"[]", b"no", b'{"model": 5}', b'{"model": "m", "stream_options": 5}'])
def test_what_is_no_request(body: bytes) -> None:
    with pytest.raises(InvalidInput):
        prepare(Native(CHAT, body, stream=True, usage=False), "m")


# ------------------------------------------------------------------ streams


def event(data: Any, name: str = "", *, spaced: bool = False) -> bytes:
    head = f"event: {name}\n".encode() if name else b""
    return head + b"data: " + (data if isinstance(data, bytes) else written(data, spaced=spaced)) + b"\n\n"


def piece(content: str = "", finish: str | None = None, **members: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish}
    return {"id": "c", "model": "real-2026", "choices": [choice]} | members


COUNTS = {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
DONE = event(b"[DONE]")
TRICKY = 'say "usage": {"a": 1} and "finish_reason":"stop", data: [DONE] "error" "model":"real-2026"\n\ndata: x'


def chat(*, usage: Any = None, spaced: bool = False) -> bytes:
    asked = {"usage": None} if usage else {}
    parts = [
        event(piece("grüße", **asked), spaced=spaced),
        b": ping\n\n",
        event(piece(TRICKY, **asked), spaced=spaced),
        event(piece("", "length", **asked), spaced=spaced),
    ]
    if usage:
        parts.append(event({"id": "c", "model": "real-2026", "choices": [], "usage": usage}, spaced=spaced))
    return b"".join([*parts, DONE])


def messages() -> bytes:
    start = {"id": "m", "model": "real-2026", "usage": {"input_tokens": 5, "cache_read_input_tokens": 3}}
    return b"".join(
        [
            event({"type": "message_start", "message": start}, "message_start"),
            event({"type": "ping"}, "ping"),
            event({"type": "content_block_delta", "index": 0, "delta": {"text": TRICKY + "message_stop"}}),
            event({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 7}}),
            event({"type": "message_stop"}, "message_stop"),
        ]
    )


def responses(kind: str = "response.completed", **members: Any) -> bytes:
    counts = {"input_tokens": 5, "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 6}}
    end = {"model": "real-2026", "status": "completed", "output": [{"type": "message"}], "usage": counts} | members
    return b"".join(
        [
            event({"type": "response.created", "response": {"model": "real-2026", "usage": None, "error": None}}),
            event({"type": "response.output_text.delta", "delta": TRICKY + "response.completed"}),
            event({"type": kind, "response": end}),
        ]
    )


def cut(wire: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(min(place, len(wire)) for place in cuts), len(wire)]
    return [wire[start:stop] for start, stop in pairwise(edges)]


def passed(stream: Stream, packets: Sequence[bytes]) -> bytes:
    out = b"".join(map(stream.feed, packets)) + stream.finish()
    assert stream.error is None
    assert stream.ended
    return out


CUTS = st.lists(st.integers(0, 900), max_size=10)
SEEN = [
    (CHAT, chat(), None, "length"),
    (CHAT, chat(spaced=True), None, "length"),
    (CHAT, chat(usage=COUNTS), Usage(5, 2, 4), "length"),
    (COMPLETIONS, chat(usage=COUNTS, spaced=True), Usage(5, 2, 4), "length"),
    (MESSAGES, messages(), Usage(8, 7, 3), "tool_calls"),
    (RESPONSES, responses(), Usage(5, 7, 0, 0, 6), "stop"),
    (RESPONSES, responses(output=[{"type": "function_call"}]), Usage(5, 7, 0, 0, 6), "tool_calls"),
    (
        RESPONSES,
        responses("response.incomplete", incomplete_details={"reason": "max_output_tokens"}),
        Usage(5, 7, 0, 0, 6),
        "length",
    ),
]


@given(st.sampled_from(SEEN), CUTS, st.booleans())
def test_any_split_gives_the_same_bytes_and_the_same_counts(
    seen: tuple[str, bytes, Usage | None, str], cuts: list[int], crlf: bool
) -> None:
    dialect, wire, usage, reason = seen
    wire = wire.replace(b"\n", b"\r\n") if crlf else wire
    stream = Stream(dialect)
    assert passed(stream, cut(wire, cuts)) == wire
    assert (stream.usage, stream.finish_reason) == (usage, reason)


@given(CUTS, st.booleans(), st.booleans())
def test_counts_that_nobody_asked_for_never_leak(cuts: list[int], spaced: bool, crlf: bool) -> None:
    wire, bare = chat(usage=COUNTS, spaced=spaced), chat(spaced=spaced)
    if crlf:
        wire, bare = wire.replace(b"\n", b"\r\n"), bare.replace(b"\n", b"\r\n")
    stream = Stream(CHAT, hidden=True)
    out = passed(stream, cut(wire, cuts))
    assert [json.loads(line[6:]) for line in out.splitlines() if line.startswith(b"data: {")] == [
        json.loads(line[6:]) for line in bare.splitlines() if line.startswith(b"data: {")
    ]
    assert out.rstrip().endswith(b"data: [DONE]")
    assert (stream.usage, stream.finish_reason) == (Usage(5, 2, 4), "length")


def test_counts_beside_something_else_are_taken_out_alone() -> None:
    wire = event(piece("a", "stop", usage=COUNTS, x_groq={"id": 1})) + DONE
    stream = Stream(CHAT, hidden=True)
    out = passed(stream, [wire])
    assert json.loads(out.splitlines()[0][6:]) == piece("a", "stop", x_groq={"id": 1})
    assert stream.usage == Usage(5, 2, 4)


@given(
    st.sampled_from([CHAT, MESSAGES, RESPONSES]),
    CUTS,
    st.text(max_size=5).filter(lambda text: text.isprintable()),
    st.booleans(),
)
@example(CHAT, [3, 40], 'my "own"', True)
def test_the_clients_name_for_the_model_comes_back(dialect: str, cuts: list[int], model: str, spaced: bool) -> None:
    made = {CHAT: chat(usage=COUNTS, spaced=spaced), MESSAGES: messages(), RESPONSES: responses()}[dialect]
    out = passed(Stream(dialect, model=model), cut(made, cuts))
    told = [json.loads(line[6:]) for line in out.splitlines() if line.startswith(b"data: {")]
    sent = [json.loads(line[6:]) for line in made.splitlines() if line.startswith(b"data: {")]
    for one, other in zip(told, sent, strict=True):
        for holder, original in (
            (one, other),
            (one.get("message", {}), other.get("message", {})),
            (one.get("response", {}), other.get("response", {})),
        ):
            if "model" in original:
                assert holder["model"] == model
                holder["model"] = original["model"]
        assert one == other


@pytest.mark.parametrize(
    ("dialect", "wire"), [(CHAT, chat(usage=COUNTS)), (MESSAGES, messages()), (RESPONSES, responses())]
)
def test_a_stream_cut_anywhere_is_no_answer(dialect: str, wire: bytes) -> None:
    last = wire.rstrip().rfind(b"\n\n") + 2
    for end in range(0, last + 4, 7):
        stream = Stream(dialect)
        stream.feed(wire[:end])
        with pytest.raises(NetworkError):
            stream.finish()


@pytest.mark.parametrize(("dialect", "wire"), [(CHAT, chat()), (MESSAGES, messages()), (RESPONSES, responses())])
def test_the_empty_line_behind_the_last_event_may_be_missing(dialect: str, wire: bytes) -> None:
    stream = Stream(dialect)
    assert passed(stream, [wire.rstrip()]) == wire


def test_what_follows_the_end_is_not_told() -> None:
    stream = Stream(CHAT)
    assert passed(stream, [chat() + event(piece("never")), event(piece("never"))]) == chat()


@pytest.mark.parametrize(
    ("dialect", "wire", "error"),
    [
        (CHAT, event({"error": {"message": "x", "type": "server_error"}}), ServiceUnavailable),
        (CHAT, event({"error": {"message": "x", "code": 429}}), RateLimited),
        (
            MESSAGES,
            event({"type": "error", "error": {"type": "overloaded_error", "message": "x"}}, "error"),
            ServiceUnavailable,
        ),
        (RESPONSES, event({"type": "error", "code": "rate_limit_exceeded", "message": "x"}), RateLimited),
        (
            RESPONSES,
            event({"type": "response.failed", "response": {"error": {"code": "server_error", "message": "x"}}}),
            ServiceUnavailable,
        ),
    ],
)
def test_an_error_inside_ends_the_stream_and_is_not_told_twice(
    dialect: str, wire: bytes, error: type[PromptExecutionError]
) -> None:
    before = event({"type": "other", "error": None, "choices": []})
    stream = Stream(dialect)
    assert stream.feed(before + wire + DONE) == before
    assert isinstance(stream.error, error)
    assert stream.feed(DONE) == b""


def test_secrets_are_blotted_out_of_errors() -> None:
    stream = Stream(CHAT, secrets=["sk-secret"])
    stream.feed(event({"error": {"message": "bad key sk-secret"}}))
    assert stream.error is not None
    assert "sk-secret" not in stream.error.message


def test_an_event_without_end_is_refused() -> None:
    stream = Stream(CHAT)
    packets = [b"data: " + b"x" * 65536] * 300
    with pytest.raises(InvalidOutput, match="event of more than"):
        deque(map(stream.feed, packets), maxlen=0)


@given(st.lists(st.binary(max_size=40) | st.sampled_from([b"\n\n", b"\r\n\r\n", b'data: {"usage"', b"data: [DONE]"])))
def test_no_bytes_break_a_stream(packets: list[bytes]) -> None:
    for dialect in (CHAT, MESSAGES, RESPONSES):
        stream = Stream(dialect, model="m", hidden=True)
        try:
            for packet in packets:
                stream.feed(packet)
            stream.finish()
        except PromptdError:
            continue
        assert stream.ended or stream.error is not None


# ------------------------------------------------------------------ whole answers


@pytest.mark.parametrize(
    ("dialect", "body", "usage", "reason"),
    [
        (
            CHAT,
            {"choices": [{"message": {"content": TRICKY}, "finish_reason": "length"}], "usage": COUNTS},
            Usage(5, 2, 4),
            "length",
        ),
        (CHAT, {"choices": [{"message": {}}]}, None, None),
        (
            "openai.embeddings",
            {"data": [{"embedding": "AAAA"}], "usage": {"prompt_tokens": 3, "total_tokens": 3}},
            Usage(3),
            None,
        ),
        (
            MESSAGES,
            {"content": [], "stop_reason": "max_tokens", "usage": {"input_tokens": 5, "output_tokens": 2}},
            Usage(5, 2),
            "length",
        ),
        (
            RESPONSES,
            {"status": "completed", "output": [], "error": None, "usage": {"input_tokens": 5, "output_tokens": 2}},
            Usage(5, 2),
            "stop",
        ),
    ],
)
def test_a_whole_answer_is_looked_into(dialect: str, body: Any, usage: Usage | None, reason: str | None) -> None:
    seen = look_for(dialect).whole(written(body), ())
    assert (seen.usage, seen.finish_reason) == (usage, reason)


@pytest.mark.parametrize("dialect", [CHAT, MESSAGES, RESPONSES])
def test_a_whole_answer_may_be_an_error_or_none_at_all(dialect: str) -> None:
    error = {"status": "failed", "error": {"message": "x", "code": "context_length_exceeded"}}
    with pytest.raises(InputTooLarge):
        look_for(dialect).whole(written(error), ())
    for body in (b"", b"[]", b"<html>", b"[" * 100_000, b'{"error": 5, "usage": 5'):
        with pytest.raises(InvalidOutput):
            look_for(dialect).whole(body, ())


@given(OBJECTS, st.text(max_size=5), st.booleans())
def test_a_whole_answer_gets_the_clients_name_and_no_other_change(
    body: dict[str, Any], model: str, escaped: bool
) -> None:
    try:
        wire, _ = written(body | {"model": "real"}, escaped=escaped), written(model)
    except UnicodeEncodeError:
        return
    assert json.loads(rename(wire, model)) == body | {"model": model}
    bare = json.dumps(body).encode()
    assert rename(bare, model) == bare
