"""Group commit, poison, and a disk that fails: what a returned call is worth."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from promptd.core.errors import Conflict, StoreUnavailable
from promptd.core.lifecycle import Move, Status
from promptd.core.model import Prompt
from promptd.core.ports import Added
from promptd.stores.sqlite import Database, writer
from promptd.stores.sqlite.database import connect, migrate
from promptd.stores.sqlite.writer import Writer
from promptd.testing.store.samples import NOW, make_message, make_prompt, make_thread, settlement


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "promptd.db")
    yield database
    await database.close()


def copy_as_a_crash_leaves_it(path: Path, folder: Path) -> sqlite3.Connection:
    """Database and WAL as they are on disk this instant, opened as a new process would."""
    folder.mkdir()
    for name in (path.name, f"{path.name}-wal"):
        shutil.copyfile(path.with_name(name), folder / name)
    return sqlite3.connect(folder / path.name)


async def test_what_add_returned_is_in_a_copy_of_the_files(database: Database, tmp_path: Path) -> None:
    """50 random instants, while others are writing."""
    random = Random(7)
    receipted: list[str] = []

    async def caller(number: int) -> None:
        for count in range(20):
            prompt = make_prompt(f"p{number}-{count}", user=f"user{number}", thread=f"t{number}")
            thread, message = make_thread(f"t{number}", f"user{number}"), make_message(f"m{number}-{count}", prompt)
            added = await database.queue.add(prompt, now=NOW, start=True, thread=thread, messages=[message])
            receipted.append(added.prompt.id)
            if added.prompt.status is Status.RUNNING:
                await database.queue.settle(settlement(added.prompt, Move.COMPLETE))

    callers = [asyncio.create_task(caller(number)) for number in range(16)]
    for instant in range(50):
        for _ in range(random.randrange(1, 12)):
            await asyncio.sleep(0)
        expected = list(receipted)
        copy = copy_as_a_crash_leaves_it(database.path, tmp_path / f"copy{instant}")
        assert copy.execute("pragma integrity_check").fetchone() == ("ok",)
        found = {row[0] for row in copy.execute("select id from prompt")}
        assert found >= set(expected)
        messages = copy.execute("select count(*) from message").fetchone()[0]
        assert messages == len(found), "a prompt without its message, or the other way round"
        copy.close()
    await asyncio.gather(*callers)
    assert len(receipted) == 320


async def test_many_adds_share_a_commit(database: Database) -> None:
    commits = 0

    def count(statement: str) -> None:
        nonlocal commits
        commits += statement.lower().startswith("commit")

    database.writer._db.set_trace_callback(count)
    await asyncio.gather(*[database.queue.add(make_prompt(f"p{number}"), now=NOW) for number in range(500)])
    database.writer._db.set_trace_callback(None)
    assert 1 <= commits <= 100
    await database.queue.add(make_prompt("alone"), now=NOW)


async def test_a_batch_holds_the_loop_for_a_bounded_time(database: Database) -> None:
    """Between the statements of a large batch others get their turn."""
    turns = 0
    adds = asyncio.gather(*[database.queue.add(make_prompt(f"p{number}"), now=NOW) for number in range(2000)])
    while not adds.done():
        turns += 1
        await asyncio.sleep(0)
    assert turns > 20


async def test_synchronous_is_full_and_the_journal_is_a_wal(database: Database) -> None:
    def look(db: sqlite3.Connection) -> tuple[int, str]:
        return db.execute("pragma synchronous").fetchone()[0], db.execute("pragma journal_mode").fetchone()[0]

    assert await database.writer.submit(look) == (2, "wal")


def _bug(db: sqlite3.Connection) -> None:
    db.execute("insert into record (kind, id, version, data) values ('k', 'bug', 0, x'00')")
    raise RuntimeError("a bug")


def _refusal(db: sqlite3.Connection) -> None:
    db.execute("insert into record (kind, id, version, data) values ('k', 'refusal', 0, x'00')")
    raise Conflict("no")


def _constraint(db: sqlite3.Connection) -> None:
    db.execute("insert into record (kind, id, version, data) values ('k', 'constraint', 0, x'00')")
    db.execute("insert into record (kind, id, version, data) values ('k', 'constraint', 0, x'00')")


def _unbindable(db: sqlite3.Connection) -> None:
    db.execute("insert into record (kind, id, version, data) values ('k', 'unbindable', 0, x'00')")
    db.execute("select ?", (object(),))


def _too_large(db: sqlite3.Connection) -> None:
    db.execute("select ?", (2**70,))


def _half_a_character(db: sqlite3.Connection) -> None:
    db.execute("select ?", ("\ud800",))


@pytest.mark.parametrize("bad", [_bug, _refusal, _constraint, _unbindable, _too_large, _half_a_character])
async def test_one_bad_job_does_not_fail_the_others_of_its_batch(
    database: Database, bad: Callable[[sqlite3.Connection], None]
) -> None:
    calls: list[Awaitable[Any]] = [
        database.writer.submit(
            lambda db, number=number: (
                db.execute(  # type: ignore[misc]
                    "insert into record (kind, id, version, data) values ('good', ?, 0, x'00')", (str(number),)
                ).rowcount
            )
        )
        for number in range(20)
    ]
    calls.insert(10, database.writer.submit(bad))
    results = await asyncio.gather(*calls, return_exceptions=True)
    error = results.pop(10)
    assert isinstance(error, Exception)
    assert not isinstance(error, StoreUnavailable)
    assert results == [1] * 20
    kept = await database.writer.submit(lambda db: db.execute("select kind, count(*) from record").fetchall())
    assert kept == [("good", 20)], "what the bad job wrote was kept"
    assert database.writer.failure is None


async def in_line(database: Database, *identifiers: str) -> list[asyncio.Task[Added]]:
    """Prompts being added, in the writer's line already: what is submitted next joins their batch."""
    adding = [asyncio.create_task(database.queue.add(make_prompt(name), now=NOW)) for name in identifiers]
    await asyncio.sleep(0)  # the batch begins a turn later
    return adding


