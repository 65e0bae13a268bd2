"""What an account's policies are counted by: rates (core/policy.py), budgets and seats, all asked alike.

`now` is what counters go by: seconds since their first call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from promptd.core import budgets
from promptd.core.budgets import Balance
from promptd.core.policy import Held, Level, Mark, Policy, Shortfall

#: A subject of a policy: the policy's name and whom it counts
Key = tuple[str, str]

#: The policies of an account, each with its subject
Counted = Sequence[tuple[Policy, str]]

#: Nobody knows when what runs will end; this is a polite time to ask again
ASK_AGAIN: Final = 1.0

_MOST_LEVELS: Final = 256
_NO_LEVELS: Final[dict[int, Level]] = {}  # never written to: most accounts are asked for none


class Counter(Protocol):
    """`mark` is what `take` has told."""

    def take(self, amount: int, known: int, now: float) -> Mark | None:
        """None where it does not fit; then nothing is taken."""

    def shortfall(self, amount: int, known: int, now: float) -> Shortfall:
        """Why it did not fit."""

    def end(self, amount: int, mark: Any, actual: Mapping[str, int] | None, now: float) -> None:
        """The work is over, and used `actual`; of what that does not name, as much as was taken. None: it did not happen."""

    def level(self, now: float) -> Level:
        """How the subject stands."""


class Budget:
    """A balance, as one policy grants it. `origin` is when `now` was 0, in UTC seconds."""

    __slots__ = ("_balance", "_origin", "_policy")

    def __init__(self, policy: Policy, balance: Balance | None, origin: float) -> None:
        """`balance` None: only to tell the level of one that is not counted yet."""
        self._policy, self._origin = policy, origin
        self._balance = budgets.open_balance(policy, origin) if balance is None else balance

    def take(self, amount: int, known: int, now: float) -> Held | None:
        policy, balance = self._policy, self._balance
        budgets.renew(balance, policy, self._origin + now)
        granted = budgets.fits(policy, balance, amount, known)
        if granted is None:
            return None
        last = granted < amount
        balance.held += granted
        balance.last = balance.last or last
        return Held(granted, last)

    def shortfall(self, amount: int, known: int, now: float) -> Shortfall:
        policy, balance = self._policy, self._balance
        if budgets.is_spent(policy, balance, known):
            return Shortfall(balance.until - (self._origin + now), policy, spent=True)
        return Shortfall(ASK_AGAIN, policy)

    def end(self, amount: int, mark: Held, actual: Mapping[str, int] | None, now: float) -> None:
        policy, balance = self._policy, self._balance
        budgets.renew(balance, policy, self._origin + now)
        balance.held -= mark.amount
        balance.last = balance.last and not mark.last
        if actual is not None:  # a request is one in any case
            balance.used += amount if policy.metric == "requests" else actual.get(policy.metric, amount)

    def level(self, now: float) -> Level:
        return budgets.level(self._policy, self._balance, self._origin + now)


class Seats:
    """Concurrency: how many run at once. Who has none is not remembered."""

    __slots__ = ("_companions", "_key", "_levels", "_limit", "_make_room", "_policy", "_running")

    def __init__(
        self,
        policy: Policy,
        key: Key,
        running: dict[Key, int],
        make_room: Callable[[float, Counted], None],
        companions: Counted,
    ) -> None:
        """`running` counts all subjects; `make_room` is asked before one is added and raises `Overloaded`."""
        self._policy, self._limit, self._key = policy, policy.limit, key
        self._running, self._make_room, self._companions = running, make_room, companions
        self._levels = _NO_LEVELS  # told lately

    def take(self, amount: int, known: int, now: float) -> Mark | None:
        key, running = self._key, self._running
        if key not in running:
            self._make_room(now, self._companions)
            more = amount
        else:
            more = running[key] + amount
        if more > self._limit:
            return None
        running[key] = more
        return 0.0

    def shortfall(self, amount: int, known: int, now: float) -> Shortfall:
        return Shortfall(ASK_AGAIN, self._policy)

    def end(self, amount: int, mark: Any, actual: Mapping[str, int] | None, now: float) -> None:
        key, running = self._key, self._running
        left = running.get(key, 0) - amount
        if left > 0:
            running[key] = left
        else:
            running.pop(key, None)

    def level(self, now: float) -> Level:
        left = self._limit - self._running.get(self._key, 0)
        return self._levels.get(left) or self._level(left)

    def _level(self, left: int) -> Level:
        if self._levels is _NO_LEVELS or len(self._levels) >= _MOST_LEVELS:
            self._levels = {}
        level = self._levels[left] = Level(self._key[0], self._limit, max(0, left), 0.0, "concurrency", 0.0)
        return level
