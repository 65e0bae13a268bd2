"""A client whose server is killed in the middle of an answer gets it all the same."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest

from promptd.client import AsyncClient, Progress, Restart
from tests.contract.mcp.test_official_client import CONFIG
from tests.e2e.harness import running

pytestmark = pytest.mark.e2e


async def test_a_stream_survives_kill_9(tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = json.dumps([{"say": "one "}, {"wait_file": str(go)}, {"say": "two"}])
    async with running(tmp_path / "home", CONFIG) as server:
        headers = {"Authorization": f"Bearer {(server.home / 'admin.key').read_text().strip()}"}
        async with httpx.AsyncClient(base_url=server.url, headers=headers) as http:
            body = {"messages": [{"source": script}]}
            (await http.post("/promptd/v1/templates/slow/versions", json=body)).raise_for_status()
        async with AsyncClient(server.url, server.key, retries=12) as client:
            stream = client.templates["slow"].stream()
            first = await anext(stream)
            assert isinstance(first, Progress)
            assert first.text == "one "
            await server.kill()
            await server.start()
            go.touch()
            events = [event async for event in stream]
            assert any(isinstance(event, Restart) for event in events)
            assert await stream.result() == "one two"
            assert stream.prompt_id is not None
            assert (await client.prompts.wait(stream.prompt_id)).status == "completed"
