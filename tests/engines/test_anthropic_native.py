"""Requests in the service's own dialect: the `anthropic` engine passes them on as they are."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from promptd.core.errors import (
    InputTooLarge,
    InvalidInput,
    NetworkError,
    PromptExecutionError,
    ServiceUnavailable,
)
from promptd.core.model import Usage
from promptd.core.parameters import Parameters
from promptd.dialects.messages import DIALECT
from promptd.egress import Egress
from promptd.engines.anthropic import Anthropic, AnthropicConfig
from promptd.testing.messages_server import MessagesServer
from tests.engines.anthropic_support import FAILURES, native, run, settings, told


@pytest.fixture
async def server() -> AsyncIterator[MessagesServer]:
    async with MessagesServer() as started:
        yield started


@pytest.fixture
async def http(server: MessagesServer) -> AsyncIterator[Egress]:
    egress = Egress([server.base_url])
    yield egress
    await egress.close()


@pytest.fixture
def connection(server: MessagesServer) -> AnthropicConfig:
    return settings(server)


async def test_a_request_of_the_same_dialect_goes_as_it_is(
    server: MessagesServer, connection: AnthropicConfig, http: Egress
) -> None:
    assert Anthropic().dialects(connection) == frozenset({DIALECT})
    assert Anthropic().dialects(settings(server, native=False)) == frozenset()
    progress, done = await run(native(connection, http, parameters=Parameters(extra={"anthropic_beta": ["c-2"]})))
    assert server.calls[0].body == {
        "model": "echo",
        "max_tokens": 9,
        "future": {"x": 1},
        "messages": [{"role": "user", "content": "hello there"}],
    }
    assert server.calls[0].headers["anthropic-beta"] == "c-2"
    assert progress.dialect == DIALECT
    assert progress.raw is not None
    message = json.loads(progress.raw)
    assert (message["model"], message["content"][0]["text"]) == ("alias", "hello there")
    assert (done.finish_reason, done.usage) == ("stop", Usage(12, 7, cached_tokens=5, cache_write_tokens=4))


async def test_a_stream_of_the_same_dialect_goes_as_it_is(connection: AnthropicConfig, http: Egress) -> None:
    *progress, done = await run(native(connection, http, "everything", stream=True))
    raw = b"".join([chunk.raw or b"" for chunk in progress])
    assert raw.startswith(b"event: message_start\n")
    assert raw.endswith(b'event: message_stop\ndata: {"type": "message_stop"}\n\n')
    assert raw.count(b"event: message_stop") == 1
    assert b'"model":"alias"' in raw.replace(b": ", b":")
    assert (done.finish_reason, done.usage) == ("tool_calls", Usage(12, 7, cached_tokens=5, cache_write_tokens=4))


async def test_a_native_stream_is_spelled_out_where_it_is_stored(connection: AnthropicConfig, http: Egress) -> None:
    chunks = await run(native(connection, http, "everything", stream=True, spelled=True))
    plain = await run(native(connection, http, "everything", stream=True))
    assert b"".join([chunk.raw or b"" for chunk in chunks]) == b"".join([chunk.raw or b"" for chunk in plain])
    answer = told(chunks)
    assert answer.text.strip() == "let me look"
    assert [made.name for made in answer.tool_calls] == ["add", "now"]
    assert told(await run(native(connection, http, "everything", spelled=True))).text == "let me look"


async def test_the_first_native_event_comes_before_the_second_is_sent(
    server: MessagesServer, connection: AnthropicConfig, http: Egress
) -> None:
    chunks = Anthropic().run(native(connection, http, "step-by-step", stream=True))
    raw = (await anext(chunks)).raw or b""
    while b"first" not in raw:
        raw += (await anext(chunks)).raw or b""
    assert b"second" not in raw
    server.presence.go.set()
    assert b"second" in b"".join([chunk.raw or b"" async for chunk in chunks])


@pytest.mark.parametrize(("model", "meaning"), FAILURES)
@pytest.mark.parametrize("stream", [True, False])
async def test_native_failures_mean_the_same(
    connection: AnthropicConfig, http: Egress, model: str, meaning: type[PromptExecutionError], stream: bool
) -> None:
    with pytest.raises(meaning) as raised:
        await run(native(connection, http, model, stream=stream))
    if meaning in (InvalidInput, InputTooLarge):
        assert raised.value.native is not None
        status, body = raised.value.native
        assert status in (400, 413)
        assert json.loads(body)["type"] == "error"
    else:
        assert raised.value.native is None


@pytest.mark.parametrize(("model", "meaning"), [("fails-in-the-middle", ServiceUnavailable), ("cut", NetworkError)])
async def test_a_native_stream_that_fails_tells_what_it_said(
    connection: AnthropicConfig, http: Egress, model: str, meaning: type[PromptExecutionError]
) -> None:
    raw = [b""]

    async def listen() -> None:
        async for chunk in Anthropic().run(native(connection, http, model, stream=True)):
            raw[0] += chunk.raw or b""

    with pytest.raises(meaning):
        await listen()
    assert b"one" in raw[0]
    assert b"event: error" not in raw[0]
