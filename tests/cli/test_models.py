"""`promptd models`: the catalogue, one model in full, fetching by name, the default one."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from promptd.cli.exits import Exit
from tests.cli.support import Connection, FakeServer, Result, Script, command, environment
from tests.e2e.harness import running
from tests.faces.onebackend.lab import GGUF, MISTRAL, TINY, hub
from tests.service.origin import Origin

pytestmark = pytest.mark.e2e  # every command meets a real server process


@pytest.fixture
async def far() -> AsyncIterator[Origin]:
    async with hub() as found:
        yield found


def rows(result: Result) -> dict[str, list[str]]:
    """The lines of a table by their first word."""
    assert (result.code, result.err) == (0, ""), result
    return {line.split("\t")[0]: line.split("\t") for line in result.out.splitlines()}


async def test_a_model_from_the_catalogue_to_its_answer(tmp_path: Path, far: Origin) -> None:
    config: dict[str, Any] = {
        "connections": {"stage": {"engine": "scripted"}},
        "models": {"demo": {"connection": "stage"}},
        "downloads": {"hub": far.url, "allow": [far.url], "reserve_bytes": 0},
    }
    async with running(tmp_path / "home", config) as server:
        env = environment(server.home, PROMPTD_URL=server.url)

        async def models(*arguments: str) -> Result:
            return await command("models", *arguments, env=env)

        listed = rows(await models("list", "--catalogue"))
        assert listed[TINY] == [TINY, "TinyLlama 1.1 Chat 1.0", "Q3_K_S", "0.5", "3.0", ""]
        assert len(json.loads((await models("list", "--catalogue", "--json")).out)["items"]) == 48
        shown = await models("show", TINY)
        assert "not fetched" in shown.out
        assert TINY in shown.out
        refused = await models("start", TINY)
        assert refused.code != Exit.OK
        assert f"promptd models pull {TINY}" in refused.err
        assert (await models("default", TINY)).code != Exit.OK
        assert (await models("show", "nothing")).code == Exit.NOT_FOUND

        pulled = await models("pull", TINY)
        assert pulled.code == 0, pulled
        assert f"{len(GGUF)} bytes" in pulled.out
        assert rows(await models("list", "--catalogue"))[TINY][-1] == "yes"
        assert rows(await models("list", "--catalogue"))[MISTRAL][-1] == ""
        assert (await models("default", TINY)).out == f"{TINY}  default\n"
        assert (await models("start", TINY)).out == f"{TINY}  ready\n"
        shown = await models("show", TINY)
        assert [line.split(None, 1)[1] for line in shown.out.splitlines()[:3]] == [TINY, "ready", "yes"]
        answered = await command("ask", "Hi", env=env)
        assert (answered.code, bool(answered.out)) == (0, True), answered
        assert (await models("stop", TINY)).out == f"{TINY}  stopped\n"


def says(status: int, body: dict[str, Any]) -> Script:
    async def script(connection: Connection) -> None:
        await connection.reply(status, body)

    return script


async def test_names_are_one_segment_of_the_path(fake: FakeServer, env: dict[str, str]) -> None:
    details = {"name": "a/b", "ready": True, "running": False, "default": True, "served": None, "catalogue": None}
    fake.scripts = [says(200, details), says(200, details)]
    assert json.loads((await command("models", "show", "a/b", "--json", env=env)).out) == details
    assert json.loads((await command("models", "default", "a/b", "--json", env=env)).out) == details
    assert [(request.method, request.path) for request in fake.requests] == [
        ("GET", "/promptd/v1/models/a%2Fb"),
        ("POST", "/promptd/v1/models/a%2Fb/default"),
    ]


async def test_what_a_server_says_can_not_deceive_the_terminal(fake: FakeServer, env: dict[str, str]) -> None:
    served = {
        "status": "unavailable",
        "reason": "two\nlines \x1b[2J",
        "engine": "llamacpp",
        "connection": "c",
        "capabilities": ["chat"],
        "context": None,
    }
    details = {"name": "x", "ready": True, "running": False, "default": False, "served": served, "catalogue": None}
    fake.scripts = [says(200, details)]
    shown = await command("models", "show", "x", env=env)
    assert "\x1b" not in shown.out
    assert len(shown.out.splitlines()) == 6
