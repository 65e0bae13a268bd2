"""The `openai` engine with callers of its server's own APIs: their bytes go through, on real sockets."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest

from promptd.core.content import Turn
from promptd.core.engine import Call
from promptd.core.errors import (
    AuthenticationFailed,
    InputTooLarge,
    InvalidInput,
    InvalidOutput,
    NetworkError,
    PromptExecutionError,
    RateLimited,
    ServiceUnavailable,
)
from promptd.core.model import Capability, Chunk, Native, Usage
from promptd.dialects import chat
from promptd.dialects.chat import decode_answer, decode_request
from promptd.egress import Egress
from promptd.engines.openai import OpenAI, OpenAIConfig
from promptd.testing.model_server import KEY, ModelServer
from promptd.testing.upstream import Upstream

CHAT, COMPLETIONS, EMBEDDINGS = "openai.chat", "openai.completions", "openai.embeddings"
RESPONSES, MESSAGES = "openai.responses", "anthropic.messages"
PROMPTLY = 0.1  # seconds


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


@pytest.fixture
async def out(server: ModelServer) -> AsyncIterator[Egress]:
    egress = Egress([server.base_url])
    yield egress
    await egress.close()


def native(
    http: Egress,
    base_url: str,
    dialect: str,
    body: dict[str, Any],
    *,
    spelled: bool = False,
    model: str = "script",
    **settings: Any,
) -> Call[OpenAIConfig, Any]:
    """A call as the face of `dialect` makes it of `body`."""
    wish = body.get("stream_options") or {}
    asked = Native(dialect, json.dumps(body).encode(), bool(body.get("stream")), bool(wish.get("include_usage")))
    settings = {"base_url": base_url, "api_key": KEY, "profile": "vllm"} | settings
    return Call(
        connection=OpenAIConfig.model_validate(settings),
        connection_name="c",
        model=model,
        http=http,
        native=asked,
        spelled=spelled,
        capability=Capability.EMBEDDING if dialect == EMBEDDINGS else Capability.CHAT,
        messages=(Turn("user", "hi"),),
    )


def request(dialect: str, text: str = "one two three", **members: Any) -> dict[str, Any]:
    told: dict[str, dict[str, Any]] = {
        CHAT: {"messages": [{"role": "user", "content": text}]},
        COMPLETIONS: {"prompt": text},
        EMBEDDINGS: {"input": ["a", "b"]},
        RESPONSES: {"input": text},
        MESSAGES: {"messages": [{"role": "user", "content": text}], "max_tokens": 50},
    }
    return {"model": "script"} | told[dialect] | members


async def run(call: Call[OpenAIConfig, Any]) -> list[Chunk]:
    async with aclosing(OpenAI().run(call)) as chunks:
        return [chunk async for chunk in chunks]


def raw(chunks: list[Chunk]) -> bytes:
    return b"".join([chunk.raw or b"" for chunk in chunks])


def text(chunks: list[Chunk]) -> str:
    return "".join([chunk.text for chunk in chunks])


@pytest.mark.parametrize("dialect", [CHAT, COMPLETIONS, RESPONSES, MESSAGES])
@pytest.mark.parametrize("stream", [False, True])
async def test_each_api_passes_through(server: ModelServer, out: Egress, dialect: str, stream: bool) -> None:
    body = request(dialect, stream=stream)
    *pieces, done = await run(native(out, server.base_url, dialect, body))
    (exchange,) = server.exchanges
    assert exchange.body == body | (
        {"stream_options": {"include_usage": True}} if stream and dialect in (CHAT, COMPLETIONS) else {}
    )
    assert (exchange.stream, exchange.outcome) == (stream, "whole")
    assert all(
        piece.kind == "progress" and piece.raw and piece.dialect == dialect and not piece.text for piece in pieces
    )
    assert done.usage is not None
    assert (done.usage.input_tokens, done.usage.output_tokens) == (exchange.input_tokens, exchange.output_tokens)
    assert done.finish_reason == "stop"
    assert not server.complaints
    if not stream:
        assert json.loads(raw(pieces))


@pytest.mark.parametrize("dialect", [CHAT, COMPLETIONS, RESPONSES, MESSAGES])
@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_that_is_stored_is_spelled_out_as_well(
    server: ModelServer, out: Egress, dialect: str, stream: bool
) -> None:
    tools = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]
    wish = {"tools": tools} if dialect == CHAT else {}
    script = '/call add {"a": 1}' if dialect == CHAT else "one two"
    chunks = await run(
        native(out, server.base_url, dialect, request(dialect, script, stream=stream, **wish), spelled=True)
    )
    plain = await run(native(out, server.base_url, dialect, request(dialect, script, stream=stream, **wish)))
    assert len(raw(chunks)) == len(raw(plain))
    if dialect == CHAT:
        (made,) = {call.name for chunk in chunks for call in chunk.tool_calls if call.name}
        assert (made, chunks[-1].finish_reason) == ("add", "tool_calls")
    else:
        assert "one two" in text(chunks)
    assert chunks[-1].usage == plain[-1].usage


async def test_counts_that_the_client_did_not_ask_for_are_kept_from_it(server: ModelServer, out: Egress) -> None:
    chunks = await run(native(out, server.base_url, CHAT, request(CHAT, stream=True)))
    assert b'"usage"' not in raw(chunks)
    assert b"data: [DONE]" in raw(chunks)
    asked = await run(
        native(out, server.base_url, CHAT, request(CHAT, stream=True, stream_options={"include_usage": True}))
    )
    assert b'"usage": {' in raw(asked) or b'"usage":{' in raw(asked)
    assert chunks[-1].usage == asked[-1].usage != Usage()


async def test_a_server_that_refuses_the_wish_is_not_asked(server: ModelServer, out: Egress) -> None:
    body = request(CHAT, stream=True)
    await run(native(out, server.base_url, CHAT, body, stream_usage=False))
    assert server.exchanges[0].body == body


@pytest.mark.parametrize("dialect", [CHAT, RESPONSES, MESSAGES])
@pytest.mark.parametrize("stream", [False, True])
async def test_an_alias_is_all_that_the_client_sees(
    server: ModelServer, out: Egress, dialect: str, stream: bool
) -> None:
    body = request(dialect, stream=stream, model="my-alias")
    chunks = await run(native(out, server.base_url, dialect, body))
    assert server.exchanges[0].model == "script"
    assert b"my-alias" in raw(chunks)
    assert b'"script"' not in raw(chunks)


async def test_embeddings_pass_through_in_any_form(server: ModelServer, out: Egress) -> None:
    body = request(EMBEDDINGS, encoding_format="base64")
    chunks = await run(native(out, server.base_url, EMBEDDINGS, body, spelled=True))
    assert isinstance(json.loads(raw(chunks))["data"][1]["embedding"], str)
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.input_tokens == server.exchanges[0].input_tokens
    plain = await run(native(out, server.base_url, EMBEDDINGS, request(EMBEDDINGS), spelled=True))
    assert len(plain[-1].value["embeddings"]) == 2


async def test_the_messages_api_gets_its_own_headers(server: ModelServer, out: Egress) -> None:
    await run(native(out, server.base_url, MESSAGES, request(MESSAGES), organization="org"))
    headers = server.exchanges[0].headers
    assert (headers["x-api-key"], headers["anthropic-version"]) == (KEY, "2023-06-01")
    assert server.exchanges[0].path == "/v1/messages"


@pytest.mark.parametrize("dialect", [CHAT, MESSAGES])
async def test_packets_may_be_cut_anywhere(dialect: str) -> None:
    async with ModelServer(shred=3) as server:
        egress = Egress([server.base_url])
        chunks = await run(
            native(egress, server.base_url, dialect, request(dialect, "grüße 🌍", stream=True), spelled=True)
        )
        await egress.close()
    assert "grüße 🌍" in text(chunks)
    assert all(piece.raw is None or piece.raw.endswith(b"\n\n") for piece in chunks)
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.output_tokens == server.exchanges[0].output_tokens


async def test_the_first_event_goes_on_before_the_second_is_sent(upstream: Upstream, http: Egress) -> None:
    made = native(http, upstream.base_url, CHAT, request(CHAT, stream=True), model="step-by-step")
    async with aclosing(OpenAI().run(made)) as chunks:
        first = await anext(chunks)
        assert first.raw is not None
        assert b"first" in first.raw
        upstream.presence.go.set()
        rest = [chunk async for chunk in chunks]
    assert b"second" in raw(rest)
    assert rest[-1].usage == Usage(3, 2)


@pytest.mark.parametrize("model", ["slow-first-byte", "slow-first-event", "stall"])
async def test_a_client_that_leaves_takes_the_upstream_along(upstream: Upstream, http: Egress, model: str) -> None:
    made = native(http, upstream.base_url, CHAT, request(CHAT, stream=True), model=model)
    task = asyncio.create_task(run(made))
    async with asyncio.timeout(5):
        while not upstream.calls:
            await asyncio.sleep(0)
    cancelled = asyncio.get_running_loop().time()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        assert await upstream.presence.left() - cancelled < PROMPTLY


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["echo", "late-end"])
async def test_a_finished_call_leaves_its_connection_to_the_next(
    upstream: Upstream, http: Egress, model: str, stream: bool
) -> None:
    model = model if stream else "whole"
    for _ in range(3):
        await run(native(http, upstream.base_url, CHAT, request(CHAT, stream=stream), model=model))
    assert upstream.connections == 1


async def test_a_server_that_answers_whole_where_a_stream_was_asked_for(upstream: Upstream, http: Egress) -> None:
    chunks = await run(native(http, upstream.base_url, CHAT, request(CHAT, stream=True), model="whole"))
    assert (text(chunks), raw(chunks), chunks[-1].usage) == ("all at once", b"", Usage(3, 2))


# ------------------------------------------------------------------ what goes wrong


@pytest.mark.parametrize("stream", [False, True])
async def test_the_requests_own_fault_is_told_in_the_services_words(
    server: ModelServer, out: Egress, stream: bool
) -> None:
    with pytest.raises(InvalidInput) as raised:
        await run(native(out, server.base_url, CHAT, request(CHAT, stream=stream, temperature="hot")))
    assert raised.value.native is not None
    status, body = raised.value.native
    assert status == 400
    assert json.loads(body)["error"]["param"] == "temperature"
    with pytest.raises(InputTooLarge) as context:
        await run(native(out, server.base_url, MESSAGES, request(MESSAGES, "/fault context", stream=stream)))
    assert context.value.native is not None
    assert json.loads(context.value.native[1])["type"] == "error"


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("key", AuthenticationFailed),
        ("rate", RateLimited),
        ("broken", ServiceUnavailable),
        ("die", NetworkError),
    ],
)
async def test_no_other_fault_is(
    server: ModelServer, out: Egress, fault: str, error: type[PromptExecutionError]
) -> None:
    for stream in (False, True):
        with pytest.raises(error) as raised:
            await run(native(out, server.base_url, CHAT, request(CHAT, f"/fault {fault}", stream=stream)))
        assert raised.value.native is None


async def test_secrets_are_blotted_out_of_the_services_words(upstream: Upstream, http: Egress) -> None:
    made = native(http, upstream.base_url, CHAT, request(CHAT), model="400", api_key="temperature")
    with pytest.raises(InvalidInput) as raised:
        await run(made)
    assert raised.value.native is not None
    assert b"temperature" not in raised.value.native[1]
    assert "temperature" not in raised.value.message


@pytest.mark.parametrize("dialect", [CHAT, RESPONSES, MESSAGES])
@pytest.mark.parametrize(
    ("fault", "error"), [("die-within", NetworkError), ("no-end", NetworkError), ("error-within", ServiceUnavailable)]
)
async def test_a_stream_that_breaks_off_is_an_error_behind_what_came(
    server: ModelServer, out: Egress, dialect: str, fault: str, error: type[PromptExecutionError]
) -> None:
    came: list[Chunk] = []
    made = native(out, server.base_url, dialect, request(dialect, f"/fault {fault}\none two three four", stream=True))

    async def listen() -> None:
        async with aclosing(OpenAI().run(made)) as chunks:
            async for chunk in chunks:
                came.append(chunk)  # noqa: PERF401 - what came before the error is what is looked at

    with pytest.raises(error):
        await listen()
    assert b"one" in raw(came)
    assert b'"error"' not in raw(came).replace(b'"error":null', b"").replace(b'"error": null', b"")
    assert all(chunk.kind == "progress" for chunk in came)


@pytest.mark.parametrize(
    ("model", "error"),
    [
        ("wrong-content-type", InvalidOutput),
        ("truncated-json", InvalidOutput),
        ("garbage", InvalidOutput),
        ("short-body", NetworkError),
        ("gzip-bomb", InvalidOutput),
        ("endless-event", InvalidOutput),
        ("endless-stream", InvalidOutput),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_what_is_no_answer(
    upstream: Upstream, http: Egress, model: str, error: type[PromptExecutionError], stream: bool
) -> None:
    body = request(CHAT, stream=stream)
    with pytest.raises(error):
        await run(native(http, upstream.base_url, CHAT, body, model=model, max_response_bytes=1_000_000))


# ------------------------------------------------------------------ which APIs


@pytest.mark.parametrize(
    ("settings", "more"),
    [
        ({}, set()),
        ({"profile": "openai"}, {RESPONSES}),
        ({"profile": "openai", "responses_api": False}, set()),
        ({"profile": "vllm"}, {RESPONSES, MESSAGES}),
        ({"profile": "azure"}, set()),
        ({"profile": "azure", "responses_api": True}, {RESPONSES}),
        ({"messages_api": True}, {MESSAGES}),
    ],
)
def test_which_apis_a_server_speaks(settings: dict[str, Any], more: set[str]) -> None:
    config = OpenAIConfig.model_validate(settings)
    assert OpenAI().dialects(config) == {CHAT, COMPLETIONS, EMBEDDINGS} | more
    assert OpenAI().dialects(config.model_copy(update={"native": False})) == set()


async def test_what_goes_through_is_what_a_translation_says(server: ModelServer, out: Egress) -> None:
    body = request(CHAT, "one two", temperature=0)
    passed = await run(native(out, server.base_url, CHAT, body))
    asked = decode_request(json.dumps(body).encode())
    config = OpenAIConfig.model_validate({"base_url": server.base_url, "api_key": KEY})
    translated = await run(
        Call(
            connection=config,
            connection_name="c",
            model="script",
            http=out,
            messages=asked.request.messages,
            parameters=asked.request.parameters,
        )
    )
    assert text(list(decode_answer(raw(passed)))) == text(translated)
    assert passed[-1].usage == translated[-1].usage
    assert not server.complaints
    assert chat.DIALECTS[Capability.CHAT] == CHAT
