"""The `stable_diffusion` engine, and an image server on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from promptd.core.content import Turn
from promptd.core.engine import Call, ConnectionTestParams
from promptd.core.localisation import resolve
from promptd.core.model import Capability
from promptd.core.parameters import ImageParameters, Parameters
from promptd.egress import Egress
from promptd.engines.stable_diffusion import StableDiffusion, StableDiffusionConfig
from promptd.testing.image_server import ImageServer


@pytest.fixture
async def server() -> AsyncIterator[ImageServer]:
    async with ImageServer() as server:
        yield server


@pytest.fixture
async def http(server: ImageServer) -> AsyncIterator[Egress]:
    egress = Egress([server.base_url])
    yield egress
    await egress.close()


@pytest.fixture
async def engine() -> AsyncIterator[StableDiffusion]:
    engine = StableDiffusion()
    yield engine
    await engine.close()


@pytest.fixture
def connection(server: ImageServer) -> StableDiffusionConfig:
    return settings(server)


def settings(server: ImageServer, **changes: Any) -> StableDiffusionConfig:
    return StableDiffusionConfig.model_validate({"base_url": server.base_url, "progress_interval": 0.005} | changes)


def call(connection: StableDiffusionConfig, http: Egress, text: str = "a cat", **fields: Any) -> Call[Any, Any]:
    image = {name: fields.pop(name) for name in list(fields) if name in ImageParameters.__struct_fields__}
    parameters = Parameters(image=ImageParameters(**image) if image else None)
    given: dict[str, Any] = {
        "capability": Capability.IMAGE,
        "messages": (Turn("user", text),),
        "parameters": parameters,
        "model": "second",
    }
    return Call(connection=connection, connection_name="c", http=http, **(given | fields))


# ------------------------------------------------------------------ refusals and faults


async def check(
    engine: StableDiffusion, made: StableDiffusionConfig, http: Egress
) -> tuple[bool, tuple[str, ...], str]:
    result = await engine.test_connection(ConnectionTestParams(connection=made, connection_name="c", http=http))
    return result.ok, result.models, resolve(result.checks[-1].text, engine.localizer(), "en")
