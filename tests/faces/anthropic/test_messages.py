"""`POST /v1/messages` through the vendor's own client, and on the bare wire."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import anthropic
import pytest
from anthropic import AsyncAnthropic
from anthropic.types import MessageParam

from promptd.testing.messages_server import MessagesServer
from tests.faces.anthropic.conftest import Gateway, next_events
from tests.faces.conftest import Server

HELLO: list[MessageParam] = [{"role": "user", "content": "hello there"}]
MODELS = ["demo", "claude-echo", "other-echo"]


def script(*steps: dict[str, Any]) -> list[MessageParam]:
    return [{"role": "user", "content": json.dumps(steps)}]


@pytest.mark.parametrize("model", MODELS)
async def test_a_whole_message(client: AsyncAnthropic, model: str) -> None:
    message = await client.messages.create(model=model, max_tokens=50, messages=HELLO)
    assert message.id.startswith("msg_")
    assert (message.type, message.role, message.model, message.stop_reason) == (
        "message",
        "assistant",
        model,
        "end_turn",
    )
    (block,) = message.content
    assert block.type == "text"
    assert block.text.strip() == "hello there"
    assert message.usage.output_tokens > 0


@pytest.mark.parametrize("model", MODELS)
async def test_a_stream(client: AsyncAnthropic, model: str) -> None:
    kinds = []
    async with client.messages.stream(model=model, max_tokens=50, messages=HELLO, system="be brief") as stream:
        async for event in stream:
            kinds.append(event.type)  # noqa: PERF401 - the stream is more than its events
        message = await stream.get_final_message()
    assert (kinds[0], kinds[-1], kinds.count("message_stop")) == ("message_start", "message_stop", 1)
    assert message.model == model
    assert message.stop_reason == "end_turn"
    assert "".join([block.text for block in message.content if block.type == "text"]).strip() == "hello there"
    assert message.usage.output_tokens > 0


@pytest.mark.parametrize("model", ["claude-everything", "other-everything"])
@pytest.mark.parametrize("stream", [True, False])
async def test_thoughts_calls_and_counts_come_through(client: AsyncAnthropic, model: str, stream: bool) -> None:
    wish: dict[str, Any] = {"model": model, "max_tokens": 4000, "messages": HELLO}
    if stream:
        async with client.messages.stream(**wish) as events:
            message: Any = await events.get_final_message()
    else:
        message = await client.messages.create(**wish)
    assert [block.type for block in message.content] == [
        "thinking",
        "redacted_thinking",
        "text",
        "tool_use",
        "tool_use",
    ]
    assert (message.content[0].thinking, message.content[0].signature) == ("hm", "sig")
    assert [block.input for block in message.content[3:]] == [{"a": [1, 2]}, {}]
    assert [block.id for block in message.content[3:]] == ["toolu_1", "toolu_2"]
    assert message.stop_reason == "tool_use"
    usage = message.usage
    assert (usage.input_tokens, usage.cache_creation_input_tokens, usage.cache_read_input_tokens) == (3, 4, 5)
    assert usage.output_tokens == 7


async def test_results_of_tools_go_on_to_the_model(client: AsyncAnthropic, upstream: MessagesServer) -> None:
    first = await client.messages.create(model="other-everything", max_tokens=4000, messages=HELLO)
    results: Any = [
        {"type": "tool_result", "tool_use_id": block.id, "content": "3"}
        for block in first.content
        if block.type == "tool_use"
    ]
    conversation: list[MessageParam] = [
        *HELLO,
        {"role": "assistant", "content": first.content},
        {"role": "user", "content": results},
    ]
    for model in ("other-echo", "claude-echo"):
        second = await client.messages.create(model=model, max_tokens=50, messages=conversation)
        assert second.content[0].type == "text"
        assert second.content[0].text.strip() == "tool_result tool_result"
    translated, native = [call.body["messages"] for call in upstream.calls[1:]]
    assert [block["type"] for block in translated[1]["content"]] == [block["type"] for block in native[1]["content"]]


async def test_a_call_of_another_engine_is_a_block(client: AsyncAnthropic) -> None:
    steps = script({"say": "let me see"}, {"tool": "add", "arguments": {"a": 1}})
    async with client.messages.stream(model="demo", max_tokens=50, messages=steps) as stream:
        message = await stream.get_final_message()
    assert [block.type for block in message.content] == ["text", "tool_use"]
    assert message.content[1].type == "tool_use"
    assert message.content[1].input == {"a": 1}
    assert message.stop_reason == "tool_use"


async def test_the_callers_betas_travel_on(client: AsyncAnthropic, upstream: MessagesServer) -> None:
    for model in ("claude-echo", "other-echo"):
        await client.messages.create(
            model=model, max_tokens=5, messages=HELLO, extra_headers={"anthropic-beta": "one-1, two-2"}
        )
    assert [call.headers["anthropic-beta"] for call in upstream.calls] == ["one-1,two-2"] * 2
    assert "anthropic_beta" not in upstream.calls[1].body


async def test_the_first_words_come_before_the_last_are_sent(client: AsyncAnthropic, upstream: MessagesServer) -> None:
    for model in ("claude-step-by-step", "other-step-by-step"):
        upstream.presence.go.clear()
        async with client.messages.stream(model=model, max_tokens=50, messages=HELLO) as stream:
            words = []
            async for text in stream.text_stream:
                words.append(text)
                upstream.presence.go.set()
        assert [word.strip() for word in words] == ["first", "second"]


@pytest.mark.parametrize("model", ["claude-stall", "other-stall"])
async def test_a_caller_who_leaves_ends_the_call(server: Server, upstream: MessagesServer, model: str) -> None:
    body = {"model": model, "max_tokens": 5, "stream": True, "messages": HELLO}
    async with asyncio.timeout(10):
        await next_events(server, body, 1)
        await upstream.presence.left()


async def test_a_silent_stream_is_kept_alive_with_pings(gateway: Gateway) -> None:
    async with gateway(streams={"heartbeat_seconds": 0.05}) as server:
        body = {"model": "claude-stall", "max_tokens": 5, "stream": True, "messages": HELLO}
        async with asyncio.timeout(10):
            names = [event.name for event in await next_events(server, body, 7)]
    assert names.count("ping") >= 2  # one is the vendor's own


# ------------------------------------------------------------------ errors


@pytest.mark.parametrize(
    ("model", "status", "kind"),
    [
        ("claude-400", 400, "invalid_request_error"),
        ("other-400", 400, "invalid_request_error"),
        ("other-too-long", 400, "invalid_request_error"),
        ("claude-429", 429, "rate_limit_error"),
        ("claude-529", 529, "overloaded_error"),
        ("nothing", 404, "not_found_error"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
async def test_failures_are_the_vendors(
    client: AsyncAnthropic, model: str, status: int, kind: str, stream: bool
) -> None:
    with pytest.raises(anthropic.APIStatusError) as raised:
        await client.messages.create(model=model, max_tokens=5, messages=HELLO, stream=stream)
    error = raised.value
    assert error.status_code == status
    assert isinstance(error.body, dict)
    assert error.body["type"] == "error"
    assert error.body["error"]["type"] == kind
    if model == "claude-400":
        assert error.body["request_id"] == "req_of_the_service"
    if model == "claude-429":
        assert error.response.headers["retry-after"] == "7"
    if model.endswith("too-long"):
        assert "prompt is too long" in error.body["error"]["message"]


@pytest.mark.parametrize("model", ["claude-fails-in-the-middle", "other-fails-in-the-middle"])
async def test_a_stream_that_fails_says_so(client: AsyncAnthropic, model: str) -> None:
    words: list[str] = []

    async def listen() -> None:
        async with client.messages.stream(model=model, max_tokens=50, messages=HELLO) as stream:
            async for text in stream.text_stream:
                words.append(text)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(anthropic.APIStatusError) as raised:
        await listen()
    assert words == ["one "]
    assert isinstance(raised.value.body, dict)
    assert raised.value.body["error"]["type"] == "overloaded_error"


async def test_wrong_requests_are_refused_in_the_vendors_words(server: Server) -> None:
    for body, named in (
        ({"model": "demo", "messages": HELLO}, "max_tokens"),
        ({"model": "demo", "max_tokens": 5, "messages": []}, "messages"),
        ({"model": "demo", "max_tokens": 5, "messages": [{"role": "bot", "content": "x"}]}, "messages[0].role"),
    ):
        answer = await server.http.post("/v1/messages", body)
        assert answer.status == 400
        assert answer.json["error"]["type"] == "invalid_request_error"
        assert named in answer.json["error"]["message"]
    broken = await server.http.post("/v1/messages", raw=b"{")
    assert broken.status == 400
    assert broken.json["type"] == "error"


async def test_who_asks_shows_a_key_in_either_header(server: Server) -> None:
    body = {"model": "demo", "max_tokens": 5, "messages": HELLO}
    key = server.http.key or ""
    nobody = server.http.of(None)
    for headers, status in (
        ({"x-api-key": key}, 200),
        ({"authorization": f"Bearer {key}"}, 200),
        ({"x-api-key": "wrong"}, 401),
        ({}, 401),
    ):
        answer = await nobody.post("/v1/messages", body, headers=headers)
        assert answer.status == status
        if status == 401:
            assert answer.json["error"]["type"] == "authentication_error"


async def test_the_request_id_of_the_caller_comes_back(server: Server) -> None:
    body = {"model": "demo", "max_tokens": 5, "messages": HELLO}
    answer = await server.http.post("/v1/messages", body, headers={"x-request-id": "req_mine"})
    assert answer.headers["request-id"] == "req_mine"
    refused = await server.http.post("/v1/messages", {}, headers={"x-request-id": "req_mine"})
    assert (refused.headers["request-id"], refused.json["request_id"]) == ("req_mine", "req_mine")
    without = await server.http.post("/v1/messages", body)
    assert without.headers["request-id"] == without.json["id"]


async def test_the_same_idempotency_key_gives_the_same_answer(server: Server, upstream: MessagesServer) -> None:
    body = {"model": "claude-echo", "max_tokens": 5, "messages": HELLO}
    answers = [await server.http.post("/v1/messages", body, headers={"idempotency-key": "k"}) for _ in range(2)]
    assert answers[0].status == 200
    assert answers[0].json == answers[1].json
    assert len(upstream.calls) == 1


# ------------------------------------------------------------------ counting


@pytest.mark.parametrize(("model", "exact"), [("claude-echo", "exact"), ("other-echo", "exact"), ("demo", "estimated")])
async def test_tokens_are_counted(client: AsyncAnthropic, model: str, exact: str) -> None:
    raw = await client.messages.with_raw_response.count_tokens(
        model=model, messages=HELLO, tools=[{"name": "add", "input_schema": {"type": "object", "properties": {}}}]
    )
    assert raw.headers["x-token-count"] == exact
    assert (await raw.parse()).input_tokens > 10


async def test_counting_needs_a_model_that_is_there(client: AsyncAnthropic) -> None:
    with pytest.raises(anthropic.NotFoundError):
        await client.messages.count_tokens(model="nothing", messages=HELLO)
