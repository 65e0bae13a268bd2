"""Attempts as rows of the ledger, each counted when it is written."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from msgspec.structs import replace

from promptd.core.model import Attempt, Outcome, Prompt
from promptd.core.usage import Tally, count
from promptd.stores.sqlite.rows import from_attempt, load_queries
from promptd.stores.sqlite.usage import add_counted, add_usage

_Q = load_queries("queries.sql")


def put_attempt(db: sqlite3.Connection, prompt: Prompt, attempt: Attempt) -> bool:
    """Write the row of an attempt; False where it is there already."""
    if not db.execute(_Q["insert_attempt"], from_attempt(attempt)).rowcount:
        return False
    _count(db, prompt, (attempt,))
    return True


def lost_attempt(prompt: Prompt, now: float) -> Attempt:
    """The row of a run that ended with its worker; what it used, nobody can say."""
    return Attempt(
        prompt=prompt.no,
        run=prompt.runs,
        engine="",
        connection=prompt.lane,
        model=prompt.model,
        started=prompt.started or prompt.created,
        finished=now,
        outcome=Outcome.LOST,
    )


def cost_of(attempts: Sequence[Attempt]) -> int | None:
    """What they cost together; None where the price of one is not known."""
    costs = [attempt.cost for attempt in attempts]
    return None if None in costs else sum(cost for cost in costs if cost is not None)


def put_all_attempts(db: sqlite3.Connection, prompt: Prompt, no: int, attempts: Sequence[Attempt]) -> None:
    """Write the attempts of prompt `no`, which was final when it came; a single one stands in the prompt's own row."""
    write_rows(db, no, attempts)
    _count(db, prompt, attempts)


def write_rows(db: sqlite3.Connection, no: int, attempts: Sequence[Attempt]) -> None:
    """The rows that several attempts need, without counting them."""
    if len(attempts) > 1:
        db.executemany(_Q["insert_attempt"], [from_attempt(replace(attempt, prompt=no)) for attempt in attempts])


def _count(db: sqlite3.Connection, prompt: Prompt, attempts: Sequence[Attempt]) -> None:
    tally: Tally = {}
    count(tally, prompt, attempts)
    add_usage(db, tally)
    add_counted(db, prompt, attempts)
