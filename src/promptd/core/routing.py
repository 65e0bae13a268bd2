"""Which connection runs a prompt, and what its tokens cost."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches

from msgspec import Struct

from promptd.core.errors import UnknownModel
from promptd.core.model import Capability, Usage


class Price(Struct, frozen=True):
    """Pico-units of a currency per token (1 unit per million tokens = 1,000,000 pico per token)."""

    input: int = 0
    output: int = 0


class Route(Struct, frozen=True, kw_only=True):
    """Where a model's name leads."""

    model: str
    connection: str
    upstream: str  #: the name the connection is asked for
    context: int | None = None  #: tokens that fit, where the operator says so
    price: Price = Price()
    template: str | None = None  #: raw text around `{prompt}`, for faces that ask for it
    capabilities: frozenset[Capability] | None = None  #: what the model does, where it is less than its engine


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


def cost(usage: Usage, price: Price) -> int:
    """Nano-units for one attempt, rounded once."""
    pico = usage.input_tokens * price.input + usage.output_tokens * price.output
    return (pico + 500) // 1000


_MOST_TOKENS = 2**40


def bounded(usage: Usage | None) -> Usage:
    """The counts of an engine as numbers that can be stored and added: nonsense counts as 0, too much as the most."""
    if usage is None:
        return Usage()
    counts = (usage.input_tokens, usage.output_tokens, usage.cached_tokens)
    return Usage(*(min(max(count, 0), _MOST_TOKENS) if isinstance(count, int) else 0 for count in counts))


def add(one: Usage, other: Usage) -> Usage:
    """The sum of two usages."""
    return Usage(
        one.input_tokens + other.input_tokens,
        one.output_tokens + other.output_tokens,
        one.cached_tokens + other.cached_tokens,
    )
