"""A real server in front of scripted upstreams, and the official SDKs as its clients, synchronous and not."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import anthropic
import openai
import pytest

from tests.contract.gateway.hosts import Hosts
from tests.contract.stage import Stage

#: by upstream: OpenAI's API, Anthropic's, each also with its answers cut to shreds
MODELS = ("gpt", "claude", "gpt-torn", "claude-torn")


def configuration(hosts: Hosts) -> dict[str, Any]:
    def connection(engine: str, server: Any) -> dict[str, Any]:
        address = server.base_url if engine == "openai" else server.origin
        return {"engine": engine, "base_url": address, "api_key": server.key, "slots": 64}

    return {
        "connections": {
            "openai": connection("openai", hosts.whole),
            "openai-responses": {**connection("openai", hosts.whole), "api": "responses", "native": False},
            "openai-native": {**connection("openai", hosts.whole), "profile": "openai"},
            "openai-torn": connection("openai", hosts.torn),
            "anthropic": connection("anthropic", hosts.whole),
            "anthropic-budget": {**connection("anthropic", hosts.whole), "effort": "budget"},
            "anthropic-torn": connection("anthropic", hosts.torn),
            "media": {"engine": "openai", "base_url": hosts.media.base_url, "slots": 8},
            "builtin": {"engine": "llamacpp", "slots": 2},
        },
        "models": {
            "gpt": {"connection": "openai", "upstream": "script"},
            "gpt-responses": {"connection": "openai-responses", "upstream": "script"},
            "gpt-native": {"connection": "openai-native", "upstream": "script"},
            "gpt-torn": {"connection": "openai-torn", "upstream": "script"},
            "claude": {"connection": "anthropic", "upstream": "script"},
            "claude-budget": {"connection": "anthropic-budget", "upstream": "script"},
            "claude-torn": {"connection": "anthropic-torn", "upstream": "script"},
            "maker": {"connection": "media", "upstream": "maker"},
            "demo": {"connection": "builtin"},
        },
        "default_model": "gpt",
        "retry": {"base_seconds": 1},
    }


@pytest.fixture(scope="session")
def hosts() -> Iterator[Hosts]:
    hosts = Hosts()
    try:
        yield hosts
    finally:
        hosts.close()


@pytest.fixture(scope="session")
def server(hosts: Hosts, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    stage = Stage(tmp_path_factory.mktemp("gateway") / "home", configuration(hosts))
    try:
        yield stage
    finally:
        stage.stop()


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> str:
    """A test that takes it runs once with each upstream."""
    name: str = request.param
    return name


@pytest.fixture(params=("sync", "async"))
async def client(request: pytest.FixtureRequest, server: Stage) -> AsyncIterator[Any]:
    """OpenAI's SDK, both halves."""
    options: dict[str, Any] = {
        "base_url": f"{server.url}/v1",
        "api_key": server.native_key,
        "max_retries": 0,
        "timeout": 30,
    }
    if request.param == "sync":
        with openai.OpenAI(**options) as made:
            yield made
    else:
        async with openai.AsyncOpenAI(**options) as made:
            yield made


@pytest.fixture(params=("sync", "async"))
async def claude(request: pytest.FixtureRequest, server: Stage) -> AsyncIterator[Any]:
    """Anthropic's SDK, both halves."""
    options: dict[str, Any] = {"base_url": server.url, "api_key": server.native_key, "max_retries": 0, "timeout": 30}
    if request.param == "sync":
        with anthropic.Anthropic(**options) as made:
            yield made
    else:
        async with anthropic.AsyncAnthropic(**options) as made:
            yield made
