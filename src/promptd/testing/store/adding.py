"""The store exam about coming in: `Queue.add`."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from promptd.core.content import Tool, ToolCall, Turn
from promptd.core.errors import Conflict, IdempotencyMismatch
from promptd.core.filters import Filter, Query
from promptd.core.lifecycle import Move, Status
from promptd.core.model import Answer, Capability, Message, Mode, Outcome, Prompt, Request, Thread, Usage
from promptd.core.parameters import Parameters
from promptd.core.ports import Idempotency
from promptd.testing.store.samples import (
    LANE,
    NOW,
    Store,
    add,
    claim,
    complete,
    ledger,
    make_attempt,
    make_message,
    make_prompt,
    make_thread,
    serve,
    settlement,
    stored,
)

_DAY = 86400.0

_FULL = Request(
    messages=(
        Turn("system", "be \x00 brief"),
        Turn("user", "grüße 🦜", name="ann"),
        Turn("assistant", tool_calls=(ToolCall(1, "c1", "look", '{"a":1}'),)),
        Turn("tool", "found", tool_call_id="c1"),
    ),
    parameters=Parameters(
        temperature=0.1,
        top_p=0.9,
        max_tokens=5,
        stop=("\n",),
        seed=1,
        json_schema={"type": "object"},
        tools=(Tool("look", "looks", {"type": "object"}),),
        tool_choice="auto",
        extra={"min_p": 0.05, "deep": {"list": [1, None, "x"]}},
    ),
    texts=("one", "two"),
    metadata={"label": "value"},
)


class AddExam:
    """New prompts, the same prompt again, idempotency keys, threads and their messages."""

    @pytest.mark.asyncio
    async def test_every_field_comes_back(self, store: Store) -> None:
        prompt = make_prompt(
            "full",
            key="key",
            team="team",
            mode=Mode.QUEUED,
            capability=Capability.COMPLETION,
            thread="thread",
            parent="parent",
            priority=-3,
            not_before=NOW + 5.25,
            deadline=NOW + 50.125,
            max_attempts=9,
            request=_FULL,
            updated=NOW + 0.001,
        )
        added = await store.queue.add(prompt, now=NOW, thread=make_thread("thread", "ann", "bob"))
        assert added.created
        assert added.prompt == replace(prompt, no=added.prompt.no, due=NOW + 5.25)
        assert added.prompt.no > 0
        assert await store.records.get(Prompt, "full") == added.prompt
        assert await store.records.get(Thread, "thread") == make_thread("thread", "ann", "bob")
        await store.reopen()
        assert await store.records.get(Prompt, "full") == added.prompt

    @pytest.mark.asyncio
    async def test_what_add_returns_is_what_is_stored(self, store: Store) -> None:
        for prompt in (await add(store, "a", updated=0.0), await add(store, "b", start=True, user="bob")):
            assert await stored(store, prompt.id) == prompt

    @pytest.mark.asyncio
    async def test_a_finished_prompt_is_stored_as_it_is(self, store: Store) -> None:
        answer = Answer("m", "text", (ToolCall(0, "c", "f", "{}"),), {"x": [1.5]}, "length", Usage(1, 2, 3))
        prompt = make_prompt(
            "done",
            mode=Mode.ATTACHED,
            status=Status.COMPLETED,
            runs=1,
            started=NOW + 1,
            finished=NOW + 2,
            answer=answer,
            trace=b"\x92\x01\x02",
        )
        added = await store.queue.add(prompt, now=NOW, attempts=[make_attempt(prompt)])
        assert await stored(store, "done") == replace(prompt, no=added.prompt.no, cost=7) == added.prompt
        assert await ledger(store, added.prompt) == [make_attempt(added.prompt)]
        assert await claim(store) == []

    @pytest.mark.asyncio
    async def test_the_ledger_keeps_the_attempt_of_a_finished_prompt_that_is_retried(self, store: Store) -> None:
        prompt = make_prompt("gone", status=Status.ABANDONED, runs=1, started=NOW, finished=NOW)
        added = await store.queue.add(prompt, now=NOW, attempts=[make_attempt(prompt, Outcome.ERRORED)])
        await store.queue.retry("gone", now=NOW)
        (running,) = await claim(store)
        await complete(store, running)
        assert [attempt.outcome for attempt in await ledger(store, added.prompt)] == [
            Outcome.ERRORED,
            Outcome.COMPLETED,
        ]

    @pytest.mark.asyncio
    async def test_numbers_grow_and_are_never_used_again(self, store: Store) -> None:
        first = await add(store, "a")
        await store.queue.cancel("a", now=NOW)
        await store.records.delete(Prompt, "a")
        await store.reopen()
        assert (await add(store, "b")).no > first.no

    @pytest.mark.asyncio
    async def test_start_runs_at_once_where_nothing_is_in_the_way(self, store: Store) -> None:
        started = await add(store, "a", now=NOW + 1, start=True)
        assert (started.status, started.runs, started.started) == (Status.RUNNING, 1, NOW + 1)
        assert await stored(store, "a") == started
        assert await claim(store) == []
        in_thread = await add(store, "b", start=True, thread="t")
        assert in_thread.status is Status.RUNNING

    @pytest.mark.asyncio
    async def test_start_waits_for_its_thread(self, store: Store) -> None:
        for thread, moves in {"s": [], "r": ["claim"], "e": ["claim", "fail"]}.items():
            await add(store, f"first-{thread}", thread=thread, lane=thread)
            running = await claim(store, lane=thread) if "claim" in moves else []
            if "fail" in moves:
                await store.queue.settle(settlement(running[0], Move.FAIL))
            later = await add(store, f"second-{thread}", thread=thread, lane=thread, start=True)
            assert (later.status, later.runs) == (Status.SCHEDULED, 0), f"started beside {moves}"

    @pytest.mark.asyncio
    async def test_start_waits_for_not_before(self, store: Store) -> None:
        waiting = await add(store, "a", start=True, not_before=NOW + 10)
        assert (waiting.status, waiting.due) == (Status.SCHEDULED, NOW + 10)
        assert (await store.queue.claim(LANE, 1, now=NOW + 9)).next_due == NOW + 10
        assert [prompt.id for prompt in await claim(store, now=NOW + 10)] == ["a"]
        past = await add(store, "b", start=True, not_before=NOW - 1)
        assert past.status is Status.RUNNING

    @pytest.mark.asyncio
    async def test_the_same_id_gives_the_first_prompt(self, store: Store) -> None:
        first = await add(store, "a")
        again = await store.queue.add(make_prompt("a", model="other"), now=NOW, start=True)
        assert not again.created
        assert again.prompt == first
        await serve(store)
        last = await store.queue.add(make_prompt("a"), now=NOW)
        assert (last.created, last.prompt.status) == (False, Status.COMPLETED)

    @pytest.mark.asyncio
    async def test_the_same_id_again_leaves_nothing_behind(self, store: Store) -> None:
        await add(store, "a", thread="t")
        other = make_prompt("a", thread="u")
        await store.queue.add(other, now=NOW, thread=make_thread("u"), messages=[make_message("m", other)])
        assert await store.records.get(Thread, "u") is None
        assert await store.records.get(Message, "m") is None

    @pytest.mark.asyncio
    async def test_somebody_elses_id_is_a_conflict(self, store: Store) -> None:
        first = await add(store, "a")
        prompt = make_prompt("a", user="bob", thread="t")
        with pytest.raises(Conflict):
            await store.queue.add(prompt, now=NOW, thread=make_thread("t", "bob"))
        assert await stored(store, "a") == first
        assert await store.records.get(Thread, "t") is None, "a refused call left something behind"

    @pytest.mark.asyncio
    async def test_a_canceled_id_starts_afresh(self, store: Store) -> None:
        prompt = make_prompt("a", thread="t")
        await store.queue.add(prompt, now=NOW, thread=make_thread("t"), messages=[make_message("m1", prompt)])
        (running,) = await claim(store)
        await store.queue.cancel("a", now=NOW)
        assert await store.queue.settle(settlement(running, Move.CANCEL)) is None
        again = await store.queue.add(prompt, now=NOW, thread=make_thread("t"), messages=[make_message("m2", prompt)])
        assert again.created
        assert again.prompt.no > running.no
        assert await ledger(store, again.prompt) == []
        assert (await serve(store))[0].no == again.prompt.no
        page = await store.records.find(Message, Query(filters=(Filter("thread", "eq", "t"),)))
        assert [message.id for message in page.items] == ["m2"], "the canceled question would count as answered"

    @pytest.mark.asyncio
    async def test_somebody_elses_canceled_id_is_a_conflict(self, store: Store) -> None:
        await add(store, "a")
        await store.queue.cancel("a", now=NOW)
        with pytest.raises(Conflict):
            await add(store, "a", user="bob")

    @pytest.mark.asyncio
    async def test_an_idempotency_key_gives_the_first_prompt(self, store: Store) -> None:
        once = Idempotency("key", b"body", NOW + _DAY)
        first = await store.queue.add(make_prompt("a"), now=NOW, idempotency=once)
        second = await store.queue.add(make_prompt("b"), now=NOW + 1, idempotency=once, start=True)
        assert (second.created, second.prompt) == (False, first.prompt)
        assert await store.records.get(Prompt, "b") is None
        await store.reopen()
        third = await store.queue.add(make_prompt("c"), now=NOW + 2, idempotency=once)
        assert (third.created, third.prompt.id) == (False, "a")

    @pytest.mark.asyncio
    async def test_an_idempotency_key_with_another_body_is_refused(self, store: Store) -> None:
        await store.queue.add(make_prompt("a"), now=NOW, idempotency=Idempotency("key", b"body", NOW + _DAY))
        with pytest.raises(IdempotencyMismatch):
            await store.queue.add(make_prompt("b"), now=NOW, idempotency=Idempotency("key", b"other", NOW + _DAY))
        assert await store.records.get(Prompt, "b") is None

    @pytest.mark.asyncio
    async def test_an_idempotency_key_expires(self, store: Store) -> None:
        await store.queue.add(make_prompt("a"), now=NOW, idempotency=Idempotency("key", b"body", NOW + 10))
        renewed = Idempotency("key", b"other", NOW + 20)
        assert (await store.queue.add(make_prompt("b"), now=NOW + 10, idempotency=renewed)).created
        again = await store.queue.add(make_prompt("c"), now=NOW + 11, idempotency=renewed)
        assert (again.created, again.prompt.id) == (False, "b")

    @pytest.mark.asyncio
    async def test_pruning_without_rules_forgets_expired_idempotency_keys_and_no_others(self, store: Store) -> None:
        for number in range(70):
            once = Idempotency(f"key{number}", b"body", NOW + (10 if number < 69 else _DAY))
            await store.queue.add(make_prompt(f"p{number}"), now=NOW, idempotency=once)
        assert await store.queue.prune((), now=NOW + 10, dry_run=True) == 0
        assert await store.queue.prune((), now=NOW + 10) == 0
        for number, created in ((0, True), (68, True), (69, False)):  # at NOW a key that is still there counts
            once = Idempotency(f"key{number}", b"body", NOW + _DAY)
            again = await store.queue.add(make_prompt(f"again{number}"), now=NOW, idempotency=once)
            assert again.created == created, number

    @pytest.mark.asyncio
    async def test_idempotency_keys_are_each_users_own(self, store: Store) -> None:
        key = Idempotency("key", b"body", NOW + _DAY)
        await store.queue.add(make_prompt("a"), now=NOW, idempotency=key)
        assert (await store.queue.add(make_prompt("b", user="bob"), now=NOW, idempotency=key)).created

    @pytest.mark.asyncio
    async def test_messages_are_stored_with_their_prompt(self, store: Store) -> None:
        prompt = make_prompt("a", thread="t")
        asked = make_message(
            "m1",
            prompt,
            tool_calls=(ToolCall(0, "c", "f", "{}"),),
            tool_call_id="c0",
            files=("f1", "f2"),
            model="demo",
            engine="scripted",
            labels={"a": [1, {"b": None}]},
        )
        await store.queue.add(prompt, now=NOW + 3, thread=make_thread("t"), messages=[asked])
        (running,) = await claim(store, now=NOW + 4)
        answer = make_message("m2", prompt, role="assistant", user=None)
        await store.queue.settle(settlement(running, Move.COMPLETE, now=NOW + 5, messages=(answer,)))
        first, second = await store.records.get(Message, "m1"), await store.records.get(Message, "m2")
        assert first is not None
        assert second is not None
        assert replace(first, no=0) == asked
        assert replace(second, no=0) == answer
        assert first.no < second.no
        thread = await store.records.get(Thread, "t")
        assert thread is not None
        assert thread.updated == NOW + 5
