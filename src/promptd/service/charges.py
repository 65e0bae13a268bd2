"""What an admission is charged: which policies count a prompt, against whom, and how much of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from promptd.core import sizes
from promptd.core.errors import InvalidRequest
from promptd.core.model import Caller, Capability, Prompt, Request, Usage
from promptd.core.policy import Account, Bill, Charge, Counted, Metric, Policy, bill_of
from promptd.core.routing import Price, Route, ceiling, cost

_CACHE_SIZE: Final = 10_000
_NO_LIMIT: Final = 2**62

_NOTHING: Final = Usage()

#: Capabilities that say nothing which is counted in tokens
_SILENT: Final = frozenset({Capability.EMBEDDING})


class ChargeRules(Struct, frozen=True, kw_only=True):
    policies: tuple[Policy, ...] = ()
    assumed_output: int = 1024  #: tokens that a rate is charged where the caller names no maximum
    most_output: int = 65_536  #: tokens that a budget holds where neither the caller nor the model names one
    history_tokens: int = 3000  #: of a thread's earlier turns, where the context of the model is not known


class _Plan(Struct, eq=False):
    """What is the same for all prompts of a caller on a model."""

    route: Route
    own: tuple[Policy, ...]
    account: Account
    same: tuple[Charge | None, ...]  #: for each of the account's policies, the charge where it is always the same
    by_header: tuple[Policy, ...]
    price: Price | None  #: of the way that is tried first
    dearest: Price | None  #: the most that any way can cost
    context: int | None  #: tokens that fit, whichever way it goes; None where nobody knows of one of them
    max_output: int | None  #: tokens that an answer can have, likewise
    bill: Bill | None  #: where nothing depends on the prompt
    #: where nothing does but how long it is, the charges without that, and the places where it is missing
    amounts: list[int]
    known: tuple[int, ...]
    sized: tuple[int, ...]


class Charges:
    """`own` are the limits of single keys, by their ids (service/keys.py); they are looked at each time."""

    def __init__(self, rules: ChargeRules, own: Mapping[str, tuple[Policy, ...]]) -> None:
        self._own = own
        self._plans: dict[tuple[str, str, str, str], _Plan] = {}
        self._accounts: dict[tuple[_Plan, Counted], Account] = {}  #: of plans with policies that count by a header
        self.configure(rules)

    def configure(self, rules: ChargeRules) -> None:
        """Other policies from now on."""
        self._rules = rules
        self._plans.clear()
        self._accounts.clear()
        #: names, in lower case, of the headers that policies look at
        self.headers = frozenset(policy.header for policy in rules.policies if policy.header is not None)
        self._budgeted = frozenset(policy.header for policy in rules.policies if policy.period is not None)

    def counted(self, given: Counted | None) -> Counted:
        """What a submission with these headers and subjects is counted for: whoever does not name one left it out, and so did
        a request of the time before some limit looked at it."""
        subjects = dict(given or ())
        return tuple([(name, subjects.get(name, "")) for name in sorted(self.headers)])

    def recounted(self, counted: Counted) -> Counted:
        """Those of them that budgets look at: the rest is forgotten with the process, or was counted by it."""
        return tuple([one for one in counted if one[0] in self._budgeted])

    def of_admission(
        self,
        caller: Caller,
        route: Route,
        request: Request,
        capability: Capability = Capability.CHAT,
        counted: Counted = (),
        thread: bool = False,
        metrics: Sequence[Metric] | None = None,
    ) -> Bill:
        """What a prompt is charged, for all metrics or for those of `metrics`.

        `counted` as the method of this name makes it; a header that is not in it does not count. `thread`: earlier turns
        come in front of the request. Raises `InvalidRequest` where a limit on cost can't be kept because nobody knows the
        model's price.
        """
        plan = self._plans.get((caller.user, caller.key, caller.team, route.model))
        if plan is None or plan.route is not route or plan.own is not self._own.get(caller.key, ()):
            plan = self._learn(caller, route)
        if metrics is None:
            if plan.bill is not None:
                return plan.bill
            if plan.sized:
                amounts, size = plan.amounts.copy(), sizes.about(request)
                for place in plan.sized:
                    amounts[place] = size
                return Bill(plan.account, amounts, plan.known)
        need = _Need(plan, request, capability, thread, self._rules)
        charges: list[Charge] = []
        for (policy, subject), same in zip(plan.account.counted, plan.same, strict=True):
            if metrics is None or policy.metric in metrics:
                charges.append(need.charge(policy, subject) if same is None else same)
        for policy, subject in _by_header(plan, counted):
            if metrics is None or policy.metric in metrics:
                charges.append(need.charge(policy, subject))
        return bill_of(charges, self._account(plan, counted, charges) if metrics is None else None)

    def of_survivor(self, caller: Caller, route: Route, prompt: Prompt) -> Sequence[Charge]:
        """What a prompt of an earlier process holds that is not final, whatever the limits are.

        Rates counted it in that process; what it holds of concurrency and budgets ended with it.
        """
        if not self._rules.policies and not self._own:
            return ()
        plan = self._learn(caller, route)
        need = _Need(plan, prompt.request, prompt.capability, prompt.thread is not None, self._rules)
        return [
            need.charge(replace(policy, limit=_NO_LIMIT), subject)
            for policy, subject in (*plan.account.counted, *_by_header(plan, prompt.counted))
            if policy.metric == "concurrency" or policy.period is not None
        ]

    def used(self, prompt: Prompt, route: Route | None, usage: Usage | None, nano: int) -> dict[str, int]:
        """What a final prompt took, for `Limits.settle`. `usage` and `nano` are the sums over its attempts.

        Where nothing is known the answer's usage counts, and without an answer the input's estimate, if there was an
        attempt.
        """
        if usage is None or usage == _NOTHING:
            if prompt.answer is not None:
                usage = prompt.answer.usage
            else:
                usage = Usage(sizes.about(prompt.request) if prompt.runs else 0)
            nano = nano or cost(usage, route.price if route is not None else None) or 0
        return {
            "input_tokens": usage.input_tokens,
            "output_tokens": usage.output_tokens,
            "tokens": usage.input_tokens + usage.output_tokens,
            "cost": nano,
        }

    def _account(self, plan: _Plan, counted: Counted, charges: Sequence[Charge]) -> Account:
        if len(charges) == len(plan.same):
            return plan.account
        account = self._accounts.get((plan, counted))
        if account is None:
            if len(self._accounts) >= _CACHE_SIZE:
                self._accounts.clear()
            account = self._accounts[plan, counted] = Account([(one.policy, one.subject) for one in charges])
        return account

    def _learn(self, caller: Caller, route: Route) -> _Plan:
        if len(self._plans) >= _CACHE_SIZE:
            self._plans.clear()
        plan = self._make(caller, route, self._own.get(caller.key, ()))
        self._plans[caller.user, caller.key, caller.team, route.model] = plan
        return plan

    def _make(self, caller: Caller, route: Route, own: tuple[Policy, ...]) -> _Plan:
        subjects = {"user": caller.user, "key": caller.key, "team": caller.team, "model": route.model, "all": ""}
        applying = [policy for policy in self._rules.policies if policy.counts(route.model)]
        counted: list[tuple[Policy, str]] = []
        for policy in applying:
            subject = subjects.get(policy.scope)
            # who has no team or key is nobody's subject
            if (
                subject is None
                or policy.only not in (None, subject)
                or (policy.scope in ("team", "key") and not subject)
            ):
                continue
            counted.append((policy, subject))
        counted += [(policy, policy.only or caller.key) for policy in own if policy.counts(route.model)]
        by_header = tuple(policy for policy in applying if policy.header is not None)
        account = Account(tuple(counted))
        same = tuple([_constant(policy, subject) for policy, subject in counted])
        unlike = [place for place, charge in enumerate(same) if charge is None]
        sized = not by_header and all(_is_sized(counted[place][0]) for place in unlike)
        amounts = [0 if charge is None else charge.amount for charge in same]
        known = tuple([0 if charge is None else charge.known for charge in same])
        bill: Bill | None = None
        if not unlike and not by_header:
            bill = Bill(account, amounts, known)
        return _Plan(
            route,
            own,
            account,
            same,
            by_header,
            route.legs[0].price,
            ceiling(leg.price for leg in route.legs),
            _largest([leg.context for leg in route.legs]),
            _largest([leg.max_output for leg in route.legs]),
            bill,
            amounts,
            known,
            tuple(unlike) if sized else (),
        )


def _by_header(plan: _Plan, counted: Counted) -> list[tuple[Policy, str]]:
    """The policies that count by a header, each with its subject."""
    if not (plan.by_header and counted):
        return []
    subjects = dict(counted)
    found = [(policy, subjects.get(policy.header or "")) for policy in plan.by_header]
    return [(policy, subject) for policy, subject in found if subject is not None and policy.one in (None, subject)]


def _constant(policy: Policy, subject: str) -> Charge | None:
    """The charge of every prompt, where it is always the same."""
    return Charge(policy, subject, 1, 1) if policy.metric in ("requests", "concurrency") else None


def _is_sized(policy: Policy) -> bool:
    """Whether its charge is known without a guess at the output."""
    return policy.metric == "input_tokens" and policy.period is None


class _Need(Struct, eq=False):
    """How much of each metric one prompt needs; counted when first asked for."""

    plan: _Plan
    _request: Request
    _capability: Capability
    _thread: bool
    _rules: ChargeRules
    _about: Usage | None = None
    _most: Usage | None = None

    @property
    def _speaks(self) -> bool:
        return self._capability not in _SILENT

    def charge(self, policy: Policy, subject: str) -> Charge:
        if _is_sized(policy):
            return Charge(policy, subject, sizes.about(self._request))
        if (same := _constant(policy, subject)) is not None:
            return same
        if policy.period is None:
            return Charge(policy, subject, self._amount(policy, self.about, self.plan.price))
        most = self.most
        known = self._amount(policy, Usage(most.input_tokens), self.plan.dearest)
        return Charge(policy, subject, self._amount(policy, most, self.plan.dearest), known)

    @property
    def about(self) -> Usage:
        """A fair guess, for rates."""
        if self._about is None:
            request, rules = self._request, self._rules
            asked = request.parameters.max_tokens or rules.assumed_output
            if asked > rules.most_output:
                asked = rules.most_output  # what is asked for in earnest: it is given back only at the end
            self._about = Usage(sizes.about(request), asked * sizes.answers(request) if self._speaks else 0)
        return self._about

    @property
    def most(self) -> Usage:
        """What it can't exceed, for budgets."""
        if self._most is None:
            plan, request = self.plan, self._request
            before = (plan.context or 4 * self._rules.history_tokens) if self._thread else 0
            longest = request.parameters.max_tokens or plan.max_output or self._rules.most_output
            if plan.context is not None:
                longest = min(longest, plan.context)
            output = longest * sizes.answers(request) if self._speaks else 0
            self._most = Usage(sizes.at_most(request) + before, output)
        return self._most

    def _amount(self, policy: Policy, usage: Usage, price: Price | None) -> int:
        metric = policy.metric
        if metric == "input_tokens":
            return usage.input_tokens
        if metric == "output_tokens":
            return usage.output_tokens
        if metric == "tokens":
            return usage.input_tokens + usage.output_tokens
        nano = cost(usage, price)
        if nano is None:
            raise InvalidRequest(
                f"nobody knows the price of {self.plan.route.model!r}, so that the limit {policy.name!r} on cost "
                "can't be kept",
                field="model",
                expected="a model whose price is known",
            )
        return nano


def _largest(known: Sequence[int | None]) -> int | None:
    numbers = [number for number in known if number is not None]
    return max(numbers) if len(numbers) == len(known) else None
