"""Routes from the settings of models: what each name leads to, decided once, with every reference checked."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from msgspec.structs import replace

from promptd.core.choice import STAR, Pattern, by_length, fill
from promptd.core.errors import SettingsError
from promptd.core.model import Capability
from promptd.core.routing import Arm, Leg, Price, Route
from promptd.settings import ModelSettings, PriceSettings, Settings

Priced = Callable[[Leg], Leg]
"""A leg with its price, where one is known and the operator has not named another."""


def make_routes(
    settings: Settings, priced: Priced = lambda leg: leg, stored: Collection[str] | None = ()
) -> Mapping[str, Route]:
    """A route per name and pattern. `stored` are the names of stored connections; None: they are not known yet, and any name
    may be one. Raises `SettingsError` with the key that leads nowhere or in a circle."""
    exact = [name for name in settings.models if STAR not in name]
    # with patterns alone there is nothing that a prompt without a model could be given to
    if settings.default_model not in exact and (settings.default_model or exact):
        raise _wrong(
            "default_model",
            f"one of {', '.join(exact)}" if exact else "nothing, because no model has a name of its own",
        )
    maker = _Maker(settings, priced, stored)
    return {name: maker.route(name) for name in settings.models}


class _Maker:
    """Follows references; `_trail` is where it is, to notice circles."""

    def __init__(self, settings: Settings, priced: Priced, stored: Collection[str] | None) -> None:
        self._stored = stored
        self._connections, self._models, self._priced = settings.connections, settings.models, priced
        self._patterns = by_length(name for name in settings.models if STAR in name)
        self._made: dict[str, Route] = {}
        self._trail: list[str] = []

    def route(self, name: str) -> Route:
        if (made := self._made.get(name)) is not None:
            return made
        model = self._models[name]
        self._trail.append(name)
        if model.alias is not None:
            found = self._follow(f"models.{name}.alias", model.alias)
        elif model.split:
            found = self._split(name, model)
        else:
            found = self._served(name, model)
        self._trail.pop()
        self._made[name] = found
        return found

    def _follow(self, key: str, name: str) -> Route:
        """The route of a name that another model refers to."""
        if name in self._models:
            target, taken = name, ""
        else:
            fits = ((pattern, Pattern.of(pattern).taken(name)) for pattern in self._patterns)
            target, taken = next(((pattern, taken) for pattern, taken in fits if taken), ("", ""))
        if not target:
            raise _wrong(key, f"one of {', '.join(self._models)}")
        if STAR in name:
            raise _wrong(key, "the name of one model, not a pattern")
        if target in self._trail:
            circle = " → ".join([*self._trail[self._trail.index(target) :], target])
            raise _wrong(key, f"a model that does not lead back here ({circle})")
        found = self.route(target)
        return fill(found, name, taken, self._priced) if taken else found

    def _served(self, name: str, model: ModelSettings) -> Route:
        legs = list(self._own(name, model))
        for index, fallback in enumerate(model.fallbacks):
            key = f"models.{name}.fallbacks[{index}]"
            found = self._follow(key, fallback)
            if found.arms:
                raise _wrong(key, "a model that is not a split")
            below = max(leg.tier for leg in legs) + 1
            legs += [replace(leg, tier=leg.tier + below) for leg in found.legs]
        if model.fallback_on and not model.fallbacks:
            raise _wrong(f"models.{name}.fallback_on", "nothing, because there are no fallbacks")
        legs = list(_unique(sorted(legs, key=lambda leg: leg.tier)))
        return Route(
            model=name,
            connection=legs[0].connection,
            upstream=legs[0].upstream,
            context=model.context,
            max_output=model.max_output_tokens,
            price=legs[0].price,
            template=model.template,
            capabilities=_capabilities(model),
            legs=tuple(legs),
            fallback_on=frozenset(model.fallback_on),
            sticky=model.sticky == "user",
        )

    def _own(self, name: str, model: ModelSettings) -> Iterator[Leg]:
        place = f"models.{name}"
        if model.connection is not None:
            yield self._leg(name, model, place, model.connection)
        seen: set[tuple[str, str]] = set()
        for index, given in enumerate(model.connections):
            leg = self._leg(name, model, f"{place}.connections[{index}]", given.connection, given.upstream, given.price)
            if (leg.connection, leg.upstream) in seen:
                raise _wrong(
                    f"{place}.connections[{index}]", "a connection that no other entry names, or another upstream"
                )
            seen.add((leg.connection, leg.upstream))
            yield replace(leg, weight=given.weight, tier=given.tier)

    def _leg(
        self,
        name: str,
        model: ModelSettings,
        place: str,
        connection: str,
        upstream: str | None = None,
        price: PriceSettings | None = None,
    ) -> Leg:
        if connection not in self._connections and self._stored is not None and connection not in self._stored:
            known = ", ".join([*self._connections, *sorted(self._stored)])
            raise _wrong(f"{place}.connection", f"one of {known}: there is no {connection!r}, nor is one stored")
        asked = upstream or model.upstream
        if asked is not None and STAR in asked and STAR not in name:
            key = f"{place}.upstream" if upstream else f"models.{name}.upstream"
            raise _wrong(key, "no `*`, because the model's name has none to fill it from")
        if asked is None:
            asked = name
        leg = Leg(
            model=name,
            connection=connection,
            upstream=asked,
            price=_price(price or model.price),
            context=model.context,
            max_output=model.max_output_tokens,
            capabilities=_capabilities(model),
        )
        return leg if STAR in leg.upstream else self._priced(leg)

    def _split(self, name: str, model: ModelSettings) -> Route:
        arms: list[Arm] = []
        for index, given in enumerate(model.split):
            place = f"models.{name}.split[{index}]"
            found = self._follow(f"{place}.model", given.model)
            if found.arms:
                raise _wrong(f"{place}.model", "a model that is not a split itself")
            arm = given.arm or given.model
            if any(other.name == arm for other in arms):
                raise _wrong(f"{place}.arm", "a name that no other side of the split has")
            arms.append(Arm(name=arm, weight=given.weight, route=replace(found, model=name)))
        first = arms[0].route
        return replace(
            first,
            template=model.template or first.template,
            legs=tuple(_unique(leg for arm in arms for leg in arm.route.legs)),
            arms=tuple(arms),
        )


def _unique(legs: Iterable[Leg]) -> Iterator[Leg]:
    """Without those that a leg before them is already: asking it again would not help."""
    seen: set[tuple[str, str]] = set()
    for leg in legs:
        if (leg.connection, leg.upstream) not in seen:
            seen.add((leg.connection, leg.upstream))
            yield leg


def _capabilities(model: ModelSettings) -> frozenset[Capability] | None:
    return frozenset(model.capabilities) if model.capabilities is not None else None


def _price(given: PriceSettings | None) -> Price | None:
    return given.price if given is not None else None


def _wrong(key: str, expected: str) -> SettingsError:
    return SettingsError(f"{key}: expected {expected}", key=key)
