"""Whole answers that are half there when their prompt is cancelled or out of time: the service's socket closes at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from promptd.core.lifecycle import Status
from promptd.core.model import Prompt
from promptd.engines.anthropic import Anthropic
from promptd.engines.openai import OpenAI
from promptd.testing.sockets import serve
from tests.faces.conftest import Serve, Server

PATIENCE = 10.0
SAID = {"role": "user", "content": "hello"}
#: how to ask for an answer that is not streamed
WIRES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": [SAID]},
    "/v1/completions": {"prompt": "hello"},
    "/v1/embeddings": {"input": "hello"},
    "/v1/messages": {"messages": [SAID], "max_tokens": 9},
    "/v1/responses": {"input": "hello", "store": False},
    "/v1/images/generations": {"prompt": "a fish"},
    "/v1/audio/speech": {"input": "hello", "voice": "alloy"},
    "/api/v1/text-completion": {"system": "", "prompt": "hello"},
}
TALKS = ["/v1/chat/completions", "/v1/messages", "/v1/responses"]


class Half:
    """Says half of an answer, and tells when its client has gone."""

    def __init__(self) -> None:
        self.half, self.gone = asyncio.Event(), asyncio.Event()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 999\r\n\r\n{"id": "x", ')
        self.half.set()
        while await reader.read(65536):
            pass
        self.gone.set()


@asynccontextmanager
async def halves(run: Serve, engine: str) -> AsyncIterator[tuple[Server, Half]]:
    upstream = Half()
    async with serve(upstream) as url:
        base = f"{url}/v1" if engine == "openai" else url
        connection = {"engine": engine, "base_url": base, "api_key": "sk-up", "slots": 1}
        async with run(
            engines={"openai": OpenAI(), "anthropic": Anthropic()},
            connections={"up": connection},
            models={"demo": {"connection": "up"}},
            default_model="demo",
        ) as server:
            yield server, upstream


async def over(server: Server, upstream: Half, identifier: str) -> Prompt:
    """The prompt, once nothing is left of its call."""
    await upstream.gone.wait()
    await server.house.walk.worker.quiet()
    await server.house.walk.attached.flush()
    assert server.house.walk.worker.load()["up"] == (1, 0)
    prompt = await server.house.database.records.get(Prompt, identifier)
    assert prompt is not None
    return prompt


@pytest.mark.parametrize(
    ("engine", "path"), [*(("openai", path) for path in WIRES), *(("anthropic", path) for path in TALKS)]
)
async def test_a_cancel_closes_the_services_socket(serve: Serve, engine: str, path: str) -> None:
    async with halves(serve, engine) as (server, upstream), asyncio.timeout(PATIENCE):
        call = asyncio.create_task(server.http.post(path, {"model": "demo", **WIRES[path]}))
        await upstream.half.wait()
        (run,) = server.house.walk.worker._runs.values()
        cancelled = await server.http.post(f"/promptd/v1/prompts/{run.prompt.id}/cancel")
        assert cancelled.status in (200, 202), cancelled.body
        answer = await call
        assert answer.status == (200 if path.startswith("/api/v1/") else 409), (
            answer.body
        )  # TrustGraph's are in the body
        assert b"the prompt was cancelled" in answer.body
        assert (await over(server, upstream, run.prompt.id)).status is Status.CANCELED


@pytest.mark.parametrize("engine", ["openai", "anthropic"])
async def test_a_deadline_closes_the_services_socket(serve: Serve, engine: str) -> None:
    async with halves(serve, engine) as (server, upstream), asyncio.timeout(PATIENCE):
        body = {
            "prompt": "hello",
            "model": "demo",
            "deadline": (datetime.now(UTC) + timedelta(seconds=0.5)).isoformat(),
        }
        made = await server.http.post("/promptd/v1/prompts", body)
        assert made.status == 202, made.body
        await upstream.half.wait()
        prompt = await over(server, upstream, made.json["id"])
        assert (prompt.status, prompt.error and prompt.error.code) == (Status.ABANDONED, "timeout")
