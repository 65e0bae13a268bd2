"""The programs of docs/client.md, run as they stand there, say what stands below them."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from tests.contract.mcp.test_official_client import CONFIG
from tests.e2e.harness import Server, running

pytestmark = pytest.mark.e2e

TEXT = (Path(__file__).parents[2] / "docs" / "client.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"^```python\n(.*?)^```\n\n```text\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
TEMPLATES = {
    "greet": {"messages": [{"source": '[{"say": "Hello {{ name }}!", "pieces": 3}]'}]},
    "count-words": {
        "messages": [{"source": '[{"say": "{\\"words\\": {{ text | split | length }}}"}]'}],
        "inputs": [{"name": "text"}],
        "output": {"kind": "json", "schema": {"type": "object", "properties": {"words": {"type": "integer"}}}},
        "label": "production",
    },
}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running(tmp_path / "home", CONFIG) as server:
        headers = {"Authorization": f"Bearer {(server.home / 'admin.key').read_text().strip()}"}
        async with httpx.AsyncClient(base_url=server.url, headers=headers) as http:
            for name, body in TEMPLATES.items():
                (await http.post(f"/promptd/v1/templates/{name}/versions", json=body)).raise_for_status()
        yield server


def test_every_program_has_an_output() -> None:
    assert len(PROGRAMS) == TEXT.count("```python") > 5


async def test_programs_say_what_is_written_below_them(server: Server, tmp_path: Path) -> None:
    environment = os.environ | {"PROMPTD_URL": server.url, "PROMPTD_API_KEY": server.key}
    for number, (program, output) in enumerate(PROGRAMS):
        file = tmp_path / f"example{number}.py"
        file.write_text(program)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "error", str(file)),
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, complaint = await process.communicate()
        assert (said.decode(), complaint.decode()) == (output, ""), program
