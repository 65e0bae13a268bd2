"""Streams of the Responses API that can be resumed: what stands behind any number, restarts included."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.chunks import done, gather, make_trace, replay
from promptd.core.model import Chunk
from promptd.dialects.responses import ATTEMPT
from tests.dialects.responses.shapes import DONE, USAGE, call, events, kinds, progress, stream, writer


def numbered(attempt: int, *chunks: Chunk) -> list[Chunk]:
    return [msgspec.structs.replace(chunk, attempt=attempt, n=n) for n, chunk in enumerate(chunks, 1)]


SAID = numbered(
    1,
    progress(thinking="hm"),
    progress(text="a"),
    progress(fraction=0.5),
    progress(text="b"),
    progress(sealed="x"),
    call(0, "c", "f", "{}"),
    progress(text="c"),
    DONE,
)


def test_numbers_of_a_resumable_stream() -> None:
    found = stream(*SAID, resumable=True)
    numbers = [event["sequence_number"] for event in found]
    assert kinds(found)[:3] == ["created", "queued", "in_progress"]
    assert numbers[:3] == [ATTEMPT + 1, ATTEMPT + 2, ATTEMPT + 3]
    assert numbers == sorted(set(numbers))
    assert [event["response"]["status"] for event in found[:3]] == ["queued", "queued", "in_progress"]


@pytest.mark.parametrize("after", range(-1, 45))
def test_whoever_comes_back_gets_exactly_what_is_behind(after: int) -> None:
    everything = stream(*SAID, resumable=True)
    number = ATTEMPT + after
    assert stream(*SAID, resumable=True, after=number) == [
        event for event in everything if event["sequence_number"] > number
    ]


def test_what_a_lost_attempt_said_is_void() -> None:
    one = writer(resumable=True)
    lost = numbered(1, progress(text="vo"), progress(text="id"))
    frames = one.begin() + b"".join(map(one.write, lost)) + one.again(2, spoke=True)
    frames += b"".join(map(one.write, numbered(2, progress(text="good"), DONE)))
    found = events(frames)
    again = found[7:]
    assert kinds(found)[5:9] == ["output_text.delta", "output_text.delta", "output_item.done", "output_item.added"]
    void = again[0]
    assert (void["sequence_number"], void["output_index"], void["item"]["status"]) == (2 * ATTEMPT + 1, 0, "incomplete")
    assert void["item"]["id"] == "msg_01_1_0"
    assert (again[1]["sequence_number"], again[1]["output_index"]) == (2 * ATTEMPT + 2, 1)
    assert again[1]["item"]["id"] == "msg_01_2_0"
    assert [item["content"][0]["text"] for item in again[-1]["response"]["output"]] == ["good"]

    # a reader that was never there for the first attempt, and one that comes back from it
    def late(after: int) -> list[dict[str, Any]]:
        other = writer(resumable=True, after=after)
        frames = other.begin() + other.again(2, spoke=True)
        return events(frames + b"".join(map(other.write, numbered(2, progress(text="good"), DONE))))

    assert kinds(late(-1))[:5] == ["created", "queued", "in_progress", "output_item.added", "output_item.done"]
    back = late(ATTEMPT + 7)
    assert [event["sequence_number"] for event in back] == [event["sequence_number"] for event in again]
    assert [event.get("output_index") for event in back] == [event.get("output_index") for event in again]
    assert back[1:] == again[1:]
    assert late(2 * ATTEMPT + 4) == [event for event in again if event["sequence_number"] > 2 * ATTEMPT + 4]


def test_an_attempt_that_said_nothing_leaves_no_trace() -> None:
    one = writer(resumable=True)
    frames = one.begin() + one.again(2, spoke=False) + one.again(3, spoke=False)
    found = events(frames + b"".join(map(one.write, numbered(3, progress(text="a"), DONE))))
    assert kinds(found)[2:4] == ["in_progress", "output_item.added"]
    assert (found[3]["output_index"], found[3]["sequence_number"]) == (0, 3 * ATTEMPT + 1)


def test_a_void_attempt_of_several_items_leaves_no_index_twice() -> None:
    one = writer(resumable=True)
    lost = numbered(1, progress(thinking="h"), progress(text="a"))
    frames = one.begin() + b"".join(map(one.write, lost)) + one.again(2, spoke=True)
    found = events(frames + b"".join(map(one.write, numbered(2, progress(text="b"), DONE))))
    added = [event["output_index"] for event in found if event["type"] == "response.output_item.added"]
    assert added == [0, 1, 2]


def test_the_end_of_a_prompt_that_failed() -> None:
    one = writer(resumable=True)
    end = Chunk("error", attempt=1, n=999_999, code="cancelled", message="stop")
    last = events(one.begin() + one.write(SAID[0]) + one.write(end))[-1]
    assert (last["type"], last["sequence_number"]) == ("response.failed", ATTEMPT + 999_999)
    assert (last["response"]["status"], last["response"]["error"]) == ("cancelled", None)


_words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=4)


@given(
    st.lists(
        st.builds(progress, text=_words)
        | st.builds(progress, thinking=_words)
        | st.builds(progress, thinking=_words, signature=_words)
        | st.builds(progress, signature=_words)
        | st.builds(progress, sealed=_words)
        | st.builds(progress, refusal=_words)
        | st.builds(progress, fraction=st.just(0.5))
        | st.builds(call, st.integers(0, 2), st.just("c"), st.just("f"), _words, st.booleans()),
        max_size=8,
    )
)
def test_a_replay_from_the_store_has_the_same_events(said: list[Chunk]) -> None:
    live = numbered(1, *said)
    answer = gather(live, DONE, USAGE, "msg")
    assert stream(*replay(answer, make_trace(live), 1), resumable=True) == stream(
        *live, done(answer, 1, len(live) + 1), resumable=True
    )
