"""Templates and chains on a real server that is stopped, killed, and asked for much at once."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import PAUSE_SECONDS, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def config(**more: Any) -> dict[str, Any]:
    return {
        "connections": {"lab": {"engine": "scripted", "slots": 4}},
        "models": {"demo": {"connection": "lab"}},
        "default_model": "demo",
        "retry": {"base_seconds": 1},
        **more,
    }


async def test_a_chain_goes_on_after_a_drain_and_after_a_kill(tmp_path: Path) -> None:
    gates = [tmp_path / name for name in ("first", "second")]
    text = [{"name": "text"}]
    async with running(tmp_path / "home", config(server={"drain_seconds": 1})) as server:
        async with server.client() as client:
            for number, gate in enumerate(gates):
                source = f'[{{"wait_file": "{gate}"}}, {{"say": "{{{{ text }}}}{number}"}}]'
                body = {"messages": [{"source": source}], "inputs": text}
                assert (await client.post(f"/templates/t{number}/versions", json=body)).status_code == 201
            binding = {"kind": "reference", "value": "inputs.text"}
            then = {"kind": "reference", "value": "one.text"}
            chain = {
                "inputs": text,
                "actions": [
                    {"name": "one", "template": "t0", "bindings": {"text": binding}},
                    {"name": "two", "template": "t1", "bindings": {"text": then}},
                ],
                "outputs": {"said": "two.text"},
            }
            assert (await client.put("/chains/c", json=chain)).status_code == 200
            run = (await client.post("/chains/c/run", json={"inputs": {"text": "x"}})).json()["id"]
        assert await server.stop() == 0
        gates[0].touch()
        await server.start()
        async with server.client() as client:
            while (await client.get(f"/chain-runs/{run}")).json()["steps"][0]["status"] != "completed":
                await asyncio.sleep(PAUSE_SECONDS)
        await server.kill()
        gates[1].touch()
        await server.start()
        async with server.client() as client:
            ended = (await client.get(f"/chain-runs/{run}", params={"wait": 30})).json()
            assert (ended["status"], ended["outputs"]) == ("completed", {"said": "x01"})


async def test_a_name_works_again_after_a_kill_in_the_middle_of_its_deletion(tmp_path: Path) -> None:
    """What a crash between the deletions leaves: versions without their template, and a template without versions."""
    async with running(tmp_path / "home", config()) as server:
        async with server.client() as client:
            for name in ("orphans", "empty"):
                for number in range(2):
                    body = {"messages": [{"source": f'[{{"say": "{number}"}}]'}]}
                    assert (await client.post(f"/templates/{name}/versions", json=body)).status_code == 201
        await server.kill()
        with sqlite3.connect(server.home / "promptd.db") as database:
            database.execute("delete from record where kind = 'Template' and id = 'orphans'")
            database.execute("delete from record where kind = 'TemplateVersion' and id like 'empty@%'")
        database.close()
        await server.start()
        async with server.client() as client:
            for name in ("orphans", "empty"):
                body = {"messages": [{"source": '[{"say": "anew"}]'}]}
                saved = await client.post(f"/templates/{name}/versions", json=body)
                assert saved.status_code == 201, saved.text
                run = await client.post(f"/templates/{name}/run", json={})
                assert run.json()["text"] == "anew", run.text
                assert (await client.get(f"/templates/{name}/versions")).status_code == 200
                assert (await client.delete(f"/templates/{name}")).status_code == 204


async def test_hostile_values_end_in_a_problem_and_never_in_a_crash(tmp_path: Path) -> None:
    async with running(tmp_path / "home", config()) as server, server.client() as client:
        inputs = [{"name": "x", "kind": "any"}]
        body = {"messages": [{"source": "{{ x }}"}], "inputs": inputs}
        assert (await client.post("/templates/any/versions", json=body)).status_code == 201
        values = [
            "1" + "0" * 400,
            "-" + "9" * 5000,
            "1e400",
            "[" * 5000 + "]" * 5000,
            '{"a":' * 90 + "1" + "}" * 90,
            '"\\ud800"',
            "NaN",
            '{"__class__": {"__init__": 1}}',
            '"\\u0000"',
            "[" + "0," * 150_000 + "0]",
        ]
        for value in values:
            content = f'{{"inputs": {{"x": {value}}}}}'
            answer = await client.post(
                "/templates/any/run", content=content, headers={"content-type": "application/json"}
            )
            assert answer.status_code < 500, (value[:20], answer.text)
        assert (await client.get(f"{server.url}/healthz")).status_code == 200
        assert not [line for line in server.log if "Traceback" in line]
