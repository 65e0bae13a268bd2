"""The database file: opening, checking, migrating, backing up, restoring.

Migrations are numbered `.sql` files, forward only, each in one transaction with its `user_version`.
"""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from promptd.core.errors import StoreUnavailable
from promptd.stores.sqlite.ledger import SqliteLedger
from promptd.stores.sqlite.queue import SqliteQueue
from promptd.stores.sqlite.records import SqliteRecords
from promptd.stores.sqlite.writer import Writer

R = TypeVar("R", bound=Struct)

APPLICATION_ID = 0x70726F64  # "prod" in the file header, so that a stranger's database is never migrated


class Database:
    """The store ports on one file. Build it on a running loop; `close` commits what is waiting."""

    def __init__(
        self,
        path: Path,
        *,
        lease: float = 30.0,
        rescue_limit: int = 20,
        quarantine_after: int = 3,
        batch_seconds: float = 0.002,
        backup_before_migration: bool = True,
    ) -> None:
        self.path = path
        db = connect(path)
        migrate(db, path, keep_copy=backup_before_migration)
        opened = path.stat().st_ino
        self.writer = Writer(db, batch_seconds=batch_seconds, present=lambda: _inode(path) == opened)
        self.queue = SqliteQueue(self.writer, lease=lease, rescue_limit=rescue_limit, quarantine_after=quarantine_after)
        self.records = SqliteRecords(self.writer, str(path))
        self.ledger = SqliteLedger(self.writer, str(path))

    def live_lanes(self) -> tuple[str, ...]:
        """The lanes that hold unfinished prompts: one step in an index per lane. Raises `StoreUnavailable`."""
        return self.records.live_lanes()

    async def close(self) -> None:
        await self.writer.close()
        self.records.close()
        self.ledger.close()


def _inode(path: Path) -> int | None:
    """Which file the path leads to: one that was deleted can still be written, and everything written would be lost."""
    try:
        return path.stat().st_ino
    except OSError:
        return None


def connect(path: Path) -> sqlite3.Connection:
    """A writing connection to a checked file: WAL, every commit on disk before it returns. Raises `StoreUnavailable`."""
    try:
        db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256, timeout=5)
    except sqlite3.Error as error:
        raise StoreUnavailable(f"{path} can't be opened: {error}", detail=str(error)) from error
    try:
        check(db, path)  # before the first pragma that writes: a stranger's file stays as it is
        db.execute("pragma journal_mode = wal")
        db.execute("pragma synchronous = full")
        db.execute("pragma wal_autocheckpoint = 4000")
        db.execute("pragma journal_size_limit = 67108864")
        db.execute("pragma cache_size = -32768")
        db.execute("begin immediate")  # tells a file that can't be written now, with its path
        db.execute("rollback")
    except StoreUnavailable:
        db.close()
        raise
    except sqlite3.Error as error:
        db.close()
        raise StoreUnavailable(f"{path} can't be opened: {error}", detail=str(error)) from error
    return db


def migrations() -> list[tuple[int, str]]:
    """Every migration as (number, SQL), in order."""
    folder = files(__package__).joinpath("migrations")
    found = [
        (int(match[1]), entry.read_text(encoding="utf-8"))
        for entry in folder.iterdir()
        if (match := re.fullmatch(r"(\d{4})_\w+\.sql", entry.name))
    ]
    return sorted(found)


def version(db: sqlite3.Connection) -> int:
    number: int = db.execute("pragma user_version").fetchone()[0]
    return number


def check(db: sqlite3.Connection, path: Path) -> None:
    """Raise `StoreUnavailable` for a damaged file, a stranger's database or one of a newer promptd."""
    try:
        found = [row[0] for row in db.execute("pragma quick_check(3)").fetchall()]
        application = db.execute("pragma application_id").fetchone()[0]
        number = version(db)
        tables = db.execute("select count(*) from sqlite_master").fetchone()[0]
    except sqlite3.Error as error:
        damaged = error.sqlite_errorname in ("SQLITE_CORRUPT", "SQLITE_NOTADB")
        hint = "; restore a backup with `promptd restore`" if damaged else ""
        raise StoreUnavailable(f"{path} can't be read: {error}{hint}", detail=str(error)) from error
    if found != ["ok"]:
        raise StoreUnavailable(f"{path} is damaged ({found[0]}); restore a backup with `promptd restore`")
    if tables and application != APPLICATION_ID:
        raise StoreUnavailable(f"{path} is a database, but not one of promptd")
    newest = migrations()[-1][0]
    if number > newest:
        raise StoreUnavailable(f"{path} has schema {number}, this promptd knows up to {newest}: upgrade promptd")


