"""The `openai` engine against a real server on loopback, and its exam."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from promptd.core.content import Turn
from promptd.core.engine import Call, ConnectionTestParams
from promptd.core.errors import AuthenticationFailed, ConfigIncomplete, InvalidOutput
from promptd.core.model import Capability
from promptd.core.parameters import Parameters
from promptd.dialects.openai_media import MEDIA
from promptd.egress import Egress
from promptd.engines.openai import OpenAI, OpenAIConfig
from promptd.testing.engines import EngineContract
from promptd.testing.upstream import Upstream

PROMPTLY = 0.1  # seconds
KEY = "sk-secret-of-the-test"


@pytest.fixture
def connection(upstream: Upstream) -> OpenAIConfig:
    return settings(upstream)


def settings(upstream: Upstream, **changes: Any) -> OpenAIConfig:
    return OpenAIConfig.model_validate({"base_url": upstream.base_url, "api_key": KEY} | changes)


def call(connection: OpenAIConfig, http: Egress, model: str = "echo", **fields: Any) -> Call[OpenAIConfig, Any]:
    defaults: dict[str, Any] = {"messages": (Turn("user", "hello there"),)}
    return Call(connection=connection, connection_name="c", model=model, http=http, **(defaults | fields))


class TestContract(EngineContract):
    @pytest.fixture
    def engine(self) -> OpenAI:
        return OpenAI()

    @pytest.fixture
    def model(self) -> str:
        return "echo"

    def model_for(self, model: str, capability: Capability) -> str:
        return "maker" if capability in MEDIA else model

    @pytest.fixture
    def broken(self, upstream: Upstream, http: Egress) -> OpenAIConfig:
        nobody = "http://127.0.0.1:9/v1"
        http.allow(nobody)
        return settings(upstream, base_url=nobody)


async def test_the_request_carries_key_and_headers(upstream: Upstream, http: Egress) -> None:
    made = settings(upstream, base_url=upstream.base_url + "/", organization="org", headers={"x-title": "mine"})
    await OpenAI().execute(call(made, http, parameters=Parameters(temperature=0.5)))
    (received,) = upstream.calls
    assert (received.method, received.path) == ("POST", "/v1/chat/completions")
    assert received.headers["authorization"] == f"Bearer {KEY}"
    assert received.headers["openai-organization"] == "org"
    assert received.headers["x-title"] == "mine"
    assert received.headers["content-type"] == "application/json"
    assert received.body["stream"] is True
    assert received.body["stream_options"] == {"include_usage": True}
    assert received.body["temperature"] == 0.5


async def test_without_a_key_none_is_sent(upstream: Upstream, http: Egress) -> None:
    await OpenAI().execute(call(settings(upstream, api_key="", stream_usage=False), http))
    assert "authorization" not in upstream.calls[0].headers
    assert "stream_options" not in upstream.calls[0].body


async def test_usage_and_finish_reason_arrive(connection: OpenAIConfig, http: Egress) -> None:
    result = await OpenAI().execute(call(connection, http))
    assert (result.usage.input_tokens, result.usage.output_tokens, result.finish_reason) == (3, 2, "stop")


async def test_tool_calls_are_put_together(connection: OpenAIConfig, http: Egress) -> None:
    result = await OpenAI().execute(call(connection, http, "tools"))
    (made,) = result.tool_calls
    assert (made.id, made.name, made.arguments) == ("c1", "add", '{"a":1}')
    assert result.finish_reason == "tool_calls"


async def test_a_template_goes_to_completions(upstream: Upstream, connection: OpenAIConfig, http: Egress) -> None:
    result = await OpenAI().execute(call(connection, http, parameters=Parameters(template="<s>{prompt}</s>")))
    assert result.text == "<s>hello there</s> "
    assert upstream.calls[0].path == "/v1/completions"


async def test_embeddings(upstream: Upstream, connection: OpenAIConfig, http: Egress) -> None:
    asked = call(connection, http, capability=Capability.EMBEDDING, texts=("a", "four"))
    result = await OpenAI().execute(asked)
    assert result.value == {"embeddings": [[1.0, 0.5], [4.0, 0.5]]}
    assert upstream.calls[0].path == "/v1/embeddings"


async def test_too_few_embeddings_are_an_invalid_output(connection: OpenAIConfig, http: Egress) -> None:
    asked = call(connection, http, "embeds-too-few", capability=Capability.EMBEDDING, texts=("a", "b"))
    with pytest.raises(InvalidOutput, match="expected 2 embeddings"):
        await OpenAI().execute(asked)


async def test_the_first_chunk_comes_before_the_second_is_sent(
    upstream: Upstream, connection: OpenAIConfig, http: Egress
) -> None:
    chunks = OpenAI().run(call(connection, http, "step-by-step"))
    assert (await anext(chunks)).text == "first "
    upstream.presence.go.set()
    assert [chunk.text async for chunk in chunks] == ["second", ""]


@pytest.mark.parametrize("model", ["slow-first-byte", "slow-first-event", "stall"])
async def test_a_cancelled_call_closes_the_upstream(
    upstream: Upstream, connection: OpenAIConfig, http: Egress, model: str
) -> None:
    task = asyncio.create_task(OpenAI().execute(call(connection, http, model)))
    async with asyncio.timeout(5):
        await upstream.called()
    cancelled = asyncio.get_running_loop().time()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        assert await upstream.presence.left() - cancelled < PROMPTLY


async def test_a_closed_run_closes_the_upstream(upstream: Upstream, connection: OpenAIConfig, http: Egress) -> None:
    chunks = OpenAI().run(call(connection, http, "stall"))
    await anext(chunks)
    closed = asyncio.get_running_loop().time()
    await chunks.aclose()
    async with asyncio.timeout(5):
        assert await upstream.presence.left() - closed < PROMPTLY


@pytest.mark.parametrize("model", ["echo", "tools", "no-finish-reason", "late-end"])
async def test_a_finished_call_leaves_its_connection_to_the_next(
    upstream: Upstream, connection: OpenAIConfig, http: Egress, model: str
) -> None:
    for _ in range(3):
        await OpenAI().execute(call(connection, http, model))
    assert upstream.connections == 1


async def test_check_lists_the_models(upstream: Upstream, connection: OpenAIConfig, http: Egress) -> None:
    params = ConnectionTestParams(connection=connection, connection_name="c", http=http)
    result = await OpenAI().test_connection(params)
    assert (result.ok, result.models) == (True, ("echo", "other"))
    assert upstream.calls[0].path == "/v1/models"


async def test_a_message_never_shows_the_key(connection: OpenAIConfig, http: Egress) -> None:
    with pytest.raises(AuthenticationFailed) as raised:
        await OpenAI().execute(call(connection, http, "401"))
    assert raised.value.message.endswith("Incorrect API key provided: ***")


async def test_an_address_is_needed(http: Egress) -> None:
    with pytest.raises(ConfigIncomplete, match="base_url"):
        await OpenAI().execute(call(OpenAIConfig.model_validate({}), http))
    params = ConnectionTestParams(connection=OpenAIConfig.model_validate({}), connection_name="c", http=http)
    with pytest.raises(ConfigIncomplete, match="base_url"):
        await OpenAI().test_connection(params)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("base_url", "127.0.0.1:8080"),
        ("base_url", "http://"),
        ("base_url", "http://key@host/v1"),
        ("base_url", "http://host/v1?key=x"),
        ("silence_timeout", 0),
        ("max_tokens_field", "tokens"),
        ("no_such", 1),
    ],
)
def test_a_wrong_setting_is_named(setting: str, value: object) -> None:
    with pytest.raises(ValidationError, match=setting):
        OpenAIConfig.model_validate({setting: value})
