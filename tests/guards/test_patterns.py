"""Patterns of RE2."""

from __future__ import annotations

import pytest

from promptd.guards.patterns import PatternSet, compiled


def test_many_in_one_pass() -> None:
    patterns = PatternSet(["b+", r"\d{3}", "^a"])
    assert list(patterns.search("a bb 123") or ()) == [0, 1, 2]
    assert list(patterns.search(b"b") or ()) == [0]
    assert patterns.search("zzz") == ()
    assert PatternSet([]).search("") == ()
    assert [patterns.finds_nothing(text) for text in (b"zzz", b"", b"a bb 123", b"b")] == [True, True, False, False]


@pytest.mark.parametrize("pattern", ["(", "(?=a)", b"["])
def test_what_is_wrong_is_told(pattern: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"[a-z]{5}"):
        compiled(pattern)


def test_together_too_large() -> None:
    with pytest.raises(ValueError, match="too large"):
        PatternSet([rf"\pL{{{count}}}x{{500}}" for count in range(900, 999)])
