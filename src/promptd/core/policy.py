"""Limits as decisions: GCRA with burst for amounts per window, plain counting for concurrency. Pure; time is an argument.

GCRA keeps one number per subject, the *theoretical arrival time* (TAT). A charge of `n` moves it forward by
`n × window ÷ limit`; it fits as long as TAT stays at most `window × burst ÷ limit` ahead of now.
"""

from __future__ import annotations

import math
from typing import Final, Literal

from msgspec import Struct

from promptd.core.errors import SettingsError

Metric = Literal["requests", "input_tokens", "output_tokens", "cost", "concurrency"]
Scope = Literal["user", "key", "team", "model", "all"]

#: A charge may come this many seconds early. UTC seconds as floats are 0.24 µs apart, so that `now + wait` is rarely exact.
SLACK: Final = 1e-6


class Policy(Struct, frozen=True, kw_only=True):
    """`limit` units of `metric` per `window` seconds for each `scope`; `burst` is what an idle subject may take at once.

    Raises `SettingsError` where a number can't be enforced.
    """

    name: str
    metric: Metric
    limit: int
    window: float = 60.0
    scope: Scope = "user"
    burst: int | None = None  #: default: the whole limit

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise SettingsError(f"limit of policy {self.name}: expected at least 1", key="limit")
        if not 0 < self.window < math.inf:
            raise SettingsError(f"window of policy {self.name}: expected seconds above 0", key="window")
        if self.burst is not None and self.burst < 1:
            raise SettingsError(f"burst of policy {self.name}: expected at least 1", key="burst")

    @property
    def interval(self) -> float:
        """Seconds that one unit takes to come back."""
        return self.window / self.limit

    @property
    def tolerance(self) -> float:
        """How far TAT may run ahead of now."""
        return self.interval * (self.limit if self.burst is None else self.burst)


class Charge(Struct, frozen=True):
    """`amount` units against a policy for one subject (a user's id, a model's name …)."""

    policy: Policy
    subject: str
    amount: int


class Held(Struct, frozen=True):
    """A charge that was taken. The other fields belong to the adapter that took it."""

    charge: Charge
    number: int = 0  #: unique among open charges, so that each ends once
    until: float = 0.0  #: the TAT that it led to


class Level(Struct, frozen=True):
    """How a subject stands: of `limit` units `remaining` are free; all are back in `reset` seconds."""

    policy: str
    limit: int
    remaining: int
    reset: float


def take(policy: Policy, tat: float | None, amount: int, now: float) -> tuple[float, float]:
    """The new TAT and 0, or the old TAT and the seconds to wait until `amount` fits.

    An amount larger than the burst can never fit whole; it is let through when the subject is fully idle and then
    blocks for as long as it is worth, so that a large prompt is slow but not impossible.
    """
    moved = charge(policy, tat, amount, now)
    room = max(policy.tolerance, amount * policy.interval)
    wait = moved - room - now
    if wait > SLACK:
        return now if tat is None else tat, wait
    return moved, 0.0


def charge(policy: Policy, tat: float | None, amount: int, now: float) -> float:
    """The TAT after `amount` more units, whether they fit or not."""
    return max(now, now if tat is None else tat) + amount * policy.interval


def give_back(policy: Policy, tat: float, amount: int, *, until: float, now: float) -> float:
    """The TAT after `amount` units came back of a charge that had led to `until`.

    What has come back by itself since is not given a second time: it would be taken off the charges of others.
    """
    return tat - min(amount * policy.interval, max(0.0, until - now))


def level(policy: Policy, tat: float | None, now: float) -> Level:
    ahead = max(0.0, (now if tat is None else tat) - now)
    most = policy.limit if policy.burst is None else policy.burst
    remaining = max(0, int((policy.tolerance - ahead + SLACK) / policy.interval))
    return Level(policy.name, policy.limit, min(most, remaining), ahead)
