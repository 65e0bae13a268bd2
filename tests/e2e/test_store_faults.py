"""A disk that fails under a real server: 503 at submit, a receipt only for what is stored, and recovery by itself."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import shutil
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from promptd.stores.sqlite.database import check, connect
from tests.e2e.harness import Server, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

CONFIG = {
    "queue": {"beat_seconds": 0.2},
    "connections": {"script": {"engine": "scripted", "slots": 4}},
    "models": {"script": {"connection": "script"}},
}
#: after the trouble ends: the longest pause of a result that waits for the store (5 s), and a beat
RECOVERED_WITHIN = 8.0
AT_ONCE = 20
FILL = 100
FILLED = frozenset(f"fill{number}" for number in range(FILL))
PAUSE = 0.02
PAGE = 4096
Trouble = Callable[[Server], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def no_larger_files(server: Server) -> AsyncIterator[None]:
    """The kernel cuts writes off at a size that the files have almost reached, as a disk does that gets full."""
    _, hard = resource.prlimit(server.pid, resource.RLIMIT_FSIZE)
    size = (server.home / "promptd.db-wal").stat().st_size
    resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (size + 2000, hard))
    try:
        yield
    finally:
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (hard, hard))


def failing(call: str, error: str) -> Trouble:
    """A system call on the database's files that fails, as the kernel would have it fail."""

    @asynccontextmanager
    async def trouble(server: Server) -> AsyncIterator[None]:
        paths = [part for suffix in ("", "-wal") for part in ("-P", str(server.home / f"promptd.db{suffix}"))]
        command = (
            "strace",
            "-f",
            "-o",
            os.devnull,
            "-e",
            f"inject={call}:error={error}",
            *paths,
            "-p",
            f"{server.pid}",
        )
        tracer = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
        assert tracer.stderr is not None
        said = (await tracer.stderr.readline()).decode()
        if "attached" not in said:
            await tracer.wait()
            pytest.skip(f"strace may not attach here: {said.strip()}")
        try:
            yield
        finally:
            tracer.send_signal(signal.SIGINT)
            await tracer.communicate()

    return trouble


needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
TROUBLES = [
    pytest.param(no_larger_files, id="files-stop-growing"),
    pytest.param(failing("pwrite64", "ENOSPC"), marks=needs_strace, id="disk-full"),
    pytest.param(failing("pwrite64", "EROFS"), marks=needs_strace, id="read-only"),
    pytest.param(failing("fdatasync", "EIO"), marks=needs_strace, id="sync-fails"),
]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a test spoil another process's writes")
@pytest.mark.parametrize("trouble", TROUBLES)
async def test_a_failing_disk_costs_503_and_nothing_else(tmp_path: Path, trouble: Trouble) -> None:
    gate = tmp_path / "gate"
    receipted: set[str] = set()
    refused: set[str] = set()

    async def submit(name: str, text: str = "hello") -> None:
        answer = await client.post("/prompts", json={"id": name, "prompt": text})
        if answer.status_code == 503:
            assert answer.json()["code"] == "store_unavailable"
            refused.add(name)
        else:
            assert answer.status_code == 202, answer.text
            receipted.add(name)

    async with running(tmp_path / "home", CONFIG) as server, server.client() as client:
        await submit("under-way", json.dumps([{"wait_file": str(gate)}, {"say": "kept"}]))
        await each(submit, (f"before{number}" for number in range(AT_ONCE)))
        assert len(receipted) == AT_ONCE + 1
        await all_settled(client, receipted - {"under-way"})
        async with trouble(server):
            while not refused:
                await each(submit, (f"during{len(receipted)}-{number}" for number in range(AT_ONCE)))
            gate.touch()  # its answer comes now, and can't be stored
            await each(submit, (f"full{number}" for number in range(AT_ONCE)))
            assert {f"full{number}" for number in range(AT_ONCE)} <= refused
            for _ in range(25):  # longer than a beat: what writes nothing proves nothing
                ready = await client.get(f"{server.url}/readyz")
                assert (ready.status_code, "store unavailable" in ready.text) == (503, True)
                await asyncio.sleep(PAUSE)
            assert (await client.get(f"{server.url}/healthz")).status_code == 200
            assert (await client.get("/prompts/before0")).status_code == 200
            assert (await client.get("/prompts/under-way")).json()["status"] == "running"
        async with asyncio.timeout(RECOVERED_WITHIN):
            await until(lambda: ready_again(server, client))
            await until(lambda: settled(client, "under-way"))
        again = sorted(refused)
        await each(submit, again)
        assert receipted.issuperset(again)
        assert (await client.get("/prompts/under-way")).json()["answer"]["text"] == "kept"
        await all_settled(client, receipted)
        await server.kill()
    assert stored(server.home / "promptd.db") == dict.fromkeys(receipted, "completed")


