"""Several prompts for one request: all at once where the answer is whole, one after another on a stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, Protocol

from starlette.types import Receive

from promptd.core.errors import PromptdError
from promptd.core.model import Chunk, Prompt, Submission
from promptd.faces.asgi import GONE, Disconnected
from promptd.faces.gateway import Ask, Gateway, Whole
from promptd.service.visit import Visit

_AT_ONCE = 16


class _Departure:
    """Passes the news that the client has gone on to several who want to hear it."""

    def __init__(self, ask: Ask) -> None:
        self._lists: list[list[Callable[[], None]]] = []
        self._watcher: asyncio.Task[None] | None = None
        self.told = False
        gone: list[Callable[[], None]] | None = ask.scope.get("extensions", {}).get(GONE)
        if gone is not None:
            gone.append(self._tell)
        else:
            # another server than ours tells only those who ask
            self._watcher = asyncio.create_task(self._wait(ask.receive), name="watch a caller")

    def hearing(self, ask: Ask) -> Ask:
        """The same request for one who listens for itself."""
        heard: list[Callable[[], None]] = []
        self._lists.append(heard)
        extensions: dict[str, Any] = {**ask.scope.get("extensions", {}), GONE: heard}
        copy = Ask({**ask.scope, "extensions": extensions}, ask.receive, ask.send)
        copy.caller, copy.request_id = ask.caller, ask.request_id
        return copy

    def listen(self, leave: Callable[[], None]) -> None:
        self._lists.append([leave])

    def end(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()

    def _tell(self) -> None:
        self.told = True
        for heard in self._lists:
            for leave in tuple(heard):
                leave()

    async def _wait(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._tell()


async def wholes(gateway: Gateway, ask: Ask, submissions: Sequence[Submission]) -> list[Whole]:
    """Every answer, in order. The first that fails ends the others. Raises `PromptdError`, `Disconnected`."""
    departure = _Departure(ask)
    slots = asyncio.Semaphore(_AT_ONCE)

    async def one(submission: Submission) -> Whole:
        async with slots:
            if departure.told:
                raise Disconnected
            return await gateway.whole(departure.hearing(ask), submission)

    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one(submission)) for submission in submissions]
    except BaseExceptionGroup as failed:
        raise (Disconnected() if departure.told else _first(failed)) from None
    finally:
        departure.end()
    return [task.result() for task in tasks]


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


class Choices(Protocol):
    """Writes the events of several answers."""

    def begin(self) -> bytes: ...

    def write(self, chunk: Chunk, index: int = 0) -> bytes: ...

    def fail(self, error: PromptdError) -> bytes: ...


class _Turns:
    """A writer that knows whose turn it is."""

    def __init__(self, choices: Choices, visit: Visit) -> None:
        self._choices, self.visit = choices, visit
        self.place = 0

    def begin(self) -> bytes:
        return self._choices.begin()

    def write(self, chunk: Chunk) -> bytes:
        return self._choices.write(chunk, self.place)

    def fail(self, error: PromptdError) -> bytes:
        return self._choices.fail(error)

    def interrupted(self) -> PromptdError | None:
        return self.visit.interrupted()


async def stream(
    gateway: Gateway, ask: Ask, submissions: Sequence[Submission], writer: Callable[[Prompt], Choices]
) -> None:
    """Answer with the events of one prompt after another. Raises only while no head is sent."""
    departure = _Departure(ask)
    ready = [await gateway.ready(ask, submission) for submission in submissions]
    visits = [gateway.walk.attached.open(submission) for submission in ready]
    first, *others = visits
    departure.listen(first.leave)

    async def source(turns: _Turns) -> AsyncGenerator[Chunk, None]:
        async with aclosing(first.chunks()) as chunks:
            async for chunk in chunks:
                yield chunk
        for turns.place, visit in enumerate(others, 1):
            turns.visit = visit
            departure.listen(visit.leave)
            async with visit, aclosing(visit.chunks()) as chunks:
                async for chunk in chunks:
                    yield chunk

    try:
        async with first:
            ask.charges = first.charges
            turns = _Turns(writer(first.prompt), first)
            async with aclosing(source(turns)) as chunks:
                stream = await gateway.open(ask, first.prompt)
                await gateway.write(stream, first.prompt, lambda _: turns, chunks, turns.interrupted)
    except asyncio.CancelledError:
        if departure.told:
            raise Disconnected from None
        raise
    finally:
        departure.end()
        for submission, visit in zip(ready, visits, strict=True):
            await gateway.ended(ask, submission, visit)
