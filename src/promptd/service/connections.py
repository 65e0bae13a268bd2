"""Connections (an engine with settings) and the models they serve. The adapter of port `Models`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any

from msgspec import Struct

from promptd.core.engine import CheckParams, CheckResult, Engine, map_error
from promptd.core.errors import InvalidRequest, NotFound, PromptExecutionError
from promptd.core.model import Capability, Model
from promptd.core.ports import HttpClient
from promptd.core.routing import Route, resolve


class Connection(Struct, frozen=True, kw_only=True):
    """One lane: at most `slots` prompts run on it at a time."""

    name: str
    engine: Engine[Any]
    config: Any
    http: HttpClient
    slots: int = 4


class Connections:
    """Every connection and model of the configuration. `configure` replaces them all; a run goes on with what it holds."""

    def __init__(
        self, connections: Mapping[str, Connection], routes: Mapping[str, Route], default_model: str | None
    ) -> None:
        self._connections: dict[str, Connection] = {}
        #: every one that was ever used, because what runs on it outlives its connection
        self._engines: dict[int, Engine[Any]] = {}
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
        self._routes = dict(routes)
        self.default_model = default_model
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
        if model and model not in self._routes and (refusal := self.absent(model)) is not None:
            raise refusal
        return resolve(self._routes, self.default_model, model)

    def route(self, model: str) -> Route | None:
        return self._routes.get(model)

    def engine_of(self, route: Route) -> str:
        """The type of the engine behind a model."""
        return self._connections[route.connection].engine.type_id

    def supports(self, route: Route, capability: Capability) -> bool:
        connection = self._connections.get(route.connection)  # it may have gone since the route was looked up
        return connection is not None and capability in (route.capabilities or connection.engine.capabilities)

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
        connection = self._require(name)
        standing = connection.engine.standing(name, connection.config)
        return tuple(
            Model(
                name=route.model,
                connection=name,
                upstream=route.upstream,
                engine=connection.engine.type_id,
                capabilities=tuple(sorted(route.capabilities or connection.engine.capabilities)),
                status=standing.state,
                reason=standing.reason,
                context=route.context or standing.context,
            )
            for route in self._routes.values()
            if route.connection == name
        )

    def models(self) -> tuple[Model, ...]:
        """Every model that callers may name, by name."""
        found = [model for name in self._connections for model in self.status(name)]
        return tuple(sorted(found, key=lambda model: model.name))

    async def check(self, name: str) -> CheckResult:
        """Test a connection, once there is memory for it; a failure is a result, not an exception."""
        try:
            async with self.memory_for(name):
                return await self._check(self._require(name))
        except PromptExecutionError as error:
            return CheckResult(ok=False, message=error.message)

    async def _check(self, connection: Connection) -> CheckResult:
        name = connection.name
        params: CheckParams[Any] = CheckParams(connection=connection.config, connection_name=name, http=connection.http)
        try:
            return await connection.engine.check(params)
        except PromptExecutionError:
            raise
        except Exception as error:  # a stranger's engine may raise anything; the admin gets an unspecific message
            mapped = map_error(connection.engine, error)
            return CheckResult(ok=False, message=mapped.message)

    async def close(self) -> None:
        for engine in self._engines.values():
            await engine.close()

    def _require(self, name: str) -> Connection:
        connection = self._connections.get(name)
        if connection is None:
            raise NotFound(f"no connection {name[:200]!r}")
        return connection
