"""A real server that is told to leave in the middle of streams, and one whose callers leave at every moment."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from promptd.testing.model_server import ModelServer
from tests.e2e.harness import PAUSE_SECONDS, Server, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

WORDS = "one two three four five six seven eight\n/hold half"
STREAMS: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"model": "gpt", "stream": True, "messages": [{"role": "user", "content": WORDS}]},
    "/v1/messages": {
        "model": "gpt",
        "stream": True,
        "max_tokens": 50,
        "messages": [{"role": "user", "content": WORDS}],
    },
    "/v1/responses": {"model": "claude", "stream": True, "input": WORDS},
    "/v1/completions": {"model": "gpt", "stream": True, "prompt": [WORDS, "b"]},
}
#: what the other faces ask, where a caller waits for a whole answer
WHOLE: dict[str, dict[str, Any]] = {
    "/promptd/v1/prompts?wait=30": {"model": "claude", "prompt": WORDS},
    "/prompt-svc/prompt": {"prompt": WORDS, "sync": True},
    "/api/v1/text-completion": {"system": "", "prompt": WORDS},
}


def config(upstream: ModelServer) -> dict[str, Any]:
    price = {"input_per_million": 1, "output_per_million": 3}
    return {
        "connections": {
            "one": {"engine": "openai", "base_url": upstream.base_url, "api_key": upstream.key, "slots": 4},
            "other": {"engine": "anthropic", "base_url": upstream.origin, "api_key": upstream.key, "slots": 4},
        },
        "models": {
            "gpt": {"connection": "one", "upstream": "script", "price": price},
            "claude": {"connection": "other", "upstream": "script", "price": price},
        },
        "default_model": "gpt",
        "limits": [{"name": "at-once", "metric": "concurrency", "limit": 1000, "scope": "all"}],
        "server": {"drain_seconds": 1},
    }


def caller(server: Server) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=server.url, headers={"authorization": f"Bearer {server.key}"}, timeout=30)


async def read(client: httpx.AsyncClient, path: str, begun: asyncio.Event) -> bytes:
    said = b""
    async with client.stream("POST", path, json=STREAMS[path]) as answer:
        async for piece in answer.aiter_raw():
            said += piece
            begun.set()
    return said


async def test_a_server_that_leaves(tmp_path: Path) -> None:
    """Every stream ends with an error in its dialect, and nothing in the log looks like an accident."""
    async with ModelServer() as upstream, running(tmp_path, config(upstream)) as server, caller(server) as client:
        begun = {path: asyncio.Event() for path in STREAMS}
        reads = [asyncio.create_task(read(client, path, begun[path])) for path in STREAMS]
        for event in begun.values():
            await event.wait()
        assert server.process is not None
        server.process.send_signal(signal.SIGTERM)
        for path, said in zip(STREAMS, await asyncio.gather(*reads), strict=True):
            assert said.endswith(b"\n\n"), path
            last = json.loads(said.decode().rstrip().rpartition("data: ")[2])
            if path == "/v1/responses":
                assert (last["type"], last["response"]["status"]) == ("response.failed", "cancelled")
            else:
                assert "shutting down" in last["error"]["message"], path
        assert await server.stop() == 0
        assert not [line for line in server.log if "Traceback" in line or "ERROR" in line], server.log[-20:]


async def busy(client: httpx.AsyncClient) -> dict[str, float]:
    """What of slots, lines and limits is not given back."""
    told = (await client.get("/metrics")).text
    lines = [line.rpartition(" ") for line in told.splitlines() if line.startswith(("promptd_busy", "promptd_waiting"))]
    return {name: float(count) for name, _, count in lines if float(count)}


async def test_callers_who_leave(tmp_path: Path) -> None:
    """Slots and limits come back, every call that ran has its row, and what was said to leavers has a price."""
    rng = random.Random(11337)
    async with ModelServer() as upstream, running(tmp_path, config(upstream)) as server, caller(server) as client:

        async def leave() -> None:
            path = rng.choice([*STREAMS, *WHOLE])
            stream = {"stream": rng.random() < 0.5} if path in STREAMS else {}
            body = json.loads(json.dumps((STREAMS | WHOLE)[path]).replace("/hold half", "/pace 0.02")) | stream
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(rng.choice((0.005, 0.02, 0.1, 0.3))):
                    await client.post(path, json=body)

        for _ in range(8):
            await asyncio.gather(*(leave() for _ in range(20)))
        async with asyncio.timeout(20):
            while await busy(client):
                await asyncio.sleep(PAUSE_SECONDS)
        answer = await client.post(
            "/v1/chat/completions",
            json=STREAMS["/v1/chat/completions"]
            | {"stream": False, "messages": [{"role": "user", "content": "still there?"}]},
        )
        assert answer.status_code == 200, answer.text
        assert answer.headers["ratelimit"] == '"at-once";r=1000', answer.headers
        items: list[dict[str, Any]] = []
        async with asyncio.timeout(20):
            while len(items) < len(upstream.exchanges):  # some left before anybody was asked
                items = (await client.get("/promptd/v1/prompts?limit=1000")).json()["items"]
        assert {item["status"] for item in items} <= {"completed", "canceled"}
        assert any(item["cost"] for item in items if item["status"] == "canceled")
        assert not [line for line in server.log if "Traceback" in line], server.log[-20:]
