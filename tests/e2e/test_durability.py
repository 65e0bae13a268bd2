"""A receipt means: on disk. Shown by the kernel's own log of calls, and by copies taken in mid-flight."""

from __future__ import annotations

import asyncio
import os
import random
import re
import shutil
import signal
from pathlib import Path

import pytest

from promptd.stores.sqlite.database import check, connect
from tests.e2e.harness import Server, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

CONFIG = {
    "connections": {"script": {"engine": "scripted", "slots": 1, "script": [{"hang": True}]}},
    "models": {"script": {"connection": "script"}},
}
COPIES = 50


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
async def test_a_lone_submit_is_synced_before_its_receipt(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    calls = "trace=pwrite64,fdatasync,fsync,read,recvfrom,write,writev,sendto,sendmsg"
    wrap = ("strace", "-D", "-f", "-y", "-s", "4200", "-e", calls, "-o", str(trace))
    async with running(tmp_path / "home", CONFIG, wrap=wrap) as server:
        async with server.client() as client:
            answer = await client.post("/prompts", json={"prompt": "is this safe?", "thread_id": "one"})
            assert answer.status_code == 202
        await server.stop()
    lines = whole_calls(trace.read_text(errors="replace").splitlines())
    asked = next(place for place, line in enumerate(lines) if "POST /promptd/v1/prompts" in line)
    told = next(place for place, line in enumerate(lines) if "HTTP/1.1 202" in line)
    between = lines[asked:told]
    written = [place for place, line in enumerate(between) if "pwrite64" in line and "is this safe?" in line]
    synced = [place for place, line in enumerate(between) if "fdatasync" in line and "promptd.db-wal" in line]
    assert written, "the prompt was not written before the receipt"
    assert synced, "nothing was synced before the receipt"
    assert any(written[0] < place for place in synced), "the receipt was sent before its row was synced"


def whole_calls(lines: list[str]) -> list[str]:
    """Each call at the place where it returned: a call that was interrupted in the log counts when it resumed."""
    started: dict[str, str] = {}
    whole = []
    for line in lines:
        thread = line.split(maxsplit=1)[0]
        if line.endswith("<unfinished ...>"):
            started[thread] = line
        elif re.search(r"<\.\.\. \w+ resumed>", line):
            whole.append(started.pop(thread, "") + line)
        else:
            whole.append(line)
    return whole


async def test_every_copy_holds_what_was_receipted_before_it(tmp_path: Path) -> None:
    random_ = random.Random(50)
    receipted: list[str] = []
    async with running(tmp_path / "home", CONFIG) as server:
        submitters = [asyncio.create_task(submit_for_ever(server, receipted, number)) for number in range(4)]
        held: list[tuple[Path, list[str]]] = []
        for number in range(COPIES):
            await until(receipted, len(receipted) + random_.randint(1, 12))
            copy = tmp_path / f"copy{number}"
            held.append((copy, copy_now(server, copy, receipted)))
        for task in submitters:
            task.cancel()
        await asyncio.gather(*submitters, return_exceptions=True)
    for copy, identifiers in held:
        path = copy / "promptd.db"
        db = connect(path)
        check(db, path)
        stored = {row[0] for row in db.execute("select id from prompt")}
        db.close()
        assert not set(identifiers) - stored
    assert len(held[-1][1]) > COPIES


def copy_now(server: Server, folder: Path, receipted: list[str]) -> list[str]:
    """The files as they are at one instant: the server stands still while they are copied."""
    folder.mkdir()
    known = list(receipted)
    os.kill(server.pid, signal.SIGSTOP)
    try:
        for suffix in ("", "-wal"):
            shutil.copyfile(server.home / f"promptd.db{suffix}", folder / f"promptd.db{suffix}")
    finally:
        os.kill(server.pid, signal.SIGCONT)
    return known


async def submit_for_ever(server: Server, receipted: list[str], number: int) -> None:
    async with server.client() as client:
        while True:
            answer = await client.post("/prompts", json={"prompt": f"copy me {number}"})
            assert answer.status_code == 202
            receipted.append(answer.json()["id"])


async def until(receipted: list[str], count: int) -> None:
    while len(receipted) < count:
        await asyncio.sleep(0)
