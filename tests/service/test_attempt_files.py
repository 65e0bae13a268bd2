"""Files of attempts: what is kept belongs to an answer, and an attempt that does not count leaves none; how far it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from promptd.core.chunks import Position
from promptd.core.content import Turn
from promptd.core.engine import Call, NoConfig
from promptd.core.errors import InvalidRequest, StoreUnavailable
from promptd.core.files import Upload
from promptd.core.filters import Query
from promptd.core.lifecycle import Status
from promptd.core.model import Blob, Capability, Chunk, Request, Usage
from promptd.stores.files import FolderFiles
from promptd.testing.files import stream
from tests.service.conftest import Build
from tests.service.house import ANN, BOB, PATIENCE, Censor, House, Plan, say

BLOBS = (Blob("a.png", "image/png", b"one"), Blob("b.png", "image/png", b"two"))
DRAWN = Chunk("done", finish_reason="stop", usage=Usage(), blobs=BLOBS)


@pytest.fixture(autouse=True)
def _skilled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.service.house.Puppet.capabilities", frozenset(Capability))


def fractions(*values: float, gate: asyncio.Event | None = None, end: Chunk = DRAWN) -> Plan:
    async def plan(call: Call[NoConfig]) -> AsyncGenerator[Chunk, None]:
        for value in values:
            yield Chunk("progress", fraction=value)
        if gate is not None:
            await gate.wait()
        yield end

    return plan


async def upload(house: House, content: bytes) -> str:
    return (await house.uploads.save("ann", "a.txt", "text/plain", stream([content]), 10**6)).id


async def uploads(house: House) -> list[Upload]:
    return list((await house.uploads.find(None, Query(limit=100))).items)


def contents(tmp_path: Path) -> list[Path]:
    return [path for path in (tmp_path / "files").rglob("*") if path.is_file()]


def with_files(text: str, *files: str) -> Request:
    return Request(messages=(Turn("user", text),), files=files)


# ------------------------------------------------------------------ what an engine made


async def test_the_files_of_an_answer_are_its_authors(house: House) -> None:
    house.engine.plans["draw"] = (fractions(),)
    done = await house.run("draw", BOB, capability=Capability.IMAGE, thread="t")
    assert done.answer is not None
    found = [await house.uploads.get(identifier) for identifier in done.answer.files]
    assert [(one.name, one.media_type, one.user) for one in found] == [
        ("a.png", "image/png", "bob"),
        ("b.png", "image/png", "bob"),
    ]
    assert [await house.uploads.read(one.id, 100) for one in found] == [b"one", b"two"]
    (message,) = [one for one in await house.threads.messages(BOB, "t") if one.user is None]
    assert message.files == done.answer.files


async def test_an_answer_that_a_guard_refuses_leaves_no_files(build: Build, tmp_path: Path) -> None:
    house = await build(output_guard=Censor("bad"))
    house.engine.plans["draw"] = (say("bad", end=DRAWN),)
    done = await house.run("draw", max_attempts=1)
    assert (done.status, done.error and done.error.code) == (Status.ABANDONED, "content_filtered")
    assert await uploads(house) == []
    assert contents(tmp_path) == []


async def test_a_cancel_while_files_are_stored_leaves_none(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reached, gate = asyncio.Event(), asyncio.Event()
    save = FolderFiles.save

    async def gated(files: FolderFiles, chunks: AsyncIterator[bytes]) -> str:
        digest = await save(files, chunks)
        reached.set()
        await gate.wait()
        return digest

    monkeypatch.setattr(FolderFiles, "save", gated)
    house.engine.plans["draw"] = (fractions(),)
    prompt = await house.submit("draw", capability=Capability.IMAGE)
    await reached.wait()
    await house.prompts.cancel(ANN, prompt.id)
    gate.set()
    assert (await house.finished(prompt)).status is Status.CANCELED
    await house.settled()
    assert await uploads(house) == []
    assert contents(tmp_path) == []


async def test_an_attempt_whose_lease_was_lost_takes_its_files_back(build: Build, tmp_path: Path) -> None:
    house = await build()
    first, second = asyncio.Event(), asyncio.Event()
    house.engine.plans["draw"] = (fractions(gate=first), fractions(gate=second))
    prompt = await house.submit("draw", capability=Capability.IMAGE)
    await house.engine.called()
    await house.queue.rescue(now=house.clock(), everything=True)
    house.worker.poke_all()
    await house.engine.called()
    first.set()
    async with asyncio.timeout(PATIENCE):
        while house.worker.load()["main"][1] > 1:
            await asyncio.sleep(0)
    assert await uploads(house) == [], "the first attempt is over, and does not count"
    second.set()
    done = await house.finished(prompt)
    assert done.runs == 2
    assert done.answer is not None
    assert sorted(one.id for one in await uploads(house)) == sorted(done.answer.files)
    assert len(contents(tmp_path)) == 2


async def test_an_answer_that_was_stored_all_the_same_keeps_its_files(build: Build) -> None:
    """The store says that it failed, and had written; the second try then finds the lease gone."""
    house = await build()
    settle, tries, again = house.queue.settle, 0, asyncio.Event()

    async def forgetful(settlement: Any) -> Any:
        nonlocal tries
        tries += 1
        settled = await settle(settlement)
        if tries == 1:
            raise StoreUnavailable("after the commit")
        again.set()
        return settled

    house.queue.settle = forgetful  # type: ignore[method-assign]
    house.engine.plans["draw"] = (fractions(),)
    prompt = await house.submit("draw", capability=Capability.IMAGE)
    async with asyncio.timeout(PATIENCE):
        await again.wait()
    await house.settled()
    done = await house.get(prompt)
    assert done.answer is not None
    assert sorted(one.id for one in await uploads(house)) == sorted(done.answer.files)
    assert len(done.answer.files) == 2


async def test_what_was_drawn_waits_while_it_cannot_be_stored(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = asyncio.Event()
    save = FolderFiles.save

    async def watched(files: FolderFiles, chunks: AsyncIterator[bytes]) -> str:
        try:
            return await save(files, chunks)
        except StoreUnavailable:
            failed.set()
            raise

    monkeypatch.setattr(FolderFiles, "save", watched)
    room, away = tmp_path / "files" / "tmp", tmp_path / "away"
    room.rename(away)
    house.engine.plans["draw"] = (fractions(),)
    prompt = await house.submit("draw", capability=Capability.IMAGE)
    async with asyncio.timeout(PATIENCE):
        await failed.wait()
    away.rename(room)
    done = await house.finished(prompt)
    assert (done.status, done.runs, len(house.engine.calls)) == (Status.COMPLETED, 1, 1)
    assert done.answer is not None
    assert len(await uploads(house)) == len(done.answer.files) == 2


async def test_a_server_that_leaves_meanwhile_hands_the_prompt_back(build: Build, tmp_path: Path) -> None:
    house = await build()
    (tmp_path / "files" / "tmp").rename(tmp_path / "away")
    house.engine.plans["draw"] = (fractions(),)
    prompt = await house.submit("draw", capability=Capability.IMAGE)
    async with asyncio.timeout(PATIENCE):
        while not house.engine.closed:
            await asyncio.sleep(0)
        await house.worker.drain(0)
    back = await house.get(prompt)
    assert (back.status, back.failures) == (Status.SCHEDULED, 0)


# ------------------------------------------------------------------ how far it is


async def test_fractions_reach_readers_and_leave_no_text(house: House) -> None:
    gate = asyncio.Event()
    house.engine.plans["draw"] = (fractions(-1, 0.25, 7, gate=gate),)
    prompt = await house.submit("draw", capability=Capability.IMAGE)
    seen: list[Chunk] = []
    async with asyncio.timeout(PATIENCE), house.bus.follow(prompt.id, Position(0, 0)) as live:
        async for batch in live:
            seen += batch
            if len(seen) == 3:
                gate.set()
    assert [(chunk.kind, chunk.fraction, chunk.n, chunk.text) for chunk in seen] == [
        ("progress", 0.0, 1, ""),
        ("progress", 0.25, 2, ""),
        ("progress", 1.0, 3, ""),
        ("done", None, 4, ""),
    ]
    done = await house.finished(prompt)
    assert done.answer is not None
    assert done.answer.text == ""
    (attempt,) = await house.attempts(done)
    assert (attempt.first_token, attempt.usage) == (None, Usage()), "nothing was said, and nothing is charged for it"
    for heard in range(4):
        rest = [chunk async for batch in house.streams.follow(prompt.id, Position(1, heard)) for chunk in batch]
        assert rest[-1] == seen[-1], "a reader that comes back with any id hears the end"
    assert [chunk async for batch in house.streams.follow(prompt.id, Position(1, 4)) for chunk in batch] == []


async def test_fractions_between_texts_change_neither_text_nor_replay(house: House) -> None:
    async def plan(call: Call[NoConfig]) -> AsyncGenerator[Chunk, None]:
        yield Chunk("progress", fraction=0.1)
        yield Chunk("progress", text="one ")
        yield Chunk("progress", fraction=0.5)
        yield Chunk("progress", text="two")
        yield Chunk("done", finish_reason="stop", usage=Usage(1, 1))

    house.engine.plans["mixed"] = (plan,)
    done = await house.run("mixed")
    assert done.answer is not None
    assert done.answer.text == "one two"
    # after "one " and half of the work
    rest = [chunk async for batch in house.streams.follow(done.id, Position(1, 3)) for chunk in batch]
    assert [chunk.text for chunk in rest] == ["two", ""]


async def test_a_conversation_goes_on_without_what_was_drawn_or_heard(house: House) -> None:
    house.engine.plans |= {"draw": (fractions(),), "": (say("heard"),)}
    await house.run("hi", thread="t")
    await house.run("draw", thread="t", capability=Capability.IMAGE)
    sound = (await house.uploads.save("ann", "a.wav", "audio/wav", stream([b"x"]), 10)).id
    await house.run(thread="t", request=with_files("", sound), capability=Capability.TRANSCRIPTION)
    await house.run("and now?", thread="t")
    assert [(turn.role, turn.content) for turn in house.engine.calls[-1].messages] == [
        ("user", "hi"),
        ("assistant", "re: hi"),
        ("user", "and now?"),
    ]


# ------------------------------------------------------------------ what a prompt brings


async def test_the_files_of_somebody_else_may_be_used_by_who_knows_their_id(house: House) -> None:
    identifier = await upload(house, b"the facts")
    await house.run("why?", BOB, request=with_files("why?", identifier))
    assert house.engine.calls[-1].messages[-1].content == "[a.txt]\nthe facts\n\nwhy?"


async def test_the_size_of_a_prompts_files_is_bounded(house: House) -> None:
    whole = await house.uploads.get(await upload(house, b"x"))
    fields: dict[str, Any] = {name: getattr(whole, name) for name in Upload.__struct_fields__ if name != "version"}
    for name in ("file-half", "file-other-half"):
        await house.records.put(Upload(**fields | {"id": name, "size": 33 * 1024 * 1024}))
    with pytest.raises(InvalidRequest) as refused:
        await house.submit("x", request=with_files("x", "file-half", "file-other-half"))
    assert refused.value.field == "files[1]"


async def test_a_file_that_is_gone_or_unreadable_when_its_turn_comes(house: House, tmp_path: Path) -> None:
    gate = asyncio.Event()
    house.engine.plans["in front"] = (fractions(gate=gate, end=Chunk("done", finish_reason="stop", usage=Usage())),)
    await house.submit("in front", thread="t")
    gone, unreadable = await upload(house, b"gone"), await upload(house, b"unreadable")
    first = await house.submit("x", request=with_files("x", gone), thread="t")
    second = await house.submit("x", request=with_files("x", unreadable), thread="t")
    await house.uploads.delete(ANN, gone)
    path = house.contents.path((await house.uploads.get(unreadable)).digest)
    away = path.rename(tmp_path / "away")
    path.mkdir()
    gate.set()
    lost = await house.finished(first)
    assert (lost.status, lost.error and lost.error.code) == (Status.ABANDONED, "resource_not_found")
    failed = await house.errored(second)
    assert failed.error is not None
    assert failed.error.code == "service_unavailable", "that may pass"
    path.rmdir()
    away.rename(path)
    house.move(10)
    assert (await house.finished(second)).status is Status.COMPLETED
