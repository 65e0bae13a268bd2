"""The fault matrix through a whole server: what the caller of a prompt sees when its upstream misbehaves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from promptd.testing.upstream import Upstream
from tests.e2e.harness import Reader, running
from tests.engines.test_faults import HARMLESS, PROMPT, ROWS, SECRET, Row, free_port
from tests.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

ATTEMPTS = 2
RETRY_SECONDS = 1.0
#: a running server names every address that its connections call
THROUGH_SERVER = [row for row in ROWS if row.fault != "forbidden"]


def config(upstream: Upstream) -> dict[str, Any]:
    connection = {
        "engine": "openai",
        "base_url": upstream.base_url,
        "api_key": SECRET,
        "slots": len(ROWS) + len(HARMLESS),
        "max_response_bytes": 400_000,
    }
    places = {"refused": "absent"} | {row.fault: "hasty" for row in ROWS if row.error.code == "timeout"}
    return {
        "retry": {"base_seconds": RETRY_SECONDS, "max_exponent": 0},
        "connections": {
            "upstream": connection,
            "hasty": connection | {"first_byte_timeout": 0.3, "silence_timeout": 0.3},
            "absent": connection | {"base_url": f"http://127.0.0.1:{free_port()}/v1"},
        },
        "models": {
            fault: {"connection": places.get(fault, "upstream")}
            for fault in (*(row.fault for row in THROUGH_SERVER), *HARMLESS)
        },
    }


@asynccontextmanager
async def served(home: Path) -> AsyncIterator[tuple[Upstream, httpx.AsyncClient]]:
    async with Upstream() as upstream, running(home, config(upstream)) as server, server.client() as client:
        yield upstream, client


async def ask(client: httpx.AsyncClient, fault: str) -> tuple[httpx.Response, Reader]:
    """The answer to a caller that waits for the end, and a reader that followed the prompt to it."""
    body = {"id": fault, "model": fault, "prompt": PROMPT, "max_attempts": ATTEMPTS}
    assert (await client.post("/prompts", json=body)).status_code == 202
    reader = Reader(fault)
    answer, _ = await asyncio.gather(client.post("/prompts", params={"wait": "40s"}, json=body), reader.read(client))
    return answer, reader


async def test_every_fault_ends_as_the_table_says(tmp_path: Path) -> None:
    async with served(tmp_path / "home") as (_, client):
        async with asyncio.TaskGroup() as group:
            for row in THROUGH_SERVER:
                group.create_task(check(client, row), name=row.fault)
        # after all of that the server works as before
        answer, reader = await ask(client, "echo")
        assert answer.json()["answer"]["text"] == reader.text == f"{PROMPT} "


async def heard(readers: dict[str, Reader]) -> bool:
    """Whether the slow ones are at the place where their services wait."""
    return readers["step-by-step"].text == "first " and readers["reset-behind-finish"].text == "fine"


async def check(client: httpx.AsyncClient, row: Row) -> None:
    answer, reader = await ask(client, row.fault)
    prompt = answer.json()
    seen = (await client.get(f"/prompts/{row.fault}")).json()
    attempts = (await client.get(f"/prompts/{row.fault}/attempts")).json()["items"]
    code, tries = row.error.code, row.attempts(ATTEMPTS)
    ended = (answer.status_code, prompt["status"], prompt["error"]["code"], prompt["failures"], prompt["answer"])
    assert ended == (200, "abandoned", code, tries, None), row.fault
    assert seen == prompt, row.fault
    assert [(attempt["outcome"], attempt["code"]) for attempt in attempts] == [("errored", code)] * tries, row.fault
    assert reader.end is not None
    assert (reader.end["type"], reader.end["code"]) == ("error", code), row.fault
    starts = [datetime.fromisoformat(attempt["started_at"]).timestamp() for attempt in attempts]
    assert starts[-1] - starts[0] >= (tries - 1) * max(RETRY_SECONDS, row.retry_after or 0.0) - 0.002, row.fault
    assert SECRET not in f"{answer.text} {attempts} {reader.end}", row.fault


async def test_an_oddity_is_answered_in_one_attempt(tmp_path: Path) -> None:
    async with served(tmp_path / "home") as (upstream, client):
        readers = {fault: Reader(fault) for fault in HARMLESS}
        async with asyncio.TaskGroup() as group:
            for fault, reader in readers.items():
                body = {"id": fault, "model": fault, "prompt": PROMPT, "max_attempts": ATTEMPTS}
                assert (await client.post("/prompts", json=body)).status_code == 202
                group.create_task(reader.read(client))
            await eventually(lambda: heard(readers))
            upstream.presence.go.set()
        for fault, (_, text) in HARMLESS.items():
            prompt = (await client.get(f"/prompts/{fault}")).json()
            assert (prompt["status"], prompt["attempts"], prompt["failures"]) == ("completed", 1, 0), fault
            assert prompt["answer"]["text"] == readers[fault].text == text, fault
