"""`kill -9` at any moment loses nothing, completes nothing twice, and readers end with exactly the stored text."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import random
from collections import defaultdict
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.harness import Reader, Server, persistently, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

PROMPTS, THREADS, KILLS, SEED = 200, 20, 30, 11337
LLAMA = importlib.util.find_spec("xllamacpp") is not None and (files("promptd.models") / "demo.gguf").is_file()


def config(journal: Path) -> dict[str, Any]:
    connections: dict[str, Any] = {"script": {"engine": "scripted", "slots": 8, "journal": str(journal)}}
    models: dict[str, Any] = {"script": {"connection": "script"}}
    if LLAMA:
        connections["builtin"] = {"engine": "llamacpp", "slots": 2}
        models["demo"] = {"connection": "builtin"}
    return {
        "connections": connections,
        "models": models,
        "default_model": "script",
        # the kills here are random, so a prompt must not be suspected for having been there
        "queue": {"quarantine_after": 1000, "rescue_limit": 1000},
    }


def script(random_: random.Random, index: int) -> str:
    words = " ".join(random_.choice(("Zürich", "naïve", "日本", "promptd", "kill", "wal")) for _ in range(12))
    steps = [
        {"say": f"<{index}> {words}", "pieces": random_.randint(1, 9)},
        {"wait": random_.choice((0, 0.02, 0.1, 0.3))},
        {"say": f" and {words}", "pieces": random_.randint(1, 5)},
    ]
    return json.dumps(steps)


async def submit(client: httpx.AsyncClient, random_: random.Random, reading: asyncio.TaskGroup) -> list[Reader]:
    """All prompts, in order within each thread, each with a reader; a call that met a kill is repeated with its id."""
    readers = []
    for index in range(PROMPTS):
        identifier = f"kill_{index:03d}"
        body: dict[str, Any] = {
            "id": identifier,
            "thread_id": f"thread_{index % THREADS}",
            "prompt": script(random_, index),
        }
        if LLAMA and index % 10 == 9:
            body |= {"model": "demo", "prompt": f"Hello, my name is Ada{index}", "parameters": {"max_tokens": 24}}
        answer = await persistently(client, "POST", "/prompts", json=body)
        assert answer.status_code in (200, 202), answer.text
        readers.append(Reader(identifier))
        reading.create_task(readers[-1].read(client))
    return readers


async def gone(pid: int) -> None:
    """Wait until a process has left."""
    while True:
        try:
            os.kill(pid, 0)
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return
        except (ProcessLookupError, FileNotFoundError):
            return
        await asyncio.sleep(0.02)


async def kill_often(server: Server, random_: random.Random, done: asyncio.Event) -> int:
    kills = 0
    while kills < KILLS:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(done.wait(), random_.uniform(0.02, 0.9))
        children = server.children()
        await server.kill()
        kills += 1
        await asyncio.wait_for(asyncio.gather(*map(gone, children)), 10)
        await server.start()
    return kills


async def test_nothing_is_lost_or_done_twice(tmp_path: Path) -> None:
    random_ = random.Random(SEED)
    journal = tmp_path / "calls.jsonl"
    async with running(tmp_path / "home", config(journal)) as server:
        done = asyncio.Event()
        killer = asyncio.create_task(kill_often(server, random.Random(SEED + 1), done))
        async with server.client() as client, asyncio.TaskGroup() as reading:
            readers = await submit(client, random_, reading)
        done.set()
        assert await killer >= KILLS

        prompts, attempts = {}, {}
        async with server.client() as client:
            for identifier in (reader.identifier for reader in readers):
                prompts[identifier] = (await client.get(f"/prompts/{identifier}")).json()
                attempts[identifier] = (await client.get(f"/prompts/{identifier}/attempts")).json()["items"]
            threads = {
                name: (await client.get(f"/threads/{name}/messages", params={"limit": 1000})).json()["items"]
                for name in (f"thread_{index}" for index in range(THREADS))
            }
        children = server.children()
        assert await server.stop() == 0
        await asyncio.wait_for(asyncio.gather(*map(gone, children)), 10)

    check_ledger(prompts, attempts)
    check_messages(prompts, threads)
    check_journal(journal, prompts, attempts)
    for reader in readers:
        assert reader.end is not None
        assert reader.end["type"] == "done", (reader.identifier, reader.end)
        assert reader.text == prompts[reader.identifier]["answer"]["text"]
        assert reader.end["message_id"] == prompts[reader.identifier]["answer"]["message_id"]
    assert any(reader.connections > 1 for reader in readers), "no reader ever had to come back"


def check_ledger(prompts: dict[str, Any], attempts: dict[str, Any]) -> None:
    """One settled attempt per prompt; every other run was lost with its server."""
    for identifier, prompt in prompts.items():
        assert prompt["status"] == "completed", prompt
        outcomes = [attempt["outcome"] for attempt in attempts[identifier]]
        assert outcomes == ["lost"] * prompt["rescues"] + ["completed"], (identifier, outcomes)
        assert prompt["attempts"] == len(outcomes)


def check_messages(prompts: dict[str, Any], threads: dict[str, Any]) -> None:
    """Each prompt left one question and one answer in its thread, and the answer is the stored one."""
    for messages in threads.values():
        of_prompt = defaultdict(list)
        for message in messages:
            of_prompt[message["prompt_id"]].append(message)
        for identifier, pair in of_prompt.items():
            assert [message["role"] for message in pair] == ["user", "assistant"], identifier
            assert pair[1]["text"] == prompts[identifier]["answer"]["text"]
    assert sum(map(len, threads.values())) == 2 * PROMPTS


def check_journal(journal: Path, prompts: dict[str, Any], attempts: dict[str, Any]) -> None:
    """The engine's own diary, kept outside the server: order within threads, and no call beyond the runs."""
    calls = [json.loads(line) for line in journal.read_text().splitlines()]
    places = defaultdict(list)
    for place, call in enumerate(calls):
        places[call["prompt"]].append(place)
    threads = defaultdict(list)
    for identifier in sorted(prompts):
        if prompts[identifier]["model"] == "script":
            threads[prompts[identifier]["thread_id"]].append(identifier)
            assert 1 <= len(places[identifier]) <= len(attempts[identifier])
    for members in threads.values():
        for before, after in pairwise(members):
            assert places[before][-1] < places[after][0], (before, after)
    lost = sum(attempt["outcome"] == "lost" for rows in attempts.values() for attempt in rows)
    assert len(calls) <= len([p for p in prompts.values() if p["model"] == "script"]) + lost
