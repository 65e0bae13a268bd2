"""Whose key or session ends has nobody to answer to any more: calls that hang on its connection end within seconds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from promptd.core.lifecycle import Status
from promptd.core.model import Key, Prompt
from promptd.service.revocation import Revocation
from promptd.service.runs import Run
from tests.faces.client import Http, as_script
from tests.faces.conftest import Server
from tests.faces.onebackend.clients import PROMPTS, register

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATIENCE = 10.0
SCRIPT = as_script([{"say": "half"}, {"hang": True}])
OURS = {"model": "demo", "max_tokens": 100, "messages": [{"role": "user", "content": SCRIPT}]}
WIRES = ["/v1/chat/completions", "/v1/messages"]


async def key_of(server: Server, user: str) -> tuple[Key, Http]:
    key, secret = await server.house.walk.keys.store(name="test", user=user)
    return key, Http(server.port, secret)


async def at_work(server: Server, user: str) -> Run:
    """The call of a user, once its engine has said something."""
    async with asyncio.timeout(PATIENCE):
        while True:
            for run in server.house.walk.worker._runs.values():
                if run.prompt.user == user and run.said:
                    return run
            await asyncio.sleep(0)


async def row_of(server: Server, run: Run) -> Prompt:
    await server.house.walk.attached.flush()
    found = await server.house.database.records.get(Prompt, run.prompt.id)
    assert found is not None
    return found


@asynccontextmanager
async def steady(server: Server, user: str) -> AsyncIterator[None]:
    """Somebody else's stream, which must not end."""
    _, other = await key_of(server, user)
    async with other.stream(WIRES[0], OURS | {"stream": True}):
        await at_work(server, user)
        yield
        assert not (await at_work(server, user)).settled


@pytest.mark.parametrize("wire", WIRES)
async def test_a_stream_ends_with_its_key(shared: Server, wire: str) -> None:
    user = f"streams-{wire[4:]}"
    key, http = await key_of(shared, user)
    async with steady(shared, f"{user}-too"), http.stream(wire, OURS | {"stream": True}) as stream:
        run = await at_work(shared, user)
        assert (await shared.admin.call("DELETE", f"/promptd/v1/keys/{key.id}")).status == 200
        async with asyncio.timeout(PATIENCE):
            rest = await stream.rest()
        assert b"the session or key has ended" in rest
        assert b"[DONE]" not in rest
        assert b"message_stop" not in rest
        row = await row_of(shared, run)
        assert (row.status, row.error and row.error.message) == (Status.CANCELED, "the session or key has ended")


@pytest.mark.parametrize("wire", WIRES)
async def test_a_call_that_waits_ends_with_its_key(shared: Server, wire: str) -> None:
    user = f"waits-{wire[4:]}"
    key, http = await key_of(shared, user)
    call = asyncio.create_task(http.post(wire, OURS))
    run = await at_work(shared, user)
    assert (await shared.admin.call("DELETE", f"/promptd/v1/keys/{key.id}")).status == 200
    async with asyncio.timeout(PATIENCE):
        refused = await call
    assert refused.status == 401, refused.body
    assert b"the session or key has ended" in refused.body
    assert (await row_of(shared, run)).status is Status.CANCELED
    assert run.prompt.id not in shared.house.walk.worker._runs


async def test_a_call_ends_with_its_session(shared: Server) -> None:
    ann = await register(shared, "ends-ann", PROMPTS)
    async with ann.stream(WIRES[0], OURS | {"stream": True}) as stream:
        await at_work(shared, ann.user)
        await ann.ok("DELETE", "/user-svc/tokens")
        async with asyncio.timeout(PATIENCE):
            assert b"the session or key has ended" in await stream.rest()


@pytest.mark.slow
async def test_a_call_whose_key_ends_while_it_stands_in_line_ends_when_it_is_its_turn(shared: Server) -> None:
    first, holders = await key_of(shared, "holds-the-slots")
    last, waits = await key_of(shared, "stands-in-line")
    lane = shared.house.walk.worker.lane("lab")
    assert lane is not None
    holding = [asyncio.create_task(holders.post(WIRES[0], OURS)) for _ in range(lane.slots - lane.busy)]
    async with asyncio.timeout(PATIENCE):
        while lane.busy < lane.slots:
            await asyncio.sleep(0)
        waiting = asyncio.create_task(waits.post(WIRES[0], OURS))
        while not lane.attached:
            await asyncio.sleep(0)
        for key in (last, first):
            assert (await shared.admin.call("DELETE", f"/promptd/v1/keys/{key.id}")).status == 200
        assert {answer.status for answer in await asyncio.gather(waiting, *holding)} == {401}
    assert not lane.busy


async def test_a_key_that_ends_by_its_date_is_noticed_within_a_minute(shared: Server) -> None:
    walk = shared.house.walk
    key, http = await key_of(shared, "dated")
    call = asyncio.create_task(http.post(WIRES[0], OURS))
    run = await at_work(shared, "dated")
    watch = Revocation(callers=walk.callers, worker=walk.worker, unwritten={run.prompt.id: run.prompt})
    await watch.look(1000.0)
    await shared.house.database.records.put(replace(key, expires=key.created, version=key.version + 1))
    stops = []
    for now in (1059.0, 1060.0):
        await watch.look(now)
        stops.append(run.stopped)
    assert stops == [None, "revocation"]
    async with asyncio.timeout(PATIENCE):
        assert (await call).status == 401
