"""Streams whose events differ in nothing but what they say: most are not searched, and nothing is missed for that."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.model import Usage
from promptd.dialects.passing import Stream
from promptd.dialects.passing.looks import look_for

CHAT, RESPONSES, MESSAGES = "openai.chat", "openai.responses", "anthropic.messages"

SAID = st.text(max_size=6) | st.sampled_from(
    ["error", "usage", "finish_reason", "[DONE]", '"', "\\", "null", "message_stop"]
)


def delta(dialect: str, text: str, spaced: bool, reason: str | None = None) -> bytes:
    events: dict[str, Any] = {
        CHAT: {"id": "x", "choices": [{"delta": {"content": text}, "finish_reason": reason}], "usage": None},
        MESSAGES: {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text}},
        RESPONSES: {"type": "response.output_text.delta", "sequence_number": len(text), "delta": text},
    }
    separators = (", ", ": ") if spaced else (",", ":")
    return b"data: " + json.dumps(events[dialect], ensure_ascii=False, separators=separators).encode() + b"\n\n"


@given(st.lists(SAID, min_size=2, max_size=12), st.booleans(), st.sampled_from([CHAT, MESSAGES, RESPONSES]))
def test_whatever_is_said_goes_on_as_it_came(texts: list[str], spaced: bool, dialect: str) -> None:
    stream = Stream(dialect)
    for text in texts:
        event = delta(dialect, text, spaced)
        assert stream.feed(event) == event
    assert (stream.error, stream.ended, stream.finish_reason) == (None, False, None)


@pytest.mark.parametrize("spaced", [False, True])
def test_an_end_that_looks_like_what_came_before_is_seen(spaced: bool) -> None:
    stream = Stream(CHAT, hidden=True)
    for text in ("a", "b", "c"):
        assert b"usage" not in stream.feed(delta(CHAT, text, spaced))
    stream.feed(delta(CHAT, "d", spaced, reason="length"))
    assert stream.finish_reason == "length"
    stream.feed(b'data: {"id":"x","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}\n\n')
    assert stream.usage == Usage(3, 4)
    assert (
        stream.feed(b'data: {"id":"x","choices":[{"delta":{"content":"e"}}],"error":{"message":"broken"}}\n\n') == b""
    )
    assert stream.error is not None


def test_all_events_of_a_packet_count_however_alike_packets_are() -> None:
    stream, ahead = Stream(MESSAGES), b'event: ping\ndata: {"type":"ping"}\n\n'
    for text in "abcdef":
        stream.feed(ahead + delta(MESSAGES, text, spaced=False))
    assert stream.events == 12


def test_most_events_of_a_stream_are_not_searched(monkeypatch: pytest.MonkeyPatch) -> None:
    searched = []
    look = type(look_for(CHAT))
    hint = look.hint

    def counted(self: Any, block: bytes) -> bool:
        searched.append(block)
        return hint(self, block)

    monkeypatch.setattr(look, "hint", counted)
    stream = Stream(CHAT)
    for number in range(100):
        stream.feed(delta(CHAT, f"word {number}", False))
    assert len(searched) == 2


@given(
    st.lists(SAID | st.sampled_from(["ü", "🌍", "\n\n", ',"usage":null', '"model":"served"']), min_size=1, max_size=12),
    st.booleans(),
    st.booleans(),
    st.sampled_from([b"\n\n", b"\r\n\r\n", b"\n\r\n"]),
    st.data(),
)
def test_a_stream_is_the_same_however_it_is_cut(
    texts: list[str], renamed: bool, hidden: bool, ends: bytes, data: st.DataObject
) -> None:
    def event(text: str, model: str, *, counted: bool) -> bytes:
        told: dict[str, Any] = {"id": "x", "model": model} | ({"usage": None} if counted else {})
        told |= {"choices": [{"delta": {"content": text}, "finish_reason": None}]}
        return b"data: " + json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode() + ends

    body = b"".join([event(text, "served", counted=True) for text in texts])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))
    cuts = [] if data.draw(st.booleans(), "event by event") else cuts
    packets = (
        [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
        if cuts
        else [event(text, "served", counted=True) for text in texts]
    )
    stream = Stream(CHAT, model="asked" if renamed else None, hidden=hidden)
    told = b"".join([stream.feed(packet) for packet in packets])
    assert told == b"".join([event(text, "asked" if renamed else "served", counted=not hidden) for text in texts])
    assert (stream.error, stream.over) == (None, False)
    assert stream.events == told.count(b"data:") == len(texts)
