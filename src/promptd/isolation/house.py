"""Puts strangers' engines where the rules want them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from promptd.core.engine import Engine
from promptd.core.localisation import Localizer
from promptd.isolation.adapter import ApartEngine, bound
from promptd.isolation.importing import probe
from promptd.isolation.processes import PluginProcess
from promptd.isolation.quarters import Quarters
from promptd.isolation.rules import Rules, normal
from promptd.isolation.spawned import SpawnedEngine
from promptd.isolation.threaded import ThreadedEngine

_USUAL: Final = Rules()


class Isolation:
    """One per registry. `rules` by the distribution's name; `default` for all others."""

    def __init__(self, rules: Mapping[str, Rules] | None = None, default: Rules = _USUAL) -> None:
        self._rules = {normal(name): one for name, one in (rules or {}).items()}
        self._default = default
        self._quarters: dict[str, Quarters] = {}
        self._processes: dict[str, PluginProcess] = {}

    def rules_of(self, plugin: str) -> Rules:
        return self._rules.get(normal(plugin), self._default)

    def probe(self, plugin: str, entry: str) -> None:
        """A trial import of a plugin that is not trusted. Raises `ImportFailed`."""
        rules = self.rules_of(plugin)
        if rules.mode == "process":
            probe(entry, rules.start_seconds)

    def isolate(self, plugin: str, entry: str, engine: Engine[Any, Any], localizer: Localizer | None) -> ApartEngine:
        """The engine, as the entry point `entry` (`module:thing`) of the distribution `plugin` gave it, behind an engine of ours."""
        rules = self.rules_of(plugin)
        if rules.mode == "process":
            process = self._processes.get(plugin)
            if process is None:
                process = self._processes[plugin] = PluginProcess(plugin, rules)
            return bound(SpawnedEngine, engine)(engine, localizer, process, entry)
        quarters = self._quarters.get(plugin)
        if quarters is None:
            quarters = self._quarters[plugin] = Quarters(plugin, rules)
        return bound(ThreadedEngine, engine)(engine, localizer, quarters)
