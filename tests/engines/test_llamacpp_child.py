"""A model's process as a child: nothing outlives us."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from promptd.engines.llamacpp import process
from promptd.engines.llamacpp.child import Orders
from promptd.engines.llamacpp.config import model_file
from promptd.engines.llamacpp.process import ChildProcess
from tests.engines.llamacpp_support import PATIENCE, Death, freeze, linux

HOST = Path(__file__).with_name("llamacpp_host.py")


pytestmark = pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="no wheel for this platform")


async def test_a_child_leaves_when_its_lifeline_closes() -> None:
    child = await _spawn()
    await child.end()
    assert child.why_gone() == "left with status 0"


async def test_a_child_that_does_not_leave_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_GRACE", 0.05)
    child = await _spawn()
    freeze(child.pid)
    await child.end()
    assert child.why_gone() == "was ended by SIGKILL"


@linux
async def test_a_child_that_grows_beyond_its_limit_is_killed() -> None:
    child = await _spawn()
    watch = asyncio.create_task(child.keep_below(4000))
    assert not child.exceeds(4000)
    assert child.exceeds(1)
    await child.exited()
    await watch
    assert child.why_gone() == "used more memory than its limit"
    await child.end()


@linux
@pytest.mark.parametrize("frozen", [False, True], ids=["by-pipe", "by-kernel"])
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
async def test_killing_the_server_alone_leaves_no_orphan(loop: str, frozen: bool) -> None:
    gguf = model_file("builtin").path
    server = await asyncio.create_subprocess_exec(sys.executable, str(HOST), loop, gguf, stdout=asyncio.subprocess.PIPE)
    assert server.stdout is not None
    try:
        async with asyncio.timeout(PATIENCE):
            told = json.loads(await server.stdout.readline())
        death = Death(told["child"])
        assert not told["library_loaded"]
        assert not _holds_listener(told["child"], told["listener"])
        if frozen:  # as it is while a model loads: it can't look at the pipe
            os.kill(told["child"], signal.SIGSTOP)
    finally:
        server.kill()
    await server.communicate()
    await death.seen()


async def _spawn() -> ChildProcess:
    """A child that serves the built-in model."""
    orders = Orders(
        path=model_file("builtin").path,
        key="key",
        slots=1,
        context=256,
        threads=1,
        chat_template="",
        embedding=False,
        pooling="model",
        gpu_layers=0,
        prompt_cache_mb=0,
    )
    child = await ChildProcess.spawn("local", orders)
    report = await child.report()
    assert report is not None
    assert report.context == 256
    return child


def _holds_listener(pid: int, port: int) -> bool:
    """Whether the process has the listening socket of `port` among its open files."""
    table = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    inodes = {f"socket:[{row[9]}]" for row in table if row[1].endswith(f":{port:04X}") and row[3] == "0A"}
    assert inodes
    return any(str(entry.readlink()) in inodes for entry in Path(f"/proc/{pid}/fd").iterdir())
