"""Many callers whose keys end at once: they are told one after the other, and nobody else waits for that."""

from __future__ import annotations

import asyncio

import pytest

from promptd.core.errors import Unauthenticated
from promptd.core.identity import caller_of
from promptd.core.model import Caller
from promptd.service.revocation import Revocation
from tests.faces.conftest import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE = 10.0
MANY = 100


async def test_the_loop_turns_meanwhile_and_who_left_is_left_alone(shared: Server) -> None:
    walk = shared.house.walk
    watch = Revocation(callers=walk.callers, worker=walk.worker, unwritten={})
    keys = [(await walk.keys.store(name="test", user="many"))[0] for _ in range(MANY)]
    leave, home = asyncio.Event(), asyncio.Event()

    async def stay(caller: Caller) -> str:
        try:
            with watch.staying(caller):
                await leave.wait()
        except Unauthenticated:
            return "told"
        await home.wait()
        return "left"

    staying = [asyncio.create_task(stay(caller_of(key))) for key in keys]
    await asyncio.sleep(0)
    await walk.keys.revoke_all("many")
    looking, turns = asyncio.create_task(watch.look(1000.0)), 0
    async with asyncio.timeout(PATIENCE):
        while not looking.done():
            await asyncio.sleep(0)
            turns += 1
            leave.set()
        assert turns > 2
        home.set()
        found = await asyncio.gather(*staying)
    assert set(found) == {"told", "left"}
