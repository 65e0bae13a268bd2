"""Times of this wire."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.faces.onebackend.times import ZERO, seconds_of, stamp


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, ZERO),
        (0.0, ZERO),
        (1.0, "1970-01-01T00:00:01.000000000Z"),
        (1_900_000_000.5, "2030-03-17T17:46:40.500000000Z"),
        (1_900_000_000.9999999999, "2030-03-17T17:46:41.000000000Z"),
    ],
)
def test_stamps(seconds: float | None, text: str) -> None:
    assert stamp(seconds) == text


@given(st.floats(1.0, 4e9))
def test_a_stamp_names_one_float_exactly(seconds: float) -> None:
    """Keyset paging compares with the number behind it."""
    if seconds >= 1e8:  # UTC seconds since 1973; smaller floats have more digits than nine
        assert seconds_of(stamp(seconds)) == seconds


@given(st.floats(1e8, 4e9), st.floats(1e8, 4e9))
def test_stamps_sort_as_their_times_do(one: float, other: float) -> None:
    assert (stamp(one) < stamp(other)) == (one < other)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T01:00:01+01:00", 1.0),
        ("1970-01-01T00:00:00.25Z", 0.25),
        ("1970-01-01T00:00:00.000000001Z", 1e-9),
        (ZERO, -62135596800.0),
        ("0001-01-01T00:00:00+14:00", -62135596800.0),
    ],
)
def test_texts_are_read(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "now", "2026-01-01", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "2026-01-01 00:00:00Z", "9" * 100]
)
def test_what_is_no_time(text: str) -> None:
    assert seconds_of(text) is None
