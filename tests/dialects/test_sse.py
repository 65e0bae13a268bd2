"""The SSE parser: any cut of the bytes gives the same events."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.errors import InvalidOutput
from promptd.dialects.sse import Event, Parser

STREAM = (
    "\ufeffdata: one\n\n"
    ": a comment\n\n"
    "data:two\r\ndata: zwei\r\n\r\n"
    "event: named\rid: 7\rdata: drei 🌍\r\r"
    "data\n\n"
    "retry: 5\nunknown: x\n\n"
    "data:  kept space\n\n"
    "id: a\0b\ndata: old id\n\n"
).encode()

EVENTS = [
    Event(b"one"),
    Event(b"two\nzwei"),
    Event("drei 🌍".encode(), "named", "7"),
    Event(b"", "message", "7"),
    Event(b" kept space", "message", "7"),
    Event(b"old id", "message", "7"),
]


def parse(*packets: bytes) -> list[Event]:
    parser = Parser()
    return [event for packet in packets for event in parser.feed(packet)]


def test_a_whole_stream() -> None:
    assert parse(STREAM) == EVENTS


def test_byte_by_byte() -> None:
    assert parse(*[bytes([byte]) for byte in STREAM]) == EVENTS


@given(cuts=st.lists(st.integers(0, len(STREAM)), max_size=12))
def test_any_cut_gives_the_same_events(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(STREAM)]
    assert parse(*[STREAM[start:end] for start, end in pairwise(edges)]) == EVENTS


def test_a_cr_and_an_lf_in_two_packets_are_one_line_end() -> None:
    assert parse(b"data: a\r", b"\ndata: b\r", b"\n\r", b"\n") == [Event(b"a\nb")]


def test_an_open_event_comes_out_at_the_end_only() -> None:
    parser = Parser()
    assert parser.feed(b"data: [DONE]") == []
    assert parser.finish() == [Event(b"[DONE]")]
    assert parser.finish() == []


@pytest.mark.parametrize("packet", [b"x" * 1001, b"data: " + b"x" * 1001, b"data: " + b"x" * 600 + b"\n"])
def test_an_event_has_a_bound(packet: bytes) -> None:
    parser = Parser(max_event=1000)

    def feed_twice() -> None:
        parser.feed(packet)
        parser.feed(packet)

    with pytest.raises(InvalidOutput, match="more than 1000 bytes"):
        feed_twice()


def test_many_small_events_have_none() -> None:
    parser = Parser(max_event=1000)
    assert len([event for _ in range(100) for event in parser.feed(b"data: " + b"x" * 500 + b"\n\n")]) == 100
