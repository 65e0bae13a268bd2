"""What is installed here: the engines, and the plugins that can't be used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from promptd.core.engine import Engine


class Problem(Protocol):
    """Why a plugin, or one engine of it, can't be used."""

    @property
    def plugin(self) -> str: ...
    @property
    def entry(self) -> str: ...
    @property
    def reason(self) -> str: ...
    @property
    def traceback(self) -> str: ...
    @property
    def severity(self) -> str: ...


class Origin(Protocol):
    """Which plugin an engine comes from, and where it runs."""

    @property
    def plugin(self) -> str: ...
    @property
    def version(self) -> str: ...
    @property
    def isolation(self) -> str: ...


class Installed(Struct, frozen=True):
    """`engines` and their `origins`, by type."""

    engines: Mapping[str, Engine[Any, Any]]
    problems: Sequence[Problem] = ()
    origins: Mapping[str, Origin] = {}
