"""A small OpenAI-like server that misbehaves on demand: the model's name chooses how (raw sockets, 127.0.0.1)."""

from __future__ import annotations

import asyncio
import json
from types import TracebackType
from typing import Any, NamedTuple, Self

from promptd.testing.faults import FAULTS, Fault, Presence, Wire
from promptd.testing.makers import MAKERS, is_form, read_form


class Received(NamedTuple):
    """A request as it came; `headers` have lower-case names."""

    method: str
    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class Upstream:
    """The server, an async context manager. `calls` are all requests, `connections` counts accepted sockets."""

    def __init__(self) -> None:
        self.calls: list[Received] = []
        self._called = asyncio.Event()
        self.connections = 0
        self.presence = Presence()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.base_url = f"http://127.0.0.1:{self.port}/v1"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.gather(*self._tasks)
        await self._server.wait_closed()

    def note(self, received: Received) -> None:
        self.calls.append(received)
        self._called.set()

    async def called(self, count: int = 1) -> None:
        """Wait until so many requests have come."""
        while len(self.calls) < count:
            self._called.clear()
            await self._called.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.connections += 1
        wire = Wire(self.presence, reader, writer)
        try:
            while wire.keep:
                await self._answer(wire)
        except (ConnectionError, asyncio.IncompleteReadError):
            self.presence.note_leaving()
        finally:
            writer.close()
            self._writers.discard(writer)
            self._tasks.discard(task)

    async def _answer(self, wire: Wire) -> None:
        head = (await wire.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        data = await wire.reader.readexactly(int(headers.get("content-length", "0")))
        body = read_form(headers, data) if is_form(headers) else json.loads(data) if data else {}
        self.note(Received(method, path, headers, body))
        if path.endswith("/models"):
            wire.whole(200, {"data": [{"id": "echo"}, {"id": "other"}]})
        elif path.endswith("/embeddings"):
            await EMBEDDERS.get(body["model"], _embed)(wire, body)
        elif body["model"] in MAKERS:
            make = next(make for end, make in MAKERS[body["model"]].items() if path.endswith(end))
            await make(wire, body)
        else:
            await FAULTS[body["model"]](wire, body)
        await wire.writer.drain()


async def _embed(wire: Wire, body: dict[str, Any]) -> None:
    data = [{"index": index, "embedding": [float(len(text)), 0.5]} for index, text in enumerate(body["input"])]
    wire.whole(200, {"data": data[::-1], "usage": {"prompt_tokens": 4, "total_tokens": 4}})


async def _embed_one(wire: Wire, body: dict[str, Any]) -> None:
    wire.whole(200, {"data": [{"index": 0, "embedding": [0.5]}]})


EMBEDDERS: dict[str, Fault] = {"embeds-too-few": _embed_one}
