"""Raw HTTP servers on 127.0.0.1 for tests of clients: every byte of every answer is the test's own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

Reader = asyncio.StreamReader
Writer = asyncio.StreamWriter
Handler = Callable[[Reader, Writer], Awaitable[None]]


@asynccontextmanager
async def serve(handler: Handler) -> AsyncIterator[str]:
    """The URL of a server that hands each connection to `handler` and drops what is open at the end."""
    tasks: set[asyncio.Task[None]] = set()
    writers: list[Writer] = []

    async def accept(reader: Reader, writer: Writer) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        writers.append(writer)
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await handler(reader, writer)
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, backlog=512)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*tasks)


async def head_of(reader: Reader) -> bytes:
    return await reader.readuntil(b"\r\n\r\n")


def answering(*answers: bytes) -> Handler:
    """Each request gets the next answer, the last one again and again."""

    async def handler(reader: Reader, writer: Writer) -> None:
        number = 0
        while True:
            await head_of(reader)
            writer.write(answers[min(number, len(answers) - 1)])
            await writer.drain()
            number += 1

    return handler


def closing(answer: bytes) -> Handler:
    async def handler(reader: Reader, writer: Writer) -> None:
        await head_of(reader)
        writer.write(answer)

    return handler


class Hanging:
    """An upstream that sends `lead` and then waits for its client to go, noting when it does."""

    def __init__(self, lead: bytes) -> None:
        self.lead = lead
        self.asked = asyncio.Semaphore(0)
        self._left: list[float] = []
        self._gone = asyncio.Semaphore(0)

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        await head_of(reader)
        writer.write(self.lead)
        await writer.drain()
        self.asked.release()
        with suppress(ConnectionError):
            await reader.read()
        self._left.append(asyncio.get_running_loop().time())
        self._gone.release()

    async def all_left(self, count: int) -> float:
        """When the last of `count` clients had gone, in the loop's time."""
        async with asyncio.timeout(5):
            for _ in range(count):
                await self._gone.acquire()
        return max(self._left)


class Counting:
    """Counts connections around another handler."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.count = 0

    async def __call__(self, reader: Reader, writer: Writer) -> None:
        self.count += 1
        await self.handler(reader, writer)
