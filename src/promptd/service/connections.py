"""Connections (an engine with settings) and the models they serve. The adapter of port `Models`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from msgspec import Struct

from promptd.core.engine import CheckParams, CheckResult, Engine, map_error
from promptd.core.errors import NotFound, PromptExecutionError
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
    """Every connection and model of the configuration."""

    def __init__(
        self, connections: Mapping[str, Connection], routes: Mapping[str, Route], default_model: str | None
    ) -> None:
        self._connections = dict(connections)
        self._routes = dict(routes)
        self.default_model = default_model

    def __iter__(self) -> Iterator[Connection]:
        return iter(self._connections.values())

    def get(self, name: str) -> Connection | None:
        return self._connections.get(name)

    def resolve(self, model: str | None) -> Route:
        """Raises `UnknownModel`."""
        return resolve(self._routes, self.default_model, model)

    def route(self, model: str) -> Route | None:
        return self._routes.get(model)

    def supports(self, route: Route, capability: Capability) -> bool:
        return capability in self._connections[route.connection].engine.capabilities

    # ---------------------------------------------------------------- port Models

    async def start(self, name: str) -> None:
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
                capabilities=tuple(sorted(connection.engine.capabilities)),
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
        """Test a connection; a failure is a result, not an exception."""
        connection = self._require(name)
        params: CheckParams[Any] = CheckParams(connection=connection.config, connection_name=name, http=connection.http)
        try:
            return await connection.engine.check(params)
        except PromptExecutionError as error:
            return CheckResult(ok=False, message=error.message)
        except Exception as error:  # a stranger's engine may raise anything; the admin gets an unspecific message
            mapped = map_error(connection.engine, error)
            return CheckResult(ok=False, message=mapped.message)

    async def close(self) -> None:
        for engine in {id(connection.engine): connection.engine for connection in self}.values():
            await engine.close()

    def _require(self, name: str) -> Connection:
        connection = self._connections.get(name)
        if connection is None:
            raise NotFound(f"no connection {name[:200]!r}")
        return connection
