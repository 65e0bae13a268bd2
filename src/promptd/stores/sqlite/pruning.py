"""What goes: old final prompts with their attempts, and expired idempotency keys, in small pieces beside the walk."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from promptd.core.errors import Conflict
from promptd.core.lifecycle import Status
from promptd.core.ports import Retention
from promptd.stores.sqlite.rows import load_queries
from promptd.stores.sqlite.writer import Writer

_Q = load_queries("queries.sql")
_DELETED, _SEEN = 20, 500  #: rows per piece of work, to delete and to only look at: each holds the loop
_LONG_AGO = -1e18
_DAY = 86_400
_LONGEST_BUDGET = 31  #: days


async def prune(writer: Writer, rules: Sequence[Retention], *, now: float, dry_run: bool) -> int:
    """The verb of the port."""
    total = 0
    for rule in rules:
        behind = (_LONG_AGO, 0)
        while found := await writer.submit(
            lambda db, rule=rule, behind=behind: _batch(db, rule, behind, now, dry_run)  # type: ignore[misc]
        ):
            total += len(found)
            behind = found[-1]
    if not dry_run:
        while await writer.submit(lambda db: db.execute(_Q["prune_idempotency"], (now, _DELETED)).rowcount == _DELETED):
            pass
        over = int(now // _DAY) - _LONGEST_BUDGET
        while await writer.submit(lambda db: db.execute(_Q["prune_counted"], (over, _SEEN)).rowcount == _SEEN):
            pass
    return total


def _batch(
    db: sqlite3.Connection, rule: Retention, behind: tuple[float, int], now: float, dry_run: bool
) -> list[tuple[float, int]]:
    """One piece, as pairs (finished, no), oldest first."""
    values = {"status": rule.status.value, "before": now - rule.age, "finished": behind[0], "after": behind[1]}
    found = db.execute(_Q["prunable"], values | {"count": _SEEN if dry_run else _DELETED}).fetchall()
    if not dry_run:
        for _, no in found:
            remove(db, no)
    return found


def remove(db: sqlite3.Connection, no: int) -> None:
    """Delete a prompt and its attempts."""
    db.execute(_Q["delete_attempts"], (no,))
    db.execute(_Q["delete_prompt"], (no,))


def delete_prompt(db: sqlite3.Connection, identifier: str) -> bool:
    """Whether there was such a prompt. Raises `Conflict` where it is not final."""
    row = db.execute("select no, status from prompt where id = ?", (identifier,)).fetchone()
    if row is None:
        return False
    if not Status(row[1]).final:
        raise Conflict(f"the prompt is {row[1]}; cancel it first")
    remove(db, row[0])
    return True
