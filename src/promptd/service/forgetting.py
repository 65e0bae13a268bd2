"""The end of texts: after a time, final prompts keep their rows and numbers, but not what was asked and answered."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from promptd.core.chain import ChainRun, RunStatus, StepResult
from promptd.core.filters import Filter, Query
from promptd.core.lifecycle import Status
from promptd.core.model import Key
from promptd.core.ports import Ledger, Records, Retention

_log = logging.getLogger(__name__)
#: as which prompts runs are kept; one that is not over has no end to count from
_STATUSES: Final[Mapping[RunStatus, Status]] = {
    "running": Status.RUNNING,
    "completed": Status.COMPLETED,
    "failed": Status.ABANDONED,
    "canceled": Status.CANCELED,
}
_KEYS: Final = Query(filters=(Filter("retention", "ne", None),), limit=1000)


class Forgetting:
    """A chore. `age` is in seconds since a prompt finished, None for ever; a key may have an age of its own.

    `retention` are the rules by which prompts are deleted: runs of chains go by them too.
    """

    def __init__(
        self, *, ledger: Ledger, records: Records, age: float | None = None, retention: Sequence[Retention] = ()
    ) -> None:
        self._ledger, self._records = ledger, records
        self.age, self.retention = age, retention

    async def run(self, now: float) -> int:
        """Remove the texts whose time is over; of how many prompts. Raises `StoreUnavailable`."""
        ages = await self._ages()
        gone = await self._ledger.forget(self.age, ages, now=now)
        gone += await self._forget_runs(ages, now)
        if gone:
            _log.info("removed the texts of %d prompts", gone, extra={"action": "texts_removed", "count": gone})
        return gone

    async def _forget_runs(self, ages: dict[str, float], now: float) -> int:
        """Runs of chains hold texts of their prompts too, and go when prompts of their status do."""
        kept = {rule.status: rule.age for rule in self.retention}
        gone = 0
        query = Query(limit=200)
        while self.age is not None or ages or kept:
            page = await self._records.find(ChainRun, query)
            for run in page.items:
                if run.finished is None:
                    continue
                age, life = ages.get(run.key, self.age), kept.get(_STATUSES[run.status])
                if life is not None and run.finished + life <= now:
                    await self._forget_steps(run)
                    await self._records.delete(ChainRun, run.id)
                elif age is not None and run.finished + age <= now and not run.forgotten:
                    await self._forget_steps(run)
                    await self._records.put(run.silenced())
                    gone += 1
            if page.after is None:
                break
            query = replace(query, after=page.after)
        return gone

    async def _forget_steps(self, run: ChainRun) -> None:
        for name, step in run.steps.items():
            if step.status == "completed":
                await self._records.delete(StepResult, f"{run.id}.{name}")

    async def _ages(self) -> dict[str, float]:
        ages: dict[str, float] = {}
        query = _KEYS
        while True:
            page = await self._records.find(Key, query)
            ages |= {key.id: key.retention for key in page.items if key.retention is not None}
            if page.after is None:
                return ages
            query = replace(query, after=page.after)