@asynccontextmanager
async def filled(home: Path) -> AsyncIterator[tuple[Server, httpx.AsyncClient]]:
    """A server with enough receipted prompts for many pages."""
    async with running(home, CONFIG) as server, server.client() as client:

        async def submit(name: str) -> None:
            answer = await client.post("/prompts", json={"id": name, "prompt": "x" * 1000})
            assert answer.status_code == 202

        await each(submit, FILLED)
        await all_settled(client, FILLED)
        yield server, client


def damage(path: Path, *, pages: int | None = None) -> bytes:
    """Overwrite `pages` pages behind the first one, or all of them; the file as it was."""
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("pragma wal_checkpoint(truncate)")
    before = path.read_bytes()
    with path.open("r+b") as file:
        file.seek(PAGE)
        file.write(b"\xff" * (len(before) - PAGE if pages is None else PAGE * pages))
    return before


async def test_a_file_that_is_damaged_under_the_server_costs_503_until_it_is_whole(tmp_path: Path) -> None:
    home = tmp_path / "home"
    async with filled(home) as (server, _):
        assert await server.stop() == 0
    async with running(home, CONFIG) as server, server.client() as client:
        path = home / "promptd.db"
        whole = damage(path)
        for number in range(3):
            answer = await client.post("/prompts", json={"id": f"lost{number}", "prompt": "hello"})
            assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        for answer in (await client.get("/prompts/fill1"), await client.get("/prompts")):
            assert (answer.status_code, answer.json()["code"]) == (503, "store_unavailable")
        assert (await client.get(f"{server.url}/readyz")).status_code == 503
        with path.open("r+b") as file:
            file.write(whole)
        async with asyncio.timeout(RECOVERED_WITHIN):
            await until(lambda: ready_again(server, client))
        assert (await client.post("/prompts", json={"id": "after", "prompt": "hello"})).status_code == 202
        await all_settled(client, {"after", *FILLED})
        await server.kill()
    assert stored(path) == dict.fromkeys({"after", *FILLED}, "completed")


async def test_a_damaged_file_stops_the_start_and_restore_brings_it_back(tmp_path: Path) -> None:
    home, copy = tmp_path / "home", tmp_path / "copy.db"
    path = home / "promptd.db"
    async with filled(home) as (server, client):
        assert await server.command("backup", str(copy)) == (0, "")
        assert (await client.post("/prompts", json={"id": "later", "prompt": "hello"})).status_code == 202
        await server.kill()
    damage(path, pages=2)
    status, said = await server.command("serve")
    assert (status, len(said.splitlines())) == (1, 1)
    assert f"{path} is damaged" in said
    assert "promptd restore" in said
    assert (await server.command("restore", str(copy)))[0] == 0
    assert path.with_name("promptd.db.replaced").exists()
    await server.start()
    try:
        async with server.client() as client:
            await all_settled(client, FILLED)
            assert (await client.get("/prompts/later")).status_code == 404
            assert (await client.post("/prompts", json={"prompt": "hello"})).status_code == 202
    finally:
        await server.kill()


@pytest.mark.skipif(os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root writes read-only files")
async def test_a_read_only_file_stops_the_start(tmp_path: Path) -> None:
    home = tmp_path / "home"
    path = home / "promptd.db"
    async with filled(home) as (server, _):
        assert await server.stop() == 0
    path.chmod(0o400)
    if os.geteuid() == 0:
        server.wrap = ("setpriv", "--bounding-set", "-dac_override")
    status, said = await server.command("serve")
    assert status == 1
    assert "readonly database" in said
    path.chmod(0o600)
    await server.start()
    try:
        async with server.client() as client:
            await all_settled(client, FILLED)
    finally:
        await server.kill()


async def each(submit: Callable[[str], Coroutine[Any, Any, None]], names: Iterable[str]) -> None:
    async with asyncio.TaskGroup() as group:
        for name in names:
            group.create_task(submit(name))


async def settled(client: httpx.AsyncClient, name: str) -> bool:
    prompt = (await client.get(f"/prompts/{name}")).json()
    return bool(prompt["status"] == "completed")


async def all_settled(client: httpx.AsyncClient, names: AbstractSet[str]) -> None:
    for name in names:
        async with client.stream("GET", f"/prompts/{name}/events") as events:  # ends with the prompt
            async for _ in events.aiter_raw():
                pass
        assert await settled(client, name)


async def ready_again(server: Server, client: httpx.AsyncClient) -> bool:
    return (await client.get(f"{server.url}/readyz")).status_code == 200


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    while not await true():
        await asyncio.sleep(PAUSE)


def stored(path: Path) -> dict[str, str]:
    db = connect(path)
    with contextlib.closing(db):
        check(db, path)
        return dict(db.execute("select id, status from prompt"))
