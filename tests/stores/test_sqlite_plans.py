"""The claim costs the same at any backlog: every query of the hot path is a search in an index made for it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptd.core.errors import StoreUnavailable
from promptd.core.filters import Filter, Order, Query
from promptd.core.lifecycle import Move, Status
from promptd.core.model import Prompt
from promptd.stores.sqlite import Database
from promptd.stores.sqlite.rows import load_queries
from promptd.testing.store.samples import LANE, NOW, add, claim, complete, make_prompt, settlement

QUERIES = load_queries("queries.sql")

BY_NO = "INTEGER PRIMARY KEY (rowid=?)"
BY_ID = "INDEX sqlite_autoindex_prompt_1 (id=?)"

#: query → how it has to find its rows: the index and the columns it searches by
INDEXES = {
    "next_by_priority": "INDEX prompt_ready (lane=?)",
    "next_by_turn": "INDEX prompt_fair (lane=?)",
    "line_has_head": "INDEX prompt_line_head (lane=? AND user_id=? AND priority=?)",
    "last_turn": "INDEX prompt_turn (lane=? AND user_id=?)",
    "behind_in_line": "INDEX prompt_line (lane=? AND user_id=? AND priority=?)",
    "first_of_thread": "INDEX prompt_thread_live (thread_id=?)",
    "thread_is_running": "INDEX prompt_thread_running (thread_id=?)",
    "thread_is_busy": "INDEX prompt_thread_live (thread_id=?)",
    "due_prompts": "INDEX prompt_due (lane=? AND due>? AND due<?)",
    "next_due": "INDEX prompt_due (lane=? AND due>?)",
    "expired_prompts": "INDEX prompt_deadline (lane=? AND deadline>? AND deadline<?)",
    "next_deadline": "INDEX prompt_deadline (lane=? AND deadline>?)",
    "claim": BY_NO,
    "claim_alone": "INDEX prompt_alone (lane=?)",
    "make_head": BY_NO,
    "now_due": BY_NO,
    "step_back": "INDEX prompt_thread_live (thread_id=?)",
    "expire": BY_NO,
    "abandon_unreadable": BY_NO,
    "first_turn": "INDEX prompt_fair (lane=?)",
    "settle_final": BY_NO,
    "settle_waiting": BY_NO,
    "settle_back": BY_NO,
    "prompt_by_id": BY_ID,
    "prompt_by_no": BY_NO,
    "cancel": BY_NO,
    "rescue": BY_NO,
    "give_up_lost": BY_NO,
    "retry": BY_NO,
    "is_shared": BY_NO,
    "only_attempt": BY_NO,
    "delete_prompt": BY_NO,
    "idempotent": "PRIMARY KEY (user_id=? AND key=?)",
    "delete_messages": "INDEX message_thread (thread_id=? AND prompt_no=?)",
    "delete_attempts": "PRIMARY KEY (prompt_no=?)",
    "thread_by_id": "PRIMARY KEY (id=?)",
    "touch_thread": "PRIMARY KEY (id=?)",
    "leave_thread": "INDEX prompt_thread (thread_id=?)",
    "delete_thread_messages": "INDEX message_thread (thread_id=?)",
    "beat": "INDEX prompt_running",
    "lost_prompts": "INDEX prompt_running",
    "prunable": "INDEX prompt_finished (status=? AND finished>? AND finished<?)",
    "prune_idempotency": "INDEX idempotency_expires (expires<?)",
    "counted": "INDEX counted_place (header=? AND subject=? AND day>? AND day<?)",
    "prune_counted": "INDEX counted_day (day<?)",
    "live_lanes": "INDEX prompt_live_lane (lane>?)",
    "recorded": BY_ID,
    "set_scores": BY_NO,
    "add_cost": BY_NO,
    "holds_content": BY_NO,
    "forget_content": BY_NO,
    "old_content": "INDEX prompt_content (key_id=? AND finished>? AND finished<?)",
    "oldest_content": "INDEX prompt_content (key_id>?)",
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
    assert "TEMP B-TREE" not in text or name == "lost_prompts", text  # it sorts what runs: as many as there are slots
    assert INDEXES[name] in text, text
    scans = [step for step in steps if step.startswith("SCAN")]
    allowed = (
        "INDEX prompt_running",
        "INDEX prompt_live_lane",
        "SCAN live",
        "SCAN held",
    )  # short, or one step of a `min`
    assert not [step for step in scans if not any(one in step for one in allowed)], text


def test_no_query_is_left_out() -> None:
    inserts = {name for name, sql in QUERIES.items() if sql.lower().startswith("insert")}
    assert set(QUERIES) - inserts == set(INDEXES)


@pytest.mark.parametrize("name", ["insert_prompt", "insert_ended", "insert_ended_well"])
def test_no_table_is_made_for_a_row_that_is_written(plans: sqlite3.Connection, name: str) -> None:
    """SQLite makes one for a list of three in the condition of an index, for each row anew."""
    sql = QUERIES[name]
    steps = plans.execute(f"explain {sql}", [None] * sql.count("?")).fetchall()
    assert "Insert" in [step[1] for step in steps]
    assert "OpenEphemeral" not in [step[1] for step in steps]


async def test_the_newest_prompts_of_a_caller_are_read_without_sorting(tmp_path: Path) -> None:
    database = Database(tmp_path / "promptd.db")
    seen: list[str] = []
    for db in database.records._long._all:
        db.set_trace_callback(seen.append)
    query = Query(filters=(Filter("user", "eq", "ann"), Filter("created", "gt", NOW)), order=(Order("created", True),))
    await database.records.find(Prompt, query)
    (statement,) = seen
    (step,) = database.writer._db.execute(f"explain query plan {statement}").fetchall()
    assert step[3] == "SEARCH prompt USING INDEX prompt_owner (user_id=? AND created>?)"
    await database.close()


async def test_live_lanes_are_those_of_unfinished_prompts(tmp_path: Path) -> None:
    database = Database(tmp_path / "promptd.db")
    assert database.live_lanes() == ()
    await database.queue.add(make_prompt("waiting", lane="a"), now=NOW)
    await database.queue.add(make_prompt("twice", lane="a"), now=NOW)
    await database.queue.add(make_prompt("running", lane="b", thread="t"), now=NOW, start=True)
    await database.queue.add(make_prompt("held back", lane="c", thread="t"), now=NOW)
    await database.queue.add(make_prompt("later", lane="d", not_before=NOW + 9), now=NOW)
    await database.queue.add(make_prompt("done", lane="e", status=Status.COMPLETED, finished=NOW), now=NOW)
    await database.queue.add(make_prompt("errored", lane="f"), now=NOW)
    (running,) = (await database.queue.claim("f", 1, now=NOW)).prompts
    await database.queue.settle(settlement(running, Move.FAIL, due=NOW + 9))
    assert database.live_lanes() == ("a", "b", "c", "d", "f")
    await database.close()
    with pytest.raises(StoreUnavailable):
        database.live_lanes()


async def test_every_query_of_a_walk_is_examined(tmp_path: Path) -> None:
    """Whatever statement a walk runs, its plan neither scans a table nor sorts."""

    class Store:
        def __init__(self, database: Database) -> None:
            self.queue, self.records, self.ledger = database.queue, database.records, database.ledger

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
