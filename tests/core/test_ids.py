"""Identifiers sort by time, keep their random bits, and tell when they were born."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from promptd.core.ids import make_id

times = st.floats(0, 253_402_300_799)
randoms = st.binary(min_size=10, max_size=10)


def born(identifier: str) -> float:
    """Seconds, from the first ten letters behind the prefix."""
    value = 0
    for letter in identifier.rpartition("_")[2][:10]:
        value = value << 5 | "0123456789abcdefghjkmnpqrstvwxyz".index(letter)
    return value / 1000


@given(times, randoms)
def test_form(now: float, random: bytes) -> None:
    assert re.fullmatch(r"pr_[0-9a-hjkmnp-tv-z]{26}", make_id("pr", now, random))


@given(times, times, randoms, randoms)
def test_sorts_by_millisecond(one: float, two: float, a: bytes, b: bytes) -> None:
    if int(one * 1000) < int(two * 1000):
        assert make_id("pr", one, a) < make_id("pr", two, b)


@given(times, randoms, randoms)
def test_all_80_bits_count(now: float, a: bytes, b: bytes) -> None:
    assert (make_id("pr", now, a) == make_id("pr", now, b)) == (a == b)


@given(times, randoms, st.sampled_from(["pr", "m", "chat_cmpl", ""]))
def test_birth_is_in_the_id(now: float, random: bytes, prefix: str) -> None:
    # cut to the millisecond, give or take what a float of that size can't tell apart
    assert -0.0001 < now - born(make_id(prefix, now, random)) < 0.0011


def test_known_value() -> None:
    assert make_id("pr", 0.0, bytes(10)) == "pr_" + "0" * 26
    assert make_id("pr", 0.0, b"\xff" * 10) == "pr_" + "0" * 10 + "z" * 16
    assert born("pr_" + "0" * 26) == 0.0
