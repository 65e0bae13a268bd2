"""A store that halts: newcomers wait for it a while, and are refused where it does not catch up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from promptd.app import House
from promptd.core.errors import Overloaded
from promptd.core.lifecycle import Status
from promptd.service import settling, write_behind
from promptd.testing.upstream import Upstream
from tests.service.test_attached import PATIENCE, ask, living, run
from tests.service.test_attached import stored as in_store


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server


@contextmanager
def halted(house: House) -> Iterator[None]:
    """The store takes nothing."""
    db = house.database.writer._db
    db.execute("pragma query_only = on")
    try:
        yield
    finally:
        db.execute("pragma query_only = off")


async def test_newcomers_wait_for_a_store_that_halts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upstream: Upstream
) -> None:
    monkeypatch.setattr(write_behind, "_MOST_UNWRITTEN", 1)
    monkeypatch.setattr(settling, "_PAUSES", (0.02,))
    async with living(tmp_path, upstream) as house:
        ledger = house.walk.attached.ledger
        with halted(house):
            first, _ = await run(house, ask())
            stored = asyncio.ensure_future(ledger.flush())  # its row is on the way
            await asyncio.sleep(0)
            await run(house, ask())  # and this one's waits
            assert ledger.full
            newcomer = asyncio.ensure_future(run(house, ask()))
            done, _ = await asyncio.wait([newcomer], timeout=0.1)
            assert not done, "it came in although there was no room"
        async with asyncio.timeout(PATIENCE):
            prompt, said = await newcomer
            await stored
        assert said[-1].kind == "done"
        for one in (first, prompt):
            assert (await in_store(house, one)).status is Status.COMPLETED


async def test_a_store_that_does_not_catch_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upstream: Upstream
) -> None:
    monkeypatch.setattr(write_behind, "_MOST_UNWRITTEN", 1)
    monkeypatch.setattr(settling, "_PAUSES", (0.02,))
    monkeypatch.setattr(write_behind, "_PATIENCE", 0.05)
    async with living(tmp_path, upstream) as house:
        with halted(house):
            await run(house, ask())
            on_the_way = asyncio.ensure_future(house.walk.attached.ledger.flush())
            await asyncio.sleep(0)
            await run(house, ask())
            with pytest.raises(Overloaded, match="behind"):
                await run(house, ask())
        async with asyncio.timeout(PATIENCE):
            await on_the_way


async def test_who_leaves_while_it_waits_for_room_is_not_let_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upstream: Upstream
) -> None:
    monkeypatch.setattr(write_behind, "_MOST_UNWRITTEN", 1)
    monkeypatch.setattr(settling, "_PAUSES", (0.02,))
    async with living(tmp_path, upstream) as house:
        ledger, visit = house.walk.attached.ledger, house.walk.attached.open(ask())

        async def call() -> None:
            async with visit:
                await visit.whole()

        with halted(house):
            await run(house, ask())
            stored = asyncio.ensure_future(ledger.flush())
            await asyncio.sleep(0)
            await run(house, ask())
            assert ledger.full
            newcomer = asyncio.ensure_future(call())
            await asyncio.sleep(0)  # it waits now
            visit.leave()
            done, _ = await asyncio.wait([newcomer], timeout=0.1)
            assert done, "it waits although nobody is there any more"
        async with asyncio.timeout(PATIENCE):
            await stored
            with pytest.raises(asyncio.CancelledError):
                await newcomer
        assert len(upstream.calls) == 2


async def test_rows_go_to_the_store_while_more_come_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upstream: Upstream
) -> None:
    """So that no large batch ever holds the loop."""
    monkeypatch.setattr(write_behind, "_AT_ONCE", 2)
    monkeypatch.setattr(write_behind, "_LAG", 1e6)
    async with living(tmp_path, upstream) as house:
        said: list[str] = []
        db = house.database.writer._db
        db.set_trace_callback(said.append)
        prompts = [(await run(house, ask()))[0] for _ in range(5)]
        async with asyncio.timeout(PATIENCE):
            while sum("insert into prompt" in one for one in said) < 4:
                await asyncio.sleep(0)
            await house.walk.attached.ledger.flush()
        db.set_trace_callback(None)
        assert sum("insert into prompt" in one for one in said) == 5
        for prompt in prompts:
            assert (await in_store(house, prompt)).status is Status.COMPLETED
        assert not house.walk.attached.ledger._unwritten


async def test_rows_that_came_during_a_commit_follow_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, upstream: Upstream
) -> None:
    monkeypatch.setattr(write_behind, "_AT_ONCE", 2)
    monkeypatch.setattr(settling, "_PAUSES", (0.02,))
    async with living(tmp_path, upstream) as house:
        ledger = house.walk.attached.ledger
        with halted(house):
            await run(house, ask())
            first = asyncio.ensure_future(ledger.flush())
            await asyncio.sleep(0)
            later = [(await run(house, ask()))[0] for _ in range(5)]
        async with asyncio.timeout(PATIENCE):
            await first
            await ledger.flush()
        for prompt in later:
            assert (await in_store(house, prompt)).status is Status.COMPLETED
