"""Budgets as decisions: so many units per calendar day or month (UTC), counted down by work whose need is known at its end.

Work holds the most that it can need while it runs, so that what runs at the same time can't need more than there is. Where
that is more than is left, but the part that is known beforehand is not, one such piece of work at a time may hold all that
is left: a budget can be used up, and is overdrawn at most by what that one needs beyond. Pure; time is an argument.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from msgspec import Struct

from promptd.core.policy import Level, Period, Policy

_DAY: Final = 86400.0


class Balance(Struct):
    """A subject's budget in the period that ends at `until`. It is changed in place."""

    until: float
    used: int = 0
    held: int = 0  #: by what is running
    last: bool = False  #: something that runs holds all that was left
    period: Period | None = None  #: None: restored, and not yet looked at


def bounds(period: Period, now: float) -> tuple[float, float]:
    """Begin and end of the period that `now` is in, in UTC seconds."""
    if period == "day":
        begin = now - now % _DAY
        return begin, begin + _DAY
    day = datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    following = day.replace(year=day.year + 1, month=1) if day.month == 12 else day.replace(month=day.month + 1)
    return day.timestamp(), following.timestamp()


def open_balance(policy: Policy, now: float) -> Balance:
    """Nothing is used yet. `policy` must have a period."""
    assert policy.period is not None
    return Balance(bounds(policy.period, now)[1], period=policy.period)


def renew(balance: Balance, policy: Policy, now: float) -> None:
    """Begin a new period where the old one is over; what runs goes on being held."""
    if now < balance.until and balance.period == policy.period:
        return
    assert policy.period is not None
    until = bounds(policy.period, now)[1]
    if until != balance.until:
        balance.used = 0
    balance.until, balance.period = until, policy.period


def fits(policy: Policy, balance: Balance, amount: int, known: int) -> int | None:
    """How much of `amount` may be held: all, or all that is left; None where it must wait."""
    left = policy.limit - balance.used - balance.held
    if amount <= left or amount == 0:
        return amount
    return left if 0 < left >= known and not balance.last else None


def is_spent(policy: Policy, balance: Balance, known: int) -> bool:
    """Whether waiting for what runs is no use, because only the next period can grant `known` units."""
    return policy.limit - balance.used < max(known, 1)


def level(policy: Policy, balance: Balance | None, now: float) -> Level:
    """Where the subject stands; what runs counts as used."""
    assert policy.period is not None
    begin, end = bounds(policy.period, now)
    taken = 0
    if balance is not None:
        taken = balance.held + (balance.used if balance.until == end else 0)
    return Level(policy.name, policy.limit, max(0, policy.limit - taken), end - now, policy.metric, end - begin)
