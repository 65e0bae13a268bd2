"""Attached prompts: they live with their caller's connection, and their one row follows the answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from promptd.app import House, build
from promptd.core.content import Turn
from promptd.core.errors import Cancelled, NotFound, PromptExecutionError, ShuttingDown
from promptd.core.filters import Filter, Query
from promptd.core.identity import USER_PERMISSIONS
from promptd.core.lifecycle import Status
from promptd.core.model import Attempt, Caller, Capability, Chunk, Mode, Outcome, Prompt, Request, Submission
from promptd.settings import Settings
from promptd.testing.upstream import Upstream

ANN = Caller("ann", "key-ann", "team", USER_PERMISSIONS)
BOB = Caller("bob", "key-bob", "", USER_PERMISSIONS)
PATIENCE = 10.0
CLOSED_WITHIN = 0.1  # seconds from the caller's leaving to the upstream's end of file


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as server:
        yield server


@asynccontextmanager
async def living(home: Path, upstream: Upstream, slots: int = 4, keep: bool = False) -> AsyncIterator[House]:
    settings = Settings.model_validate(
        {
            "home": home,
            "retention": {"keep_attached": keep},
            "connections": {"up": {"engine": "openai", "base_url": upstream.base_url, "slots": slots}},
            "models": {
                name: {"connection": "up"} for name in ("echo", "stall", "slow-first-byte", "500", "401", "reset")
            },
        }
    )
    async with build(settings) as house:
        yield house


@pytest.fixture
async def house(tmp_path: Path, upstream: Upstream) -> AsyncIterator[House]:
    async with living(tmp_path, upstream) as house:
        yield house


def ask(model: str = "echo", text: str = "hello there", caller: Caller = ANN) -> Submission:
    return Submission(caller=caller, model=model, mode=Mode.ATTACHED, request=Request(messages=(Turn("user", text),)))


async def run(house: House, submission: Submission) -> tuple[Prompt, list[Chunk]]:
    async with asyncio.timeout(PATIENCE), house.walk.attached.open(submission) as visit:
        return visit.prompt, [chunk async for chunk in visit.chunks()]


async def fail(house: House, submission: Submission) -> tuple[Prompt, PromptExecutionError, list[Chunk]]:
    """A call that must fail: its prompt, with what, and what was said before."""
    said: list[Chunk] = []
    with pytest.raises(PromptExecutionError) as raised:
        async with asyncio.timeout(PATIENCE), house.walk.attached.open(submission) as visit:
            said.extend([chunk async for chunk in visit.chunks()])
    return visit.prompt, raised.value, said


async def stored(house: House, prompt: Prompt) -> Prompt:
    await house.walk.attached.flush()
    found = await house.database.records.get(Prompt, prompt.id)
    assert found is not None
    return found


async def ledger(house: House, prompt: Prompt) -> list[Attempt]:
    row = await stored(house, prompt)
    page = await house.database.records.find(Attempt, Query(filters=(Filter("prompt", "eq", row.no),)))
    return sorted(page.items, key=lambda attempt: attempt.run)


def idle(house: House) -> bool:
    return all(busy == 0 for _, busy in house.walk.worker.load().values())


async def test_the_answer_comes_first_and_one_row_follows_without_content(house: House) -> None:
    prompt, chunks = await run(house, ask())
    assert chunks[-1].kind == "done"
    assert "".join(chunk.text for chunk in chunks).strip()
    row = await stored(house, prompt)
    assert (row.status, row.mode, row.runs, row.user) == (Status.COMPLETED, Mode.ATTACHED, 1, "ann")
    assert row.request.messages == ()
    assert row.answer is not None
    assert row.answer.text == ""
    assert row.answer.usage == chunks[-1].usage
    (attempt,) = await ledger(house, prompt)
    assert (attempt.prompt, attempt.engine, attempt.outcome) == (row.no, "openai", Outcome.COMPLETED)
    assert attempt.first_token is not None
    assert idle(house)


@pytest.mark.parametrize("by_house", [True, False])
@pytest.mark.parametrize("by_key", [True, False, None])
@pytest.mark.parametrize("by_request", [True, False, None])
async def test_content_is_kept_as_the_request_wishes_else_the_key_else_the_house_but_never_against_the_key(
    tmp_path: Path, upstream: Upstream, by_house: bool, by_key: bool | None, by_request: bool | None
) -> None:
    kept = False if by_key is False else next(rule for rule in (by_request, by_key, by_house) if rule is not None)
    caller = replace(ANN, keep=by_key)
    async with living(tmp_path, upstream, keep=by_house) as house:
        prompt, chunks = await run(house, replace(ask(caller=caller), keep=by_request))
        row = await stored(house, prompt)
        assert row.answer is not None
        said = "".join(chunk.text for chunk in chunks)
        assert said
        assert [turn.content for turn in row.request.messages] == (["hello there"] if kept else [])
        assert row.answer.text == (said if kept else "")


@pytest.mark.parametrize("keep", [True, False])
async def test_a_value_is_content_too(tmp_path: Path, keep: bool) -> None:
    settings = Settings.model_validate(
        {
            "home": tmp_path,
            "connections": {"own": {"engine": "scripted"}},
            "models": {"vectors": {"connection": "own"}},
        }
    )
    asked = replace(ask("vectors"), request=Request(texts=("a secret",)), capability=Capability.EMBEDDING, keep=keep)
    async with build(settings) as house:
        prompt, (done,) = await run(house, asked)
        assert len(done.value["embeddings"]) == 1
        row = await stored(house, prompt)
        assert row.answer is not None
        assert row.answer.value == (done.value if keep else None)
        assert row.answer.usage == done.usage


async def test_it_is_seen_by_its_author_from_the_answer_on(house: House) -> None:
    prompt, _ = await run(house, ask())
    seen = await house.walk.prompts.get(ANN, prompt.id)
    assert seen.status is Status.COMPLETED
    with pytest.raises(NotFound):
        await house.walk.prompts.get(BOB, prompt.id)


async def test_others_may_look_it_up_and_follow_it_while_it_runs(house: House) -> None:
    with pytest.raises(Cancelled):  # noqa: PT012 - a call has a beginning and an end
        async with asyncio.timeout(PATIENCE), house.walk.attached.open(replace(ask("stall"), keep=True)) as visit:
            prompt, live = visit.prompt, visit.chunks()
            first = await anext(live)
            assert (await house.walk.prompts.get(ANN, prompt.id)).status is Status.RUNNING
            followed = house.walk.streams.follow(prompt.id)
            assert "".join(chunk.text for chunk in await anext(followed)) == first.text
            await house.walk.prompts.cancel(ANN, prompt.id)
            await anext(live)
    ends = [chunk.kind async for batch in followed for chunk in batch]
    assert ends == ["error"]
    assert (await stored(house, prompt)).status is Status.CANCELED


@pytest.mark.parametrize("keep", [True, False], ids=["kept", "not kept"])
@pytest.mark.parametrize("how", ["done", "left", "failed"])
async def test_whoever_waits_for_its_end_is_told(house: House, how: str, keep: bool) -> None:
    model = {"done": "echo", "left": "stall", "failed": "500"}[how]
    expected = {"done": Status.COMPLETED, "left": Status.CANCELED, "failed": Status.ABANDONED}[how]
    async with asyncio.timeout(PATIENCE):
        async with house.walk.attached.open(replace(ask(model), keep=keep)) as visit:
            finished = asyncio.create_task(house.walk.streams.finished(visit.prompt.id))
            soon = asyncio.create_task(house.walk.streams.finished_soon(visit.prompt.id, 2 * PATIENCE))
            await asyncio.sleep(0)  # both wait now
            if how == "left":
                await anext(visit.chunks())
            elif how == "failed":
                with pytest.raises(PromptExecutionError):
                    await visit.whole()
            else:
                await visit.whole()
        assert (await finished).status is expected
        await soon
        # and whoever comes between the end and the row on the disk
        assert (await house.walk.streams.finished(visit.prompt.id)).status is expected


@pytest.mark.parametrize(("model", "text_first"), [("stall", True), ("slow-first-byte", False)])
async def test_a_caller_that_leaves_closes_the_upstream_at_once(
    house: House, upstream: Upstream, model: str, text_first: bool
) -> None:
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(PATIENCE):
        async with house.walk.attached.open(ask(model)) as visit:
            prompt, live = visit.prompt, visit.chunks()
            if text_first:
                await anext(live)
                left = loop.time()
            else:
                waiting = asyncio.create_task(anext(live))
                while not upstream.calls:
                    await asyncio.sleep(0)
                left = loop.time()
                waiting.cancel()
                await asyncio.wait([waiting])
        assert await upstream.presence.left() - left < CLOSED_WITHIN
    row = await stored(house, prompt)
    assert (row.status, row.error and row.error.message) == (Status.CANCELED, "the caller left")
    assert [attempt.outcome for attempt in await ledger(house, prompt)] == [Outcome.CANCELED]
    assert idle(house)


async def test_two_hundred_callers_that_leave_at_once(tmp_path: Path, upstream: Upstream) -> None:
    loop = asyncio.get_running_loop()
    async with living(tmp_path, upstream, slots=200) as house:
        ready, leave, left = asyncio.Semaphore(0), asyncio.Event(), 0.0

        async def call() -> None:
            async with house.walk.attached.open(ask("stall")) as visit:
                await anext(visit.chunks())
                ready.release()
                await leave.wait()

        async with asyncio.timeout(2 * PATIENCE), asyncio.TaskGroup() as callers:
            for _ in range(200):
                callers.create_task(call())
            for _ in range(200):
                await ready.acquire()
            left = loop.time()
            leave.set()
        assert await upstream.presence.left(200) - left < 10 * CLOSED_WITHIN
        await house.walk.attached.flush()
        assert idle(house)


async def test_a_failure_before_the_first_text_is_tried_once_more(house: House, upstream: Upstream) -> None:
    prompt, error, said = await fail(house, ask("500"))
    assert (error.code, said) == ("service_unavailable", [])
    assert len(upstream.calls) == 2
    row = await stored(house, prompt)
    assert (row.status, row.runs) == (Status.ABANDONED, 2)
    assert [attempt.run for attempt in await ledger(house, prompt)] == [1, 2]


@pytest.mark.parametrize("model", ["401", "reset"])
async def test_no_second_try_where_it_can_not_help_or_text_was_seen(
    house: House, upstream: Upstream, model: str
) -> None:
    prompt, _, _ = await fail(house, ask(model))
    assert len(upstream.calls) == 1
    assert (await stored(house, prompt)).runs == 1


async def test_callers_wait_for_slots_and_may_leave_the_line(tmp_path: Path, upstream: Upstream) -> None:
    async with living(tmp_path, upstream, slots=1) as house:
        async with asyncio.timeout(PATIENCE), house.walk.attached.open(ask("stall")) as visit:
            await anext(visit.chunks())
            impatient = asyncio.create_task(run(house, ask()))
            patient = asyncio.create_task(run(house, ask()))
            while len(house.walk.worker.load()) != 1 or not upstream.calls:
                await asyncio.sleep(0)
            impatient.cancel()
            await asyncio.wait([impatient])
            assert not patient.done()
        assert (await patient)[1][-1].kind == "done"
        assert [call.body["model"] for call in upstream.calls] == ["stall", "echo"]
        assert idle(house)


async def test_queued_prompts_get_one_slot_in_five_beside_attached_ones(tmp_path: Path, upstream: Upstream) -> None:
    async with living(tmp_path, upstream, slots=1) as house:
        async with asyncio.timeout(PATIENCE), asyncio.TaskGroup() as callers:
            for number in range(20):
                callers.create_task(run(house, ask(text=f"attached {number}")))
            await asyncio.sleep(0)
            queued = [
                await house.walk.intake.submit(
                    Submission(caller=BOB, model="echo", request=Request(messages=(Turn("user", f"queued {number}"),)))
                )
                for number in range(3)
            ]
            for added in queued:
                await house.walk.streams.finished(added.prompt.id)
        texts = [call.body["messages"][-1]["content"] for call in upstream.calls]
        assert [text for text in texts if text.startswith("queued")] == ["queued 0", "queued 1", "queued 2"]
        assert texts.index("queued 0") <= 10
        assert texts.index("queued 2") < len(texts) - 1, "queued prompts had to wait for every attached one"


async def test_a_draining_house_takes_no_more(house: House) -> None:
    await house.drain(0)
    with pytest.raises(ShuttingDown):
        await run(house, ask())


async def test_drain_ends_a_call_under_way(house: House) -> None:
    with pytest.raises(Cancelled, match="shutting down"):  # noqa: PT012 - a call has a beginning and an end
        async with asyncio.timeout(PATIENCE), house.walk.attached.open(ask("stall")) as visit:
            live = visit.chunks()
            await anext(live)
            leaving = asyncio.create_task(house.drain(0))
            await anext(live)
    await leaving
    assert (await stored(house, visit.prompt)).status is Status.CANCELED


async def test_what_may_not_be_asked_again_was_not_left_by_its_caller(house: House) -> None:
    visit = house.walk.attached.open(ask("500"))

    async def call() -> None:
        async with asyncio.timeout(PATIENCE), visit:
            await visit.whole()

    calling = asyncio.create_task(call())
    while not visit.attempts:  # it pauses before it asks once more
        await asyncio.sleep(0)
    await house.drain(0)
    with pytest.raises(ShuttingDown):
        await calling
    row = await stored(house, visit.prompt)
    assert (row.status, row.error and row.error.code) == (Status.ABANDONED, ShuttingDown.code)
    assert [attempt.outcome for attempt in await ledger(house, visit.prompt)] == [Outcome.ERRORED]


async def test_a_cancel_between_two_attempts(house: House) -> None:
    visit = house.walk.attached.open(ask("500"))

    async def call() -> None:
        async with asyncio.timeout(PATIENCE), visit:
            await visit.whole()

    calling = asyncio.create_task(call())
    while not visit.attempts:  # it pauses before it asks once more
        await asyncio.sleep(0)
    await house.walk.prompts.cancel(ANN, visit.prompt.id)
    with pytest.raises(Cancelled):
        await calling
    assert (await stored(house, visit.prompt)).status is Status.CANCELED
    assert [attempt.outcome for attempt in await ledger(house, visit.prompt)] == [Outcome.ERRORED]
    assert idle(house)
    assert not house.walk.worker.paused


async def test_callers_take_turns_while_they_wait_for_a_slot(tmp_path: Path, upstream: Upstream) -> None:
    order: list[str] = []

    async def call(house: House, text: str, caller: Caller) -> None:
        await run(house, ask(text=text, caller=caller))
        order.append(text)

    async with living(tmp_path, upstream, slots=1) as house, asyncio.timeout(PATIENCE):
        async with house.walk.attached.open(ask("stall")) as visit:
            await anext(visit.chunks())
            calls = []
            for text, caller in [("a1", ANN), ("a2", ANN), ("a3", ANN), ("b1", BOB)]:
                calls.append(asyncio.create_task(call(house, text, caller)))
                while (lane := house.walk.worker.lane("up")) is None or len(lane.attached) < len(calls):
                    await asyncio.sleep(0)
        await asyncio.gather(*calls)
    assert order == ["a1", "b1", "a2", "a3"]
