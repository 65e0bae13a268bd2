"""A real server for each test: the app's own composition, a database in a temporary folder, uvicorn on port 0."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import cache, partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import pytest_asyncio
import uvicorn
from msgspec.structs import replace

from promptd import registry
from promptd.app import House, build
from promptd.core.engine import Engine
from promptd.faces.protocol import Protocol
from promptd.settings import Settings
from promptd.testing.scripted import Scripted
from tests.faces.client import Http

ADMIN = "pk-admin-0123456789abcdef0123456789abcdef"


class Server:
    """The house and a client with the key of an ordinary user."""

    def __init__(self, house: House, port: int, user_key: str) -> None:
        self.house, self.port = house, port
        self.http = Http(port, user_key)
        self.admin = Http(port, ADMIN)

    async def client(self, user: str, **more: Any) -> Http:
        """A client with a new key for `user`."""
        _, secret = await self.house.walk.keys.store(name="test", user=user, **more)
        return Http(self.port, secret)


@cache
def installed() -> registry.Registry:
    """Loading plugins takes longer than a test."""
    return registry.load()


@asynccontextmanager
async def run_server(
    home: Path, *, engines: Mapping[str, Engine[Any, Any]] = MappingProxyType({}), **sections: Any
) -> AsyncIterator[Server]:
    """Start a server; settings sections come as keyword arguments. There are the scripted engine and `engines`."""
    settings = Settings.model_validate(
        {
            "home": home,
            "connections": {"lab": {"engine": "scripted", "slots": 8}},
            "models": {"demo": {"connection": "lab"}, "org/big": {"connection": "lab"}},
            "keys": {"admin_key": ADMIN},
            "retry": {"base_seconds": 1.0, "max_exponent": 0},
        }
        | sections
    )
    plugins = replace(installed(), engines={"scripted": Scripted(), **engines})
    async with build(settings, plugins) as house, listening(house) as server:
        yield server


@asynccontextmanager
async def listening(house: House) -> AsyncIterator[Server]:
    """Open the doors of a house, until the end."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = _Uvicorn(
        uvicorn.Config(house.front, http=Protocol, lifespan="off", log_config=None, timeout_graceful_shutdown=5)
    )
    task = asyncio.create_task(server.serve([listener]))
    try:
        _, key = await house.walk.keys.store(name="test", user="ada")
        yield Server(house, listener.getsockname()[1], key)
    finally:
        house.closing.set()
        server.should_exit = True
        await task


class _Uvicorn(uvicorn.Server):
    """uvicorn that leaves the signals to pytest."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


Serve = Callable[..., AbstractAsyncContextManager[Server]]


@pytest.fixture
def serve(tmp_path: Path) -> Serve:
    """Start a server with settings of one's own."""
    return partial(run_server, tmp_path)


@pytest.fixture
async def server(serve: Serve) -> AsyncIterator[Server]:
    async with serve() as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """One server for the tests of a module; they mark themselves with the module's loop."""
    async with run_server(tmp_path_factory.mktemp("shared")) as running:
        yield running
