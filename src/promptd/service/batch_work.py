"""The lines of one batch on their way: each becomes child prompts, and what these say is handed over line by line.

A child's id follows from its line. So a second try finds what the first one made, and no line runs twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from typing import Final, Literal, Protocol

from promptd.core import identity
from promptd.core.batches import Batch, Lines
from promptd.core.errors import (
    EXECUTION_CODES,
    Cancelled,
    Conflict,
    ExecutionFailed,
    NotFound,
    PromptdError,
    Refusal,
    StoreUnavailable,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from promptd.core.model import Caller, Prompt, Submission, Usage
from promptd.core.routing import add
from promptd.dialects.asked import Asked
from promptd.dialects.batch_lines import Line, answered, lost, read_line
from promptd.service.batch_tools import Decoded, Tools, lines_of

Why = Literal["cancelled", "expired"]
_LOST: Final[Mapping[Why, tuple[str, str]]] = {
    "cancelled": ("batch_cancelled", "This request was not executed before the batch was cancelled."),
    "expired": ("batch_expired", "This request could not be executed before the completion window expired."),
}
_SHORTEST_WAIT, _LONGEST_WAIT = 0.2, 30.0  # seconds until a line that was refused for now is tried again
_LOOK_SECONDS: Final = 1.0
_LARGE: Final = 64 * 1024  # bytes of a request of which not many shall be in memory at a time
_NOTHING: Final = Usage()
Encode = Callable[[Sequence[Prompt]], bytes]


class Note(Protocol):
    """Takes the outcome of a line, to be kept. Raises `StoreUnavailable`."""

    def __call__(self, place: int, line: bytes, *, failed: bool, used: Usage) -> Awaitable[None]: ...


class Stop:
    """Whether a batch has to stop, and why. The first reason counts."""

    def __init__(self) -> None:
        self._set = asyncio.Event()
        self.why: Why | None = None

    def __bool__(self) -> bool:
        return self.why is not None

    def give(self, why: Why) -> None:
        if self.why is None:
            self.why = why
            self._set.set()

    async def wait(self, seconds: float) -> None:
        """Until it comes, at most so long."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._set.wait(), seconds)


class _Stopped(Exception):
    """There is no time for this line any more."""


