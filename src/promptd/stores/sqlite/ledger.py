"""The ledger on SQLite: rows of attached prompts in batches, what all rows add up to, scores, and the end of texts."""

from __future__ import annotations

import logging
import re
import sqlite3
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace

from promptd.core.errors import Conflict, NotFound, StoreUnavailable
from promptd.core.lifecycle import Status
from promptd.core.model import Mode, Prompt, Score
from promptd.core.ports import Ended
from promptd.core.usage import Report, Sums, Tally, UsageQuery, count, count_alike, count_all, place_of
from promptd.stores.sqlite.attempts import cost_of, write_rows
from promptd.stores.sqlite.forgetting import forget
from promptd.stores.sqlite.readers import Readers
from promptd.stores.sqlite.rows import Row, common_of, encode, error_of, from_ended, from_prompt, load_queries, shown
from promptd.stores.sqlite.usage import add_counted, add_usage, find_counted, find_usage, rate
from promptd.stores.sqlite.writer import Writer

_Q = load_queries("queries.sql")
_log = logging.getLogger(__name__)
_AT_ONCE = (32, 8)  #: rows of one statement: a statement costs more than what it inserts
_HEAD, _, _VALUES = _Q["insert_ended_well"].rpartition("values ")
_INSERT_MANY = {many: f"{_HEAD}values {', '.join([_VALUES] * many)}" for many in _AT_ONCE}
_COMMON = 11  #: parameters that `common_of` gives
_OWN = _VALUES.count("?") - _COMMON


def _numbered(row: int) -> str:
    """The values of one row of several, of which those in common are handed over once."""
    own = range(_COMMON + row * _OWN + 1, _COMMON + (row + 1) * _OWN + 1)
    numbers = iter([*range(1, _COMMON + 1), *own])
    return re.sub(r"\?", lambda _: f"?{next(numbers)}", _VALUES)


#: the same for rows that are alike: each value that is handed over costs as much as one of Python's calls
_INSERT_ALIKE = {many: f"{_HEAD}values {', '.join(map(_numbered, range(many)))}" for many in _AT_ONCE}
_PLAIN = (Mode.ATTACHED, None, None, 0, None, None, 0, b"", (), ())
_MOST_SCORES = 32  # of one prompt
#: what a value raises that no column can hold
_UNSTORABLE = (
    UnicodeEncodeError,
    OverflowError,
    msgspec.MsgspecError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
)


class SqliteLedger:
    """Port `Ledger`."""

    def __init__(self, writer: Writer, path: str) -> None:
        self._writer = writer
        self._reports = Readers(path, 1, "reports")

    def close(self) -> None:
        self._reports.close()

    async def record(self, ended: Sequence[Ended], *, patient: bool = False) -> None:
        await self._writer.submit(lambda db: _record(db, ended), patient=patient)

    async def report(self, query: UsageQuery) -> Report:
        try:
            return await self._reports.run(lambda db: find_usage(db, query))
        except sqlite3.Error as error:
            raise StoreUnavailable("the store can't be read", detail=str(error)) from error

    async def counted(self, header: str, subject: str, *, since: int, until: int) -> Mapping[str, Sums]:
        try:
            return await self._reports.run(lambda db: find_counted(db, header, subject, since, until))
        except sqlite3.Error as error:
            raise StoreUnavailable("the store can't be read", detail=str(error)) from error

    async def score(self, identifier: str, score: Score) -> Prompt:
        return await self._writer.submit(lambda db: _score(db, identifier, score))

    async def forget(self, age: float | None, keys: Mapping[str, float], *, now: float) -> int:
        return await forget(self._writer, age, keys, now=now)


def _record(db: sqlite3.Connection, ended: Sequence[Ended]) -> None:
    tally: Tally = {}
    alike: dict[Row, list[Ended]] = {}
    for one in ended:
        if one.attempts and one.prompt.error is None and _is_plain(one):
            alike.setdefault(common_of(one.prompt), []).append(one)
        else:
            _record_one(db, one, tally)
    rest: list[Ended] = []
    for common, rows in alike.items():
        rest += _record_in_parts(db, rows, tally, common)
    for one in _record_in_parts(db, rest, tally, None):
        _record_one(db, one, tally)
    add_usage(db, tally)


def _record_in_parts(
    db: sqlite3.Connection, rows: Sequence[Ended], tally: Tally, common: Row | None
) -> Sequence[Ended]:
    """As many plain prompts that ended well as there are statements for; those that are left."""
    start = 0
    for many in _AT_ONCE:
        while len(rows) - start >= many:
            _record_many(db, rows[start : start + many], tally, common)
            start += many
    return rows[start:]


