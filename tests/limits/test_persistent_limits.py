"""The persistent limits: the exam, and what a restart keeps. The TATs go through a real file."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from promptd.core.errors import StoreUnavailable, TooManyRequests
from promptd.core.limits import Limits
from promptd.core.policy import Charge, Stand
from promptd.limits.kinds import Key
from promptd.limits.memory import MemoryLimits
from promptd.limits.persistent import PersistentLimits
from promptd.testing.limits import NOW, Hasty, LimitsContract, policy, remaining


class Rows:
    """A file of counters that can be told to be full, or to wait."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.full = False
        self.sizes: list[int] = []
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.saving = asyncio.Event()

    async def load(self, now: float = 0) -> dict[Key, Stand]:
        rows = json.loads(self.path.read_text()) if self.path.exists() else []
        return {(name, subject): Stand(until, used) for name, subject, until, used in rows}

    async def save(self, stands: Mapping[Key, Stand], now: float) -> None:
        self.saving.set()
        await self.go_on.wait()
        if self.full:
            raise StoreUnavailable
        self.sizes.append(len(stands))
        merged = {**await self.load(), **stands}
        self.path.write_text(json.dumps([[*key, stand.until, stand.used] for key, stand in merged.items()]))


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    return Rows(tmp_path / "tats.json")


async def started(rows: Rows, now: float = NOW, max_subjects: int = 100_000) -> PersistentLimits:
    limits = PersistentLimits(MemoryLimits(max_subjects), rows.load, rows.save)
    await limits.start(now)
    return limits


class TestPersistentLimits(LimitsContract):
    @pytest.fixture
    async def limits(self, rows: Rows) -> Limits:
        return await started(rows)


class TestPersistentLimitsAtOnce(LimitsContract):
    @pytest.fixture
    async def limits(self, rows: Rows) -> Limits:
        return Hasty(await started(rows))


async def test_amounts_survive_a_restart_and_seats_do_not(rows: Rows) -> None:
    first = await started(rows)
    charges = [
        Charge(policy(limit=10), "ada", 4),
        Charge(policy("cost", 600), "ada", 100),
        Charge(policy("concurrency", 5), "ada", 1),
    ]
    reservation = await first.reserve(charges, now=NOW)
    await first.settle(reservation, {"cost": 300}, now=NOW)
    await first.reserve(charges[2:], now=NOW)
    await first.flush(NOW)

    second = await started(rows, NOW + 6)
    assert [await remaining(second, charge, NOW + 6) for charge in charges] == [7, 360, 5]


async def test_what_is_idle_again_is_not_loaded(rows: Rows) -> None:
    first = await started(rows)
    await first.reserve([Charge(policy(limit=10), "ada", 4), Charge(policy(limit=1), "bob", 1)], now=NOW)
    await first.flush(NOW)
    memory = MemoryLimits()
    await PersistentLimits(memory, rows.load, rows.save).start(NOW + 30)
    assert len(memory) == 1


async def test_of_too_many_those_blocked_longest_are_kept(rows: Rows) -> None:
    first = await started(rows)
    for number in range(20):
        await first.reserve([Charge(policy(limit=100), f"user-{number}", number + 1)], now=NOW)
    await first.flush(NOW)
    second = await started(rows, NOW, max_subjects=5)
    kept = [
        number
        for number in range(20)
        if await remaining(second, Charge(policy(limit=100), f"user-{number}", 1), NOW) < 100
    ]
    assert kept == [15, 16, 17, 18, 19]


async def test_only_changes_are_stored_in_batches(rows: Rows) -> None:
    limits = await started(rows)
    await limits.flush(NOW)
    assert rows.sizes == []
    for number in range(2500):
        await limits.reserve([Charge(policy(limit=10), f"user-{number}", 1)], now=NOW)
    await limits.flush(NOW)
    assert rows.sizes == [1000, 1000, 500]
    await limits.reserve([Charge(policy(limit=10), "user-7", 1)], now=NOW)
    await limits.flush(NOW)
    await limits.flush(NOW)
    assert rows.sizes[3:] == [1]


async def test_a_release_is_stored_too(rows: Rows) -> None:
    limits = await started(rows)
    charge = Charge(policy(limit=1), "ada", 1)
    reservation = await limits.reserve([charge], now=NOW)
    await limits.flush(NOW)
    await limits.release(reservation, now=NOW)
    await limits.flush(NOW)
    await (await started(rows)).reserve([charge], now=NOW)


async def test_what_is_settled_after_a_flush_is_stored_too(rows: Rows) -> None:
    limits = await started(rows)
    tokens = Charge(policy("tokens", 10), "ada", 10)
    reservation = await limits.reserve([tokens], now=NOW)
    await limits.flush(NOW)
    await limits.settle(reservation, {"tokens": 3}, now=NOW)
    await limits.flush(NOW)
    assert await remaining(await started(rows), tokens, NOW) == 7


async def test_a_failed_flush_is_made_up_for(rows: Rows) -> None:
    limits = await started(rows)
    charge = Charge(policy(limit=1), "ada", 1)
    await limits.reserve([charge], now=NOW)
    rows.full = True
    with pytest.raises(StoreUnavailable):
        await limits.flush(NOW)
    rows.full = False
    await limits.flush(NOW + 1)
    with pytest.raises(TooManyRequests):
        await (await started(rows, NOW + 1)).reserve([charge], now=NOW + 1)


async def test_a_charge_during_a_flush_is_in_the_next(rows: Rows) -> None:
    limits = await started(rows)
    charge = Charge(policy(limit=2), "ada", 1)
    await limits.reserve([charge], now=NOW)
    rows.go_on.clear()
    flush = asyncio.create_task(limits.flush(NOW))
    await rows.saving.wait()
    await limits.reserve([charge], now=NOW)
    rows.go_on.set()
    await flush
    await limits.flush(NOW)
    with pytest.raises(TooManyRequests):
        await (await started(rows)).reserve([charge], now=NOW)


async def test_a_forgotten_subject_is_stored_as_idle(rows: Rows) -> None:
    limits = await started(rows, max_subjects=1)
    slow, quick = Charge(policy(limit=1, window=60.0), "ada", 1), Charge(policy(limit=9, window=1.0), "bob", 1)
    reservation = await limits.reserve([slow], now=NOW)
    await limits.flush(NOW)
    await limits.release(reservation, now=NOW + 1)
    await limits.reserve([quick], now=NOW + 2)
    await limits.flush(NOW + 2)
    await (await started(rows, NOW + 3)).reserve([slow], now=NOW + 3)
