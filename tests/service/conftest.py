"""One house per test; it is drained and closed at the end, and nothing may be left in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.service.crowd import Crowd, Gather, crowds
from tests.service.house import Clock, House

Build = Callable[..., Awaitable[House]]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def build(tmp_path: Path, clock: Clock) -> AsyncIterator[Build]:
    """Build and start a house; a second one on the same folder follows the first as after a restart."""
    houses: list[House] = []

    async def make(**settings: Any) -> House:
        house = House(tmp_path / "promptd.db", clock=clock, **settings)
        houses.append(house)
        await house.start()
        return house

    yield make
    for house in houses:
        await house.stop()


@pytest.fixture
async def gather(tmp_path: Path, clock: Clock) -> AsyncIterator[Gather]:
    """Make people on one database; a second crowd follows the first as after a restart."""
    async with crowds(tmp_path, clock) as make:
        yield make


@pytest.fixture
async def crowd(gather: Gather) -> Crowd:
    return gather()


@pytest.fixture
async def house(build: Build) -> AsyncIterator[House]:
    house = await build()
    yield house
    await house.settled()
    assert house.bus.topics == 0
    assert house.worker.waiting >= 0
