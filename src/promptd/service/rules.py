"""Rules on endpoints: kept in the store, held in memory, asked before every request that they name."""

from __future__ import annotations

from msgspec import Struct

from promptd.core import identity, rules
from promptd.core.errors import Blocked, InvalidRequest, TooManyRequests
from promptd.core.filters import Query
from promptd.core.limits import Limits
from promptd.core.model import Caller
from promptd.core.ports import Records
from promptd.core.rules import Access, RateLimit, Rule
from promptd.service.clock import Clock

_ID = 128
_MOST_BLOCKED = 10_000
_MOST_RULES = 1000
#: A rule must not lock out whoever has to mend it,
_ALWAYS_OPEN = "/policy-svc/"
#: nor one for everything whoever has to log in for that, or a supervisor that would take the server for dead.
_LIFELINES = frozenset({"/user-svc/login", "/healthz", "/readyz"})


class _Ready(Struct, frozen=True):
    """A rule with its networks parsed."""

    rule: Rule
    networks: tuple[rules.Network, ...]


class Rules:
    """Call `load` once before use. Without rules a request pays nothing."""

    def __init__(self, *, records: Records, limits: Limits, clock: Clock) -> None:
        self._records, self._limits, self._clock = records, limits, clock
        self._rules: dict[str, _Ready] = {}

    async def load(self) -> None:
        page = await self._records.find(Rule, Query(limit=_MOST_RULES))
        self._rules = {rule.id: _ready(rule) for rule in page.items}

    @property
    def any(self) -> bool:
        return bool(self._rules)

    async def save(
        self, caller: Caller, identifier: str, *, endpoint: str, limit: RateLimit | None, blocked: tuple[str, ...]
    ) -> Rule:
        """Create a rule or change it; it holds from now on. Raises `InvalidRequest`, `Forbidden`."""
        identity.require(caller, identity.POLICY_INSTANCE_EDIT)
        if not 1 <= len(identifier) <= _ID:
            raise InvalidRequest(field="id", expected=f"1 to {_ID} characters")
        if len(endpoint) > 1000:
            raise InvalidRequest(field="endpoint", expected="at most 1000 characters")
        if limit is not None and not (1 <= limit.requests <= 2**31 and 0 < limit.window < float("inf")):
            raise InvalidRequest(field="rateLimit", expected="at least one request per window above 0 seconds")
        if len(blocked) > _MOST_BLOCKED:
            raise InvalidRequest(field="blockedIPs", expected=f"at most {_MOST_BLOCKED} addresses")
        now = self._clock()
        known = await self._records.get(Rule, identifier)
        if known is None and len(self._rules) >= _MOST_RULES:
            raise InvalidRequest(
                field="id", expected=f"one of the {_MOST_RULES} rules that exist, there is no room for more"
            )
        rule = Rule(
            id=identifier,
            endpoint=endpoint,
            created=known.created if known is not None else now,
            updated=now,
            limit=limit,
            blocked=blocked,
            version=known.version + 1 if known is not None else 0,
        )
        ready = _ready(rule)
        await self._records.put(rule)
        self._rules[identifier] = ready
        return rule

    async def remove(self, caller: Caller, identifier: str) -> None:
        """Take a rule back; one that is not there is gone already. Raises `Forbidden`."""
        identity.require(caller, identity.POLICY_INSTANCE_DELETE)
        await self._records.delete(Rule, identifier)
        self._rules.pop(identifier, None)

    async def allows(self, caller: Caller, access: Access) -> bool:
        """Record an access that `caller` tells of; whether every rule lets it pass.

        It counts with those that happened here where the caller tells of himself, or may edit policies.
        """
        try:
            await self._charge(access, teller=None if caller.may(identity.POLICY_TEMPLATE_EDIT) else caller)
        except (Blocked, TooManyRequests):
            return False
        return True

    async def admit(self, access: Access) -> None:
        """Record an access. Raises `Blocked`, `TooManyRequests` with the time to wait."""
        if self._rules and not access.endpoint.startswith(_ALWAYS_OPEN):
            await self._charge(access)

    async def _charge(self, access: Access, teller: Caller | None = None) -> None:
        lifeline = access.endpoint in _LIFELINES
        named = [
            ready
            for ready in self._rules.values()
            if rules.applies(ready.rule, access) and not (lifeline and rules.names_everything(ready.rule))
        ]
        if any(rules.blocks(ready.networks, access.address) for ready in named):
            raise Blocked("this address is blocked")
        charges = [
            charge
            for ready in named
            if (charge := rules.charge_of(ready.rule, access, hearsay=_is_hearsay(ready.rule, access, teller)))
            is not None
        ]
        if charges:
            now = self._clock()
            reservation = await self._limits.reserve(charges, now=now)
            await self._limits.settle(reservation, {}, now=now)  # an access is over at once; nothing stays open


def _is_hearsay(rule: Rule, access: Access, teller: Caller | None) -> bool:
    if teller is None:
        return False
    return rule.limit is None or rule.limit.entity != "user" or access.user != teller.user


def _ready(rule: Rule) -> _Ready:
    networks: list[rules.Network] = []
    for index, text in enumerate(rule.blocked):
        try:
            networks.append(rules.network(text))
        except ValueError:
            raise InvalidRequest(
                field=f"blockedIPs[{index}]", expected="an address or a network such as 10.0.0.0/8"
            ) from None
    return _Ready(rule, tuple(networks))
