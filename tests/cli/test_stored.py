"""`promptd connections add`, `edit` …, `plugins` and `vault`: secrets stay off the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from promptd.cli.exits import Exit
from promptd.testing.upstream import Upstream
from promptd.vault.sources import read
from tests.cli.support import Connection, FakeServer, Result, Script, command, environment
from tests.e2e.harness import running

pytestmark = pytest.mark.e2e  # every command is a process

KEY = "sk-correct-horse-battery"


def says(status: int, body: Any = None) -> Script:
    async def script(connection: Connection) -> None:
        await connection.reply(status, body)

    return script


async def test_a_connection_from_its_first_save_to_its_end(tmp_path: Path) -> None:
    async with Upstream() as upstream:
        config: dict[str, Any] = {
            "connections": {"stage": {"engine": "scripted"}},
            "models": {"demo": {"connection": "stage"}},
            "stored_connections": {"allow": [upstream.base_url]},
        }
        async with running(tmp_path / "home", config) as server:
            env = environment(server.home, PROMPTD_URL=server.url, THE_KEY="sk-other")

            async def connections(*arguments: str, given: bytes | None = None) -> Result:
                result = await command("connections", *arguments, env=env, given=given)
                assert KEY not in result.out + result.err
                return result

            settings = ["--engine", "openai", "--set", f"base_url={upstream.base_url}"]
            made = await connections("add", "office", *settings, "--secret", "api_key", given=f"{KEY}\n".encode())
            assert (made.code, made.out, made.err) == (0, "office  saved  clean\n", "")
            shown = await connections("show", "office")
            assert "  api_key = (set)\n" in shown.out
            assert f"  base_url = {upstream.base_url}\n" in shown.out
            listed = (await connections("list")).out.splitlines()
            assert listed[0].split("\t") == ["NAME", "ENGINE", "BUSY", "SLOTS", "MODELS", "STATE"]
            assert listed[2].split("\t") == ["office", "openai", "0", "4", "", "clean"]

            edited = await connections("edit", "office", "--slots", "2", "--description", "third floor")
            assert edited.out == "office  changed  clean\n"
            await connections("edit", "office", "--secret-env", "api_key=THE_KEY")
            assert (await connections("restore", "office")).out == "office  restored  clean\n"
            renamed = await connections("edit", "office", "--rename", "desk")
            assert renamed.out == "desk  changed  clean\n"
            exported = json.loads((await connections("export", "desk")).out)
            assert (exported["name"], exported["slots"], exported["config"]["api_key"]) == (
                "desk",
                2,
                {"$secret": "api_key"},
            )
            tested = await connections("test", "desk")
            assert (tested.code, tested.out.splitlines()[-1][:8]) == (0, "desk  ok"), tested
            assert any(call.headers.get("authorization") == f"Bearer {KEY}" for call in upstream.calls)

            before = (server.home / "vault.key").read_text()
            rotated = await command("vault", "rotate", env=env)
            assert (rotated.code, rotated.out, rotated.err) == (0, "1 sealed anew\n", "")
            assert (server.home / "vault.key").read_text() != before
            assert (await connections("test", "desk")).code == 0

            assert (await connections("delete", "desk")).out == "desk  deleted\n"
            assert (await connections("show", "desk")).code == Exit.NOT_FOUND
            wrong = await connections("add", "x", "--engine", "openai", "--set", "base_url=http://10.0.0.1")
            assert wrong.code == Exit.USAGE
            assert "base_url" in wrong.err


FORM = {"secrets": {"api_key": False}}
SEEN: dict[str, Any] = {
    "id": "7",
    "name": "office",
    "engine": "acme",
    "state": "adjusted",
    "changed_at": "2026-01-01T00:00:00Z",
    "config": {"api_key": {"$secret": "api_key"}, "proxy": {"host": "a"}, "pages": 1},
    "report": {"issues": [{"path": "old", "message": "is not \x1b[2J known"}]},
    "problem": "",
}


async def test_a_secret_on_the_command_line_is_refused(fake: FakeServer, env: dict[str, str]) -> None:
    fake.scripts = [says(200, FORM)]
    result = await command("connections", "add", "x", "--engine", "acme", "--set", f"api_key={KEY}", env=env)
    assert result.code == Exit.USAGE
    assert "--secret" in result.err
    assert KEY not in result.err
    assert [request.method for request in fake.requests] == ["GET"], "nothing was sent"


async def test_settings_by_path_and_kind(fake: FakeServer, env: dict[str, str]) -> None:
    fake.scripts = [says(200, SEEN), says(200, FORM), says(200, SEEN)]
    result = await command(
        *("connections", "edit", "office", "--set", "proxy.host=b=c", "--set", "pages:=3", "--set", "new.list:=[1]"),
        *("--clear", "api_key"),
        env=env,
    )
    assert result.code == 0
    assert result.err == "promptd: warning: old: is not \ufffd[2J known\n"
    sent = fake.requests[-1]
    assert (sent.method, sent.path) == ("PUT", "/promptd/v1/connections/7")
    assert sent.body == {
        "changed_at": "2026-01-01T00:00:00Z",
        "config": {
            "api_key": {"$secret": "api_key"},
            "proxy": {"host": "b=c"},
            "pages": 3,
            "new": {"list": [1]},
        },
        "clear": ["api_key"],
    }


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["edit", "office"], "say what is to be different"),
        (["add", "x"], "--engine"),
        (["add", "x", "--engine", "a", "--set", f"{KEY}"], "expected key=text"),
        (["add", "x", "--engine", "a", "--set", "pages:=many"], "not JSON"),
        (["add", "x", "--engine", "a", "--secret-env", "api_key=NO_SUCH"], "NO_SUCH is not set"),
        (["add", "x", "--engine", "a", "--secret", "api_key"], "standard input has no line"),
        (["add", "x", "--engine", "a", "--file", "cert=/nowhere/cert.pem"], "/nowhere/cert.pem"),
    ],
)
async def test_wrong_command_lines_send_nothing(
    fake: FakeServer, env: dict[str, str], arguments: list[str], said: str
) -> None:
    fake.otherwise = says(200, SEEN)
    result = await command("connections", *arguments, env=env)
    assert result.code == Exit.USAGE
    assert said in result.err
    assert KEY not in result.err
    assert all(request.method == "GET" for request in fake.requests)


async def test_a_failed_test_is_a_failure(fake: FakeServer, env: dict[str, str]) -> None:
    fake.scripts = [says(200, {"ok": False, "message": "no", "models": [], "checks": [{"ok": False, "text": "dns"}]})]
    result = await command("connections", "test", "office", env=env)
    assert (result.code, result.out, result.err) == (Exit.FAILED, "  failed dns\n", "promptd: office: no\n")


async def test_keys_are_made_without_a_server(env: dict[str, str]) -> None:
    keys = [(await command("vault", "key", env=env)).out for _ in range(2)]
    assert keys[0] != keys[1]
    assert all(len(read(key, "it")) == 1 for key in keys)


async def test_tracebacks_of_plugins_are_shown_when_asked_for(env: dict[str, str], tmp_path: Path) -> None:
    info = tmp_path / "packages" / "broken-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[promptd.engines]\nbroken = absent_module:Engine\n")
    env = {**env, "PYTHONPATH": str(info.parent)}
    assert "absent_module" in (plain := (await command("plugins", env=env)).err)
    assert "Traceback" not in plain
    result = await command("plugins", "--verbose", env=env)
    assert "promptd: warning: broken, promptd.engines:broken: ModuleNotFoundError" in result.err
    assert "Traceback (most recent call last)" in result.err
    shown = json.loads((await command("plugins", "--json", "--verbose", env=env)).out)
    assert ["Traceback" in problem["traceback"] for problem in shown["problems"] if problem["plugin"] == "broken"] == [
        True
    ]
