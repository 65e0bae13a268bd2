"""`promptd plugins new` writes a project that is checked, installed, tested and called as it stands."""

from __future__ import annotations

import asyncio
import os
import sys
import tomllib
from pathlib import Path

import pytest

from tests.cli.support import Connection, Result, command, environment, fake_server
from tests.e2e.harness import running

pytestmark = pytest.mark.e2e  # every command is a real process

SECONDS = 120.0


async def python(*arguments: str, cwd: Path, **more: str) -> Result:
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, cwd=cwd, env=dict(os.environ) | more, stdout=pipe, stderr=pipe
    )
    out, err = await asyncio.wait_for(process.communicate(), SECONDS)
    assert process.returncode is not None
    return Result(process.returncode, out.decode(), err.decode())


async def generate(tmp_path: Path, name: str = "acme-translate") -> Path:
    made = await command("plugins", "new", name, env=environment(tmp_path), cwd=tmp_path)
    assert made.code == 0, made.err
    return tmp_path / name


@pytest.mark.parametrize("name", ["acme-translate", "tool", "a-b-c9"])
async def test_the_project_is_clean_and_passes_its_tests(tmp_path: Path, name: str) -> None:
    project = await generate(tmp_path, name)
    for check in (
        ("ruff", "check", "--isolated", "."),
        ("ruff", "format", "--check", "--isolated", "--line-length", "120", "."),
        ("mypy", "--strict", "src"),
        ("pytest", "-p", "no:cacheprovider"),
    ):
        done = await python("-m", *check, cwd=project)
        assert done.code == 0, (check, done.out, done.err)
    assert "passed" in done.out


async def test_a_broken_handler_fails_its_tests(tmp_path: Path) -> None:
    project = await generate(tmp_path)
    handler = project / "src" / "acme_translate" / "handler.py"
    handler.write_text(handler.read_text().replace("if response.status != 200:", "if response.status > 500:"))
    done = await python("-m", "pytest", "-p", "no:cacheprovider", cwd=project)
    assert done.code == 1
    assert "§6.40" in done.out


async def test_installed_it_is_served_and_called(tmp_path: Path) -> None:
    project, site = await generate(tmp_path), tmp_path / "site"
    pip = ("-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check")
    done = await python(*pip, "--target", str(site), str(project), cwd=tmp_path)
    assert done.code == 0, done.err
    listed = await command("plugins", env=environment(tmp_path, PYTHONPATH=str(site)))
    assert "acme.translate" in listed.out

    async def answer(connection: Connection) -> None:
        await connection.reply(200, {"translation": "Guten Morgen"}, connection="close")

    async with fake_server() as service:
        service.otherwise = answer
        office = {"engine": "acme.translate", "base_url": service.url, "api_key": "the-key-of-acme"}
        config = {"connections": {"office": office}, "models": {"office": {"connection": "office"}}}
        variables = {"PYTHONPATH": str(site)}
        async with running(tmp_path / "home", config, variables=variables) as server, server.client() as http:
            version = {"connection": "office", "settings": {"language": "de"}, "label": "production"}
            saved = await http.post("/templates/german/versions", json=version)
            assert saved.status_code == 201, saved.text
            ran = await http.post("/templates/german/run", json={"inputs": {"text": "Good morning"}})
            assert ran.status_code == 200, ran.text
            assert ran.json()["value"] == {"translation": "Guten Morgen"}
            wrong = await http.post("/templates/german/run", json={"inputs": {"text": 5}})
            assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_input")
    (asked,) = service.requests
    assert asked.headers["authorization"] == "Bearer the-key-of-acme"
    assert asked.body == {"text": "Good morning", "to": "de"}


def test_the_template_is_in_the_package() -> None:
    root = Path(__file__).parents[2]
    patterns = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["promptd"]
    packed = {path for pattern in patterns for path in (root / "src" / "promptd").glob(pattern)}
    written = set((root / "src" / "promptd" / "cli" / "plugin_template").iterdir())
    assert written
    assert written <= packed


@pytest.mark.parametrize("name", ["Acme", "acme translate", "../acme", "class", "-a", "a" * 81])
async def test_a_bad_name_is_refused(tmp_path: Path, name: str) -> None:
    done = await command("plugins", "new", "--", name, env=environment(tmp_path), cwd=tmp_path)
    assert (done.code, list(tmp_path.iterdir())) == (2, []), done.err


async def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep")
    done = await command("plugins", "new", "acme", "--dir", "mine", env=environment(tmp_path), cwd=tmp_path)
    assert done.code == 2
    assert "not empty" in done.err
    assert [file.name for file in (tmp_path / "mine").iterdir()] == ["notes.txt"]
