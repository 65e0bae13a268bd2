"""The counters of one process, exact: nothing is awaited between the check and the taking, so callers can't interleave.

TATs are kept in seconds since the first call, not since 1970: small numbers keep the rounding error of a single token
around a millionth of what UTC seconds would make it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from promptd.core import budgets
from promptd.core.budgets import Balance
from promptd.core.errors import BudgetSpent, InvalidRequest, Overloaded, TooManyRequests
from promptd.core.limits import Reservation
from promptd.core.policy import Account, Bill, Charge, Level, Policy, Rate, Shortfall, Stand
from promptd.limits.kinds import ASK_AGAIN, Budget, Counted, Counter, Key, Seats

#: How many of the subjects in turn a newcomer may look at to find room
_LOOK_AT: Final = 16


def key_of(taken: Charge) -> Key:
    return taken.policy.name, taken.subject


class Counters:
    """GCRA for amounts per window, balances for budgets, plain numbers for concurrency.

    At most `max_subjects` are remembered. A newcomer takes the place of one that is fully idle, so nothing is
    forgotten that still counts; where none is found, it is refused with `Overloaded`.

    An account keeps its counters, until one is forgotten or begins to follow another policy: then `_version` changes, and
    whoever comes next finds them anew. It is noted as changed once a round, which lasts until somebody takes the changes or
    counters have to be found anew.
    """

    def __init__(self, max_subjects: int) -> None:
        self._max_subjects = max_subjects
        self._rates: OrderedDict[Key, Rate] = OrderedDict()
        self._balances: OrderedDict[Key, Balance] = OrderedDict()
        self._running: dict[Key, int] = {}
        self._version = object()
        self._begun = False
        self._origin = 0.0  # UTC seconds of the first call
        self._round = object()  # since the changes were taken last
        self.changed: dict[Key, None] = {}  #: what may have moved since `changes` was asked
        self.recounts = False  #: somebody finds out what was used of a budget before it is counted here

    def __len__(self) -> int:
        """How many subjects are remembered."""
        return len(self._rates) + len(self._balances) + len(self._running)

    def reserve(self, bill: Bill, now: float, recounted: bool = False) -> Reservation | None:
        """Take all charges or none. None where a budget is to be recounted first, and `recounted` does not say it was.

        Raises `TooManyRequests` with the seconds until all would fit, `BudgetSpent` where that is the next period of a
        budget, both with the levels of all charges; `Overloaded` where too many subjects are busy.
        """
        account = bill.account
        if account.noted is not self._round and not self._ready(account, now, recounted):
            return None
        since = now - self._origin
        marks: list[Any] = []  # what each charge led to; None where it does not fit
        try:
            for counter, amount, known in zip(account.counters, bill.amounts, bill.known):  # noqa: B905 - costs as much
                mark = counter.take(amount, known, since)
                if mark is None:
                    raise self._refusal(bill, marks, since, now)
                marks.append(mark)
        except Overloaded:
            self._give_back(bill, marks, since)
            raise
        return Reservation(bill, marks)

    def settle(self, reservation: Reservation, actual: Mapping[str, int], now: float) -> None:
        """Replace the reserved amounts by the actual ones; metrics that `actual` does not name stay as reserved.

        What was used beyond the reservation is charged from now on, whether it fits or not. A second end of the same
        reservation does nothing. Raises `InvalidRequest` for a negative amount; then nothing is settled.
        """
        if actual and min(actual.values()) < 0:
            wrong = next(metric for metric, amount in actual.items() if amount < 0)
            raise InvalidRequest(field=f"actual.{wrong}", expected="an integer of at least 0")
        bill, marks = reservation.bill, reservation.marks
        if not marks:
            return
        account, amounts = bill.account, bill.amounts
        if account.noted is not self._round:
            self._ready_again(account, now)
        since = now - self._origin
        for at, counter in account.settled:
            counter.end(amounts[at], marks[at], actual, since)
        marks.clear()

    def release(self, reservation: Reservation, now: float) -> None:
        """Give everything back. A second end of the same reservation does nothing."""
        bill, marks = reservation.bill, reservation.marks
        if not marks:
            return
        if bill.account.noted is not self._round:
            self._ready_again(bill.account, now)
        self._give_back(bill, marks, now - self._origin)
        marks.clear()

    def levels(self, bill: Bill, now: float) -> list[Level]:
        """Where each charge's subject stands; `reset` of a concurrency limit is 0, as nobody knows it."""
        account = bill.account
        if account.version is self._version:
            counters = account.counters
        else:
            self._begin(now)
            counters = [self._look(policy, subject) for policy, subject in account.counted]
        since = now - self._origin
        found: list[Level] = []
        for counter in counters:
            found.append(counter.level(since))  # noqa: PERF401 - a comprehension is a call
        return found

    # ---------------------------------------------------------------- what outlives the process

    def changes(self) -> dict[Key, None]:
        """What may have moved since this was asked last."""
        self._round = object()
        found, self.changed = self.changed, {}
        return found

    def stands(self, keys: Iterable[Key], now: float) -> dict[Key, Stand]:
        """How `keys` stand, to be stored; as idle, those that are forgotten. What runs is not in it."""
        origin = self._begin(now)
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
        origin = self._begin(now)
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
        balance = self._balances.get(key)
        if balance is None:
            self._make_room(now - self._begin(now))
            balance = self._balances[key] = budgets.open_balance(policy, now)
        else:
            budgets.renew(balance, policy, now)
        balance.used = used

    # ---------------------------------------------------------------- accounts

    def _ready(self, account: Account, now: float, recounted: bool) -> bool:
        """Find an account's counters, with a place for those that are new, and note that they move. Raises `Overloaded`.

        False where a budget is to be recounted first.
        """
        if account.version is not self._version:
            since = now - self._begin(now)
            if self.recounts and not recounted:
                for policy, subject in account.counted:
                    if policy.period is not None and not self.knows((policy.name, subject)):
                        return False
            _attach(
                account, [self._counter(policy, subject, account.counted, since) for policy, subject in account.counted]
            )
            account.version = self._version
        self._note(account)
        account.noted = self._round
        return True

    def _ready_again(self, account: Account, now: float) -> None:
        """For the end of what was counted. Who was idle may be forgotten since, and where there is no place any more what is
        settled of it is not remembered."""
        try:
            self._ready(account, now, True)
        except Overloaded:
            for policy, subject in account.counted:
                if policy.rate and (policy.name, subject) in self._rates:
                    self._counter(
                        policy, subject, account.counted, now - self._origin
                    )  # it follows, so that it is no copy
            _attach(account, [self._look(policy, subject) for policy, subject in account.counted])
            account.version = None
            self._note(account)

    def _note(self, account: Account) -> None:
        """Concurrency is not stored: it ends with the process. What moves is looked at last by whoever seeks a place."""
        for policy, subject in account.counted:
            if policy.metric != "concurrency":
                key = policy.name, subject
                self.changed[key] = None
                known = self._rates if policy.period is None else self._balances
                if key in known:
                    known.move_to_end(key)

    def _counter(self, policy: Policy, subject: str, companions: Counted, since: float) -> Counter:
        key = policy.name, subject
        if policy.metric == "concurrency":
            return Seats(policy, key, self._running, self._make_room, companions)
        if policy.period is not None:
            balance = self._balances.get(key)
            if balance is None:
                self._make_room(since, companions)
                balance = self._balances[key] = budgets.open_balance(policy, self._origin + since)
            return Budget(policy, balance, self._origin)
        rate = self._rates.get(key)
        if rate is None:
            self._make_room(since, companions)
            rate = self._rates[key] = Rate(policy)
        elif rate.policy is None:
            rate.follow(policy)
        elif rate.policy is not policy and rate.policy != policy:
            rate.follow(policy)
            self._version = self._round = object()
        return rate

    def _look(self, policy: Policy, subject: str) -> Counter:
        """At a subject that gets no place where it has none."""
        key = policy.name, subject
        if policy.metric == "concurrency":
            return Seats(policy, key, self._running, self._make_room, ())
        if policy.period is not None:
            return Budget(policy, self._balances.get(key), self._origin)
        rate = self._rates.get(key)
        if rate is None:
            return Rate(policy)
        return rate if rate.policy == policy else Rate(policy, rate.tat)

    def _refusal(self, bill: Bill, marks: list[Any], since: float, now: float) -> TooManyRequests:
        """Of charges of which the one behind those in `marks` does not fit; nothing stays taken. Raises `Overloaded`."""
        short: list[Shortfall] = []
        rest = list(zip(bill.account.counters, bill.amounts, bill.known, strict=True))[len(marks) :]
        for counter, amount, known in rest:
            mark = counter.take(amount, known, since)
            if mark is None:
                short.append(counter.shortfall(amount, known, since))
            marks.append(mark)
        self._give_back(bill, marks, since)
        worst = max(short, key=lambda one: one.wait)
        name = worst.policy.name
        error: TooManyRequests
        if worst.spent:
            error = BudgetSpent(f"the budget {name!r} is used up", retry_after=worst.wait)
        elif worst.policy.period is not None:
            error = TooManyRequests(f"what is left of the budget {name!r} is in use", retry_after=worst.wait)
        else:
            error = TooManyRequests(f"the limit {name!r} is reached", retry_after=worst.wait)
        error.levels = self.levels(bill, now)
        return error

    def _give_back(self, bill: Bill, marks: Sequence[Any], since: float) -> None:
        # behind the one that could not be looked at are none
        for counter, amount, mark in zip(bill.account.counters, bill.amounts, marks, strict=False):
            if mark is not None:
                counter.end(amount, mark, None, since)

    # ---------------------------------------------------------------- memory

    def _begin(self, now: float) -> float:
        """Since when counters tell the time: the first call."""
        if not self._begun:
            self._begun, self._origin = True, now
        return self._origin

    def _make_room(self, since: float, companions: Counted = ()) -> None:
        """For a subject that is new, but not in place of a companion. Each call goes on where the last one stopped looking.

        Raises `Overloaded`.
        """
        if len(self._rates) + len(self._balances) + len(self._running) < self._max_subjects:
            return
        kept = {(policy.name, subject) for policy, subject in companions}
        for _ in range(min(_LOOK_AT, len(self._rates))):
            key, rate = next(iter(self._rates.items()))
            if rate.tat <= since and key not in kept:
                del self._rates[key]
                self._forgotten(key)
                return
            self._rates.move_to_end(key)
        now = self._origin + since
        for _ in range(min(_LOOK_AT, len(self._balances))):
            key, balance = next(iter(self._balances.items()))
            if not balance.held and (balance.until <= now or not balance.used) and key not in kept:
                del self._balances[key]
                self._forgotten(key)
                return
            self._balances.move_to_end(key)
        raise Overloaded("too many callers are counted at once", retry_after=ASK_AGAIN)

    def _forgotten(self, key: Key) -> None:
        self.changed[key] = None
        self._version = self._round = object()


def _attach(account: Account, counters: Sequence[Counter]) -> None:
    account.counters = counters
    account.settled = [
        (at, counter)
        for at, counter in enumerate(counters)
        if not (type(counter) is Rate and counter.metric == "requests")  # of a request nothing is given back
    ]
