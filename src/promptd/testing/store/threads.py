"""The store exam about threads: who is let in, who is found, and what is left when one goes."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from promptd.core.errors import Conflict, Forbidden, InvalidRequest, NotFound
from promptd.core.filters import Filter, Order, Query
from promptd.core.lifecycle import Move, Status
from promptd.core.model import Message, Prompt, Thread
from promptd.testing.store.samples import (
    NOW,
    Store,
    add,
    claim,
    make_message,
    make_prompt,
    make_thread,
    serve,
    settlement,
    stored,
)


class ThreadsExam:
    """Members, and the id of a thread that was deleted."""

    @pytest.mark.asyncio
    async def test_a_thread_takes_only_its_members(self, store: Store) -> None:
        shared = make_thread("t", "ann", "bob")
        await store.queue.add(make_prompt("a", thread="t"), now=NOW, thread=shared)
        added = await store.queue.add(make_prompt("b", thread="t", user="bob"), now=NOW, thread=make_thread("t", "bob"))
        assert added.created
        with pytest.raises(Forbidden):
            await store.queue.add(make_prompt("c", thread="t", user="eve"), now=NOW, thread=make_thread("t", "eve"))
        assert await store.records.get(Prompt, "c") is None
        thread = await store.records.get(Thread, "t")
        assert thread is not None
        assert thread.members == ("ann", "bob")

    @pytest.mark.asyncio
    async def test_a_thread_named_after_a_prompt_is_its_authors(self, store: Store) -> None:
        await store.records.put(make_thread("a", "bob", "ann"), make_thread("b", "ann", "bob"))
        with pytest.raises(Conflict):
            await add(store, "a", thread="a")
        assert await store.records.get(Prompt, "a") is None
        assert (await add(store, "b", thread="b")).thread == "b"

    @pytest.mark.asyncio
    async def test_only_a_member_has_a_prompt_run_again_in_its_thread(self, store: Store) -> None:
        shared = make_thread("t", "bob", "ann")
        await store.records.put(shared)
        await add(store, "a", thread="t")
        await store.queue.cancel("a", now=NOW)
        await store.records.put(replace(shared, members=("bob",), version=1))
        with pytest.raises(Forbidden):
            await store.queue.retry("a", now=NOW)
        assert (await stored(store, "a")).status is Status.CANCELED
        await store.records.put(replace(shared, version=2))
        assert (await store.queue.retry("a", now=NOW)).prompt.status is Status.SCHEDULED

    @pytest.mark.asyncio
    async def test_threads_are_found_by_member(self, store: Store) -> None:
        shared = make_thread("t1", "ann", "bob")
        await store.records.put(shared, make_thread("t2", "bob"))
        await store.queue.add(make_prompt("a", thread="t3"), now=NOW, thread=make_thread("t3", "ann"))

        async def of(user: str) -> set[str]:
            query = Query(filters=(Filter("member", "eq", user),), order=(Order("created", True),))
            return {thread.id for thread in (await store.records.find(Thread, query)).items}

        assert (await of("ann"), await of("bob"), await of("eve")) == ({"t1", "t3"}, {"t1", "t2"}, set())
        await store.records.put(replace(shared, members=("ann",), version=1))
        await serve(store)
        await store.records.delete(Thread, "t3")
        assert (await of("ann"), await of("bob")) == ({"t1"}, {"t2"})
        with pytest.raises(InvalidRequest):
            await store.records.find(Thread, Query(filters=(Filter("member", "contains", "a"),)))

    @pytest.mark.asyncio
    async def test_deleting_a_thread_takes_its_messages(self, store: Store) -> None:
        prompt = make_prompt("a", thread="t")
        await store.queue.add(prompt, now=NOW, thread=make_thread("t"), messages=[make_message("m", prompt)])
        await serve(store)
        assert await store.records.delete(Thread, "t")
        assert not await store.records.delete(Thread, "t")
        assert await store.records.get(Message, "m") is None

    @pytest.mark.asyncio
    @pytest.mark.parametrize("status", [Status.SCHEDULED, Status.RUNNING, Status.ERRORED])
    async def test_a_thread_with_an_unfinished_prompt_stays(self, store: Store, status: Status) -> None:
        prompt = make_prompt("a", thread="t")
        await store.queue.add(prompt, now=NOW, thread=make_thread("t"), messages=[make_message("m", prompt)])
        for running in await claim(store) if status is not Status.SCHEDULED else ():
            if status is Status.ERRORED:
                await store.queue.settle(settlement(running, Move.FAIL))
        assert (await stored(store, "a")).status is status
        with pytest.raises(Conflict):
            await store.records.delete(Thread, "t")
        assert await store.records.get(Thread, "t") is not None
        assert await store.records.get(Message, "m") is not None
        await store.queue.cancel("a", now=NOW)
        assert await store.records.delete(Thread, "t")

    @pytest.mark.asyncio
    async def test_the_prompts_of_a_deleted_thread_belong_to_none(self, store: Store) -> None:
        for identifier in ("began", "later"):
            await add(store, identifier, thread="began")
        await serve(store)
        assert await store.records.delete(Thread, "began")
        await add(store, "other", thread="began", user="bob")
        assert [(await stored(store, name)).thread for name in ("began", "later", "other")] == [None, None, "began"]
        found = await store.records.find(Prompt, Query(filters=(Filter("thread", "eq", "began"),)))
        assert [prompt.id for prompt in found.items] == ["other"]

    @pytest.mark.asyncio
    async def test_prompts_of_a_deleted_thread_stand_in_their_callers_line_when_retried(self, store: Store) -> None:
        for identifier in ("a", "b"):
            await add(store, identifier, thread="t")
            await store.queue.cancel(identifier, now=NOW)
        assert await store.records.delete(Thread, "t")
        for identifier in ("b", "a"):
            await store.queue.retry(identifier, now=NOW)
        assert (await claim(store))[0].id == "b"
        assert [prompt.id for prompt in await serve(store)] == ["a"], "none of them waits for the other"

    @pytest.mark.asyncio
    async def test_a_note_needs_its_thread(self, store: Store) -> None:
        with pytest.raises(NotFound):
            await store.records.put(make_message("n", make_prompt("", thread="gone")))
        assert await store.records.get(Message, "n") is None
