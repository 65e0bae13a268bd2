"""No match is longer than was said."""

from __future__ import annotations

import pytest
import re2
from hypothesis import assume, given
from hypothesis import strategies as st

from promptd.guards.widths import longest_match


@pytest.mark.parametrize(
    ("pattern", "longest"),
    [
        ("", 0),
        ("abc", 3),
        (r"\b\d{4} \d{4} \d{4} \d{4}\b", 19),
        (r"(?i)ignore (all )?previous instructions", 32),
        ("a|bcd|ef", 3),
        ("(a|bcd){2,5}x", 16),
        ("(?:ab?){3}", 6),
        ("(?P<name>[a-z]{3})-[^x]", 5),
        (r"[]a]{2}[[:alpha:]\]]", 3),
        (r"\p{Greek}{2}\x{1F600}\x41", 4),
        ("a{2}{3}", 6),
        ("a{,3}", 5),
        ("a{0}b", 2),
        ("(?i:ab)", 2),
        ("a*", None),
        ("a+", None),
        ("a{2,}", None),
        ("^a", None),
        ("a$", None),
        (r"\Aa", None),
        (r"a\z", None),
        (r"\Qa*\E", None),
        ("a)", None),
        ("(a", None),
        ("[a", None),
        ("a\\", None),
    ],
)
def test_bounds(pattern: str, longest: int | None) -> None:
    assert longest_match(pattern) == longest


atoms = st.sampled_from(["a", "b", ".", r"\w", "[ab]", "[^a]", r"\.", "(?:ab)", "(a|bb)", r"\b", "é"])
pieces = st.tuples(atoms, st.sampled_from(["", "", "?", "{2}", "{1,3}", "{0,2}?"])).map("".join)
branches = st.lists(pieces, min_size=1, max_size=4).map("".join)
patterns = st.lists(branches, min_size=1, max_size=3).map("|".join)
grouped = st.tuples(patterns, st.sampled_from(["", "{2}", "?"])).map(lambda pair: f"({pair[0]}){pair[1]}")


@given(st.one_of(patterns, grouped), st.text("abé. ", max_size=40))
def test_no_match_is_longer(pattern: str, text: str) -> None:
    options = re2.Options()
    options.log_errors = False
    options.longest_match = True
    try:
        compiled = re2.compile(pattern, options)
    except re2.error:
        assume(False)
    longest = longest_match(pattern)
    assert longest is not None
    for match in compiled.finditer(text):
        assert len(match[0]) <= longest