async def test_jobs_beside_a_bad_one_still_share_a_commit(database: Database) -> None:
    commits: list[str] = []
    database.writer._db.set_trace_callback(lambda said: commits.append(said) if said.lower() == "commit" else None)
    jobs = await in_line(database, *[f"p{number}" for number in range(30)])
    results = await asyncio.gather(*jobs, database.writer.submit(_bug), return_exceptions=True)
    database.writer._db.set_trace_callback(None)
    assert isinstance(results[-1], RuntimeError)
    assert len(commits) < 15


async def test_a_batch_with_a_bad_job_shows_that_the_store_works_again(database: Database) -> None:
    db = database.writer._db
    db.execute("pragma query_only = on")
    with pytest.raises(StoreUnavailable):
        await database.queue.add(make_prompt("a"), now=NOW)
    assert database.writer.failure is not None
    db.execute("pragma query_only = off")
    adding = await in_line(database, "a")
    results = await asyncio.gather(*adding, database.writer.submit(_bug), return_exceptions=True)
    assert isinstance(results[1], RuntimeError)
    assert database.writer.failure is None


async def test_a_store_that_fails_beside_a_bad_job_acknowledges_nothing(database: Database) -> None:
    runs = 0

    def full_the_second_time(db: sqlite3.Connection) -> None:
        nonlocal runs
        runs += 1
        if runs == 2:
            pages = db.execute("pragma page_count").fetchone()[0]
            db.execute(f"pragma max_page_count = {pages}")
            db.execute("insert into record (kind, id, version, data) values ('k', 'large', 0, zeroblob(1000000))")

    adding = await in_line(database, "a")
    results = await asyncio.gather(
        *adding, database.writer.submit(full_the_second_time), database.writer.submit(_bug), return_exceptions=True
    )
    assert runs == 2, "the bad job did not undo the batch"
    assert all(isinstance(result, StoreUnavailable) for result in results)
    assert database.writer.failure is not None
    assert await database.records.get(Prompt, "a") is None


