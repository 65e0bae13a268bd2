"""Who waits for whom: short reads never for long ones, and a closed store for nobody."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from promptd.core.errors import StoreUnavailable
from promptd.core.filters import Filter, Order, Query
from promptd.core.model import Attempt, Key, Message, Prompt
from promptd.stores.sqlite import Database
from promptd.stores.sqlite.cursors import write_cursor
from promptd.stores.sqlite.readers import Readers
from promptd.testing.store.samples import NOW, make_message, make_prompt, make_thread

ENDLESS = "with recursive n (value) as (select 1 union all select value + 1 from n) select count(*) from n"


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "promptd.db")
    prompt = make_prompt("p", thread="t")
    await database.queue.add(prompt, now=NOW, thread=make_thread("t"), messages=[make_message("m", prompt)])
    yield database
    await database.close()


@pytest.mark.parametrize(
    ("kind", "query"),
    [
        (Message, Query(filters=(Filter("thread", "eq", "t"),), order=(Order("prompt_no"), Order("no")))),
        (Prompt, Query(filters=(Filter("thread", "eq", "t"),), order=(Order("no"),))),
        (Attempt, Query(filters=(Filter("prompt", "eq", 1),))),
    ],
)
async def test_an_indexed_look_up_does_not_wait_behind_long_lists(
    database: Database, kind: type[Message] | type[Prompt] | type[Attempt], query: Query
) -> None:
    go, busy = threading.Event(), threading.Barrier(3)

    def hold(value: str) -> int:
        busy.wait(10)
        return go.wait(10)

    for db in database.records._long._all:  # a list of a million rows, as far as others can tell
        db.create_function("lower_model", 1, hold)

    def slow(db: sqlite3.Connection) -> list[tuple[int]]:
        return db.execute("select lower_model(model) from prompt").fetchall()

    lists = [asyncio.create_task(database.records._long.run(slow)) for _ in range(2)]
    behind = asyncio.create_task(database.records.find(Prompt, Query()))
    await asyncio.to_thread(busy.wait, 10)
    async with asyncio.timeout(5):
        await database.records.find(kind, query)
    assert not behind.done(), "the long ones were not in the way of anything"
    go.set()
    assert len((await behind).items) == 1
    assert await asyncio.gather(*lists) == [[(1,)], [(1,)]]


async def test_long_lists_run_side_by_side(database: Database) -> None:
    both = threading.Barrier(2)
    readers = database.records._long
    async with asyncio.timeout(10):
        await asyncio.gather(*[readers.run(lambda db: both.wait(5)) for _ in range(2)])


async def test_close_interrupts_a_long_read_and_refuses_the_next(database: Database) -> None:
    readers = Readers(str(database.path), 1, "test")
    begun = threading.Event()

    def endless(db: sqlite3.Connection) -> None:
        db.set_progress_handler(begun.set, 1000)
        db.execute(ENDLESS).fetchone()

    running = asyncio.create_task(readers.run(endless))
    waiting = asyncio.create_task(readers.run(lambda db: None))
    assert await asyncio.to_thread(begun.wait, 10)
    readers.close()
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        await running
    with pytest.raises(StoreUnavailable):
        await waiting
    with pytest.raises(StoreUnavailable):
        await readers.run(lambda db: None)


async def test_a_search_after_close_is_refused(tmp_path: Path) -> None:
    database = Database(tmp_path / "other.db")
    await database.close()
    await database.close()
    for query in (Query(), Query(filters=(Filter("id", "eq", "a"),))):
        with pytest.raises(StoreUnavailable):
            await database.records.find(Prompt, query)


async def test_a_page_of_records_reads_only_itself(database: Database) -> None:
    keys = [Key(id=f"k{number:03}", digest=b"", user="ann", name="n", created=NOW) for number in range(200)]
    await database.records.put(*keys)
    await database.writer.submit(
        lambda db: db.execute("update record set data = x'c1' where id > 'k010' or id < 'k005'").rowcount
    )
    first = await database.records.find(Key, Query(limit=5, after=write_cursor(("k004",))))
    assert [key.id for key in first.items] == [f"k{number:03}" for number in range(5, 10)]
