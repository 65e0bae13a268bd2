"""Connections (an engine with settings) and the models they serve. The adapter of port `Models`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import force_setattr, replace

from promptd.core.choice import STAR, Wildcards
from promptd.core.engine import Engine, Standing
from promptd.core.errors import HandlerUnavailable, InvalidRequest, NotFound, PromptdError, PromptExecutionError
from promptd.core.health import Cooldown
from promptd.core.model import Capability, Model
from promptd.core.ports import HttpClient
from promptd.core.routing import Leg, Route, resolve
from promptd.service.callbacks import Callbacks
from promptd.service.connection_tests import Tested, judged

_STATES: Final = ("ready", "starting", "stopped", "unavailable")
_GONE: Final = Standing(state="unavailable", reason="its connection is not configured")
_CHECK_SECONDS: Final = 600.0  # a local model may have to be loaded first
_MOST_FILLED: Final = 1024  # models that callers named by a pattern and that are remembered
_LONGEST_NAME: Final = 128  # of a connection's own model that a caller named and that is remembered


class Connection(Struct, frozen=True, kw_only=True):
    """One lane: at most `slots` prompts run on it at a time."""

    name: str
    engine: Engine[Any, Any]
    config: Any
    http: HttpClient
    slots: int = 4
    cooldown: Cooldown = Cooldown()
    max_waiting: int = 1000  #: attached prompts in its line; beyond, they are refused
    max_wait: float = 300.0  #: seconds that one of them waits there at most
    dialects: frozenset[str] = frozenset()  #: those that its service takes as they are; the engine says which
    engine_type: str = ""  #: the engine's, derived as the dialects are

    def __post_init__(self) -> None:
        force_setattr(self, "dialects", self.engine.dialects(self.config))
        force_setattr(self, "engine_type", self.engine.type_id)

    @property
    def passes(self) -> bool:
        """Whether it sends its callers' own keys on; no other engine may see one."""
        return getattr(self.config, "passthrough", False) is True