def pending(path: Path) -> list[int]:
    """The numbers of migrations that the file at `path` still needs; all of them where there is no file."""
    if not path.exists():
        return [number for number, _ in migrations()]
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        return [number for number, _ in migrations() if number > version(db)]
    finally:
        db.close()


def read_all(path: Path, kind: type[R]) -> list[R]:
    """Every plain record of a kind in the file at `path`, which a server may be using; nothing is made beside it.

    Raises `StoreUnavailable` where it can't be read.
    """
    # without a log nobody has it open, and to open one to read would leave the log's files behind
    alone = "" if path.with_name(path.name + "-wal").exists() else "&immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro{alone}", uri=True)) as db:
            rows = db.execute("select data from record where kind = ?", (kind.__name__,)).fetchall()
        return [msgspec.msgpack.decode(data, type=kind) for (data,) in rows]
    except (sqlite3.Error, msgspec.MsgspecError) as error:
        raise StoreUnavailable(f"{path} can't be read: {error}", detail=str(error)) from error


def migrate(db: sqlite3.Connection, path: Path, *, keep_copy: bool = True) -> list[int]:
    """Apply what is missing; the numbers applied. An existing database is copied beside the file first; the copy of an
    upgrade that was cut short stays, as no other version can read what is half upgraded.

    Raises `StoreUnavailable` where a migration fails; then the file is as the last one that worked left it.
    """
    missing = [(number, sql) for number, sql in migrations() if number > version(db)]
    copy = path.with_name(f"{path.name}.before-{missing[-1][0]:04d}") if missing else None
    if copy is not None and keep_copy and version(db) > 0 and not _is_older(copy, version(db)):
        backup(db, copy)
    for number, sql in missing:
        try:
            db.executescript(
                f"begin immediate;\n{sql}\npragma user_version = {number};\n"
                f"pragma application_id = {APPLICATION_ID};\ncommit;"
            )
        except sqlite3.Error as error:
            db.close()
            raise StoreUnavailable(f"{path}: migration {number} failed: {error}", detail=str(error)) from error
    return [number for number, _ in missing]


def _is_older(copy: Path, schema: int) -> bool:
    """Whether there is a copy that can be read, from before `schema`."""
    try:
        with closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro", uri=True)) as db:
            return 0 < version(db) < schema
    except sqlite3.Error:
        return False


def backup(source: sqlite3.Connection, destination: Path) -> None:
    """An online copy: consistent whatever is being written, complete or not there at all."""
    part = destination.with_name(destination.name + ".part")
    part.unlink(missing_ok=True)
    copy = sqlite3.connect(part)
    try:
        source.backup(copy)  # in one step: between steps a write by somebody else would start it all over
        copy.execute("pragma journal_mode = delete")
    finally:
        copy.close()
    part.replace(destination)


def backup_file(path: Path, destination: Path) -> None:
    """Copy the database at `path` while a server may be using it."""
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        check(db, path)
        backup(db, destination)
    finally:
        db.close()


def restore(backup_path: Path, path: Path) -> Path | None:
    """Put a checked backup in the place of `path`; where the old file went, if there was one.

    The caller holds the data folder's lock: no server runs. Raises `StoreUnavailable` for a bad backup.
    """
    if not backup_path.is_file():
        raise StoreUnavailable(f"there is no backup {backup_path}")
    db = sqlite3.connect(f"{backup_path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        check(db, backup_path)
        if not db.execute("select count(*) from sqlite_master").fetchone()[0]:
            raise StoreUnavailable(f"{backup_path} is empty")
        fresh = path.with_name(path.name + ".restoring")
        backup(db, fresh)
    finally:
        db.close()
    kept = None
    if path.exists():
        kept = _put_aside(path)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    fresh.replace(path)
    return kept


def _put_aside(path: Path) -> Path:
    """Rename a database, whole or damaged, to a name that is free."""
    names = (path.with_name(f"{path.name}.replaced{number or ''}") for number in count())
    kept = next(name for name in names if not name.exists())
    old = sqlite3.connect(path)
    try:
        old.execute("pragma wal_checkpoint(truncate)")
    except sqlite3.Error:  # damaged: what its log holds stays beside it
        wal = path.with_name(path.name + "-wal")
        if wal.exists():
            wal.replace(kept.with_name(kept.name + "-wal"))
    finally:
        old.close()
    path.replace(kept)
    return kept
