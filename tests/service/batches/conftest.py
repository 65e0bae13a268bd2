"""A house, and the batches in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec import Struct

from promptd.core.batches import Batch
from promptd.core.content import Turn
from promptd.core.errors import InvalidRequest, PromptdError
from promptd.core.filters import Filter, Query
from promptd.core.model import Caller, Prompt, Request
from promptd.core.ports import Gone, Records
from promptd.dialects.asked import Asked
from promptd.service.batches import Batches, BatchRules, Decoded, Kind
from promptd.service.filed import Filed
from tests.service.conftest import Build
from tests.service.house import ANN, BOB, PATIENCE, House

URL = "/v1/things"


RULES = BatchRules(queued=5, safe_seconds=0.02, pause_seconds=0.02)


class Body(Struct):
    model: str
    text: str | list[str]


def decode(body: bytes) -> Decoded:
    try:
        given = msgspec.json.decode(body, type=Body)
    except msgspec.ValidationError as error:
        raise InvalidRequest(str(error), field="text", expected="a string") from None
    texts = given.text if isinstance(given.text, list) else [given.text]
    return Decoded(tuple(Asked(request=Request(messages=(Turn("user", text),))) for text in texts), encode)


def encode(prompts: Sequence[Prompt]) -> bytes:
    return msgspec.json.encode({"texts": [prompt.answer.text for prompt in prompts if prompt.answer is not None]})


def refuse(error: PromptdError) -> tuple[int, bytes]:
    return 400 if isinstance(error, InvalidRequest) else error.http_status, msgspec.json.encode({"error": error.code})


class Told:
    """The house's records, and word of everything that is written."""

    def __init__(self, records: Records) -> None:
        self._records = records
        self.get, self.find, self.delete = records.get, records.find, records.delete
        self.written = asyncio.Event()

    async def put(self, *records: Struct, gone: Gone = ()) -> None:
        await self._records.put(*records, gone=gone)
        self.written.set()


class Desk:
    """A house, and the batches in it."""

    def __init__(self, house: House, folder: Path, rules: BatchRules = RULES) -> None:
        self.house = house
        self.filed = Filed(uploads=house.uploads, contents=house.contents, records=house.records, clock=house.clock)
        self.records = Told(house.records)
        self.callers: dict[str, Caller | None] = {ANN.key: ANN, BOB.key: BOB}
        self.batches = Batches(
            records=self.records,
            contents=house.contents,
            filed=self.filed,
            intake=house.intake,
            prompts=house.prompts,
            streams=house.streams,
            renew=self._renew,
            connections=house.connections,
            clock=house.clock,
            ids=house.tickets._ids,
            folder=folder,
            rules=rules,
        )
        self.batches.serve({URL: Kind(decode, refuse)})

    async def _renew(self, caller: Caller) -> Caller | None:
        return self.callers[caller.key]

    async def upload(self, content: bytes, caller: Caller = ANN, purpose: str = "batch") -> str:
        async def once() -> AsyncIterator[bytes]:
            yield content

        upload = await self.house.uploads.save(caller.user, "in.jsonl", None, once(), 2**30)
        await self.filed.label(upload, purpose, None)
        return upload.id

    async def create(self, content: bytes, caller: Caller = ANN, window: str = "24h", **more: Any) -> Batch:
        return await self.batches.create(
            caller,
            input_file=await self.upload(content, caller),
            endpoint=URL,
            window=window,
            metadata=more.pop("metadata", {}),
            **more,
        )

    async def ended(self, batch: Batch, caller: Caller = ANN, patience: float | None = PATIENCE) -> Batch:
        written = self.records.written
        async with asyncio.timeout(patience):
            while True:
                written.clear()
                found = await self.batches.get(caller, batch.id)
                if found.status.final:
                    return found
                await written.wait()

    async def until(self, batch: Batch, condition: Callable[[Batch], bool]) -> Batch:
        async with asyncio.timeout(PATIENCE):
            while not condition(found := await self.batches.get(ANN, batch.id)):
                await asyncio.sleep(0)  # what is counted is written later, or never
            return found

    async def read(self, identifier: str) -> list[dict[str, Any]]:
        if not identifier:
            return []
        _, file = await self.filed.open(identifier)
        with file:
            return [msgspec.json.decode(line) for line in file.read().splitlines()]

    async def children(self, batch: Batch) -> list[Prompt]:
        found: list[Prompt] = []
        after: str | None = None
        while True:
            query = Query(filters=(Filter("parent", "eq", batch.id),), limit=1000, after=after)
            page = await self.house.records.find(Prompt, query)
            found += page.items
            after = page.after
            if after is None:
                return found


def lines(*texts: Any, **more: Any) -> bytes:
    """One request per text; its custom id is the text."""
    return b"".join(
        msgspec.json.encode(
            {"custom_id": str(text), "method": "POST", "url": URL, "body": {"model": "main", "text": text}} | more
        )
        + b"\n"
        for text in texts
    )


@pytest.fixture
async def open_desk(build: Build, tmp_path: Path) -> AsyncIterator[Callable[..., Any]]:
    desks: list[Desk] = []

    @asynccontextmanager
    async def make(**settings: Any) -> AsyncIterator[Desk]:
        rules = settings.pop("rules", RULES)
        desk = Desk(await build(**settings), tmp_path / "batches", rules)
        await desk.batches.start()
        desks.append(desk)
        try:
            yield desk
        finally:
            await desk.batches.close()
            await desk.house.stop()

    yield make
    for desk in desks:
        assert list((tmp_path / "batches").iterdir()) == [] or desk is not desks[-1]


OpenDesk = Callable[..., Any]
