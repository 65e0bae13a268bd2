"""The store exam about going out: settle, cancel, retry, deadlines and `prune`."""

from __future__ import annotations

import asyncio

import pytest
from msgspec.structs import replace

from promptd.core.errors import Conflict, NotFound
from promptd.core.filters import Query
from promptd.core.lifecycle import Move, Status
from promptd.core.model import Failure, Judgement, Message, Outcome, Prompt
from promptd.core.ports import Retention
from promptd.testing.store.samples import (
    LANE,
    NOW,
    Store,
    add,
    claim,
    complete,
    ledger,
    make_message,
    make_prompt,
    serve,
    settlement,
    stored,
)


class SettleExam:
    """How attempts and prompts end, and what comes after the end."""

    @pytest.mark.asyncio
    async def test_each_end_of_an_attempt(self, store: Store) -> None:
        ends = {
            Move.COMPLETE: (Status.COMPLETED, Outcome.COMPLETED, 0),
            Move.FAIL: (Status.ERRORED, Outcome.ERRORED, 1),
            Move.GIVE_UP: (Status.ABANDONED, Outcome.ERRORED, 1),
            Move.CANCEL: (Status.CANCELED, Outcome.CANCELED, 0),
            Move.HAND_BACK: (Status.SCHEDULED, Outcome.HANDED_BACK, 0),
        }
        for move, (status, outcome, failures) in ends.items():
            await add(store, move.value, lane=move.value)
            (running,) = await claim(store, lane=move.value)
            assert (running.status, running.runs, running.started) == (Status.RUNNING, 1, NOW)
            end = settlement(running, move, now=NOW + 2, trace=b"\x91\x03" if move is Move.COMPLETE else b"")
            settled = await store.queue.settle(end)
            assert settled == await stored(store, move.value)
            assert settled is not None
            assert (settled.status, settled.failures, settled.runs) == (status, failures, 1)
            assert settled.finished == (NOW + 2 if status.final else None)
            assert (settled.answer, settled.trace, settled.error, settled.due) == (
                end.answer,
                end.trace,
                end.error,
                end.due,
            )
            assert [attempt.outcome for attempt in await ledger(store, running)] == [outcome]
            assert await ledger(store, running) == [end.attempt]

    @pytest.mark.asyncio
    async def test_judgements_come_with_the_prompt_and_with_its_attempts(self, store: Store) -> None:
        asked = Judgement("words", "input", "recorded", 0.5, ("rude",))
        answered = Judgement("words", "output", "refused", 1.0)
        for move in (Move.COMPLETE, Move.FAIL, Move.GIVE_UP):
            await add(store, move.value, lane=move.value, judgements=(asked,))
            (running,) = await claim(store, lane=move.value)
            assert running.judgements == (asked,)
            settled = await store.queue.settle(settlement(running, move, judgements=(asked, answered)))
            assert settled is not None
            assert settled.judgements == (asked, answered)
            await store.reopen()
            assert (await stored(store, move.value)).judgements == (asked, answered)
        await add(store, "plain", lane="plain", judgements=(asked,))
        (running,) = await claim(store, lane="plain")
        assert (await complete(store, running)).judgements == (asked,)
        assert (await stored(store, "plain")).judgements == (asked,)

    @pytest.mark.asyncio
    async def test_only_the_first_settle_counts(self, store: Store) -> None:
        await add(store, "a")
        (running,) = await claim(store)
        first = await complete(store, running)
        late = settlement(running, Move.GIVE_UP, now=NOW + 9)
        assert await store.queue.settle(late) is None
        assert await stored(store, "a") == first
        assert [attempt.outcome for attempt in await ledger(store, running)] == [Outcome.COMPLETED]

    @pytest.mark.asyncio
    async def test_a_settle_after_a_rescue_changes_nothing(self, store: Store) -> None:
        await add(store, "a", thread="t")
        (running,) = await claim(store)
        await store.queue.rescue(now=NOW, everything=True)
        answer = make_message("m", running, role="assistant", user=None)
        assert await store.queue.settle(settlement(running, Move.COMPLETE, messages=(answer,))) is None
        assert (await stored(store, "a")).status is Status.SCHEDULED
        assert await store.records.get(Message, "m") is None
        (again,) = await claim(store)
        assert again.runs == 2
        assert await store.queue.settle(settlement(running, Move.COMPLETE)) is None, "an old lease settled a new run"
        await complete(store, again)
        assert [(attempt.run, attempt.outcome) for attempt in await ledger(store, running)] == [
            (1, Outcome.LOST),
            (2, Outcome.COMPLETED),
        ]

    @pytest.mark.asyncio
    async def test_a_cancel_wins_and_its_attempt_is_in_the_ledger(self, store: Store) -> None:
        await add(store, "a", thread="t")
        (running,) = await claim(store)
        canceled = (await store.queue.cancel("a", now=NOW + 1)).prompt
        assert (canceled.status, canceled.finished) == (Status.CANCELED, NOW + 1)
        assert await stored(store, "a") == canceled
        answer = make_message("m", running, role="assistant", user=None)
        assert await store.queue.settle(settlement(running, Move.COMPLETE, now=NOW + 2, messages=(answer,))) is None
        assert await stored(store, "a") == replace(canceled, cost=7), "what it spent counts"
        assert await store.records.get(Message, "m") is None
        (attempt,) = await ledger(store, running)
        assert (attempt.outcome, attempt.cost) == (Outcome.CANCELED, 7)

    @pytest.mark.asyncio
    async def test_a_canceled_attempt_is_in_the_ledger_even_after_a_quick_retry(self, store: Store) -> None:
        await add(store, "a")
        (running,) = await claim(store)
        await store.queue.cancel("a", now=NOW)
        await store.queue.retry("a", now=NOW)
        assert await store.queue.settle(settlement(running, Move.CANCEL)) is None
        (again,) = await claim(store)
        await complete(store, again)
        assert [(attempt.run, attempt.outcome) for attempt in await ledger(store, running)] == [
            (1, Outcome.CANCELED),
            (2, Outcome.COMPLETED),
        ]

    @pytest.mark.asyncio
    async def test_cancel_is_refused_once_final_and_for_strangers(self, store: Store) -> None:
        await add(store, "a")
        await serve(store)
        with pytest.raises(Conflict):
            await store.queue.cancel("a", now=NOW)
        with pytest.raises(NotFound):
            await store.queue.cancel("unknown", now=NOW)

    @pytest.mark.asyncio
    async def test_an_errored_prompt_waits_until_it_is_due(self, store: Store) -> None:
        await add(store, "a")
        (running,) = await claim(store)
        await store.queue.settle(settlement(running, Move.FAIL, due=NOW + 8))
        await add(store, "b")
        assert [prompt.id for prompt in await claim(store, 9, now=NOW + 7.9)] == ["b"]
        found = await store.queue.claim(LANE, 9, now=NOW + 7.9)
        assert (found.prompts, found.next_due) == ((), NOW + 8)
        await store.reopen()
        (again,) = await claim(store, 9, now=NOW + 8)
        assert (again.id, again.runs, again.failures, again.error, again.due) == ("a", 2, 1, None, None)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("thread", [None, "t"])
    async def test_a_failed_prompt_may_wait_for_its_next_attempt_in_another_lane(
        self, store: Store, thread: str | None
    ) -> None:
        await add(store, "a", thread=thread)
        (running,) = await claim(store)
        end = settlement(running, Move.FAIL, due=NOW + 8, lane="other")
        settled = await store.queue.settle(end)
        assert settled == await stored(store, "a")
        assert settled is not None
        assert (settled.lane, settled.due, settled.failures) == ("other", NOW + 8, 1)
        assert await ledger(store, running) == [end.attempt], "the attempt was made on the former lane"
        await add(store, "b")
        assert [prompt.id for prompt in await claim(store, 9, now=NOW + 9)] == ["b"]
        assert (await store.queue.claim("other", 9, now=NOW + 7)).next_due == NOW + 8
        await store.reopen()
        (again,) = await claim(store, 9, lane="other", now=NOW + 8)
        assert (again.id, again.lane, again.runs) == ("a", "other", 2)
        await complete(store, again, now=NOW + 9)

    @pytest.mark.asyncio
    @pytest.mark.parametrize("move", [Move.COMPLETE, Move.GIVE_UP, Move.CANCEL, Move.HAND_BACK])
    async def test_only_one_that_is_tried_again_changes_its_lane(self, store: Store, move: Move) -> None:
        await add(store, "a")
        (running,) = await claim(store)
        settled = await store.queue.settle(settlement(running, move, lane="other"))
        assert settled == await stored(store, "a")
        assert settled is not None
        assert settled.lane == LANE

    @pytest.mark.asyncio
    async def test_an_errored_prompt_holds_back_its_thread_until_it_is_canceled(self, store: Store) -> None:
        await add(store, "a", thread="t")
        await add(store, "b", thread="t")
        (running,) = await claim(store, 9)
        await store.queue.settle(settlement(running, Move.FAIL, due=NOW + 100))
        assert await claim(store, 9, now=NOW + 50) == []
        await store.queue.cancel("a", now=NOW + 50)
        assert [prompt.id for prompt in await claim(store, 9, now=NOW + 50)] == ["b"]

    @pytest.mark.asyncio
    async def test_a_waiting_prompt_is_abandoned_at_its_deadline(self, store: Store) -> None:
        await add(store, "a", thread="t", deadline=NOW + 5)
        await add(store, "b", thread="t")
        await add(store, "c", thread="u")
        (running,) = [prompt for prompt in await claim(store, 1) if prompt.id == "a"]
        await store.queue.settle(settlement(running, Move.FAIL, due=NOW + 4.5, error=Failure("timeout", "why")))
        found = await store.queue.claim(LANE, 1, now=NOW)
        assert (found.expired, found.next_due) == ((), NOW + 4.5)
        found = await store.queue.claim(LANE, 9, now=NOW + 5)
        (gone,) = found.expired
        assert gone == await stored(store, "a")
        assert (gone.status, gone.finished, gone.error) == (Status.ABANDONED, NOW + 5, Failure("timeout", "why"))
        assert "b" in {prompt.id for prompt in found.prompts}, "its thread goes on"

    @pytest.mark.asyncio
    async def test_a_deadline_of_a_fresh_prompt_says_timeout(self, store: Store) -> None:
        await add(store, "a", deadline=NOW + 5)
        await add(store, "b", deadline=NOW + 6, not_before=NOW + 5.5)
        assert (await store.queue.claim(LANE, 0, now=NOW)).next_due == NOW + 5
        found = await store.queue.claim(LANE, 0, now=NOW + 6)
        assert [(prompt.id, prompt.error.code if prompt.error else None) for prompt in found.expired] == [
            ("a", "timeout"),
            ("b", "timeout"),
        ]
        assert (await store.queue.claim(LANE, 1, now=NOW + 6)).next_due is None

    @pytest.mark.asyncio
    async def test_many_deadlines_at_once_are_all_kept_and_none_of_them_runs(self, store: Store) -> None:
        names = {f"p{number}" for number in range(100)}
        for name in names:
            await add(store, name, thread=f"thread of {name}", deadline=NOW + 5)
        gone: list[str] = []
        due: float | None = NOW + 6
        while due is not None:
            assert due == NOW + 6
            found = await store.queue.claim(LANE, 3, now=NOW + 6)
            assert found.prompts == (), "started behind its deadline"
            assert found.expired
            gone += [prompt.id for prompt in found.expired]
            due = found.next_due
        assert sorted(gone) == sorted(names)

    @pytest.mark.asyncio
    async def test_a_running_prompt_does_not_expire_in_the_store(self, store: Store) -> None:
        await add(store, "a", deadline=NOW + 5, start=True)
        found = await store.queue.claim(LANE, 1, now=NOW + 6)
        assert (found.expired, found.next_due) == ((), None)

    @pytest.mark.asyncio
    async def test_cancel_and_retry_tell_what_the_prompt_was(self, store: Store) -> None:
        await add(store, "a")
        assert (await store.queue.cancel("a", now=NOW)).was is Status.SCHEDULED
        assert (await store.queue.retry("a", now=NOW)).was is Status.CANCELED
        (running,) = await claim(store)
        await store.queue.settle(settlement(running, Move.FAIL, due=NOW + 9))
        assert (await store.queue.retry("a", now=NOW)).was is Status.ERRORED
        await claim(store)
        assert (await store.queue.cancel("a", now=NOW)).was is Status.RUNNING

    @pytest.mark.asyncio
    async def test_a_handed_back_prompt_keeps_its_place_and_its_failures(self, store: Store) -> None:
        await add(store, "a")
        await add(store, "b")
        (running,) = await claim(store)
        await store.queue.settle(settlement(running, Move.HAND_BACK))
        assert [prompt.id for prompt in await serve(store)] == ["a", "b"]
        assert [(attempt.run, attempt.outcome) for attempt in await ledger(store, running)] == [
            (1, Outcome.HANDED_BACK),
            (2, Outcome.COMPLETED),
        ]

    @pytest.mark.asyncio
    async def test_retry_starts_afresh(self, store: Store) -> None:
        for move in (Move.FAIL, Move.GIVE_UP, Move.CANCEL):
            await add(store, move.value, lane=move.value, deadline=NOW + 5)
            (running,) = await claim(store, lane=move.value)
            await store.queue.settle(settlement(running, move, due=NOW + 500))
            afresh = (await store.queue.retry(move.value, now=NOW + 9)).prompt
            assert afresh == await stored(store, move.value)
            assert (afresh.status, afresh.failures, afresh.rescues, afresh.runs) == (Status.SCHEDULED, 0, 0, 1)
            assert (afresh.finished, afresh.answer, afresh.error, afresh.due) == (None, None, None, None)
            (again,) = await claim(store, lane=move.value, now=NOW + 9)
            assert again.runs == 2

    @pytest.mark.asyncio
    @pytest.mark.parametrize("thread", [None, "t"])
    async def test_retry_waits_for_not_before(self, store: Store, thread: str | None) -> None:
        await add(store, "a", not_before=NOW + 9, deadline=NOW + 20, thread=thread)
        await store.queue.cancel("a", now=NOW)
        afresh = (await store.queue.retry("a", now=NOW + 1)).prompt
        assert (afresh.not_before, afresh.due) == (NOW + 9, NOW + 9)
        early = await store.queue.claim(LANE, 1, now=NOW + 8)
        assert (early.prompts, early.next_due) == ((), NOW + 9)
        (running,) = await claim(store, now=NOW + 9)
        await store.queue.settle(settlement(running, Move.GIVE_UP, now=NOW + 9))
        assert (await store.queue.retry("a", now=NOW + 9)).prompt.due is None, "its time has come"
        assert len(await claim(store, now=NOW + 9)) == 1

    @pytest.mark.asyncio
    async def test_retry_is_refused_for_all_else(self, store: Store) -> None:
        await add(store, "waiting")
        await add(store, "running", start=True, lane="other")
        await add(store, "done", lane="third")
        await serve(store, lane="third")
        for identifier in ("waiting", "running", "done"):
            with pytest.raises(Conflict):
                await store.queue.retry(identifier, now=NOW)
        with pytest.raises(NotFound):
            await store.queue.retry("unknown", now=NOW)

    @pytest.mark.asyncio
    async def test_prune_takes_old_final_prompts_only(self, store: Store) -> None:
        for number in range(7):
            await add(store, f"done-{number}", start=True, user=f"user-{number}")
            await complete(store, await stored(store, f"done-{number}"), now=NOW + number)
        await add(store, "canceled")
        await store.queue.cancel("canceled", now=NOW)
        await add(store, "waiting")
        rules = [Retention(Status.COMPLETED, 100)]
        when = NOW + 103.5
        assert await store.queue.prune(rules, now=when, dry_run=True) == 4
        assert (await store.records.find(Prompt, Query(count=True))).count == 9
        gone = await stored(store, "done-0")
        assert await store.queue.prune(rules, now=when) == 4
        assert await store.queue.prune(rules, now=when) == 0
        left = {prompt.id for prompt in (await store.records.find(Prompt, Query())).items}
        assert left == {"done-4", "done-5", "done-6", "canceled", "waiting"}
        assert await ledger(store, gone) == []
        both = [Retention(Status.COMPLETED, 0), Retention(Status.CANCELED, 0)]
        assert await store.queue.prune(both, now=when) == 4
        assert [prompt.id for prompt in await serve(store)] == ["waiting"]

    @pytest.mark.asyncio
    async def test_prune_goes_on_through_many(self, store: Store) -> None:
        old = [make_prompt(f"old-{number}", status=Status.CANCELED, finished=NOW) for number in range(1203)]
        await asyncio.gather(*[store.queue.add(prompt, now=NOW) for prompt in old])
        rules = [Retention(Status.CANCELED, 1)]
        assert await store.queue.prune(rules, now=NOW + 2, dry_run=True) == 1203
        assert await store.queue.prune(rules, now=NOW + 2) == 1203
        assert (await store.records.find(Prompt, Query())).items == ()
