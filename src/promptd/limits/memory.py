"""Limits of one process."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from promptd.core.policy import Charge, Level
from promptd.core.ports import Reservation
from promptd.limits.counters import Counters


class MemoryLimits:
    """The port over counters that end with the process. At most `max_subjects` are remembered."""

    def __init__(self, max_subjects: int = 100_000) -> None:
        self.counters = Counters(max_subjects)

    async def reserve(self, charges: Sequence[Charge], *, now: float) -> Reservation:
        return self.counters.reserve(charges, now)

    async def settle(self, reservation: Reservation, actual: Mapping[str, int], *, now: float) -> None:
        self.counters.settle(reservation, actual, now)

    async def release(self, reservation: Reservation, *, now: float) -> None:
        self.counters.release(reservation, now)

    async def peek(self, charges: Sequence[Charge], *, now: float) -> Sequence[Level]:
        return self.counters.levels(charges, now)

    def __len__(self) -> int:
        """How many subjects are remembered."""
        return len(self.counters)
