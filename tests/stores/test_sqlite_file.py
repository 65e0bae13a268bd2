"""The database file: what is opened, what is refused, backup, restore and migrations."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from promptd.core.errors import StoreUnavailable
from promptd.core.model import Prompt
from promptd.stores.sqlite import Database
from promptd.stores.sqlite import database as module
from promptd.testing.store.samples import NOW, make_prompt


async def make(path: Path, *identifiers: str) -> None:
    database = Database(path)
    await asyncio.gather(*[database.queue.add(make_prompt(name), now=NOW) for name in identifiers])
    await database.close()


async def held(path: Path) -> set[str]:
    database = Database(path)
    found = await database.writer.submit(lambda db: {row[0] for row in db.execute("select id from prompt")})
    await database.close()
    return found


async def test_a_new_file_gets_the_newest_schema(tmp_path: Path) -> None:
    path = tmp_path / "promptd.db"
    newest = module.migrations()[-1][0]
    assert module.pending(path) == [number for number, _ in module.migrations()]
    await make(path, "p")
    db = sqlite3.connect(path)
    assert module.version(db) == newest
    assert db.execute("pragma application_id").fetchone()[0] == module.APPLICATION_ID
    db.close()
    assert module.pending(path) == []
    assert await held(path) == {"p"}


async def test_a_corrupt_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "promptd.db"
    await make(path, *[f"p{number}" for number in range(200)])
    data = bytearray(path.read_bytes())
    for start in range(8192, len(data) - 4096, 4096):
        data[start : start + 512] = b"\xa5" * 512
    path.write_bytes(data)
    with pytest.raises(StoreUnavailable, match=r"promptd\.db"):
        Database(path)


@pytest.mark.parametrize("content", [b"not a database at all " * 100, b"SQLite format 3\x00" + b"\xff" * 5000])
async def test_what_is_no_database_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "promptd.db"
    path.write_bytes(content)
    with pytest.raises(StoreUnavailable):
        Database(path)
    assert path.read_bytes() == content


async def test_a_strangers_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    db = sqlite3.connect(path)
    db.execute("create table theirs (x)")
    db.execute("insert into theirs values (1)")
    db.commit()
    db.close()
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match="not one of promptd"):
        Database(path)
    assert path.read_bytes() == before
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["other.db"]


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "promptd.db"
    await make(path, "p")
    db = sqlite3.connect(path)
    db.execute("pragma user_version = 9999")
    db.close()
    with pytest.raises(StoreUnavailable, match="upgrade promptd"):
        Database(path)


@pytest.mark.parametrize("name", ["missing/promptd.db", "folder"])
async def test_a_path_that_can_not_be_opened_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(StoreUnavailable, match=name):
        Database(tmp_path / name)


async def test_a_migration_keeps_a_copy_and_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "promptd.db"
    await make(path, "p")
    old = module.version(sqlite3.connect(path))
    known = module.migrations()
    monkeypatch.setattr(
        module,
        "migrations",
        lambda: [
            *known,
            (old + 1, "create table novelty (x integer);\ninsert into novelty select no from prompt;"),
            (old + 2, "alter table novelty add column y text;"),
        ],
    )
    assert module.pending(path) == [old + 1, old + 2]
    assert await held(path) == {"p"}
    db = sqlite3.connect(path)
    assert db.execute("select x, y from novelty").fetchall() == [(1, None)]
    assert module.version(db) == old + 2
    copy = sqlite3.connect(tmp_path / f"promptd.db.before-{old + 2:04d}")
    assert module.version(copy) == old
    assert copy.execute("select id from prompt").fetchall() == [("p",)]
    assert await held(path) == {"p"}, "a second start migrates nothing"


async def test_an_upgrade_that_is_cut_short_leaves_the_copy_from_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "promptd.db"
    await make(path, "p")
    known = module.migrations()
    old = known[-1][0]
    first = (old + 1, "create table novelty (x integer);")
    with monkeypatch.context() as patch:
        patch.setattr(module, "migrations", lambda: [*known, first, (old + 2, "insert into nowhere values (1);")])
        with pytest.raises(StoreUnavailable, match="migration"):
            Database(path)
    monkeypatch.setattr(
        module, "migrations", lambda: [*known, first, (old + 2, "alter table novelty add column y text;")]
    )
    assert await held(path) == {"p"}
    copy = sqlite3.connect(tmp_path / f"promptd.db.before-{old + 2:04d}")
    assert module.version(copy) == old, "the version of before can't read what was half upgraded"


async def test_a_migration_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "promptd.db"
    await make(path, "p")
    known = module.migrations()
    bad = (known[-1][0] + 1, "create table half (x);\ninsert into nowhere values (1);")
    with monkeypatch.context() as patch:
        patch.setattr(module, "migrations", lambda: [*known, bad])
        with pytest.raises(StoreUnavailable, match="migration"):
            Database(path)
    assert await held(path) == {"p"}
    db = sqlite3.connect(path)
    assert db.execute("select count(*) from sqlite_master where name = 'half'").fetchone() == (0,)
    db.close()


async def test_a_backup_while_others_write_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "promptd.db"
    database = Database(path)
    large = "x" * 20_000
    await asyncio.gather(*[database.queue.add(make_prompt(f"p{n}", model=large), now=NOW) for n in range(1000)])
    ended = asyncio.Event()

    async def write() -> int:
        count = 0
        while not ended.is_set():
            await database.queue.add(make_prompt(f"later{count}"), now=NOW)
            count += 1
        return count

    writer = asyncio.create_task(write())
    async with asyncio.timeout(20):
        await asyncio.to_thread(module.backup_file, path, tmp_path / "backup.db")
    ended.set()
    assert await writer > 0, "nothing was written meanwhile"
    await database.close()
    copied = await held(tmp_path / "backup.db")
    assert {f"p{n}" for n in range(1000)} <= copied
    assert not (tmp_path / "backup.db.part").exists()


async def test_a_backup_replaces_an_older_one_and_never_half(tmp_path: Path) -> None:
    path, destination = tmp_path / "promptd.db", tmp_path / "backup.db"
    await make(path, "p")
    module.backup_file(path, destination)
    (tmp_path / "backup.db.part").write_bytes(b"left by a crash")
    await make(path, "q")
    module.backup_file(path, destination)
    assert await held(destination) == {"p", "q"}
    path.write_bytes(b"broken " * 1000)
    with pytest.raises(StoreUnavailable):
        module.backup_file(path, destination)
    assert await held(destination) == {"p", "q"}


async def test_restore_keeps_the_old_file(tmp_path: Path) -> None:
    path, destination = tmp_path / "promptd.db", tmp_path / "backup.db"
    await make(path, "p")
    module.backup_file(path, destination)
    await make(path, "q")
    kept = module.restore(destination, path)
    assert kept is not None
    assert await held(path) == {"p"}
    assert await held(kept) == {"p", "q"}


async def test_restore_takes_what_only_the_wal_has_along(tmp_path: Path) -> None:
    path, destination = tmp_path / "promptd.db", tmp_path / "backup.db"
    await make(path, "p")
    module.backup_file(path, destination)
    database = Database(path)
    await database.queue.add(make_prompt("q"), now=NOW)
    for name in ("promptd.db", "promptd.db-wal"):  # as a crash leaves them
        (tmp_path / f"crashed-{name}").write_bytes((tmp_path / name).read_bytes())
    await database.close()
    kept = module.restore(destination, tmp_path / "crashed-promptd.db")
    assert kept is not None
    assert await held(kept) == {"p", "q"}
    assert await held(tmp_path / "crashed-promptd.db") == {"p"}


async def test_restore_replaces_a_damaged_file(tmp_path: Path) -> None:
    path, destination = tmp_path / "promptd.db", tmp_path / "backup.db"
    await make(path, "p")
    module.backup_file(path, destination)
    path.write_bytes(b"damaged " * 2000)
    kept = module.restore(destination, path)
    assert kept is not None
    assert kept.read_bytes() == b"damaged " * 2000
    assert await held(path) == {"p"}


async def test_restore_never_loses_what_an_earlier_one_kept(tmp_path: Path) -> None:
    path, destination = tmp_path / "promptd.db", tmp_path / "backup.db"
    await make(path, "p")
    module.backup_file(path, destination)
    await make(path, "q")
    first = module.restore(destination, path)
    second = module.restore(destination, path)
    assert first is not None
    assert second is not None
    assert await held(first) == {"p", "q"}
    assert await held(second) == {"p"}


async def test_restore_without_an_old_file(tmp_path: Path) -> None:
    await make(tmp_path / "promptd.db", "p")
    module.backup_file(tmp_path / "promptd.db", tmp_path / "backup.db")
    assert module.restore(tmp_path / "backup.db", tmp_path / "new.db") is None
    assert await held(tmp_path / "new.db") == {"p"}


@pytest.mark.parametrize("content", [b"", b"garbage " * 1000])
async def test_a_bad_backup_is_refused_and_the_file_stays(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "promptd.db"
    await make(path, "p")
    (tmp_path / "bad.db").write_bytes(content)
    with pytest.raises(StoreUnavailable):
        module.restore(tmp_path / "bad.db", path)
    with pytest.raises(StoreUnavailable):
        module.restore(tmp_path / "missing.db", path)
    assert await held(path) == {"p"}


async def test_a_prompt_is_read_after_reopening(tmp_path: Path) -> None:
    await make(tmp_path / "promptd.db", "p")
    database = Database(tmp_path / "promptd.db")
    assert await database.records.get(Prompt, "p") is not None
    await database.close()


async def test_a_deleted_file_takes_no_more_writes(tmp_path: Path) -> None:
    path = tmp_path / "promptd.db"
    database = Database(path)
    try:
        await database.queue.add(make_prompt("one"), now=NOW)
        kept = path.rename(tmp_path / "moved.db")
        with pytest.raises(StoreUnavailable):
            await database.queue.add(make_prompt("two"), now=NOW)
        assert database.writer.failure is not None
        assert "gone" in database.writer.failure
        kept.rename(path)
        await database.queue.add(make_prompt("three"), now=NOW)
        assert database.writer.failure is None
    finally:
        await database.close()


def test_a_file_that_is_no_database_is_told_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "promptd.db"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(StoreUnavailable, match=r"promptd\.db can't be read: .*promptd restore"):
        module.connect(path)


def test_a_file_that_another_process_holds_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "promptd.db"
    module.connect(path).close()
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("begin immediate")
    real = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **kwargs: real(*args, **(kwargs | {"timeout": 0})))
    with pytest.raises(StoreUnavailable, match=r"promptd\.db can't be opened: database is locked"):
        module.connect(path)
    other.close()
