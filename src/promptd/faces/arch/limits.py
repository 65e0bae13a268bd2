"""Rate limits of the file (contracts/arch.md §4.6): tokens of a model, for those who send a header, or for everybody.

The counters are those of the house; what differs is what a request costs at first (its input, and the output once that is
known), and the words of a refusal. A request that is larger than the whole limit never fits. `x-arch-ratelimit-selector`
changes nothing: a limit whose client may choose not to be limited is none.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from promptd.core import sizes
from promptd.core.errors import TooManyRequests
from promptd.core.limits import Limits, Reservation
from promptd.core.model import Request, Usage
from promptd.core.policy import Charge, Policy
from promptd.dialects.arch.config import RateLimit

_EACH: Final = frozenset({"", "*"})  #: values that stand for every one
_LONGEST_VALUE: Final = 200


class LimitExceeded(TooManyRequests):
    """A limit of the file."""

    def __init__(self, model: str, key: str, value: str, tokens: int, retry_after: float) -> None:
        selector = f'Header {{ key: "{key}", value: "{value}" }}'
        super().__init__(
            f"exceeded limit provider={model}, selector={selector}, tokens_used={tokens}", retry_after=retry_after
        )


class _Limit(Struct, frozen=True):
    given: RateLimit
    policy: Policy


class RateLimits:
    """Those of one file."""

    def __init__(self, limits: Limits, given: Sequence[RateLimit]) -> None:
        self._limits = limits
        self._known = [_Limit(one, _policy(one, place)) for place, one in enumerate(given)]

    def __bool__(self) -> bool:
        return bool(self._known)

    async def reserve(
        self, names: frozenset[str], model: str, request: Request, headers: Mapping[bytes, bytes]
    ) -> Reservation | None:
        """Charge a request for the model that has these names; None where no limit counts it.

        `model` is what a refusal calls it. Raises `LimitExceeded`.
        """
        applying = [(one, value) for one in self._known if one.given.model in names and (value := _value(one, headers))]
        if not applying:
            return None
        cost, now = max(1, sizes.about(request)), time.time()
        charges = [Charge(one.policy, value[0], cost) for one, value in applying]
        for one, value in applying:
            if cost > one.given.tokens:
                raise LimitExceeded(model, one.given.key or "", value[1], cost, one.given.seconds)
        try:
            return await self._limits.reserve(charges, now=now)
        except TooManyRequests as error:
            full = {level.policy for level in error.levels if level.remaining < cost}
            one, value = next(((one, value) for one, value in applying if one.policy.name in full), applying[0])
            raise LimitExceeded(model, one.given.key or "", value[1], cost, error.retry_after or 1.0) from error

    async def settle(self, reservation: Reservation, usage: Usage | None) -> None:
        """The request is over: its output counts too, where the provider told it."""
        now = time.time()
        if usage is None or usage == Usage():
            await self._limits.settle(reservation, {}, now=now)
        else:
            await self._limits.settle(reservation, {"tokens": usage.input_tokens + usage.output_tokens}, now=now)


def _value(limit: _Limit, headers: Mapping[bytes, bytes]) -> tuple[str, str] | None:
    """Whose bucket it is and what its header says; None where the limit does not count the request."""
    key = limit.given.key
    if key is None:
        return "all", ""
    name = key.lower().encode("latin-1", "replace")
    given = headers.get(name)
    if given is None:
        return None
    text = given.decode("latin-1")[:_LONGEST_VALUE]
    wanted = limit.given.value
    if wanted is None or wanted in _EACH or wanted == text:
        return f"={text}", text
    return None


def _policy(given: RateLimit, place: int) -> Policy:
    # the place alone would give a changed file the counters of another limit
    name = f"arch:{place}:{given.model}:{given.key or ''}:{given.value or ''}"
    return Policy(name=name, metric="tokens", limit=given.tokens, window=given.seconds, scope="all")
