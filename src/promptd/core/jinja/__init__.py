"""promptd's own template language: the part of Jinja that works on data, as minijinja understands it.

It is written here, and not taken from a library, since no library can be stopped in time: minijinja's fuel counts
instructions and no bytes, so that ninety characters fill all memory, and its parser overflows the stack on a long row
of signs, which ends the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from promptd.core.jinja.scope import Scope
from promptd.core.jinja.tags import Parser
from promptd.core.metering import Meter


class Template:
    """A template that was read. Raises `Fault` where it can't be."""

    def __init__(self, source: str) -> None:
        parser = Parser(source)
        self.write = parser.parse()
        self.variables = frozenset(parser.names)
        self.partials: Mapping[str, frozenset[str]] = parser.partials

    def render(self, values: Mapping[str, Any], meter: Meter, partial: Callable[[str], Template | None]) -> str:
        """The text. `partial` gives what is included by its name. Raises `Fault`, `MissingVariable` and `InputTooLarge`."""
        self.write(Scope(values, meter, partial))
        return "".join(meter.parts)
