"""The counters of one process, exact: nothing is awaited between the check and the taking, so callers can't interleave.

TATs are kept in seconds since the first call, not since 1970: small numbers keep the rounding error of a single token
around a millionth of what UTC seconds would make it.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from msgspec.structs import replace

from promptd.core import budgets
from promptd.core.budgets import Balance
from promptd.core.errors import BudgetSpent, InvalidRequest, Overloaded, TooManyRequests
from promptd.core.policy import Charge, Held, Level, Policy, Rate, Stand
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
        self._balances: OrderedDict[Key, Balance] = OrderedDict()
        self._running: dict[Key, int] = {}
        self._open: set[int] = set()
        self._number = 0
        self._origin: float | None = None
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
        since = self._since_origin(now)
        number = self._number = self._number + 1
        rates, changed = self._rates, self.changed
        held: list[Held] = []
        before: list[float] = []  # the TATs that `held` moved
        refusals: list[_Refused] = []
        try:
            for wanted in charges:
                policy, amount = wanted.policy, wanted.amount
                if amount < 0:
                    raise InvalidRequest(
                        field=f"charges[{len(held) + len(refusals)}].amount", expected="an integer of at least 0"
                    )
                key, tat = (policy.name, wanted.subject), 0.0
                taken: Held | _Refused
                if policy.rate:
                    rate = rates.get(key)
                    if rate is None or rate.policy is not policy:
                        rate = self._rate(key, policy, since, now)
                    tat = rate.tat
                    wait = rate.take(amount, since)
                    if wait:
                        taken = _Refused(wait, policy)
                    else:
                        rates.move_to_end(key)
                        changed[key] = None
                        taken = Held(wanted, number, rate.tat)
                elif policy.period is not None:
                    taken = self._hold(key, wanted, number, since, now)
                else:
                    taken = self._enter(key, wanted, number, since, now)
                if isinstance(taken, Held):
                    held.append(taken)
                    before.append(tat)
                else:
                    refusals.append(taken)
        except (InvalidRequest, Overloaded):
            self._undo(held, before)
            raise
        if refusals:
            self._undo(held, before)
            raise self._refusal(refusals, self.levels(charges, now))
        self._open.add(number)
        return Reservation(tuple(held))

    def settle(self, reservation: Reservation, actual: Mapping[str, int], now: float) -> None:
        """Replace the reserved amounts by the actual ones; metrics that `actual` does not name stay as reserved.

        What was used beyond the reservation is charged from now on, whether it fits or not. A second end of the same
        reservation does nothing. Raises `InvalidRequest` for a negative amount; then nothing is settled.
        """
        if actual and min(actual.values()) < 0:
            wrong = next(metric for metric, amount in actual.items() if amount < 0)
            raise InvalidRequest(field=f"actual.{wrong}", expected="an integer of at least 0")
        since = self._since_origin(now)
        for one in self._end(reservation):
            taken = one.charge
            policy, reserved = taken.policy, taken.amount
            if policy.rate:
                used = reserved if policy.metric == "requests" else actual.get(policy.metric, reserved)
                if used < reserved:
                    self._give_back(one, reserved - used, since)
                elif used > reserved:
                    key = policy.name, taken.subject
                    self._rate(key, policy, since, now).charge(used - reserved, since)
                    self._rates.move_to_end(key)
                    self.changed[key] = None
            elif policy.period is not None:
                self._let_go(one, reserved if policy.metric == "requests" else actual.get(policy.metric, reserved), now)
            else:
                self._leave(one)

    def release(self, reservation: Reservation, now: float) -> None:
        """Give everything back. A second end of the same reservation does nothing."""
        since = self._since_origin(now)
        for one in self._end(reservation):
            if one.charge.policy.rate:
                self._give_back(one, one.charge.amount, since)
            elif one.charge.policy.period is not None:
                self._let_go(one, 0, now)
            else:
                self._leave(one)

    def levels(self, charges: Sequence[Charge], now: float) -> list[Level]:
        """Where each charge's subject stands; `reset` of a concurrency limit is 0, as nobody knows it."""
        since = self._since_origin(now)
        found: list[Level] = []
        for one in charges:
            policy = one.policy
            key = policy.name, one.subject
            if policy.rate:
                rate = self._rates.get(key)
                if rate is None or rate.policy is not policy:
                    rate = Rate(policy, -math.inf if rate is None else rate.tat)
                found.append(rate.level(policy, since))
            elif policy.period is not None:
                found.append(budgets.level(policy, self._balances.get(key), now))
            else:
                left = policy.limit - self._running.get(key, 0)
                found.append(Level(policy.name, policy.limit, left if left > 0 else 0, 0.0, policy.metric, 0.0))
        return found

    def stands(self, keys: Iterable[Key], now: float) -> dict[Key, Stand]:
        """How `keys` stand, to be stored; as idle, those that are forgotten. What runs is not in it."""
        origin = now - self._since_origin(now)
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
        origin = now - self._since_origin(now)
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
            self._make_room(self._since_origin(now), now)
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

    def _hold(self, key: Key, wanted: Charge, number: int, since: float, now: float) -> Held | _Refused:
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
        return Held(wanted, number, 0.0, amount, last)

    def _enter(self, key: Key, wanted: Charge, number: int, since: float, now: float) -> Held | _Refused:
        """Of a limit on concurrency."""
        running = self._running.get(key)
        if running is None:
            self._make_room(since, now)
            running = 0
        if running + wanted.amount > wanted.policy.limit:
            return _Refused(_ASK_AGAIN, wanted.policy)
        self._running[key] = running + wanted.amount
        return Held(wanted, number)

    def _undo(self, held: Sequence[Held], before: Sequence[float]) -> None:
        """As if nothing had been taken."""
        for one, tat in zip(reversed(held), reversed(before), strict=True):
            policy, key = one.charge.policy, key_of(one.charge)
            if policy.rate:
                if tat == -math.inf:
                    self._rates.pop(key, None)
                else:
                    self._rates[key].tat = tat
            elif policy.period is not None:
                balance = self._balances[key]
                balance.held -= one.amount
                balance.last = balance.last and not one.last
            else:
                self._leave(one)

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

    def _end(self, reservation: Reservation) -> Sequence[Held]:
        """The charges of a reservation that is still open; it is closed."""
        held = reservation.held
        if not held or held[0].number not in self._open:
            return ()
        self._open.remove(held[0].number)
        return held

    def _let_go(self, one: Held, used: int, now: float) -> None:
        key = key_of(one.charge)
        balance = self._balances[key]
        self.changed[key] = None
        budgets.renew(balance, one.charge.policy, now)
        balance.held -= one.amount
        balance.used += used
        balance.last = balance.last and not one.last

    def _leave(self, one: Held) -> None:
        key = key_of(one.charge)
        left = self._running.get(key, 0) - one.charge.amount
        if left > 0:
            self._running[key] = left
        else:
            self._running.pop(key, None)

    def _give_back(self, one: Held, amount: int, since: float) -> None:
        policy = one.charge.policy
        key = policy.name, one.charge.subject
        rate = self._rates.get(key)
        if rate is not None:
            if rate.policy is not policy:
                rate.follow(policy)
            rate.give_back(amount, one.until, since)
            self.changed[key] = None

    # ---------------------------------------------------------------- memory

    def _since_origin(self, now: float) -> float:
        origin = self._origin
        if origin is None:
            origin = self._origin = now
        return now - origin

    def _make_room(self, since: float, now: float) -> None:
        """For a subject that is new. Each call goes on where the last one stopped looking. Raises `Overloaded`."""
        if len(self) < self._max_subjects:
            return
        for _ in range(min(_LOOK_AT, len(self._rates))):
            key, rate = next(iter(self._rates.items()))
            if rate.tat <= since:
                del self._rates[key]
                return
            self._rates.move_to_end(key)
        for _ in range(min(_LOOK_AT, len(self._balances))):
            key, balance = next(iter(self._balances.items()))
            if not balance.held and (balance.until <= now or not balance.used):
                del self._balances[key]
                return
            self._balances.move_to_end(key)
        raise Overloaded("too many callers are counted at once", retry_after=_ASK_AGAIN)
