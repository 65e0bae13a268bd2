"""Which legs of a model a prompt is tried on and in what order, by what their calls came to.

A model with one leg and nothing to fall back to pays nothing for this. Health is kept for each leg, a connection and the
name that it is asked for: where one model of a service is overrun, its other models need no rest.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final, Literal, NamedTuple

from promptd.core.choice import arrange, choose_arm, point
from promptd.core.errors import (
    AuthenticationFailed,
    ConfigIncomplete,
    ConfigUnusable,
    ContentFiltered,
    HandlerUnavailable,
    InputTooLarge,
    NetworkError,
    PermissionDenied,
    PromptExecutionError,
    QuotaExceeded,
    RateLimited,
    ResourceNotFound,
    ServiceUnavailable,
    Timeout,
)
from promptd.core.health import Cooldown, Health
from promptd.core.model import Capability, Prompt
from promptd.core.routing import Cause, Leg, Route
from promptd.service.clock import Clock, Entropy
from promptd.service.connections import Connection, Connections

_log = logging.getLogger(__name__)
_MOST_LEGS: Final = 3  # calls of one prompt before anything was said
_MOST_KNOWN: Final = 4096  # legs with a health and routes with tiers; callers fill patterns with names of their own

#: the next call would fail as well, whatever it asks
_CERTAIN: Final = (AuthenticationFailed, QuotaExceeded, HandlerUnavailable, ConfigIncomplete, ConfigUnusable)
#: what says something against the leg
_COUNTED: Final = (*_CERTAIN, NetworkError, RateLimited, ServiceUnavailable, Timeout)
#: another leg may do better; some services say the last two of what a single request asks for, so that these do not count
_ELSEWHERE: Final = (*_COUNTED, PermissionDenied, ResourceNotFound)

_Key = tuple[str, str]  # connection and upstream


class LegHealth(NamedTuple):
    """How a leg stands; `until` is the end of its rest, in UTC seconds."""

    connection: str
    upstream: str
    state: Literal["healthy", "cooling", "probing"]
    until: float | None


class _Tiers(NamedTuple):
    """The legs of a route that do what is asked."""

    route: Route  #: kept, so that no other one gets its identity
    tiers: tuple[tuple[Leg, ...], ...]
    straight: tuple[Leg, ...]  #: the plan while all is well, where chance has no part in it; else empty


class Router:
    """Plans calls and hears how they ended. It follows the connections through every reload by itself.

    `crowded` says whether the line of a connection is full; the composition root knows the lines.
    """

    def __init__(self, *, connections: Connections, clock: Clock, entropy: Entropy) -> None:
        self._connections, self._clock = connections, clock
        self._random = random.Random(entropy(16)).random  # noqa: S311 - nobody gains by guessing it
        self.healths: dict[_Key, Health] = {}  #: of legs that failed; a leg without one is healthy
        self._owners: dict[_Key, Connection | None] = {}  #: whose health it is: another connection of the name is new
        self._troubled: set[_Key] = set()  #: legs that rest, or have rested and not shown yet that they are well
        self._tiers: dict[tuple[int, Capability], _Tiers] = {}
        self._version = connections.version
        self.crowded: Callable[[str], bool] = lambda connection: False

    # ---------------------------------------------------------------- before a call

    def arm(self, route: Route, user: str, affinity: str = "") -> tuple[Route, str]:
        """The side of a traffic split that a caller is on, always the same one: its route and its name, or `route` and
        nothing where nothing is split."""
        arm = choose_arm(route, affinity or user) if route.arms else None
        return (route, "") if arm is None else (arm.route, arm.name)

    def plan(
        self, route: Route, user: str, affinity: str = "", capability: Capability = Capability.CHAT
    ) -> Sequence[Leg]:
        """The legs in the order to try them: at least one, at most three, none twice.

        Healthy ones only, as long as there are any, lower tiers first; inside a tier by chance and weight, or always in
        the same order for the same `affinity`. Where all cool, the one whose rest ends first.
        """
        if len(route.legs) == 1:
            return route.legs
        found = self._tiers_of(route, capability)
        if found.straight and not self._troubled and not self.crowded(found.straight[0].connection):
            return found.straight
        return self._plan(found.tiers, affinity or (user if route.sticky else ""))

    def leg(self, prompt: Prompt) -> Leg | None:
        """The leg that runs a stored prompt in its lane: of those of its model that are there, a healthy one."""
        route = self.route(prompt)
        if route is None:
            return None
        legs = [leg for leg in route.legs if leg.connection == prompt.lane]
        if not legs:
            return route.legs[0]
        now = self._clock()
        return next((leg for leg in legs if self._admits(leg, now)), legs[0])

    def route(self, prompt: Prompt) -> Route | None:
        """Where the model of a stored prompt leads now, on its side of a split."""
        pinned = prompt.request.connection
        if pinned is not None:
            return self._connections.direct(pinned, "" if prompt.model == pinned else prompt.model)
        route = self._connections.route(prompt.model)
        if route is None or not prompt.arm:
            return route
        return next((arm.route for arm in route.arms if arm.name == prompt.arm), route)

    # ---------------------------------------------------------------- after a call

    def report(self, leg: Leg, error: PromptExecutionError | None, started: float, first: float | None) -> None:
        """How a call on a leg ended. Times are UTC seconds; `first` is that of its first text, if it came to that.

        A request that was refused for a fault of its own is a success of the leg: its service is there and answers.
        """
        key = leg.connection, leg.upstream
        health = self.healths.get(key)
        if error is None or not isinstance(error, _COUNTED):
            if health is not None and health.succeeded(started, self._clock()):
                self._troubled.discard(key)
                _log.info("%s is back for %s", leg.connection, leg.upstream, extra={"action": "leg_back"})
            return
        if health is None:
            health = self._known(key)
        now = self._clock()
        if health.failed(started, now, wait=error.retry_after, certain=isinstance(error, _CERTAIN)):
            self._troubled.add(key)
            _log.warning(
                "%s rests for %s for %.1f s: %s",
                leg.connection,
                leg.upstream,
                (health.until or now) - now,
                error.code,
                extra={"action": "leg_rests", "lane": leg.connection, "code": error.code},
            )

    def may_fall_back(self, route: Route, error: PromptExecutionError) -> bool:
        """Whether another leg may do better than the one that failed with `error` before it said anything."""
        if isinstance(error, _ELSEWHERE):
            return True
        if isinstance(error, InputTooLarge):
            return Cause.CONTEXT_OVERFLOW in route.fallback_on
        return isinstance(error, ContentFiltered) and Cause.REFUSAL in route.fallback_on

    def lane_after(self, prompt: Prompt, error: PromptExecutionError) -> str:
        """The lane in which a stored prompt waits for its next attempt, after one that ended with `error`."""
        route = self.route(prompt)
        if route is None or not self.may_fall_back(route, error):
            return prompt.lane
        tiers, now = self._tiers_of(route, prompt.capability).tiers, self._clock()
        others = [[leg for leg in tier if leg.connection != prompt.lane] for tier in tiers]
        if not any(self._admits(leg, now) for tier in others for leg in tier):
            return prompt.lane
        return self._plan(others, prompt.id, probe=False)[0].connection

    # ---------------------------------------------------------------- for people who look

    def health(self, connection: str) -> tuple[LegHealth, ...]:
        """How the legs of a connection stand that have failed lately; those that are not named are healthy."""
        now = self._clock()
        self._follow()
        return tuple(
            LegHealth(*key, health.state(now), health.until)
            for key, health in self.healths.items()
            if key[0] == connection
        )

    # ---------------------------------------------------------------- inside

    def _plan(self, tiers: Iterable[Sequence[Leg]], key: str, *, probe: bool = True) -> tuple[Leg, ...]:
        now = self._clock()
        chosen: list[Leg] = []
        for tier in tiers:
            ready = [leg for leg in tier if self._admits(leg, now) and not self.crowded(leg.connection)]
            if len(ready) > 1:
                ready = arrange(ready, partial(_point, key) if key else self._chance)
            if self._troubled:
                # whether one that has rested is well is found out by a call that begins with it, and by one at a time
                ready = [leg for n, leg in enumerate(ready) if not (chosen or n) or _key(leg) not in self._troubled]
            chosen += ready
            if len(chosen) >= _MOST_LEGS:
                break
        if not chosen:
            every = [leg for tier in tiers for leg in tier]
            return (min(every, key=lambda leg: self._rest_ends(leg, now)),)
        if probe and self._troubled and (health := self.healths.get(_key(chosen[0]))) is not None:
            health.begin_probe(now)
        return tuple(chosen[:_MOST_LEGS])

    def _chance(self, leg: Leg) -> float:
        return 1.0 - self._random()

    def _admits(self, leg: Leg, now: float) -> bool:
        return not self._troubled or (health := self.healths.get(_key(leg))) is None or health.admits(now)

    def _rest_ends(self, leg: Leg, now: float) -> float:
        health = self.healths.get(_key(leg))
        return now if health is None or health.until is None else health.until

    def _tiers_of(self, route: Route, capability: Capability) -> _Tiers:
        """The legs that do what is asked, by tier; all of them where none says that it does."""
        self._follow()
        known = self._tiers.get((id(route), capability))
        if known is not None:
            return known
        able = [leg for leg in route.legs if self._connections.leg_supports(leg, capability)] or route.legs
        by_tier: dict[int, list[Leg]] = {}
        for leg in able:
            by_tier.setdefault(leg.tier, []).append(leg)
        tiers = tuple(tuple(by_tier[tier]) for tier in sorted(by_tier))
        alone = all(len(tier) == 1 for tier in tiers)
        found = _Tiers(route, tiers, tuple(leg for tier in tiers for leg in tier)[:_MOST_LEGS] if alone else ())
        if len(self._tiers) >= _MOST_KNOWN:
            self._tiers.clear()
        self._tiers[id(route), capability] = found
        return found

    def _known(self, key: _Key) -> Health:
        self._follow()
        if len(self.healths) >= _MOST_KNOWN:
            for old in self.healths.keys() - self._troubled or [*self.healths]:
                self._forget(old)
        owner = self._connections.get(key[0])
        health = self.healths[key] = Health(Cooldown() if owner is None else owner.cooldown)
        self._owners[key] = owner
        return health

    def _follow(self) -> None:
        """Forget routes, and the health of connections that are gone or changed, once there are other ones."""
        if self._version == self._connections.version:
            return
        self._version = self._connections.version
        self._tiers.clear()
        for key in [key for key, owner in self._owners.items() if self._connections.get(key[0]) is not owner]:
            self._forget(key)

    def _forget(self, key: _Key) -> None:
        del self.healths[key], self._owners[key]
        self._troubled.discard(key)


def _key(leg: Leg) -> _Key:
    return leg.connection, leg.upstream


def _point(key: str, leg: Leg) -> float:
    return point(key, leg.connection, leg.upstream)
