"""What only a file can show: databases of the schema before, and a process that is killed while it writes."""

from __future__ import annotations

import asyncio
import signal
import sqlite3
import sys
from pathlib import Path

import msgspec
import pytest

from promptd.core.content import Turn
from promptd.core.filters import Query
from promptd.core.lifecycle import Move, Status
from promptd.core.model import Attempt, Mode, Outcome, Prompt, Request, Usage
from promptd.core.usage import Dimension, UsageQuery
from promptd.stores.sqlite import Database
from promptd.stores.sqlite import database as module
from promptd.stores.sqlite.rows import from_attempt
from promptd.testing.store.books import rows_of, sum_rows
from promptd.testing.store.ledger import make_ended, try_of
from promptd.testing.store.samples import LANE, NOW, ledger, make_prompt, settlement, stored
from tests.stores.test_sqlite import SqliteStore

_OLD = (
    "insert into prompt (id, status, lane, model, user_id, key_id, team, mode, capability, priority, max_attempts, "
    "created, updated, runs, failures, rescues, head, tag, finished, request, attempt) values "
    f"(?, 'completed', '{LANE}', 'model', 'ann', 'k', 'red', ?, 'chat', 0, 5, ?, ?, ?, 0, 0, 0, 0, ?, ?, ?)"
)


class _OldAttempt(msgspec.Struct):
    """An attempt inside its prompt's row, as it was written until schema 2."""

    prompt: int
    run: int
    engine: str
    connection: str
    model: str
    started: float
    outcome: Outcome
    first_token: float | None
    finished: float | None
    code: str | None
    message: str | None
    usage: Usage
    cost: int


def _old(attempt: Attempt) -> bytes:
    values = {name: getattr(attempt, name) for name in _OldAttempt.__struct_fields__}
    return msgspec.json.encode(_OldAttempt(**values))


def make_old(path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Attempt]:
    """A database of schema 2 with a queued prompt of two attempts, and attached ones; all attempts."""
    with monkeypatch.context() as patch:
        known = module.migrations()[:2]
        patch.setattr(module, "migrations", lambda: known)
        db = module.connect(path)
        module.migrate(db, path)
    asked = msgspec.json.encode(Request((Turn("user", "Hi"),)))
    prompt = make_prompt("")
    tries = [
        try_of(prompt, prompt=1, outcome=Outcome.ERRORED, usage=Usage(), first_token=None, cost=0),
        try_of(prompt, prompt=1, run=2, started=NOW + 86_400, finished=NOW + 86_401.5, usage=Usage(5, 4, 3)),
        try_of(prompt, prompt=2, connection="other", finished=None),
    ]
    db.execute(_OLD, ("queued", "queued", NOW, NOW, 2, NOW, asked, None))
    rows = [from_attempt(one)[:13] for one in tries[:2]]
    marks = ", ".join("?" * len(rows[0]))
    db.executemany(f"insert into attempt values ({marks})", rows)
    db.execute(_OLD, ("attached", "attached", NOW, NOW, 1, NOW, b"{}", _old(tries[2])))
    db.execute("update prompt set status = 'abandoned' where id = 'queued'")
    db.close()
    return tries


async def test_a_database_of_the_schema_before_is_counted_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "promptd.db"
    tries = make_old(path, monkeypatch)
    store = SqliteStore(path)
    assert module.version(sqlite3.connect(tmp_path / f"promptd.db.before-{module.migrations()[-1][0]:04d}")) == 2
    total, *_ = (await store.ledger.report(UsageQuery())).lines
    expected = sum_rows((make_prompt(""), attempt) for attempt in tries if attempt.finished is not None)
    expected |= {name: expected[name] + 1 for name in ("requests", "attempts", "completed")}
    expected |= {"input_tokens": 8, "output_tokens": 9, "cost": 14}
    assert {name: getattr(total.sums, name) for name in expected} == expected
    by = await store.ledger.report(UsageQuery(by=(Dimension.CONNECTION, Dimension.TEAM, Dimension.KEY)))
    assert [line.group for line in by.lines] == [(LANE, "red", "k"), ("other", "red", "k")]
    assert await ledger(store, await stored(store, "attached")) == [tries[2]]
    assert await ledger(store, await stored(store, "queued")) == tries[:2]
    assert (await store.queue.retry("queued", now=NOW + 9)).prompt.status is Status.SCHEDULED, "its question is there"
    await store.close()


