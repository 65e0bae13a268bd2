"""Limits that survive a restart: counters decide, changed ones are stored behind them.

Whoever builds the service says where they are kept. A crash forgets what rates were charged since the last flush. Budgets
can be counted again from the rows of what was done, exactly; concurrency ends with the process and is never stored.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import cast

from promptd.core import budgets
from promptd.core.limits import Reservation
from promptd.core.policy import Charge, Level, Policy, Stand, bill_of
from promptd.limits.counters import key_of
from promptd.limits.kinds import Key
from promptd.limits.memory import MemoryLimits

#: Every stored counter that is not idle at a time (UTC seconds); what is idle may be deleted
Load = Callable[[float], Awaitable[Mapping[Key, Stand]]]

#: Store these counters over older ones of the same keys, all or none; what is idle at a time may be deleted instead
Save = Callable[[Mapping[Key, Stand], float], Awaitable[None]]

#: How much of a budget a subject has used in the period that it is in (UTC seconds), by the rows of what was done; None
#: where they can't tell
Recount = Callable[[Policy, str, float], Awaitable[int | None]]

#: Counters per call of `save`, so that one flush never holds the store for long
_BATCH = 1000


class PersistentLimits:
    """The port over the counters of `memory`, loaded at the start and flushed by upkeep."""

    def __init__(self, memory: MemoryLimits, load: Load, save: Save, recount: Recount | None = None) -> None:
        """`recount` is asked when a subject of a budget is seen for the first time, and counts more than what was stored."""
        self._counters = self.at_once = memory.counters
        self._counters.recounts = recount is not None
        self._load = load
        self._save = save
        self._recount = recount

    async def start(self, now: float) -> None:
        """Take over what an earlier process stored; call it once, before the first reservation."""
        self._counters.restore(await self._load(now), now)

    async def flush(self, now: float) -> None:
        """Store what has changed since the last flush; upkeep calls it about once a second and at the end.

        Raises what `save` raises; then nothing is lost and the next flush tries again.
        """
        waiting = self._counters.changes()
        try:
            while batch := list(islice(waiting, _BATCH)):
                await self._save(self._counters.stands(batch, now), now)
                for key in batch:
                    del waiting[key]
        finally:
            self._counters.changed.update(waiting)

    async def reserve(self, charges: Iterable[Charge], *, now: float) -> Reservation:
        bill = bill_of(charges)
        reservation = self._counters.reserve(bill, now)
        if reservation is None:
            for one in bill:
                if one.policy.period is not None and not self._counters.knows(key_of(one)):
                    await self._begin(one, now)
            reservation = self._counters.reserve(bill, now, True)
        return cast(Reservation, reservation)

    async def settle(self, reservation: Reservation, actual: Mapping[str, int], *, now: float) -> None:
        self._counters.settle(reservation, actual, now)

    async def release(self, reservation: Reservation, *, now: float) -> None:
        self._counters.release(reservation, now)

    async def peek(self, charges: Iterable[Charge], *, now: float) -> Sequence[Level]:
        return self._counters.levels(bill_of(charges), now)

    async def _begin(self, one: Charge, now: float) -> None:
        used = await self._recount(one.policy, one.subject, now) if self._recount is not None else None
        if used is not None:
            if one.policy.header is not None and one.policy.period is not None:
                # rows of an older promptd do not tell what they were counted for, and those of a budget that was set in
                # the middle of its period neither
                key, end = key_of(one), budgets.bounds(one.policy.period, now)[1]
                stored = self._counters.stands([key], now)[key]
                used = max(used, stored.used if stored.until == end else 0)
            self._counters.begin(one.policy, one.subject, used, now)
