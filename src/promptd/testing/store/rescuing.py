"""The store exam about lost workers: leases, rescues, and prompts that may only run alone."""

from __future__ import annotations

import pytest

from promptd.core.lifecycle import Move, Status
from promptd.core.model import Outcome, Prompt
from promptd.testing.store.samples import (
    LANE,
    NOW,
    Store,
    add,
    claim,
    complete,
    ledger,
    serve,
    settlement,
    stored,
)


class RescueExam:
    """What happens to prompts whose worker died."""

    @pytest.mark.asyncio
    async def test_a_lease_is_extended_by_beats_and_ends_without(self, store: Store) -> None:
        await add(store, "a", start=True)
        await store.queue.beat(NOW, 10)
        assert await store.queue.rescue(now=NOW + 9.9) == ()
        await store.queue.beat(NOW + 9.9, 10)
        assert await store.queue.rescue(now=NOW + 19) == ()
        (back,) = await store.queue.rescue(now=NOW + 20)
        assert back == await stored(store, "a")
        assert (back.status, back.rescues, back.failures, back.runs) == (Status.SCHEDULED, 1, 0, 1)
        assert [attempt.outcome for attempt in await ledger(store, back)] == [Outcome.LOST]
        assert [prompt.id for prompt in await claim(store)] == ["a"]

    @pytest.mark.asyncio
    async def test_everything_is_rescued_after_a_restart_and_goes_first(self, store: Store) -> None:
        for number in range(3):
            await add(store, f"old-{number}", user=f"user-{number}", start=True)
        await add(store, "new", user="late")
        await store.reopen()
        back = await store.queue.rescue(now=NOW, everything=True)
        assert [prompt.id for prompt in back] == ["old-0", "old-1", "old-2"]
        assert [prompt.id for prompt in await serve(store)] == ["old-0", "old-1", "old-2", "new"]

    @pytest.mark.asyncio
    async def test_a_prompt_that_kills_its_worker_runs_alone_and_is_abandoned_at_last(self, store: Store) -> None:
        await add(store, "a", thread="t", max_attempts=3)
        await add(store, "b", thread="t")
        alone = 0
        while True:
            found = await claim(store, 9)
            if not found:
                found = list((await store.queue.claim(LANE, 9, now=NOW, alone=True)).prompts)
                alone += 1
            assert [prompt.id for prompt in found] == ["a"]
            (back,) = await store.queue.rescue(now=NOW, everything=True)
            assert back == await stored(store, "a")
            assert back.rescues == len(await ledger(store, back))
            if back.status.final:
                break
            assert back.failures == alone, "only a crash while alone counts"
        assert (back.status, back.finished, alone) == (Status.ABANDONED, NOW, 3)
        assert back.error is not None
        assert [prompt.id for prompt in await claim(store, 9)] == ["b"]

    @pytest.mark.asyncio
    async def test_a_prompt_under_suspicion_may_still_complete(self, store: Store) -> None:
        await add(store, "a")
        await add(store, "b")
        for _ in range(3):
            await claim(store)
            await store.queue.rescue(now=NOW, everything=True)
        assert (await store.queue.claim("other", 1, now=NOW, alone=True)).prompts == ()
        (suspect,) = (await store.queue.claim(LANE, 1, now=NOW, alone=True)).prompts
        assert (suspect.id, suspect.rescues, suspect.runs) == ("a", 3, 4)
        assert (await store.queue.claim(LANE, 1, now=NOW, alone=True)).prompts == ()
        await complete(store, suspect)
        assert [prompt.id for prompt in await serve(store)] == ["b"]

    @pytest.mark.asyncio
    @pytest.mark.parametrize("thread", [None, "t"])
    async def test_a_prompt_under_suspicion_stays_so_until_a_caller_retries_it(
        self, store: Store, thread: str | None
    ) -> None:
        await add(store, "a", thread=thread)
        for _ in range(3):
            await claim(store)
            await store.queue.rescue(now=NOW, everything=True)

        async def alone(now: float) -> Prompt:
            assert await claim(store, 9, now=now) == [], "a suspect runs beside others"
            (suspect,) = (await store.queue.claim(LANE, 1, now=now, alone=True)).prompts
            return suspect

        await store.queue.settle(settlement(await alone(NOW), Move.HAND_BACK))
        await store.queue.settle(settlement(await alone(NOW), Move.FAIL, due=NOW + 5))
        assert (await store.queue.claim(LANE, 1, now=NOW + 4, alone=True)).prompts == ()
        await store.queue.settle(settlement(await alone(NOW + 5), Move.GIVE_UP, now=NOW + 5))
        await store.queue.retry("a", now=NOW + 6)
        assert [prompt.id for prompt in await claim(store, 9, now=NOW + 6)] == ["a"]

    @pytest.mark.asyncio
    async def test_a_suspect_waits_for_one_that_was_retried_in_front_of_it(self, store: Store) -> None:
        await add(store, "a", thread="t")
        await store.queue.cancel("a", now=NOW)
        await add(store, "b", thread="t")
        for _ in range(3):
            await claim(store)
            await store.queue.rescue(now=NOW, everything=True)
        await store.queue.retry("a", now=NOW)
        assert (await store.queue.claim(LANE, 1, now=NOW, alone=True)).prompts == (), "the thread is serial"
        assert [prompt.id for prompt in await serve(store)] == ["a"], "b runs alone or not at all"
        assert [prompt.id for prompt in (await store.queue.claim(LANE, 1, now=NOW, alone=True)).prompts] == ["b"]

    @pytest.mark.asyncio
    async def test_rescues_are_limited(self, store: Store) -> None:
        await add(store, "a", max_attempts=100)
        for number in range(1, 1000):
            found = await claim(store) or (await store.queue.claim(LANE, 1, now=NOW, alone=True)).prompts
            assert len(found) == 1
            (back,) = await store.queue.rescue(now=NOW, everything=True)
            assert back.rescues == number
            if back.status.final:
                break
        assert back.status is Status.ABANDONED
