"""The store exam about look-ups and plain records: the port `Records`."""

from __future__ import annotations

import asyncio
from itertools import permutations, product
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from promptd.core.errors import Conflict, InvalidRequest, StaleVersion
from promptd.core.filters import Filter, Operator, Order, Query
from promptd.core.lifecycle import Move, Status
from promptd.core.model import Attempt, Key, Message, Prompt, Thread
from promptd.testing.store.samples import (
    NOW,
    Store,
    add,
    claim,
    ledger,
    make_message,
    make_prompt,
    make_thread,
    serve,
    settlement,
    stored,
)

_SORTABLE = (
    "no",
    "id",
    "status",
    "lane",
    "model",
    "user",
    "key",
    "team",
    "mode",
    "capability",
    "thread",
    "parent",
    "priority",
    "created",
    "updated",
    "started",
    "finished",
    "runs",
    "failures",
)


def make_key(identifier: str, **changes: Any) -> Key:
    fields: dict[str, Any] = {"id": identifier, "digest": b"\x00\xff", "user": "ann", "name": "a", "created": NOW}
    return Key(**(fields | changes))


async def _everything(store: Store, kind: type[Any], query: Query) -> list[Any]:
    """All pages of a query, read one by one."""
    items: list[Any] = []
    while True:
        page = await store.records.find(kind, query)
        items.extend(page.items)
        if page.after is None:
            return items
        assert len(page.items) == query.limit, "only the last page may be short"
        query = replace(query, after=page.after)


def _sorted(items: list[Any], order: tuple[Order, ...]) -> list[Any]:
    """By `order`, absent values first (last where descending), and then by the last order's direction of age."""
    for key in reversed(order):
        items = sorted(
            items,
            key=lambda item, key=key: (getattr(item, key.field) is not None, getattr(item, key.field)),  # type: ignore[misc]
            reverse=key.descending,
        )
    return items


