"""A server with the MCP face, and the protocol's own client."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from msgspec.structs import replace

from promptd.app import build
from promptd.faces.mcp import face
from promptd.settings import Settings
from promptd.testing.scripted import Scripted
from tests.faces.client import Http
from tests.faces.conftest import ADMIN, Server, installed, listening
from tests.service.templates.lab import Post, Pupil, Writer

TEMPLATES = "/promptd/v1/templates"
OLD, NEW = "legacy", "2026-07-28"  # with a handshake and sessions, and without


class Mcp(Server):
    """The server, and clients of it."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/mcp"

    @asynccontextmanager
    async def client(self, key: str | None = None, *, mode: str = OLD, **more: Any) -> AsyncIterator[Client]:  # type: ignore[override]
        headers = {"Authorization": f"Bearer {key or self.http.key}"}
        async with (
            httpx2.AsyncClient(headers=headers, timeout=20) as http,
            Client(streamable_http_client(self.url, http_client=http), mode=mode, **more) as client,
        ):
            yield client

    async def client_of(self, user: str) -> Http:
        """With a key of another user."""
        _, secret = await self.house.walk.keys.store(name="test", user=user)
        return Http(self.port, secret)

    async def save(self, name: str, source: str, **more: Any) -> None:
        await save(self.admin, name, {"messages": [{"role": "user", "source": source}], **more})


async def save(http: Http, name: str, body: Any) -> None:
    response = await http.post(f"{TEMPLATES}/{name}/versions", body)
    assert response.status == 201, response.body


async def until(holds: Callable[[], bool]) -> None:
    while not holds():
        await asyncio.sleep(0)


@asynccontextmanager
async def run_mcp(home: Path, **sections: Any) -> AsyncIterator[Mcp]:
    settings = Settings.model_validate(
        {
            "home": home,
            "connections": {
                "lab": {"engine": "scripted", "slots": 8},
                "office": {"engine": "post"},
                "desk": {"engine": "writer"},
            },
            "models": {"demo": {"connection": "lab"}},
            "default_model": "demo",
            "keys": {"admin_key": ADMIN},
            "retry": {"base_seconds": 1.0, "max_exponent": 0},
        }
        | sections
    )

    plugins = installed()
    engines = {"scripted": Scripted(), "post": Post(), "pupil": Pupil(), "writer": Writer()}
    plugins = replace(plugins, engines=engines, faces={**plugins.faces, "mcp": face})
    async with build(settings, plugins) as house, listening(house) as server:
        yield Mcp(house, server.port, server.http.key or "")


ServeMcp = Callable[..., AbstractAsyncContextManager[Mcp]]


@pytest.fixture
def mcp_server(tmp_path: Path) -> ServeMcp:
    """Start a server with settings of one's own."""
    return lambda **more: run_mcp(tmp_path, **more)


@pytest.fixture
async def mcp(tmp_path: Path) -> AsyncIterator[Mcp]:
    async with run_mcp(tmp_path) as running:
        yield running