@pytest.mark.parametrize("table", ["usage", "attempt"])
async def test_rows_and_sums_are_one_transaction(tmp_path: Path, table: str) -> None:
    """Whatever of it fails, nothing of it is stored."""
    database = Database(tmp_path / "promptd.db")
    plain = make_prompt("")
    ended = [make_ended(f"p{number}") for number in range(45)]
    ended.append(make_ended("two", try_of(plain), try_of(plain, run=2)))
    fault = f"create temp trigger fault before insert on {table} begin select raise(abort, 'a fault'); end"
    await database.writer.submit(lambda db: db.execute(fault).rowcount)
    if table == "usage":
        with pytest.raises(sqlite3.IntegrityError, match="a fault"):
            await database.ledger.record(ended)
        assert (await database.records.find(Prompt, Query(count=True))).count == 0
        await database.queue.add(make_prompt("queued"), now=NOW, start=True)
        running = await database.records.get(Prompt, "queued")
        assert running is not None
        with pytest.raises(sqlite3.IntegrityError, match="a fault"):
            await database.queue.settle(settlement(running, Move.COMPLETE))
        assert await database.records.get(Prompt, "queued") == running
    else:
        await database.ledger.record(ended)
        assert (await database.records.find(Prompt, Query(count=True))).count == 45
    (line,) = (await database.ledger.report(UsageQuery())).lines or (None,)
    assert (line.sums.requests if line is not None else 0) == (0 if table == "usage" else 45)
    await database.close()


_WRITER = """
import asyncio, sys
from pathlib import Path
from promptd.core.lifecycle import Move
from promptd.stores.sqlite import Database
from promptd.testing.store.ledger import make_ended
from promptd.testing.store.samples import NOW, make_prompt, settlement

async def main():
    database = Database(Path(sys.argv[1]))

    async def attached():
        for batch in range(10**6):
            await database.ledger.record([make_ended(f"a{batch}-{n}") for n in range(50)])
            print("a", 50 * batch + 50, flush=True)

    async def queued(name):
        for number in range(10**6):
            prompt = make_prompt(f"{name}{number}")
            added = await database.queue.add(prompt, now=NOW, start=True)
            await database.queue.settle(settlement(added.prompt, Move.COMPLETE))
            print("q", number + 1, flush=True)

    await asyncio.gather(attached(), *[queued(f"q{number}-") for number in range(3)])

asyncio.run(main())
"""


async def test_after_a_kill_the_report_is_still_the_sum_of_the_rows(tmp_path: Path) -> None:
    for queued in (5, 20):
        path = tmp_path / f"{queued}.db"
        acknowledged = await _kill_after(path, 150, queued)
        store = SqliteStore(path)
        rows = await rows_of(store, (LANE,))
        (total,) = (await store.ledger.report(UsageQuery())).lines
        expected = sum_rows(rows.values())
        assert {name: getattr(total.sums, name) for name in expected} == expected
        attached = sum(prompt.mode is Mode.ATTACHED for prompt, _ in rows.values())
        assert attached >= acknowledged, "what was recorded is there"
        assert attached % 50 == 0, "a batch is stored whole or not at all"
        await store.close()


async def _kill_after(path: Path, attached: int, queued: int) -> int:
    """Kill a writer after it told of so many prompts; of how many attached ones it did tell."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _WRITER, str(path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    told = {"a": 0, "q": 0}
    while told["a"] < attached or told["q"] < queued:
        kind, number = (await process.stdout.readline()).decode().split()
        told[kind] = max(told[kind], int(number))
    process.send_signal(signal.SIGKILL)
    rest = (await process.stdout.read()).decode().splitlines()
    await process.wait()
    return max([told["a"], *(int(line[2:]) for line in rest if line.startswith("a "))])
