"""Images and sounds through a real server process: killed, stopped and started again while it draws."""

from __future__ import annotations

import asyncio
import importlib.util
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from promptd.testing import media
from promptd.testing.image_server import ImageServer
from tests.e2e.harness import Server, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

PATIENCE = 30.0
SENTENCE = "Hello world, please open the door and turn on the light."
DRAW = {"prompt": "a cat", "id": "cat", "parameters": {"textToImage": {"batchSize": 2, "width": 8, "height": 8}}}

needs_audio = pytest.mark.skipif(
    shutil.which("flite") is None or importlib.util.find_spec("pocketsphinx") is None,
    reason="flite or the extra `audio` is not installed",
)


def config(easel: ImageServer) -> dict[str, Any]:
    return {
        "connections": {
            "script": {"engine": "scripted"},
            "easel": {"engine": "stable_diffusion", "base_url": easel.base_url, "progress_interval": 0.05},
            "audio": {"engine": "local_audio"},
        },
        "models": {
            "script": {"connection": "script", "capabilities": ["chat"]},
            "easel": {"connection": "easel"},
            "audio": {"connection": "audio"},
        },
        "server": {"drain_seconds": 0.1},
    }


def client(server: Server) -> httpx.AsyncClient:
    """On the 1Backend wire."""
    return httpx.AsyncClient(
        base_url=server.url, headers={"authorization": f"Bearer {server.key}"}, timeout=PATIENCE, trust_env=False
    )


async def submit(wire: httpx.AsyncClient, body: dict[str, Any]) -> Any:
    answer = await wire.post("/prompt-svc/prompt", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def one(easel: ImageServer, number: int) -> Any:
    """A job of the image server, once it is being drawn."""
    async with asyncio.timeout(PATIENCE):
        job = await easel.job(number)
        await job.begun.wait()
    return job


async def check_the_drawing(server: Server) -> None:
    """The same submit again gives the answer: two images, the only files that there are."""
    async with client(server) as wire:
        answer = await submit(wire, DRAW | {"sync": True})
        assert (answer["prompt"]["status"], answer["prompt"]["runCount"]) == ("completed", 2)
        files = answer["responseMessage"]["fileIds"]
        kept = (await wire.post("/file-svc/uploads", json={})).json()["uploads"]
        assert sorted(upload["fileId"] for upload in kept) == sorted(files)
        for number, identifier in enumerate(files):
            served = await wire.get(f"/file-svc/serve/upload/{identifier}")
            assert served.headers["content-type"] == "image/png"
            assert served.content == media.png(f"a cat|None|{number}")


async def test_a_drawing_survives_the_kill_of_its_server(tmp_path: Path) -> None:
    async with ImageServer() as easel, running(tmp_path / "home", config(easel)) as server:
        easel.pause_at = 0.5
        async with client(server) as wire:
            assert (await submit(wire, DRAW))["prompt"]["status"] == "scheduled"
            first = await one(easel, 0)
        await server.kill()
        await server.start()
        await easel.job(1)
        easel.pause_at = None
        first.go_on.set()
        await check_the_drawing(server)


async def test_a_server_that_leaves_stops_its_drawing_and_comes_back_to_it(tmp_path: Path) -> None:
    async with ImageServer() as easel, running(tmp_path / "home", config(easel)) as server:
        easel.pause_at = 0.5
        async with client(server) as wire:
            await submit(wire, DRAW)
            first = await one(easel, 0)
        assert await server.stop() == 0
        async with asyncio.timeout(PATIENCE):
            await first.ended.wait()
        assert first.interrupted, "nobody waits for it"
        easel.pause_at = None
        await server.start()
        await check_the_drawing(server)


@needs_audio
async def test_what_is_spoken_is_understood(tmp_path: Path) -> None:
    async with ImageServer() as easel, running(tmp_path / "home", config(easel)) as server, client(server) as wire:
        spoken = await submit(wire, {"prompt": SENTENCE, "type": "Text-to-Speech", "sync": True})
        files = spoken["responseMessage"]["fileIds"]
        heard = await submit(wire, {"type": "Automatic Speech Recognition", "fileIds": files, "sync": True})
        assert {"hello", "door"} <= set(heard["responseMessage"]["text"].lower().split())
        assert server.children() == []