def _is_plain(ended: Ended) -> bool:
    prompt = ended.prompt
    special = (
        prompt.mode,
        prompt.parent,
        prompt.thread,
        prompt.priority,
        prompt.deadline,
        prompt.not_before,
        prompt.rescues,
        prompt.trace,
        prompt.judgements,
        prompt.counted,
    )
    return special == _PLAIN and len(ended.attempts) <= 1


def _record_many(db: sqlite3.Connection, ended: Sequence[Ended], tally: Tally, common: Row | None) -> None:
    """As many as there is a statement for; `common` is what they all have, None where they differ."""
    try:
        values: list[Any] = [] if common is None else [*common]
        for one in ended:
            if common is None:
                values += common_of(one.prompt)
            values += from_ended(one.prompt, one.attempts[0])
        db.execute((_INSERT_MANY if common is None else _INSERT_ALIKE)[len(ended)], values)
    except (sqlite3.IntegrityError, *_UNSTORABLE):
        # none of them is in; one by one shows which is in the way
        for one in ended:
            _record_one(db, one, tally)
    else:
        if common is None:
            count_all(tally, [(one.prompt, one.attempts) for one in ended])
        else:
            count_alike(tally, ended[0].prompt, [one.attempts[0] for one in ended])


def _record_one(db: sqlite3.Connection, ended: Ended, tally: Tally) -> None:
    """A row that can't be stored whatever happens must not keep the others of its batch out for ever."""
    try:
        if _insert(db, ended):
            count(tally, ended.prompt, ended.attempts)
            add_counted(db, ended.prompt, ended.attempts)
    except (sqlite3.IntegrityError, *_UNSTORABLE) as error:
        _log.error("prompt %r can't be stored: %s", ended.prompt.id, error, extra={"action": "prompt_unstorable"})


def _insert(db: sqlite3.Connection, ended: Ended) -> bool:
    """False where this very prompt is stored already: a commit that failed may have been on disk."""
    prompt = ended.prompt
    try:
        _write(db, prompt, ended)
    except sqlite3.IntegrityError:
        known = _recorded(db, prompt.id)
        if known is None:
            raise
        if known == (prompt.user, prompt.created):
            return False
        other = replace(prompt, id=f"{prompt.id}~{int(prompt.created * 1_000_000):x}")
        if _recorded(db, other.id) is not None:
            return False
        _write(db, other, ended)
    return True


def _recorded(db: sqlite3.Connection, identifier: str) -> Row | None:
    row: Row | None = db.execute(_Q["recorded"], (identifier,)).fetchone()
    return row


def _write(db: sqlite3.Connection, prompt: Prompt, ended: Ended) -> None:
    attempts = ended.attempts
    only = attempts[0] if len(attempts) == 1 else None
    if _is_plain(ended):
        row = (*common_of(prompt), *from_ended(prompt, only))
        if prompt.error is None:
            db.execute(_Q["insert_ended_well"], row)
        else:
            db.execute(_Q["insert_ended"], (*row, *error_of(prompt)))
        return
    shared = prompt.thread is None
    prompt = replace(prompt, cost=cost_of(attempts))
    row = from_prompt(prompt, head=0, tag=0, due=None, lease=None, attempt=only, shared=shared)
    db.execute("savepoint rows")  # all of them or none: a prompt without its attempts would look like one that had none
    try:
        write_rows(db, db.execute(_Q["insert_prompt"], row).lastrowid or 0, attempts)
    except BaseException:
        db.execute("rollback to rows")
        raise
    finally:
        db.execute("release rows")


def _score(db: sqlite3.Connection, identifier: str, score: Score) -> Prompt:
    row = db.execute(_Q["prompt_by_id"], (identifier,)).fetchone()
    if row is None:
        raise NotFound(f"no prompt {identifier}")
    prompt = shown(row)
    if prompt.status is not Status.COMPLETED:
        raise Conflict(f"the prompt is {prompt.status}; only an answer can be scored")
    before = [one for one in prompt.scores if (one.user, one.name) == (score.user, score.name)]
    scores = (*(one for one in prompt.scores if one not in before), score)
    if len(scores) > _MOST_SCORES:
        raise Conflict(f"the prompt has {_MOST_SCORES} scores already")
    db.execute(_Q["set_scores"], (encode(scores), prompt.no))
    rate(db, place_of(prompt), score, before[0] if before else None)
    return replace(prompt, scores=scores)