class RecordsExam:
    """Filters, order, keyset paging, versions, deletion."""

    @pytest.fixture
    async def mixed(self, store: Store) -> list[Prompt]:
        """Prompts with many equal and many absent values."""
        made = [
            make_prompt(
                f"p{number:02}",
                user=("ann", "bob")[number % 2],
                model=f"model_{number % 3}",
                thread=(None, "t", "u")[number % 3],
                parent=(None, "p00")[number % 2],
                priority=number % 3 - 1,
                created=NOW + number // 4 / 3,
                started=(None, NOW + 0.1, NOW + 1 / 3)[number // 2 % 3],
                finished=None if number < 8 else NOW + number % 4,
                status=Status.SCHEDULED if number < 8 else Status.COMPLETED,
                runs=number % 2,
            )
            for number in range(23)
        ]
        await asyncio.gather(*[store.queue.add(prompt, now=NOW) for prompt in made])
        return [await stored(store, prompt.id) for prompt in made]

    @pytest.mark.asyncio
    async def test_pages_of_every_order_add_up_to_everything(self, store: Store, mixed: list[Prompt]) -> None:
        orders: list[tuple[Order, ...]] = [(Order(field, down),) for field, down in product(_SORTABLE, (False, True))]
        orders += [
            (Order(first, one), Order(second, two))
            for (first, second), one, two in product(
                permutations(("started", "priority", "no", "thread"), 2), (False, True), (False, True)
            )
        ]
        for order in orders:
            query = Query(order=order, limit=4)
            found = await _everything(store, Prompt, query)
            assert sorted(prompt.no for prompt in found) == [prompt.no for prompt in mixed], order
            values = [tuple(getattr(prompt, key.field) for key in order) for prompt in found]
            expected = [tuple(getattr(prompt, key.field) for key in order) for prompt in _sorted(mixed, order)]
            assert values == expected, order

    @pytest.mark.asyncio
    async def test_without_an_order_the_newest_come_first(self, store: Store, mixed: list[Prompt]) -> None:
        found = await _everything(store, Prompt, Query(limit=5))
        assert [prompt.no for prompt in found] == sorted((prompt.no for prompt in mixed), reverse=True)

    @pytest.mark.asyncio
    async def test_a_page_boundary_holds_while_prompts_come_and_go(self, store: Store, mixed: list[Prompt]) -> None:
        query = Query(order=(Order("created"),), limit=10)
        first = await store.records.find(Prompt, query)
        await add(store, "newcomer", created=NOW - 1)
        await store.records.delete(Prompt, first.items[-1].id) if first.items[-1].status.final else None
        rest = await _everything(store, Prompt, replace(query, after=first.after))
        assert {prompt.id for prompt in first.items} | {prompt.id for prompt in rest} == {prompt.id for prompt in mixed}

    @pytest.mark.asyncio
    @pytest.mark.parametrize(
        ("field", "operator", "value", "numbers"),
        [
            ("user", "eq", "bob", set(range(1, 23, 2))),
            ("user", "ne", "bob", set(range(0, 23, 2))),
            ("status", "in", ("scheduled", "running"), set(range(8))),
            ("status", "in", (), set()),
            ("priority", "gt", 0, set(range(2, 23, 3))),
            ("priority", "gte", 0, set(range(23)) - set(range(0, 23, 3))),
            ("priority", "lt", 0, set(range(0, 23, 3))),
            ("priority", "lte", 0, set(range(23)) - set(range(2, 23, 3))),
            ("thread", "eq", None, set(range(0, 23, 3))),
            ("thread", "ne", None, set(range(23)) - set(range(0, 23, 3))),
            ("model", "contains", "l_1", set(range(1, 23, 3))),
            ("model", "contains", "%", set()),
            ("model", "starts", "model_", set(range(23))),
            ("model", "starts", "modelx", set()),
            ("id", "eq", "' or 1=1 --", set()),
        ],
    )
    async def test_filters(
        self, store: Store, mixed: list[Prompt], field: str, operator: Operator, value: Any, numbers: set[int]
    ) -> None:
        query = Query(filters=(Filter(field, operator, value),), limit=3, count=True)
        found = await _everything(store, Prompt, query)
        assert {prompt.id for prompt in found} == {f"p{number:02}" for number in numbers}
        assert (await store.records.find(Prompt, query)).count == len(numbers)

    @pytest.mark.asyncio
    async def test_filters_are_anded_and_the_count_ignores_the_page(self, store: Store, mixed: list[Prompt]) -> None:
        filters = (Filter("user", "eq", "ann"), Filter("thread", "eq", "t"))
        first = await store.records.find(Prompt, Query(filters=filters, limit=1, count=True))
        second = await store.records.find(Prompt, Query(filters=filters, limit=1, count=True, after=first.after))
        wanted = [prompt for prompt in mixed if prompt.user == "ann" and prompt.thread == "t"]
        assert first.count == second.count == len(wanted)
        assert (await store.records.find(Prompt, Query(filters=filters))).count is None

    @pytest.mark.asyncio
    @pytest.mark.parametrize(
        ("query", "field"),
        [
            (Query(filters=(Filter("id", "eq", "a"), Filter("secret", "eq", 1))), "filters[1].field"),
            (Query(filters=(Filter("status", "in", "running"),)), "filters[0].value"),
            (Query(filters=(Filter("id", "eq", {"a": 1}),)), "filters[0].value"),
            (Query(filters=(Filter("no", "eq", 2**70),)), "filters[0].value"),
            (Query(filters=(Filter("no", "in", (1, 2**70)),)), "filters[0].value"),
            (Query(order=(Order("id; drop table prompt"),)), "order[0].field"),
            (Query(limit=0), "limit"),
            (Query(limit=100_000), "limit"),
            (Query(after="nonsense"), "after"),
            (Query(after="bm9uc2Vuc2U"), "after"),
            (Query(after="WzE4MDAwMDAwMDAwMDAwMDAwMDAwXQ"), "after"),
            (Query(after="eyJhIjoxfQ"), "after"),
            (Query(after="ümläut"), "after"),
        ],
    )
    async def test_a_bad_query_is_refused_by_name(self, store: Store, query: Query, field: str) -> None:
        with pytest.raises(InvalidRequest) as refused:
            await store.records.find(Prompt, query)
        assert refused.value.field == field

    @pytest.mark.asyncio
    async def test_a_page_of_another_order_is_refused(self, store: Store, mixed: list[Prompt]) -> None:
        page = await store.records.find(Prompt, Query(order=(Order("created"),), limit=1))
        with pytest.raises(InvalidRequest):
            await store.records.find(Prompt, Query(limit=1, after=page.after))
        with pytest.raises(InvalidRequest):
            await store.records.find(Key, Query(limit=1, after=page.after))

    @pytest.mark.asyncio
    async def test_attempts_are_found_by_prompt_only(self, store: Store) -> None:
        await add(store, "a")
        for _ in range(3):
            (running,) = await claim(store)
            await store.queue.settle(settlement(running, Move.HAND_BACK))
        await serve(store)
        query = Query(filters=(Filter("prompt", "eq", running.no),), order=(Order("run"),), limit=3)
        assert [attempt.run for attempt in await _everything(store, Attempt, query)] == [1, 2, 3, 4]
        with pytest.raises(InvalidRequest):
            await store.records.find(Attempt, Query())

    @pytest.mark.asyncio
    async def test_messages_of_a_thread_come_by_prompt_and_then_by_age(self, store: Store) -> None:
        prompts = [make_prompt(f"p{number}", thread="t") for number in range(2)]
        for prompt in prompts:
            asked = [make_message(f"{prompt.id}-{number}", prompt) for number in range(2)]
            await store.queue.add(prompt, now=NOW, thread=make_thread("t"), messages=asked)
        (running,) = await claim(store)
        answer = make_message("p0-answer", prompts[0], role="assistant", user=None)
        await store.queue.settle(settlement(running, Move.COMPLETE, messages=(answer,)))
        query = Query(filters=(Filter("thread", "eq", "t"),), order=(Order("prompt_no"), Order("no")), limit=2)
        found = [message.id for message in await _everything(store, Message, query)]
        assert found == ["p0-0", "p0-1", "p0-answer", "p1-0", "p1-1"]
        before = replace(query, filters=(*query.filters, Filter("prompt_no", "lt", running.no + 1)))
        assert [message.id for message in await _everything(store, Message, before)] == found[:3]

    @pytest.mark.asyncio
    async def test_a_message_without_a_prompt_is_written_and_written_anew(self, store: Store) -> None:
        thread = replace(make_thread("t"), topics=("x", "y"))
        await store.records.put(thread)
        note = replace(make_message("n", make_prompt("", thread="t")), updated=NOW + 1)
        await store.records.put(note)
        await store.records.put(replace(note, text="changed", files=("f",), updated=NOW + 2))
        found = await store.records.get(Message, "n")
        assert found is not None
        assert (found.text, found.files, found.created, found.updated) == ("changed", ("f",), NOW, NOW + 2)
        after = await store.records.get(Thread, "t")
        assert after is not None
        assert (after.updated, after.topics) == (NOW + 2, ("x", "y"))
        assert await store.records.delete(Message, "n")

    @pytest.mark.asyncio
    async def test_a_message_keeps_its_prompt_and_its_writer(self, store: Store) -> None:
        prompt = make_prompt("a", thread="t")
        asked = make_message("m", prompt)
        await store.queue.add(prompt, now=NOW, thread=make_thread("t"), messages=[asked])
        await store.records.put(replace(asked, prompt="", text="changed"))
        found = await store.records.get(Message, "m")
        assert found is not None
        assert (found.prompt, found.text) == ("a", "changed")
        await store.records.put(make_thread("other"))
        for other in ({"thread": "other"}, {"user": "eve"}, {"role": "assistant"}):
            with pytest.raises(Conflict):
                await store.records.put(replace(asked, **other))

    @pytest.mark.asyncio
    async def test_deleting_a_prompt(self, store: Store) -> None:
        prompt = make_prompt("a", thread="t")
        await store.queue.add(prompt, now=NOW, thread=make_thread("t"), messages=[make_message("m", prompt)])
        with pytest.raises(Conflict):
            await store.records.delete(Prompt, "a")
        (running,) = await claim(store)
        with pytest.raises(Conflict):
            await store.records.delete(Prompt, "a")
        await store.queue.settle(settlement(running, Move.COMPLETE))
        assert await store.records.delete(Prompt, "a")
        assert await store.records.get(Prompt, "a") is None
        assert await ledger(store, running) == []
        assert await store.records.get(Message, "m") is not None, "the thread keeps its messages"
        assert not await store.records.delete(Prompt, "a")

    @pytest.mark.asyncio
    async def test_records_of_any_kind_come_back(self, store: Store) -> None:
        key = make_key(
            "k1", permissions=frozenset({"a", "b"}), admin=True, team="red", expires=NOW + 0.5, revoked=NOW + 0.25
        )
        assert await store.records.get(Key, "k1") is None
        await store.records.put(key)
        await store.reopen()
        assert await store.records.get(Key, "k1") == key
        assert await store.records.delete(Key, "k1")
        assert not await store.records.delete(Key, "k1")
        assert await store.records.get(Key, "k1") is None

    @pytest.mark.asyncio
    async def test_a_page_of_records_goes_on_behind_the_last_one_whatever_comes_and_goes(self, store: Store) -> None:
        await store.records.put(*[make_key(f"k{number}") for number in range(6)])
        query = Query(limit=3)
        first = await store.records.find(Key, query)
        await store.records.put(make_key("a newcomer in front"))
        await store.records.delete(Key, "k1")
        second = await store.records.find(Key, replace(query, after=first.after))
        assert [key.id for key in (*first.items, *second.items)] == [f"k{number}" for number in range(6)]
        assert second.after is None
        with pytest.raises(InvalidRequest):
            await store.records.find(Key, replace(query, order=(Order("name"),), after=first.after))
        by_name = await store.records.find(Key, replace(query, order=(Order("name"),)))
        with pytest.raises(InvalidRequest):
            await store.records.find(Key, replace(query, after=by_name.after))

    @pytest.mark.asyncio
    async def test_a_change_needs_the_next_version(self, store: Store) -> None:
        for first in (make_key("k"), make_thread("t")):
            with pytest.raises(StaleVersion):
                await store.records.put(replace(first, version=1))
            await store.records.put(first)
            with pytest.raises(StaleVersion):
                await store.records.put(first)
            second = replace(first, version=1)
            await store.records.put(second)
            for stale in (0, 1, 3):
                with pytest.raises(StaleVersion):
                    await store.records.put(replace(first, version=stale))
            assert await store.records.get(type(first), first.id) == second

    @pytest.mark.asyncio
    async def test_of_two_changes_at_once_one_wins(self, store: Store) -> None:
        await store.records.put(make_key("k"))
        names = [f"name-{number}" for number in range(5)]
        changes = [store.records.put(make_key("k", name=name, version=1)) for name in names]
        results = await asyncio.gather(*changes, return_exceptions=True)
        assert sum(result is None for result in results) == 1
        assert sum(isinstance(result, StaleVersion) for result in results) == 4

    @pytest.mark.asyncio
    async def test_records_are_stored_all_or_none(self, store: Store) -> None:
        await store.records.put(make_key("k2"))
        with pytest.raises(StaleVersion):
            await store.records.put(make_key("k1"), make_thread("t"), make_key("k2"))
        assert await store.records.get(Key, "k1") is None
        assert await store.records.get(Thread, "t") is None
        await store.records.put(make_key("k1"), make_thread("t"), make_key("k2", version=1))
        assert await store.records.get(Key, "k1") is not None

    @pytest.mark.asyncio
    async def test_records_are_stored_and_deleted_all_or_none(self, store: Store) -> None:
        await store.records.put(make_key("k1"), make_key("k2"), make_key("k3"), make_thread("t"))
        gone: list[tuple[type[Struct], str]] = [(Key, "k1"), (Thread, "t"), (Key, "never there")]
        with pytest.raises(StaleVersion):
            await store.records.put(make_key("k4"), make_key("k2"), gone=gone)
        await store.queue.add(make_prompt("waits"), now=NOW)
        with pytest.raises(Conflict):
            await store.records.put(make_key("k4"), gone=[*gone, (Prompt, "waits")])
        assert await store.records.get(Key, "k1") is not None
        assert await store.records.get(Thread, "t") is not None
        await store.records.put(make_key("k4"), make_key("k3", version=1), gone=gone)
        await store.reopen()
        found = [await store.records.get(Key, name) for name in ("k1", "k2", "k3", "k4")]
        assert [None if key is None else key.version for key in found] == [None, 0, 1, 0]
        assert await store.records.get(Thread, "t") is None

    @pytest.mark.asyncio
    async def test_records_are_found_in_pages_with_absent_values(self, store: Store) -> None:
        keys = [
            make_key(f"k{number}", name=f"name_{number % 2}", expires=(None, NOW + 1, NOW + 2)[number % 3])
            for number in range(8)
        ]
        await store.records.put(*keys)
        for order in ((), (Order("expires"),), (Order("expires", True), Order("name")), (Order("id", True),)):
            found = await _everything(store, Key, Query(order=order, limit=3))
            assert found == _sorted(keys, order)
        assert (await store.records.find(Key, Query(limit=3, count=True))).count == 8
        late = Query(filters=(Filter("expires", "gt", NOW + 1),), count=True)
        assert {key.id for key in (await store.records.find(Key, late)).items} == {"k2", "k5"}
        assert (await store.records.find(Key, replace(late, limit=1))).count == 2
        named = Query(filters=(Filter("name", "starts", "name_"), Filter("name", "contains", "_1")))
        assert len((await store.records.find(Key, named)).items) == 4
        with pytest.raises(InvalidRequest):
            await store.records.find(Key, Query(filters=(Filter("nothing", "eq", 1),)))
