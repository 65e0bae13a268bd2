"""Calls of a service that speaks the Responses API, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec
import pytest

from promptd.core.content import Turn
from promptd.core.engine import Call, NoConfig
from promptd.core.errors import (
    AuthenticationFailed,
    InputTooLarge,
    InvalidInput,
    InvalidOutput,
    NetworkError,
    PromptExecutionError,
    RateLimited,
    ServiceUnavailable,
    Timeout,
)
from promptd.core.model import Chunk, Usage
from promptd.core.parameters import Parameters
from promptd.core.ports import Timeouts
from promptd.dialects import responses
from promptd.egress import Egress
from promptd.testing.faults import FAULTS, Wire
from promptd.testing.upstream import Upstream

_USAGE = {"input_tokens": 3, "output_tokens": 2}
_DONE = {"type": "response.completed", "response": {"status": "completed", "output": [], "usage": _USAGE}}


def _delta(text: str) -> dict[str, Any]:
    return {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": text}


async def _speaks(wire: Wire, body: dict[str, Any]) -> None:
    wire.stream()
    wire.event(_delta("first "))
    await wire.writer.drain()
    await wire.presence.go.wait()
    wire.event(_delta("sécond"))
    wire.event(_DONE)
    wire.end()


async def _stalls(wire: Wire, body: dict[str, Any]) -> None:
    wire.stream()
    wire.event(_delta("half of "))
    await wire.hang()


async def _lingers(wire: Wire, body: dict[str, Any]) -> None:
    wire.stream()
    wire.event(_delta("a"))
    wire.event(_DONE)
    await wire.hang()


async def _whole(wire: Wire, body: dict[str, Any]) -> None:
    message = {"type": "message", "content": [{"type": "output_text", "text": "all at once"}]}
    wire.whole(200, {"status": "completed", "output": [message], "usage": _USAGE})


async def _breaks_off(wire: Wire, body: dict[str, Any]) -> None:
    wire.stream()
    wire.event(_delta("half of "))
    wire.end()


async def _fails(wire: Wire, body: dict[str, Any]) -> None:
    wire.stream()
    wire.event(_delta("half of "))
    wire.event({"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded", "message": "slow"}}})
    wire.end()


_ANSWERS: dict[str, Callable[[Wire, dict[str, Any]], Awaitable[None]]] = {
    "speaks": _speaks,
    "stalls": _stalls,
    "lingers": _lingers,
    "whole": _whole,
    "breaks-off": _breaks_off,
    "fails": _fails,
}


class Service(Upstream):
    async def _answer(self, wire: Wire) -> None:
        head = (await wire.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        size = int(head.partition("content-length: ")[2].partition("\r\n")[0])
        body = msgspec.json.decode(await wire.reader.readexactly(size))
        assert head.startswith("post /v1/responses ")
        assert body["stream"] is True
        assert body["store"] is False
        await (_ANSWERS.get(body["model"]) or FAULTS[body["model"]])(wire, body)
        await wire.writer.drain()


@pytest.fixture
async def service() -> AsyncIterator[Service]:
    async with Service() as running:
        yield running


@pytest.fixture
async def http(service: Service) -> AsyncIterator[Egress]:
    client = Egress()
    client.allow(service.base_url)
    yield client
    await client.close()


async def said(service: Service, http: Egress, model: str, **timeouts: float) -> list[Chunk]:
    return [chunk async for chunk in asked(service, http, model, **timeouts)]


def asked(service: Service, http: Egress, model: str, **timeouts: float) -> Any:
    call = Call(
        connection=NoConfig(),
        connection_name="c",
        model=model,
        http=http,
        messages=(Turn("user", "hi"),),
        parameters=Parameters(),
    )
    headers = {"authorization": "Bearer sk-secret-of-the-test"}
    return responses.run(http, f"{service.base_url}/responses", headers, call, timeouts=Timeouts(**timeouts))


async def test_the_first_piece_comes_before_the_second_is_sent(service: Service, http: Egress) -> None:
    chunks = asked(service, http, "speaks")
    assert await anext(chunks) == Chunk("progress", text="first ")
    service.presence.go.set()
    rest = [chunk async for chunk in chunks]
    assert rest == [Chunk("progress", text="sécond"), Chunk("done", finish_reason="stop", usage=Usage(3, 2))]


async def test_leaving_closes_the_connection_at_once(service: Service, http: Egress) -> None:
    chunks = asked(service, http, "stalls")
    assert (await anext(chunks)).text == "half of "
    await chunks.aclose()
    await asyncio.wait_for(service.presence.left(), 1)


async def test_a_service_that_does_not_hang_up_costs_no_time(service: Service, http: Egress) -> None:
    chunks = await asyncio.wait_for(said(service, http, "lingers"), 1)
    assert [chunk.kind for chunk in chunks] == ["progress", "done"]


async def test_a_service_that_answers_whole_is_understood(service: Service, http: Egress) -> None:
    chunks = await said(service, http, "whole")
    assert [chunk.text for chunk in chunks] == ["all at once", ""]
    assert chunks[-1].usage == Usage(3, 2)


async def test_a_connection_is_used_again(service: Service, http: Egress) -> None:
    service.presence.go.set()
    for _ in range(3):
        await said(service, http, "speaks")
    assert service.connections == 1


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("breaks-off", NetworkError),
        ("fails", RateLimited),
        ("400", InvalidInput),
        ("401", AuthenticationFailed),
        ("429", RateLimited),
        ("503", ServiceUnavailable),
        ("context-length", InputTooLarge),
        ("wrong-content-type", InvalidOutput),
        ("truncated-json", InvalidOutput),
        ("garbage-event", InvalidOutput),
        ("garbage", InvalidOutput),
        ("empty-stream", NetworkError),
        ("endless-event", InvalidOutput),
        ("closed-without-answer", NetworkError),
        ("truncated-chunk", NetworkError),
    ],
)
async def test_what_goes_wrong(service: Service, http: Egress, model: str, error: type[PromptExecutionError]) -> None:
    with pytest.raises(error) as raised:
        await said(service, http, model)
    assert "sk-secret-of-the-test" not in raised.value.message


async def test_a_silent_service_is_left(service: Service, http: Egress) -> None:
    with pytest.raises(Timeout):
        await said(service, http, "slow-first-byte", first_byte=0.05)
