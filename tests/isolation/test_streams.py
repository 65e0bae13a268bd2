"""Streams of strangers' engines in threads: order, backpressure, and what closes when a reader leaves."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from contextlib import aclosing
from typing import Any

import pytest

from promptd.core.calls import Call
from promptd.core.engine import Engine
from promptd.core.errors import ExecutionFailed, PermissionDenied, Timeout
from promptd.core.model import Chunk
from tests.isolation.conftest import Install, MakeCall
from tests.isolation.origin import Origin

pytestmark = pytest.mark.slow


def _module(engine: Engine[Any, Any]) -> Any:
    return sys.modules[type(engine).__module__]


async def _event(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, 10)


async def _collect(engine: Engine[Any, Any], call: Call[Any, Any]) -> list[Chunk]:
    async with aclosing(engine.run(call)) as chunks:
        return [chunk async for chunk in chunks]


STREAM = """
class E(Engine):
    type_id = "acme.stream"

    async def run(self, call):
        text = call.messages[-1].content
        if text == "count":
            for number in range(1000):
                yield Chunk("progress", text=f"{number} ")
                SENT.append(number)
        elif text == "http":
            async with call.http.request("GET", call.model + "/stream") as response:
                async for piece in response.chunks():
                    yield Chunk("progress", text=piece.decode())
        elif text == "block":
            yield Chunk("progress", text="a")
            GO_ON.wait()
        elif text == "hang at end":
            try:
                yield Chunk("done")
            finally:
                await asyncio.sleep(3600)
        elif text == "closed":
            try:
                yield Chunk("progress", text="a")
                await asyncio.sleep(3600)
            finally:
                CLOSED.set()
        elif text == "without end":
            yield Chunk("progress", text="a")
            return
        elif text == "allow":
            call.http.allow("http://127.0.0.1:1")
        yield Chunk("done", finish_reason="stop", usage=Usage(1, 2))

SENT, GO_ON, CLOSED = [], threading.Event(), threading.Event()
"""


async def test_chunks_come_in_order_and_a_slow_reader_slows_the_engine(plugin: Install, make_call: MakeCall) -> None:
    engine = plugin(STREAM)
    module = _module(engine)
    said = ""
    async with aclosing(engine.run(make_call(engine, "count"))) as chunks:
        said += (await anext(chunks)).text
        # the reader reads nothing: the engine comes to a halt when the hand-over is full
        before = -1
        while len(module.SENT) != before:
            before = len(module.SENT)
            await asyncio.to_thread(time.sleep, 0.05)
        assert before < 200
        async for chunk in chunks:
            said += chunk.text
    assert said == "".join(f"{number} " for number in range(1000))
    assert chunk.usage is not None
    assert chunk.usage.output_tokens == 2


async def test_leaving_a_stream_closes_its_requests_and_its_generator(
    plugin: Install, make_call: MakeCall, origin: Origin
) -> None:
    engine = plugin(STREAM)
    chunks = engine.run(make_call(engine, "http", model=origin.url))
    assert (await anext(chunks)).text == "first"
    await chunks.aclose()
    async with asyncio.timeout(5):
        await origin.gone.wait()
    chunks = engine.run(make_call(engine, "closed"))
    await anext(chunks)
    await chunks.aclose()
    await _event(_module(engine).CLOSED)


async def test_requests_of_a_blocked_plugin_are_closed_all_the_same(
    plugin: Install, make_call: MakeCall, origin: Origin
) -> None:
    engine = plugin(
        """
        class E(Engine):
            type_id = "acme.rude"
            async def run(self, call):
                async with call.http.request("GET", call.model + "/stream") as response:
                    yield Chunk("progress", text="open")
                    GO_ON.wait()
        GO_ON = threading.Event()
        """
    )
    chunks = engine.run(make_call(engine, model=origin.url))
    await anext(chunks)
    await chunks.aclose()
    async with asyncio.timeout(5):
        await origin.gone.wait()
    _module(engine).GO_ON.set()


@pytest.mark.formcycle(41)
async def test_a_stream_ends_at_its_deadline(plugin: Install, make_call: MakeCall) -> None:
    engine = plugin(STREAM, blocked_seconds=60)
    deadline = time.monotonic() + 0.2
    chunks = engine.run(make_call(engine, "block", deadline=deadline))
    assert (await anext(chunks)).text == "a"
    with pytest.raises(Timeout):
        await anext(chunks)
    assert time.monotonic() - deadline < 5
    _module(engine).GO_ON.set()


async def test_how_a_run_ends(plugin: Install, make_call: MakeCall) -> None:
    engine = plugin(STREAM)
    with pytest.raises(ExecutionFailed, match="without a result"):
        await _collect(engine, make_call(engine, "without end"))
    async with asyncio.timeout(2):
        (done,) = await _collect(engine, make_call(engine, "hang at end"))
    assert done.kind == "done"
    with pytest.raises(PermissionDenied):
        await _collect(engine, make_call(engine, "allow"))
