"""The end of texts: after a time, final prompts keep their rows and numbers, but not what was asked and answered."""

from __future__ import annotations

import logging
from typing import Final

from msgspec.structs import replace

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
        gone = await self._ledger.forget(self.age, await self._ages(), now=now)
        if gone:
            _log.info("removed the texts of %d prompts", gone, extra={"action": "texts_removed", "count": gone})
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
