"""A prompt's statuses, the only table of moves between them, and what a failure leads to.

Pure: time comes in as an argument. The store repeats each move as compare-and-set; `docs/architecture.md` draws this table.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from promptd.core.errors import Conflict, PromptdError


class Status(StrEnum):
    """Where a prompt stands (contracts/onebackend.md §3)."""

    SCHEDULED = "scheduled"  #: waits for a slot, its time or its turn
    RUNNING = "running"  #: an attempt is under way
    COMPLETED = "completed"  #: final: the answer is stored
    ERRORED = "errored"  #: the last attempt failed; it will be retried
    ABANDONED = "abandoned"  #: final: failed for good
    CANCELED = "canceled"  #: final: stopped by a caller

    @property
    def final(self) -> bool:
        return self in FINAL


class Move(StrEnum):
    """What can happen to a prompt."""

    CLAIM = "claim"  #: a worker takes it with a lease
    COMPLETE = "complete"  #: the attempt succeeded
    FAIL = "fail"  #: the attempt failed and another one will follow
    GIVE_UP = "give_up"  #: the attempt failed and none will follow
    CANCEL = "cancel"  #: a caller stops it
    EXPIRE = "expire"  #: its deadline passed while it waited
    RESCUE = "rescue"  #: its worker died; the run is lost
    HAND_BACK = "hand_back"  #: its worker is shutting down; not a failure
    RETRY = "retry"  #: a caller starts it afresh


FINAL: Final = frozenset({Status.COMPLETED, Status.ABANDONED, Status.CANCELED})
WAITING: Final = frozenset({Status.SCHEDULED, Status.ERRORED})

TRANSITIONS: Final[dict[tuple[Status, Move], Status]] = {
    (Status.SCHEDULED, Move.CLAIM): Status.RUNNING,
    (Status.SCHEDULED, Move.CANCEL): Status.CANCELED,
    (Status.SCHEDULED, Move.EXPIRE): Status.ABANDONED,
    (Status.RUNNING, Move.COMPLETE): Status.COMPLETED,
    (Status.RUNNING, Move.FAIL): Status.ERRORED,
    (Status.RUNNING, Move.GIVE_UP): Status.ABANDONED,
    (Status.RUNNING, Move.CANCEL): Status.CANCELED,
    (Status.RUNNING, Move.RESCUE): Status.SCHEDULED,
    (Status.RUNNING, Move.HAND_BACK): Status.SCHEDULED,
    (Status.ERRORED, Move.CLAIM): Status.RUNNING,
    (Status.ERRORED, Move.CANCEL): Status.CANCELED,
    (Status.ERRORED, Move.EXPIRE): Status.ABANDONED,
    (Status.ERRORED, Move.RETRY): Status.SCHEDULED,
    (Status.ABANDONED, Move.RETRY): Status.SCHEDULED,
    (Status.CANCELED, Move.RETRY): Status.SCHEDULED,
}


def target(status: Status, move: Move) -> Status:
    """The status that `move` leads to. Raises `Conflict` where the table has no such move."""
    try:
        return TRANSITIONS[status, move]
    except KeyError:
        raise Conflict(f"a prompt that is {status} does not allow {move}") from None


def allows(status: Status, move: Move) -> bool:
    return (status, move) in TRANSITIONS


def retry_delay(failures: int, *, base: float = 2.0, limit: int = 9) -> float:
    """Seconds from the start of failed attempt number `failures` to the next: base^min(n, limit) (onebackend.md §3)."""
    return base ** min(failures, limit)


def after_failure(
    error: PromptdError,
    *,
    failures: int,
    max_attempts: int,
    started: float,
    now: float,
    deadline: float | None,
    base: float = 2.0,
    limit: int = 9,
    moves: bool = False,
) -> tuple[Move, float | None]:
    """What follows failed attempt number `failures` (this one included): the move and, for FAIL, when to try again.

    Only retryable errors are tried again, at most `max_attempts` attempts in all; `Retry-After` moves the time back,
    never forward; a time behind the deadline means there is nothing to wait for. `moves`: the next attempt asks another
    service, for which neither what this one can't do nor its `Retry-After` means anything.
    """
    if not (error.retryable or moves) or failures >= max_attempts:
        return Move.GIVE_UP, None
    due = max(started + retry_delay(failures, base=base, limit=limit), now)
    if error.retry_after is not None and not moves:
        due = max(due, now + error.retry_after)
    if deadline is not None and due >= deadline:
        return Move.GIVE_UP, None
    return Move.FAIL, due
