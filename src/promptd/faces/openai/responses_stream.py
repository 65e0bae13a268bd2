"""The events of a queued response, from any of them on, during its run and after it.

They are a function of the prompt, its ledger and its chunks (dialects/responses/writing.py), so whoever comes back with
a number gets exactly what is behind it, also when the server was another process then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

from promptd.core.errors import PromptdError, Unauthenticated
from promptd.core.model import Caller, Chunk, Outcome, Prompt
from promptd.dialects import responses
from promptd.faces.gateway import Ask, Gateway
from promptd.faces.leaving import while_connected
from promptd.service.walk import Walk


async def follow(gateway: Gateway, ask: Ask, prompt: Prompt, after: int = -1) -> None:
    """Answer with the events behind number `after`. The caller may leave; the prompt runs on."""
    reader = _Reader(gateway.walk, ask.caller, prompt, after)
    async with aclosing(_until(gateway.options.closing, reader.chunks())) as source:
        with while_connected(ask.scope, ask.receive), gateway.walk.revocation.staying(ask.caller) as stay:
            stream = await gateway.open(ask, prompt)
            await gateway.write(stream, prompt, lambda _: reader, source, stay.interrupted)


class _Reader:
    """Writes the events, and tells the writer of attempts before it is given what they said."""

    def __init__(self, walk: Walk, caller: Caller, prompt: Prompt, after: int) -> None:
        self._walk, self._caller, self._prompt = walk, caller, prompt
        self._writer = responses.Writer(
            id=prompt.id,
            model=prompt.model,
            created=prompt.created,
            request=prompt.request,
            resumable=True,
            after=after,
        )
        self._before = b""

    def begin(self) -> bytes:
        return self._writer.begin()

    def write(self, chunk: Chunk) -> bytes:
        before, self._before = self._before, b""
        return before if chunk.kind == "restart" else before + self._writer.write(chunk)

    def fail(self, error: PromptdError) -> bytes:
        if isinstance(error, Unauthenticated):  # its reader must go; the response itself has not failed
            return f": {error.message}\n\n".encode()
        return self._writer.fail(error)

    async def chunks(self) -> AsyncGenerator[Chunk, None]:
        """Until the prompt ends, or the server leaves: then the client comes back."""
        yield Chunk("progress")  # it says nothing, but now the stream begins, and its reader knows the response's id
        async with aclosing(self._walk.streams.follow(self._prompt.id, merged=False)) as batches:
            async for batch in batches:
                for chunk in batch:
                    if chunk.attempt > self._writer.attempt:
                        await self._pass(chunk.attempt)
                    yield chunk
                    if chunk.kind in ("done", "error"):
                        return

    async def _pass(self, attempt: int) -> None:
        """Another attempt begins; what those before it said is void, where they said anything."""
        ledger = {row.run: row for row in await self._walk.prompts.attempts(self._caller, self._prompt.id)}
        for number in range(self._writer.attempt, attempt):
            row = ledger.get(number)
            # of an attempt that was lost with its worker nobody knows
            silent = row is not None and row.outcome is not Outcome.LOST and row.first_token is None
            self._before += self._writer.again(number + 1, spoke=not silent)


async def _until(closing: asyncio.Event, source: AsyncGenerator[Chunk, None]) -> AsyncGenerator[Chunk, None]:
    """The chunks until `closing`: a prompt may wait for longer than the server that leaves."""
    reading, waiting = asyncio.current_task(), False

    async def leave() -> None:
        await closing.wait()
        if waiting and reading is not None:
            reading.cancel()

    watch = asyncio.create_task(leave(), name="watch the server")
    try:
        async with aclosing(source):
            while not closing.is_set():
                waiting = True
                try:
                    chunk = await anext(source, None)
                except asyncio.CancelledError:
                    if not closing.is_set() or reading is None or reading.uncancel():
                        raise  # somebody else wants it to stop as well
                    return
                finally:
                    waiting = False
                if chunk is None:
                    return
                yield chunk
    finally:
        watch.cancel()
