"""The exam of a store, for the ports `Queue`, `Records` and `Ledger` together: inherit `StoreContract` and give one fixture.

    class TestSqlite(StoreContract):
        @pytest.fixture
        async def store(self, tmp_path):
            opened = MyStore(tmp_path)      # has .queue, .records, .ledger and reopen()
            yield opened
            await opened.close()

Each test gets an empty store. It needs pytest, pytest-asyncio and hypothesis.
"""

from __future__ import annotations

import pytest

from promptd.testing.store.adding import AddExam
from promptd.testing.store.books import BooksExam
from promptd.testing.store.ledger import LedgerExam
from promptd.testing.store.order import OrderExam
from promptd.testing.store.records import RecordsExam
from promptd.testing.store.rescuing import RescueExam
from promptd.testing.store.samples import Store
from promptd.testing.store.settling import SettleExam
from promptd.testing.store.threads import ThreadsExam
from promptd.testing.store.walk import WalkExam

__all__ = ["Store", "StoreContract"]


class StoreContract(
    AddExam, SettleExam, RescueExam, OrderExam, RecordsExam, ThreadsExam, LedgerExam, WalkExam, BooksExam
):
    """What every store promises."""

    @pytest.fixture
    def store(self) -> Store:
        raise AssertionError("give the fixture `store`")
