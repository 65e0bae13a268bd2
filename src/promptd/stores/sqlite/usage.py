"""Sums of usage and of scores in their tables: adding to them, and reading them as a report."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec.structs import astuple

from promptd.core.model import Attempt, Prompt, Score
from promptd.core.usage import Dimension, Line, Place, Rating, Report, Sums, Tally, UsageQuery, count
from promptd.stores.sqlite.rows import load_queries

_Q = load_queries("queries.sql")
_COLUMNS: Final = {
    Dimension.DAY: "day",
    Dimension.KEY: "key_id",
    Dimension.USER: "user_id",
    Dimension.TEAM: "team",
    Dimension.MODEL: "model",
    Dimension.CONNECTION: "connection",
    Dimension.ARM: "arm",
}
_SUMS: Final = Sums.__struct_fields__
_MILLION: Final = 1_000_000
_MOST_RATINGS: Final = 10_000  # of one page


def add_usage(db: sqlite3.Connection, tally: Tally) -> None:
    """Add amounts to those of their places, in the transaction that is open."""
    db.executemany(_Q["add_usage"], [(*place, *astuple(sums)) for place, sums in tally.items()])


def add_counted(db: sqlite3.Connection, prompt: Prompt, attempts: Sequence[Attempt]) -> None:
    """Add attempts that were not counted before to what the prompt's headers are counted for."""
    if not prompt.counted:
        return
    tally: Tally = {}
    count(tally, prompt, attempts)
    for place, sums in tally.items():
        day, model = place[0], place[4]
        amounts = (sums.requests, sums.input_tokens, sums.output_tokens, sums.cost)
        db.executemany(_Q["add_counted"], [(*one, day, model, *amounts) for one in prompt.counted])


def find_counted(db: sqlite3.Connection, header: str, subject: str, since: int, until: int) -> Mapping[str, Sums]:
    """What was counted for a subject of a header, by model."""
    found: dict[str, Sums] = {}
    for model, requests, taken, given, cost in db.execute(_Q["counted"], (header, subject, since, until)):
        sums = found.setdefault(model, Sums())
        sums.requests += requests
        sums.input_tokens += taken
        sums.output_tokens += given
        sums.cost += cost
    return found


def rate(db: sqlite3.Connection, place: Place, score: Score, before: Score | None) -> None:
    """Add a score, in place of `before`."""
    add_usage(db, {place: Sums()})  # so that every rating has a line to stand in
    total = _millionths(score) - (_millionths(before) if before is not None else 0)
    db.execute(_Q["add_rating"], (*place, score.name, int(before is None), total))


def _millionths(score: Score) -> int:
    return round(score.value * _MILLION)


def find_usage(db: sqlite3.Connection, query: UsageQuery) -> Report:
    """The groups of a report, one more than the limit looked at to tell whether there are more."""
    columns = [_COLUMNS[dimension] for dimension in query.by]
    where, values = _where(query, columns)
    sums = ", ".join(f"sum({name})" for name in _SUMS)
    chosen = "".join(f"{column}, " for column in columns)
    order = f" group by {', '.join(columns)} order by {', '.join(columns)}" if columns else " having count(*) > 0"
    sql = f"select {chosen}{sums} from usage{where}{order} limit {query.limit + 1}"  # noqa: S608 (our own names)
    found = db.execute(sql, values).fetchall()
    width = len(columns)
    page = found[: query.limit]
    more = page[-1][:width] if len(found) > query.limit else None
    ratings = _ratings(db, columns, where, values, page[-1][:width] if page else ())
    lines = tuple(
        Line(group=row[:width], sums=Sums(*row[width:]), ratings=ratings.get(row[:width], {})) for row in page
    )
    return Report(lines=lines, after=more)


def _where(query: UsageQuery, columns: list[str]) -> tuple[str, list[Any]]:
    clauses: list[str] = []
    values: list[Any] = []
    for sign, day in ((">=", query.since), ("<=", query.until)):
        if day is not None:
            clauses.append(f"day {sign} ?")
            values.append(day)
    for dimension, value in query.only.items():
        clauses.append(f"{_COLUMNS[dimension]} = ?")
        values.append(value)
    if query.after is not None and columns:
        clauses.append(f"({', '.join(columns)}) > ({', '.join('?' * len(columns))})")
        values.extend(query.after)
    return (f" where {' and '.join(clauses)}" if clauses else ""), values


def _ratings(
    db: sqlite3.Connection, columns: list[str], where: str, values: list[Any], last: tuple[Any, ...]
) -> dict[tuple[Any, ...], dict[str, Rating]]:
    """The scores of the groups up to the `last` one of the page, by group and name."""
    if last:
        behind = f"({', '.join(columns)}) <= ({', '.join('?' * len(last))})"
        where = f"{where} and {behind}" if where else f" where {behind}"
    by = ", ".join([*columns, "name"])
    sql = (
        f"select {by}, sum(count), sum(total) from rating{where} group by {by} "  # noqa: S608
        f"order by {by} limit {_MOST_RATINGS}"
    )
    found: dict[tuple[Any, ...], dict[str, Rating]] = {}
    for *group, name, many, total in db.execute(sql, [*values, *last]).fetchall():
        found.setdefault(tuple(group), {})[name] = Rating(many, total)
    return found
