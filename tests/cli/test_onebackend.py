"""`promptd serve --compat-onebackend` as a process: its environment, its first user, its second port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest

from promptd.cli.exits import CliError, Exit
from promptd.cli.onebackend import HEALTH_PORT, variables
from tests.cli.support import COMMAND, SECONDS, command, environment
from tests.faces.client import Http

pytestmark = pytest.mark.e2e  # every command meets a real server process

LOGIN = {"appHost": "test", "slug": "1backend", "password": "changeme"}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Stand:
    """A running stand-in."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process, self.http = process, Http(port, None)
        self.log = ""

    async def login(self) -> Http:
        answer = await self.http.post("/user-svc/login", LOGIN)
        assert answer.status == 200, answer.body
        return self.http.of(answer.json["token"]["token"])

    async def stop(self) -> None:
        if self.process.returncode is None:
            self.process.terminate()
        _, err = await asyncio.wait_for(self.process.communicate(), SECONDS)
        self.log = err.decode()


@asynccontextmanager
async def standing(tmp_path: Path, *arguments: str, **env: str) -> AsyncIterator[Stand]:
    port = free_port()
    given = {"OB_SELF_URL": f"http://127.0.0.1:{port}", "TMPDIR": str(tmp_path)} | env
    variables = {name: text for name, text in environment(tmp_path, **given).items() if text}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        COMMAND, "serve", "--compat-onebackend", *arguments, env=variables, stdout=pipe, stderr=pipe
    )
    found = Stand(process, port)
    try:
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stdout.readline(), SECONDS)
        if b"Server started" not in line:
            await found.stop()
            raise AssertionError(found.log)
        yield found
    finally:
        await found.stop()


async def test_a_test_server_is_empty_and_leaves_nothing(tmp_path: Path) -> None:
    home = tmp_path / "promptd.yaml"
    home.write_text("nonsense: 1\n")  # of the home that OB_TEST passes over
    env = {"OB_TEST": "true", "OB_TOKEN_EXPIRATION": "0s", "PROMPTD_COMPAT__ONEBACKEND__HEALTH_PORT": str(free_port())}
    async with standing(tmp_path, **env) as stand:
        (temporary,) = tmp_path.glob("promptd-*")
        assert (temporary / "promptd.db").exists()
        admin = await stand.login()
        claims = jwt.decode(str(admin.key), options={"verify_signature": False})
        assert claims["exp"] - claims["iat"] == 300
        assert (await admin.post("/prompt-svc/prompts")).json["prompts"] == []
    assert not list(tmp_path.glob("promptd-*"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["promptd.yaml"]


async def test_the_health_port_tells_whether_a_model_runs(tmp_path: Path) -> None:
    port = free_port()
    env = {"OB_TEST": "t", "OB_LLM_HOST": "gpu", "PROMPTD_COMPAT__ONEBACKEND__HEALTH_PORT": str(port)}
    async with standing(tmp_path, **env) as stand:
        health = Http(port, None)
        idle = await health.get("/health")
        assert (idle.status, idle.headers["content-type"]) == (503, "application/json")
        admin = await stand.login()
        answer = await admin.post("/prompt-svc/prompt", {"prompt": "Hi", "sync": True})
        assert answer.json["prompt"]["status"] == "completed", answer.body
        up = await health.get("/health")
        assert (up.status, up.json) == (200, {"status": "ok"})
        for path in ("/", "/healthz", "/prompt-svc/types", "/promptd/v1/models"):
            assert (await health.get(path)).status == 404
        assert (await health.post("/health")).status == 404
        status = (await admin.get("/model-svc/default-model/status")).json["status"]
        assert status == {"assetsReady": True, "running": True, "address": f"gpu:{port}"}
        assert (await stand.http.get("/health")).status == 404  # it is of its own port


async def test_a_health_port_in_use_is_no_obstacle(tmp_path: Path) -> None:
    try:
        taken = socket.create_server(("127.0.0.1", HEALTH_PORT))
    except OSError:
        taken = None  # somebody else has it: just as well
    try:
        async with standing(tmp_path, OB_TEST="true") as stand:
            assert (await stand.http.get("/healthz")).status == 200
        assert f"port {HEALTH_PORT} can't be used" in stand.log
    finally:
        if taken is not None:
            taken.close()


async def test_a_health_port_of_the_configuration_must_be_free(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        env = environment(tmp_path, PROMPTD_COMPAT__ONEBACKEND__HEALTH_PORT=str(port))
        result = await command("serve", "--port", "0", env=env)
    assert result.code == Exit.USAGE
    assert "compat.onebackend.health_port: can't listen on" in result.err


async def test_a_folder_keeps_what_is_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    port = str(free_port())
    for _ in range(2):
        async with standing(
            tmp_path,
            PROMPTD_HOME="",
            OB_FOLDER=str(folder),
            OB_TOKEN_EXPIRATION="1h30m",
            PROMPTD_COMPAT__ONEBACKEND__HEALTH_PORT=port,
        ) as stand:
            claims = jwt.decode(str((await stand.login()).key), options={"verify_signature": False})
            assert claims["exp"] - claims["iat"] == 5400
    assert (folder / "promptd.db").exists()


# ------------------------------------------------------------------ what the variables mean


def said(**env: str) -> dict[str, Any]:
    found = variables({f"OB_{name}": value for name, value in env.items()})
    assert found.pop("PROMPTD_COMPAT__ONEBACKEND__DEFAULT_ADMIN") == "true"
    return {name.removeprefix("PROMPTD_"): value for name, value in found.items()}


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("http://127.0.0.1:58231", "127.0.0.1", "58231"),
        ("http://[::1]:9/", "::1", "9"),
        ("localhost:5", "localhost", "5"),
        ("http://box", "box", "80"),
        ("https://box", "box", "443"),
    ],
)
def test_the_own_url(text: str, host: str, port: str) -> None:
    assert said(SELF_URL=text) == {"SERVER__HOST": host, "SERVER__PORT": port}


@pytest.mark.parametrize(("text", "seconds"), [("5m", "300.0"), ("1h30m", "5400.0"), ("1.5s", "1.5"), ("100ms", "0.1")])
def test_durations(text: str, seconds: str) -> None:
    assert said(TOKEN_EXPIRATION=text) == {"TOKENS__SECONDS": seconds}


@pytest.mark.parametrize("text", ["", "0s", "0", "0h0m"])
def test_no_duration_is_none(text: str) -> None:
    assert said(TOKEN_EXPIRATION=text) == {}


@pytest.mark.parametrize(("text", "refresh"), [("true", "false"), ("1", "false"), ("false", "true"), ("", "true")])
def test_auto_refresh(text: str, refresh: str) -> None:
    assert said(TOKEN_AUTO_REFRESH_OFF=text) == {"TOKENS__AUTO_REFRESH": refresh}


@pytest.mark.parametrize(
    ("name", "text"), [("TOKEN_EXPIRATION", "5 minutes"), ("TOKEN_EXPIRATION", "-1s"), ("SELF_URL", "http://:1:2/")]
)
def test_what_means_nothing_is_named(name: str, text: str) -> None:
    with pytest.raises(CliError, match=f"^OB_{name}: ") as refused:
        said(**{name: text})
    assert refused.value.exit_code is Exit.USAGE
