"""The engine on the `any-llm` library against real servers on loopback, and its exam."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import ValidationError

from promptd.core.content import Turn
from promptd.core.engine import Call, ConnectionTestParams
from promptd.core.errors import (
    AuthenticationFailed,
    ConfigIncomplete,
    HandlerUnavailable,
    InputTooLarge,
    InvalidInput,
    NetworkError,
    PermissionDenied,
    PromptExecutionError,
    RateLimited,
    ResourceNotFound,
    ServiceUnavailable,
)
from promptd.core.model import Capability
from promptd.core.parameters import Parameters
from promptd.egress import Egress
from promptd.engines.any_llm import AnyLLM, AnyLLMConfig
from promptd.testing.engines import EngineContract
from promptd.testing.messages_server import KEY, MessagesServer
from promptd.testing.model_server import ModelServer
from promptd.testing.upstream import Upstream

INSTALLED = importlib.util.find_spec("any_llm") is not None
needs_library = pytest.mark.skipif(not INSTALLED, reason="the extra any-llm is not installed")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:any_llm", "ignore::DeprecationWarning:openai")
PATIENCE = 10.0  # seconds


@pytest.fixture
async def engine() -> AsyncIterator[AnyLLM]:
    made = AnyLLM()
    yield made
    await made.close()
    assert not any(thread.name == "any-llm" for thread in threading.enumerate())


@pytest.fixture
async def server() -> AsyncIterator[MessagesServer]:
    async with MessagesServer() as started:
        yield started


@pytest.fixture
def connection(server: MessagesServer) -> AnyLLMConfig:
    return settings(server.base_url)


def settings(base_url: str, **changes: Any) -> AnyLLMConfig:
    """The library translates to Anthropic's API."""
    given = {"provider": "anthropic", "base_url": base_url, "api_key": KEY, "left_out": ["seed"]}
    return AnyLLMConfig.model_validate(given | changes)


def call(connection: AnyLLMConfig, http: Egress, model: str = "echo", **fields: Any) -> Call[AnyLLMConfig, Any]:
    defaults: dict[str, Any] = {
        "messages": (Turn("user", "hello there"),),
        "parameters": Parameters(max_tokens=9, temperature=0.5),
    }
    return Call(connection=connection, connection_name="c", model=model, http=http, **(defaults | fields))


class Chats(AnyLLM):
    """What the service of the exam can do; another test asks another one for embeddings."""

    capabilities = AnyLLM.capabilities - {Capability.EMBEDDING}


@needs_library
class TestContract(EngineContract):
    @pytest.fixture
    async def engine(self) -> AsyncIterator[AnyLLM]:
        made = Chats()
        yield made
        await made.close()

    @pytest.fixture
    def model(self) -> str:
        return "echo"

    @pytest.fixture
    def broken(self) -> AnyLLMConfig:
        return settings("http://127.0.0.1:9")


@needs_library
async def test_a_call_goes_out_with_its_key_and_wishes(
    engine: AnyLLM, server: MessagesServer, connection: AnyLLMConfig, http: Egress
) -> None:
    result = await engine.execute(call(connection, http))
    assert (result.text.strip(), result.finish_reason, result.usage.output_tokens) == ("hello there", "stop", 7)
    (received,) = server.calls
    assert received.headers["x-api-key"] == KEY
    assert received.body["stream"] is True
    assert (received.body["temperature"], received.body["max_tokens"]) == (0.5, 9)


@needs_library
async def test_calls_of_tools(engine: AnyLLM, connection: AnyLLMConfig, http: Egress) -> None:
    result = await engine.execute(call(connection, http, "everything"))
    assert [(made.name, json.loads(made.arguments or "{}")) for made in result.tool_calls] == [
        ("add", {"a": [1, 2]}),
        ("now", {}),
    ]
    assert result.finish_reason == "tool_calls"


@needs_library
async def test_another_vendor_by_the_same_way(engine: AnyLLM, http: Egress) -> None:
    async with ModelServer() as server:
        config = settings(server.base_url, provider="openai", api_key=server.key)
        result = await engine.execute(call(config, http, "script"))
    (exchange,) = server.exchanges
    assert (exchange.path, exchange.outcome, server.complaints) == ("/v1/chat/completions", "whole", [])
    assert result.text
    assert (result.usage.input_tokens, result.usage.output_tokens) == (exchange.input_tokens, exchange.output_tokens)


