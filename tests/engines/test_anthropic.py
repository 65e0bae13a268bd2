"""The `anthropic` engine against a real server on loopback, and its exam."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import ValidationError

from promptd.core.content import Image, Text, Thinking, Tool, ToolCall, Turn
from promptd.core.engine import ConnectionTestParams
from promptd.core.errors import (
    AuthenticationFailed,
    ConfigIncomplete,
    InvalidOutput,
    NetworkError,
    PromptExecutionError,
    ServiceUnavailable,
)
from promptd.core.model import Blob, Native, Usage
from promptd.core.parameters import Parameters
from promptd.dialects.messages import DIALECT
from promptd.egress import Egress
from promptd.engines.anthropic import Anthropic, AnthropicConfig
from promptd.testing.engines import EngineContract
from promptd.testing.messages_server import KEY, MessagesServer
from tests.engines.anthropic_support import FAILURES, call, native, run, settings, told

PROMPTLY = 0.1  # seconds


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


class TestContract(EngineContract):
    @pytest.fixture
    def engine(self) -> Anthropic:
        return Anthropic()

    @pytest.fixture
    def model(self) -> str:
        return "echo"

    @pytest.fixture
    def broken(self, server: MessagesServer, http: Egress) -> AnthropicConfig:
        nobody = "http://127.0.0.1:9"
        http.allow(nobody)
        return settings(server, base_url=nobody)


# ------------------------------------------------------------------ translated


async def test_the_request_carries_key_version_and_headers(server: MessagesServer, http: Egress) -> None:
    made = settings(
        server, base_url=server.base_url + "/v1/", headers={"X-Title": "mine"}, betas=["b-1"], max_tokens=77
    )
    await run(
        call(made, http, parameters=Parameters(temperature=0.5, extra={"anthropic_beta": ["c-2", "b-1", "no\n"]}))
    )
    (received,) = server.calls
    assert (received.method, received.path) == ("POST", "/v1/messages")
    assert received.headers["x-api-key"] == KEY
    assert received.headers["anthropic-version"] == "2023-06-01"
    assert received.headers["anthropic-beta"] == "b-1,c-2"
    assert received.headers["x-title"] == "mine"
    assert received.headers["content-type"] == "application/json"
    assert received.body == {
        "model": "echo",
        "max_tokens": 77,
        "messages": [{"role": "user", "content": "hello there"}],
        "stream": True,
        "temperature": 0.5,
    }


async def test_a_token_goes_as_bearer(server: MessagesServer, http: Egress) -> None:
    made = settings(server, api_key="", auth_token=KEY, client_betas=False)
    await run(call(made, http, parameters=Parameters(extra={"anthropic_beta": ["c-2"]})))
    assert server.calls[0].headers["authorization"] == f"Bearer {KEY}"
    assert "x-api-key" not in server.calls[0].headers
    assert "anthropic-beta" not in server.calls[0].headers


async def test_everything_that_a_model_says_arrives(connection: AnthropicConfig, http: Egress) -> None:
    answer = told(await run(call(connection, http, "everything")))
    assert answer.text.strip() == "let me look"
    assert answer.thinking == (Thinking("hm", "sig"), Thinking(sealed="sealed"))
    assert answer.tool_calls == (
        ToolCall(0, "toolu_1", "add", '{"a": [1, 2]}'),
        ToolCall(1, "toolu_2", "now", "{}"),
    )
    assert answer.finish_reason == "tool_calls"
    assert answer.usage == Usage(12, 7, cached_tokens=5, cache_write_tokens=4)


async def test_a_conversation_with_calls_is_one_that_the_service_takes(
    server: MessagesServer, connection: AnthropicConfig, http: Egress
) -> None:
    """The server checks as the vendor does: results at once and first, no blank texts."""
    turns = (
        Turn("system", "be brief"),
        Turn("user", "a"),
        Turn("assistant", "\n", tool_calls=(ToolCall(0, "c1", "add", "{}"), ToolCall(1, "c2", "add", "{}"))),
        Turn("tool", "1", tool_call_id="c1"),
        Turn("tool", "2", tool_call_id="c2"),
        Turn("user", parts=(Text("and this"), Image("data:image/png;base64,iVBORw0KGgo="))),
    )
    answer = told(await run(call(connection, http, messages=turns, parameters=Parameters(tools=(Tool("add"),)))))
    assert answer.text.strip() == "tool_result tool_result and this image"
    assert server.calls[0].body["system"] == "be brief"


async def test_files_are_sent_as_images(connection: AnthropicConfig, http: Egress) -> None:
    blob = Blob("a.png", "image/png", b"\x89PNG\r\n\x1a\n")
    assert told(await run(call(connection, http, blobs=(blob,)))).text.strip() == "hello there image"


async def test_bytes_may_come_one_by_one(connection: AnthropicConfig, http: Egress) -> None:
    assert told(await run(call(connection, http, "byte-by-byte"))).text.strip() == "Zwölf Bäume 🌲"


async def test_a_service_that_answers_whole_is_understood(connection: AnthropicConfig, http: Egress) -> None:
    assert told(await run(call(connection, http, "always-whole"))).text == "all at once"


async def test_the_first_chunk_comes_before_the_second_is_sent(
    server: MessagesServer, connection: AnthropicConfig, http: Egress
) -> None:
    chunks = Anthropic().run(call(connection, http, "step-by-step"))
    assert (await anext(chunks)).text == "first "
    server.presence.go.set()
    assert [chunk.text async for chunk in chunks] == ["second ", ""]


async def test_a_connection_that_breaks_behind_the_answer_does_no_harm(
    connection: AnthropicConfig, http: Egress
) -> None:
    assert told(await run(call(connection, http, "cut-behind-the-answer"))).text == "one "


async def test_a_finished_call_leaves_its_connection_to_the_next(
    server: MessagesServer, connection: AnthropicConfig, http: Egress
) -> None:
    for _ in range(3):
        await run(call(connection, http))
        await run(native(connection, http, stream=True))
    assert server.connections == 1


@pytest.mark.parametrize("model", ["slow-first-byte", "stall"])
@pytest.mark.parametrize("way", [call, native])
async def test_a_cancelled_call_closes_the_upstream(
    server: MessagesServer, connection: AnthropicConfig, http: Egress, model: str, way: Any
) -> None:
    task = asyncio.create_task(run(way(connection, http, model)))
    async with asyncio.timeout(5):
        await server.called()
    cancelled = asyncio.get_running_loop().time()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        assert await server.presence.left() - cancelled < PROMPTLY


@pytest.mark.parametrize(
    ("model", "meaning"),
    [
        *FAILURES,
        ("fails-in-the-middle", ServiceUnavailable),
        ("cut", NetworkError),
        ("html", InvalidOutput),
        ("no-json", InvalidOutput),
        ("endless-event", InvalidOutput),
    ],
)
async def test_failures_mean_what_they_are(
    connection: AnthropicConfig, http: Egress, model: str, meaning: type[PromptExecutionError]
) -> None:
    with pytest.raises(meaning) as raised:
        await run(call(connection, http, model))
    assert type(raised.value) is meaning
    assert raised.value.retry_after == (7 if model == "429" else None)


async def test_a_message_never_shows_the_key(server: MessagesServer, http: Egress) -> None:
    wrong = "sk-ant-some-wrong-key"
    with pytest.raises(AuthenticationFailed) as raised:
        await run(call(settings(server, api_key=wrong), http))
    assert raised.value.message.endswith("invalid x-api-key ***")


# ------------------------------------------------------------------ the rest


async def test_tokens_are_counted_by_the_service(
    server: MessagesServer, connection: AnthropicConfig, http: Egress
) -> None:
    wishes = Parameters(temperature=0.5, tools=(Tool("add"),), stop=("x",), max_tokens=3)
    assert await Anthropic().count(call(connection, http, parameters=wishes)) == 42
    (received,) = server.calls
    assert received.path == "/v1/messages/count_tokens"
    assert sorted(received.body) == ["messages", "model", "tools"]
    body = json.dumps({"model": "alias", "messages": [{"role": "user", "content": "hi"}]}).encode()
    assert await Anthropic().count(call(connection, http, native=Native(DIALECT, body))) == 33
    assert server.calls[1].body["model"] == "echo"


async def test_check_lists_the_models_of_all_pages(
    server: MessagesServer, connection: AnthropicConfig, http: Egress
) -> None:
    result = await Anthropic().test_connection(
        ConnectionTestParams(connection=connection, connection_name="c", http=http)
    )
    assert (result.ok, result.models) == (True, ("echo", "other"))
    assert [received.path for received in server.calls] == [
        "/v1/models?limit=1000",
        "/v1/models?limit=1000&after_id=echo",
    ]


async def test_an_address_is_needed(http: Egress) -> None:
    empty = AnthropicConfig.model_validate({"base_url": ""})
    with pytest.raises(ConfigIncomplete, match="base_url"):
        await run(call(empty, http))
    assert AnthropicConfig().base_url == "https://api.anthropic.com"


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("base_url", "api.anthropic.com"),
        ("base_url", "http://key@host"),
        ("base_url", "http://host?key=x"),
        ("betas", ["a b"]),
        ("version", "a\nb"),
        ("effort", "much"),
        ("max_tokens", 0),
        ("no_such", 1),
    ],
)
def test_a_wrong_setting_is_named(setting: str, value: object) -> None:
    with pytest.raises(ValidationError, match=setting):
        AnthropicConfig.model_validate({setting: value})
