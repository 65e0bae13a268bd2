"""Limits as decisions: GCRA with burst for amounts per window, plain counting for concurrency. Pure; time is an argument.

GCRA keeps one number per subject, the *theoretical arrival time* (TAT). A charge of `n` moves it forward by
`n × window ÷ limit`; it fits as long as TAT stays at most `window × burst ÷ limit` ahead of now. What a policy grants per
day or month instead of a window is a budget (core/budgets.py).
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from fnmatch import fnmatchcase
from functools import cached_property
from hashlib import sha256
from typing import Any, Final, Literal, NamedTuple

from msgspec import Struct

from promptd.core.errors import InvalidRequest, SettingsError

#: `tokens` are those of input and output together
Metric = Literal["requests", "input_tokens", "output_tokens", "tokens", "cost", "concurrency"]
Period = Literal["day", "month"]

#: Who shares one counter: `user`, `key`, `team`, `model`, `all`, or whoever sends the same value of a header,
#: `header:<name>`
Scope = str

_SCOPES: Final = ("user", "key", "team", "model", "all")
_HEADER: Final = re.compile(r"header:[a-z0-9!#$%&'*+.^_`|~-]{1,64}", re.ASCII)
#: headers whose values are secrets: no counter and no row may hold them
_SECRETS: Final = frozenset(
    {"authorization", "proxy-authorization", "cookie", "x-api-key", "api-key", "x-goog-api-key"}
)
_LONGEST_SUBJECT: Final = 200  # letters of a header's value
_MOST: Final = 2**62  # what any store can hold

#: A charge may come this many seconds early. UTC seconds as floats are 0.24 µs apart, so that `now + wait` is rarely exact.
SLACK: Final = 1e-6


class Policy(Struct, frozen=True, kw_only=True, dict=True):
    """`limit` units of `metric` per `window` seconds for each `scope`; `burst` is what an idle subject may take at once.

    With a `period` it is a budget: that many units per calendar day or month (UTC), all of them at any time of it.
    Raises `SettingsError` where something can't be enforced.
    """

    name: str
    metric: Metric
    limit: int
    window: float = 60.0
    scope: Scope = "user"
    burst: int | None = None  #: default: the whole limit
    period: Period | None = None
    only: str | None = None  #: the one key, user, team, model or header value that it is for; default: each has its own
    models: tuple[str, ...] = ()  #: patterns of the models whose prompts count; default: all

    def __post_init__(self) -> None:
        if not 1 <= self.limit <= _MOST:
            raise SettingsError(f"limit of policy {self.name}: expected 1 to 2⁶²", key="limit")
        if not 0 < self.window < math.inf:
            raise SettingsError(f"window of policy {self.name}: expected seconds above 0", key="window")
        if self.burst is not None and self.burst < 1:
            raise SettingsError(f"burst of policy {self.name}: expected at least 1", key="burst")
        if self.scope not in _SCOPES and not _HEADER.fullmatch(self.scope):
            expected = f"{', '.join(_SCOPES)} or header:<name in lower case>"
            raise SettingsError(f"scope of policy {self.name}: expected {expected}", key="scope")
        if self.period is not None and self.metric == "concurrency":
            raise SettingsError(
                f"period of policy {self.name}: expected none, because concurrency has none", key="period"
            )
        if self.period is not None and self.burst is not None:
            raise SettingsError(f"burst of policy {self.name}: expected none beside a period", key="burst")
        if self.only is not None and self.scope == "all":
            raise SettingsError(
                f"only of policy {self.name}: expected nothing, because it counts all together", key="only"
            )

    @cached_property
    def one(self) -> str | None:
        """`only` as the subject that counters know."""
        if self.only is None or self.header is None:
            return self.only
        return header_subject(self.header, {self.header: self.only})

    @cached_property
    def header(self) -> str | None:
        """The name of the header whose values are counted apart."""
        return self.scope[7:] if self.scope.startswith("header:") else None

    def counts(self, model: str) -> bool:
        """Whether prompts of this model count."""
        return not self.models or any(fnmatchcase(model, pattern) for pattern in self.models)

    @cached_property
    def rate(self) -> bool:
        """Whether it counts amounts per window: no budget, and not what runs at the same time."""
        return self.period is None and self.metric != "concurrency"

    @cached_property
    def most(self) -> int:
        """What an idle subject may take at once."""
        return self.limit if self.burst is None else self.burst

    @cached_property
    def whole(self) -> Level:
        """How an idle subject stands."""
        return Level(self.name, self.limit, self.most, 0.0, self.metric, self.window)

    @cached_property
    def interval(self) -> float:
        """Seconds that one unit takes to come back."""
        return self.window / self.limit

    @cached_property
    def tolerance(self) -> float:
        """How far TAT may run ahead of now."""
        return self.interval * self.most


#: headers that limits look at, each with the subject that it is counted for
Counted = tuple[tuple[str, str], ...]


def header_subject(name: str, headers: Mapping[str, str]) -> str:
    """The subject of whoever sends these headers to a policy that counts by one of them; empty where it was left out."""
    value = headers.get(name, "")
    if value and name in _SECRETS:
        return f"sha256:{sha256(value.encode()).hexdigest()[:32]}"
    return value[:_LONGEST_SUBJECT]


def subjects_of(names: Set[str], headers: Mapping[str, str]) -> Counted:
    """What a request with these headers is counted for by each of these names."""
    return tuple([(name, header_subject(name, headers)) for name in sorted(names)])


class Charge(Struct, frozen=True, gc=False):
    """`amount` units against a policy for one subject (a user's id, a model's name …).

    Against a budget the amount is the most that the work can take, and `known` the part of it that does not depend on how
    the work goes (core/budgets.py).
    """

    policy: Policy
    subject: str
    amount: int
    known: int = 0


class Account(Struct, eq=False):
    """What many prompts are charged to: policies, each with the subject that it counts.

    The rest belongs to the adapter behind limits: what it has found out about them is kept here, so that nothing has to be
    looked up for each prompt.
    """

    counted: Sequence[tuple[Policy, str]]
    counters: Sequence[Any] = ()
    settled: Sequence[Any] = ()
    version: object = None
    noted: object = None


class Bill(Struct, frozen=True, eq=False):
    """The charges of one prompt. It is gone through as `Charge`s."""

    account: Account
    amounts: Sequence[int] = ()  #: of each policy
    known: Sequence[int] = ()  #: … and the part that is known beforehand

    def __iter__(self) -> Iterator[Charge]:
        for (policy, subject), amount, known in zip(self.account.counted, self.amounts, self.known, strict=True):
            yield Charge(policy, subject, amount, known)


NO_CHARGES: Final = Bill(Account(()))


def bill_of(charges: Iterable[Charge], account: Account | None = None) -> Bill:
    """Of charges that stand alone, or are those of an account. Raises `InvalidRequest` for a negative amount."""
    if isinstance(charges, Bill):
        return charges
    charges = list(charges)
    for place, one in enumerate(charges):
        if one.amount < 0:
            raise InvalidRequest(field=f"charges[{place}].amount", expected="an integer of at least 0")
    if account is None:
        account = Account([(one.policy, one.subject) for one in charges])
    return Bill(account, [one.amount for one in charges], [one.known for one in charges])


class Held(Struct, frozen=True, gc=False):
    """What was taken of a budget."""

    amount: int
    last: bool  #: that was all that was left of it


#: What a charge led to that was taken: the TAT of a rate, or what a budget holds; of concurrency nothing
Mark = float | Held


class Level(Struct, frozen=True, gc=False, cache_hash=True):
    """How a subject stands: of `limit` units `remaining` are free; all are back in `reset` seconds."""

    policy: str
    limit: int
    remaining: int
    reset: float
    metric: Metric = "requests"
    window: float = 60.0  #: seconds; of a budget, the length of its period


class Shortfall(NamedTuple):
    """Why a charge does not fit."""

    wait: float  #: seconds until it would
    policy: Policy
    spent: bool = False  #: nothing fits before a budget's next period


class Stand(Struct, frozen=True):
    """A counter as it outlives a process. It is idle, and can be forgotten, from `until` on."""

    until: float  #: UTC seconds: the TAT of a rate, the end of a budget's period
    used: int = 0  #: of a budget in that period


class Rate:
    """Where one subject stands with a limit per window. It is changed in place.

    `policy` None: it was restored, and nobody has looked at it yet; until `follow` says what it counts, nothing else can.
    """

    __slots__ = ("interval", "metric", "most", "policy", "reach", "tat", "whole")

    def __init__(self, policy: Policy | None, tat: float = -math.inf) -> None:
        self.tat = tat  #: idle, where it has passed
        self.policy = policy
        if policy is not None:
            self.follow(policy)

    def follow(self, policy: Policy) -> None:
        """Count by these numbers from now on."""
        self.policy, self.metric = policy, policy.metric
        self.interval, self.most, self.reach = policy.interval, policy.most, policy.tolerance + SLACK
        self.whole = policy.whole

    def take(self, amount: int, known: int, now: float) -> float | None:
        """The TAT that it leads to where `amount` fits, which is then taken; None where it does not. `known` is for budgets.

        An amount larger than the burst can never fit whole; it is let through when the subject is fully idle and then
        blocks for as long as it is worth, so that a large prompt is slow but not impossible.
        """
        tat = self.tat
        moved = (tat if tat > now else now) + amount * self.interval
        if moved - now > self.reach and (amount <= self.most or tat - now > SLACK):
            return None
        self.tat = moved
        return moved

    def shortfall(self, amount: int, known: int, now: float) -> Shortfall:
        """Why `amount` does not fit."""
        assert self.policy is not None
        ahead = max(0.0, self.tat - now)
        wait = ahead if amount > self.most else ahead + amount * self.interval - self.policy.tolerance
        return Shortfall(wait, self.policy)

    def end(self, amount: int, until: float, actual: Mapping[str, int] | None, now: float) -> None:
        """Replace a charge of `amount` that had led to `until` by what was used, as far as that is known; None: nothing.

        Of what was not used that is not given back which has come back by itself since: it would be taken off the charges of
        others.
        """
        free = amount if actual is None else amount - actual.get(self.metric, amount)
        if free > 0:
            back, left = free * self.interval, until - now
            if back > left:
                back = left if left > 0.0 else 0.0
            self.tat -= back
        elif free < 0:
            self.charge(-free, now)

    def charge(self, amount: int, now: float) -> None:
        """Take `amount` more units, whether they fit or not."""
        tat = self.tat
        self.tat = (tat if tat > now else now) + amount * self.interval

    def level(self, now: float) -> Level:
        """How the subject stands."""
        tat = self.tat
        if tat <= now:
            return self.whole
        whole, most = self.whole, self.most
        remaining = int((self.reach - (tat - now)) / self.interval)
        if remaining > most:
            remaining = most
        elif remaining < 0:
            remaining = 0
        return Level(whole.policy, whole.limit, remaining, tat - now, whole.metric, whole.window)
