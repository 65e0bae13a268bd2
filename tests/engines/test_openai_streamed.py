"""The profile `chatgpt`: a service that keeps nothing and answers streams only."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from promptd.core.chunks import gather
from promptd.core.content import Tool, Turn
from promptd.core.engine import Call
from promptd.core.errors import InvalidInput, UnsupportedInput
from promptd.core.model import Chunk, Native, Usage
from promptd.core.parameters import Parameters
from promptd.egress import Egress
from promptd.engines.openai import OpenAI, OpenAIConfig
from promptd.engines.openai.profiles import CHAT, EMBEDDINGS, RESPONSES
from promptd.testing.model_server import KEY, ModelServer

CHATGPT = OpenAIConfig.model_validate({"profile": "chatgpt"})


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as started:
        yield started
        assert started.complaints == []


async def run(server: ModelServer, **fields: Any) -> list[Chunk]:
    egress = Egress([server.origin])
    made = OpenAIConfig.model_validate({"profile": "chatgpt", "base_url": server.base_url, "api_key": KEY})
    call = Call(connection=made, connection_name="c", model="script", http=egress, **fields)
    chunks = [chunk async for chunk in OpenAI().run(call)]
    await egress.close()
    return chunks


def body(dialect: str, **members: Any) -> bytes:
    asked = {"input": "hi"} if dialect == RESPONSES else {"messages": [{"role": "user", "content": "hi"}]}
    return json.dumps({"model": "script", **asked, **members}).encode()


@pytest.mark.arch("4.4.chatgpt")
@pytest.mark.parametrize("dialect", [CHAT, RESPONSES])
@pytest.mark.parametrize("members", [{}, {"store": True}, {"store": False}], ids=str)
async def test_nothing_is_kept_there(server: ModelServer, dialect: str, members: dict[str, Any]) -> None:
    wire = body(dialect, stream=True, **members)
    *chunks, done = await run(server, native=Native(dialect, wire, stream=True))
    assert b"said" in b"".join([chunk.raw or b"" for chunk in chunks])
    assert done.kind == "done"
    (exchange,) = server.exchanges
    assert exchange.path == {CHAT: "/v1/chat/completions", RESPONSES: "/v1/responses"}[dialect]
    kept = {name: exchange.body[name] for name in exchange.body if name != "stream_options"}
    assert kept == {**json.loads(wire), "store": False}


@pytest.mark.arch("4.4.chatgpt")
@pytest.mark.parametrize("dialect", [CHAT, RESPONSES])
async def test_what_wants_no_stream_is_refused(server: ModelServer, dialect: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        await run(server, native=Native(dialect, body(dialect)))
    assert raised.value.field == "stream"
    assert server.exchanges == []


@pytest.mark.parametrize("wrong", [b"", b"[]", b"{", b"[" * 5000])
async def test_what_is_no_object_is_refused(server: ModelServer, wrong: bytes) -> None:
    with pytest.raises(InvalidInput, match="no JSON object"):
        await run(server, native=Native(RESPONSES, wrong, stream=True))


async def test_what_is_translated_goes_to_its_responses_api_as_a_stream_without_a_bound(server: ModelServer) -> None:
    asked = Parameters(tools=(Tool("weather"),), max_tokens=900)
    *chunks, done = await run(server, messages=(Turn("user", '/call weather {"city": "Oslo"}'),), parameters=asked)
    (called,) = gather(chunks, done, done.usage or Usage(), "m").tool_calls
    assert json.loads(called.arguments) == {"city": "Oslo"}
    (exchange,) = server.exchanges
    assert (exchange.path, exchange.stream, exchange.body["store"]) == ("/v1/responses", True, False)
    assert "max_output_tokens" not in exchange.body


def test_its_address_is_known() -> None:
    assert CHATGPT.url(RESPONSES, "m") == "https://chatgpt.com/backend-api/codex/responses"
    assert CHATGPT.dialects >= {CHAT, RESPONSES}


async def test_what_never_is_a_stream_is_not_asked_for_one(server: ModelServer) -> None:
    with pytest.raises(UnsupportedInput, match="no embeddings"):
        await run(server, native=Native(EMBEDDINGS, b'{"model": "script", "input": "hi"}', stream=False))
    assert server.exchanges == []