@needs_library
async def test_embeddings(engine: AnyLLM, upstream: Upstream, http: Egress) -> None:
    config = settings(upstream.base_url, provider="openai")
    asked = call(config, http, capability=Capability.EMBEDDING, texts=("a", "four"), parameters=Parameters())
    assert (await engine.execute(asked)).value == {"embeddings": [[1.0, 0.5], [4.0, 0.5]]}


@needs_library
async def test_the_first_chunk_comes_before_the_second_is_sent(
    engine: AnyLLM, server: MessagesServer, connection: AnyLLMConfig, http: Egress
) -> None:
    chunks = engine.run(call(connection, http, "step-by-step"))
    assert (await anext(chunks)).text == "first "
    server.presence.go.set()
    assert "".join([chunk.text async for chunk in chunks]) == "second "


@needs_library
async def test_a_closed_run_closes_the_upstream(
    engine: AnyLLM, server: MessagesServer, connection: AnyLLMConfig, http: Egress
) -> None:
    chunks = engine.run(call(connection, http, "stall"))
    await anext(chunks)
    await chunks.aclose()
    async with asyncio.timeout(PATIENCE):
        await server.presence.left()


@needs_library
async def test_a_server_that_leaves_ends_the_calls(
    engine: AnyLLM, server: MessagesServer, connection: AnyLLMConfig, http: Egress
) -> None:
    chunks = engine.run(call(connection, http, "stall"))
    await anext(chunks)
    await engine.close()
    with pytest.raises(ServiceUnavailable):
        await anext(chunks)


@needs_library
@pytest.mark.parametrize(
    ("model", "meaning"),
    [
        ("400", InvalidInput),
        ("403", PermissionDenied),
        ("404", ResourceNotFound),
        ("429", RateLimited),
        ("529", ServiceUnavailable),
        ("too-long", InputTooLarge),
    ],
)
async def test_failures_mean_what_they_are(
    engine: AnyLLM, connection: AnyLLMConfig, http: Egress, model: str, meaning: type[PromptExecutionError]
) -> None:
    with pytest.raises(meaning) as raised:
        await engine.execute(call(connection, http, model))
    assert raised.value.retry_after == (7 if model == "429" else None)


@needs_library
async def test_a_message_never_shows_the_key(engine: AnyLLM, server: MessagesServer, http: Egress) -> None:
    wrong = "sk-ant-some-wrong-key"
    with pytest.raises(AuthenticationFailed) as raised:
        await engine.execute(call(settings(server.base_url, api_key=wrong), http))
    assert wrong not in raised.value.message
    assert wrong not in (raised.value.detail or "")


@needs_library
async def test_nobody_is_there(engine: AnyLLM, http: Egress) -> None:
    with pytest.raises(NetworkError):
        await engine.execute(call(settings("http://127.0.0.1:9"), http))


@needs_library
async def test_check_lists_the_models(engine: AnyLLM, connection: AnyLLMConfig, http: Egress) -> None:
    result = await engine.test_connection(ConnectionTestParams(connection=connection, connection_name="c", http=http))
    assert (result.ok, result.models) == (True, ("echo",))


@needs_library
@pytest.mark.parametrize("provider", ["", "no_such_service"])
async def test_a_provider_is_needed(engine: AnyLLM, http: Egress, provider: str) -> None:
    with pytest.raises(ConfigIncomplete):
        await engine.execute(call(settings("", provider=provider), http))


@pytest.mark.skipif(INSTALLED, reason="the extra any-llm is installed")
async def test_without_the_library_the_engine_says_what_is_missing(
    engine: AnyLLM, connection: AnyLLMConfig, http: Egress
) -> None:
    with pytest.raises(HandlerUnavailable, match="any-llm"):
        await engine.execute(call(connection, http))


@pytest.mark.parametrize(
    ("setting", "value"), [("provider", "A B"), ("max_tokens_field", "tokens"), ("client", 3), ("no_such", 1)]
)
def test_a_wrong_setting_is_named(setting: str, value: object) -> None:
    with pytest.raises(ValidationError, match=setting):
        AnyLLMConfig.model_validate({setting: value})
