"""A server with the Anthropic face: one model that speaks the same API (`claude`), one that is translated (`demo`)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from anthropic import AsyncAnthropic
from msgspec.structs import replace

from promptd.app import build
from promptd.dialects.sse import Event, Parser
from promptd.engines.anthropic import Anthropic
from promptd.faces.anthropic import face
from promptd.settings import Settings
from promptd.testing.messages_server import KEY, MessagesServer
from promptd.testing.scripted import Scripted
from tests.faces.client import read_chunk
from tests.faces.conftest import ADMIN, Server, installed, listening

#: names of models at the vendor, each of which behaves in its own way
UPSTREAM = (
    "echo",
    "everything",
    "step-by-step",
    "stall",
    "400",
    "too-long",
    "429",
    "529",
    "404",
    "fails-in-the-middle",
)


@asynccontextmanager
async def run_gateway(home: Path, upstream: MessagesServer, **sections: Any) -> AsyncIterator[Server]:
    settings = Settings.model_validate(
        {
            "home": home,
            "connections": {
                "lab": {"engine": "scripted", "slots": 8},
                "vendor": {"engine": "anthropic", "slots": 8, "base_url": upstream.base_url, "api_key": KEY},
                "translated": {
                    "engine": "anthropic",
                    "base_url": upstream.base_url,
                    "api_key": KEY,
                    "native": False,
                },
            },
            "models": {
                "demo": {"connection": "lab"},
                **{f"claude-{name}": {"connection": "vendor", "upstream": name} for name in UPSTREAM},
                **{f"other-{name}": {"connection": "translated", "upstream": name} for name in UPSTREAM},
            },
            "keys": {"admin_key": ADMIN},
            "retry": {"base_seconds": 1.0, "max_exponent": 0},
        }
        | sections
    )
    plugins = installed()
    plugins = replace(
        plugins,
        engines={"scripted": Scripted(), "anthropic": Anthropic()},
        faces={**plugins.faces, "anthropic": face},
    )
    async with build(settings, plugins) as house, listening(house) as server:
        yield server


async def next_events(server: Server, body: Any, count: int) -> list[Event]:
    """The first events of a stream as they are on the wire; then the caller leaves."""
    parser, found = Parser(), list[Event]()
    async with server.http._open("POST", "/v1/messages", body, {}, None) as (reader, writer, head):
        assert head.headers["content-type"].startswith("text/event-stream")
        while len(found) < count:
            piece = await read_chunk(reader)
            assert piece is not None, "the stream ended"
            found += parser.feed(piece)
        writer.transport.abort()
    return found


Gateway = Callable[..., AbstractAsyncContextManager[Server]]


@pytest.fixture
async def upstream() -> AsyncIterator[MessagesServer]:
    async with MessagesServer() as server:
        yield server


@pytest.fixture
def gateway(tmp_path: Path, upstream: MessagesServer) -> Gateway:
    """Start a server with settings of one's own."""
    return partial(run_gateway, tmp_path, upstream)


@pytest.fixture
async def server(gateway: Gateway) -> AsyncIterator[Server]:
    async with gateway() as running:
        yield running


@pytest.fixture
async def client(server: Server) -> AsyncIterator[AsyncAnthropic]:
    """The vendor's own client."""
    async with AsyncAnthropic(
        base_url=f"http://127.0.0.1:{server.port}", api_key=server.http.key, max_retries=0
    ) as made:
        yield made
