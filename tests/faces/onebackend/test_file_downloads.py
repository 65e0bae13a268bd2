"""Downloads of the File Svc over HTTP, with strict members."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import pytest
import pytest_asyncio

from tests.faces.conftest import Server
from tests.faces.onebackend.lab import PATIENCE, at, lab, public
from tests.service.origin import Origin

pytestmark = pytest.mark.asyncio(loop_scope="module")

DOWNLOAD = {"id", "createdAt", "updatedAt", "url", "fileName", "downloadedBytes", "status"}
MORE = {"progress", "fileSize", "filePath", "error"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory, far: Origin) -> AsyncIterator[Server]:
    async with lab(tmp_path_factory.mktemp("downloads"), far) as server:
        yield server


async def begun(server: Server, url: str, **more: Any) -> None:
    answer = await server.admin.call("PUT", "/file-svc/download", {"url": url, **more})
    assert (answer.status, answer.json) == (200, {}), answer.body


async def test_a_download_from_start_to_serving(house: Server, far: Origin) -> None:
    content = bytes(range(256)) * 400
    far.put("/files/a%20b.bin?x=1&y=2", content)
    url = far.at("/files/a%20b.bin?x=1&y=2")
    assert (await house.admin.get(at(url))).json == {"exists": False, "download": None}
    assert (await public(house).get(f"/file-svc/serve/download/{quote(url, safe='')}")).json == {
        "error": "File Not Found"
    }
    await begun(house, url, folderPath="models")
    async with asyncio.timeout(PATIENCE):
        await house.house.walk.downloads.wait(url)
    found = (await house.admin.get(at(url))).json
    assert (set(found), found["exists"]) == ({"exists", "download"}, True)
    shown = found["download"]
    assert set(shown) == DOWNLOAD | {"progress", "fileSize", "filePath"}
    assert (shown["status"], shown["progress"], shown["url"]) == ("completed", 100.0, url)
    assert (shown["fileSize"], shown["downloadedBytes"], shown["fileName"]) == (102400, 102400, "a b.bin")
    served = await public(house).get(f"/file-svc/serve/download/{quote(url, safe='')}", headers={"Range": "bytes=-10"})
    assert (served.status, served.body) == (206, content[-10:])
    assert (await public(house).call("HEAD", f"/file-svc/serve/download/{quote(url, safe='')}")).status == 200
    listed = (await house.admin.post("/file-svc/downloads")).json["downloads"]
    assert shown in listed
    assert all(DOWNLOAD <= set(one) <= DOWNLOAD | MORE for one in listed)


async def test_pause_and_resume(house: Server, far: Origin) -> None:
    content = bytes(300_000)
    page = far.put("/files/slow.bin", content)
    page.stall_after = 100_000
    url = far.at("/files/slow.bin")
    await begun(house, url)
    async with asyncio.timeout(PATIENCE):
        await page.stalled.wait()
        while (shown := (await house.admin.get(at(url))).json["download"])["downloadedBytes"] < 100_000:
            await asyncio.sleep(0)
    assert shown["status"] == "inProgress"
    assert shown["progress"] == pytest.approx(100 / 3, abs=0.1)
    assert (await house.admin.call("PUT", at(url, "/pause"))).json == {}
    assert (await house.admin.get(at(url))).json["download"]["status"] == "paused"
    assert (await public(house).get(f"/file-svc/serve/download/{quote(url, safe='')}")).status == 404
    page.stall_after = None
    page.go_on.set()
    await begun(house, url)
    async with asyncio.timeout(PATIENCE):
        await house.house.walk.downloads.wait(url)
    assert far.asked[-1].range == "bytes=100000-"
    assert (await house.admin.get(at(url))).json["download"]["status"] == "completed"


async def test_a_download_that_fails_says_why(house: Server, far: Origin) -> None:
    url = far.at("/files/none.bin")
    await begun(house, url)
    async with asyncio.timeout(PATIENCE):
        await house.house.walk.downloads.wait(url)
    shown = (await house.admin.get(at(url))).json["download"]
    assert (shown["status"], bool(shown["error"])) == ("errored", True)
    assert set(shown) == DOWNLOAD | {"filePath", "error"}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"url": ""},
        {"url": "ftp://x/y"},
        {"url": "not a url"},
        {"url": ["http://x/y"]},
        {"url": 5},
        {"url": "x" * 100_000},
        {"url": "nicklucche/stable-diffusion"},
        {"url": "http://x/y", "folderPath": "x" * 2000},
        "text",
        [],
    ],
    ids=lambda body: str(body)[:40],
)
async def test_what_is_no_url_is_named(house: Server, body: Any) -> None:
    answer = await house.admin.call("PUT", "/file-svc/download", body)
    assert answer.status == 400
    assert set(answer.json) == {"error"}


async def test_a_tag_that_the_hub_does_not_know_fails(house: Server) -> None:
    answer = await house.admin.call("PUT", "/file-svc/download", {"url": "owner/repo:Q4_K_M"})
    assert (answer.status, answer.json) == (500, {"error": "Failed to download file"})


async def test_a_download_that_nobody_began_can_not_be_paused(house: Server, far: Origin) -> None:
    answer = await house.admin.call("PUT", at(far.at("/never"), "/pause"))
    assert (answer.status, answer.json) == (500, {"error": "Failed to pause download"})
