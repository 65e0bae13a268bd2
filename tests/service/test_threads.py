"""Conversations and the notes in them: who may, what is kept, what is told."""

from __future__ import annotations

import asyncio
from itertools import permutations

import pytest

from promptd.core.errors import Conflict, Forbidden, InvalidRequest, NetworkError, NotFound, PayloadTooLarge
from promptd.core.filters import Filter, Query
from promptd.core.lifecycle import Status
from promptd.core.model import Message, Thread
from tests.service.house import ADMIN, ANN, BOB, House, fail, say


async def test_a_thread_has_its_maker_as_owner_and_member(house: House) -> None:
    made = await house.threads.save(ANN, None, title="Talk", topics=("a",), members=("bob", "bob"))
    assert (made.user, made.members, made.topics) == ("ann", ("bob", "ann"), ("a",))
    assert await house.threads.get(BOB, made.id) == made
    assert (await house.threads.save(ANN, "named")).title == "New chat"


async def test_members_change_it_but_never_send_its_owner_away(house: House) -> None:
    await house.threads.save(ANN, "t", members=("bob",))
    before = house.threads.changes
    changed = await house.threads.save(BOB, "t", title="Bobs", members=())
    assert (changed.title, changed.members, changed.version) == ("Bobs", ("ann",), 1)
    assert house.threads.changes == before + 1
    with pytest.raises(Forbidden):
        await house.threads.save(BOB, "t", title="again")
    with pytest.raises(Forbidden):
        await house.threads.get(ADMIN, "t")


async def test_only_members_find_it(house: House) -> None:
    for number in range(3):
        house.clock.now += 1
        await house.threads.save(ANN, f"t{number}", members=("bob",) if number else ())
    assert [thread.id for thread in await house.threads.find(ANN)] == ["t2", "t1", "t0"]
    assert [thread.id for thread in await house.threads.find(BOB)] == ["t2", "t1"]
    assert [thread.id for thread in await house.threads.find(BOB, ("t0", "t1"))] == ["t1"]
    assert await house.threads.find(ADMIN) == ()


async def test_more_threads_than_one_page(house: House) -> None:
    for number in range(1001):
        await house.threads.save(ANN, f"t{number}")
    assert len(await house.threads.find(ANN)) == 1001


async def test_deleting_needs_a_member_or_an_admin_and_no_work(house: House) -> None:
    await house.run("hi", thread="t")
    with pytest.raises(Forbidden):
        await house.threads.delete(BOB, "t")
    waiting = await house.submit("later", thread="t", not_before=house.clock.now + 100)
    with pytest.raises(Conflict):
        await house.threads.delete(ANN, "t")
    await house.prompts.cancel(ANN, waiting.id)
    await house.threads.delete(ADMIN, "t")
    with pytest.raises(NotFound):
        await house.threads.get(ANN, "t")
    left = await house.records.find(Message, Query(filters=(Filter("thread", "eq", "t"),)))
    assert left.items == ()


async def test_who_takes_the_id_of_a_deleted_thread_reads_nothing_of_it(house: House) -> None:
    old = await house.run("secret", id="e1", thread="e1")
    later = await house.run("also secret", thread="e1")
    await house.threads.delete(ANN, "e1")
    await house.threads.save(BOB, "e1")
    for prompt in (old, later):
        for look in (house.prompts.get, house.prompts.attempts, house.prompts.may_stream):
            with pytest.raises(NotFound):
                await look(BOB, prompt.id)
        assert (await house.prompts.get(ANN, prompt.id)).answer == prompt.answer
    assert await house.threads.messages(BOB, "e1") == ()


async def test_a_retry_does_not_answer_into_a_thread_that_took_the_id(house: House) -> None:
    house.engine.plans["secret"] = (fail(NetworkError("no route")), say("answer"))
    prompt = await house.run("secret", id="e2", thread="e2", max_attempts=1)
    assert prompt.status is Status.ABANDONED
    await house.threads.delete(ANN, "e2")
    await house.threads.save(BOB, "e2")
    await house.prompts.retry(ANN, "e2")
    assert (await house.finished("e2")).answer is not None
    assert await house.threads.messages(BOB, "e2") == ()


