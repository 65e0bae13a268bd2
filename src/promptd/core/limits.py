"""The port behind policies: what counts them, in this process or on another machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from promptd.core.policy import NO_CHARGES, Bill, Charge, Level


class Reservation(Struct, frozen=True, eq=False):
    """What an admission holds until it is settled or released."""

    bill: Bill = NO_CHARGES
    marks: list[
        Any
    ] = []  #: what each charge led to, as the adapter notes it, who empties it at the end: there is one only


class LimitsAtOnce(Protocol):
    """Counters in this process: what `Limits` does, without waiting."""

    def reserve(self, bill: Bill, now: float) -> Reservation | None:
        """None where it has to wait for something this time: `Limits.reserve` does."""

    def settle(self, reservation: Reservation, actual: Mapping[str, int], now: float) -> None: ...

    def levels(self, bill: Bill, now: float) -> Sequence[Level]:
        """As `Limits.peek`."""


class Limits(Protocol):
    """Counters behind policies. A reservation is all or nothing."""

    @property
    def at_once(self) -> LimitsAtOnce | None:
        """The same counters for those who can't wait; None where they are on another machine."""

    async def reserve(self, charges: Iterable[Charge], *, now: float) -> Reservation:
        """Raises `TooManyRequests` with `retry_after`; then nothing is taken."""

    async def settle(self, reservation: Reservation, actual: Mapping[str, int], *, now: float) -> None:
        """Replace the reserved amounts by what was really used (`{"input_tokens": 12}`), and end concurrency.

        A request is one in any case.
        """

    async def release(self, reservation: Reservation, *, now: float) -> None:
        """Give everything back: the work did not happen."""

    async def peek(self, charges: Iterable[Charge], *, now: float) -> Sequence[Level]:
        """Limit, what is left and seconds to full, per charge; takes nothing."""