class Work:
    """Brings every line that is not done on its way, a bounded number at a time."""

    def __init__(self, batch: Batch, done: Lines, tools: Tools, stop: Stop, note: Note, *, again: bool) -> None:
        """`again`: an earlier run may have made children of some lines."""
        self._batch, self._done, self._tools, self._stop, self._note = batch, done, tools, stop, note
        self._again = again
        self._kind = tools.kinds[batch.endpoint]
        self._flying: set[str] = set()
        self._slots = asyncio.Semaphore(tools.rules.queued)

    async def run(self) -> None:
        """Until every line has its outcome. Raises `NotFound` where the file is gone, `StoreUnavailable`."""
        async with asyncio.TaskGroup() as waits:
            await self._feed(waits)

    def _over(self) -> bool:
        """Whether the batch has to stop. A prompt may hear of the end of its time before anybody else."""
        if self._tools.clock() >= self._batch.expires:
            self._stop.give("expired")
        return bool(self._stop)

    async def recall(self) -> None:
        """Cancel what is in the queue."""
        for identifier in tuple(self._flying):
            await self._cancel(identifier)

    async def _cancel(self, identifier: str) -> None:
        who = Caller(self._batch.user, permissions=frozenset({identity.PROMPT_EDIT}))
        with suppress(Conflict, NotFound):  # it has ended, or was never there
            await self._tools.prompts.cancel(who, identifier)

    # ---------------------------------------------------------------- out

    async def _feed(self, waits: asyncio.TaskGroup) -> None:
        place = -1
        async with aclosing(lines_of(self._tools, self._batch.input_file)) as lines:
            async for number, raw in lines:
                place += 1
                if place >= self._done.count:
                    return
                if place in self._done:
                    continue
                await self._begin(place, read_line(raw, number, self._batch.endpoint), waits)

    async def _begin(self, place: int, line: Line, waits: asyncio.TaskGroup) -> None:
        """Bring a line on its way. Many small ones are stored together; a large one is in the queue when this returns."""
        if self._over() and not self._again:
            await self._note_lost(place, line.custom_id)
            return
        try:
            decoded = self._kind.decode(line.body)
        except Refusal as error:
            await self._note_error(place, line.custom_id, error)
            return
        await self._slots.acquire()
        sent = asyncio.Event()
        waits.create_task(self._carry(place, line.custom_id, line.model, decoded, sent))
        if len(line.body) > _LARGE:
            await sent.wait()

    async def _carry(self, place: int, custom_id: str, model: str, decoded: Decoded, sent: asyncio.Event) -> None:
        """One line from here to its outcome."""
        asked, encode = decoded.asked, decoded.encode
        names = [self._name(place, number) for number in range(len(asked))]
        made: list[str] = []
        try:
            for name, one in zip(names, asked, strict=True):
                await self._child(name, model, one)
                made.append(name)
            del decoded, asked, one  # they may be large, and what follows may take hours
            sent.set()
            await self._collect(place, custom_id, encode, [await self._finished(name) for name in names])
        except (_Stopped, Refusal) as error:
            if isinstance(error, StoreUnavailable):
                raise
            if len(made) < len(names):
                for name in made:  # the line is lost, and so nobody wants the others
                    await self._cancel(name)
            # a refusal of this moment may be that of a deadline that has just passed
            if isinstance(error, Refusal) and not (self._over() and len(made) < len(names)):
                await self._note_error(place, custom_id, error)
            else:
                await self._note_lost(place, custom_id)
        finally:
            sent.set()
            self._flying.difference_update(names)
            self._slots.release()

    def _name(self, place: int, number: int = 0) -> str:
        """The id of a line's request, which is that of its (first) prompt."""
        name = f"batch_req_{self._batch.id.removeprefix('batch_')}_{place}"
        return f"{name}_{number}" if number else name

    async def _child(self, identifier: str, model: str, asked: Asked) -> None:
        """See to it that the prompt is in the queue, or was. Raises `_Stopped`, `Refusal`."""
        self._flying.add(identifier)
        if self._again and await self._tools.records.get(Prompt, identifier) is not None:
            return
        while not self._over():
            try:
                await self._submit(identifier, model, asked)
                return
            except (TooManyRequests, Unavailable) as error:
                await self._stop.wait(min(max(error.retry_after or 1.0, _SHORTEST_WAIT), _LONGEST_WAIT))
        raise _Stopped

    async def _submit(self, identifier: str, model: str, asked: Asked) -> None:
        caller = await self._tools.renew(Caller(self._batch.user, self._batch.key))
        if caller is None:
            raise Unauthenticated("the key that made this batch has ended")
        await self._tools.intake.submit(
            Submission(
                caller=caller,
                request=asked.request,
                model=model,
                id=identifier,
                capability=asked.capability,
                parent=self._batch.id,
                counted=self._batch.counted,
                priority=self._tools.rules.priority,
                deadline=self._batch.expires,
            )
        )

    # ---------------------------------------------------------------- and back

    async def _finished(self, identifier: str) -> Prompt:
        while True:
            prompt = await self._tools.streams.finished(identifier)
            if prompt.status.final:
                return prompt
            await asyncio.sleep(_LOOK_SECONDS)  # the server leaves, which will end this wait too

    async def _collect(self, place: int, custom_id: str, encode: Encode, prompts: Sequence[Prompt]) -> None:
        used = _NOTHING
        for prompt in prompts:
            used = add(used, prompt.answer.usage) if prompt.answer is not None else used
        bad = next((prompt for prompt in prompts if prompt.answer is None), None)
        if bad is None:
            name = self._name(place)
            try:
                line = answered(name, custom_id, 200, name, encode(prompts))
            except PromptdError as error:
                await self._note_error(place, custom_id, error, used)
            else:
                await self._note(place, line, failed=False, used=used)
            return
        code = bad.error.code if bad.error is not None else Cancelled.code
        if self._over() and (code == Cancelled.code or (self._stop.why == "expired" and code == "timeout")):
            await self._note_lost(place, custom_id, used)
            return
        failure = EXECUTION_CODES.get(code, ExecutionFailed)(bad.error.message if bad.error is not None else "")
        await self._note_error(place, custom_id, failure, used)

    async def _note_lost(self, place: int, custom_id: str, used: Usage = _NOTHING) -> None:
        line = lost(self._name(place), custom_id, *_LOST[self._stop.why or "cancelled"])
        await self._note(place, line, failed=True, used=used)

    async def _note_error(self, place: int, custom_id: str, error: PromptdError, used: Usage = _NOTHING) -> None:
        status, body = self._kind.refuse(error)
        name = self._name(place)
        await self._note(place, answered(name, custom_id, status, name, body), failed=True, used=used)
