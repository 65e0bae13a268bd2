"""The line in front of a connection has its bounds: how many may stand in it, and for how long."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.engine import NoConfig
from promptd.core.errors import LaneFull, TooManyRequests
from promptd.egress import Egress
from promptd.service.connections import Connection
from promptd.service.gates import Gate
from promptd.service.lanes import Lane, bound
from promptd.service.line import Place
from tests.service.house import Puppet

PATIENCE = 10.0


def lane(slots: int = 1, most: int = 1000, longest: float = 300.0) -> Lane:
    made = Lane("main", slots)
    made.most_waiting, made.longest_wait, made.waiting = most, longest, 0
    return made


def is_full(made: Lane) -> bool:
    return made.full


def crowd(made: Lane, count: int) -> list[Place]:
    made.busy = made.slots
    return [made.queue_up(f"user-{number}", 0) for number in range(count)]


async def test_one_too_many_is_sent_away_and_told_when_to_come_again() -> None:
    made = lane(slots=2, most=6)
    crowd(made, 5)
    assert not is_full(made)
    crowd(made, 1)
    assert is_full(made)
    with pytest.raises(LaneFull) as caught:
        made.queue_up("late", 9)
    assert isinstance(caught.value, TooManyRequests)
    assert (caught.value.http_status, caught.value.retryable, caught.value.retry_after) == (429, True, 3)
    assert len(made.attached) == 6
    made.attached.take()
    assert not is_full(made)
    made.queue_up("late", 9)


async def test_nobody_needs_to_wait_for_very_long_to_ask_again() -> None:
    made = lane(most=500)
    crowd(made, 500)
    with pytest.raises(LaneFull) as caught:
        made.queue_up("late", 0)
    assert caught.value.retry_after == 30


async def test_a_line_without_room_lets_those_through_who_need_not_wait() -> None:
    made = lane(slots=1, most=0)
    assert not is_full(made)
    made.busy = 1
    assert is_full(made)
    with pytest.raises(LaneFull):
        made.queue_up("ann", 0)


async def test_one_stands_even_in_a_line_without_room_where_a_model_has_to_be_loaded() -> None:
    made = lane(most=0)
    made.gate = Gate(lambda: None)
    assert made.shut
    assert not is_full(made)
    made.queue_up("ann", 0)
    assert is_full(made)
    with pytest.raises(LaneFull):
        made.queue_up("bob", 0)


async def test_who_has_stood_too_long_is_sent_away_and_the_others_stand_on() -> None:
    made = lane(longest=0.05)
    (first,) = crowd(made, 1)
    made.longest_wait = 300.0
    second = made.queue_up("bob", 0)
    with pytest.raises(LaneFull) as caught:
        await asyncio.wait_for(first, PATIENCE)
    assert caught.value.retry_after == 1
    assert (first in made.attached, second in made.attached, second.done()) == (False, True, False)
    made.busy = 0
    made.admit_attached()
    await asyncio.wait_for(second, PATIENCE)
    assert made.busy == 1


async def test_all_who_came_together_are_sent_away_together() -> None:
    made = lane(longest=0.05)
    places = crowd(made, 20)
    done, _ = await asyncio.wait(places, timeout=PATIENCE)
    assert len(done) == 20
    assert {type(place.exception()) for place in places} == {LaneFull}
    assert not made.attached


async def test_one_who_came_later_is_not_sent_away_with_the_first() -> None:
    loop, made = asyncio.get_running_loop(), lane(longest=0.05)
    began = loop.time()
    (first,) = crowd(made, 1)
    gone = loop.create_future()
    loop.call_later(0.03, gone.set_result, None)
    await gone
    second = made.queue_up("bob", 0)
    later = loop.time()
    for place, since in ((first, began), (second, later)):
        with pytest.raises(LaneFull):
            await asyncio.wait_for(place, PATIENCE)
        assert loop.time() - since >= 0.05


async def test_who_left_or_got_a_slot_in_time_is_not_told_anything() -> None:
    made = lane(slots=1, longest=0.05)
    served, gone, last = crowd(made, 3)
    made.busy = 0
    made.admit_attached()
    assert made.leave(gone) is False
    gone.cancel()
    with pytest.raises(LaneFull):
        await asyncio.wait_for(last, PATIENCE)
    assert served.result() is None
    assert gone.cancelled()


async def test_a_place_that_is_given_up_as_it_is_sent_away_costs_no_slot() -> None:
    made = lane(longest=0.05)
    (place,) = crowd(made, 1)
    await asyncio.wait([place], timeout=PATIENCE)
    assert made.leave(place) is False
    assert made.busy == 1


async def test_each_connection_has_its_own_bounds() -> None:
    lanes = {"main": lane(), "other": lane()}
    connections = [
        Connection(name=name, engine=Puppet(), config=NoConfig(), http=Egress(), max_waiting=most, max_wait=float(most))
        for name, most in (("main", 3), ("unknown", 4))
    ]
    bound(lanes.get, connections)
    assert (lanes["main"].most_waiting, lanes["main"].longest_wait) == (3, 3.0)
    assert (lanes["other"].most_waiting, lanes["other"].longest_wait) == (1000, 300.0)


@given(st.integers(0, 5), st.lists(st.sampled_from(["come", "go", "serve"]), max_size=40))
def test_there_are_never_more_than_may_wait(most: int, steps: list[str]) -> None:
    async def play() -> None:
        made, waiting = lane(slots=2, most=most), list[Place]()
        made.busy = 2
        for step in steps:
            if step == "come":
                full = made.full
                try:
                    waiting.append(made.queue_up("ann", 0))
                    assert not full
                except LaneFull:
                    assert full
            elif step == "go" and waiting:
                made.leave(waiting.pop())
            elif step == "serve":
                made.busy -= made.busy > 0
                made.admit_attached()
                waiting = [place for place in waiting if not place.done()]
                made.busy = 2
            assert len(made.attached) <= most + 2 - made.busy

    asyncio.run(play())
