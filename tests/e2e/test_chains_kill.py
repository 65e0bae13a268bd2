"""Chains through `kill -9`: a run goes on at its unfinished action, and no finished action is asked again."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.harness import PAUSE_SECONDS, Server, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

RUNS, KILLS, SEED = 8, 5, 11337
ACTIONS = ("one", "two", "left", "right", "last")


async def begin(client: httpx.AsyncClient) -> list[str]:
    """Save the templates and the chain, and begin the runs."""
    source = '[{"wait": {{ pause }}}, {"say": "{{ text }}+"}]'
    inputs = [{"name": "text"}, {"name": "pause", "kind": "number", "required": False, "default": 0.05}]
    body: dict[str, Any] = {"messages": [{"source": source}], "inputs": inputs}
    assert (await client.post("/templates/add/versions", json=body)).status_code == 201
    places = {"one": "inputs.text", "two": "one.text", "left": "two.text", "right": "two.text"}
    actions = [
        {"name": name, "template": "add", "bindings": {"text": {"kind": "reference", "value": place}}}
        for name, place in places.items()
    ]
    both = {"kind": "template", "value": "{{left.text}}{{right.text}}"}
    actions.append({"name": "last", "template": "add", "bindings": {"text": both}})
    chain = {"inputs": [{"name": "text"}], "actions": actions, "outputs": {"text": "last.text"}}
    assert (await client.put("/chains/adding", json=chain)).status_code == 200
    begun = [await client.post("/chains/adding/run", json={"inputs": {"text": str(number)}}) for number in range(RUNS)]
    assert {response.status_code for response in begun} == {202}
    return [response.json()["id"] for response in begun]


async def look(server: Server, identifier: str) -> dict[str, Any]:
    while True:
        try:
            async with server.client() as client:
                found: dict[str, Any] = (await client.get(f"/chain-runs/{identifier}")).json()
                return found
        except httpx.TransportError:
            await asyncio.sleep(PAUSE_SECONDS)


async def test_kill_after_kill(tmp_path: Path) -> None:
    journal, dice = tmp_path / "journal", random.Random(SEED)
    config = {
        "connections": {"lab": {"engine": "scripted", "slots": 4, "journal": str(journal)}},
        "models": {"demo": {"connection": "lab"}},
        "default_model": "demo",
        "queue": {"quarantine_after": 1000, "rescue_limit": 1000},
        "retry": {"base_seconds": 1},
    }
    async with running(tmp_path / "home", config) as server:
        async with server.client() as client:
            runs = await begin(client)
        for _ in range(KILLS):
            await asyncio.sleep(dice.uniform(0.02, 0.3))  # how long a server lives is the test's dice
            await server.kill()
            await server.start()
        for number, identifier in enumerate(runs):
            while (run := await look(server, identifier))["status"] == "running":
                await asyncio.sleep(PAUSE_SECONDS)
            assert run["status"] == "completed", run
            assert run["outputs"] == {"text": f"{number}+++{number}++++"}
            assert [step["status"] for step in run["steps"]] == ["completed"] * len(ACTIONS)
        async with server.client() as client:
            for identifier in runs:
                for action in ACTIONS:
                    prompt = (await client.get(f"/prompts/{identifier}.{action}")).json()
                    assert prompt["status"] == "completed"
                    attempts = (await client.get(f"/prompts/{identifier}.{action}/attempts")).json()["items"]
                    outcomes = Counter(attempt["outcome"] for attempt in attempts)
                    assert outcomes["completed"] == 1, attempts
                    assert set(outcomes) <= {"completed", "lost"}
    asked = Counter(json.loads(line)["prompt"] for line in journal.read_text().splitlines())
    assert set(asked) == {f"{identifier}.{action}" for identifier in runs for action in ACTIONS}
