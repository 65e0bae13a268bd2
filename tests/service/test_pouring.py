"""Bytes that go past a visit: what it notes of them, and when somebody has to look at each."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from promptd.app import House, build
from promptd.core.content import Turn
from promptd.core.errors import PromptExecutionError
from promptd.core.filters import Filter, Query
from promptd.core.guarding import Stage
from promptd.core.identity import USER_PERMISSIONS
from promptd.core.model import Attempt, Caller, Chunk, Mode, Native, Prompt, Request, Submission, Usage
from promptd.service.guarding import Check, Checks
from promptd.settings import Settings
from promptd.testing.upstream import Upstream
from promptd.testing.word_guard import WordGuard

ANN = Caller("ann", "key-ann", "team", USER_PERMISSIONS)
PATIENCE = 10.0


@asynccontextmanager
async def living(home: Path) -> AsyncIterator[House]:
    async with Upstream() as upstream:
        settings = {
            "home": home,
            "connections": {"up": {"engine": "openai", "base_url": upstream.base_url}},
            "models": {name: {"connection": "up"} for name in ("echo", "reset", "whole", "no-finish-reason", "500")},
        }
        async with build(Settings.model_validate(settings)) as house:
            yield house


def ask(model: str, text: str = "one two three") -> Submission:
    body = {"model": model, "stream": True, "messages": [{"role": "user", "content": text}]}
    return Submission(
        caller=ANN,
        model=model,
        mode=Mode.ATTACHED,
        request=Request(messages=(Turn("user", text),)),
        native=Native("openai.chat", json.dumps(body).encode(), stream=True, usage=False, model=model),
    )


class Glass:
    """A sink; `refuses` pieces have to be written, one after the other."""

    def __init__(self, *, refuses: bool = False) -> None:
        self.refuses, self.got = refuses, list[bytes]()
        self.writing = False

    def at_once(self, raw: bytes) -> bool:
        if self.refuses:
            return False
        self.got.append(raw)
        return True

    async def write(self, raw: bytes) -> None:
        assert not self.writing
        self.writing = True
        await asyncio.sleep(0)
        self.writing = False
        self.got.append(raw)


async def run(house: House, submission: Submission, sink: Glass) -> tuple[list[Chunk], Sequence[Attempt], str]:
    """What came as chunks, the attempts, and with what it failed."""
    said: list[Chunk] = []
    failure = ""
    async with asyncio.timeout(PATIENCE):
        try:
            async with house.walk.attached.open(submission) as visit:
                said.extend([chunk async for chunk in visit.chunks(sink)])
        except PromptExecutionError as error:
            failure = error.code
    await house.walk.attached.flush()
    row = await house.database.records.get(Prompt, visit.prompt.id)
    assert row is not None
    page = await house.database.records.find(Attempt, Query(filters=(Filter("prompt", "eq", row.no),)))
    return said, page.items, failure


@pytest.mark.parametrize("refuses", [False, True])
async def test_pieces_go_to_the_sink_and_only_the_end_is_a_chunk(tmp_path: Path, refuses: bool) -> None:
    sink = Glass(refuses=refuses)
    async with living(tmp_path) as house:
        said, (attempt,), _ = await run(house, ask("echo"), sink)
    assert [(chunk.kind, chunk.usage) for chunk in said] == [("done", Usage(3, 2))]
    told = b"".join(sink.got)
    assert [word in told for word in (b"one ", b"two ", b"three ", b"[DONE]", b"usage")] == [True] * 4 + [False]
    assert attempt.usage == Usage(3, 2)
    assert attempt.first_token is not None


async def test_tokens_that_nobody_counts_are_estimated_by_events(tmp_path: Path) -> None:
    sink = Glass()
    async with living(tmp_path) as house:
        _, (attempt,), _ = await run(house, ask("no-finish-reason"), sink)
    assert attempt.usage.output_tokens == b"".join(sink.got).count(b"data:") == 2


async def test_what_breaks_in_the_middle_has_what_was_said(tmp_path: Path) -> None:
    sink = Glass()
    async with living(tmp_path) as house:
        said, (attempt,), failure = await run(house, ask("reset"), sink)
    assert (said, failure) == ([], "network_error")
    assert attempt.usage.output_tokens == b"".join(sink.got).count(b"data:") > 0


async def test_nothing_is_poured_where_every_call_fails(tmp_path: Path) -> None:
    sink = Glass()
    async with living(tmp_path) as house:
        _, attempts, failure = await run(house, ask("500"), sink)
    assert (len(attempts), failure, sink.got) == (2, "service_unavailable", [])


async def test_a_service_that_answers_whole_is_understood(tmp_path: Path) -> None:
    sink = Glass()
    async with living(tmp_path) as house:
        said, _, _ = await run(house, ask("whole"), sink)
    assert ("".join(chunk.text for chunk in said), said[-1].kind, sink.got) == ("all at once", "done", [])


@pytest.mark.parametrize("why", ["kept", "guarded"])
async def test_what_somebody_has_to_look_at_comes_as_chunks(tmp_path: Path, why: str) -> None:
    sink = Glass()
    async with living(tmp_path) as house:
        if why == "guarded":
            check = Check(name="words", guard=WordGuard({"forbidden": "rude"}), stages=frozenset({Stage.OUTPUT}))
            house.walk.guarding.checks = Checks([check])
        said, _, _ = await run(house, replace(ask("echo"), keep=why == "kept"), sink)
    assert sink.got == []
    assert "".join(chunk.text for chunk in said) == "one two three "
