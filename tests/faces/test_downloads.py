"""Downloads over the native API."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import pytest

from tests.faces.client import problem
from tests.faces.conftest import Serve, Server
from tests.service.house import PATIENCE
from tests.service.origin import Origin, origin

BASE = "/promptd/v1/downloads"
DATA = b"weights" * 100_000


@pytest.fixture
async def web() -> AsyncIterator[Origin]:
    async with origin() as found:
        yield found


@pytest.fixture
async def server(serve: Serve, web: Origin) -> AsyncIterator[Server]:
    async with serve(downloads={"hub": web.url, "allow": [web.url], "reserve_bytes": 0}) as running:
        yield running


async def ended(server: Server, identifier: str) -> Any:
    """The download as soon as it is no longer in progress."""
    async with asyncio.timeout(PATIENCE):
        await server.house.walk.downloads.wait(identifier)
    return (await server.admin.get(f"{BASE}/{identifier}")).json


async def test_from_start_to_end(server: Server, web: Origin) -> None:
    page = web.put("/org/repo/resolve/main/m.gguf", DATA)
    page.stall_after = 1000
    begun = await server.admin.post(BASE, {"url": "org/repo/m.gguf", "folder": "models"})
    assert begun.status == 202
    url = web.at("/org/repo/resolve/main/m.gguf")
    shown = begun.json
    assert (shown["url"], shown["name"], shown["folder"]) == (url, "m.gguf", "models")
    assert (shown["status"], shown["received"], shown["size"], shown["user"]) == ("in_progress", 0, None, "admin")
    await asyncio.wait_for(page.stalled.wait(), PATIENCE)
    paused = await server.admin.post(f"{BASE}/{shown['id']}/pause")
    assert (paused.status, paused.json["status"]) == (200, "paused")
    page.stall_after = None
    assert (await server.admin.post(BASE, {"url": url})).status == 202
    done = await ended(server, shown["id"])
    digest = sha256(DATA).hexdigest()
    assert (done["status"], done["received"], done["size"], done["digest"]) == ("completed", 700_000, 700_000, digest)
    assert (await server.admin.get(f"{BASE}/{quote(url, safe='')}")).json == done
    again = await server.admin.post(BASE, {"url": url, "sha256": digest})
    assert (again.status, again.json) == (200, done)


async def test_a_failure_is_shown(server: Server, web: Origin) -> None:
    shown = (await server.admin.post(BASE, {"url": web.at("/absent")})).json
    failed = await ended(server, shown["id"])
    assert failed["status"] == "errored"
    assert failed["error"]["code"] == "resource_not_found"


async def test_pages(server: Server, web: Origin) -> None:
    for number in range(3):
        web.put(f"/{number}", b"x")
        await ended(server, (await server.admin.post(BASE, {"url": web.at(f"/{number}")})).json["id"])
    first = (await server.admin.get(f"{BASE}?limit=2")).json
    rest = (await server.admin.get(f"{BASE}?limit=2&after={first['after']}")).json
    assert sorted(item["name"] for item in first["items"] + rest["items"]) == ["0", "1", "2"]
    assert rest["after"] is None


async def test_refusals(server: Server, web: Origin) -> None:
    problem(await server.admin.post(BASE, {"url": "ftp://x/y"}), 422, "invalid_request", "url")
    problem(await server.admin.post(BASE, {"url": "http://x/y", "sha256": "ab"}), 422, "invalid_request", "sha256")
    problem(await server.admin.post(BASE, {"url": "org/absent:Q4"}), 502, "resource_not_found")
    problem(await server.admin.get(f"{BASE}/dl_absent"), 404, "not_found")
    problem(await server.admin.post(f"{BASE}/dl_absent/pause"), 404, "not_found")
    web.put("/api/models/org/repo", b'{"siblings": [{"rfilename": "m.Q8_0.gguf"}]}')
    told = problem(await server.admin.post(BASE, {"url": "org/repo:Q4"}), 422, "invalid_request", "url")
    assert "m.Q8_0.gguf" in told["detail"]
