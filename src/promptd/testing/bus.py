"""The exam of the port `Bus`: inherit `BusContract` and give two fixtures.

class TestMemory(BusContract):
    @pytest.fixture
    def bus(self): return MemoryBus()

    @pytest.fixture
    def held(self, bus): return lambda: bus.topics      # how many logs the bus holds now
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptd.core.chunks import END_OF_FAILED, Position, merge
from promptd.core.model import Chunk
from promptd.core.ports import Bus

_START = Position(0, 0)
_PATIENCE = 10.0  # seconds until a reader that waits for nothing fails its test


def text(n: int, attempt: int = 1, what: str | None = None) -> Chunk:
    return Chunk("progress", text=what if what is not None else f"{attempt}.{n} ", attempt=attempt, n=n)


def restart(attempt: int) -> Chunk:
    return Chunk("restart", attempt=attempt)


def done(n: int, attempt: int = 1) -> Chunk:
    return Chunk("done", attempt=attempt, n=n, finish_reason="stop")


def error(attempt: int = 1) -> Chunk:
    return Chunk("error", attempt=attempt, n=END_OF_FAILED, code="cancelled", message="why")


def apply(chunks: Sequence[Chunk], so_far: str = "") -> str:
    """The text that a reader has after these chunks."""
    for chunk in chunks:
        so_far = "" if chunk.kind == "restart" else so_far + chunk.text
    return so_far


async def read(live: AsyncIterator[Sequence[Chunk]]) -> list[Chunk]:
    """Everything until the log closes."""
    async with asyncio.timeout(_PATIENCE):
        return [chunk async for batch in live for chunk in batch]


async def follow(bus: Bus, topic: str, after: Position = _START) -> list[Chunk]:
    async with bus.follow(topic, after) as live:
        return await read(live)


async def batch(live: AsyncIterator[Sequence[Chunk]]) -> Sequence[Chunk]:
    async with asyncio.timeout(_PATIENCE):
        return await anext(live)


class BusContract:
    """What every bus promises."""

    @pytest.fixture
    def bus(self) -> Bus:
        raise AssertionError("give the fixture `bus`")

    @pytest.fixture
    def held(self) -> Callable[[], int]:
        raise AssertionError("give the fixture `held`")

    @pytest.mark.asyncio
    async def test_a_reader_gets_every_chunk_in_order(self, bus: Bus, held: Callable[[], int]) -> None:
        async with bus.follow("t", _START) as live:
            for chunk in (text(1), text(2)):
                bus.publish("t", chunk)
                assert list(await batch(live)) == [chunk]
            bus.publish("t", done(3))
            assert await read(live) == [done(3)]
        assert held() == 0

    @pytest.mark.asyncio
    async def test_early_and_late_readers_end_with_the_same(self, bus: Bus, held: Callable[[], int]) -> None:
        async with AsyncExitStack() as stack:
            readers = []
            for n in range(1, 20):
                readers.append(await stack.enter_async_context(bus.follow("t", _START)))
                bus.publish("t", text(n))
            bus.publish("t", done(20))
            for live in readers:
                assert await read(live) == [*(text(n) for n in range(1, 20)), done(20)]
        assert held() == 0

    @pytest.mark.asyncio
    async def test_a_reader_joins_behind_its_position(self, bus: Bus) -> None:
        for n in range(1, 6):
            bus.publish("t", text(n))
        async with bus.follow("t", Position(1, 3)) as live, bus.follow("t", Position(1, 5)) as at_the_end:
            bus.publish("t", done(6))
            assert await read(live) == [text(4), text(5), done(6)]
            assert await read(at_the_end) == [done(6)]

    @pytest.mark.asyncio
    async def test_a_slow_reader_gets_one_batch_and_slows_nobody(self, bus: Bus) -> None:
        async with bus.follow("t", _START) as slow, bus.follow("t", _START) as quick:
            for n in range(1, 1001):
                bus.publish("t", text(n))
                assert list(await batch(quick)) == [text(n)]
            (merged,) = merge(await batch(slow))
            assert (merged.n, merged.text) == (1000, "".join(f"1.{n} " for n in range(1, 1001)))
            bus.publish("t", done(1001))
            assert await read(slow) == await read(quick) == [done(1001)]

    @pytest.mark.asyncio
    async def test_a_restart_voids_what_was_before(self, bus: Bus) -> None:
        async with bus.follow("t", _START) as live:
            bus.publish("t", text(1))
            assert list(await batch(live)) == [text(1)]
            for chunk in (text(2), restart(2), text(1, 2), done(2, 2)):
                bus.publish("t", chunk)
            chunks = await read(live)
        assert apply(chunks, "1.1 ") == "2.1 "
        assert [chunk.kind for chunk in chunks if chunk.attempt == 2] == ["restart", "progress", "done"]

    @pytest.mark.asyncio
    async def test_a_new_reader_sees_the_current_attempt_only(self, bus: Bus) -> None:
        for chunk in (text(1), restart(2), text(1, 2), text(2, 2)):
            bus.publish("t", chunk)
        async with bus.follow("t", _START) as live:
            bus.publish("t", done(3, 2))
            assert apply(await read(live)) == "2.1 2.2 "

    @pytest.mark.asyncio
    @pytest.mark.parametrize("announced", [True, False])
    async def test_an_older_attempts_position_gets_a_restart_and_all_of_the_new_one(
        self, bus: Bus, announced: bool
    ) -> None:
        if announced:
            bus.publish("t", restart(3))
        for chunk in (text(1, 3), text(2, 3)):
            bus.publish("t", chunk)
        for after in (Position(1, 1), Position(2, 99)):
            async with bus.follow("t", after) as live:
                first = await batch(live)
            assert (first[0].kind, first[0].attempt) == ("restart", 3)
            assert apply(first, "void") == "3.1 3.2 "
        bus.publish("t", done(3, 3))

    @pytest.mark.asyncio
    async def test_who_was_told_of_a_restart_is_not_told_again(self, bus: Bus) -> None:
        bus.publish("t", restart(2))
        async with bus.follow("t", Position(2, 0)) as live:
            bus.publish("t", text(1, 2))
            bus.publish("t", done(2, 2))
            assert await read(live) == [text(1, 2), done(2, 2)]

    @pytest.mark.asyncio
    async def test_an_attempt_without_text_moves_readers_on(self, bus: Bus) -> None:
        async with bus.follow("t", _START) as live:
            bus.publish("t", text(1))
            bus.publish("t", restart(2))
            bus.publish("t", restart(3))
            bus.publish("t", text(1, 3))
            bus.publish("t", done(2, 3))
            assert apply(await read(live)) == "3.1 "

    @pytest.mark.asyncio
    @pytest.mark.parametrize("after", [_START, Position(1, 0), Position(1, 7), Position(2, 0)])
    async def test_everybody_hears_of_an_end_that_comes_before_the_announced_attempt(
        self, bus: Bus, held: Callable[[], int], after: Position
    ) -> None:
        """The retry was announced as attempt 2, and then the prompt was canceled while it waited."""
        async with bus.follow("t", after) as early:
            for n in range(1, 8):
                bus.publish("t", text(n))
            bus.publish("t", restart(2))
            if 0 < after.attempt < 2:
                assert (await batch(early))[-1] == restart(2)
            waiting = asyncio.create_task(read(early))
            await asyncio.sleep(0)
            async with bus.follow("t", after) as late:
                bus.publish("t", error(1))
                assert (await read(late))[-1] == error(1)
            assert (await waiting)[-1] == error(1)
        async with bus.follow("u", after) as alone:
            bus.publish("u", error(1))
            assert (await read(alone))[-1] == error(1)
        assert held() == 0

    @pytest.mark.asyncio
    async def test_a_position_that_was_never_given_out_harms_nobody(self, bus: Bus) -> None:
        async with bus.follow("t", Position(7, 3)), bus.follow("t", _START) as live:
            reader = asyncio.create_task(read(live))
            await asyncio.sleep(0)
            bus.publish("t", text(1))
            bus.publish("t", done(2))
            assert await reader == [text(1), done(2)]

    @pytest.mark.asyncio
    async def test_a_late_chunk_of_an_older_attempt_is_dropped(self, bus: Bus) -> None:
        async with bus.follow("t", _START) as live:
            for chunk in (text(1), restart(2), text(1, 2), text(2, 1), text(2, 2), done(3, 2)):
                bus.publish("t", chunk)
            assert apply(await read(live)) == "2.1 2.2 "

    @pytest.mark.asyncio
    async def test_topics_are_apart(self, bus: Bus, held: Callable[[], int]) -> None:
        async with bus.follow("a", _START) as a, bus.follow("b", _START) as b:
            bus.publish("a", text(1))
            bus.publish("b", done(1))
            assert await read(b) == [done(1)]
            bus.publish("a", done(2))
            assert await read(a) == [text(1), done(2)]
        assert held() == 0

    @pytest.mark.asyncio
    async def test_a_wake_is_an_empty_batch_and_none_is_missed(self, bus: Bus, held: Callable[[], int]) -> None:
        bus.wake("t")
        assert held() == 0, "nobody was there to wake"
        async with bus.follow("t", _START) as first, bus.follow("t", _START) as second:
            bus.wake("t")
            assert list(await batch(first)) == []
            assert list(await batch(second)) == [], "the wake came after `follow` and before the first look"
            waiting = asyncio.create_task(batch(first))
            await asyncio.sleep(0)
            bus.wake("t")
            bus.wake("t")
            assert list(await waiting) == []
        assert held() == 0

    @pytest.mark.asyncio
    async def test_wakes_do_not_disturb_chunks(self, bus: Bus) -> None:
        async with bus.follow("t", _START) as live:
            bus.publish("t", text(1))
            bus.wake("t")
            bus.publish("t", text(2))
            bus.wake("t")
            bus.publish("t", done(3))
            assert await read(live) == [text(1), text(2), done(3)]

    @pytest.mark.asyncio
    async def test_a_canceled_reader_disturbs_nobody(self, bus: Bus, held: Callable[[], int]) -> None:
        readers = [asyncio.create_task(follow(bus, "t")) for _ in range(9)]
        await asyncio.sleep(0)
        for task in readers[::2]:
            task.cancel()
        bus.publish("t", text(1))
        await asyncio.gather(*readers[::2], return_exceptions=True)
        readers[1].cancel()
        bus.publish("t", done(2))
        kept = await asyncio.gather(*readers[3::2])
        assert kept == [[text(1), done(2)]] * 3
        assert held() == 0

    @pytest.mark.asyncio
    async def test_nothing_is_held_once_all_is_over(self, bus: Bus, held: Callable[[], int]) -> None:
        bus.publish("ended", done(1))
        bus.publish("failed", error())
        async with bus.follow("left", _START), bus.follow("left", Position(3, 9)):
            assert held() == 1
        assert held() == 0
        bus.publish("unread", text(1))
        bus.publish("unread", done(2))
        assert held() == 0

    @pytest.mark.asyncio
    async def test_a_log_outlives_its_readers_until_it_closes(self, bus: Bus, held: Callable[[], int]) -> None:
        async with bus.follow("t", _START):
            bus.publish("t", text(1))
        bus.publish("t", text(2))
        async with bus.follow("t", Position(1, 1)) as live:
            assert list(await batch(live)) == [text(2)]
            bus.publish("t", done(3))
        assert held() == 0

    @pytest.mark.asyncio
    async def test_a_topic_can_be_used_again(self, bus: Bus, held: Callable[[], int]) -> None:
        """A canceled prompt that is retried streams on the same topic."""
        async with bus.follow("t", _START) as old:
            bus.publish("t", error(1))
            async with bus.follow("t", Position(1, END_OF_FAILED)) as new:
                bus.publish("t", text(1, 2))
                bus.publish("t", done(2, 2))
                assert [chunk.kind for chunk in await read(new)] == ["restart", "progress", "done"]
            assert await read(old) == [error(1)]
        assert held() == 0

    @pytest.mark.asyncio
    async def test_thousands_of_readers(self, bus: Bus, held: Callable[[], int]) -> None:
        readers = [asyncio.create_task(follow(bus, "t")) for _ in range(3000)]
        await asyncio.sleep(0)
        for n in range(1, 21):
            bus.publish("t", text(n))
            if n % 5 == 0:
                await asyncio.sleep(0)
        bus.publish("t", done(21))
        expected = [*(text(n) for n in range(1, 21)), done(21)]
        assert all(chunks == expected for chunks in await asyncio.gather(*readers))
        assert held() == 0

    @pytest.mark.asyncio
    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck), database=None)
    @given(data=st.data(), attempts=st.lists(st.lists(st.text(max_size=3), max_size=6), min_size=1, max_size=4))
    async def test_whoever_reads_however_ends_with_the_last_attempt(
        self, bus: Bus, held: Callable[[], int], data: st.DataObject, attempts: list[list[str]]
    ) -> None:
        """Readers join anywhere, leave anywhere, come back with the last position they saw, and dawdle."""
        log: list[Chunk] = []
        for attempt, pieces in enumerate(attempts, 1):
            log += [restart(attempt)] if attempt > 1 and data.draw(st.booleans()) else []
            log += [text(n, attempt, piece) for n, piece in enumerate(pieces, 1)]
        log.append(done(len(attempts[-1]) + 1, len(attempts)))
        turns = data.draw(st.lists(st.integers(0, 3), min_size=len(log), max_size=len(log)), label="turns")
        ended = asyncio.Event()

        async def reader(joins: int, leaves: int) -> str:
            for _ in range(joins):
                await asyncio.sleep(0)
            held_text, position = "", _START
            while not ended.is_set():
                async with bus.follow("t", position) as live:
                    left = leaves
                    async for chunks in live:
                        for chunk in merge(chunks):
                            held_text = apply([chunk], held_text)
                            position = Position(chunk.attempt, chunk.n)
                            if chunk.kind == "done":
                                return held_text
                        left -= 1
                        if not left:
                            break
            return "too late: the store would replay it"

        behaviours = data.draw(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 4)), max_size=5), label="readers")
        async with bus.follow("t", _START) as steady:
            readers = [asyncio.create_task(reader(*behaviour)) for behaviour in behaviours]
            for chunk, turn in zip(log, turns, strict=True):
                for _ in range(turn):
                    await asyncio.sleep(0)
                bus.publish("t", chunk)
            ended.set()
            assert apply(await read(steady)) == "".join(attempts[-1])
        async with asyncio.timeout(_PATIENCE):
            results = await asyncio.gather(*readers)
        assert set(results) <= {"".join(attempts[-1]), "too late: the store would replay it"}
        assert held() == 0
