"""Reloads of a real process: by signal, by the API and by the command."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import signal
from collections.abc import AsyncIterator, Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.cli.support import command, environment, start
from tests.e2e.harness import START_SECONDS, Server, running

LLAMA = importlib.util.find_spec("xllamacpp") is not None and (files("promptd.models") / "demo.gguf").is_file()
ONE: dict[str, Any] = {
    "connections": {"one": {"engine": "scripted", "slots": 2}},
    "models": {"a": {"connection": "one"}},
}
TWO: dict[str, Any] = {
    "connections": {**ONE["connections"], "two": {"engine": "scripted", "slots": 3, "script": [{"say": "from two"}]}},
    "models": {**ONE["models"], "b": {"connection": "two"}},
}

UNKNOWN: dict[str, Any] = {"connections": {"one": {"engine": "scrpted"}}, "models": {"b": {"connection": "one"}}}


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with running(tmp_path / "home", ONE) as made:
        yield made


def write(server: Server, sections: dict[str, Any]) -> None:
    """The file as it was at the start, but for `sections`."""
    config = {"server": {"port": 0}, **sections}  # the harness asks for a port that is free
    (server.home / "promptd.yaml").write_text(yaml.safe_dump(config))


async def hang_up(server: Server, client: httpx.AsyncClient, done: Callable[[str], bool]) -> str:
    """SIGHUP; the line of the log that tells of the reload."""
    seen = len(server.log)
    assert server.process is not None
    server.process.send_signal(signal.SIGHUP)
    async with asyncio.timeout(START_SECONDS):
        while not (lines := [line for line in server.log[seen:] if done(line)]):
            assert (await client.get(f"{server.url}/healthz")).status_code == 200
    return lines[0]


async def answer(client: httpx.AsyncClient, model: str) -> str:
    prompt = (await client.post("/prompts", params={"wait": "30"}, json={"prompt": "x", "model": model})).json()
    return str(prompt["answer"]["text"])


async def test_a_signal_brings_a_connection_and_a_model(server: Server) -> None:
    async with server.client() as client:
        assert (await client.post("/prompts", json={"prompt": "x", "model": "b"})).status_code == 404
        write(server, TWO)
        line = await hang_up(server, client, lambda line: "configuration reloaded" in line)
        assert line.endswith("configuration reloaded: connections.two, models.b")
        assert await answer(client, "b") == "from two"
        assert await answer(client, "a") == "x"
        shown = (await client.get("/connections")).json()["items"]
        assert [(item["name"], item["slots"]) for item in shown] == [("one", 2), ("two", 3)]
        metrics = (await client.get(f"{server.url}/metrics")).text
        assert 'promptd_slots{lane="two"} 3.0' in metrics
        assert 'promptd_busy_slots{lane="two"} 0.0' in metrics
    assert await server.stop() == 0


async def test_a_bad_file_is_logged_and_changes_nothing(server: Server) -> None:
    async with server.client() as client:
        for text, reason in (
            ("models: [", "promptd.yaml, line 1"),
            (yaml.safe_dump({**TWO, "retry": {"max_attempts": 0}}), "retry.max_attempts: expected"),
            (yaml.safe_dump(UNKNOWN), 'connections.one.engine: unknown engine "scrpted", did you mean "scripted"?'),
        ):
            (server.home / "promptd.yaml").write_text(text)
            line = await hang_up(server, client, lambda line: "the configuration stays as it is" in line)
            assert reason in line
            assert " ERROR " in line
            assert [model["name"] for model in (await client.get("/models")).json()["items"]] == ["a"]
        assert await answer(client, "a") == "x"


async def test_the_api_tells_what_has_changed_and_what_is_wrong(server: Server) -> None:
    async with server.client() as client:
        write(server, {**TWO, "server": {"port": 1, "open_metrics": True}, "queue": {"max_waiting": 9}})
        told = await client.post("/config/reload")
        assert told.status_code == 200
        assert told.json() == {
            "changed": ["queue.max_waiting", "connections.two", "models.b"],
            "restart_required": ["server.port", "server.open_metrics"],
        }
        write(server, {**TWO, "models": {"b": {"connection": "tow"}}})
        wrong = await client.post("/config/reload")
        problem = wrong.json()
        assert (wrong.status_code, problem["code"]) == (422, "invalid_request")
        assert problem["field"] == "models.b.connection"
        assert (
            problem["detail"] == "models.b.connection: expected one of one, two: there is no 'tow', nor is one stored"
        )
        write(
            server, {**ONE, "connections": {"one": {"engine": "openai", "api_key": "sk-secretsecret", "base_url": 1}}}
        )
        secret = await client.post("/config/reload")
        assert secret.json()["field"] == "connections.one.base_url"
        assert "sk-secret" not in secret.text
        assert await answer(client, "b") == "from two"


async def test_the_command(server: Server) -> None:
    env = environment(server.home, PROMPTD_URL=server.url)
    write(server, {**TWO, "store": {"batch_ms": 1.0}})
    done = await command("config", "reload", env=env)
    assert done == (0, "changed  connections.two\nchanged  models.b\nneeds a restart  store.batch_ms\n", "")
    write(server, TWO)
    assert await command("config", "reload", env=env) == (0, "", "nothing has changed\n")
    write(server, ONE)
    told = await command("config", "reload", "--json", env=env)
    assert (told.code, json.loads(told.out)) == (
        0,
        {"changed": ["connections.two", "models.b"], "restart_required": []},
    )
    write(server, {**ONE, "log": {"level": "loud"}})
    wrong = await command("config", "reload", env=env)
    assert (wrong.code, wrong.out) == (2, "")
    assert "log.level: expected" in wrong.err


async def test_options_of_the_command_line_outlive_a_reload(tmp_path: Path) -> None:
    gguf = tmp_path / "mine.gguf"
    gguf.write_bytes(b"nobody looks into it before the first prompt")
    env = environment(tmp_path)
    (tmp_path / "promptd.yaml").write_text(json.dumps(ONE))
    process = await start("serve", "--port", "0", "--gguf", str(gguf), env=env)
    try:
        (url,) = await line_of(process, rb"listens on (http://\S+),")
        (tmp_path / "promptd.yaml").write_text(json.dumps(TWO | {"log": {"json": True}}))
        process.send_signal(signal.SIGHUP)
        (told,) = await line_of(process, rb"(.*configuration reloaded.*)")
        record = json.loads(told)
        assert (record["action"], record["changed"]) == ("reloaded", ["connections.two", "models.b", "log.json"])
        assert record["restart_required"] == []
        listed = await command("models", "list", "--json", env={**env, "PROMPTD_URL": url})
        assert {item["name"]: item["default"] for item in json.loads(listed.out)["items"]} == {
            "a": False,
            "b": False,
            "mine": True,
        }
    finally:
        process.terminate()
        await asyncio.wait_for(process.communicate(), START_SECONDS)
    assert process.returncode == 0


async def line_of(process: asyncio.subprocess.Process, pattern: bytes) -> tuple[str, ...]:
    """The groups of the first line on standard error that has the pattern."""
    assert process.stderr is not None
    async with asyncio.timeout(START_SECONDS):
        while (found := re.search(pattern, await process.stderr.readline())) is None:
            assert not process.stderr.at_eof()
    return tuple(group.decode() for group in found.groups())


@pytest.mark.slow
@pytest.mark.skipif(not LLAMA, reason="needs xllamacpp and the demo model")
async def test_a_local_model_leaves_behind_its_last_attempt(tmp_path: Path) -> None:
    local = {
        "connections": {**ONE["connections"], "builtin": {"engine": "llamacpp"}},
        "models": {**ONE["models"], "demo": {"connection": "builtin"}},
    }
    asked = {"prompt": "Tell me a long story.", "model": "demo", "parameters": {"max_tokens": 300}, "id": "story"}
    async with running(tmp_path / "home", local) as server, server.client() as client:
        async with client.stream("POST", "/prompts", json=asked, headers={"accept": "text/event-stream"}) as stream:
            lines = stream.aiter_lines()
            async with asyncio.timeout(START_SECONDS):
                while "progress" not in await anext(lines):
                    pass
            assert len(server.children()) == 1
            write(server, ONE)
            assert (await client.post("/config/reload")).json()["changed"] == ["connections.builtin", "models.demo"]
            rest = [line async for line in lines]
        assert any('"type":"done"' in line for line in rest)
        async with asyncio.timeout(START_SECONDS):
            while server.children():
                assert (await client.get(f"{server.url}/healthz")).status_code == 200
        story = (await client.get("/prompts/story")).json()
        assert (story["status"], story["failures"], story["rescues"]) == ("completed", 0, 0)
        assert await answer(client, "a") == "x"
