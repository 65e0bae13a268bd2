"""What all listeners of one file share."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from msgspec import Struct

from promptd.core.ports import Intent
from promptd.core.preferences import Latencies, Pins, Preference
from promptd.dialects.arch.config import ArchConfig
from promptd.faces import FaceOptions
from promptd.faces.arch.access_log import AccessLog
from promptd.faces.arch.limits import RateLimits
from promptd.faces.arch.metrics import Metrics
from promptd.faces.arch.models import Providers
from promptd.faces.gateway import Handler, Shape
from promptd.service.walk import Walk

#: names of the logs, by kind of listener
_LOGS: Final[Mapping[str, str]] = {
    "prompt": "access_ingress.log",
    "model": "access_llm.log",
    "internal": "access_internal.log",
}


class Handlers(Struct, frozen=True, kw_only=True):
    """Those of the faces whose API the listeners speak. The composition root hands them over: faces don't know each other."""

    chat: Handler
    completions: Handler
    responses: Handler
    messages: Handler
    openai: Shape
    anthropic: Shape


class Shared:
    """One for all listeners. `configure` takes over what a reload brings."""

    def __init__(
        self, walk: Walk, options: FaceOptions, config: ArchConfig, *, handlers: Handlers, intent: Intent, folder: Path
    ) -> None:
        self.walk, self.options, self.handlers, self.intent = walk, options, handlers, intent
        self.latencies, self.pins = Latencies(), Pins(config.session_ttl)
        self.metrics = Metrics(options.registry) if options.given.get("arch", {}).get("metrics") else None
        self.logs = {kind: AccessLog(folder / name) for kind, name in _LOGS.items()}
        self.configure(config)

    def configure(self, config: ArchConfig) -> None:
        """Other providers, limits and preferences from now on; listeners stay as they are."""
        self.config = config
        self.providers = Providers(config)
        self.limits = RateLimits(self.walk.limits, config.ratelimits)
        self.preferences = tuple(
            Preference(name=one.name, description=one.description, models=one.models, prefer=one.prefer)
            for one in config.routing_preferences
        )
        self.pins.seconds = config.session_ttl

    async def close(self) -> None:
        """Write what the logs still hold."""
        for log in self.logs.values():
            await log.flush()
