"""A reader that takes nothing is closed, knows when to come back, and then misses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import socket
import time
from pathlib import Path

import pytest

from tests.e2e.harness import Reader, Server, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

STUCK_SECONDS = 1.0
SIZE = 12_000_000  # far more than the kernel's buffers hold
CONFIG = {
    "streams": {"stuck_reader_seconds": STUCK_SECONDS, "retry_hint_ms": 1500},
    "connections": {"script": {"engine": "scripted"}},
    "models": {"script": {"connection": "script"}},
}


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts the server's sockets in /proc")
async def test_a_stuck_reader_is_closed_with_a_hint_and_comes_back(tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    script = [{"say": "first "}, {"wait_file": str(gate)}, {"say": "x" * 1000}, {"say": "y" * SIZE}]
    config = CONFIG | {"server": {"max_body_bytes": 2 * SIZE}}
    async with running(tmp_path / "home", config) as server, server.client() as client:
        answer = await client.post("/prompts", json={"id": "long", "prompt": json.dumps(script)})
        assert answer.status_code == 202
        before = sockets(server)
        with socket.socket() as peer:
            head = await begin(server, peer)
            assert "retry: 1500\n" in head
            identifiers = re.findall(r"id: (\S+)\n", head)
            assert len(identifiers) == 1
            (ours,) = sockets(server) - before
            gate.touch()
            began = time.monotonic()
            while ours in sockets(server):
                await asyncio.sleep(0.02)
            assert time.monotonic() - began >= STUCK_SECONDS * 0.9
            assert await drain(peer) < SIZE
        reader = Reader("long")
        reader.last, reader.text = identifiers[0], "first "
        await reader.read(client)
        assert reader.text == "first " + "x" * 1000 + "y" * SIZE


async def begin(server: Server, peer: socket.socket) -> str:
    """Open the stream and read to the end of its first chunk."""
    loop = asyncio.get_running_loop()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.setblocking(False)
    await loop.sock_connect(peer, ("127.0.0.1", server.port))
    request = f"GET /promptd/v1/prompts/long/events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\n\r\n"
    await loop.sock_sendall(peer, request.encode())
    head = ""
    while '"first "' not in head or not head.endswith("\n\n\r\n"):
        head += (await loop.sock_recv(peer, 4096)).decode()
    return head


async def drain(peer: socket.socket) -> int:
    """How many bytes were still on their way."""
    loop, got = asyncio.get_running_loop(), 0
    try:
        while piece := await loop.sock_recv(peer, 65536):
            got += len(piece)
    except ConnectionResetError:
        pass
    return got


def sockets(server: Server) -> set[str]:
    """The server's open sockets, by the kernel's names for them."""
    found = set()
    for entry in Path(f"/proc/{server.pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed in the meantime
            found.add(str(entry.readlink()))
    return {name for name in found if name.startswith("socket:")}
