"""The listeners of an Arch file: an app for each, made of the faces whose APIs they speak."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec import Struct
from starlette.types import ASGIApp

from promptd.app.intents import Matchers
from promptd.app.tracing import Traces
from promptd.dialects.arch.config import ArchConfig
from promptd.faces import FaceOptions, anthropic, arch, openai
from promptd.faces.anthropic.messages import create_message
from promptd.faces.openai.chat import chat_completions
from promptd.faces.openai.completions import completions
from promptd.faces.openai.responses import create
from promptd.faces.traced import Traced
from promptd.home import LOG_FOLDER
from promptd.service.walk import Walk
from promptd.settings import Settings


class Listeners(Struct, frozen=True, kw_only=True):
    """None of them where there is no Arch file."""

    fronts: Mapping[str, ASGIApp] = {}  #: by the listener's name
    shared: arch.Shared | None = None

    def configure(self, config: ArchConfig | None) -> None:
        """Other providers, limits and preferences from now on; which listeners there are is decided at the start."""
        if self.shared is not None and config is not None:
            self.shared.configure(config)

    async def close(self) -> None:
        """Write what the access logs still hold."""
        if self.shared is not None:
            await self.shared.close()


def make(walk: Walk, options: FaceOptions, settings: Settings, traces: Traces, matchers: Matchers) -> Listeners:
    """Raises `SettingsError` where the matcher of routing preferences can't be made."""
    if settings.arch is None:
        return Listeners()
    handlers = arch.Handlers(
        chat=chat_completions,
        completions=completions,
        responses=create,
        messages=create_message,
        openai=openai.OpenAIShape(),
        anthropic=anthropic.AnthropicShape(),
    )
    folder = settings.home / LOG_FOLDER
    intent = matchers.make(settings.arch.intent_threshold)
    shared = arch.Shared(walk, options, settings.arch, handlers=handlers, intent=intent, folder=folder)
    fronts = arch.fronts(shared)
    if traces.tracing is not None:
        fronts = {name: Traced(front, traces.tracing, traces.listeners) for name, front in fronts.items()}
    return Listeners(fronts=fronts, shared=shared)
