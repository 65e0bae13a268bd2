"""Local models in a real server: as many as fit, swapped by groups of prompts, and never a process too many."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.harness import PAUSE_SECONDS, Server, running
from tests.engines.llamacpp_support import Death

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(240),
    pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="no wheel for this platform"),
    pytest.mark.skipif(sys.platform != "linux", reason="counts children in /proc"),
]

NAMES = ("one", "two", "three")
PATIENCE = 100.0
SPARE_SECONDS = 3.0


def config(*, fleet_mb: int, memory_mb: int = 100, **more: Any) -> dict[str, Any]:
    connection = {
        "engine": "llamacpp",
        "memory_mb": memory_mb,
        "slots": 2,
        "threads": 1,
        "context": 256,
        "prompt_cache_mb": 0,
    }
    return {
        "fleet": {"memory_mb": fleet_mb},
        "connections": dict.fromkeys(NAMES, connection | more),
        "models": {name: {"connection": name} for name in NAMES},
    }


class Watch:
    """Looks at the server's children all the time: the most at once, and every process there ever was."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.seen: set[int] = set()
        self.most = 0

    def look(self) -> int:
        children = self._server.children()
        self.seen |= set(children)
        self.most = max(self.most, len(children))
        return len(children)

    async def until(self, count: int) -> None:
        """Wait until there are so many."""
        async with asyncio.timeout(PATIENCE):
            while self.look() != count:
                await asyncio.sleep(PAUSE_SECONDS)


@contextlib.asynccontextmanager
async def watched(server: Server) -> AsyncIterator[Watch]:
    watch = Watch(server)

    async def look() -> None:
        while True:
            watch.look()
            await asyncio.sleep(0.02)

    looking = asyncio.create_task(look())
    try:
        yield watch
    finally:
        looking.cancel()


async def ask(client: httpx.AsyncClient, model: str, *, tokens: int = 5, text: str = "Hello!") -> str:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "parameters": {"max_tokens": tokens, "temperature": 0},
    }
    answer = await client.post("/prompts", json=body)
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


async def shown(client: httpx.AsyncClient, identifier: str) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(f"/prompts/{identifier}")).json()
    return found


async def end_of(client: httpx.AsyncClient, identifier: str) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE):
        while True:
            found = await shown(client, identifier)
            if found["status"] in ("completed", "abandoned", "canceled"):
                return found
            await asyncio.sleep(PAUSE_SECONDS)


async def status_of(client: httpx.AsyncClient) -> dict[str, str]:
    return {model["name"]: model["status"] for model in (await client.get("/models")).json()["items"]}


async def test_alternating_prompts_take_few_swaps(tmp_path: Path) -> None:
    """Three models, room for one, sixty prompts in turn: all complete, and hardly a process more than models."""
    async with (
        running(tmp_path / "home", config(fleet_mb=150)) as server,
        server.client() as client,
        watched(server) as watch,
    ):
        asked = [await ask(client, NAMES[n % 3]) for n in range(60)]
        ends = [await end_of(client, identifier) for identifier in asked]
        assert [end["status"] for end in ends] == ["completed"] * 60
        assert len(watch.seen) <= 9, "far fewer starts than prompts"
        assert watch.most == 1, "never two in memory"
        status = await status_of(client)
        assert sorted(status.values()) == ["ready", "stopped", "stopped"]
        assert await server.stop() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in watch.seen)


async def test_all_stay_where_all_fit(tmp_path: Path) -> None:
    async with (
        running(tmp_path / "home", config(fleet_mb=300)) as server,
        server.client() as client,
        watched(server) as watch,
    ):
        for n in range(9):
            assert (await end_of(client, await ask(client, NAMES[n % 3])))["status"] == "completed"
        assert len(watch.seen) == 3
        assert set((await status_of(client)).values()) == {"ready"}


