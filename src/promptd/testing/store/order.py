"""The store exam about the line: who is claimed next."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptd.core.errors import Conflict, NotFound
from promptd.core.filters import Filter, Query
from promptd.core.lifecycle import Move
from promptd.core.model import Prompt
from promptd.testing.store.samples import LANE, NOW, Store, add, claim, complete, serve, settlement

_STEPS = ("add", "add", "claim", "cancel", "retry", *(Move.COMPLETE, Move.FAIL, Move.HAND_BACK))


async def _until_later(store: Store, *, now: float) -> list[Prompt]:
    """Claim as a worker does, again and again while more is due at once; what was claimed."""
    found: list[Prompt] = []
    for _ in range(1000):
        claimed = await store.queue.claim(LANE, 300, now=now)
        found += claimed.prompts
        if claimed.next_due is None or claimed.next_due > now:
            return found
    raise AssertionError("the store wants to be asked again and again")


class OrderExam:
    """Priority, then callers in turn, then the threads of a caller in turn, then age."""

    @pytest.mark.asyncio
    async def test_age_decides_among_equals(self, store: Store) -> None:
        for number in range(5):
            await add(store, f"p{number}")
        assert [prompt.id for prompt in await claim(store, 3)] == ["p0", "p1", "p2"]
        assert [prompt.id for prompt in await claim(store, 9)] == ["p3", "p4"]

    @pytest.mark.asyncio
    async def test_priority_comes_first(self, store: Store) -> None:
        for identifier, priority in {"low": -5, "plain": 0, "plain2": 0, "high": 5, "high2": 5}.items():
            await add(store, identifier, priority=priority)
        assert [prompt.id for prompt in await claim(store, 9)] == ["high", "high2", "plain", "plain2", "low"]

    @pytest.mark.asyncio
    async def test_fair_only_looks_at_turns_and_not_at_priority(self, store: Store) -> None:
        for number in range(4):
            await add(store, f"high{number}", user="pusher", priority=9)
        await add(store, "low", user="patient", priority=-9)
        assert [prompt.id for prompt in await claim(store)] == ["high0"]
        assert [prompt.id for prompt in await claim(store, fair_only=True)] == ["low"]
        assert [prompt.id for prompt in await claim(store, 9, fair_only=True)] == ["high1", "high2", "high3"]

    @pytest.mark.asyncio
    async def test_callers_take_turns(self, store: Store) -> None:
        for number in range(4):
            await add(store, f"ann{number}", user="ann")
        for number in range(2):
            await add(store, f"bob{number}", user="bob")
        await add(store, "eve0", user="eve")
        order = [prompt.id for prompt in await serve(store)]
        assert order == ["ann0", "bob0", "eve0", "ann1", "bob1", "ann2", "ann3"]

    @pytest.mark.asyncio
    async def test_threads_of_a_caller_take_turns_and_prompts_without_one_share_one(self, store: Store) -> None:
        for number in range(3):
            await add(store, f"s{number}", thread="s")
        for number in range(3):
            await add(store, f"alone{number}")
        for number in range(3):
            await add(store, f"t{number}", thread="t")
        order = [prompt.id for prompt in await serve(store)]
        rounds = [order[start : start + 3] for start in (0, 3, 6)]
        assert [sorted(one) for one in rounds] == [sorted((f"s{n}", f"alone{n}", f"t{n}")) for n in range(3)]

    @pytest.mark.asyncio
    async def test_a_caller_with_many_threads_has_one_turn_like_anybody(self, store: Store) -> None:
        for number in range(30):
            await add(store, f"many{number}", user="many", thread=f"thread{number}")
        for number in range(3):
            await add(store, f"few{number}", user="few")
        order = [prompt.user for prompt in await serve(store)]
        assert order[:6].count("few") == 3

    @pytest.mark.asyncio
    async def test_prompts_that_began_a_thread_of_their_own_share_one_turn_too(self, store: Store) -> None:
        for number in range(30):
            await add(store, f"single{number}", thread=f"single{number}")
        await add(store, "none")
        await add(store, "urgent", thread="urgent work")
        order = [prompt.id for prompt in await serve(store)]
        assert order[:2] == ["single0", "urgent"]
        assert order[2:] == [*(f"single{number}" for number in range(1, 30)), "none"]

    @pytest.mark.asyncio
    async def test_a_thread_that_began_in_its_callers_line_is_serial(self, store: Store) -> None:
        await add(store, "first")
        await add(store, "a", thread="a")
        await add(store, "b", thread="a")
        await add(store, "last")
        (first,) = await claim(store)
        (began,) = await claim(store, 1)
        assert (first.id, began.id) == ("first", "a")
        assert [prompt.id for prompt in await claim(store, 9)] == ["last"], "b waits for a"
        await complete(store, began)
        assert [prompt.id for prompt in await claim(store, 9)] == ["b"]

    @pytest.mark.asyncio
    @pytest.mark.parametrize("name", ["single0", "single1", "single2", "later"])
    async def test_canceling_brings_nothing_forward_out_of_turn(self, store: Store, name: str) -> None:
        for number in range(3):
            await add(store, f"single{number}", thread=f"single{number}")
        await add(store, "later", thread="single1")
        await store.queue.cancel(name, now=NOW)
        assert len(await claim(store, 9)) == (3 if name == "later" else 2) + (name == "single1")
        assert await claim(store, 9) == []

    @pytest.mark.asyncio
    async def test_a_line_is_canceled_from_its_head_one_by_one(self, store: Store) -> None:
        for number in range(5):
            await add(store, f"single{number}", thread=f"single{number}")
        for number in range(4):
            await store.queue.cancel(f"single{number}", now=NOW)
        assert [prompt.id for prompt in await claim(store, 9)] == ["single4"]

    @pytest.mark.asyncio
    async def test_a_thread_with_an_older_prompt_does_not_begin_with_its_namesake(self, store: Store) -> None:
        await add(store, "older", thread="t")
        await add(store, "t", thread="t")
        (running,) = await claim(store, 9)
        assert running.id == "older"
        await complete(store, running)
        assert [prompt.id for prompt in await claim(store, 9)] == ["t"]

    @pytest.mark.asyncio
    async def test_a_retry_takes_a_thread_back_from_the_prompt_that_began_it(self, store: Store) -> None:
        """Its place in the caller's line goes to the next one there."""
        await add(store, "older", thread="t")
        await store.queue.cancel("older", now=NOW)
        await add(store, "t", thread="t")
        await add(store, "next", thread="next")
        await store.queue.retry("older", now=NOW)
        found = await claim(store, 9)
        assert sorted(prompt.id for prompt in found) == ["next", "older"]
        await complete(store, next(prompt for prompt in found if prompt.id == "older"))
        assert [prompt.id for prompt in await claim(store, 9)] == ["t"]

    @pytest.mark.asyncio
    @pytest.mark.parametrize("back", [Move.HAND_BACK, Move.RESCUE, Move.FAIL])
    async def test_a_prompt_that_began_its_thread_comes_back_as_one_without_a_thread(
        self, store: Store, back: Move
    ) -> None:
        await add(store, "t", thread="t")
        await add(store, "later", thread="t")
        await add(store, "next", thread="next")
        (running,) = await claim(store, 1)
        assert running.id == "t"
        if back is Move.RESCUE:
            await store.queue.rescue(now=NOW, everything=True)
        else:
            await store.queue.settle(settlement(running, back, due=NOW + 5 if back is Move.FAIL else None))
        assert sorted(prompt.id for prompt in await claim(store, 9)) == (
            ["next"] if back is Move.FAIL else ["next", "t"]
        )
        if back is Move.FAIL:
            assert [prompt.id for prompt in await claim(store, 9, now=NOW + 5)] == ["t"]

    @pytest.mark.asyncio
    async def test_one_that_waits_for_its_time_comes_into_its_callers_line(self, store: Store) -> None:
        await add(store, "t", thread="t", not_before=NOW + 1)
        await add(store, "u", thread="u", not_before=NOW + 1)
        await add(store, "later", thread="t")
        await add(store, "now", thread="now")
        assert [prompt.id for prompt in await claim(store, 9)] == ["now"]
        assert [prompt.id for prompt in await claim(store, 1, now=NOW + 1)] == ["t"]
        assert [prompt.id for prompt in await claim(store, 9, now=NOW + 1)] == ["u"]

    @pytest.mark.asyncio
    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data(), backlogs=st.lists(st.integers(1, 12), min_size=2, max_size=5))
    async def test_no_caller_waits_longer_than_a_round(
        self, store: Store, data: st.DataObject, backlogs: list[int]
    ) -> None:
        """Of k callers nobody waits for more than one round and the rest of another, whatever the backlogs."""
        lane = f"fair-{uuid4()}"
        order = [user for user, count in enumerate(backlogs) for _ in range(count)]
        waiting = dict.fromkeys(range(len(backlogs)), 0)
        arrivals = data.draw(st.permutations(order), label="arrivals")
        await asyncio.gather(
            *[add(store, f"{lane}-{number}", lane=lane, user=f"{lane}-{user}") for number, user in enumerate(arrivals)]
        )
        left = dict(enumerate(backlogs))
        for prompt in await serve(store, lane=lane):
            claimed = int(prompt.user.rpartition("-")[2])
            left[claimed] -= 1
            for user in waiting:
                waiting[user] = 0 if user == claimed or not left[user] else waiting[user] + 1
                assert waiting[user] <= 2 * (len(backlogs) - 1), f"user {user} waited {waiting[user]} claims"

    @pytest.mark.asyncio
    @settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(steps=st.lists(st.tuples(st.sampled_from(_STEPS), st.integers(0, 5), st.integers(0, 3)), max_size=25))
    async def test_whatever_happens_threads_stay_serial_and_nothing_is_stuck(
        self, store: Store, steps: list[tuple[str, int, int]]
    ) -> None:
        run = f"{uuid4()}"
        running: dict[str, Prompt] = {}
        now = NOW
        for step, number, other in steps:
            now += 1
            identifier = f"{run}-{number}"
            if step == "add":
                thread = (None, identifier, f"{run}-0", f"{run}-t")[other]
                await add(store, identifier, now=now, lane=run, user=run, thread=thread, max_attempts=100)
            elif step == "claim":
                for prompt in await claim(store, other, now=now, lane=run):
                    running[prompt.id] = prompt
            elif step in ("cancel", "retry"):
                with suppress(Conflict, NotFound):
                    await getattr(store.queue, step)(identifier, now=now)
                    running.pop(identifier, None)
            elif running:
                ended = running.pop(sorted(running)[number % len(running)])
                due = now + other if step == Move.FAIL else None
                await store.queue.settle(settlement(ended, Move(step), now=now, due=due))
            threads = [prompt.thread for prompt in running.values() if prompt.thread is not None]
            assert len(set(threads)) == len(threads), "two of one thread run at once"
        for prompt in running.values():
            await store.queue.settle(settlement(prompt, Move.COMPLETE, now=now))
        await serve(store, lane=run, now=now + 10)
        live = Filter("status", "in", ("scheduled", "running", "errored"))
        left = await store.records.find(Prompt, Query(filters=(Filter("lane", "eq", run), live)))
        assert [prompt.id for prompt in left.items] == []

    @pytest.mark.asyncio
    async def test_a_newcomer_does_not_wait_for_a_backlog(self, store: Store) -> None:
        for number in range(40):
            await add(store, f"old{number}", user="old")
        assert len(await claim(store, 20)) == 20
        await add(store, "new", user="new")
        assert "new" in {prompt.id for prompt in await claim(store, 2)}

    @pytest.mark.asyncio
    async def test_nobody_saves_up_turns_while_away(self, store: Store) -> None:
        for number in range(20):
            await add(store, f"busy{number}", user="busy")
        await claim(store, 10)
        for number in range(10):
            await add(store, f"back{number}", user="back")
        users = [prompt.user for prompt in await claim(store, 8)]
        assert users.count("back") in (4, 5)

    @pytest.mark.asyncio
    async def test_turns_survive_a_restart(self, store: Store) -> None:
        for number in range(10):
            await add(store, f"ann{number}", user="ann")
        await claim(store, 5)
        await store.reopen()
        for number in range(5):
            await add(store, f"bob{number}", user="bob")
        users = [prompt.user for prompt in await claim(store, 6)]
        assert users.count("bob") == 3

    @pytest.mark.asyncio
    async def test_a_thread_is_serial(self, store: Store) -> None:
        for number in range(3):
            await add(store, f"p{number}", thread="t", priority=number)
        for number in range(3):
            (running,) = await claim(store, 9)
            assert running.id == f"p{number}"
            await complete(store, running)

    @pytest.mark.asyncio
    async def test_a_thread_is_serial_across_lanes(self, store: Store) -> None:
        await add(store, "a", thread="t", lane="one")
        await add(store, "b", thread="t", lane="two")
        assert await claim(store, 9, lane="two") == []
        (running,) = await claim(store, 9, lane="one")
        await complete(store, running)
        assert [prompt.id for prompt in await claim(store, 9, lane="two")] == ["b"]

    @pytest.mark.asyncio
    async def test_a_prompt_that_cannot_run_never_blocks_another_that_can(self, store: Store) -> None:
        for number in range(150):
            await add(store, f"held{number}", thread="t", not_before=NOW + 1)
        (running,) = await claim(store, 9, now=NOW + 2)
        assert running.id == "held0"
        await add(store, "later", not_before=NOW + 3, user="bob")
        assert [prompt.id for prompt in await _until_later(store, now=NOW + 4)] == ["later"]

    @pytest.mark.asyncio
    async def test_more_due_than_one_claim_brings_in_is_announced_at_once(self, store: Store) -> None:
        for number in range(300):
            await add(store, f"p{number}", thread=f"t{number}", not_before=NOW + 1)
        first = await store.queue.claim(LANE, 300, now=NOW + 2)
        assert first.next_due == NOW + 2, "the worker would not look again"
        rest = await _until_later(store, now=NOW + 2)
        assert {prompt.id for prompt in (*first.prompts, *rest)} == {f"p{number}" for number in range(300)}

    @pytest.mark.asyncio
    async def test_a_time_that_has_come_is_not_announced_again(self, store: Store) -> None:
        """`next_due` in the past would make a worker look again and again."""
        await add(store, "a", thread="t")
        await add(store, "b", thread="t", not_before=NOW + 1)
        await add(store, "c", not_before=NOW + 1)
        await add(store, "d", not_before=NOW + 1)
        (running,) = [prompt for prompt in await claim(store, 1) if prompt.id == "a"]
        found = await store.queue.claim(LANE, 9, now=NOW + 2)
        assert (sorted(prompt.id for prompt in found.prompts), found.next_due) == (["c", "d"], None)
        await complete(store, running, now=NOW + 3)
        assert [prompt.id for prompt in await claim(store, 9, now=NOW + 3)] == ["b"]

    @pytest.mark.asyncio
    async def test_not_before_holds_back_its_thread_but_not_its_caller(self, store: Store) -> None:
        await add(store, "a", thread="t", not_before=NOW + 10)
        await add(store, "b", thread="t")
        await add(store, "c")
        assert [prompt.id for prompt in await claim(store, 9)] == ["c"]
        (running,) = await claim(store, 9, now=NOW + 10)
        assert running.id == "a"
        await complete(store, running)
        assert [prompt.id for prompt in await claim(store, 9)] == ["b"]

    @pytest.mark.asyncio
    async def test_a_retried_prompt_goes_before_later_ones_of_its_thread(self, store: Store) -> None:
        for identifier in ("a", "b", "c"):
            await add(store, identifier, thread="t")
        await store.queue.cancel("a", now=NOW)
        await store.queue.retry("a", now=NOW)
        (running,) = await claim(store, 9)
        assert running.id == "a", "b had already come forward"
        await complete(store, running)
        assert [prompt.id for prompt in await claim(store, 9)] == ["b"]

    @pytest.mark.asyncio
    @pytest.mark.parametrize("back", [Move.HAND_BACK, Move.RESCUE, Move.FAIL])
    async def test_a_retry_beside_a_running_prompt_of_its_thread_comes_next(self, store: Store, back: Move) -> None:
        for identifier in ("a", "b", "c"):
            await add(store, identifier, thread="t")
        await store.queue.cancel("a", now=NOW)
        (running,) = await claim(store, 9)
        assert running.id == "b"
        await store.queue.retry("a", now=NOW)
        assert await claim(store, 9) == []
        if back is Move.RESCUE:
            await store.queue.rescue(now=NOW, everything=True)
        else:
            await store.queue.settle(settlement(running, back, due=NOW + 5 if back is Move.FAIL else None))
        assert [prompt.id for prompt in await serve(store)] == (["a"] if back is Move.FAIL else ["a", "b", "c"])
        assert [prompt.id for prompt in await serve(store, now=NOW + 5)] == (["b", "c"] if back is Move.FAIL else [])

    @pytest.mark.asyncio
    async def test_lanes_do_not_see_each_other(self, store: Store) -> None:
        await add(store, "a", lane="one")
        await add(store, "b", lane="two")
        assert [prompt.id for prompt in await claim(store, 9, lane="two")] == ["b"]
        assert await claim(store, 9, lane="three") == []
