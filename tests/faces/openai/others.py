"""A server with the face, and the vendor's own client for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import openai
from msgspec.structs import replace

from promptd.app import build
from promptd.core.engine import Engine
from promptd.core.guarding import Stage
from promptd.core.ports import Guard
from promptd.faces.openai import face
from promptd.service.guarding import Check, Checks
from promptd.settings import Settings
from promptd.testing.scripted import Scripted
from tests.faces.client import Http
from tests.faces.conftest import ADMIN, Server, installed, listening


class Place:
    """One server, and clients of it."""

    def __init__(self, server: Server) -> None:
        self.server, self.house = server, server.house
        self.filed = server.house.walk.filed
        self.http = server.http
        self._clients: list[openai.AsyncOpenAI] = []

    def client(self, key: str | None = None) -> openai.AsyncOpenAI:
        """The vendor's client; it never tries again by itself."""
        made = openai.AsyncOpenAI(
            api_key=key or self.http.key or "",
            base_url=f"http://127.0.0.1:{self.server.port}/v1",
            max_retries=0,
            timeout=30.0,
        )
        self._clients.append(made)
        return made

    async def of(self, user: str, **more: Any) -> openai.AsyncOpenAI:
        """A client with a new key for `user`."""
        models = more.pop("models", ())
        key, secret = await self.house.walk.keys.store(name="test", user=user, **more)
        if models:
            await self.house.database.records.put(replace(key, models=models, version=key.version + 1))
        return self.client(secret)

    async def plain(self, user: str, **more: Any) -> Http:
        return await self.server.client(user, **more)

    async def close(self) -> None:
        for client in self._clients:
            await client.close()


@asynccontextmanager
async def run_place(
    home: Path,
    *,
    engines: Mapping[str, Engine[Any, Any]] = MappingProxyType({}),
    guard: Guard | None = None,
    **sections: Any,
) -> AsyncIterator[Place]:
    """Settings sections come as keyword arguments; `guard` judges what callers write."""
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
    plugins = replace(installed(), engines={"scripted": Scripted(), **engines}, faces={"openai": face})
    async with build(settings, plugins) as house:
        if guard is not None:
            house.walk.guarding.checks = Checks([Check(name="test", guard=guard, stages=frozenset({Stage.INPUT}))])
        async with listening(house) as server:
            place = Place(server)
            try:
                yield place
            finally:
                await place.close()
