"""`promptd models pull`: what it asks of the server, what it prints, how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from promptd.cli.exits import Exit
from tests.cli.support import SECONDS, Connection, FakeServer, Script, command, environment, start
from tests.cli.terminal import Terminal
from tests.e2e.harness import Server, running
from tests.service.origin import Origin, origin

pytestmark = pytest.mark.e2e  # every command meets a real server process

CONFIG: dict[str, Any] = {
    "connections": {"stage": {"engine": "scripted", "slots": 2}},
    "models": {"demo": {"connection": "stage"}},
}
DATA = os.urandom(2_000_000)
DIGEST = sha256(DATA).hexdigest()


def view(**more: Any) -> dict[str, Any]:
    return {
        "id": "dl_x",
        "name": "m.gguf",
        "status": "in_progress",
        "received": 0,
        "size": None,
        "digest": None,
        "error": None,
    } | more


def says(status: int, body: dict[str, Any]) -> Script:
    async def script(connection: Connection) -> None:
        await connection.reply(status, body)

    return script


DONE = view(status="completed", received=7, size=7, digest="ab" * 32)


# ---------------------------------------------------------------- a server that says what each test wants


async def test_waits_until_the_file_is_there(fake: FakeServer, env: dict[str, str]) -> None:
    fake.scripts = [says(202, view()), says(200, view(received=5, size=7)), says(200, DONE)]
    result = await command("models", "pull", "org/repo/m.gguf", "--sha256", "AB" * 32, env=env)
    assert result == (0, f"m.gguf  7 bytes  sha256 {'ab' * 32}\n", "")
    assert [(request.method, request.path, request.body) for request in fake.requests] == [
        ("POST", "/promptd/v1/downloads", {"url": "org/repo/m.gguf", "sha256": "AB" * 32}),
        ("GET", "/promptd/v1/downloads/dl_x", None),
        ("GET", "/promptd/v1/downloads/dl_x", None),
    ]


async def test_what_is_there_is_told_at_once(fake: FakeServer, env: dict[str, str]) -> None:
    fake.scripts = [says(200, DONE)]
    result = await command("models", "pull", "http://x/m.gguf", "--json", env=env)
    assert (result.code, json.loads(result.out), result.err) == (0, DONE, "")
    assert fake.requests[0].body == {"url": "http://x/m.gguf"}


async def test_a_failed_download(fake: FakeServer, env: dict[str, str]) -> None:
    failed = view(status="errored", error={"code": "resource_not_found", "message": "the server answered 404"})
    fake.otherwise = says(202, failed)
    result = await command("models", "pull", "http://x/m.gguf", env=env)
    assert result == (Exit.FAILED, "", "promptd: m.gguf: the server answered 404 (resource_not_found)\n")
    result = await command("models", "pull", "http://x/m.gguf", "--json", env=env)
    assert (result.code, json.loads(result.out)) == (Exit.FAILED, failed)


async def test_a_refused_url(fake: FakeServer, env: dict[str, str]) -> None:
    fake.scripts = [says(422, {"code": "invalid_request", "field": "url", "detail": "url: expected a URL"})]
    result = await command("models", "pull", "nonsense", env=env)
    assert result == (Exit.USAGE, "", "promptd: url: expected a URL (invalid_request)\n")


async def test_somebody_else_pauses_it(fake: FakeServer, env: dict[str, str]) -> None:
    fake.scripts = [says(202, view()), says(200, view(status="paused", received=3, size=7))]
    result = await command("models", "pull", "http://x/m.gguf", env=env)
    assert result == (Exit.FAILED, "", "promptd: somebody paused m.gguf at 3 of 7 bytes\n")


async def test_ctrl_c_pauses(fake: FakeServer, env: dict[str, str]) -> None:
    asked = asyncio.Event()

    async def goes_on(connection: Connection) -> None:
        if connection.request.method == "POST":
            await connection.reply(200, view(status="paused", received=3))
            return
        await connection.reply(200, view())
        asked.set()

    fake.scripts, fake.otherwise = [says(202, view())], goes_on
    process = await start("models", "pull", "http://x/m.gguf", env=env)
    await asyncio.wait_for(asked.wait(), SECONDS)
    process.send_signal(signal.SIGINT)
    out, err = await asyncio.wait_for(process.communicate(), SECONDS)
    told = b"promptd: paused m.gguf at 3 bytes; the same command goes on\n"
    assert (process.returncode, out, err) == (Exit.INTERRUPTED, b"", told)
    assert fake.requests[-1][:2] == ("POST", "/promptd/v1/downloads/dl_x/pause")


async def test_a_server_that_goes_away_and_comes_back(fake: FakeServer, env: dict[str, str]) -> None:
    async def resets(connection: Connection) -> None:
        connection.reset()

    fake.scripts = [says(202, view()), resets, says(503, {"code": "shutting_down", "detail": "x"}), says(200, DONE)]
    assert (await command("models", "pull", "http://x/m.gguf", env=env)).code == 0
    fake.scripts, fake.otherwise = [says(202, view())], resets
    result = await command("models", "pull", "http://x/m.gguf", "--retry-for", "0s", env=env)
    assert result.code == Exit.UNREACHABLE


async def test_a_progress_bar_on_a_terminal(fake: FakeServer, env: dict[str, str]) -> None:
    seen = asyncio.Event()

    async def waits(connection: Connection) -> None:
        await seen.wait()
        await connection.reply(200, DONE)

    name = "m[red]\x1b[31m.gguf"
    fake.scripts = [says(202, view(name=name)), says(200, view(received=1_000_000, size=4_000_000, name=name)), waits]
    terminal = await Terminal.start("models", "pull", "http://x/m.gguf", env=env)
    await terminal.until("m[red]\ufffd[31m.gguf")
    await terminal.until("1.0/4.0 MB")
    seen.set()
    await terminal.until("m.gguf  7 bytes")
    assert await terminal.end() == 0


# ---------------------------------------------------------------- a real server and a real origin


@pytest.fixture
async def web() -> AsyncIterator[Origin]:
    async with origin() as found:
        yield found


@pytest.fixture
async def server(tmp_path: Path, web: Origin) -> AsyncIterator[Server]:
    downloads = {"hub": web.url, "allow": [web.url], "reserve_bytes": 0}
    async with running(tmp_path / "home", CONFIG | {"downloads": downloads}) as found:
        yield found


async def received(server: Server, size: int) -> None:
    """Wait until the server says that so many bytes are there."""
    async with server.client() as client, asyncio.timeout(SECONDS):
        while True:
            items = (await client.get("/downloads")).json()["items"]
            if items and items[0]["received"] >= size:
                return


async def test_pull_pause_and_go_on_across_a_killed_server(server: Server, web: Origin) -> None:
    page = web.put("/org/repo/resolve/main/m.gguf", DATA, etag=f'"{DIGEST}"')
    page.stall_after = 1_200_000
    env = environment(server.home, PROMPTD_URL=server.url)
    process = await start("models", "pull", "org/repo/m.gguf", env=env)
    await received(server, 1_200_000)
    process.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(process.communicate(), SECONDS)
    told = b"promptd: paused m.gguf at 1200000 of 2000000 bytes; the same command goes on\n"
    assert (process.returncode, err) == (Exit.INTERRUPTED, told)
    page.stall_after = 400_000
    process = await start("models", "pull", "org/repo/m.gguf", env=env)
    await received(server, 1_600_000)
    await server.kill()
    page.stall_after = None
    await server.start()
    out, err = await asyncio.wait_for(process.communicate(), SECONDS)
    assert (process.returncode, out, err) == (0, f"m.gguf  2000000 bytes  sha256 {DIGEST}\n".encode(), b"")
    first, second, third = (asked.range for asked in web.asked)
    assert (first, second) == (None, "bytes=1200000-")
    assert third in ("bytes=1200000-", "bytes=1600000-"), "what was safe is not fetched again"
    again = await command("models", "pull", "org/repo/m.gguf", "--json", env=env)
    assert (again.code, json.loads(again.out)["digest"], len(web.asked)) == (0, DIGEST, 3)


async def test_pull_what_is_not_there_or_not_allowed(server: Server, web: Origin) -> None:
    env = environment(server.home, PROMPTD_URL=server.url)
    result = await command("models", "pull", "org/repo/absent.gguf", env=env)
    assert (result.code, "404" in result.err) == (Exit.FAILED, True)
    result = await command("models", "pull", f"http://127.0.0.2:{web.url.rpartition(':')[2]}/x", env=env)
    assert (result.code, "permission_denied" in result.err) == (Exit.FAILED, True)
    result = await command("models", "pull", "org/repo", env=env)
    assert result.code == Exit.USAGE
