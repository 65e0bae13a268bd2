"""Whose batches and files they are, and what a new batch must keep."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from promptd.core.errors import Forbidden, InvalidRequest, NotFound, Overloaded
from promptd.core.model import Caller
from tests.service.batches.conftest import RULES, URL, OpenDesk, lines
from tests.service.house import ADMIN, ANN, BOB, Clock, hold

pytestmark = pytest.mark.slow


# ---------------------------------------------------------------- who may


async def test_batches_are_their_makers(open_desk: OpenDesk) -> None:
    async with open_desk() as desk:
        mine = [await desk.create(lines("a")) for _ in range(3)]
        theirs = await desk.create(lines("b"), BOB)
        for batch in mine:
            await desk.ended(batch)
        for caller in (BOB, ADMIN):
            with pytest.raises(NotFound):
                await desk.batches.get(caller, mine[0].id)
            with pytest.raises(NotFound):
                await desk.batches.cancel(caller, mine[0].id)
        ids = sorted([batch.id for batch in mine], reverse=True)
        page, more = await desk.batches.find(ANN, limit=2)
        assert ([batch.id for batch in page], more) == (ids[:2], True)
        page, more = await desk.batches.find(ANN, limit=2, after=ids[1])
        assert ([batch.id for batch in page], more) == (ids[2:], False)
        await desk.ended(theirs, BOB)


async def test_what_a_new_batch_must_keep(open_desk: OpenDesk) -> None:
    async with open_desk(rules=replace(RULES, unfinished=1)) as desk:
        good = await desk.upload(lines("a"))
        for field, change in [
            ("input_file_id", {"input_file": "file-none"}),
            ("input_file_id", {"input_file": await desk.upload(lines("a"), BOB)}),
            ("input_file_id", {"input_file": await desk.upload(lines("a"), purpose="user_data")}),
            ("endpoint", {"endpoint": "/v1/others"}),
            ("completion_window", {"window": "soon"}),
            ("metadata", {"metadata": {str(n): "" for n in range(17)}}),
        ]:
            given = {"input_file": good, "endpoint": URL, "window": "24h", "metadata": {}} | change
            with pytest.raises(InvalidRequest) as refusal:
                await desk.batches.create(ANN, **given)
            assert refusal.value.field == field
        with pytest.raises(Forbidden):
            await desk.batches.create(Caller("ann"), input_file=good, endpoint=URL, window="24h", metadata={})
        gate = asyncio.Event()
        desk.house.engine.plans["a"] = (hold(gate),)
        first = await desk.create(lines("a"))
        with pytest.raises(Overloaded):
            await desk.create(lines("a"))
        gate.set()
        await desk.ended(first)


async def test_files_end(open_desk: OpenDesk, clock: Clock) -> None:
    async with open_desk() as desk:
        ended = await desk.ended(await desk.create(lines("a"), keep_seconds=3600))
        stays = ended.input_file
        clock.now += 3600
        with pytest.raises(NotFound):
            await desk.filed.get(ended.output_file)
        found, _ = await desk.filed.find("ann", purpose=None, after=None, limit=10)
        assert [upload.id for upload in found] == [stays]
        assert await desk.filed.sweep() == 1
        with pytest.raises(NotFound):
            await desk.house.uploads.get(ended.output_file)
        assert await desk.filed.sweep() == 0


async def test_files_by_age(open_desk: OpenDesk, clock: Clock) -> None:
    async with open_desk() as desk:
        made = []
        for n in range(7):
            clock.now += n % 2  # some of the same moment
            made.append(await desk.upload(b"x", purpose="batch" if n % 3 else "user_data"))
        await desk.upload(b"x", BOB)
        newest, _ = await desk.filed.find("ann", purpose=None, after=None, limit=100)
        order = [upload.id for upload in newest]
        assert set(order) == set(made)
        assert [upload.created for upload in newest] == sorted((u.created for u in newest), reverse=True)
        paged: list[str] = []
        more = True
        while more:
            page, more = await desk.filed.find("ann", purpose=None, after=paged[-1] if paged else None, limit=3)
            paged += [upload.id for upload in page]
        assert paged == order
        oldest, _ = await desk.filed.find("ann", purpose=None, after=order[2], limit=100, descending=False)
        assert [upload.id for upload in oldest] == order[:2][::-1]
        some, _ = await desk.filed.find("ann", purpose="user_data", after=None, limit=100)
        assert {upload.id for upload in some} == {made[0], made[3], made[6]}
        with pytest.raises(InvalidRequest):
            await desk.filed.find("bob", purpose=None, after=order[0], limit=1)
