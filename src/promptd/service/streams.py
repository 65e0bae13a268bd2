"""Streams: replay what is there, then follow. Whoever applies the chunks ends with exactly the stored message.

`progress` appends, `restart` empties, `done` and `error` end. A reader may come early, late, twice, or back again with
the last event id it saw.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from types import MappingProxyType

from promptd.core.chunks import END_OF_FAILED, Position, merge, replay
from promptd.core.errors import EXECUTION_CODES, Cancelled, NotFound
from promptd.core.filters import Filter, Order, Query
from promptd.core.lifecycle import Status
from promptd.core.model import Chunk, Prompt
from promptd.core.ports import Bus, Records
from promptd.service.runs import Run

START = Position(0, 0)


def thread_topic(thread: str) -> str:
    """Where a thread's readers are woken. Never a prompt's topic: callers may give both the same id."""
    return f"thread\0{thread}"


def last_chunks(prompt: Prompt, after: Position) -> list[Chunk]:
    """The chunks of a final prompt behind `after`; empty where the reader has them all."""
    attempt, n = after
    batch: list[Chunk] = []
    if 0 < attempt < prompt.runs:
        batch.append(Chunk("restart", attempt=prompt.runs))
        n = 0
    elif attempt == 0:
        n = 0
    if prompt.status is Status.COMPLETED and prompt.answer is not None:
        return batch + replay(prompt.answer, prompt.trace, prompt.runs, n)
    end = failure_chunk(prompt)
    heard = attempt >= end.attempt and n >= end.n
    return [] if heard else [*batch, end]


def known_position(prompt: Prompt, after: Position) -> Position:
    """`after`, or the start where the prompt never gave out this position, or gave it out before it was retried."""
    if prompt.status in (Status.ABANDONED, Status.CANCELED):
        return after if after.attempt <= prompt.runs + 1 else START
    current = prompt.runs if prompt.status in (Status.RUNNING, Status.COMPLETED) else prompt.runs + 1
    return after if after < Position(current, END_OF_FAILED) else START


def failure_chunk(prompt: Prompt) -> Chunk:
    """The last chunk of a prompt that ended without an answer. Its number is beyond any text that was streamed."""
    code = prompt.error.code if prompt.error else Cancelled.code
    message = prompt.error.message if prompt.error else EXECUTION_CODES[code].title
    return Chunk("error", attempt=max(prompt.runs, 1), n=END_OF_FAILED, code=code, message=message)


class Streams:
    """Readers of prompts and threads."""

    def __init__(
        self,
        *,
        records: Records,
        bus: Bus,
        running: Callable[[str], Run | None] = lambda identifier: None,
        unwritten: Mapping[str, Prompt] = MappingProxyType({}),
    ) -> None:
        """`running` finds the run of a prompt in this process, whose end is known here before it can be read.

        `unwritten` holds attached prompts that are not on disk yet.
        """
        self._running, self._unwritten = running, unwritten
        self._records, self._bus = records, bus

    async def follow(
        self, identifier: str, after: Position = START, *, merged: bool = True
    ) -> AsyncGenerator[Sequence[Chunk], None]:
        """Batches of chunks of a prompt until it ends; a batch holds at most one `progress`, or where it shall not be
        `merged`, each as it was numbered.

        Ends without `done` or `error` only when the server is leaving. Raises `NotFound`.
        """
        async with self._bus.follow(identifier, after) as live:
            # the log was joined first, so nothing can end unseen between this look and the loop
            prompt = await self._find(identifier)
            if prompt is None:
                raise NotFound(f"no prompt {identifier}")
            if known_position(prompt, after) != after:
                async with aclosing(self.follow(identifier, merged=merged)) as from_the_start:
                    async for batch in from_the_start:
                        yield batch
                return
            if prompt.status.final:
                last = last_chunks(prompt, after)
                if last:
                    yield merge(last) if merged else last
                return
            if prompt.status is not Status.RUNNING and 0 < after.attempt <= prompt.runs:
                yield [
                    Chunk("restart", attempt=prompt.runs + 1)
                ]  # told again when the attempt begins; that is harmless
            async for batch in live:
                yield merge(batch) if merged else batch

    async def finished_soon(self, identifier: str, seconds: float) -> Prompt | None:
        """The prompt, if it runs here and is final within `seconds`: what most short waits need, at the least cost."""
        run = self._running(identifier)
        settled = await run.settlement(seconds) if run is not None else None
        return settled if settled is not None and settled.status.final else None

    async def finished(self, identifier: str) -> Prompt:
        """Wait until a prompt is final, and return it. Raises `NotFound`."""
        run = self._running(identifier)
        settled = await run.settlement() if run is not None else None
        if settled is not None and settled.status.final:
            return settled
        async with self._bus.follow(identifier, START) as live:
            prompt = await self._find(identifier)
            if prompt is None:
                raise NotFound(f"no prompt {identifier}")
            if prompt.status.final:
                return prompt
            async for _ in live:
                pass
            found = await self._find(identifier)
            if found is None:
                raise NotFound(f"the prompt {identifier} was deleted")
            return found

    async def follow_thread(
        self, thread: str, after: tuple[int, Position] | None = None
    ) -> AsyncGenerator[tuple[Prompt, Sequence[Chunk]], None]:
        """Chunks of a thread's prompts, in turn, for as long as the reader stays.

        Without `after` a reader gets the first unfinished prompt's text so far and everything later; with it (a prompt's
        number and how far the reader came), what it missed.
        """
        async with self._bus.follow(thread_topic(thread), START) as wakes:
            passed = after[0] - 1 if after is not None else await self.thread_passed(thread)
            while True:
                prompt = await self._next(thread, passed)
                if prompt is None:
                    await anext(wakes)
                    continue
                position = after[1] if after is not None and after[0] == prompt.no else START
                with suppress(NotFound):  # it was deleted since it was found
                    async with aclosing(self.follow(prompt.id, position)) as batches:
                        async for batch in batches:
                            yield prompt, batch
                passed = prompt.no

    async def thread_passed(self, thread: str) -> int:
        """The number before the thread's first unfinished prompt, or of its last one: where a new reader begins."""
        of_thread = Filter("thread", "eq", thread)
        unfinished = Filter("status", "in", ("running", "scheduled", "errored"))
        page = await self._records.find(Prompt, Query(filters=(of_thread, unfinished), order=(Order("no"),), limit=1))
        if page.items:
            return page.items[0].no - 1
        page = await self._records.find(Prompt, Query(filters=(of_thread,), order=(Order("no", True),), limit=1))
        return page.items[0].no if page.items else 0

    async def _find(self, identifier: str) -> Prompt | None:
        return self._unwritten.get(identifier) or await self._records.get(Prompt, identifier)

    async def _next(self, thread: str, passed: int) -> Prompt | None:
        """The thread's first prompt behind number `passed`."""
        filters = (Filter("thread", "eq", thread), Filter("no", "gt", passed))
        page = await self._records.find(Prompt, Query(filters=filters, order=(Order("no"),), limit=1))
        return page.items[0] if page.items else None
