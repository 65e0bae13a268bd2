"""What is made of settings and can be replaced while the house works. Making it is the check of a start and a reload."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from promptd import registry
from promptd.app import machine
from promptd.core.engine import Engine
from promptd.core.errors import InvalidInput, SettingsError
from promptd.core.ports import Guard, HttpClient
from promptd.core.routing import Price, Route
from promptd.egress.policy import Policy
from promptd.service.connections import Connection
from promptd.service.execution import Rules
from promptd.service.fleet import FleetRules, Share
from promptd.service.intake import IntakeRules
from promptd.settings import ModelSettings, Settings

_PICO_PER_UNIT_PER_MILLION: Final = 1_000_000
_MEGABYTE: Final = 1_000_000
_FOR_MODELS: Final = 0.8  #: of the machine's memory, where the operator does not say


class Parts(Struct, frozen=True, kw_only=True):
    """Nothing of it works yet, and nothing has to be closed."""

    connections: Mapping[str, Connection]
    routes: Mapping[str, Route]
    default_model: str
    origins: tuple[str, ...]  #: every address that the configuration names; nothing else may be called
    guard: Guard | None
    output_guard: Guard | None
    admission: IntakeRules
    execution: Rules
    fleet: FleetRules


def make(settings: Settings, plugins: registry.Registry, http: HttpClient) -> Parts:
    """Raises `SettingsError` with the key that can't be enforced."""
    configs = registry.check_connections(settings, plugins)
    guard = _guard(settings, plugins)
    connections = {
        name: Connection(
            name=name,
            engine=plugins.engines[given.engine],
            config=configs[name],
            http=http,
            slots=given.slots,
        )
        for name, given in settings.connections.items()
    }
    return Parts(
        connections=connections,
        routes={name: _route(name, model) for name, model in settings.models.items()},
        default_model=settings.default_model,
        origins=_origins(settings),
        guard=guard,
        output_guard=guard if settings.guard.output else None,
        admission=IntakeRules(
            max_waiting=settings.queue.max_waiting,
            max_attempts=settings.retry.max_attempts,
            policies=tuple(limit.policy for limit in settings.limits),
        ),
        execution=Rules(
            base_seconds=settings.retry.base_seconds,
            max_exponent=settings.retry.max_exponent,
            history_tokens=settings.history.tokens,
            max_answer_bytes=settings.streams.max_answer_bytes,
        ),
        fleet=_fleet(settings, connections),
    )


def _fleet(settings: Settings, connections: Mapping[str, Connection]) -> FleetRules:
    """Raises `SettingsError` for wishes that the engine of a connection can't grant."""
    shares: dict[str, Share] = {}
    for name, given in settings.connections.items():
        engine, replicas = connections[name].engine, given.replicas
        if engine.memory(connections[name].config) is None:
            for key in ("pinned", "replicas"):
                if getattr(given, key) != type(given).model_fields[key].default:
                    place = f"connections.{name}.{key}"
                    raise SettingsError(
                        f"{place}: expected nothing, because its model is not on this machine", key=place
                    )
            continue
        if replicas.max > 1 and type(engine).scale is Engine.scale:
            place = f"connections.{name}.replicas"
            raise SettingsError(f"{place}: expected at most 1, because the engine {given.engine} runs one", key=place)
        shares[name] = Share(pinned=given.pinned, least=replicas.min, most=replicas.max)
    budget = settings.fleet.memory_mb
    return FleetRules(
        budget=budget * _MEGABYTE if budget is not None else int(machine.memory() * _FOR_MODELS), shares=shares
    )


def _guard(settings: Settings, plugins: registry.Registry) -> Guard | None:
    """The built-in guard, or None where no rule is set: then the hot path pays nothing. Raises `SettingsError`."""
    if not settings.guard.rules:
        return None
    kind = plugins.guards["rules"]
    try:
        guard: Guard = kind(kind.config_class.model_validate(settings.guard.rules))
    except SettingsError as error:
        raise SettingsError(f"guard.{error.message}", key=f"guard.{error.key}") from error
    return guard


def _route(name: str, model: ModelSettings) -> Route:
    price = Price()
    if model.price is not None:
        price = Price(
            round(model.price.input_per_million * _PICO_PER_UNIT_PER_MILLION),
            round(model.price.output_per_million * _PICO_PER_UNIT_PER_MILLION),
        )
    return Route(
        model=name,
        connection=model.connection,
        upstream=model.upstream or name,
        context=model.context,
        price=price,
        template=model.template,
        capabilities=frozenset(model.capabilities) if model.capabilities is not None else None,
    )


def _origins(settings: Settings) -> tuple[str, ...]:
    found: list[str] = []
    for name, connection in settings.connections.items():
        for key, value in connection.config.items():
            if not isinstance(value, str) or not value.startswith(("http://", "https://")):
                continue
            try:
                Policy([value], public=False)
            except InvalidInput as error:
                place = f"connections.{name}.{key}"
                raise SettingsError(f"{place}: {error.message.removeprefix('url: ')}", key=place) from None
            found.append(value)
    return tuple(found)
