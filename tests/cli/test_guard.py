"""`promptd guard test` against a real server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from promptd.cli.exits import Exit
from tests.cli.support import command, environment
from tests.e2e.harness import running

pytestmark = pytest.mark.e2e  # every command meets a real server process

CONFIG: dict[str, Any] = {
    "connections": {"stage": {"engine": "scripted"}},
    "models": {"demo": {"connection": "stage"}},
    "guard": {"checks": {"words": {"type": "rules", "blocklist": ["badger"], "message": "not that"}}},
}


@pytest.fixture
async def env(tmp_path: Path) -> AsyncIterator[dict[str, str]]:
    async with running(tmp_path / "home", CONFIG) as server:
        yield environment(server.home, PROMPTD_URL=server.url)


async def test_texts_are_judged(env: dict[str, str], tmp_path: Path) -> None:
    result = await command("guard", "test", "an oak", env=env)
    assert (result.code, result.err) == (0, "")
    head, *rows = [line.split("\t") for line in result.out.splitlines()]
    assert head[:3] == ["CHECK", "STAGE", "OUTCOME"]
    assert [row[:3] for row in rows] == [["words", "input", "allowed"], ["words", "tool", "allowed"]]
    result = await command("guard", "test", "a badger", "--stage", "tool", env=env)
    assert result.code == Exit.FAILED
    assert result.out.splitlines()[1].split("\t")[:6] == [
        "words",
        "tool",
        "refused",
        "1.000",
        "blocklist",
        "blocklist: badger",
    ]
    file = tmp_path / "text"
    file.write_text("a badger")
    for more, given in (("--file", str(file)), None), (("--file", "-"), b"a badger"):
        result = await command("guard", "test", *more, "--json", env=env, given=given)
        assert result.code == Exit.FAILED
        assert json.loads(result.out)["allowed"] is False
    refused = await command("ask", "a badger", env=env)
    assert (refused.code, "not that" in refused.err) == (Exit.FAILED, True)


async def test_what_is_wrong_is_told(env: dict[str, str]) -> None:
    for arguments in ((), ("text", "--file", "-")):
        result = await command("guard", "test", *arguments, env=env)
        assert (result.code, "give a text, or a file" in result.err) == (Exit.USAGE, True)
    result = await command("guard", "test", "x", "--check", "none", env=env)
    assert (result.code, "no check" in result.err) == (Exit.NOT_FOUND, True)
