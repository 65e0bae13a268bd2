"""Two servers want one home: the second one is told so and touches nothing, until the first is dead."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from promptd.testing.model_server import ModelServer
from tests.e2e.harness import Server, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


async def test_the_second_takes_over_when_the_first_is_killed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with ModelServer() as upstream:
        connection = {"engine": "openai", "base_url": upstream.base_url, "api_key": upstream.key, "slots": 2}
        config = {"connections": {"up": connection}, "models": {"gpt": {"connection": "up", "upstream": "script"}}}
        async with running(home, config) as first:
            async with first.client() as client:
                for number in range(6):
                    body = {"id": f"p{number}", "model": "gpt", "prompt": f"p{number}\n/hold gate"}
                    assert (await client.post("/prompts", json=body)).status_code == 202
                await upstream.holding("gate")
                assert await first.command("backup", str(tmp_path / "copy.db")) == (0, "")
                second = Server(home, config)
                for arguments in (("serve",), ("restore", str(tmp_path / "copy.db")), ("migrate",)):
                    status, said = await second.command(*arguments)
                    assert status == 2, (arguments, said)
                    assert f"another promptd is using {home}" in said, arguments
                    assert len(said.splitlines()) == 1, arguments
                listed = (await client.get("/prompts")).json()["items"]
                assert sorted(item["status"] for item in listed) == ["running"] * 2 + ["scheduled"] * 4
            await first.kill()
            await second.start()
            upstream.release("gate")
            try:
                async with second.client() as client:
                    for number in range(6):
                        async with client.stream("GET", f"/prompts/p{number}/events") as events, asyncio.timeout(30):
                            async for _ in events.aiter_raw():
                                pass
                        found = (await client.get(f"/prompts/p{number}")).json()
                        assert (found["status"], found["answer"]["text"]) == ("completed", f"You said: p{number}")
                    status, said = await first.command("serve")
                    assert (status, f"another promptd is using {home}" in said) == (2, True)
            finally:
                await second.kill()
        assert sum(exchange.outcome == "whole" for exchange in upstream.exchanges) == 6
