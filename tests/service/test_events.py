"""Notices to whoever listens."""

from __future__ import annotations

import asyncio

from promptd.service.events import Event, Events, Listener
from tests.service.house import PATIENCE


async def following(listener: Listener) -> Event:
    """The next notice."""
    return await anext(aiter(listener))


async def test_every_listener_hears_everything_from_when_it_began() -> None:
    events = Events()
    events.tell(Event("posted", name="before"))
    with events.listen() as one:
        events.tell(Event("posted", name="a"))
        with events.listen() as two:
            events.tell(Event("posted", name="b"))
            async with asyncio.timeout(PATIENCE):
                heard, other = aiter(one), aiter(two)
                assert [(await anext(heard)).name for _ in range(2)] == ["a", "b"]
                assert (await anext(other)).name == "b"
        events.tell(Event("posted", name="c"))
        async with asyncio.timeout(PATIENCE):
            assert (await anext(heard)).name == "c"


async def test_a_listener_waits_for_the_next_one() -> None:
    events = Events()
    with events.listen() as listener:
        waiting = asyncio.create_task(following(listener))
        await asyncio.sleep(0)
        assert not waiting.done()
        events.tell(Event("prompt_added", prompt="p"))
        async with asyncio.timeout(PATIENCE):
            assert await waiting == Event("prompt_added", prompt="p")


async def test_who_left_costs_nothing() -> None:
    events = Events()
    with events.listen() as listener:
        pass
    events.tell(Event("posted", name="late"))
    waiting = asyncio.create_task(following(listener))
    await asyncio.sleep(0)
    assert not waiting.done()
    waiting.cancel()
    await asyncio.wait((waiting,))


async def test_a_slow_listener_loses_the_oldest() -> None:
    events = Events()
    with events.listen() as listener:
        for number in range(10_005):
            events.tell(Event("posted", name=str(number)))
        async with asyncio.timeout(PATIENCE):
            assert (await anext(aiter(listener))).name == "5"
