"""The pages on templates and chains: their files are taken, and their commands work on a real server with a real model."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
from pathlib import Path

import pytest

from tests.cli.support import command
from tests.cli.test_server import Cli
from tests.e2e.harness import running

pytestmark = pytest.mark.e2e  # a server with the built-in model, and a process per command

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    ("page", "files"),
    [
        ("templates.md", ["greet.yaml", "fruits.yaml"]),
        ("chains.md", ["summarise.yaml", "translate.yaml", "digest.yaml"]),
    ],
)
async def test_the_page_works(page: str, files: list[str], tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    for name, text in zip(files, blocks(page, "yaml"), strict=True):
        (work / name).write_text(text)
    async with running(tmp_path / "home", {}) as server:
        cli = Cli(server)
        said = ""
        for line in [line for block in blocks(page, "sh") for line in block.splitlines()]:
            program, *words = shlex.split(line)
            assert program == "promptd"
            words = [said.strip() if word == "RUN" else word for word in words]
            done = await command(*words, env=cli.env, cwd=work)

            assert done.code == 0, (line, done)
            said = done.out
        for name in files[:2]:
            assert (await command("templates", "push", name, env=cli.env, cwd=work)).code == 0, name
        if page == "chains.md":
            assert (await command("chains", "push", "digest.yaml", env=cli.env, cwd=work)).code == 0
        for block in blocks(page, "bash"):
            for text in re.sub(r"\\\n\s*", "", block).splitlines():
                shell = await asyncio.create_subprocess_exec(
                    *("sh", "-c", text),
                    env={**cli.env, "PROMPTD_URL": server.url, "PROMPTD_KEY": server.key},
                    stdout=asyncio.subprocess.PIPE,
                )
                out, _ = await asyncio.wait_for(shell.communicate(), 60)
                assert "code" not in json.loads(out) or json.loads(out)["code"] == "", out
