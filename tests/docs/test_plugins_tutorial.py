"""docs/plugins.md is what it says: its files make a plugin that passes its tests, is installed, served and called."""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from promptd import plugins
from promptd.settings import load
from tests.cli.support import Connection, fake_server
from tests.e2e.harness import running

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL))
EXCHANGES = re.findall(r"^```http\n(\w+) (\S+)\n(.*?)\n\n(\d+)\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
SECONDS = 120.0


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The files of the page, as its reader has them."""
    for name, text in FILES.items():
        file = tmp_path / "project" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    (tmp_path / "project" / "acme_translate" / "__init__.py").touch()
    return tmp_path / "project"


async def python(*arguments: str, cwd: Path) -> tuple[int | None, str]:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=cwd, env=dict(os.environ), stdout=pipe, stderr=asyncio.subprocess.STDOUT
    )
    out, _ = await asyncio.wait_for(process.communicate(), SECONDS)
    return process.returncode, out.decode()


def test_the_first_handler_has_forty_lines() -> None:
    lines = [line for line in FILES["acme_translate/handler.py"].splitlines() if line.strip()]
    assert len(lines) <= 40


def test_every_name_of_the_front_door_exists() -> None:
    for name in set(re.findall(r"\bapi\.([A-Za-z_]+)", TEXT)):
        assert name in plugins.__all__, name


def test_settings_load(tmp_path: Path) -> None:
    for name in ("promptd.yaml", "isolation.yaml"):
        file = tmp_path / name
        file.write_text(FILES[name])
        assert load(tmp_path, file, {"ACME_KEY": "a-key"})


def test_nothing_of_the_page_is_left_out() -> None:
    fences = re.findall(r"^```(\w+)(.*)$", TEXT, re.MULTILINE)
    assert len(fences) == len(FILES) + len(EXCHANGES)
    assert len(EXCHANGES) > 2


@pytest.mark.e2e
async def test_its_tests_pass(project: Path) -> None:
    code, out = await python("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", cwd=project)
    assert code == 0, out


@pytest.mark.e2e
async def test_installed_it_answers_as_the_page_says(project: Path, tmp_path: Path) -> None:
    pip = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    code, out = await python(*pip, "--target", str(tmp_path / "site"), ".", cwd=project)
    assert code == 0, out

    async def translate(connection: Connection) -> None:
        assert connection.request.headers["authorization"] == "Bearer a-key"
        assert connection.request.body["to"] == "de"
        await connection.reply(200, {"translation": "Guten Morgen", "confidence": 0.9}, connection="close")

    async with fake_server() as service:
        service.otherwise = translate
        config: dict[str, Any] = yaml.safe_load(FILES["promptd.yaml"].replace("http://127.0.0.1:8080", service.url))
        variables = {"PYTHONPATH": str(tmp_path / "site"), "ACME_KEY": "a-key"}
        async with running(tmp_path / "home", config, variables=variables) as server, server.client() as http:
            for method, path, body, status, answer in EXCHANGES:
                reply = await http.request(method, server.url + path, json=json.loads(body))
                assert reply.status_code == int(status), reply.text
                assert json.loads(answer).items() <= reply.json().items(), path
        assert len(service.requests) == 1
