"""The protocol's official Python client against a server process: in its old version, its new one, and as it chooses itself."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from promptd.settings import load
from tests.e2e.harness import Server, running

pytestmark = pytest.mark.e2e

CONFIG: dict[str, Any] = {"connections": {"lab": {"engine": "scripted"}}, "models": {"demo": {"connection": "lab"}}}
SCHEMA = {
    "type": "object",
    "required": ["terms"],
    "properties": {"terms": {"type": "array", "items": {"type": "string"}}},
}
TEMPLATES: dict[str, dict[str, Any]] = {
    "extract-terms": {
        "messages": [{"role": "user", "source": '[{"say": "{\\"terms\\": [\\"{{ text }}\\"]}"}]'}],
        "inputs": [{"name": "text", "description": "to look through"}],
        "output": {"kind": "json", "schema": SCHEMA},
        "description": "Finds terms.",
        "callable": True,
    },
    "long": {"messages": [{"source": '[{"say": "begun"}, {"wait": 60}]'}], "callable": True},
    "plain": {"messages": [{"role": "system", "source": "Be brief."}, {"source": "About {{ topic }}"}]},
}
DOCS = Path(__file__).parents[3] / "docs" / "mcp.md"
modes = pytest.mark.parametrize("mode", ["legacy", "2026-07-28", "auto"])


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mcp")


@asynccontextmanager
async def serving(home: Path) -> AsyncIterator[Server]:
    async with running(home, CONFIG) as server:
        headers = {"Authorization": f"Bearer {(server.home / 'admin.key').read_text().strip()}"}
        async with httpx.AsyncClient(base_url=server.url, headers=headers, verify=False) as http:
            for name, body in TEMPLATES.items():
                (await http.post(f"/promptd/v1/templates/{name}/versions", json=body)).raise_for_status()
        yield server


@asynccontextmanager
async def connected(server: Server, mode: str, key: str | None = None) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {key or server.key}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        Client(streamable_http_client(f"{server.url}/mcp", http_client=http), mode=mode) as client,
    ):
        yield client


@modes
async def test_everything_that_a_client_does(home: Path, mode: str) -> None:
    async with serving(home) as server, connected(server, mode) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        assert tools.keys() == {"extract-terms", "long"}
        assert tools["extract-terms"].output_schema == SCHEMA
        result = await client.call_tool("extract-terms", {"text": "lark"})
        assert result.structured_content == {"terms": ["lark"]}
        wrong = await client.call_tool("extract-terms", {"words": "lark"})
        assert (wrong.is_error, (wrong.meta or {})["promptd/problem"]["code"]) == (True, "invalid_input")
        with pytest.raises(MCPError, match="Unknown tool"):
            await client.call_tool("plain", {"topic": "x"})
        prompts = {prompt.name: prompt for prompt in (await client.list_prompts()).prompts}
        assert prompts.keys() == TEMPLATES.keys()
        got = await client.get_prompt("plain", {"topic": "larks"})
        assert [message.content.text for message in got.messages] == ["Be brief.", "About larks"]  # type: ignore[union-attr]
        with pytest.raises(MCPError, match="topic"):
            await client.get_prompt("plain", {})
        await cancel(server, client)
        assert (await client.call_tool("extract-terms", {"text": "wren"})).structured_content == {"terms": ["wren"]}


async def cancel(server: Server, client: Client) -> None:
    """A call that is given up; its prompt is canceled."""
    begun = asyncio.Event()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        begun.set()

    call = asyncio.create_task(client.call_tool("long", {}, progress_callback=hear))
    await asyncio.wait_for(begun.wait(), 20)
    call.cancel()
    await asyncio.wait([call])
    headers = {"Authorization": f"Bearer {server.key}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, verify=False) as http, asyncio.timeout(20):
        found: list[Any] = []
        while not found:
            found = (await http.get("/promptd/v1/prompts", params={"status": "canceled"})).json()["items"]
    assert found[0]["template"]["name"] == "long"


async def test_the_program_of_the_docs(home: Path, tmp_path: Path) -> None:
    found = re.search(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    async with serving(home) as server:
        environment = os.environ | {"PROMPTD_URL": server.url, "PROMPTD_API_KEY": server.key}
        program = [sys.executable, "-W", "error", "-c", found[1]]
        process = await asyncio.create_subprocess_exec(*program, env=environment, stdout=asyncio.subprocess.PIPE)
        assert (await process.communicate())[0].decode() == found[2]


def test_the_settings_of_the_docs(tmp_path: Path) -> None:
    found = re.search(r"^```yaml\n(.*?)^```", DOCS.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None
    (tmp_path / "promptd.yaml").write_text(found[1])
    assert load(tmp_path, None, {}).mcp.origins == ("https://console.example.org",)


@modes
async def test_a_wrong_key(home: Path, mode: str) -> None:
    async with serving(home) as server:
        with pytest.RaisesGroup(pytest.RaisesExc(MCPError, match="unauthenticated"), flatten_subgroups=True):
            async with connected(server, mode, "pk-wrong") as client:
                await client.list_tools()


async def test_a_session_does_not_hold_the_shutdown_up(home: Path) -> None:
    async with serving(home) as server:
        status, seconds = -1, 0.0
        with suppress(Exception):  # the client's own way to say that its server has gone
            async with connected(server, "legacy") as client:
                await client.list_tools()
                began = time.monotonic()
                status = await server.stop()
                seconds = time.monotonic() - began
        assert status == 0
        assert seconds < 4  # the server itself gives up after 5
        assert not [line for line in server.log if "Traceback" in line or "ERROR" in line], server.log
