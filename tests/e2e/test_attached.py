"""A caller who leaves: the upstream's socket is closed at once, over HTTP from end to end."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from promptd.testing.upstream import Upstream
from tests.e2e.attached_face import STREAM, WHOLE
from tests.e2e.harness import Server, running
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

CLOSED_WITHIN = 0.1  # seconds from the callers' leaving to the upstream's last end of file
MANY = 200
ROUNDS = 3  # the best one counts: the machine may be busy with something else


class Case(NamedTuple):
    """What a caller asks for, and how far its upstream goes before it says nothing more."""

    path: str
    model: str


CASES = {
    "stream-after-text": Case(STREAM, "stall"),
    "stream-before-text": Case(STREAM, "slow-first-byte"),
    "whole-after-text": Case(WHOLE, "stall"),
    "whole-before-text": Case(WHOLE, "slow-first-byte"),
}


@asynccontextmanager
async def served(tmp_path: Path) -> AsyncIterator[tuple[Upstream, Server]]:
    """A server with the face installed beside it, and the upstream it calls."""
    info = tmp_path / "packages" / "attached_face-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: attached-face\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[promptd.faces]\nattached = tests.e2e.attached_face:face\n")
    path = f"{info.parent}:{Path(__file__).parents[2]}"
    async with Upstream() as upstream:
        config = {
            "connections": {"up": {"engine": "openai", "base_url": upstream.base_url, "slots": MANY}},
            "models": {model: {"connection": "up"} for model in ("echo", "stall", "slow-first-byte")},
        }
        async with running(tmp_path / "home", config, variables={"PYTHONPATH": path}) as server:
            yield upstream, server


async def call(server: Server, case: Case) -> socket.socket:
    """A caller's socket with its request sent; of a stream, the first text has come."""
    loop = asyncio.get_running_loop()
    body = json.dumps({"model": case.model, "prompt": "hello"}).encode()
    head = f"POST {case.path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.key}\r\nContent-Length: {len(body)}\r\n\r\n"
    peer = socket.socket()
    peer.setblocking(False)
    await loop.sock_connect(peer, ("127.0.0.1", server.port))
    await loop.sock_sendall(peer, head.encode() + body)
    got = b""
    while case == CASES["stream-after-text"] and b"half of " not in got:
        piece = await loop.sock_recv(peer, 65536)
        assert piece, got
        got += piece
    return peer


async def have_come(upstream: Upstream, calls: int) -> bool:
    return len(upstream.calls) >= calls


async def leave(upstream: Upstream, server: Server, cases: list[Case], gone: int) -> float:
    """Seconds from the moment at which all callers leave until the upstream saw the last one's end.

    `gone` callers have left before.
    """
    peers = await asyncio.gather(*(call(server, case) for case in cases))
    await eventually(lambda: have_come(upstream, gone + len(cases)))
    left = asyncio.get_running_loop().time()
    for peer in peers:
        peer.close()
    return await upstream.presence.left(gone + len(cases)) - left


@pytest.mark.parametrize("callers", [pytest.param(1, id="one"), pytest.param(MANY, id="all-at-once")])
async def test_who_leaves_closes_the_upstream_within_100_ms(tmp_path: Path, callers: int) -> None:
    sets = [[case] for case in CASES.values()] if callers == 1 else [list(islice(cycle(CASES.values()), callers))]
    async with served(tmp_path) as (upstream, server):
        gone = 0
        for cases in sets:
            took = []
            for _ in range(ROUNDS):
                took.append(await leave(upstream, server, cases, gone))
                gone += len(cases)
            assert min(took) <= CLOSED_WITHIN, (cases[0], took)
        async with server.client() as client:
            prompts = await eventually(lambda: canceled(client, gone))  # rows follow a little behind
            assert prompts is not None
            assert prompts["count"] == gone
            assert prompts["items"][0]["error"]["message"] == "the caller left"
            assert (await client.get("/connections")).json()["items"][0]["busy"] == 0


async def canceled(client: httpx.AsyncClient, least: int) -> dict[str, Any] | None:
    """The last of the canceled prompts, and how many there are; None as long as there are fewer than `least`."""
    answer = await client.get("/prompts", params={"status": "canceled", "count": True, "limit": 1})
    found: dict[str, Any] = answer.json()
    return found if found["count"] >= least else None


async def test_who_stays_gets_the_answer(tmp_path: Path) -> None:
    async with served(tmp_path) as (_, server), server.client() as client:
        for path in (STREAM, WHOLE):
            answer = await client.post(f"{server.url}{path}", json={"model": "echo", "prompt": "hello there"})
            assert answer.status_code == 200
            assert "hello there" in answer.text