async def test_replicas_come_with_a_backlog_and_go_without(tmp_path: Path) -> None:
    settings = config(fleet_mb=250, replicas={"max": 4})
    settings["fleet"]["spare_seconds"] = SPARE_SECONDS
    async with (
        running(tmp_path / "home", settings) as server,
        server.client() as client,
        watched(server) as watch,
    ):
        # all at once and long, so that they wait however quick the model is
        story = "tell me a short story about a fox"
        asked = await asyncio.gather(*[ask(client, "one", tokens=200, text=story) for _ in range(400)])
        await watch.until(2)
        connections = (await client.get("/connections")).json()["items"]
        assert {item["name"]: item["slots"] for item in connections}["one"] in (2, 4)
        for identifier in asked:
            assert (await end_of(client, identifier))["status"] == "completed"
        assert watch.most == 2, "a third one does not fit"
        began = time.monotonic()
        await watch.until(1)
        assert time.monotonic() - began > SPARE_SECONDS / 2, "not at the first quiet moment"
        assert (await status_of(client))["one"] == "ready"


async def test_what_never_fits_says_so(tmp_path: Path) -> None:
    settings = config(fleet_mb=150)
    settings["connections"]["two"] = settings["connections"]["two"] | {"memory_mb": 200}
    async with running(tmp_path / "home", settings) as server, server.client() as client:
        ended = await end_of(client, await ask(client, "two"))
        assert ended["status"] == "abandoned"
        assert ended["error"]["code"] == "config_unusable"
        assert ended["error"]["message"] == "fleet.memory_mb: the model needs 200 MB, and there are 150 MB for it"
        started = await client.post("/models/two/start")
        assert started.status_code == 409
        assert "fleet.memory_mb" in started.text
        assert (await end_of(client, await ask(client, "one")))["status"] == "completed"


async def test_a_pinned_model_is_loaded_at_the_start_and_stays(tmp_path: Path) -> None:
    settings = config(fleet_mb=250)
    settings["connections"]["three"] = settings["connections"]["three"] | {"pinned": True}
    async with (
        running(tmp_path / "home", settings) as server,
        server.client() as client,
        watched(server) as watch,
    ):
        await watch.until(1)
        for name in ("one", "two", "one", "three"):
            assert (await end_of(client, await ask(client, name)))["status"] == "completed"
        assert len(watch.seen) == 4
        assert watch.most == 2
        assert (await status_of(client))["three"] == "ready"


@pytest.mark.parametrize("moment", ["starting", "ready", "busy", "stopping"])
async def test_a_process_killed_at_any_moment_costs_no_prompt(tmp_path: Path, moment: str) -> None:
    """The status never says ready without one that answers, every prompt completes unharmed, and nothing is left."""
    more: dict[str, Any] = {"idle_stop_seconds": 0.2} if moment == "stopping" else {}
    async with (
        running(tmp_path / "home", config(fleet_mb=150, **more)) as server,
        server.client() as client,
        watched(server) as watch,
    ):
        asked: list[str] = []
        if moment == "starting":
            asked = [await ask(client, "one") for _ in range(6)]
            await watch.until(1)
        elif moment == "busy":
            asked = [await ask(client, "one", tokens=200) for _ in range(20)]
            await watch.until(1)
            async with asyncio.timeout(PATIENCE):
                while not any([(await shown(client, each))["status"] == "completed" for each in asked[:3]]):
                    await asyncio.sleep(0.01)
        else:
            asked = [await ask(client, "one")]
            await end_of(client, asked[0])
            if moment == "stopping":
                asked.append(await ask(client, "two"))
        for pid in server.children():
            with contextlib.suppress(ProcessLookupError):
                death = Death(pid)
                os.kill(pid, signal.SIGKILL)
                await death.seen()
                if (await status_of(client))["one"] == "ready":
                    assert [child for child in server.children() if child != pid], "ready, and nobody there"
        asked += [await ask(client, name) for name in ("one", "two", "one")]
        for identifier in asked:
            end = await end_of(client, identifier)
            assert end["status"] == "completed"
            assert end["failures"] == 0, "it was rescued, not failed"
        assert watch.most == 1
        assert await server.stop() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in watch.seen)
