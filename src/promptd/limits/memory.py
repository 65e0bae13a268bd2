"""Limits of one process."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from promptd.core.limits import Reservation
from promptd.core.policy import Charge, Level, bill_of
from promptd.limits.counters import Counters


class MemoryLimits:
    """The port over counters that end with the process. At most `max_subjects` are remembered."""

    def __init__(self, max_subjects: int = 100_000) -> None:
        self.counters = self.at_once = Counters(max_subjects)

    async def reserve(self, charges: Iterable[Charge], *, now: float) -> Reservation:
        return cast(Reservation, self.counters.reserve(bill_of(charges), now))  # nothing is ever recounted

    async def settle(self, reservation: Reservation, actual: Mapping[str, int], *, now: float) -> None:
        self.counters.settle(reservation, actual, now)

    async def release(self, reservation: Reservation, *, now: float) -> None:
        self.counters.release(reservation, now)

    async def peek(self, charges: Iterable[Charge], *, now: float) -> Sequence[Level]:
        return self.counters.levels(bill_of(charges), now)

    def __len__(self) -> int:
        """How many subjects are remembered."""
        return len(self.counters)
