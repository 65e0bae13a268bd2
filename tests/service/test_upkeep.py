"""Chores go on whatever happens to them."""

from __future__ import annotations

import asyncio
import logging

import pytest

from promptd.service.upkeep import Upkeep
from tests.service.house import PATIENCE, Clock, House


class Stumbling(Clock):
    """A clock that fails once, as anything may, and tells when it was read again."""

    def __init__(self) -> None:
        super().__init__()
        self.reads = 0
        self.again = asyncio.Event()

    def __call__(self) -> float:
        self.reads += 1
        if self.reads == 1:
            raise ZeroDivisionError("odd")
        self.again.set()
        return super().__call__()


async def test_a_chore_survives_what_nobody_foresaw(house: House, caplog: pytest.LogCaptureFixture) -> None:
    clock = Stumbling()
    upkeep = Upkeep(queue=house.queue, clock=clock, beat_seconds=0.001, lease_seconds=60)
    upkeep.start()
    with caplog.at_level(logging.ERROR):
        await asyncio.wait_for(clock.again.wait(), PATIENCE)
    await upkeep.stop()
    (record,) = caplog.records
    assert record.exc_info is not None
    assert "beat failed" in record.message


async def test_expired_idempotency_keys_go_without_retention_rules(house: House, clock: Clock) -> None:
    await house.run("hello", idempotency_key="once", fingerprint=b"f")
    await house.settled()

    async def keys() -> int:
        rows = house.database.writer._db.execute("select count(*) from idempotency")
        return int(rows.fetchone()[0])

    upkeep = Upkeep(queue=house.queue, clock=clock, beat_seconds=60, lease_seconds=60, prune_seconds=0.001)
    assert await keys() == 1
    clock.now += 86_401
    upkeep.start()
    async with asyncio.timeout(PATIENCE):
        while await keys():
            await asyncio.sleep(0)
    await upkeep.stop()
