"""Event ids, merging, tool-call pieces, and the trace: a replay is what live readers saw."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.chunks import (
    Position,
    done,
    event_id,
    gather,
    join_thoughts,
    join_tool_calls,
    make_trace,
    merge,
    number,
    parse_event_id,
    pieces,
    replay,
)
from promptd.core.content import Thinking, ToolCall
from promptd.core.model import Answer, Chunk, Usage

calls = st.builds(
    ToolCall,
    index=st.integers(0, 3),
    id=st.text(max_size=3),
    name=st.text(max_size=3),
    arguments=st.text(max_size=5),
    custom=st.booleans(),
)
progress = st.builds(
    Chunk,
    st.just("progress"),
    text=st.text(max_size=8),
    thinking=st.text(max_size=8),
    tool_calls=st.lists(calls, max_size=3).map(tuple),
    signature=st.sampled_from(["", "", "s1", "s2"]),
    sealed=st.sampled_from(["", "", "x1", "x2"]),
    refusal=st.sampled_from(["", "", "no"]),
)


def numbered(engine_chunks: list[Chunk], attempt: int = 1) -> list[Chunk]:
    """What execution publishes for the chunks of an engine."""
    return [
        number(piece, attempt, n)
        for n, piece in enumerate((piece for chunk in engine_chunks for piece in pieces(chunk)), 1)
    ]


def answer_of(chunks: list[Chunk]) -> Answer:
    return gather(chunks, Chunk("done"), Usage(1, 2), "m_1")


@given(st.integers(0, 10**14), st.integers(0, 10**6), st.integers(0, 10**9))
def test_event_ids_are_read_back(no: int, attempt: int, n: int) -> None:
    assert parse_event_id(event_id(no, Chunk("progress", attempt=attempt, n=n))) == (no, Position(attempt, n))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1.2",
        "1.2.3.4",
        "1.2.x",
        "1.-2.3",
        "+1.2.3",
        " 1.2.3",
        "1.2.3\n",
        "1..3",
        "١.٢.٣",
        "²·",
        "1.²",
        "9" * 20 + ".1.1",
        "1.2.3.",
        "1,2,3",
    ],
)
def test_other_texts_are_no_event_ids(text: str) -> None:
    assert parse_event_id(text) is None


@given(st.text(max_size=20))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    parsed = parse_event_id(text)
    assert parsed is None or all(part >= 0 for part in (parsed[0], *parsed[1]))


@given(st.lists(progress, max_size=8), st.integers(0, 30))
def test_replay_is_what_live_readers_saw(engine_chunks: list[Chunk], after: int) -> None:
    live = numbered(engine_chunks, attempt=3)
    answer = answer_of(live)
    end = done(answer, 3, len(live) + 1)
    replayed = replay(answer, make_trace(live), 3, after)
    assert replayed == [*live, end][after:]


@given(st.lists(progress, max_size=8))
def test_replay_ends_with_exactly_the_stored_answer(engine_chunks: list[Chunk]) -> None:
    answer = answer_of(numbered(engine_chunks))
    replayed = replay(answer, make_trace(numbered(engine_chunks)), 1)
    assert answer_of(replayed[:-1]) == answer
    assert replayed[-1].kind == "done"
    assert (replayed[-1].message_id, replayed[-1].usage) == (answer.message_id, answer.usage)


def test_a_text_without_a_trace_is_one_piece() -> None:
    answer = Answer("m", text="hello")
    assert [(chunk.kind, chunk.text, chunk.n) for chunk in replay(answer, b"", 1)] == [
        ("progress", "hello", 1),
        ("done", "", 2),
    ]
    assert [chunk.kind for chunk in replay(Answer("m"), b"", 1)] == ["done"]


def test_an_empty_piece_keeps_its_number() -> None:
    live = [Chunk("progress", attempt=1, n=1)]
    assert [chunk.kind for chunk in replay(Answer("m"), make_trace(live), 1, after=1)] == ["done"]


def test_one_text_piece_costs_no_trace() -> None:
    assert make_trace([Chunk("progress", text="hello", attempt=1, n=1), Chunk("done")]) == b""


@pytest.mark.parametrize("after", [0, 1, 2, 3, 4, 99])
def test_a_reader_behind_the_end_gets_nothing_twice(after: int) -> None:
    live = [Chunk("progress", text=text, attempt=1, n=n) for n, text in enumerate(("a", "b"), 1)]
    answer = Answer("m", text="ab")
    assert [chunk.n for chunk in replay(answer, make_trace(live), 1, after)] == [n for n in (1, 2, 3) if n > after]


@given(progress)
def test_pieces_hold_text_or_one_call_and_lose_nothing(chunk: Chunk) -> None:
    parts = pieces(chunk)
    assert parts
    assert "".join(part.text for part in parts) == chunk.text
    assert tuple(call for part in parts for call in part.tool_calls) == chunk.tool_calls
    assert all(len(part.tool_calls) + bool(part.text) <= 1 for part in parts)
    assert "".join(part.refusal for part in parts) == chunk.refusal
    assert join_thoughts(parts) == join_thoughts([chunk])


@given(st.lists(progress, max_size=10))
def test_merging_loses_no_proof_of_a_thought(chunks: list[Chunk]) -> None:
    """A reader that fell behind has the same answer as the others."""
    assert answer_of(merge(chunks)) == answer_of(chunks)


@given(st.lists(st.one_of(progress, st.just(Chunk("restart")), st.just(Chunk("done"))), max_size=10))
def test_merging_keeps_content_order_and_the_last_number(chunks: list[Chunk]) -> None:
    counted = [
        Chunk(chunk.kind, text=chunk.text, tool_calls=chunk.tool_calls, attempt=1, n=n)
        for n, chunk in enumerate(chunks, 1)
    ]
    merged = merge(counted)

    def applied(some: list[Chunk]) -> list[tuple[str, str, tuple[ToolCall, ...], int]]:
        """Between two other chunks: all text, all pieces, the last number."""
        runs: list[tuple[str, str, tuple[ToolCall, ...], int]] = []
        for chunk in some:
            if chunk.kind == "progress" and runs and runs[-1][0] == "progress":
                kind, text, pieces_, _ = runs.pop()
                runs.append((kind, text + chunk.text, pieces_ + chunk.tool_calls, chunk.n))
            else:
                runs.append((chunk.kind, chunk.text, chunk.tool_calls, chunk.n))
        return runs

    assert applied(merged) == applied(counted)
    kinds = [chunk.kind for chunk in merged]
    assert ("progress", "progress") not in pairwise(kinds)
    assert merge(merged) == merged


def test_whole_tool_calls_from_pieces() -> None:
    joined = join_tool_calls(
        [
            ToolCall(1, "b", "two", '{"x"'),
            ToolCall(0, "a", "one", ""),
            ToolCall(1, "", "", ":1}"),
            ToolCall(0, "", "", "{}"),
            ToolCall(1, "ignored", "ignored", ""),
        ]
    )
    assert joined == (ToolCall(0, "a", "one", "{}"), ToolCall(1, "b", "two", '{"x":1}'))
    assert join_tool_calls([]) == ()


def test_a_merged_chunk_tells_the_last_fraction() -> None:
    said = [Chunk("progress", text="a"), Chunk("progress", fraction=0.25), Chunk("progress", fraction=0.5)]
    assert merge([*said, Chunk("progress", text="b")]) == [Chunk("progress", text="ab", fraction=0.5)]


def test_a_thought_ends_with_its_signature_and_a_sealed_one_stands_alone() -> None:
    thoughts = [
        Chunk("progress", thinking="let me "),
        Chunk("progress", thinking="see"),
        Chunk("progress", signature="s1"),
        Chunk("progress", sealed="xyz"),
        Chunk("progress", thinking="on"),
    ]
    assert join_thoughts(thoughts) == (Thinking("let me see", "s1"), Thinking(sealed="xyz"), Thinking("on"))


def test_what_is_gathered_keeps_everything_that_was_said() -> None:
    said = [
        Chunk("progress", thinking="hm"),
        Chunk("progress", text="no", logprobs=[{"token": "no"}]),
        Chunk("progress", refusal="I won't"),
    ]
    answer = gather(said, Chunk("done", finish_reason="length", stop_sequence="x"), Usage(1), "m", ("f",))
    assert (answer.text, answer.thinking, answer.refusal) == ("no", (Thinking("hm"),), "I won't")
    assert (answer.logprobs, answer.finish_reason) == ([{"token": "no"}], "length")
    assert (answer.stop_sequence, answer.files) == ("x", ("f",))
