"""Which connection runs a prompt, and what its tokens cost."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import astuple, force_setattr

from promptd.core.errors import UnknownModel
from promptd.core.model import Capability, Usage


class Price(Struct, frozen=True):
    """Pico-units of a currency per token (1 unit per million tokens = 1,000,000 pico per token)."""

    input: int = 0
    output: int = 0
    cached: int | None = None  #: input that the service had in its cache; default: as other input
    cache_write: int | None = None  #: input that it put there; default: as other input
    reasoning: int | None = None  #: output that was thought; default: as other output
    tiers: tuple[Tier, ...] = ()  #: what else it costs where the input is longer, shorter inputs first


class Tier(Struct, frozen=True):
    """Another price for all tokens of an attempt whose input has more than `above` tokens."""

    above: int
    price: Price


#: Of a model that runs on the operator's own machine.
FREE: Final = Price()


class Leg(Struct, frozen=True, kw_only=True):
    """One way to a model: a connection, and the name that it is asked for there."""

    model: str  #: whose leg it is: of the model that was asked for, or of a fallback
    connection: str
    upstream: str
    price: Price | None = None  #: None: nobody knows
    tier: int = 0  #: legs of a lower one are tried first
    weight: float = 1.0  #: its share of the calls, beside the others of its tier
    context: int | None = None  #: tokens that fit, where the operator says so
    max_output: int | None = None  #: tokens that an answer can have, where the operator says so
    capabilities: frozenset[Capability] | None = None  #: what it does, where it is less than its engine


class Arm(Struct, frozen=True, kw_only=True):
    """One side of a traffic split: its share of the callers, and where it leads them."""

    name: str
    weight: float
    route: Route  #: under the name of the model that is split


class Cause(StrEnum):
    """A fault of the request itself that another model may not mind."""

    CONTEXT_OVERFLOW = "context_overflow"  #: it is longer than the model takes
    REFUSAL = "refusal"  #: the service refuses its content


class Route(Struct, frozen=True, kw_only=True):
    """Where a model's name leads. `connection` and `upstream` are those of its first leg."""

    model: str
    connection: str
    upstream: str  #: the name the connection is asked for
    context: int | None = None  #: tokens that fit, where the operator says so
    max_output: int | None = None  #: tokens that an answer can have, where the operator says so
    price: Price | None = None  #: None: nobody knows
    template: str | None = None  #: raw text around `{prompt}`, for faces that ask for it
    capabilities: frozenset[Capability] | None = None  #: what the model does, where it is less than its engine
    legs: tuple[Leg, ...] = ()  #: every way to it, lower tiers first; left out, the one of `connection` and `upstream`
    arms: tuple[Arm, ...] = ()  #: where callers are split between models; then `legs` are those of all of them
    fallback_on: frozenset[Cause] = frozenset()  #: what its fallbacks are asked for besides failures
    sticky: bool = False  #: a user's prompts go to the same leg, not only those of a session
    pattern: str = ""  #: what a caller filled to name the model; there are no more patterns than the operator set

    def __post_init__(self) -> None:
        if not self.legs:
            leg = Leg(
                model=self.model,
                connection=self.connection,
                upstream=self.upstream,
                price=self.price,
                context=self.context,
                max_output=self.max_output,
                capabilities=self.capabilities,
            )
            force_setattr(self, "legs", (leg,))


def resolve(routes: Mapping[str, Route], default: str | None, name: str | None) -> Route:
    """The route of `name`, or of the default model where no name is given. Raises `UnknownModel`."""
    wanted = name or default
    if wanted is None:
        raise UnknownModel("no model was named and there is no default model", field="model", expected="a model's name")
    route = routes.get(wanted)
    if route is None:
        near = get_close_matches(wanted[:200], routes, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise UnknownModel(f"there is no model {wanted[:200]!r}{hint}", field="model", expected="a model's name")
    return route


def cost(usage: Usage, price: Price | None) -> int | None:
    """Nano-units for one attempt, rounded once; None where the price is not known."""
    if price is None:
        return None
    for tier in price.tiers:
        if usage.input_tokens > tier.above:
            price = tier.price
    pico = usage.input_tokens * price.input + usage.output_tokens * price.output
    if price.cached is not None and usage.cached_tokens:
        pico += min(usage.cached_tokens, usage.input_tokens) * (price.cached - price.input)
    if price.cache_write is not None and usage.cache_write_tokens:
        rest = max(0, usage.input_tokens - usage.cached_tokens)
        pico += min(usage.cache_write_tokens, rest) * (price.cache_write - price.input)
    if price.reasoning is not None and usage.reasoning_tokens:
        pico += min(usage.reasoning_tokens, usage.output_tokens) * (price.reasoning - price.output)
    return (pico + 500) // 1000


def ceiling(prices: Iterable[Price | None]) -> Price | None:
    """The most that a token can cost at any of these prices; None where one of them is not known."""
    dearest = FREE
    for price in prices:
        if price is None:
            return None
        for one in (price, *(tier.price for tier in price.tiers)):
            dearest = Price(
                max(dearest.input, one.input, one.cached or 0, one.cache_write or 0),
                max(dearest.output, one.output, one.reasoning or 0),
            )
    return dearest


def add(one: Usage, other: Usage) -> Usage:
    """The sum of two usages."""
    return Usage(*map(operator.add, astuple(one), astuple(other)))
