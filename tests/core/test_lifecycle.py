"""The transition table and what a failure leads to."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.errors import Conflict, NetworkError, PromptExecutionError, RateLimited, leaves
from promptd.core.lifecycle import (
    FINAL,
    TRANSITIONS,
    WAITING,
    Move,
    Status,
    after_failure,
    allows,
    retry_delay,
    target,
)

PAIRS = [(status, move) for status in Status for move in Move]


@pytest.mark.parametrize(("status", "move"), PAIRS)
def test_target_and_allows_agree_with_the_table(status: Status, move: Move) -> None:
    assert allows(status, move) == ((status, move) in TRANSITIONS)
    if allows(status, move):
        assert target(status, move) is TRANSITIONS[status, move]
    else:
        with pytest.raises(Conflict, match=f"{status} does not allow {move}"):
            target(status, move)


def test_every_status_is_final_or_waits_or_runs() -> None:
    assert FINAL | WAITING | {Status.RUNNING} == set(Status)
    assert not FINAL & WAITING
    assert {status for status in Status if status.final} == FINAL


def test_only_a_retry_leaves_a_final_status() -> None:
    assert {move for status, move in TRANSITIONS if status.final} == {Move.RETRY}
    assert not allows(Status.COMPLETED, Move.RETRY), "a completed prompt is never run again"


def test_only_a_claim_starts_and_a_running_prompt_can_always_end() -> None:
    assert {move for (_, move), to in TRANSITIONS.items() if to is Status.RUNNING} == {Move.CLAIM}
    ends = {TRANSITIONS[Status.RUNNING, move] for move in Move if allows(Status.RUNNING, move)}
    assert ends == set(Status) - {Status.RUNNING}


def test_every_status_is_reached_and_every_move_used() -> None:
    assert set(TRANSITIONS.values()) == set(Status)
    assert {move for _, move in TRANSITIONS} == set(Move)


@given(st.lists(st.sampled_from(Move), max_size=30))
def test_any_walk_completes_at_most_once_and_never_skips_running(moves: list[Move]) -> None:
    status, completed = Status.SCHEDULED, 0
    for move in moves:
        if allows(status, move):
            before, status = status, target(status, move)
            completed += status is Status.COMPLETED
            assert status is not Status.COMPLETED or before is Status.RUNNING
    assert completed <= 1


@pytest.mark.parametrize(("failures", "seconds"), [(1, 2), (2, 4), (3, 8), (8, 256), (9, 512), (10, 512), (5000, 512)])
def test_the_delay_doubles_up_to_a_limit(failures: int, seconds: float) -> None:
    assert retry_delay(failures) == seconds


def decide(
    error: PromptExecutionError,
    *,
    failures: int = 1,
    max_attempts: int = 5,
    started: float = 100.0,
    now: float = 101.0,
    deadline: float | None = None,
) -> tuple[Move, float | None]:
    return after_failure(
        error, failures=failures, max_attempts=max_attempts, started=started, now=now, deadline=deadline
    )


def test_the_delay_counts_from_the_start_of_the_attempt() -> None:
    assert decide(NetworkError(), started=100, now=101) == (Move.FAIL, 102)
    assert decide(NetworkError(), started=100, now=150) == (Move.FAIL, 150), "never in the past"


def test_the_last_attempt_gives_up() -> None:
    assert decide(NetworkError(), failures=4)[0] is Move.FAIL
    assert decide(NetworkError(), failures=5) == (Move.GIVE_UP, None)
    assert decide(NetworkError(), failures=1, max_attempts=1) == (Move.GIVE_UP, None)


def test_retry_after_is_a_lower_bound() -> None:
    assert decide(RateLimited(retry_after=60), now=101) == (Move.FAIL, 161)
    assert decide(RateLimited(retry_after=0.1), now=101) == (Move.FAIL, 102)
    assert decide(RateLimited(retry_after=0), now=101) == (Move.FAIL, 102)


def test_nothing_is_waited_for_behind_the_deadline() -> None:
    assert decide(NetworkError(), deadline=102.0) == (Move.GIVE_UP, None)
    assert decide(NetworkError(), deadline=102.1) == (Move.FAIL, 102)
    assert decide(RateLimited(retry_after=60), deadline=150) == (Move.GIVE_UP, None)


@pytest.mark.parametrize("kind", list(leaves(PromptExecutionError)), ids=lambda kind: kind.__name__)
def test_only_retryable_errors_are_tried_again(kind: type[PromptExecutionError]) -> None:
    assert (decide(kind())[0] is Move.FAIL) == kind.retryable


@given(
    failures=st.integers(1, 100),
    max_attempts=st.integers(1, 100),
    started=st.floats(0, 1e9),
    took=st.floats(0, 1e6),
    retry_after=st.none() | st.floats(0, 1e6),
    deadline=st.none() | st.floats(0, 2e9),
)
def test_a_retry_is_never_before_now_nor_behind_the_deadline(
    failures: int, max_attempts: int, started: float, took: float, retry_after: float | None, deadline: float | None
) -> None:
    now = started + took
    move, due = decide(
        RateLimited(retry_after=retry_after),
        failures=failures,
        max_attempts=max_attempts,
        started=started,
        now=now,
        deadline=deadline,
    )
    if due is None:
        assert move is Move.GIVE_UP
        return
    assert move is Move.FAIL
    assert failures < max_attempts
    assert due >= now + (retry_after or 0)
    assert deadline is None or due < deadline
