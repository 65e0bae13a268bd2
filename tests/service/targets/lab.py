"""Conversations with targets on a real house: a scripted function model, and the developer's API on a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from promptd.app import build
from promptd.app.house import House
from promptd.core.content import Turn
from promptd.core.model import Caller
from promptd.core.targets import Parameter, Target
from promptd.dialects.arch.config import ArchConfig, Endpoint, Listener, PromptTarget, Provider
from promptd.engines.endpoint import Endpoint as EndpointEngine
from promptd.service.targets.calling import Calling
from promptd.service.targets.conversation import Conversation, Wish
from promptd.settings import Settings
from promptd.settings.arch import sections
from promptd.testing.function_model import ScriptedFunctionModel
from promptd.testing.scripted import Scripted
from tests.engines.http_target_support import Endpoint as Api
from tests.faces.conftest import installed

ANN = Caller("listener:prompt", permissions=frozenset({"prompt-svc:prompt:create"}))
NONCE = "010203040506"
Say = Callable[..., Turn]


async def allow(turns: Sequence[Turn], wish: Wish) -> Sequence[Turn]:
    """A house without guards."""
    return turns


def target(name: str, path: str, method: str = "GET", **more: Any) -> PromptTarget:
    default = more.pop("default", False)
    parameters = (Parameter(name="city", required=True), Parameter(name="days", type="int", default=7))
    return PromptTarget(
        target=Target(name, f"The {name}", parameters=() if default else parameters, default=default),
        endpoint="api",
        path=path,
        method=method,  # type: ignore[arg-type]
        dispatch=more.pop("dispatch", True),
        **more,
    )


def config(*targets: PromptTarget, era: str = "E", **more: Any) -> ArchConfig:
    return ArchConfig(
        era=era,  # type: ignore[arg-type]
        version="v0.1",
        listeners=(Listener(name="prompt", kind="prompt"),),
        providers=(Provider(name="lab", vendor="openai", model="demo", interface="openai", default=True),),
        endpoints={"api": Endpoint(name="api", addresses=("http://127.0.0.1:1",))},
        targets=targets or (target("weather", "/w/{city}"), target("note", "/note", "POST")),
        **more,
    )


def endpoint_of(file: ArchConfig, url: str) -> dict[str, Any]:
    """The settings of the connection to the file's only endpoint."""
    return {**sections(file)["connections"]["endpoint:api"], "addresses": [url], "timeout": 5}


@asynccontextmanager
async def house_of(home: Path, file: ArchConfig, url: str, **more: Any) -> AsyncIterator[House]:
    home.mkdir(exist_ok=True)
    connections = {"lab": {"engine": "scripted"}, "endpoint:api": endpoint_of(file, url)}
    settings = Settings.model_validate(
        {"home": home, "connections": connections, "models": {"demo": {"connection": "lab"}}} | more
    )
    plugins = replace(installed(), engines={"scripted": Scripted(), "endpoint": EndpointEngine()})
    async with build(settings, plugins) as house:
        yield house


def conversation(house: House, file: ArchConfig, decider: ScriptedFunctionModel, judge: Any = allow) -> Conversation:
    return Conversation(
        file,
        calling=Calling(house.walk.attached),
        function_model=decider,
        judge=judge,
        entropy=lambda size: bytes(range(1, size + 1)),
    )


def wish(*said: str, **more: Any) -> Wish:
    """A conversation whose turns are the user's and the assistant's by turns, the last one the user's."""
    roles = ["user", "assistant"]
    turns = tuple(Turn(roles[(len(said) - 1 - at) % 2], text) for at, text in enumerate(said))  # type: ignore[arg-type]
    return Wish(**{"caller": ANN, "turns": turns, "listener": "prompt", "id": "chatcmpl-1", **more})


__all__ = ["Api"]
