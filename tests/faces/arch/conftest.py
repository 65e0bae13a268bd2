"""A server made from an Arch file: each of its listeners on a port of the system's choice, its providers on sockets."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import uvicorn
from msgspec.structs import replace
from starlette.types import ASGIApp, Receive, Scope, Send

from promptd.app import House, build
from promptd.core.engine import Engine
from promptd.engines.anthropic import Anthropic
from promptd.engines.endpoint import Endpoint
from promptd.engines.openai import OpenAI
from promptd.faces.asgi import read_body, send_body
from promptd.settings import load
from promptd.testing.model_server import ModelServer
from promptd.testing.scripted import Scripted
from promptd.testing.sockets import serve
from tests.engines.http_target_support import Endpoint as Api
from tests.faces.client import Http, Response
from tests.faces.conftest import installed, listening


class Gate:
    """The house, and a client without a key for each of its listeners."""

    def __init__(self, house: House, ports: Mapping[str, int]) -> None:
        self.house, self.ports = house, dict(ports)

    def port(self, kind: str) -> int:
        """Of the first listener of a kind."""
        arch = self.house.settings.arch
        assert arch is not None
        return self.ports[next(one.name for one in arch.listeners if one.kind == kind)]

    @property
    def http(self) -> Http:
        """The model listener."""
        return Http(self.port("model"), None)

    async def chat(self, text: str, *, headers: Mapping[str, str] = MappingProxyType({}), **members: Any) -> Response:
        body = {"messages": [{"role": "user", "content": text}], **members}
        return await self.http.post("/v1/chat/completions", body, headers=headers)


@asynccontextmanager
async def run_gate(
    home: Path,
    text: str,
    *,
    environ: Mapping[str, str] = MappingProxyType({}),
    engines: Mapping[str, Engine[Any, Any]] = MappingProxyType({}),
    guards: Mapping[str, Any] = MappingProxyType({}),
) -> AsyncIterator[Gate]:
    """Serve the Arch file `text`."""
    path = home / "arch_config.yaml"
    path.write_text(text)
    (home / "data").mkdir(exist_ok=True)
    settings = load(home / "data", path, environ)
    known = installed().engines
    plugins = replace(
        installed(),
        guards={**installed().guards, **guards},
        engines={
            **known,
            "scripted": Scripted(),
            "openai": OpenAI(),
            "anthropic": Anthropic(),
            "endpoint": Endpoint(),
            **engines,
        },
    )
    async with AsyncExitStack() as stack:
        read = partial(load, home / "data", path, environ)
        house = await stack.enter_async_context(build(settings, plugins, read))
        ports = {}
        for name, front in house.listeners.fronts.items():
            server = await stack.enter_async_context(listening(replace(house, front=front)))
            ports[name] = server.port
        yield Gate(house, ports)


Open = Callable[..., AbstractAsyncContextManager[Gate]]


@pytest.fixture
def serve_arch(tmp_path: Path) -> Open:
    """Serve an Arch file."""
    return partial(run_gate, tmp_path)


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    """The developer's API behind a prompt listener."""
    api = Api()
    async with serve(api.handle) as api.url:
        yield api


@pytest.fixture
async def model() -> AsyncIterator[ModelServer]:
    """The provider behind a prompt listener, which must have understood everything."""
    async with ModelServer() as server:
        yield server
        assert not server.complaints


@pytest.fixture
async def upstream() -> AsyncIterator[ModelServer]:
    """A provider with both vendors' APIs; its key is `sk-upstream`."""
    async with ModelServer() as server:
        yield server


FILE = """
version: v0.3.0
listeners:
  - {{type: model, name: llm, port: 0, address: 127.0.0.1}}
model_providers:
  - model: openai/gpt-4o
    access_key: $KEY
    base_url: {origin}
    default: true
  - model: openai/gpt-4o-mini
    name: small
    access_key: $KEY
    base_url: {origin}
  - model: anthropic/claude
    access_key: $KEY
    base_url: {origin}
  - model: groq/*
    access_key: $KEY
    base_url: {origin}/v1
model_aliases:
  fast: {{target: gpt-4o-mini}}
{more}
"""


def file_for(upstream: ModelServer, more: str = "") -> str:
    """Providers of several kinds, all of them at `upstream`."""
    return FILE.format(origin=upstream.origin, more=more)


KEYS: Mapping[str, str] = MappingProxyType({"KEY": "sk-upstream"})


@pytest.fixture
async def gate(serve_arch: Open, upstream: ModelServer) -> AsyncIterator[Gate]:
    async with serve_arch(file_for(upstream), environ=KEYS) as running:
        yield running


class Says:
    """A chat service that answers with `text`, whatever it is asked, or with `status`; `bodies` are its requests."""

    def __init__(self, text: str = "", status: int = 200) -> None:
        self.text, self.status = text, status
        self.bodies: list[Any] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.bodies.append(json.loads(await read_body(scope, receive, 1 << 20)))
        delta = {"choices": [{"index": 0, "delta": {"content": self.text}, "finish_reason": "stop"}]}
        told = b"data: " + json.dumps(delta).encode() + b"\n\ndata: [DONE]\n\n"
        media = b"text/event-stream" if self.status == 200 else b"text/plain"
        await send_body(send, self.status, [(b"content-type", media)], told if self.status == 200 else b"not now")


@asynccontextmanager
async def serve_app(app: ASGIApp) -> AsyncIterator[str]:
    """The origin of an app on a port."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = Quiet(uvicorn.Config(app, lifespan="off", log_config=None, ws="none", timeout_graceful_shutdown=1))
    task = asyncio.create_task(server.serve([listener]))
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await task


class Quiet(uvicorn.Server):
    """Leaves the signals to pytest."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield
