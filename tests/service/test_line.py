"""Who is next among attached prompts."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.service.line import Line, Place


def place(loop: asyncio.AbstractEventLoop) -> Place:
    return loop.create_future()


async def test_priority_then_callers_in_turn_then_age() -> None:
    loop, line = asyncio.get_running_loop(), Line()
    names: dict[Place, str] = {}
    for name, user, priority in [
        ("a1", "ann", 0),
        ("a2", "ann", 0),
        ("a3", "ann", 0),
        ("b1", "bob", 0),
        ("e1", "eve", 5),
        ("b2", "bob", 0),
    ]:
        waiter = place(loop)
        names[waiter] = name
        line.add(waiter, user, priority)
    assert [names[line.take()] for _ in range(6)] == ["e1", "a1", "b1", "a2", "b2", "a3"]
    assert not line
    with pytest.raises(KeyError):
        line.take()


async def test_leaving_keeps_the_others_in_order() -> None:
    loop, line = asyncio.get_running_loop(), Line()
    first, second, third = (place(loop) for _ in range(3))
    line.add(first, "ann", 0)
    line.add(second, "ann", 0)
    line.add(third, "bob", 0)
    line.remove(first)
    assert first not in line
    with pytest.raises(KeyError):
        line.remove(first)
    assert [line.take(), line.take()] == [second, third]


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 1)), max_size=30))
def test_nobody_is_lost_and_no_caller_waits_two_rounds(calls: list[tuple[str, int]]) -> None:
    loop, line = asyncio.new_event_loop(), Line()
    try:
        whose: dict[Place, tuple[str, int]] = {}
        for user, priority in calls:
            waiter = place(loop)
            whose[waiter] = (user, priority)
            line.add(waiter, user, priority)
        taken = [whose[line.take()] for _ in range(len(line))]
    finally:
        loop.close()
    assert sorted(taken) == sorted(calls)
    for index, (user, priority) in enumerate(taken):
        assert all(later <= priority for _, later in taken[index:])
        waiting = {name for name, level in taken[index + 1 :] if level == priority} - {user}
        following = [name for name, level in taken[index + 1 :] if level == priority][: len(waiting)]
        assert waiting <= set(following) or user not in following, "a caller came twice before the others came once"
