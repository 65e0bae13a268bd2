"""Limits that survive a restart: the memory limits decide, changed TATs are stored behind them.

Whoever builds the service says where the TATs are kept, so that limits and stores don't know each other. A crash
forgets what was charged since the last flush; concurrency ends with the process and is never stored.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from itertools import islice

from promptd.core.policy import Charge, Level
from promptd.core.ports import Reservation
from promptd.limits.memory import Key, MemoryLimits, key_of

#: Every stored TAT in UTC seconds; those in the past may be left out
Load = Callable[[], Awaitable[Mapping[Key, float]]]

#: Store these TATs over older ones of the same keys, all or none
Save = Callable[[Mapping[Key, float]], Awaitable[None]]

#: TATs per call of `save`, so that one flush never holds the store for long
_BATCH = 1000


class PersistentLimits:
    """The port of `memory`, with its TATs loaded at the start and flushed by upkeep."""

    def __init__(self, memory: MemoryLimits, load: Load, save: Save) -> None:
        self._memory = memory
        self._load = load
        self._save = save
        self._dirty: dict[Key, None] = {}

    async def start(self, now: float) -> None:
        """Take over what an earlier process stored; call it once, before the first reservation."""
        self._memory.restore(await self._load(), now)

    async def flush(self, now: float) -> None:
        """Store what has changed since the last flush; upkeep calls it about once a second and at the end.

        Raises what `save` raises; then nothing is lost and the next flush tries again.
        """
        waiting, self._dirty = self._dirty, {}
        try:
            while batch := list(islice(waiting, _BATCH)):
                await self._save(self._memory.tats(batch, now))
                for key in batch:
                    del waiting[key]
        finally:
            self._dirty.update(waiting)

    async def reserve(self, charges: Sequence[Charge], *, now: float) -> Reservation:
        reservation = await self._memory.reserve(charges, now=now)
        self._touch(charges)
        return reservation

    async def settle(self, reservation: Reservation, actual: Mapping[str, int], *, now: float) -> None:
        await self._memory.settle(reservation, actual, now=now)
        self._touch(one.charge for one in reservation.held)

    async def release(self, reservation: Reservation, *, now: float) -> None:
        await self._memory.release(reservation, now=now)
        self._touch(one.charge for one in reservation.held)

    async def peek(self, charges: Sequence[Charge], *, now: float) -> Sequence[Level]:
        return await self._memory.peek(charges, now=now)

    def _touch(self, charges: Iterable[Charge]) -> None:
        self._dirty.update((key_of(one), None) for one in charges if one.policy.metric != "concurrency")
