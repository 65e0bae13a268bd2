"""Whatever way an answer is cut: nothing of a finding leaves, all else leaves in order, and soon."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.content import ToolCall
from promptd.core.holdback import HoldBack, Look, said
from promptd.core.model import Chunk

FORBIDDEN = re.compile(r"(?<!\w)(?:bad|evil one|no good at all)(?!\w)")
REACH = len("no good at all")

#: near misses among them: parts of what is forbidden, and longer words that begin like it
words = st.sampled_from(
    ["bad", "badger", "evil", "one", "evil one", "ones", "no", "good", "at", "all", "oak.", "a", "é"]
)
gaps = st.sampled_from([" ", " ", "  ", "\n", ", ", "-"])
texts = st.lists(st.tuples(words, gaps), max_size=60).map(lambda pairs: "".join(a + b for a, b in pairs))


def cut(text: str, sizes: Sequence[int]) -> list[str]:
    pieces, at, number = [], 0, 0
    while at < len(text):
        size = sizes[number % len(sizes)]
        pieces.append(text[at : at + size])
        at, number = at + size, number + 1
    return pieces


def redact(text: str) -> str:
    return FORBIDDEN.sub(lambda match: "#", text)


class Reader:
    """Drives a hold-back as the service does."""

    def __init__(self, reach: int | None = REACH, *, redacts: bool = False) -> None:
        self.hold, self.redacts = HoldBack(reach), redacts
        self.read: list[Chunk] = []
        self.refused = False

    def hear(self, piece: Chunk) -> None:
        if self.refused:
            return
        if self.hold.closes(piece):
            self.answer(self.hold.look(complete=True))
        self.hold.add(piece)
        if self.hold.due:
            self.answer(self.hold.look())

    def answer(self, look: Look | None) -> None:
        if look is None or self.refused:
            return
        if not self.redacts and FORBIDDEN.search(look.whole):
            self.refused = True
            return
        self.read += self.hold.release(look, redact if self.redacts else None)

    def end(self) -> None:
        if self.refused:
            return
        context, rest = self.hold.context, self.hold.rest()
        text = "".join(map(said, rest))
        if not self.redacts:
            self.refused = FORBIDDEN.search(context + text) is not None
            self.read += [] if self.refused else rest
        elif text:
            fixed = redact(context + text)
            self.read.append(Chunk("progress", text=fixed.removeprefix(context) if context else fixed))

    @property
    def text(self) -> str:
        return "".join(map(said, self.read))


@given(texts, st.lists(st.integers(1, 30), min_size=1, max_size=8))
def test_a_finding_never_begins_to_leave(text: str, sizes: list[int]) -> None:
    reader = Reader()
    for piece in cut(text, sizes):
        reader.hear(Chunk("progress", text=piece))
    reader.end()
    found = FORBIDDEN.search(text)
    assert reader.refused == (found is not None)
    if found is None:
        assert reader.text == text
    else:
        assert text.startswith(reader.text)
        assert len(reader.text) <= found.start()


@given(texts, st.lists(st.integers(1, 30), min_size=1, max_size=8))
def test_what_is_replaced_is_the_same_in_pieces(text: str, sizes: list[int]) -> None:
    reader = Reader(redacts=True)
    for piece in cut(text, sizes):
        reader.hear(Chunk("progress", text=piece))
    reader.end()
    assert reader.text == redact(text)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8))
def test_the_delay_is_bounded(sizes: list[int]) -> None:
    reader = Reader()
    heard = longest = 0
    for piece in cut("Oaks grow slowly and get old. " * 100, sizes):
        reader.hear(Chunk("progress", text=piece))
        heard += len(piece)
        longest = max(longest, heard - len(reader.text))
    assert not reader.refused
    assert longest <= 240 + 2 * REACH + 60


def test_pieces_leave_as_they_came() -> None:
    reader = Reader()
    pieces = [Chunk("progress", text=f"word{n} ", logprobs=[{"token": n}]) for n in range(100)]
    for piece in pieces:
        reader.hear(piece)
    assert 50 < len(reader.read) < 100
    assert reader.read == pieces[: len(reader.read)]


@pytest.mark.parametrize("between", ["\u200b", "\u2060", "\u3164", " ", "\u0301"])
def test_what_nobody_sees_does_not_stretch_the_reach(between: str) -> None:
    """A guard looks through it, so that a finding may be as long as it likes."""
    hold = HoldBack(6)
    for _ in range(30):
        hold.add(Chunk("progress", text="oaks grow. "))
    look = hold.look()
    assert look is not None
    hold.release(look)
    for _ in range(50):
        hold.add(Chunk("progress", text=between * 20))
    hold.add(Chunk("progress", text="x "))
    look = hold.look()
    assert look is None or len(look.text) - look.limit >= 1000


def test_an_endless_word_is_looked_at_before_its_end() -> None:
    reader = Reader()
    for _ in range(1000):
        reader.hear(Chunk("progress", text="wordwordwo"))
    assert len(reader.text) > 8000
    reader.end()
    assert reader.text == "wordwordwo" * 1000


@pytest.mark.parametrize("text", [" ", "\u200b", "\n", "x", ". "])
def test_looks_stay_few_whatever_is_said(text: str) -> None:
    """A model that repeats itself for ever must not make each look longer than the one before."""
    hold, held, heard, looked = HoldBack(REACH), 0, 0, 0
    for _ in range(20_000):
        hold.add(Chunk("progress", text=text * 20))
        held, heard = held + 20 * len(text), heard + 20 * len(text)
        if hold.due:
            looked += held
            look = hold.look()
            held -= sum(len(said(piece)) for piece in hold.release(look)) if look is not None else 0
    assert looked < heard * 10


def test_half_a_word_is_no_word() -> None:
    reader = Reader()
    for piece in [*cut("x" * 500, [50]), "bad", "x" * 300, " y" * 200]:
        reader.hear(Chunk("progress", text=piece))
    reader.end()
    assert not reader.refused


def test_a_thought_ends_where_text_begins() -> None:
    reader = Reader()
    reader.hear(Chunk("progress", thinking="hm"))
    reader.hear(Chunk("progress", signature="proof"))
    reader.hear(Chunk("progress", text="oaks"))
    assert [piece.thinking or piece.signature for piece in reader.read] == ["hm", "proof"]


def test_behind_a_call_everything_waits() -> None:
    reader = Reader()
    for _ in range(100):
        reader.hear(Chunk("progress", text="oaks grow. "))
    before = len(reader.read)
    assert before
    reader.hear(Chunk("progress", tool_calls=(ToolCall(name="plant"),)))
    for _ in range(100):
        reader.hear(Chunk("progress", text="oaks grow. "))
    assert len(reader.read) == before
    assert len(reader.hold.rest()) == 201 - before


def test_without_a_reach_everything_waits() -> None:
    reader = Reader(None)
    for _ in range(100):
        reader.hear(Chunk("progress", text="oaks grow. "))
    assert reader.read == []
    reader.end()
    assert reader.text == "oaks grow. " * 100


def test_a_thought_that_is_changed_has_no_proof() -> None:
    reader = Reader(redacts=True)
    for piece in ("a bad ", "thought ", "of oaks "):
        reader.hear(Chunk("progress", thinking=piece))
    reader.hear(Chunk("progress", signature="proof"))
    reader.hear(Chunk("progress", text="oaks"))
    assert "".join(piece.thinking for piece in reader.read) == "a # thought of oaks "
    assert not any(piece.signature for piece in reader.read)
