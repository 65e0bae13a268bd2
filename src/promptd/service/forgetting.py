"""The end of texts: after a time, final prompts keep their rows and numbers, but not what was asked and answered."""

from __future__ import annotations

import logging
from typing import Final

from msgspec.structs import replace

from promptd.core.chain import ChainRun
from promptd.core.filters import Filter, Query
from promptd.core.model import Key
from promptd.core.ports import Ledger, Records

_log = logging.getLogger(__name__)
_KEYS: Final = Query(filters=(Filter("retention", "ne", None),), limit=1000)


class Forgetting:
    """A chore. `age` is in seconds since a prompt finished, None for ever; a key may have an age of its own."""

    def __init__(self, *, ledger: Ledger, records: Records, age: float | None = None) -> None:
        self._ledger, self._records = ledger, records
        self.age = age

    async def run(self, now: float) -> int:
        """Remove the texts whose time is over; of how many prompts. Raises `StoreUnavailable`."""
        ages = await self._ages()
        gone = await self._ledger.forget(self.age, ages, now=now)
        gone += await self._forget_runs(ages, now)
        if gone:
            _log.info("removed the texts of %d prompts", gone, extra={"action": "texts_removed", "count": gone})
        return gone

    async def _forget_runs(self, ages: dict[str, float], now: float) -> int:
        """Runs of chains hold texts of their prompts too."""
        gone = 0
        query = Query(limit=200)
        while self.age is not None or ages:
            page = await self._records.find(ChainRun, query)
            for run in page.items:
                age = ages.get(run.key, self.age)
                if age is None or run.finished is None or run.finished + age > now or run.silent:
                    continue
                await self._records.put(run.silenced())
                gone += 1
            if page.after is None:
                break
            query = replace(query, after=page.after)
        return gone

    async def _ages(self) -> dict[str, float]:
        ages: dict[str, float] = {}
        query = _KEYS
        while True:
            page = await self._records.find(Key, query)
            ages |= {key.id: key.retention for key in page.items if key.retention is not None}
            if page.after is None:
                return ages
            query = replace(query, after=page.after)
