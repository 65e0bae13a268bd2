"""SIGHUP with another guard while prompts wait: those that are stored are judged anew, those that run are not."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from promptd.testing.model_server import ModelServer
from tests.e2e.harness import PAUSE_SECONDS, Server, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def config(upstream: ModelServer) -> dict[str, Any]:
    return {
        "connections": {"up": {"engine": "openai", "base_url": upstream.base_url, "api_key": upstream.key, "slots": 1}},
        "models": {"gpt": {"connection": "up", "upstream": "script"}},
        "log": {"level": "info"},
    }


async def hang_up(server: Server, **sections: Any) -> None:
    """SIGHUP with these sections in the file, and wait for the server's word."""
    assert server.process is not None
    path = server.home / "promptd.yaml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text()) | sections))
    before = sum("reloaded" in line for line in server.log)
    server.process.send_signal(signal.SIGHUP)
    async with asyncio.timeout(20):
        while sum("reloaded" in line for line in server.log) == before:
            await asyncio.sleep(PAUSE_SECONDS)


async def test_what_waits_is_judged_by_the_guard_of_now(tmp_path: Path) -> None:
    async with (
        ModelServer() as upstream,
        running(tmp_path / "home", config(upstream)) as server,
        server.client() as client,
    ):

        async def submit(name: str, text: str) -> None:
            answer = await client.post("/prompts", json={"id": name, "model": "gpt", "prompt": text})
            assert answer.status_code == 202, answer.text

        await submit("runs", "a darn thing\n/hold gate")
        await upstream.holding("gate")
        for number in range(3):
            await submit(f"bad{number}", f"darn {number}")
            await submit(f"good{number}", f"fine {number}")
        attached = asyncio.create_task(
            client.post(
                f"{server.url}/v1/chat/completions",
                json={"model": "gpt", "messages": [{"role": "user", "content": "darn attached"}]},
            )
        )
        await hang_up(server, guard={"blocklist": ["darn"]})
        upstream.release("gate")
        ended = {}
        for name in ("runs", *(f"{kind}{number}" for kind in ("bad", "good") for number in range(3))):
            async with client.stream("GET", f"/prompts/{name}/events") as events:
                async for _ in events.aiter_raw():
                    pass
            found = (await client.get(f"/prompts/{name}")).json()
            ended[name] = (found["status"], (found["error"] or {}).get("code"))
        assert ended == (
            {"runs": ("completed", None)}
            | {f"bad{number}": ("abandoned", "content_filtered") for number in range(3)}
            | {f"good{number}": ("completed", None) for number in range(3)}
        )
        assert (await attached).status_code == 200  # it was let in, and only waits for its slot
        said = [exchange.last for exchange in upstream.exchanges]
        assert sorted(said) == ["a darn thing\n/hold gate", "darn attached", "fine 0", "fine 1", "fine 2"]
