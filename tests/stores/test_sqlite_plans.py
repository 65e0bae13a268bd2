"""The claim costs the same at any backlog: every query of the hot path is a search in an index made for it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptd.core.lifecycle import Move
from promptd.stores.sqlite import Database
from promptd.stores.sqlite.rows import load_queries
from promptd.testing.store.samples import LANE, NOW, add, claim, complete, settlement

QUERIES = load_queries("queries.sql")

#: query of the walk → the index it has to use
INDEXES = {
    "next_by_priority": "prompt_ready",
    "next_by_turn": "prompt_fair",
    "line_has_head": None,
    "last_turn": "prompt_turn",
    "behind_in_line": "prompt_line",
    "first_of_thread": "prompt_thread_live",
    "thread_is_running": "prompt_thread_running",
    "thread_is_busy": None,
    "due_prompts": "prompt_due",
    "next_due": "prompt_due",
    "expired_prompts": "prompt_deadline",
    "next_deadline": "prompt_deadline",
    "claim": None,
    "claim_alone": "prompt_alone",
    "make_head": None,
    "now_due": None,
    "step_back": None,
    "expire": None,
    "first_turn": None,
    "settle_final": None,
    "settle_waiting": None,
    "settle_back": None,
    "prompt_by_id": None,
    "prompt_by_no": None,
    "cancel": None,
    "idempotent": None,
    "delete_messages": None,
    "delete_attempts": None,
    "thread_by_id": None,
    "touch_thread": None,
    "beat": "prompt_running",
}


@pytest.fixture
def plans(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    from promptd.stores.sqlite.database import connect, migrate

    db = connect(tmp_path / "promptd.db")
    migrate(db, tmp_path / "promptd.db")
    yield db
    db.close()


def plan(db: sqlite3.Connection, name: str) -> list[str]:
    sql = QUERIES[name]
    values = dict.fromkeys(re.findall(r":(\w+)", sql), 1) if "?" not in sql else (1,) * sql.count("?")
    return [row[3] for row in db.execute(f"explain query plan {sql}", values).fetchall()]


@pytest.mark.parametrize("name", INDEXES)
@pytest.mark.parametrize("analyzed", [False, True])
def test_it_searches_its_index_and_sorts_nothing(plans: sqlite3.Connection, name: str, analyzed: bool) -> None:
    if analyzed:
        row = "'x' || value, 'completed', 'l', 'm', 'u', '', '', 'queued', 'chat', 0, 5, 0, 0, 1, 0, 0, 0, 0, x''"
        plans.execute(
            "with recursive n (value) as (select 1 union all select value + 1 from n limit 2000) "
            "insert into prompt (id, status, lane, model, user_id, key_id, team, mode, capability, priority, max_attempts, "
            f"created, updated, runs, failures, rescues, head, tag, request) select {row} from n"
        )
        plans.execute("analyze")
    steps = plan(plans, name)
    text = "; ".join(steps)
    assert "TEMP B-TREE" not in text, text
    index = INDEXES[name]
    if index is not None:
        assert f"INDEX {index}" in text, text
    scans = [step for step in steps if step.startswith("SCAN") and f"INDEX {index}" not in step]
    assert not scans, text
    assert steps, f"{name} has no plan"


async def test_every_query_of_a_walk_is_examined(tmp_path: Path) -> None:
    """Whatever statement a walk runs, its plan neither scans a table nor sorts."""

    class Store:
        def __init__(self, database: Database) -> None:
            self.queue, self.records = database.queue, database.records

        async def reopen(self) -> None:
            raise AssertionError("not here")

    database = Database(tmp_path / "promptd.db")
    seen: set[str] = set()
    database.writer._db.set_trace_callback(seen.add)
    store = Store(database)
    for number in range(3):
        await add(store, f"t{number}", thread="t", deadline=NOW + 50)
        await add(store, f"a{number}", not_before=NOW + number)
    first, *_ = await claim(store, 9)
    await complete(store, first)
    for prompt in await claim(store, 9, now=NOW + 5, fair_only=True):
        await store.queue.settle(settlement(prompt, Move.FAIL, now=NOW + 5))
    await store.queue.claim(LANE, 9, now=NOW + 99)
    await store.queue.beat(NOW, 1)
    database.writer._db.set_trace_callback(None)
    looked_at = 0
    for statement in seen:
        if statement.split()[0].lower() not in ("select", "update", "delete"):
            continue
        steps = database.writer._db.execute(f"explain query plan {statement}").fetchall()
        text = "; ".join(str(step[3]) for step in steps)
        assert "TEMP B-TREE" not in text, (statement, text)
        assert "SCAN prompt" not in text or "USING" in text, (statement, text)
        looked_at += 1
    assert looked_at > 10
    await database.close()
