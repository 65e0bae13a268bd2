"""Used for real: the pack's templates, the built-in model, and answers that a grammar keeps to their schema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import jsonschema_rs
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from websockets.asyncio.client import connect

from tests.cli.test_server import Cli
from tests.e2e.harness import Server, running

pytestmark = pytest.mark.e2e

TEXT = "A caldera is a hollow that forms when a volcano empties its magma chamber and collapses."
NAME = "extract-definitions"


async def install(cli: Cli) -> list[dict[str, Any]]:
    done = await cli("templates", "install", "trustgraph-defaults", "--json")
    assert done.code == 0, done
    items: list[dict[str, Any]] = json.loads(done.out)["items"]
    return items


async def over_rest(server: Server) -> dict[str, Any]:
    async with server.client() as client:
        answer = await client.post(f"/templates/{NAME}/run", json={"inputs": {"text": TEXT}})
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told


async def test_definitions_are_extracted_and_fit_their_schema(tmp_path: Path) -> None:
    async with running(tmp_path / "home", {}) as server:
        cli = Cli(server)
        await install(cli)
        function = await cli.json("call", NAME, "--describe")
        check = jsonschema_rs.validator_for(function["output_schema"])
        done = await cli("call", NAME, "--var", f"text={TEXT}")
        assert (done.code, done.err) == (0, ""), done
        found = json.loads(done.out)
        assert found, "the model was kept to say something"
        check.validate(found)
        told = await over_rest(server)
        check.validate(told["value"])
        assert [json.loads(line) for line in told["text"].splitlines()] == told["value"], "every line of it"
        assert (told["value"] != [], told["warnings"], told["finish_reason"]) == (True, [], "stop")


async def over_socket(server: Server, *, stream: bool) -> Any:
    """What TrustGraph's wire gives, parsed."""
    address = f"{server.url.replace('http', 'ws', 1)}/api/v1/socket?token={server.key}"
    request = {"id": NAME, "variables": {"text": TEXT}, "streaming": stream}
    async with connect(address) as socket:
        await socket.send(json.dumps({"id": "1", "service": "prompt", "flow": "default", "request": request}))
        async for frame in socket:
            told = json.loads(frame)
            assert "error" not in told, told
            if told["complete"]:
                return json.loads(told["response"]["object"])
    raise AssertionError("the socket closed without an end")


async def over_mcp(server: Server) -> Any:
    async with server.client() as client:
        saved = (await client.get(f"/templates/{NAME}/version")).json()
        kept = ("messages", "dialect", "inputs", "output", "description")
        draft = {name: saved[name] for name in kept} | {"callable": True}
        assert (await client.post(f"/templates/{NAME}/versions", json=draft)).status_code == 201
    async with (
        httpx2.AsyncClient(headers={"Authorization": f"Bearer {server.key}"}, timeout=60) as http,
        Client(streamable_http_client(f"{server.url}/mcp", http_client=http)) as client,
    ):
        (tool,) = [tool for tool in (await client.list_tools()).tools if tool.name == NAME]
        assert tool.output_schema is not None
        result = await client.call_tool(NAME, {"text": TEXT})
    assert not result.is_error, result
    jsonschema_rs.validator_for(tool.output_schema).validate(result.structured_content)
    assert result.structured_content is not None
    return result.structured_content["result"]


async def test_definitions_come_over_the_socket_and_over_mcp(tmp_path: Path) -> None:
    async with running(tmp_path / "home", {}) as server:
        cli = Cli(server)
        await install(cli)
        check = jsonschema_rs.validator_for((await cli.json("call", NAME, "--describe"))["output_schema"])
        for found in (
            await over_socket(server, stream=False),
            await over_socket(server, stream=True),
            await over_mcp(server),
        ):
            check.validate(found)
            assert found


async def test_a_pack_never_overwrites_what_was_changed(tmp_path: Path) -> None:
    async with running(tmp_path / "home", {}) as server:
        cli = Cli(server)
        items = await install(cli)
        assert {item["action"] for item in items} == {"new"}
        assert {item["action"] for item in await install(cli)} == {"unchanged"}
        mine = tmp_path / "question.yaml"
        mine.write_text("messages:\n- user: Mine. {{ question }}\n")
        assert (await cli("templates", "push", str(mine))).code == 0
        kept = {item["name"]: item["action"] for item in await install(cli) if item["action"] != "unchanged"}
        assert kept == {"question": "kept"}
        assert (await cli("templates", "diff", str(tmp_path / "question.yaml"))).code == 0
        forced = json.loads((await cli("templates", "install", "trustgraph-defaults", "--force", "--json")).out)[
            "items"
        ]
        changed = [item for item in forced if item["action"] != "unchanged"]
        assert [(item["name"], item["action"], item["version"]) for item in changed] == [("question", "changed", 3)]
        shown = await cli.json("templates", "show", "question", "--version", "2")
        assert shown["messages"] == [{"source": "Mine. {{ question }}"}], "the old version stays"
        for name in (item["name"] for item in items):
            assert (await cli("call", name, "--describe")).code == 0, name
