"""What is made of settings and can be replaced while the house works. Making it is the check of a start and a reload."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from promptd import registry
from promptd.app import machine
from promptd.app.guards import Desk, make_checks
from promptd.app.prices import Prices, check_priced
from promptd.app.routes import Priced, make_routes
from promptd.core.engine import Engine
from promptd.core.errors import InvalidInput, SettingsError
from promptd.core.health import Cooldown
from promptd.core.ports import HttpClient
from promptd.core.routing import Leg, Route
from promptd.egress.policy import Policy
from promptd.service.charges import ChargeRules
from promptd.service.connections import Connection
from promptd.service.execution import Rules
from promptd.service.fleet import FleetRules, Share
from promptd.service.guarding import Checks
from promptd.service.intake import IntakeRules
from promptd.settings import Settings
from promptd.settings.sources import CooldownSettings

_MEGABYTE: Final = 1_000_000
_FOR_MODELS: Final = 0.8  #: of the machine's memory, where the operator does not say


class Parts(Struct, frozen=True, kw_only=True):
    """Nothing of it works yet, and nothing has to be closed."""

    connections: Mapping[str, Connection]
    routes: Mapping[str, Route]
    priced: Priced  #: for legs that come to be when a caller fills a pattern
    default_model: str
    origins: tuple[str, ...]  #: every address that the configuration names; nothing else may be called
    checks: Checks
    admission: IntakeRules
    charges: ChargeRules
    execution: Rules
    fleet: FleetRules


def make(settings: Settings, plugins: registry.Registry, http: HttpClient, desk: Desk | None = None) -> Parts:
    """`desk` answers guards that ask a model. Raises `SettingsError` with the key that can't be enforced; a model's connection
    that is not configured may be a stored one, which `with_stored` finds out."""
    configs = registry.check_connections(settings, plugins)
    named: list[str] = []  # addresses that guards ask
    desk = desk or Desk()
    checks = make_checks(settings, plugins, desk.tools(http, named.append), desk.guests)
    connections = {
        name: Connection(
            name=name,
            engine=plugins.engines[given.engine],
            config=configs[name],
            http=http,
            slots=given.slots,
            cooldown=_cooldown(given.cooldown),
            max_waiting=given.max_waiting,
            max_wait=given.max_wait_seconds,
        )
        for name, given in settings.connections.items()
    }
    priced = _priced(connections)
    routes = make_routes(settings, priced, None)
    _check_priced(settings, routes, connections)
    return Parts(
        connections=connections,
        routes=routes,
        priced=priced,
        default_model=settings.default_model,
        origins=(*_origins(settings, connections), *named),
        checks=checks,
        admission=IntakeRules(
            max_waiting=settings.queue.max_waiting,
            max_attempts=settings.retry.max_attempts,
            keep_attached=settings.retention.keep_attached,
        ),
        charges=ChargeRules(
            policies=tuple(limit.policy for limit in settings.limits), history_tokens=settings.history.tokens
        ),
        execution=Rules(
            base_seconds=settings.retry.base_seconds,
            max_exponent=settings.retry.max_exponent,
            history_tokens=settings.history.tokens,
            max_answer_bytes=settings.streams.max_answer_bytes,
        ),
        fleet=_fleet(settings, connections),
    )


def with_stored(
    parts: Parts, settings: Settings, connections: Mapping[str, Connection], names: Collection[str]
) -> Parts:
    """The parts once the stored connections are known: all their `names`, and with those of the settings every one of the
    `connections` that can be used. Raises `SettingsError`."""
    priced = _priced(connections)
    routes = make_routes(settings, priced, names)
    _check_priced(settings, routes, connections)
    return replace(parts, routes=routes, priced=priced)


def _check_priced(settings: Settings, routes: Mapping[str, Route], connections: Mapping[str, Connection]) -> None:
    """Of what can be asked now: of a stored connection that can't be read nobody knows what it costs."""
    at_hand = [route for route in routes.values() if all(leg.connection in connections for leg in route.legs)]
    check_priced((limit.policy for limit in settings.limits), at_hand)


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
        budget=budget * _MEGABYTE if budget is not None else int(machine.memory() * _FOR_MODELS),
        shares=shares,
        spare_seconds=settings.fleet.spare_seconds,
    )


def _priced(connections: Mapping[str, Connection]) -> Priced:
    """What the operator says a leg costs, or else what is known of it today."""
    prices = Prices(time.time())

    def priced(leg: Leg) -> Leg:
        if leg.price is not None:
            return leg
        connection = connections.get(leg.connection)
        if connection is None:  # a stored one that can't be used now
            return leg
        return replace(leg, price=prices.of(connection.engine, connection.config, leg.upstream))

    return priced


def _cooldown(given: CooldownSettings) -> Cooldown:
    return Cooldown(
        failures=given.failures,
        rate=given.failure_rate,
        seconds=given.seconds,
        longest=given.longest_seconds,
    )


def _origins(settings: Settings, connections: Mapping[str, Connection]) -> tuple[str, ...]:
    """Every address of a connection's own keys, those that it has by default too."""
    found = [
        value
        for connection in connections.values()
        for _, told in connection.config
        for value in (told if isinstance(told, list) else (told,))
        if isinstance(value, str) and value.startswith(("http://", "https://"))
    ]
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
