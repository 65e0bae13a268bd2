"""SIGTERM: no new work, running attempts may finish, the rest is handed back, streams say when to come back."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from tests.e2e.harness import Reader, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


async def test_drain_finishes_what_it_can_and_hands_back_the_rest(tmp_path: Path) -> None:
    gate, never = tmp_path / "gate", tmp_path / "never"
    config = {
        "server": {"drain_seconds": 2.0},
        "connections": {"script": {"engine": "scripted", "slots": 4}},
        "models": {"script": {"connection": "script"}},
    }
    quick = json.dumps([{"say": "first "}, {"wait_file": str(gate)}, {"say": "second"}])
    stuck = json.dumps([[{"say": "void"}, {"wait_file": str(never)}], [{"say": "the real answer"}]])
    async with running(tmp_path / "home", config) as server:
        async with server.client() as client:
            for identifier, text in (("quick", quick), ("stuck", stuck)):
                answer = await client.post("/prompts", json={"id": identifier, "prompt": text})
                assert answer.status_code == 202
            started = asyncio.Event()
            hints: list[str] = []

            async def watch() -> str:
                """The raw stream of the stuck prompt, until the server closes it."""
                async with client.stream("GET", "/prompts/stuck/events") as stream:
                    async for line in stream.aiter_lines():
                        if line.startswith("data: "):
                            started.set()
                        if line.startswith("retry: "):
                            hints.append(line)
                return "closed"

            watching = asyncio.create_task(watch())
            await asyncio.wait_for(started.wait(), 10)
            stopping = asyncio.create_task(server.stop())
            while (await client.get(f"{server.url}/readyz")).status_code != 503:
                await asyncio.sleep(0)
            refused = await client.post("/prompts", json={"prompt": "too late"})
            assert refused.status_code == 503
            assert refused.json()["code"] == "shutting_down"
            assert "retry-after" in refused.headers
            gate.touch()
            assert await asyncio.wait_for(watching, 15) == "closed"
            assert len(hints) >= 2, "the closing stream gave no hint when to come back"
            assert await stopping == 0
        await server.start()
        reader = Reader("stuck")
        reader.last, reader.text = "2.1.1", "void"
        async with server.client() as client:
            await reader.read(client)
            assert reader.text == "the real answer"
            first = (await client.get("/prompts/quick")).json()
            assert first["status"] == "completed"
            assert first["answer"]["text"] == "first second"
            second = (await client.get("/prompts/stuck")).json()
            assert (second["failures"], second["rescues"]) == (0, 0)
            rows = (await client.get("/prompts/stuck/attempts")).json()["items"]
            assert [row["outcome"] for row in rows] == ["handed_back", "completed"]
