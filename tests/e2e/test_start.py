"""How long a start takes: of the server without a model, and of the command line."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.e2e.harness import Server
from tests.engines.test_faults import free_port

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

READY_SECONDS = 1.0
IMPORT_SECONDS = 0.150
TRIES = 10  # the best one counts, and a good one is enough: the machine may be busy with something else
CONFIG = {
    "connections": {"script": {"engine": "scripted"}},
    "models": {"script": {"connection": "script"}},
}


async def test_the_server_is_ready_within_a_second(tmp_path: Path) -> None:
    """From the process's start, in an empty folder, to the first 200 of /readyz."""
    took: list[float] = []
    while len(took) < TRIES and min(took, default=READY_SECONDS) >= READY_SECONDS:
        server = Server(tmp_path / f"home{len(took)}", CONFIG)
        server.port = free_port()
        server.configure()
        began = time.perf_counter()
        process = await server.launch("serve")
        try:
            async with asyncio.timeout(20):
                while not await is_ready(server.port):
                    await asyncio.sleep(0.005)
            took.append(time.perf_counter() - began)
        finally:
            process.kill()
            await process.communicate()
    assert min(took) < READY_SECONDS, took


async def is_ready(port: int) -> bool:
    """Asked without a client library: its own start would count."""
    with contextlib.suppress(ConnectionError):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return (await reader.read()).startswith(b"HTTP/1.1 200 ")
        finally:
            writer.close()
            await writer.wait_closed()
    return False


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_the_command_line_adds_less_than_150_ms_to_python(option: str) -> None:
    plain, ours = [], []
    for _ in range(TRIES):
        plain.append(seconds("-c", "pass"))
        ours.append(seconds("-m", "promptd", option))
        if min(ours) - min(plain) < IMPORT_SECONDS:
            break
    assert min(ours) - min(plain) < IMPORT_SECONDS, (plain, ours)


def seconds(*arguments: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began
