"""A server beside a hub: real llama.cpp, real downloads, and the file of the demonstration model to fetch."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

from msgspec.structs import replace

from promptd.app import build
from promptd.engines.llamacpp import LlamaCpp
from promptd.engines.stable_diffusion import StableDiffusion
from promptd.settings import Settings
from promptd.testing.scripted import Scripted
from tests.faces.client import Http
from tests.faces.conftest import ADMIN, Server, installed, listening
from tests.service.origin import Origin, origin

TINY: Final = "huggingface/TheBloke/tinyllama-1.1b-chat-v1.0.Q4_K_S.gguf"
TINY_PATH: Final = (
    "/TheBloke/TinyLlama-1.1B-Chat-v1.0-GGUF/resolve/main/tinyllama-1.1b-chat-v1.0.Q4_K_S.gguf?download=true"
)
MISTRAL: Final = "huggingface/TheBloke/mistral-7b-instruct-v0.2.Q3_K_S.gguf"
GGUF: Final = files("promptd").joinpath("models", "demo.gguf").read_bytes()
PATIENCE: Final = 30.0


@asynccontextmanager
async def hub() -> AsyncIterator[Origin]:
    """It has the file of one model, which is really the demonstration model, and that of `dummy`."""
    async with origin() as found:
        found.put(TINY_PATH, GGUF)
        found.put("/TheBloke/Mistral-7B-Instruct-v0.2-GGUF/resolve/main/README.md", b"# Read me\n", etag="")
        yield found


@asynccontextmanager
async def lab(
    home: Path, at: Origin, later: Mapping[str, Any] = MappingProxyType({}), **sections: Any
) -> AsyncIterator[Server]:
    """Its admin client has a native key; sections are those of the settings, `later` those that a reload finds."""
    given: dict[str, Any] = {
        "home": home,
        "connections": {"lab": {"engine": "scripted", "slots": 8}},
        "models": {"demo": {"connection": "lab"}, "org/big": {"connection": "lab", "template": "Q: {prompt}"}},
        "keys": {"admin_key": ADMIN},
        "downloads": {"hub": at.url, "allow": [at.url], "reserve_bytes": 0},
    } | sections
    settings = Settings.model_validate(given)
    engines = {"scripted": Scripted(), "llamacpp": LlamaCpp(), "stable_diffusion": StableDiffusion()}
    plugins = replace(installed(), engines=engines)

    def read() -> Settings:
        return Settings.model_validate({**given, **later})

    async with build(settings, plugins, read) as house, listening(house) as server:
        yield server


def model(name: str, rest: str = "") -> str:
    """The path of a model, its id as one segment."""
    return f"/model-svc/model/{quote(name, safe='')}{rest}"


async def fetch(server: Server, name: str) -> None:
    """Download a model's file, and wait for it."""
    url = server.house.walk.models.catalogue.models[name].url
    begun = await server.admin.call("PUT", "/file-svc/download", {"url": url})
    assert (begun.status, begun.json) == (200, {}), begun.body
    async with asyncio.timeout(PATIENCE):
        assert (await server.house.walk.downloads.wait(url)).status == "completed"


async def status(http: Http, name: str | None = None) -> Any:
    path = "/model-svc/default-model/status" if name is None else model(name, "/status")
    answer = await http.get(path)
    assert answer.status == 200, answer.body
    assert set(answer.json) == {"status"}
    assert set(answer.json["status"]) == {"assetsReady", "running", "address"}
    return answer.json["status"]


async def running(server: Server, name: str) -> None:
    """Wait until a model that was started answers."""
    served = server.house.walk.models.get(name)
    assert served is not None
    async with asyncio.timeout(PATIENCE):
        await server.house.walk.connections.start(served.connection)


def public(server: Server) -> Http:
    """A client without a key."""
    return server.http.of(None)


def at(url: str, rest: str = "") -> str:
    """The path of the download of `url`."""
    return f"/file-svc/download/{quote(url, safe='')}{rest}"
