"""Event streams: whatever was written is read, wherever packets are cut; what is broken is a typed error, in bounds."""

from __future__ import annotations

import struct
from typing import Any
from zlib import crc32

import botocore.eventstream
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptd.core.errors import InvalidOutput
from promptd.dialects.event_stream import MAX_HEADERS, Message, Parser, encode_message

TEXT = st.text(max_size=20).filter(lambda text: len(text.encode()) < 60)
NAMES = st.text(min_size=1, max_size=12).filter(lambda text: len(text.encode()) < 60)
MESSAGES = st.lists(st.tuples(st.dictionaries(NAMES, TEXT, max_size=4), st.binary(max_size=200)), max_size=5)


def message(headers: bytes = b"", payload: bytes = b"", *, length: int | None = None, head: int | None = None) -> bytes:
    """Any message with right checksums."""
    whole = 16 + len(headers) + len(payload) if length is None else length
    prelude = struct.pack(">II", whole, len(headers) if head is None else head)
    data = prelude + struct.pack(">I", crc32(prelude)) + headers + payload
    return data + struct.pack(">I", crc32(data))


def header(name: bytes, kind: int, value: bytes) -> bytes:
    return bytes([len(name)]) + name + bytes([kind]) + value


@given(given=MESSAGES, sizes=st.lists(st.integers(1, 30), min_size=1, max_size=4))
@settings(deadline=None, max_examples=100)
def test_whatever_was_written_is_read_wherever_it_is_cut(given: list[Any], sizes: list[int]) -> None:
    stream = b"".join([encode_message(headers, payload) for headers, payload in given])
    parser, theirs = Parser(), botocore.eventstream.EventStreamBuffer()
    found: list[Message] = []
    at = turn = 0
    while at < len(stream):
        packet = stream[at : at + sizes[turn % len(sizes)]]
        found += parser.feed(packet)
        theirs.add_data(packet)
        at, turn = at + len(packet), turn + 1
    assert found == given
    assert not parser.inside
    assert [(one.headers, one.payload) for one in theirs] == given  # the vendor's own client reads the same


def test_all_types_of_headers() -> None:
    values = [(0, b""), (1, b""), (2, b"\x01"), (3, b"\0\1"), (4, b"\0" * 4), (5, b"\0" * 8), (6, b"\0\2ab")]
    values += [(7, b"\0\2cd"), (8, b"\0" * 8), (9, b"\0" * 16)]
    head = b"".join([header(b"h%d" % kind, kind, value) for kind, value in values])
    assert Parser().feed(message(head, b"x")) == [Message({"h7": "cd"}, b"x")]
    theirs = botocore.eventstream.EventStreamBuffer()
    theirs.add_data(message(head, b"x"))
    assert next(theirs).headers["h7"] == "cd"


GOOD = encode_message({":message-type": "event"}, b"{}")


@given(place=st.integers(0, len(GOOD) - 1), bit=st.integers(0, 7))
@settings(deadline=None)
def test_one_wrong_bit_anywhere_is_an_error(place: int, bit: int) -> None:
    wrong = bytearray(GOOD)
    wrong[place] ^= 1 << bit
    with pytest.raises(InvalidOutput, match="checksum"):
        Parser().feed(bytes(wrong))


@given(garbage=st.binary(max_size=300))
@settings(deadline=None)
def test_garbage_is_a_typed_error_or_nothing_yet(garbage: bytes) -> None:
    parser = Parser()
    try:
        assert parser.feed(garbage) == []
        assert parser.inside == bool(garbage)
    except InvalidOutput:
        assert len(garbage) >= 12


@given(head=st.binary(max_size=60))
@settings(deadline=None)
def test_strange_headers_are_a_typed_error_or_read(head: bytes) -> None:
    try:
        (found,) = Parser().feed(message(head, b"p"))
    except InvalidOutput:
        return
    assert found.payload == b"p"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (message(length=2**32 - 1), "more than 1000 bytes"),
        (message(length=1001), "more than 1000 bytes"),
        (message(length=15), "impossible lengths"),
        (message(head=1), "impossible lengths"),
        (message(length=500, head=MAX_HEADERS + 1), "impossible lengths"),
        (message(header(b"a", 7, b"\0\5x")), "beyond their end"),
        (message(b"\x09ab"), "beyond their end"),
        (message(header(b"a", 10, b"")), "unknown type"),
        (message(header(b"a", 0, b"") * 2), "header twice"),
        (message(header(b"a", 7, b"\0\1\xff")), "no text"),
    ],
)
def test_what_is_wrong_is_said_before_more_is_waited_for(wrong: bytes, said: str) -> None:
    with pytest.raises(InvalidOutput, match=said):
        Parser(max_message=1000).feed(wrong)


def test_what_came_before_a_fault_is_given_first() -> None:
    parser = Parser()
    assert len(parser.feed(GOOD + GOOD + b"\0" * 12)) == 2
    with pytest.raises(InvalidOutput, match="checksum"):
        parser.feed(GOOD)
    with pytest.raises(InvalidOutput, match="checksum"):
        parser.feed(b"")


def test_no_more_is_held_than_one_message() -> None:
    parser = Parser(max_message=1000)
    for _ in range(100):
        parser.feed(message(b"", b"x" * 984))
        assert not parser.inside
