"""Limits of one process, exact: nothing is awaited between the check and the taking, so callers can't interleave.

TATs are kept in seconds since the first call, not since 1970: small numbers keep the rounding error of a single token
around a millionth of what UTC seconds would make it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from itertools import count

from promptd.core.errors import InvalidRequest, Overloaded, TooManyRequests
from promptd.core.policy import Charge, Held, Level, Policy, charge, give_back, level, take
from promptd.core.ports import Reservation

#: A subject of a policy: the policy's name and whom it counts
Key = tuple[str, str]

#: How many of the subjects that were longest untouched a newcomer may look at to find room
_LOOK_AT = 16

#: Nobody knows when a running prompt ends; this is a polite time to ask again
_ASK_AGAIN = 1.0


def key_of(taken: Charge) -> Key:
    return taken.policy.name, taken.subject


class MemoryLimits:
    """GCRA for amounts per window, counters for concurrency.

    At most `max_subjects` are remembered. A newcomer takes the place of one that is fully idle, so nothing is
    forgotten that still counts; where none is found, it is refused with `Overloaded`.
    """

    def __init__(self, max_subjects: int = 100_000) -> None:
        self._max_subjects = max_subjects
        self._tats: OrderedDict[Key, float] = OrderedDict()
        self._running: dict[Key, int] = {}
        self._open: set[int] = set()
        self._numbers = count(1)
        self._origin: float | None = None

    async def reserve(self, charges: Sequence[Charge], *, now: float) -> Reservation:
        """Take all charges or none.

        Raises `TooManyRequests` with the seconds until all would fit, `Overloaded` where too many subjects are busy,
        `InvalidRequest` for a negative amount.
        """
        now = self._since_origin(now)
        tats: dict[Key, float] = {}
        running: dict[Key, int] = {}
        held: list[Held] = []
        refused: Policy | None = None
        longest = 0.0
        for index, wanted in enumerate(charges):
            policy, key, amount = wanted.policy, key_of(wanted), wanted.amount
            if amount < 0:
                raise InvalidRequest(field=f"charges[{index}].amount", expected="an integer of at least 0")
            if policy.metric == "concurrency":
                running[key] = running.get(key, self._running.get(key, 0)) + amount
                moved, wait = 0.0, _ASK_AGAIN if running[key] > policy.limit else 0.0
            else:
                moved, wait = take(policy, tats.get(key, self._tats.get(key)), amount, now)
                tats[key] = moved
            if wait > longest:
                refused, longest = policy, wait
            held.append(Held(wanted, next(self._numbers), moved))
        if refused is not None:
            raise TooManyRequests(f"the limit {refused.name!r} is reached", retry_after=longest)
        self._make_room(tats, running, now)
        for key, tat in tats.items():
            self._set(key, tat)
        self._running.update(running)
        self._open.update(one.number for one in held)
        return Reservation(tuple(held))

    async def settle(self, reservation: Reservation, actual: Mapping[str, int], *, now: float) -> None:
        """Replace the reserved amounts by the actual ones; metrics that `actual` does not name stay as reserved.

        What was used beyond the reservation is charged from now on, whether it fits or not. A second end of the same
        reservation does nothing. Raises `InvalidRequest` for a negative amount; then nothing is settled.
        """
        for metric, amount in actual.items():
            if amount < 0:
                raise InvalidRequest(field=f"actual.{metric}", expected="an integer of at least 0")
        now = self._since_origin(now)
        for one in self._end(reservation):
            reserved = one.charge.amount
            used = (
                reserved if one.charge.policy.metric == "requests" else actual.get(one.charge.policy.metric, reserved)
            )
            if used > reserved:
                key = key_of(one.charge)
                self._set(key, charge(one.charge.policy, self._tats.get(key), used - reserved, now))
            else:
                self._give_back(one, reserved - used, now)

    async def release(self, reservation: Reservation, *, now: float) -> None:
        """Give everything back. A second end of the same reservation does nothing."""
        now = self._since_origin(now)
        for one in self._end(reservation):
            self._give_back(one, one.charge.amount, now)

    async def peek(self, charges: Sequence[Charge], *, now: float) -> Sequence[Level]:
        """Where each charge's subject stands; `reset` of a concurrency limit is 0, as nobody knows it."""
        now = self._since_origin(now)
        return [
            Level(
                one.policy.name,
                one.policy.limit,
                max(0, one.policy.limit - self._running.get(key_of(one), 0)),
                0.0,
            )
            if one.policy.metric == "concurrency"
            else level(one.policy, self._tats.get(key_of(one)), now)
            for one in charges
        ]

    def tats(self, keys: Iterable[Key], now: float) -> dict[Key, float]:
        """The TATs of `keys` as UTC seconds, to be stored; `now` for those that are idle and forgotten."""
        origin = now - self._since_origin(now)
        return {key: origin + self._tats[key] if key in self._tats else now for key in keys}

    def restore(self, tats: Mapping[Key, float], now: float) -> None:
        """Begin with stored TATs (UTC seconds). Of more than fit, those that are blocked longest are kept."""
        origin = now - self._since_origin(now)
        busy = sorted(((tat, key) for key, tat in tats.items() if tat > now), reverse=True)
        self._tats = OrderedDict((key, tat - origin) for tat, key in busy[: self._max_subjects])

    def __len__(self) -> int:
        """How many subjects are remembered."""
        return len(self._tats) + len(self._running)

    def _since_origin(self, now: float) -> float:
        if self._origin is None:
            self._origin = now
        return now - self._origin

    def _set(self, key: Key, tat: float) -> None:
        self._tats[key] = tat
        self._tats.move_to_end(key)

    def _end(self, reservation: Reservation) -> list[Held]:
        """The charges that are still open and of an amount per window; all are closed, concurrency is given back."""
        ended = []
        for one in reservation.held:
            if one.number not in self._open:
                continue
            self._open.discard(one.number)
            if one.charge.policy.metric != "concurrency":
                ended.append(one)
                continue
            key = key_of(one.charge)
            left = self._running.get(key, 0) - one.charge.amount
            if left > 0:
                self._running[key] = left
            else:
                self._running.pop(key, None)
        return ended

    def _give_back(self, one: Held, amount: int, now: float) -> None:
        key = key_of(one.charge)
        tat = self._tats.get(key)
        if tat is not None:
            self._tats[key] = give_back(one.charge.policy, tat, amount, until=one.until, now=now)

    def _make_room(self, tats: Mapping[Key, float], running: Mapping[Key, int], now: float) -> None:
        """For those of the subjects that are new. Each call goes on where the last one stopped looking."""
        newcomers = len(tats.keys() - self._tats.keys()) + len(running.keys() - self._running.keys())
        missing = len(self) + newcomers - self._max_subjects
        if not newcomers or missing <= 0:
            return
        for _ in range(min(_LOOK_AT * missing, len(self._tats))):
            key, tat = next(iter(self._tats.items()))
            if tat > now or key in tats:
                self._tats.move_to_end(key)
                continue
            del self._tats[key]
            missing -= 1
            if not missing:
                return
        raise Overloaded("too many callers are counted at once", retry_after=_ASK_AGAIN)
