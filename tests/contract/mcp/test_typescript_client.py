"""The protocol's official TypeScript client, under node, against a server process."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

import pytest

from tests.contract.mcp.test_official_client import TEMPLATES, serving
from tests.contract.npm import install

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(150)]

PACKAGE = "@modelcontextprotocol/sdk@1.32.2"


async def test_everything_that_it_does(tmp_path: Path) -> None:
    folder = tmp_path / "node"
    folder.mkdir()
    await asyncio.to_thread(install, folder, PACKAGE)
    program = shutil.copy(Path(__file__).with_name("client.mjs"), folder)
    async with serving(tmp_path / "home") as server:
        process = await asyncio.create_subprocess_exec(
            *(shutil.which("node") or "node", program, server.url, server.key), stdout=asyncio.subprocess.PIPE
        )
        said, _ = await process.communicate()
    steps = {found["step"]: found["value"] for found in map(json.loads, said.splitlines())}
    assert steps == {
        "capabilities": {"prompts": {"listChanged": True}, "tools": {"listChanged": True}},
        "tools": ["extract-terms", "long"],
        "call": {"terms": ["lark"]},
        "wrong": True,
        "prompts": sorted(TEMPLATES),
        "prompt": ["Be brief.", "About larks"],
        "cancelled": ["begun"],
        "unknown": -32602,
    }
