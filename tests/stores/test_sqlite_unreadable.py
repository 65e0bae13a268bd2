"""A row that can't be read ends, and its line goes on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from promptd.core.filters import Query
from promptd.core.lifecycle import Status
from promptd.core.model import Failure, Prompt, Request
from promptd.stores.sqlite import Database
from promptd.testing.store.samples import LANE, NOW, make_prompt

SPOIL = [
    """request = cast('{"parameters":{"unknown":1}}' as blob)""",
    "request = x'00ff'",
    "answer = cast('[]' as blob)",
    "mode = 'unheard of'",
    "capability = 'unheard of'",
]


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    database = Database(tmp_path / "promptd.db", quarantine_after=1)
    yield database
    await database.close()


async def spoil(database: Database, identifier: str, how: str) -> None:
    sql = f"update prompt set {how} where id = ?"
    await database.writer.submit(lambda db: db.execute(sql, (identifier,)).rowcount)


async def told(database: Database, identifier: str) -> tuple[Status, Failure | None, float | None]:
    """What a look-up and a list say; both must be able to show it."""
    prompt = await database.records.get(Prompt, identifier)
    assert prompt is not None
    assert prompt in (await database.records.find(Prompt, Query())).items
    assert prompt.request == Request()
    return prompt.status, prompt.error, prompt.finished


ABANDONED = (Status.ABANDONED, Failure("execution_failed", "the stored prompt can not be read"), NOW + 5)


@pytest.mark.parametrize("how", SPOIL)
@pytest.mark.parametrize("thread", [None, "t"])
async def test_a_claim_goes_on_with_the_next(
    database: Database, caplog: pytest.LogCaptureFixture, how: str, thread: str | None
) -> None:
    for name in ("a", "b"):
        await database.queue.add(make_prompt(name, thread=thread), now=NOW)
    await spoil(database, "a", how)
    with caplog.at_level(logging.ERROR):
        found = await database.queue.claim(LANE, 1, now=NOW + 5)
    assert [prompt.id for prompt in found.prompts] == ["b"]
    assert [prompt.id for prompt in found.expired] == ["a"], "its followers must hear of it"
    assert await told(database, "a") == ABANDONED
    assert "prompt a can't be read" in caplog.text


@pytest.mark.parametrize("thread", [None, "t"])
async def test_a_deadline_passes_for_the_others(database: Database, thread: str | None) -> None:
    for name in ("a", "b"):
        await database.queue.add(make_prompt(name, thread=thread, deadline=NOW + 1), now=NOW)
    await database.queue.add(make_prompt("c", thread=thread), now=NOW)
    await spoil(database, "a", SPOIL[0])
    found = await database.queue.claim(LANE, 1, now=NOW + 5)
    assert [prompt.id for prompt in found.expired] == ["a", "b"]
    assert [prompt.id for prompt in found.prompts] == ["c"]
    assert await told(database, "a") == ABANDONED


async def test_a_rescue_takes_back_the_others(database: Database) -> None:
    for name in ("a", "b"):
        await database.queue.add(make_prompt(name, thread=name), now=NOW, start=True)
    await database.queue.add(make_prompt("next", thread="a"), now=NOW)
    await spoil(database, "a", SPOIL[0])
    back = await database.queue.rescue(now=NOW + 5, everything=True)
    assert [(prompt.id, prompt.status) for prompt in back] == [("a", Status.ABANDONED), ("b", Status.SCHEDULED)]
    assert await told(database, "a") == ABANDONED
    assert [prompt.id for prompt in (await database.queue.claim(LANE, 9, now=NOW + 6)).prompts] == ["next"]


async def test_a_suspect_makes_room_for_the_next_suspect(database: Database) -> None:
    await asyncio.gather(*[database.queue.add(make_prompt(name), now=NOW, start=True) for name in ("a", "b")])
    await database.queue.rescue(now=NOW, everything=True)
    await spoil(database, "a", SPOIL[0])
    found = await database.queue.claim(LANE, 1, now=NOW + 5, alone=True)
    assert [prompt.id for prompt in found.prompts] == ["b"]
    assert await told(database, "a") == ABANDONED


async def test_it_can_be_canceled_retried_and_deleted(database: Database) -> None:
    await database.queue.add(make_prompt("a"), now=NOW)
    await spoil(database, "a", SPOIL[0])
    assert (await database.queue.cancel("a", now=NOW)).prompt.status is Status.CANCELED
    assert (await database.queue.retry("a", now=NOW)).was is Status.CANCELED
    assert (await database.queue.claim(LANE, 1, now=NOW + 5)).prompts == ()
    assert await told(database, "a") == ABANDONED
    assert await database.records.delete(Prompt, "a")
