"""Who may start at once, and how a lane finds its way back from claiming to that."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from promptd.core.lifecycle import Status
from promptd.service.lanes import Lane
from tests.service.conftest import Build
from tests.service.house import House, hold


def claims_of(house: House) -> list[str]:
    """The list that grows by one with each claim."""
    made: list[str] = []
    claim = house.queue.claim

    async def counted(lane: str, *arguments: Any, **more: Any) -> Any:
        made.append(lane)
        return await claim(lane, *arguments, **more)

    house.queue.claim = counted  # type: ignore[method-assign]
    return made


async def call(house: House, name: str, count: int) -> None:
    for number in range(count):
        assert (await house.run(f"{name}{number}")).status is Status.COMPLETED


async def test_callers_start_at_once_again_soon_after_a_claim(build: Build) -> None:
    """A burst makes them all wait at first; behind it there is a slot for each."""
    house = await build(slots=8)
    claims = claims_of(house)
    burst = (house.submit(f"burst {number}") for number in range(20))
    await asyncio.gather(*burst, *(call(house, f"caller{number} ", 25) for number in range(7)))
    await house.settled()
    assert len(house.engine.calls) == 20 + 7 * 25
    assert len(claims) < 30, "the lane went on claiming what could have started at once"
    await house.settled()
    assert (house.worker.load(), house.worker.waiting) == ({"main": (8, 0)}, 0)


async def test_a_burst_beyond_the_slots_ends_in_order_and_in_peace(build: Build) -> None:
    house = await build(slots=2)
    gate = asyncio.Event()
    house.engine.plans["first"], house.engine.plans["second"] = (hold(gate),), (hold(gate),)
    prompts = [await house.submit(text) for text in ("first", "second")]
    names = [f"{number:02}" for number in range(70)]
    prompts += [await house.submit(name) for name in names]
    gate.set()
    for prompt in prompts:
        assert (await house.finished(prompt)).status is Status.COMPLETED
    assert house.engine.texts[2:] == names, "one caller's prompts go by age"
    await house.settled()
    assert (house.worker.load(), house.worker.waiting) == ({"main": (2, 0)}, 0)
    claims = claims_of(house)
    await call(house, "later", 5)
    assert not claims


async def test_a_newcomer_takes_no_slot_that_somebody_waits_for(build: Build) -> None:
    house = await build(slots=1)
    gate = asyncio.Event()
    house.engine.plans["first"] = (hold(gate),)
    first = await house.submit("first")
    waits = await house.submit("waits")
    gate.set()
    await house.finished(first)
    newcomer = await house.submit("newcomer")
    for prompt in (waits, newcomer):
        await house.finished(prompt)
    assert house.engine.texts == ["first", "waits", "newcomer"]


@pytest.mark.parametrize("expired", [1, 19, 20, 21, 45])
async def test_many_expired_prompts_hide_none_behind_them(build: Build, expired: int) -> None:
    house = await build(slots=1)
    gate = asyncio.Event()
    house.engine.plans["first"] = (hold(gate),)
    await house.submit("first")
    gone = [await house.submit(f"gone{number}", deadline=house.clock() + 5) for number in range(expired)]
    last = await house.submit("last")
    house.clock.now += 5
    gate.set()
    assert (await house.finished(last)).status is Status.COMPLETED
    assert {(await house.finished(prompt)).status for prompt in gone} == {Status.ABANDONED}
    await house.settled()
    assert (house.worker.load(), house.worker.waiting) == ({"main": (1, 0)}, 0)


# ---------------------------------------------------------------- the lane's own count


def settled_lane(slots: int) -> Lane:
    """A lane of which it is known that nothing waits."""
    lane = Lane("lane", slots)
    finish(lane, lane.ask(32), 0)
    return lane


def finish(lane: Lane, wanted: int, found: int) -> bool:
    lane.held = 0
    lane.busy += found
    return lane.took(wanted, found)


def test_nobody_starts_before_the_first_claim() -> None:
    lane = Lane("lane", 4)
    assert (lane.backlog, lane.open) == (True, False)
    assert lane.ask(32) == 4
    assert not lane.open
    assert finish(lane, 4, 0)
    assert (lane.backlog, lane.open) == (False, True)


def test_newcomers_start_beside_a_claim_that_has_slots_for_all_who_wait() -> None:
    lane = settled_lane(8)
    lane.arrive()
    lane.arrive()
    assert (lane.backlog, lane.open) == (True, True)
    wanted = lane.ask(32)
    assert (wanted, lane.held, lane.free, lane.open) == (3, 3, 5, True)
    for _ in range(4):
        lane.arrive()
    assert (lane.waiting, lane.open) == (4, True), "a slot for each of the four, and one more"
    lane.arrive()
    assert (lane.waiting, lane.open) == (5, False)
    assert finish(lane, wanted, 2)
    assert (lane.waiting, lane.free, lane.open) == (5, 6, True)


@pytest.mark.parametrize("found", [0, 1, 2])
def test_what_became_claimable_meanwhile_is_looked_for(found: int) -> None:
    lane = settled_lane(8)
    lane.arrive()
    wanted = lane.ask(32)
    lane.look()
    assert not lane.open
    assert not finish(lane, wanted, found)
    assert (lane.backlog, lane.open, lane.waiting) == (True, False, None)


def test_a_claim_that_brings_all_it_asked_for_may_have_left_more_behind() -> None:
    lane = settled_lane(8)
    lane.arrive()
    assert not finish(lane, lane.ask(32), 2), "the second one was brought by its time, and there may be a third"
    assert (lane.waiting, lane.free, lane.open) == (1, 6, True)
    lane.busy = 7
    assert not lane.open, "the last slot is the third one's"


def test_a_claim_for_the_last_free_slots_leaves_one_for_whom_nobody_knew_of() -> None:
    lane = settled_lane(2)
    lane.arrive()
    lane.arrive()
    assert not finish(lane, lane.ask(32), 2)
    lane.busy = 1
    assert (lane.backlog, lane.open) == (True, False), "the slot is for the one that may have been left behind"
    lane.busy = 0
    assert lane.open


def test_too_few_slots_for_all_who_wait() -> None:
    lane = settled_lane(2)
    for _ in range(3):
        lane.arrive()
    assert not lane.open
    assert lane.ask(32) == 2
    lane.busy = -2  # runs end meanwhile
    assert lane.free == 2
    assert not lane.open, "the third one waits in front"
