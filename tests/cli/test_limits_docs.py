"""The examples of docs/limits.md: its settings load, and its commands work on a real server."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from promptd.settings import load
from tests.cli.test_server import CONFIG, Cli
from tests.e2e.harness import running

pytestmark = pytest.mark.e2e  # every command meets a real server process

TEXT = (Path(__file__).parents[2] / "docs" / "limits.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("text", blocks("yaml"), ids=lambda text: text.split(":")[0])
def test_settings_load(text: str, tmp_path: Path) -> None:
    file = tmp_path / "promptd.yaml"
    file.write_text(text)
    settings = load(tmp_path, file, {})
    assert all(limit.policy.limit == limit.limit for limit in settings.limits)
    assert settings.limits or settings.models["tuned"].price is not None


async def test_commands_work(tmp_path: Path) -> None:
    async with running(tmp_path / "home", CONFIG) as server:
        await follow(Cli(server))


async def follow(cli: Cli) -> None:
    commands = [line for block in blocks("sh") for line in block.splitlines()]
    assert len(commands) > 5
    made = await cli.json("keys", "create", "example")
    for command in commands:
        program, *words = shlex.split(command)
        assert program == "promptd"
        words = [made["id"] if word == "ID" else word for word in words]
        done = await cli(*words)
        assert done.code == 0, (command, done.err)
