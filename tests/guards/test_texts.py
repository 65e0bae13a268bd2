"""What guards read of a conversation, and windows over long texts."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from promptd.core.content import Document, Image, Text, Thinking, ToolCall, Turn
from promptd.guards.detecting import plain
from promptd.guards.texts import texts_of, windows


def test_everything_that_is_said_is_read() -> None:
    turns = [
        Turn("system", "a"),
        Turn("user", parts=(Text("b"), Image(url="https://example.org/x"), Document(text="c"), Thinking("d"))),
        Turn("assistant", "e", tool_calls=(ToolCall(name="f", arguments="g"),)),
        Turn("tool", ""),
    ]
    assert texts_of(turns) == ["a", "b", "c", "d", "e", "g"]


@given(st.text("ab \n", max_size=300), st.integers(10, 40), st.integers(0, 4))
def test_windows_cover_the_text_and_overlap(text: str, size: int, overlap: int) -> None:
    pieces = list(windows(text, size, overlap))
    assert all(len(piece) <= size for piece in pieces)
    whole = pieces[0]
    for before, piece in pairwise(pieces):
        assert piece[:overlap] == before[len(before) - overlap :]
        whole += piece[overlap:]
    assert whole == text


@given(st.text(max_size=100))
def test_a_plain_text_is_ascii_and_knows_its_places(text: str) -> None:
    spelled = plain(text)
    assert spelled.text.isascii()
    places = range(len(text)) if spelled.places is None else spelled.places
    assert len(places) == len(spelled.text)
    for place, sign in zip(places, spelled.text, strict=True):
        assert not text[place].isascii() or text[place] == sign
