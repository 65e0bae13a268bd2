"""Fixtures for local models (an engine, the way out, and its log) and for a server with faults."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from promptd.core.content import Turn
from promptd.core.engine import Call
from promptd.core.model import Capability
from promptd.core.parameters import Parameters
from promptd.egress.client import Egress
from promptd.engines.llamacpp import LlamaCpp, LlamaCppConfig
from promptd.testing.sockets import serve
from promptd.testing.upstream import Upstream
from tests.engines.http_target_support import Endpoint
from tests.engines.llamacpp_support import Journal, MakeCall


@pytest.fixture
def journal() -> Iterator[Journal]:
    logger = logging.getLogger("promptd.engines.llamacpp")
    level, handler = logger.level, Journal()
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture
async def egress() -> AsyncIterator[Egress]:
    client = Egress()
    yield client
    await client.close()


@pytest.fixture
async def stranger() -> AsyncIterator[Egress]:
    """A client of another program on this machine."""
    client = Egress(["http://127.0.0.1:*"])
    yield client
    await client.close()


@pytest.fixture
async def llama() -> AsyncIterator[LlamaCpp]:
    if importlib.util.find_spec("xllamacpp") is None:
        pytest.skip("llama.cpp has no wheel for this platform")
    engine = LlamaCpp()
    yield engine
    await engine.close()


@pytest.fixture
def call(egress: Egress) -> MakeCall:
    """A greedy call with the built-in model; keywords are settings of the connection or generation parameters."""

    def make(
        text: str = "Hello!", capability: Capability = Capability.CHAT, **wishes: Any
    ) -> Call[LlamaCppConfig, Any]:
        settings = {name: wishes.pop(name) for name in list(wishes) if name in LlamaCppConfig.model_fields}
        return Call(
            connection=LlamaCppConfig.model_validate({"threads": 1, "context": 512} | settings),
            connection_name="local",
            model="demo",
            http=egress,
            capability=capability,
            messages=() if capability is Capability.EMBEDDING else (Turn("user", text),),
            texts=(text,) if capability is Capability.EMBEDDING else (),
            parameters=Parameters(**({"temperature": 0.0, "max_tokens": 40} | wishes)),
        )

    return make


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server


@pytest.fixture
async def http(upstream: Upstream) -> AsyncIterator[Egress]:
    """A way out that leads to `upstream` and nowhere else."""
    egress = Egress([upstream.base_url])
    yield egress
    await egress.close()


@pytest.fixture
async def endpoint() -> AsyncIterator[Endpoint]:
    """Somebody's own service, for `http_target`."""
    found = Endpoint()
    async with serve(found.handle) as url:
        found.url = url
        yield found