async def test_who_was_sent_away_has_nothing_run_again_in_the_thread(house: House) -> None:
    await house.threads.save(BOB, "t", members=("ann",))
    prompt = await house.submit("later", thread="t", not_before=house.clock.now + 100)
    await house.prompts.cancel(ANN, prompt.id)
    await house.threads.save(BOB, "t", members=())
    with pytest.raises(Forbidden):
        await house.prompts.retry(ANN, prompt.id)
    assert (await house.get(prompt)).status is Status.CANCELED


async def test_a_prompt_does_not_begin_its_thread_in_somebody_elses(house: House) -> None:
    await house.threads.save(BOB, "report", members=("ann",))
    with pytest.raises(Conflict):
        await house.submit("confidential", id="report", thread="report")
    assert await house.threads.messages(BOB, "report") == ()
    assert (await house.run("shared", id="another", thread="report")).thread == "report", "a thread that one names"
    await house.threads.save(ANN, "mine", members=("bob",))
    assert (await house.run("hello", id="mine", thread="mine")).thread == "mine"


async def test_a_thread_that_is_deleted_while_somebody_writes_into_it_keeps_nothing(house: House) -> None:
    """Whoever comes first: no message stays behind for the next owner of the id."""
    for order in 4 * tuple(permutations(range(3))):
        await house.threads.save(ANN, "t")
        verbs = (
            house.submit("late secret", id="p", thread="t", not_before=house.clock.now + 100),
            house.threads.write(ANN, "t", text="note"),
            house.threads.delete(ANN, "t"),
        )
        await asyncio.gather(*[verbs[index] for index in order], return_exceptions=True)
        assert (await house.get("p")).thread == "t"
        assert await house.records.get(Thread, "t") is not None, "it has a prompt that waits"
        await house.prompts.cancel(ANN, "p")
        await house.threads.delete(ANN, "t")
        left = await house.records.find(Message, Query(filters=(Filter("thread", "eq", "t"),)))
        assert left.items == ()


@pytest.mark.parametrize("identifier", [".", ".."])
async def test_an_id_that_no_path_can_name_is_refused(house: House, identifier: str) -> None:
    await house.threads.save(ANN, "t")
    for begun, field in (
        (house.threads.save(ANN, identifier), "id"),
        (house.threads.write(ANN, "t", identifier=identifier, text="x"), "id"),
        (house.submit("x", id=identifier), "id"),
        (house.submit("x", thread=identifier), "thread_id"),
    ):
        with pytest.raises(InvalidRequest) as refused:
            await begun
        assert refused.value.field == field
    assert (await house.run("x", id="...", thread="..x")).id == "..."


async def test_notes_stand_beside_prompts_in_the_order_of_time(house: House) -> None:
    await house.run("one", thread="t")
    house.clock.now += 1
    note = await house.threads.write(ANN, "t", text="note", labels={"a": 1}, files=("f",))
    house.clock.now += 1
    await house.run("two", thread="t")
    listed = await house.threads.messages(ANN, "t")
    assert [message.text for message in listed] == ["one", "re: one", "note", "two", "re: two"]
    assert (listed[2].id, listed[2].user, listed[2].labels, listed[2].files) == (note.id, "ann", {"a": 1}, ("f",))
    assert [turn.content for turn in house.engine.calls[-1].messages] == ["one", "re: one", "two"], (
        "a note is no turn of the conversation"
    )


async def test_a_note_is_written_anew_by_its_writer_only(house: House) -> None:
    await house.threads.save(ANN, "t", members=("bob",))
    await house.threads.write(ANN, "t", identifier="n", text="old")
    house.clock.now += 5
    again = await house.threads.write(ANN, "t", identifier="n", text="new")
    assert (again.text, again.updated - again.created) == ("new", 5)
    assert await house.threads.message(ANN, "n") is not None
    with pytest.raises(Conflict):
        await house.threads.write(BOB, "t", identifier="n", text="mine now")
    await house.threads.save(BOB, "bobs")
    with pytest.raises(Conflict):
        await house.threads.write(BOB, "bobs", identifier="n", text="moved")
    found = await house.threads.message(BOB, "n")
    assert found is not None
    assert (found.text, found.thread) == ("new", "t")


