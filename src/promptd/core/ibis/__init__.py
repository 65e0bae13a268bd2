"""TrustGraph's template language, over plain data only: no attribute of a Python object is ever looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from promptd.core.ibis.scope import Scope
from promptd.core.ibis.tags import Parser
from promptd.core.metering import Meter

_FUNCTIONS = frozenset({"now", "range", "is_defined", "context", "super"})


class Template:
    """A template that was read. Raises `Fault` where it can't be."""

    def __init__(self, source: str) -> None:
        parser = Parser(source)
        self._node = parser.parse()
        self.variables = frozenset(parser.names - _FUNCTIONS)

    def render(self, values: Mapping[str, Any], meter: Meter, *, now: float, seed: int) -> str:
        """The text. Raises `Fault` and `InputTooLarge`."""
        self._node(Scope(values, meter, now, seed))
        return "".join(meter.parts)
