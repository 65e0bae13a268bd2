"""Pieces of a template that is read: what each of our languages has, whatever else its scope holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from promptd.core.metering import Meter


class Metered(Protocol):
    """A scope of a rendering."""

    meter: Meter


S = TypeVar("S", bound=Metered)


def literal(text: str) -> Callable[[Metered], None]:
    """Writes the text as it stands."""

    def node(scope: Metered) -> None:
        scope.meter.step()
        scope.meter.write(text)

    return node


def sequence(nodes: Sequence[Callable[[S], None]]) -> Callable[[S], None]:
    """One after the other."""

    def node(scope: S) -> None:
        for child in nodes:
            child(scope)

    return node
