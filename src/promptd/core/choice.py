"""Choices among the ways to a model: by chance or by a key, each by weight; and names that stand for many models. Pure.

The choice by a key is weighted rendezvous hashing: when a way comes or goes, only the keys that it has move.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from promptd.core.routing import Arm, Leg, Route

STAR: Final = "*"
#: what a caller may fill a pattern with; it ends up in labels of metrics, logs and rows
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")


def point(*words: str) -> float:
    """A number above 0, at most 1, that depends on the words alone and looks like chance."""
    digest = blake2b("\0".join(words).encode(errors="replace"), digest_size=8).digest()
    return (int.from_bytes(digest) + 1) / 2**64


def arrange(legs: Iterable[Leg], draw: Callable[[Leg], float]) -> list[Leg]:
    """Legs of one tier in a random order where each is first as often as its weight says.

    `draw` gives a number above 0, at most 1, per leg: chance, or `point` of a key and the leg.
    """
    return sorted(legs, key=lambda leg: -math.log(draw(leg)) / leg.weight)


def choose_arm(route: Route, key: str) -> Arm | None:
    """The side of a split that `key` (a user, a session) is on, always the same one; None where nothing is split."""
    if not route.arms:
        return None
    return min(route.arms, key=lambda arm: -math.log(point(route.model, arm.name, key)) / arm.weight)


class Pattern(Struct, frozen=True):
    """A model's name with one `*`, which stands for one character or more."""

    prefix: str
    suffix: str

    @classmethod
    def of(cls, name: str) -> Pattern:
        prefix, _, suffix = name.partition(STAR)
        return cls(prefix, suffix)

    def taken(self, name: str) -> str:
        """What the `*` stands for in `name`; empty where it does not fit."""
        fits = len(name) > len(self.prefix) + len(self.suffix)
        if not (fits and name.startswith(self.prefix) and name.endswith(self.suffix)):
            return ""
        return name[len(self.prefix) : len(name) - len(self.suffix)]


def by_length(patterns: Iterable[str]) -> list[str]:
    """The pattern that says most of a name has it; among equals, the first one."""
    return sorted(patterns, key=len, reverse=True)


class Wildcards:
    """Routes of patterns."""

    def __init__(self, routes: Mapping[str, Route]) -> None:
        self._patterns = [(Pattern.of(name), routes[name]) for name in by_length(n for n in routes if STAR in n)]

    def find(self, name: str, priced: Callable[[Leg], Leg] = lambda leg: leg) -> Route | None:
        """The route of `name` by the pattern that fits best; `priced` says what a leg costs whose upstream is new."""
        if not _NAME.fullmatch(name):
            return None
        for pattern, route in self._patterns:
            if taken := pattern.taken(name):
                return fill(route, name, taken, priced)
        return None


def fill(route: Route, name: str, taken: str, priced: Callable[[Leg], Leg] = lambda leg: leg) -> Route:
    """The route of a pattern for the one model `name`: each `*` of an upstream becomes what it stands for in the name."""
    if route.model == name or STAR not in route.model:
        return route  # every name that fits is another name of one model
    legs = tuple(_fill(leg, route.model, name, taken, priced) for leg in route.legs)
    return replace(
        route,
        model=name,
        pattern=route.model,
        upstream=legs[0].upstream,
        price=legs[0].price,
        legs=legs,
        arms=tuple(replace(arm, route=fill(arm.route, name, taken, priced)) for arm in route.arms),
    )


def _fill(leg: Leg, pattern: str, name: str, taken: str, priced: Callable[[Leg], Leg]) -> Leg:
    model = name if leg.model == pattern else leg.model
    if STAR not in leg.upstream:
        return leg if model == leg.model else replace(leg, model=model)
    return priced(replace(leg, model=model, upstream=leg.upstream.replace(STAR, taken)))
