"""SQLite sits the exam of stores."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from promptd.core.ports import Ledger, Queue, Records
from promptd.stores.sqlite import Database
from promptd.testing.store import StoreContract
from promptd.testing.store.walk import WalkExam


class SqliteStore:
    def __init__(self, path: Path, *, quarantine_after: int = 3) -> None:
        self._path, self._quarantine_after = path, quarantine_after
        self._database = Database(path, quarantine_after=quarantine_after)

    @property
    def queue(self) -> Queue:
        return self._database.queue

    @property
    def records(self) -> Records:
        return self._database.records

    @property
    def ledger(self) -> Ledger:
        return self._database.ledger

    async def reopen(self) -> None:
        await self._database.close()
        self._database = Database(self._path, quarantine_after=self._quarantine_after)

    async def close(self) -> None:
        await self._database.close()


class TestSqlite(StoreContract):
    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[SqliteStore]:
        store = SqliteStore(tmp_path / "promptd.db")
        yield store
        await store.close()


class TestSqliteWithSuspects(WalkExam):
    """Random walks in which every rescued prompt may only run alone."""

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[SqliteStore]:
        store = SqliteStore(tmp_path / "promptd.db", quarantine_after=1)
        yield store
        await store.close()
