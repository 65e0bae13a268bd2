"""The choice of a model by what it is good at (contracts/arch.md §6.1), and conversations that stay where they are."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from promptd.core import preferences
from promptd.core.content import Turn
from promptd.core.errors import InvalidOutput, PromptdError, Timeout
from promptd.core.model import Caller, Mode, Request, Submission
from promptd.core.parameters import Parameters
from promptd.core.policy import Counted
from promptd.core.preferences import Preference
from promptd.faces.arch.models import Chosen
from promptd.faces.arch.shared import Shared

_log = logging.getLogger(__name__)
_SECONDS: Final = 15.0  #: for a decision; then the model that was asked for is used
_MOST_OUTPUT: Final = 512  #: tokens of a routing model's answer
_LONGEST_SESSION: Final = 256


class Decision(Struct, frozen=True, kw_only=True):
    """Which models a request is for, the first one before the others."""

    models: tuple[Chosen, ...]
    route: str | None = None  #: the preference that fits
    session: str = ""
    pinned: bool = False  #: an earlier request of the conversation decided


class Asking(Struct, frozen=True, kw_only=True):
    """Who wants a decision, and about what."""

    caller: Caller
    listener: str
    turns: Sequence[Turn]
    own: tuple[Preference, ...] | None = None  #: preferences of the request
    session: str = ""
    parent: str = ""  #: id of the prompt that this is for
    counted: Counted = ()  #: what limits by header count the request for


class Routing:
    """One for all listeners of a file."""

    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    async def decide(self, asking: Asking) -> Decision | None:
        """None: nothing decides, the model that was asked for is used. A router that fails is logged, and decides nothing."""
        shared, metrics = self._shared, self._shared.metrics
        session = f"{asking.caller.user}\0{asking.session[:_LONGEST_SESSION]}" if asking.session else ""
        if session:
            pinned: tuple[str | None, tuple[str, ...]] | None = shared.pins.get(session, time.time())
            models = self._known(pinned[1]) if pinned is not None else ()
            if metrics is not None:
                metrics.sessions.labels("hit" if models else "miss").inc()
            if pinned is not None and models:
                return Decision(models=models, route=pinned[0], session=asking.session, pinned=True)
        given = asking.own if asking.own is not None else shared.preferences
        turns = preferences.window(asking.turns, user_only=shared.config.route_on_user_only) if given else ()
        if not given or not turns:
            if metrics is not None:
                metrics.skips.inc()
            return None
        begun = time.perf_counter()
        name = await self._route(asking, turns, given)
        found = next((one for one in given if one.name == name), None)
        models = self._ordered(found) if found is not None else ()
        if metrics is not None:
            metrics.decision_seconds.observe(time.perf_counter() - begun)
            route = (name or "none") if asking.own is None else "request"  # names of clients are without number
            first = models[0].provider.id if models else "none"
            metrics.decisions.labels(route, first, str(not models).lower()).inc()
        return Decision(models=models, route=name, session=asking.session) if found is not None and models else None

    def pin(self, caller: Caller, session: str, route: str | None, models: Sequence[Chosen]) -> None:
        """The conversation stays at these."""
        kept = route, tuple([one.name for one in models])
        self._shared.pins.keep(f"{caller.user}\0{session[:_LONGEST_SESSION]}", kept, time.time())

    # ---------------------------------------------------------------- inside

    async def _route(self, asking: Asking, turns: tuple[Turn, ...], given: tuple[Preference, ...]) -> str | None:
        shared = self._shared
        try:
            async with asyncio.timeout(_SECONDS):
                if shared.config.routing_model is not None:
                    return await self._asked(shared.config.routing_model, asking, turns, given)
                match = await shared.intent.match(turns, [one.target() for one in given])
                return match.target if match is not None else None
        except TimeoutError:
            error: PromptdError = Timeout("the router took too long")
        except PromptdError as failed:
            error = failed
        _log.warning(
            "no route could be determined, the model asked for is used: %s",
            error.message,
            extra={"action": "routing_failed", "listener": asking.listener, "code": error.code},
        )
        return None

    async def _asked(
        self, model: str, asking: Asking, turns: tuple[Turn, ...], given: tuple[Preference, ...]
    ) -> str | None:
        """What a routing model says. Raises `PromptdError`."""
        chosen = self._shared.providers.choose(None, model, lenient=False)
        submission = Submission(
            caller=asking.caller,
            request=Request(
                messages=(preferences.question(turns, given),), parameters=Parameters(max_tokens=_MOST_OUTPUT)
            ),
            model=chosen.name,
            mode=Mode.ATTACHED,
            listener=asking.listener,
            parent=asking.parent or None,
            counted=asking.counted,
        )
        visit = self._shared.walk.attached.open(submission)
        async with visit:
            pieces, _ = await visit.whole()
        try:
            return preferences.read_route("".join([piece.text for piece in pieces]), [one.name for one in given])
        except ValueError as error:
            raise InvalidOutput(str(error)) from error

    def _ordered(self, preference: Preference) -> tuple[Chosen, ...]:
        known = {name: found for name in preference.models if (found := self._shared.providers.find(name)) is not None}
        ordered = preferences.ordered(
            list(known),
            preference.prefer,
            price=lambda name: self._price(known[name]),
            latency=lambda name: self._shared.latencies.of(known[name].name),
        )
        return tuple(known[name] for name in ordered)

    def _price(self, chosen: Chosen) -> float | None:
        """Of a token in and one out."""
        route = self._shared.walk.connections.route(chosen.name)
        price = route.price if route is not None else None
        return None if price is None else price.input + price.output

    def _known(self, names: Sequence[str]) -> tuple[Chosen, ...]:
        found = [self._shared.providers.find(name) for name in names]
        return tuple(one for one in found if one is not None)
