"""Batches as decisions: their moves, windows, labels, which lines are done, and how a file is cut into lines."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.batches import (
    Batch,
    BatchStatus,
    Cutter,
    Lines,
    Overlong,
    check_metadata,
    moved,
    seconds_of,
)
from promptd.core.errors import Conflict, InvalidRequest

_NEW = Batch(
    id="batch_1", user="ann", key="k", endpoint="/v1/x", input_file="file-1", window="24h", created=5.0, expires=9.0
)


def test_a_move_notes_its_time() -> None:
    running = moved(_NEW, BatchStatus.IN_PROGRESS, 7.0)
    assert running.status is BatchStatus.IN_PROGRESS
    assert moved(running, BatchStatus.FINALIZING, 8.0).times == {"in_progress": 7.0, "finalizing": 8.0}
    assert running.times == {"in_progress": 7.0}


@pytest.mark.parametrize("status", [status for status in BatchStatus if status.final])
@pytest.mark.parametrize("to", list(BatchStatus))
def test_nothing_follows_a_final_status(status: BatchStatus, to: BatchStatus) -> None:
    ended = moved(moved(_NEW, BatchStatus.FINALIZING, 1.0), status, 2.0)
    with pytest.raises(Conflict, match=f"is {status} can't become {to}"):
        moved(ended, to, 3.0)


def test_a_final_batch_forgets_its_lines() -> None:
    lines = Lines(b"", 20)
    lines.add(3)
    begun = moved(_NEW, BatchStatus.FINALIZING, 1.0)
    assert moved(begun, BatchStatus.COMPLETED, 2.0).done == b""


def test_finalizing_can_not_be_cancelled() -> None:
    with pytest.raises(Conflict):
        moved(moved(_NEW, BatchStatus.FINALIZING, 1.0), BatchStatus.CANCELLING, 2.0)


@pytest.mark.parametrize(("window", "seconds"), [("24h", 86_400.0), ("30m", 1800.0), ("7d", 604_800.0)])
def test_windows(window: str, seconds: float) -> None:
    assert seconds_of(window) == seconds


@pytest.mark.parametrize("window", ["", "24", "h", "0h", "1.5h", "24H", "31d", "99999d", "-1h", "24h ", "٣h"])
def test_windows_that_are_none(window: str) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        seconds_of(window)
    assert refusal.value.field == "completion_window"


def test_labels_have_bounds() -> None:
    check_metadata({f"name{n}": "v" * 512 for n in range(16)})
    for labels in ({str(n): "" for n in range(17)}, {"": "x"}, {"n" * 65: "x"}, {"name": "v" * 513}):
        with pytest.raises(InvalidRequest) as refusal:
            check_metadata(labels)
        assert refusal.value.field.startswith("metadata")


@given(st.sets(st.integers(0, 999)))
def test_what_is_done_survives(done: set[int]) -> None:
    lines = Lines(b"", 1000)
    for line in done:
        lines.add(line)
    again = Lines(lines.dump(), 1000)
    assert {line for line in range(1000) if line in again} == done
    assert len(again.dump()) == 125


@given(st.lists(st.sampled_from([b"", b"  ", b"a", b'{"b": 1}\r', b"\xff\x00"])), st.integers(1, 7))
def test_pieces_do_not_matter(lines: list[bytes], size: int) -> None:
    whole = b"\n".join(lines)
    cutter = Cutter(100)
    found = [line for at in range(0, len(whole), size) for line in cutter.feed(whole[at : at + size])]
    found += cutter.end()
    assert found == [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def test_a_byte_order_mark_is_no_part_of_the_first_line() -> None:
    cutter = Cutter(100)
    assert [*cutter.feed(b"\xef\xbb\xbf{}\n{}"), *cutter.end()] == [(1, b"{}"), (2, b"{}")]


@pytest.mark.parametrize("end", [b"", b"\n", b"\nshort\n"])
def test_a_line_has_a_bound(end: bytes) -> None:
    cutter = Cutter(10)
    with pytest.raises(Overlong) as overlong:
        [*cutter.feed(b"short\n" + b"x" * 11 + end), *cutter.end()]
    assert overlong.value.line == 2