async def test_more_work_than_may_wait_is_refused_at_once(tmp_path: Path) -> None:
    db = connect(tmp_path / "promptd.db")
    migrate(db, tmp_path / "promptd.db")
    writer = Writer(db, most_waiting=5)
    jobs = [
        writer.submit(
            lambda db: db.execute("insert into thread values (hex(randomblob(8)), '', '[]', '', 0, 0, 0, null)")
        )
        for _ in range(5)
    ]
    late = writer.submit(lambda db: None)
    assert late.done()
    with pytest.raises(StoreUnavailable):
        await late
    await asyncio.gather(*jobs)
    assert await writer.submit(lambda db: db.execute("select count(*) from thread").fetchone()) == (5,)
    await writer.close()


async def test_a_caller_that_leaves_does_not_disturb_the_batch(database: Database) -> None:
    tasks = [
        asyncio.create_task(database.queue.add(make_prompt(f"p{number}"), now=NOW), name=str(number))
        for number in range(10)
    ]
    await asyncio.sleep(0)
    for task in tasks[::2]:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in results] == [True, False] * 5
    await database.queue.add(make_prompt("last"), now=NOW)
    for number in range(1, 10, 2):
        assert await database.records.get(Prompt, f"p{number}") is not None


async def test_a_full_disk_refuses_and_then_recovers_by_itself(database: Database) -> None:
    db = database.writer._db
    await database.queue.add(make_prompt("before"), now=NOW)
    pages = db.execute("pragma page_count").fetchone()[0]
    most = db.execute("pragma max_page_count").fetchone()[0]
    db.execute(f"pragma max_page_count = {pages + 2}")
    stored, refused = ["before"], []
    for number in range(60):
        try:
            await database.queue.add(make_prompt(f"p{number}", model="x" * 2000), now=NOW)
            stored.append(f"p{number}")
        except StoreUnavailable:
            refused.append(f"p{number}")
    assert refused
    assert database.writer.failure is not None
    for identifier in refused:
        assert await database.records.get(Prompt, identifier) is None, "a refused prompt was stored"
    for identifier in stored:
        assert await database.records.get(Prompt, identifier) is not None
    db.execute(f"pragma max_page_count = {most}")
    await database.queue.add(make_prompt("after", model="x" * 2000), now=NOW)
    assert database.writer.failure is None


async def test_a_file_that_can_not_be_written_refuses_and_then_recovers(database: Database) -> None:
    db = database.writer._db
    db.execute("pragma query_only = on")
    results = await asyncio.gather(
        *[database.queue.add(make_prompt(f"p{number}"), now=NOW) for number in range(5)], return_exceptions=True
    )
    assert all(isinstance(result, StoreUnavailable) for result in results)
    db.execute("pragma query_only = off")
    await database.queue.add(make_prompt("p0"), now=NOW)
    assert await database.records.get(Prompt, "p1") is None


async def test_a_commit_that_fails_acknowledges_nothing(database: Database) -> None:
    """A deferred constraint fails at COMMIT itself, as a full disk may."""
    await database.writer.submit(
        lambda db: (
            db.execute("create table child (parent integer references prompt (no) deferrable initially deferred)")
            and None
        )
    )
    db = database.writer._db
    db.execute("pragma foreign_keys = on")

    async def orphan() -> None:
        await database.writer.submit(lambda db: db.execute("insert into child values (12345)") and None)

    results = await asyncio.gather(orphan(), database.queue.add(make_prompt("p"), now=NOW), return_exceptions=True)
    assert all(isinstance(result, StoreUnavailable) for result in results)
    assert await database.records.get(Prompt, "p") is None
    assert (await database.queue.add(make_prompt("p"), now=NOW)).created


