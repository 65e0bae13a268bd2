"""TrustGraph's `put` and `delete` of many items beside kill -9: all of a change or nothing, templates and version too."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.harness import running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

KILLS, ITEMS = 8, 12


def change(number: int) -> list[dict[str, Any]]:
    """Items and templates that all name the same number."""
    items = [{"type": "tool", "key": f"k{item}", "value": f"{number}"} for item in range(ITEMS)]
    templates = [
        {"type": "prompt", "key": f"template.t{item}", "value": json.dumps({"prompt": f"{number}"})}
        for item in range(ITEMS)
    ]
    return [*items, *templates, {"type": "prompt", "key": "system", "value": json.dumps(f"{number}")}]


async def call(client: httpx.AsyncClient, operation: str, **members: Any) -> Any:
    answer = await client.post("/api/v1/config", json={"operation": operation, **members})
    answer.raise_for_status()
    told = answer.json()
    assert "error" not in told, told
    return told


def number_of(config: Any) -> int:
    """The one number that everything names; -1 where there is nothing."""
    found = set(config.get("tool", {}).values())
    for key, value in config["prompt"].items():
        if key.startswith("template.t"):
            found.add(json.loads(value)["prompt"])
        elif key == "system" and json.loads(value).isdigit():
            found.add(json.loads(value))
    assert len(found) <= 1, found
    if found:
        names = [key for key in config["prompt"] if key.startswith("template.t")]
        assert (len(config["tool"]), len(names)) == (ITEMS, ITEMS)
    return int(found.pop()) if found else -1


async def test_a_put_is_whole_or_not_at_all(tmp_path: Path) -> None:
    dice = random.Random(5)
    config = {"connections": {"lab": {"engine": "scripted"}}, "models": {"demo": {"connection": "lab"}}}
    told = version = -1
    number = 0
    async with running(tmp_path / "home", config) as server:
        for _ in range(KILLS):
            headers = {"authorization": f"Bearer {server.key}"}
            async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30) as client:
                before = await call(client, "config")
                there = number_of(before["config"])
                assert there in (told, number) if number else there == -1
                assert before["version"] >= version
                told, version = there, before["version"]

                async def put(client: httpx.AsyncClient = client) -> None:
                    nonlocal number, told, version
                    while True:
                        number += 1
                        version = max(version, (await call(client, "put", values=change(number)))["version"])
                        told = number

                writing = asyncio.create_task(put())
                await asyncio.sleep(dice.uniform(0.02, 0.4))  # how long it lives is the test's dice
                await server.kill()
                with contextlib.suppress(httpx.HTTPError):
                    await writing
            await server.start()
    assert number >= KILLS
