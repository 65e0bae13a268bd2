"""An answer that comes at once is chunks one by one for whoever wants them so."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

import pytest

from promptd.core.errors import NetworkError
from promptd.core.model import Chunk
from promptd.core.whole_answers import WholeAnswer

CHUNKS = (Chunk("progress", text="one"), Chunk("done", finish_reason="stop"))


class Service:
    """Answers with `CHUNKS`, or fails, or waits for ever."""

    def __init__(self, *, fails: bool = False, hangs: bool = False) -> None:
        self.fails, self.hangs = fails, hangs
        self.asked = self.left = 0

    async def __call__(self) -> Sequence[Chunk]:
        self.asked += 1
        try:
            if self.fails:
                raise NetworkError("gone")
            if self.hangs:
                await asyncio.Event().wait()
            return CHUNKS
        finally:
            self.left += 1


async def test_all_at_once() -> None:
    answer = WholeAnswer(Service())
    assert await answer.whole() == CHUNKS
    with pytest.raises(RuntimeError, match="before"):
        answer.whole()


async def test_one_by_one() -> None:
    service = Service()
    async with aclosing(WholeAnswer(service)) as answer:
        assert [chunk async for chunk in answer] == list(CHUNKS)
        assert [chunk async for chunk in answer] == []
    assert service.asked == 1


async def test_what_the_service_fails_with_is_told() -> None:
    with pytest.raises(NetworkError):
        await anext(WholeAnswer(Service(fails=True)))


async def test_one_that_was_closed_asks_nobody() -> None:
    service = Service()
    answer = WholeAnswer(service)
    await answer.aclose()
    assert [chunk async for chunk in answer] == []
    with pytest.raises(NetworkError):
        await answer.athrow(NetworkError("x"))
    assert not service.asked


@pytest.mark.parametrize("at_once", [True, False])
async def test_who_is_cancelled_leaves_the_service(at_once: bool) -> None:
    service = Service(hangs=True)
    answer = WholeAnswer(service)

    async def wait() -> None:
        await (answer.whole() if at_once else anext(answer))

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert service.asked == service.left == 1