async def test_close_commits_what_waits_and_then_refuses(tmp_path: Path) -> None:
    database = Database(tmp_path / "promptd.db")
    adds = [asyncio.ensure_future(database.queue.add(make_prompt(f"p{number}"), now=NOW)) for number in range(50)]
    await asyncio.sleep(0)
    await database.close()
    assert all(add.result().created for add in adds)
    with pytest.raises(StoreUnavailable):
        await database.queue.add(make_prompt("late"), now=NOW)
    again = Database(tmp_path / "promptd.db")
    assert await again.records.get(Prompt, "p49") is not None
    await again.close()


def put(name: str) -> Callable[[sqlite3.Connection], None]:
    def work(db: sqlite3.Connection) -> None:
        db.execute("insert into record (kind, id, version, data) values ('k', ?, 0, x'00')", (name,))

    return work


async def names(database: Database) -> list[str]:
    return await database.writer.submit(lambda db: [row[0] for row in db.execute("select id from record order by id")])


async def written(database: Database) -> None:
    """Wait until what was submitted has run, and its transaction is open still."""
    while not database.writer._batch:
        await asyncio.sleep(0)
    assert database.writer._db.in_transaction


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only other work ends the patience."""
    monkeypatch.setattr(writer, "_PATIENCE", 1e6)


@pytest.mark.usefixtures("patient")
async def test_patient_work_is_committed_with_what_somebody_waits_for(database: Database) -> None:
    said: list[str] = []
    database.writer._db.set_trace_callback(said.append)
    first = database.writer.submit(put("a"), patient=True)
    await written(database)
    second = database.writer.submit(put("b"), patient=True)
    while len(database.writer._batch) < 2:
        await asyncio.sleep(0)
    assert not first.done()
    assert not second.done()
    assert await database.records.get(Prompt, "a") is None  # nobody has to wait for a transaction that is open
    await database.writer.submit(put("c"))
    database.writer._db.set_trace_callback(None)
    await asyncio.gather(first, second)
    assert [one.lower() for one in said if one.lower() in ("begin immediate", "commit")] == [
        "begin immediate",
        "commit",
    ]
    assert await names(database) == ["a", "b", "c"]


async def test_patient_work_alone_is_committed_all_the_same(database: Database, tmp_path: Path) -> None:
    for name in ("a", "b"):
        await database.writer.submit(put(name), patient=True)
    copy = copy_as_a_crash_leaves_it(database.path, tmp_path / "copy")
    assert copy.execute("select count(*) from record").fetchone() == (2,)
    copy.close()


@pytest.mark.usefixtures("patient")
async def test_close_commits_patient_work(tmp_path: Path) -> None:
    database = Database(tmp_path / "promptd.db")
    open_still = database.writer.submit(put("a"), patient=True)
    await written(database)
    await database.close()
    assert open_still.done()
    await open_still
    again = Database(tmp_path / "promptd.db")
    assert await names(again) == ["a"]
    await again.close()


@pytest.mark.usefixtures("patient")
async def test_a_store_that_fails_later_acknowledges_no_patient_work(database: Database) -> None:
    def full(db: sqlite3.Connection) -> None:
        pages = db.execute("pragma page_count").fetchone()[0]
        db.execute(f"pragma max_page_count = {pages}")
        db.execute("insert into record (kind, id, version, data) values ('k', 'large', 0, zeroblob(1000000))")

    first = database.writer.submit(put("a"), patient=True)
    await written(database)
    results = await asyncio.gather(first, database.writer.submit(full, patient=True), return_exceptions=True)
    assert all(isinstance(result, StoreUnavailable) for result in results)
    database.writer._db.execute("pragma max_page_count = 1000000")
    await database.writer.submit(put("b"))
    assert await names(database) == ["b"]


@pytest.mark.usefixtures("patient")
async def test_a_bad_job_beside_patient_work_costs_only_itself(database: Database) -> None:
    first = database.writer.submit(put("a"), patient=True)
    await written(database)
    with pytest.raises(RuntimeError):
        await database.writer.submit(_bug)
    await first
    assert await names(database) == ["a"]
