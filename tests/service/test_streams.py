"""Whoever applies the chunks, however it reads, ends with exactly the stored answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptd.core.chunks import END_OF_FAILED, Position
from promptd.core.content import ToolCall
from promptd.core.engine import Call, NoConfig
from promptd.core.errors import AuthenticationFailed, NetworkError
from promptd.core.lifecycle import Status
from promptd.core.model import Chunk, Prompt
from promptd.service.execution import Rules
from promptd.service.streams import START
from tests.service.conftest import Build
from tests.service.house import ANN, BOB, END, PATIENCE, Clock, House, Plan, applied, fail, hold, say


class Reader:
    """Applies what it reads; leaves and comes back with the last id it saw."""

    def __init__(self, house: House, prompt: Prompt, *, joins: int, stays: int, dawdles: int) -> None:
        self._house, self._prompt = house, prompt
        self._joins, self._stays, self._dawdles = joins, stays, dawdles
        self.text = ""
        self.calls = ""
        self.last: Chunk | None = None

    async def read(self) -> None:
        await _turns(self._joins)
        position = START
        async with asyncio.timeout(PATIENCE):
            while self.last is None or self.last.kind not in ("done", "error"):
                stream = self._house.streams.follow(self._prompt.id, position)
                left = self._stays
                async for batch in stream:
                    assert sum(chunk.kind == "progress" for chunk in batch) <= 1
                    for chunk in batch:
                        self._apply(chunk)
                        position = Position(chunk.attempt, chunk.n)
                    await _turns(self._dawdles)
                    left -= 1
                    if not left:
                        break
                await stream.aclose()

    def _apply(self, chunk: Chunk) -> None:
        self.text = applied([Chunk("progress", text=self.text), chunk])
        self.calls = "" if chunk.kind == "restart" else self.calls + "".join(c.arguments for c in chunk.tool_calls)
        self.last = chunk


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


_PIECE = st.one_of(st.text(st.characters(codec="utf-8"), max_size=4), st.just("{tool}"))
_ATTEMPT = st.lists(st.tuples(_PIECE, st.integers(0, 3)), max_size=8)
_READER = st.tuples(st.integers(0, 40), st.integers(1, 4), st.integers(0, 6))


def _plan(pieces: list[tuple[str, int]], error: Exception | None) -> Plan:
    async def plan(call: Call[NoConfig]) -> AsyncGenerator[Chunk, None]:
        for piece, turns in pieces:
            if piece == "{tool}":
                yield Chunk("progress", text="t", tool_calls=(ToolCall(0, "c", "f", "1"), ToolCall(1, "d", "g", "2")))
            else:
                yield Chunk("progress", text=piece)
            await _turns(turns)
        if error is not None:
            raise error
        yield END

    return plan


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(
    failed=st.lists(_ATTEMPT, max_size=2),
    last=_ATTEMPT,
    abandoned=st.booleans(),
    readers=st.lists(_READER, min_size=1, max_size=5),
)
async def test_every_reader_ends_with_the_stored_answer(
    failed: list[list[tuple[str, int]]],
    last: list[tuple[str, int]],
    abandoned: bool,
    readers: list[tuple[int, int, int]],
) -> None:
    with TemporaryDirectory() as folder:
        house = House(Path(folder) / "promptd.db", clock=Clock(), rules=Rules(base_seconds=0.0))
        await house.start()
        end = AuthenticationFailed() if abandoned else None
        house.engine.plans["hello"] = (*[_plan(pieces, NetworkError()) for pieces in failed], _plan(last, end))
        prompt = await house.submit("hello")
        crowd = [Reader(house, prompt, joins=joins, stays=stays, dawdles=dawdles) for joins, stays, dawdles in readers]
        await asyncio.gather(*[reader.read() for reader in crowd])
        late = Reader(house, prompt, joins=0, stays=99, dawdles=0)
        await late.read()
        done = await house.get(prompt)
        assert done.status is (Status.ABANDONED if abandoned else Status.COMPLETED)
        for reader in [*crowd, late]:
            assert reader.last is not None
            if done.answer is None:
                assert (reader.last.kind, reader.last.code) == ("error", "authentication_failed")
                continue
            assert reader.text == done.answer.text
            assert sorted(reader.calls) == sorted("".join(call.arguments for call in done.answer.tool_calls))
            assert (reader.last.kind, reader.last.message_id) == ("done", done.answer.message_id)
            assert reader.last.usage == done.answer.usage
        await house.settled()
        assert house.bus.topics == 0
        await house.stop()


async def test_every_position_of_a_finished_prompt_gets_exactly_the_rest(house: House) -> None:
    house.engine.plans["hello"] = (fail(NetworkError(), "void"), say("one ", "two ", "three"))
    prompt = await house.submit("hello")
    await house.errored(prompt)
    house.move(2)
    await house.finished(prompt)
    everything = ["one ", "two ", "three"]
    for n in range(5):
        chunks = [chunk async for batch in house.streams.follow(prompt.id, Position(2, n)) for chunk in batch]
        assert applied(chunks) == "".join(everything[n:])
        assert [chunk.kind for chunk in chunks[-1:]] == (["done"] if n < 4 else [])
    for after in (Position(1, 1), Position(9, 9), Position(2, END_OF_FAILED), Position(3, 1)):
        chunks = [chunk async for batch in house.streams.follow(prompt.id, after) for chunk in batch]
        assert applied(chunks) == "one two three", after
        assert (chunks[0].kind == "restart") == (after.attempt == 1)


async def test_a_position_that_was_never_given_out_reads_from_the_start(house: House) -> None:
    gate = asyncio.Event()
    house.engine.plans["hello"] = (hold(gate, " two", before=["one"]),)
    prompt = await house.submit("hello")
    await house.engine.called()
    stream = house.streams.follow(prompt.id, Position(7, 3))
    seen = list(await anext(stream))
    gate.set()
    seen += [chunk async for batch in stream for chunk in batch]
    assert applied(seen) == "one two"


async def test_a_reader_that_is_slow_to_take_the_restart_still_gets_the_rest(house: House) -> None:
    house.engine.plans["hello"] = (fail(NetworkError(), "void"), say("good"))
    prompt = await house.submit("hello")
    await house.errored(prompt)
    stream = house.streams.follow(prompt.id, Position(1, 1))
    seen = list(await anext(stream))
    assert [chunk.kind for chunk in seen] == ["restart"]
    house.move(2)
    await house.finished(prompt)
    async with asyncio.timeout(PATIENCE):
        seen += [chunk async for batch in stream for chunk in batch]
    assert applied(seen) == "good"
    assert seen[-1].kind == "done"


async def test_a_restart_tells_why_and_when(house: House) -> None:
    house.engine.plans["hello"] = (fail(NetworkError("down"), "void"),)
    prompt = await house.submit("hello")
    stream = house.streams.follow(prompt.id)
    seen: list[Chunk] = []
    async for batch in stream:
        seen.extend(batch)
        if seen[-1].kind == "restart":
            break
    await stream.aclose()
    assert (seen[-1].code, seen[-1].message, seen[-1].retry_at) == ("network_error", "down", house.clock() + 2)
    await house.prompts.cancel(ANN, prompt.id)


async def test_the_first_text_is_seen_before_the_last_is_made(house: House) -> None:
    gate = asyncio.Event()
    house.engine.plans["hello"] = (hold(gate, "!", before=["first"]),)
    prompt = await house.submit("hello")
    stream = house.streams.follow(prompt.id)
    async with asyncio.timeout(PATIENCE):
        assert [chunk.text for chunk in await anext(stream)] == ["first"]
        gate.set()
        assert [chunk.text async for batch in stream for chunk in batch] == ["!", ""]


async def test_a_thread_is_followed_through_its_prompts(house: House) -> None:
    texts: dict[str, str] = {}

    async def read(count: int, begin: int) -> None:
        async for prompt, batch in house.streams.follow_thread("t", (begin, START)):
            texts[prompt.id] = applied([Chunk("progress", text=texts.get(prompt.id, "")), *batch])
            if batch[-1].kind in ("done", "error") and len(texts) == count:
                return

    before = await house.run("before", thread="t")
    # a reader that looks for its beginning later than it asks for it would count the first of these as past
    reader = asyncio.create_task(read(6, await house.streams.thread_passed("t") + 1))
    prompts = []
    for number in range(6):
        prompts.append(await house.submit(f"text {number}", thread="t"))
        if number % 2:
            await house.finished(prompts[-1])
    async with asyncio.timeout(PATIENCE):
        await reader
    assert before.id not in texts
    assert texts == {prompt.id: f"re: text {number}" for number, prompt in enumerate(prompts)}


async def test_who_comes_back_to_a_thread_misses_nothing(house: House) -> None:
    first = await house.run("one", thread="t")
    second = await house.run("two", thread="t")
    seen: list[tuple[str, str]] = []
    async with asyncio.timeout(PATIENCE):
        async for prompt, batch in house.streams.follow_thread("t", (first.no, Position(1, 1))):
            seen += [(prompt.id, chunk.kind) for chunk in batch]
            if seen[-1] == (second.id, "done"):
                break
    assert seen == [(first.id, "done"), (second.id, "progress"), (second.id, "done")]


async def test_a_thousand_readers_of_one_prompt(build: Build) -> None:
    house = await build()
    gate = asyncio.Event()
    house.engine.plans["hello"] = (hold(gate, *[f"{number} " for number in range(50)]),)
    prompt = await house.submit("hello", BOB)
    crowd = [
        Reader(house, prompt, joins=number % 7, stays=1 + number % 50, dawdles=number % 3) for number in range(1000)
    ]
    tasks = [asyncio.create_task(reader.read()) for reader in crowd]
    await house.engine.called()
    for task in tasks[::10]:
        task.cancel()
    gate.set()
    await asyncio.gather(*tasks, return_exceptions=True)
    done = await house.get(prompt)
    assert done.answer is not None
    assert all(reader.text == done.answer.text for number, reader in enumerate(crowd) if number % 10)
    await house.settled()
    assert house.bus.topics == 0
