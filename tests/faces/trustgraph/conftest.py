"""A server with the TrustGraph face, and a socket to it whose frames a test sees as they are."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from msgspec.structs import replace
from websockets.asyncio.client import ClientConnection, connect

from promptd.app import House, build
from promptd.core import identity
from promptd.core.chat_queries import ChatQuery
from promptd.core.engine import Call
from promptd.core.filters import Query
from promptd.core.model import Chunk, Prompt
from promptd.faces import FaceOptions, Mount
from promptd.faces.protocol import Protocol
from promptd.faces.trustgraph import face
from promptd.faces.websocket import OPTIONS
from promptd.service.walk import Walk
from promptd.settings import Settings
from promptd.testing.scripted import Scripted, ScriptedConfig
from tests.faces.conftest import ADMIN, Server, _Uvicorn, installed

TOKEN = "a secret of the operator"
PATIENCE = 10.0


def script(*steps: dict[str, Any]) -> str:
    return json.dumps(list(steps))


def busy(server: Server) -> int:
    """Calls that a model works on."""
    return server.house.walk.worker.load()["lab"][1]


async def ended(server: Server, count: int) -> list[Prompt]:
    """The prompts of the server, once there are so many rows."""
    async with asyncio.timeout(PATIENCE):
        while True:
            await server.house.walk.worker.quiet()
            await server.house.walk.attached.flush()
            page = await server.house.database.records.find(Prompt, Query(limit=1000))
            if len(page.items) >= count:
                return list(page.items)
            await asyncio.sleep(0.01)  # a caller may just be leaving, and tells nobody


class Counted(Scripted):
    """Tells of each call that it begins."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = asyncio.Semaphore(0)

    async def run(self, call: Call[ScriptedConfig, ChatQuery]) -> AsyncGenerator[Chunk, None]:
        self.begun.release()
        async with aclosing(super().run(call)) as chunks:
            async for chunk in chunks:
                yield chunk


class Socket:
    """One connection, and what came on it."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection

    async def send(self, message: Any) -> None:
        await self.connection.send(message if isinstance(message, str | bytes) else json.dumps(message))

    async def receive(self) -> Any:
        async with asyncio.timeout(PATIENCE):
            return json.loads(await self.connection.recv())

    async def ask(self, identifier: Any, service: str, request: Any, **more: Any) -> None:
        await self.send({"id": identifier, "service": service, "flow": "default", "request": request, **more})

    async def complete(self, prompt: str, **more: Any) -> None:
        """Ask for a completion."""
        await self.ask(more.pop("id", "1"), "text-completion", {"system": "", "prompt": prompt, **more})

    async def until_complete(self) -> list[Any]:
        """All messages up to the next that is complete."""
        found = [await self.receive()]
        while not found[-1]["complete"]:
            found.append(await self.receive())
        return found


class TrustGraph(Server):
    """The server, and ways to its sockets."""

    connections: set[Any]  #: uvicorn's protocols
    engine: Counted

    async def begun(self, count: int = 1) -> None:
        """Wait until a model works on so many more calls."""
        async with asyncio.timeout(PATIENCE):
            for _ in range(count):
                await self.engine.begun.acquire()

    @asynccontextmanager
    async def socket(self, path: str = "/api/v1/socket", *, key: str | None = "", **more: Any) -> AsyncIterator[Socket]:
        """A connection with the ordinary user's key in its URL, another one, or none."""
        secret = self.http.key if key == "" else key
        query = f"?token={secret}" if secret is not None else ""
        async with connect(f"ws://127.0.0.1:{self.port}{path}{query}", **more) as connection:
            yield Socket(connection)


@asynccontextmanager
async def run_trustgraph(
    home: Path, *, given: Mapping[str, Any], listener: Mapping[str, Any], **sections: Any
) -> AsyncIterator[TrustGraph]:
    settings = Settings.model_validate(
        {
            "home": home,
            "connections": {"lab": {"engine": "scripted", "slots": 300}},
            "models": {"demo": {"connection": "lab"}, "org/big": {"connection": "lab"}},
            "keys": {"admin_key": ADMIN},
            "retry": {"base_seconds": 1.0, "max_exponent": 0},
        }
        | sections
    )

    def mounted(walk: Walk, options: FaceOptions) -> Mount:
        return face(walk, replace(options, given={**options.given, "trustgraph": given}))

    plugins = installed()
    engine = Counted()
    plugins = replace(plugins, engines={"scripted": engine}, faces={**plugins.faces, "trustgraph": mounted})
    async with build(settings, plugins) as house, _listening(house, listener) as server:
        server.engine = engine
        yield server


@asynccontextmanager
async def _listening(house: House, given: Mapping[str, Any]) -> AsyncIterator[TrustGraph]:
    listener = socket.create_server(("127.0.0.1", 0))
    options: dict[str, Any] = {**OPTIONS, **given}
    server = _Uvicorn(
        uvicorn.Config(
            house.front, http=Protocol, lifespan="off", log_config=None, timeout_graceful_shutdown=5, **options
        )
    )
    task = asyncio.create_task(server.serve([listener]))
    try:
        permissions = identity.USER_PERMISSIONS | {identity.TEMPLATE_VIEW, identity.TEMPLATE_EDIT}
        _, key = await house.walk.keys.store(name="test", user="ada", permissions=permissions)
        running = TrustGraph(house, listener.getsockname()[1], key)
        running.connections = server.server_state.connections
        yield running
    finally:
        house.closing.set()
        server.should_exit = True
        await task


ServeTrustGraph = Callable[..., AbstractAsyncContextManager[TrustGraph]]


@pytest.fixture
def trustgraph(tmp_path: Path) -> ServeTrustGraph:
    """Start a server with settings of one's own; `given` are the face's, `listener` uvicorn's."""
    return partial(_with_defaults, tmp_path)


def _with_defaults(home: Path, **more: Any) -> AbstractAsyncContextManager[TrustGraph]:
    given, listener = more.pop("given", {"tokens": [TOKEN]}), more.pop("listener", {})
    return run_trustgraph(home, given=given, listener=listener, **more)


@pytest.fixture
async def tg(trustgraph: ServeTrustGraph) -> AsyncIterator[TrustGraph]:
    async with trustgraph() as running:
        yield running
