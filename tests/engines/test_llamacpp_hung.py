"""A model's process that hangs, or computes for nobody."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import signal
from contextlib import aclosing

import pytest

from promptd.core.errors import (
    EngineLost,
)
from promptd.egress.client import Egress
from promptd.engines.llamacpp import LlamaCpp, supervisor
from tests.engines.llamacpp_support import PATIENCE, Death, Journal, MakeCall, freeze, linux

pytestmark = pytest.mark.skipif(importlib.util.find_spec("xllamacpp") is None, reason="no wheel for this platform")


@linux
async def test_a_process_that_hangs_under_a_call_is_ended(llama: LlamaCpp, call: MakeCall, journal: Journal) -> None:
    asked = call(hang_seconds=0.5)
    await llama.start("local", asked.connection, asked.http)
    pid = llama.standing("local", asked.connection).detail["pid"]
    freeze(pid)
    death = Death(pid)
    calls = [asyncio.create_task(llama.execute(asked)) for _ in range(3)]
    for under_way in calls:
        with pytest.raises(EngineLost, match=r"the model's process did not answer for 0\.5 s during the call"):
            await asyncio.wait_for(under_way, PATIENCE)
    await death.seen()
    assert (await llama.execute(asked)).text
    assert journal.count("did not answer for 0.5 s; restart in 0 s") == 1


@pytest.mark.slow
async def test_a_busy_process_is_not_a_hung_one(
    llama: LlamaCpp, call: MakeCall, journal: Journal, stranger: Egress
) -> None:
    """It has many more calls than slots, and yet a thread for whoever asks after its health."""
    asked = call(slots=1, context=1024, hang_seconds=1.0, max_tokens=200, extra={"ignore_eos": True})
    async with aclosing(llama.run(asked)) as first:
        await anext(first)
        others = [asyncio.create_task(llama.execute(asked)) for _ in range(40)]
        url = f"{llama.standing('local', asked.connection).detail['origin']}/health"
        for _ in range(10):
            async with asyncio.timeout(PATIENCE), stranger.request("GET", url) as response:
                assert response.status == 200
                await response.read()
        assert not all(other.done() for other in others)
    assert len(await asyncio.gather(*others)) == 40
    assert journal.count("is ready") == 1
    assert journal.count("did not answer") == 0


@linux
async def test_a_process_without_a_call_may_be_silent(llama: LlamaCpp, call: MakeCall, journal: Journal) -> None:
    asked = call(hang_seconds=0.05)
    await llama.execute(asked)
    standing = llama.standing("local", asked.connection)
    freeze(standing.detail["pid"])
    with pytest.raises(TimeoutError):  # several times the patience
        await asyncio.wait_for(journal.seen("did not answer"), 0.4)
    os.kill(standing.detail["pid"], signal.SIGCONT)
    assert (await llama.execute(asked)).text
    assert llama.standing("local", asked.connection).detail == standing.detail


@linux
async def test_a_process_that_computes_on_after_the_last_cancel_is_ended(
    llama: LlamaCpp, call: MakeCall, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_CLEAR", 0.3)
    endless = call(context=1024, max_tokens=100_000, extra={"ignore_eos": True})
    async with aclosing(llama.run(endless)) as chunks:
        await anext(chunks)
        pid = llama.standing("local", endless.connection).detail["pid"]
        freeze(pid)  # its loop does not turn any more
        death = Death(pid)
    await death.seen()
    await journal.seen("computed a cancelled call for 0.3 s; restart in 0 s")
    assert (await llama.execute(call(context=1024))).text


async def test_a_cancel_that_is_heard_costs_no_restart(
    llama: LlamaCpp, call: MakeCall, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_CLEAR", 3.0)
    endless = call(context=1024, max_tokens=100_000, extra={"ignore_eos": True})
    for times in (1, 2):
        async with aclosing(llama.run(endless)) as chunks:
            await anext(chunks)
        await journal.seen("cancel task", times)
    assert (await llama.execute(call(context=1024))).text
    assert journal.count("is ready") == 1