async def test_an_answer_cannot_be_written_over(house: House) -> None:
    prompt = await house.run("hi", thread="t")
    assert prompt.answer is not None
    with pytest.raises(Conflict):
        await house.threads.write(ANN, "t", identifier=prompt.answer.message_id, text="other")


async def test_messages_without_a_thread_are_of_the_callers_own(house: House) -> None:
    await house.run("anns", thread="a")
    await house.run("bobs", caller=BOB, thread="b")
    assert [message.text for message in await house.threads.messages(ANN)] == ["anns", "re: anns"]
    assert [message.text for message in await house.threads.messages(BOB)] == ["bobs", "re: bobs"]
    assert await house.threads.messages(ADMIN) == ()
    everything = [message.id for caller in (ANN, BOB) for message in await house.threads.messages(caller)]
    assert len(await house.threads.messages(ANN, ids=everything)) == 2
    assert await house.threads.message(BOB, everything[0]) is None


async def test_erasing(house: House) -> None:
    await house.threads.save(ANN, "t", members=("bob",))
    prompt = await house.run("hi", thread="t")
    assert prompt.answer is not None
    with pytest.raises(Forbidden):
        await house.threads.erase(BOB, prompt.id)
    await house.threads.erase(BOB, prompt.answer.message_id)
    await house.threads.erase(ADMIN, prompt.id)
    assert await house.threads.messages(ANN, "t") == ()
    with pytest.raises(NotFound):
        await house.threads.erase(ANN, prompt.id)
    await house.run("other", caller=BOB, thread="b")
    with pytest.raises(Forbidden):
        await house.threads.erase(ANN, (await house.threads.messages(BOB, "b"))[0].id)


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"identifier": "x" * 129}, "id"),
        ({"title": "x" * 1001}, "title"),
        ({"topics": ("",)}, "topics"),
        ({"members": ("x" * 129,)}, "members"),
        ({"members": ("x",) * 1001}, "members"),
    ],
)
async def test_bounds_of_a_thread(house: House, members: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        await house.threads.save(ANN, **({"identifier": None} | members))  # type: ignore[arg-type]
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("members", "field"),
    [
        ({"identifier": "x" * 129}, "id"),
        ({"text": "x" * 1_000_001}, "text"),
        ({"files": ("f",) * 1001}, "files"),
        ({"files": ("f", "f" * 129)}, "files[1]"),
        ({"labels": {"m": "x" * 64 * 1024}}, "labels"),
    ],
)
async def test_bounds_of_a_note(house: House, members: dict[str, object], field: str) -> None:
    await house.threads.save(ANN, "t")
    with pytest.raises(InvalidRequest) as refused:
        await house.threads.write(ANN, "t", **members)  # type: ignore[arg-type]
    assert refused.value.field == field


async def test_bounds_of_a_question(house: House) -> None:
    for look in (house.threads.find(ANN, ["x"] * 1001), house.threads.messages(ANN, ids=["x"] * 1001)):
        with pytest.raises(InvalidRequest):
            await look


async def test_what_happens_is_told_without_any_text(house: House) -> None:
    with house.events.listen() as listener:
        await house.threads.save(ANN, "t", title="secret")
        await house.threads.write(ANN, "t", text="secret")
        await house.threads.delete(ANN, "t")
        told = [await anext(aiter(listener)) for _ in range(3)]
    assert [(event.kind, event.thread) for event in told] == [
        ("thread_added", "t"),
        ("message_added", "t"),
        ("thread_updated", "t"),
    ]
    assert "secret" not in str(told)


async def test_a_list_of_messages_has_a_bound(house: House) -> None:
    await house.threads.save(ANN, "long")
    for number in range(3):
        await house.threads.write(ANN, "long", identifier=f"long-{number}", text="x" * 100)
    assert len(await house.threads.messages(ANN, "long")) == 3
    house.threads.most_characters = 250
    with pytest.raises(PayloadTooLarge):
        await house.threads.messages(ANN, "long")
    assert len(await house.threads.messages(ANN, ids=("long-0", "long-1"))) == 2
