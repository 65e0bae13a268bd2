"""A real server with the endpoints of responses, and the official SDK to ask it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from openai import AsyncOpenAI
from openai.types.responses import Response

from promptd.core.engine import Engine
from tests.faces.client import Http
from tests.faces.conftest import Server, run_server

ATTEMPT = 1_000_000


@asynccontextmanager
async def house(home: Path, **engines: Engine[Any, Any]) -> AsyncIterator[Server]:
    """A server whose model `demo` is scripted; each of `engines` has a model of its name."""
    lab = {"lab": {"engine": "scripted", "slots": 8}}
    async with run_server(
        home,
        engines=engines,
        connections={name: {"engine": name} for name in engines} | lab,
        models={name: {"connection": name} for name in engines} | {"demo": {"connection": "lab"}},
    ) as server:
        yield server


def sdk(http: Http) -> AsyncOpenAI:
    return AsyncOpenAI(api_key=http.key, base_url=f"http://127.0.0.1:{http.port}/v1", max_retries=0)


def text(item: Any) -> str:
    """Of the first part of a message."""
    return str(item.content[0].text)


async def ended(client: AsyncOpenAI, identifier: str) -> Response:
    """Follow a response to its end."""
    async for _ in await client.responses.retrieve(identifier, stream=True):
        pass
    return await client.responses.retrieve(identifier)
