"""Progress of a drawing, and what becomes of one that nobody waits for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from promptd.core.engine import Call
from promptd.core.errors import (
    ServiceUnavailable,
    Timeout,
)
from promptd.core.model import Chunk
from promptd.egress import Egress
from promptd.engines.stable_diffusion import StableDiffusion
from promptd.testing.image_server import ImageServer
from tests.engines.stable_diffusion.conftest import call, check, settings

TXT2IMG = "/sdapi/v1/txt2img"


# ------------------------------------------------------------------ progress and interrupt


async def paused(server: ImageServer, engine: StableDiffusion, made: Call[Any, Any]) -> tuple[Any, list[Chunk]]:
    """A run whose job is half done, and what it has said."""
    server.pause_at = 0.5
    chunks = engine.run(made)
    return chunks, [await anext(chunks)]


@pytest.mark.parametrize("names", [True, False])
async def test_progress_has_a_fraction_and_no_text(engine: StableDiffusion, names: bool) -> None:
    async with ImageServer(names=names) as server, asyncio.timeout(10):
        http = Egress([server.base_url])
        chunks, said = await paused(server, engine, call(settings(server), http, steps=10))
        assert said == [Chunk("progress", fraction=0.5)]
        (await server.job()).go_on.set()
        rest = [chunk async for chunk in chunks]
        assert [chunk.kind for chunk in rest] == ["done"]
        assert rest[0].blobs
        assert not any("interrupt" in asked.path for asked in server.asked)
        await http.close()


@pytest.mark.parametrize("names", [True, False])
@pytest.mark.parametrize("leave", ["close", "cancel"])
async def test_a_call_that_is_left_interrupts_its_job(engine: StableDiffusion, names: bool, leave: str) -> None:
    async with ImageServer(names=names) as server, asyncio.timeout(10):
        http = Egress([server.base_url])
        server.pause_at = 0.5
        if leave == "close":
            chunks, _ = await paused(server, engine, call(settings(server), http))
            await chunks.aclose()
        else:
            task = asyncio.create_task(engine.execute(call(settings(server), http)))
            await (await server.job()).begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        job = await server.job()
        await job.ended.wait()
        assert job.interrupted
        await http.close()


@pytest.mark.parametrize("names", [True, False])
async def test_the_job_of_somebody_else_is_never_interrupted(engine: StableDiffusion, names: bool) -> None:
    async with ImageServer(names=names) as server, asyncio.timeout(10):
        http = Egress([server.base_url])
        server.pause_at = 0.25
        foreign = server.work_on({"prompt": "not ours"})
        await foreign.begun.wait()
        task = asyncio.create_task(engine.execute(call(settings(server), http)))
        mine = await server.job(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if names:  # it is asked for again and again while it waits, and what is drawn is left alone
            for _ in range(3):
                server.asked.clear()
                await server.asked_for("/internal/progress")
        else:
            await engine.close()
        assert not foreign.ended.is_set()
        foreign.go_on.set()
        await foreign.ended.wait()
        assert not foreign.interrupted
        if names:  # what waited behind it is stopped once it is its turn
            await mine.ended.wait()
            assert mine.interrupted
        mine.go_on.set()
        await mine.ended.wait()
        await http.close()


@pytest.mark.parametrize("together", [True, False])
async def test_two_calls_do_not_stop_each_other(engine: StableDiffusion, together: bool) -> None:
    """An old server tells nobody's name: a call that can't know which job is drawn stops none."""
    async with ImageServer(names=False) as server, asyncio.timeout(10):
        http = Egress([server.base_url])
        server.pause_at = 0.5
        calls = {text: asyncio.create_task(engine.execute(call(settings(server), http, text))) for text in ("a", "b")}
        if not together:
            await (await server.job(0)).begun.wait()
            calls["c"] = asyncio.create_task(engine.execute(call(settings(server), http, "c")))
            await server.job(2)
        await server.job(1)
        drawn = server.jobs[0].body["prompt"]
        for text in calls.keys() - {drawn}:
            calls[text].cancel()
            with pytest.raises(asyncio.CancelledError):
                await calls[text]
        await engine.close()
        assert not server.jobs[0].interrupted
        for job in server.jobs:
            job.go_on.set()
        assert (await calls[drawn]).blobs
        await http.close()


async def test_a_call_that_was_overtaken_stops_none(engine: StableDiffusion) -> None:
    async with ImageServer(names=False) as server, asyncio.timeout(10):
        http = Egress([server.base_url])
        server.pause_at = 0.5
        server.hold_look = held = asyncio.Event()
        late = asyncio.create_task(engine.execute(call(settings(server), http, "late")))
        await server.asked_for("/sdapi/v1/progress?skip_current_image=true")
        quick = asyncio.create_task(engine.execute(call(settings(server), http, "quick")))
        await (await server.job(0)).begun.wait()
        held.set()
        await server.job(1)
        late.cancel()
        with pytest.raises(asyncio.CancelledError):
            await late
        await engine.close()
        assert not server.jobs[0].interrupted
        for job in server.jobs:
            job.go_on.set()
        assert (await quick).blobs
        await http.close()


async def test_an_answered_call_has_nothing_to_take_back(engine: StableDiffusion) -> None:
    async with ImageServer(names=False) as server:
        http = Egress([server.base_url])
        await engine.execute(call(settings(server, progress_interval=60), http))
        server.answer = (500, b"")
        with pytest.raises(ServiceUnavailable):
            await engine.execute(call(settings(server, progress_interval=60), http))
        await engine.close()
        paths = [asked.path.partition("?")[0] for asked in server.asked]
        assert paths == ["/sdapi/v1/progress", TXT2IMG] * 2
        await http.close()


async def test_a_call_that_took_too_long_interrupts_its_job(
    server: ImageServer, engine: StableDiffusion, http: Egress
) -> None:
    server.pause_at = 0.5
    with pytest.raises(Timeout):
        await engine.execute(call(settings(server, answer_timeout=0.1), http))
    async with asyncio.timeout(10):
        job = await server.job()
        await job.ended.wait()
    assert job.interrupted


async def test_a_server_without_progress_only_draws(engine: StableDiffusion) -> None:
    async with ImageServer(bare=True) as server:
        http = Egress([server.base_url])
        chunks = [chunk async for chunk in engine.run(call(settings(server), http))]
        assert [chunk.kind for chunk in chunks] == ["done"]
        assert (await check(engine, settings(server), http)) == (
            True,
            ("first", "second"),
            "The server names no samplers",
        )
        await http.close()
