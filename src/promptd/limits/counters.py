"""The counters of one process, exact: nothing is awaited between the check and the taking, so callers can't interleave.

TATs are kept in seconds since the first call, not since 1970: small numbers keep the rounding error of a single token
around a millionth of what UTC seconds would make it.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, cast

from msgspec.structs import replace

from promptd.core import budgets
from promptd.core.budgets import Balance
from promptd.core.errors import BudgetSpent, InvalidRequest, Overloaded, TooManyRequests
from promptd.core.policy import Charge, Held, Level, Mark, Policy, Rate, Stand
from promptd.core.ports import Reservation

#: A subject of a policy: the policy's name and whom it counts
Key = tuple[str, str]

#: How many of the subjects that were longest untouched a newcomer may look at to find room
_LOOK_AT: Final = 16

#: Nobody knows when what runs will end; this is a polite time to ask again
_ASK_AGAIN: Final = 1.0


class _Refused(NamedTuple):
    wait: float  #: seconds until it would fit
    policy: Policy
    spent: bool = False  #: nothing fits before a budget's next period


def key_of(taken: Charge) -> Key:
    return taken.policy.name, taken.subject


class Counters:
    """GCRA for amounts per window, balances for budgets, plain numbers for concurrency.

    At most `max_subjects` are remembered. A newcomer takes the place of one that is fully idle, so nothing is
    forgotten that still counts; where none is found, it is refused with `Overloaded`.
    """

    def __init__(self, max_subjects: int) -> None:
        self._max_subjects = max_subjects
        self._rates: OrderedDict[Key, Rate] = OrderedDict()
        # looked up once: an ordered dict's methods are found by name each time
        self._find, self._touch = self._rates.get, self._rates.move_to_end
        self._balances: OrderedDict[Key, Balance] = OrderedDict()
        self._running: dict[Key, int] = {}
        self._open: set[int] = set()
        self._number = 0
        self._origin: float | None = None  # UTC seconds of the first call
        self.changed: dict[Key, None] = {}  #: what has moved since somebody looked; whoever stores it empties it

    def __len__(self) -> int:
        """How many subjects are remembered."""
        return len(self._rates) + len(self._balances) + len(self._running)

    def reserve(self, charges: Sequence[Charge], now: float) -> Reservation:
        """Take all charges or none.

        Raises `TooManyRequests` with the seconds until all would fit, `BudgetSpent` where that is the next period of a
        budget, both with the levels of all charges; `Overloaded` where too many subjects are busy; `InvalidRequest` for a
        negative amount.
        """
        since = now - (self._begin_at(now) if self._origin is None else self._origin)
        find, touch, changed = self._find, self._touch, self.changed
        marks: list[Mark | None] = []  # what each charge led to; None where it does not fit
        refusals: list[_Refused] = []
        try:
            for wanted in charges:
                policy, amount = wanted.policy, wanted.amount
                if amount < 0:
                    raise InvalidRequest(field=f"charges[{len(marks)}].amount", expected="an integer of at least 0")
                key = policy.name, wanted.subject
                mark: Mark | _Refused
                if policy.metric == "concurrency":
                    mark = self._enter(key, wanted, since, now)
                elif policy.period is not None:
                    mark = self._hold(key, wanted, since, now)
                else:
                    rate = find(key)
                    if rate is None or rate.policy is not policy:
                        rate = self._rate(key, policy, since, now)
                    if wait := rate.take(amount, since):
                        refusals.append(_Refused(wait, policy))
                        marks.append(None)
                    else:
                        touch(key)
                        changed[key] = None
                        marks.append(rate.tat)
                    continue
                if isinstance(mark, _Refused):
                    refusals.append(mark)
                    marks.append(None)
                else:
                    marks.append(mark)
        except (InvalidRequest, Overloaded):
            self._give_back_all(charges, marks, since, now)
            raise
        if refusals:
            self._give_back_all(charges, marks, since, now)
            raise self._refusal(refusals, self.levels(charges, now))
        number = self._number = self._number + 1
        self._open.add(number)
        return Reservation(charges, marks, number)

    def settle(self, reservation: Reservation, actual: Mapping[str, int], now: float) -> None:
        """Replace the reserved amounts by the actual ones; metrics that `actual` does not name stay as reserved.

        What was used beyond the reservation is charged from now on, whether it fits or not. A second end of the same
        reservation does nothing. Raises `InvalidRequest` for a negative amount; then nothing is settled.
        """
        if actual and min(actual.values()) < 0:
            wrong = next(metric for metric, amount in actual.items() if amount < 0)
            raise InvalidRequest(field=f"actual.{wrong}", expected="an integer of at least 0")
        if not self._end(reservation):
            return
        since = now - (self._begin_at(now) if self._origin is None else self._origin)
        for taken, mark in zip(reservation.charges, reservation.marks):  # noqa: B905 - to say `strict` costs as much
            policy, reserved = taken.policy, taken.amount
            metric = policy.metric
            if metric == "concurrency":
                self._leave(taken)
                continue
            used = reserved if metric == "requests" else actual.get(metric, reserved)
            if policy.period is not None:
                self._let_go(taken, mark, used, now)
            elif used < reserved:
                self._give_back(taken, mark, reserved - used, since)
            elif used > reserved:
                key = policy.name, taken.subject
                self._rate(key, policy, since, now).charge(used - reserved, since)
                self._rates.move_to_end(key)
                self.changed[key] = None

    def release(self, reservation: Reservation, now: float) -> None:
        """Give everything back. A second end of the same reservation does nothing."""
        if self._end(reservation):
            since = now - (self._begin_at(now) if self._origin is None else self._origin)
            self._give_back_all(reservation.charges, reservation.marks, since, now)

    def levels(self, charges: Sequence[Charge], now: float) -> list[Level]:
        """Where each charge's subject stands; `reset` of a concurrency limit is 0, as nobody knows it."""
        since = now - (self._begin_at(now) if self._origin is None else self._origin)
        find = self._find
        found: list[Level] = []
        for one in charges:
            policy = one.policy
            name = policy.name
            key = name, one.subject
            if policy.metric == "concurrency":
                limit = policy.limit
                left = limit - self._running.get(key, 0)
                found.append(Level(name, limit, left if left > 0 else 0, 0.0, "concurrency", 0.0))
            elif policy.period is not None:
                found.append(budgets.level(policy, self._balances.get(key), now))
            else:
                rate = find(key)
                if rate is None or rate.policy is not policy:
                    rate = Rate(policy, -math.inf if rate is None else rate.tat)
                found.append(rate.level(policy, since))
        return found

    def stands(self, keys: Iterable[Key], now: float) -> dict[Key, Stand]:
        """How `keys` stand, to be stored; as idle, those that are forgotten. What runs is not in it."""
        origin = self._begin_at(now) if self._origin is None else self._origin
        found: dict[Key, Stand] = {}
        for key in keys:
            balance = self._balances.get(key)
            if balance is not None:
                found[key] = Stand(balance.until, balance.used)
            else:
                rate = self._rates.get(key)
                found[key] = Stand(now if rate is None else origin + rate.tat)
        return found

    def restore(self, stands: Mapping[Key, Stand], now: float) -> None:
        """Begin with what was stored. Of more than fit, those that are blocked longest are kept."""
        origin = self._begin_at(now) if self._origin is None else self._origin
        busy = sorted(((one.until, key, one) for key, one in stands.items() if one.until > now), reverse=True)
        for until, key, one in reversed(busy[: self._max_subjects]):
            if one.used:
                self._balances[key] = Balance(until, one.used)
            else:
                self._rates[key] = Rate(None, until - origin)

    def knows(self, key: Key) -> bool:
        """Whether this process has counted a budget for the subject, or was told what was used of it."""
        balance = self._balances.get(key)
        return balance is not None and balance.period is not None

    def begin(self, policy: Policy, subject: str, used: int, now: float) -> None:
        """What a subject has used of a budget's period, if it is not known yet. Raises `Overloaded`."""
        key = policy.name, subject
        if self.knows(key):
            return
        if key not in self._balances:
            self._make_room(now - (self._begin_at(now) if self._origin is None else self._origin), now)
        self._balances[key] = replace(budgets.open_balance(policy, now), used=used)

    # ---------------------------------------------------------------- taking

    def _rate(self, key: Key, policy: Policy, since: float, now: float) -> Rate:
        """Of a subject that may be new, or whose policy may have changed."""
        rate = self._rates.get(key)
        if rate is None:
            self._make_room(since, now)
            rate = self._rates[key] = Rate(policy)
        elif rate.policy is not policy:
            rate.follow(policy)
        return rate

    def _hold(self, key: Key, wanted: Charge, since: float, now: float) -> Mark | _Refused:
        """Of a budget."""
        policy, balance = wanted.policy, self._balances.get(key)
        self.changed[key] = None
        if balance is None:
            self._make_room(since, now)
            balance = self._balances[key] = budgets.open_balance(policy, now)
        else:
            budgets.renew(balance, policy, now)
            self._balances.move_to_end(key)
        amount = budgets.fits(policy, balance, wanted.amount, wanted.known)
        if amount is None:
            if budgets.is_spent(policy, balance, wanted.known):
                return _Refused(balance.until - now, policy, spent=True)
            return _Refused(_ASK_AGAIN, policy)
        last = amount < wanted.amount
        balance.held += amount
        balance.last = balance.last or last
        return Held(amount, last)

    def _enter(self, key: Key, wanted: Charge, since: float, now: float) -> Mark | _Refused:
        """Of a limit on concurrency."""
        running = self._running.get(key)
        if running is None:
            self._make_room(since, now)
            running = 0
        running += wanted.amount
        if running > wanted.policy.limit:
            return _Refused(_ASK_AGAIN, wanted.policy)
        self._running[key] = running
        return 0.0

    def _refusal(self, refusals: Sequence[_Refused], levels: Sequence[Level]) -> TooManyRequests:
        worst = max(refusals, key=lambda one: one.wait)
        name = worst.policy.name
        error: TooManyRequests
        if worst.spent:
            error = BudgetSpent(f"the budget {name!r} is used up", retry_after=worst.wait)
        elif worst.policy.period is not None:
            error = TooManyRequests(f"what is left of the budget {name!r} is in use", retry_after=worst.wait)
        else:
            error = TooManyRequests(f"the limit {name!r} is reached", retry_after=worst.wait)
        error.levels = levels
        return error

    # ---------------------------------------------------------------- giving back

    def _end(self, reservation: Reservation) -> bool:
        """Close a reservation; whether it was open."""
        if reservation.number not in self._open:
            return False
        self._open.remove(reservation.number)
        return True

    def _give_back_all(self, charges: Sequence[Charge], marks: Sequence[Mark | None], since: float, now: float) -> None:
        for taken, mark in zip(charges, marks, strict=False):  # behind the one that could not be looked at are none
            if mark is None:
                continue
            if taken.policy.rate:
                self._give_back(taken, mark, taken.amount, since)
            elif taken.policy.period is not None:
                self._let_go(taken, mark, 0, now)
            else:
                self._leave(taken)

    def _let_go(self, taken: Charge, mark: Mark | None, used: int, now: float) -> None:
        """Of a budget."""
        key, held = key_of(taken), cast(Held, mark)
        balance = self._balances[key]
        self.changed[key] = None
        budgets.renew(balance, taken.policy, now)
        balance.held -= held.amount
        balance.used += used
        balance.last = balance.last and not held.last

    def _leave(self, taken: Charge) -> None:
        """Of a limit on concurrency."""
        key = taken.policy.name, taken.subject
        left = self._running.get(key, 0) - taken.amount
        if left > 0:
            self._running[key] = left
        else:
            self._running.pop(key, None)

    def _give_back(self, taken: Charge, mark: Mark | None, amount: int, since: float) -> None:
        """Of a rate; `mark` is the TAT that the charge had led to."""
        policy = taken.policy
        key = policy.name, taken.subject
        find = self._find
        rate = find(key)
        if rate is not None:
            if rate.policy is not policy:
                rate.follow(policy)
            rate.give_back(amount, mark, since)  # type: ignore[arg-type]  # of a rate it is a number
            self.changed[key] = None

    # ---------------------------------------------------------------- memory

    def _begin_at(self, now: float) -> float:
        """The first call: times are told from here on."""
        self._origin = now
        return now

    def _make_room(self, since: float, now: float) -> None:
        """For a subject that is new. Each call goes on where the last one stopped looking. Raises `Overloaded`."""
        if len(self) < self._max_subjects:
            return
        for _ in range(min(_LOOK_AT, len(self._rates))):
            key, rate = next(iter(self._rates.items()))
            if rate.tat <= since:
                del self._rates[key]
                self.changed[key] = None
                return
            self._rates.move_to_end(key)
        for _ in range(min(_LOOK_AT, len(self._balances))):
            key, balance = next(iter(self._balances.items()))
            if not balance.held and (balance.until <= now or not balance.used):
                del self._balances[key]
                self.changed[key] = None
                return
            self._balances.move_to_end(key)
        raise Overloaded("too many callers are counted at once", retry_after=_ASK_AGAIN)