class Connections:
    """Every connection and model of the configuration. `configure` replaces them all; a run goes on with what it holds."""

    def __init__(
        self, connections: Mapping[str, Connection], routes: Mapping[str, Route], default_model: str | None
    ) -> None:
        self._connections: dict[str, Connection] = {}
        self._callbacks = Callbacks()
        self.version = 0  #: another one whenever `configure` was called
        #: what a leg costs that a caller filled a pattern for; the composition root knows prices
        self.priced: Callable[[Leg], Leg] = lambda leg: leg
        #: every one that was ever used, because what runs on it outlives its connection
        self._engines: dict[int, Engine[Any, Any]] = {}
        #: why a model that is known but not served can't be asked; the composition root says who knows
        self.absent: Callable[[str], InvalidRequest | None] = lambda model: None
        #: what a local model needs to be started or tested; the fleet's, which needs its connections first
        self.memory_for: Callable[[str], AbstractAsyncContextManager[None]] = lambda name: nullcontext()
        self.configure(connections, routes, default_model)

    def configure(
        self, connections: Mapping[str, Connection], routes: Mapping[str, Route], default_model: str | None
    ) -> tuple[Connection, ...]:
        """Serve these from now on. Those that are gone or changed are returned; `retire` each once nothing runs on it."""
        before = self._connections
        self._connections = {
            name: before[name] if before.get(name) == new else new for name, new in connections.items()
        }
        self._routes = {name: route for name, route in routes.items() if STAR not in name}
        self._wildcards = Wildcards(routes)
        self._filled: dict[str, Route] = {}
        self._direct: dict[tuple[str, str], Route] = {}
        self._chains: dict[tuple[str, ...], Route] = {}
        self._able: dict[
            tuple[int, Capability], tuple[Route, bool]
        ] = {}  #: the route is kept, so that its id stays its own
        self.default_model = default_model or None
        self.version += 1
        self._engines |= {id(connection.engine): connection.engine for connection in self}
        return tuple(old for name, old in before.items() if self._connections.get(name) is not old)

    async def retire(self, gone: Connection) -> None:
        """Free what the engine holds for a connection that is gone or changed, unless its successor is at work already."""
        heir = self._connections.get(gone.name)
        if (
            heir is None
            or heir.engine is not gone.engine
            or heir.engine.standing(heir.name, heir.config).state == "stopped"
        ):
            await gone.engine.stop(gone.name)

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._connections.values())

    def get(self, name: str) -> Connection | None:
        return self._connections.get(name)

    def resolve(self, model: str | None) -> Route:
        """Raises `UnknownModel`, `InvalidRequest` for one that is known but not served."""
        route = self.route(model or self.default_model or "")
        if route is not None:
            return route
        if model and (refusal := self.absent(model)) is not None:
            raise refusal
        return resolve(self._routes, self.default_model or None, model)

    def route(self, model: str) -> Route | None:
        """Where a name leads: by itself, by another one that it stands for, or by a pattern."""
        return self._routes.get(model) or self._filled.get(model) or self._fill(model)

    def direct(self, connection: str, upstream: str) -> Route | None:
        """The way to a connection that is asked by its name, for a model that need not be configured; its own name stands
        for one that is not named."""
        if connection not in self._connections:
            return None
        known = self._direct.get((connection, upstream))
        if known is not None:
            return known
        leg = self.priced(Leg(model=upstream or connection, connection=connection, upstream=upstream))
        route = Route(
            model=leg.model, connection=connection, upstream=upstream, price=leg.price, legs=(leg,), pattern=connection
        )
        if len(upstream) <= _LONGEST_NAME:
            if len(self._direct) >= _MOST_FILLED:
                self._direct.clear()
            self._direct[connection, upstream] = route
        return route

    def chain(self, route: Route, others: Sequence[str]) -> Route:
        """The route with the ways to `others` behind its own; names that lead nowhere are left out."""
        key = (route.model, *others)
        known = self._chains.get(key)
        if known is not None:
            return known
        found = {(leg.connection, leg.upstream): leg for leg in route.legs}
        for other in others:
            below = 1 + max(leg.tier for leg in found.values())
            next_one = self.route(other)
            for leg in next_one.legs if next_one is not None else ():
                found.setdefault((leg.connection, leg.upstream), replace(leg, tier=leg.tier + below))
        if len(self._chains) >= _MOST_FILLED:
            self._chains.clear()
        chained = self._chains[key] = replace(route, legs=tuple(found.values()), arms=())
        return chained

    def _fill(self, model: str) -> Route | None:
        route = self._wildcards.find(model, self.priced)
        if route is not None:
            if len(self._filled) >= _MOST_FILLED:
                self._filled.clear()
            self._filled[model] = route
        return route

    def engine_of(self, route: Route) -> str:
        """The type of the engine behind a model."""
        return self._connections[route.connection].engine.type_id

    def supports(self, route: Route, capability: Capability) -> bool:
        """Whether one of its legs does."""
        key = id(route), capability
        known = self._able.get(key)
        if known is None or known[0] is not route:
            if len(self._able) >= _MOST_FILLED:
                self._able.clear()
            known = self._able[key] = (route, any(self.leg_supports(leg, capability) for leg in route.legs))
        return known[1]

    def leg_supports(self, leg: Leg, capability: Capability) -> bool:
        connection = self._connections.get(leg.connection)  # it may have gone since the route was looked up
        return connection is not None and capability in (leg.capabilities or connection.engine.capabilities)

    def unfit(self, route: Route, capability: Capability) -> PromptdError:
        """Why a model can't be asked for what it does not support."""
        if not any(leg.connection in self._connections for leg in route.legs):
            return HandlerUnavailable(
                f"the connection {route.connection!r} of the model {route.model!r} can't be used now"
            )
        return InvalidRequest(
            f"the model {route.model!r} does not do {capability}",
            field="files" if capability is Capability.VISION else "capability",
            expected="something the model can do",
        )

    def first_for(self, capability: Capability) -> str | None:
        """The first model of the configuration that does it."""
        return next((name for name, route in self._routes.items() if self.supports(route, capability)), None)

    # ---------------------------------------------------------------- port Models

    async def start(self, name: str) -> None:
        """Start what runs behind a connection, once there is memory for it."""
        async with self.memory_for(name):
            connection = self._require(name)
            await connection.engine.start(name, connection.config, connection.http)

    async def stop(self, name: str) -> None:
        await self._require(name).engine.stop(name)

    def status(self, name: str) -> Sequence[Model]:
        self._require(name)
        return tuple(
            self._model(model, route)
            for model, route in (*self._routes.items(), *self._filled.items())
            if any(leg.connection == name for leg in route.legs)
        )

    def models(self) -> tuple[Model, ...]:
        """Every model that callers may name, by name; not those that only fit a pattern."""
        return tuple(self._model(name, route) for name, route in sorted(self._routes.items()))

    def _model(self, name: str, route: Route) -> Model:
        """It stands as the best of its legs does, and can do what any of them can."""
        found = [
            (leg, connection) for leg in route.legs if (connection := self._connections.get(leg.connection)) is not None
        ]
        standings = [connection.engine.standing(connection.name, connection.config) for _, connection in found]
        best = min(standings, key=lambda standing: _STATES.index(standing.state), default=_GONE)
        able = [leg.capabilities or connection.engine.capabilities for leg, connection in found]
        return Model(
            name=name,
            connection=route.connection,
            upstream=route.upstream,
            engine=found[0][1].engine.type_id if found else "",
            capabilities=tuple(sorted(frozenset().union(*able))),
            status=best.state,
            reason=best.reason,
            context=route.context or best.context,
        )

    async def check(self, name: str, locale: str = "en") -> Tested:
        """Test a connection, once there is memory for it; a failure is a result, not an exception."""
        try:
            async with self.memory_for(name):
                connection = self._require(name)
                return await judged(
                    self._callbacks,
                    connection.engine,
                    connection.config,
                    http=connection.http,
                    name=name,
                    locale=locale,
                    seconds=_CHECK_SECONDS,
                )
        except PromptExecutionError as error:
            return Tested(ok=False, message=error.message)

    async def close(self) -> None:
        for engine in self._engines.values():
            await engine.close()

    def _require(self, name: str) -> Connection:
        connection = self._connections.get(name)
        if connection is None:
            raise NotFound(f"no connection {name[:200]!r}")
        return connection
