"""The `bedrock` engine against a server that checks its requests as the service does, and its exam."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import botocore.session
import pytest
from pydantic import ValidationError

from promptd.core.chunks import gather
from promptd.core.content import Document, Image, Text, Tool, ToolCall, Turn
from promptd.core.credentials import Credential
from promptd.core.engine import Call, ConnectionTestParams
from promptd.core.errors import (
    AuthenticationFailed,
    ConfigIncomplete,
    InputTooLarge,
    InvalidInput,
    InvalidOutput,
    NetworkError,
    PermissionDenied,
    PromptExecutionError,
    RateLimited,
    ResourceNotFound,
    ServiceUnavailable,
    Timeout,
)
from promptd.core.model import Answer, Usage
from promptd.core.parameters import Parameters
from promptd.egress import Egress
from promptd.engines.bedrock import Bedrock, BedrockConfig
from promptd.testing import Reply, Samples, assert_conforms
from promptd.testing.engines import EngineContract
from promptd.testing.fake_http import FakeHttp
from promptd.testing.model_server import KEY, ModelServer
from promptd.testing.model_server.views import THOUGHT, View
from tests.dialects.conversations import PDF, PNG

MODEL = "eu.anthropic.claude-sonnet-4-5-20250929-v1:0"
ARN = "arn:aws:bedrock:eu-west-1:123456789012:application-inference-profile/abc"
PROMPTLY = 0.1  # seconds
WEATHER = Tool("weather", "", {"type": "object", "properties": {"city": {"type": "string"}}})


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as started:
        yield started
        assert started.complaints == []


@pytest.fixture
async def http(server: ModelServer) -> AsyncIterator[Egress]:
    egress = Egress([server.origin])
    yield egress
    await egress.close()


def settings(server: ModelServer, **changes: Any) -> BedrockConfig:
    return BedrockConfig.model_validate({"base_url": server.origin, "api_key": KEY} | changes)


@pytest.fixture
def connection(server: ModelServer) -> BedrockConfig:
    return settings(server)


def call(connection: BedrockConfig, http: Any, *turns: Turn, **fields: Any) -> Call[BedrockConfig, Any]:
    given = {"model": MODEL, "messages": turns or (Turn("user", "hello there"),)} | fields
    return Call(connection=connection, connection_name="c", http=http, **given)


async def run(made: Call[BedrockConfig, Any]) -> Answer:
    *pieces, done = [chunk async for chunk in Bedrock().run(made)]
    assert done.kind == "done"
    return gather(pieces, done, done.usage or Usage(), "m")


class TestContract(EngineContract):
    @pytest.fixture
    def engine(self) -> Bedrock:
        return Bedrock()

    @pytest.fixture
    def model(self) -> str:
        return MODEL

    @pytest.fixture
    def broken(self, server: ModelServer, http: Egress) -> BedrockConfig:
        nobody = "http://127.0.0.1:9"
        http.allow(nobody)
        return settings(server, base_url=nobody)


def test_it_keeps_the_promises_of_every_engine() -> None:
    answer = {"output": {"message": {"role": "assistant", "content": [{"text": "Hello"}]}}, "stopReason": "end_turn"}
    sample = BedrockConfig.model_validate({"base_url": "https://service.example", "api_key": "a-key"})
    assert_conforms(Bedrock, Samples(connection=sample, replies=(Reply.json(answer),)))


# ------------------------------------------------------------------ what is asked


@pytest.mark.parametrize(
    ("model", "streams", "path"),
    [
        (MODEL, True, f"/model/{MODEL.replace(':', '%3A')}/converse-stream"),
        (MODEL, False, f"/model/{MODEL.replace(':', '%3A')}/converse"),
        (ARN, True, f"/model/{ARN.replace(':', '%3A').replace('/', '%2F')}/converse-stream"),
    ],
)
async def test_the_model_stands_in_the_path(
    server: ModelServer, http: Egress, model: str, streams: bool, path: str
) -> None:
    answer = await run(call(settings(server, streams=streams, headers={"X-Title": "mine"}), http, model=model))
    assert answer.text == "You said: hello there"
    (exchange,) = server.exchanges
    assert (exchange.method, exchange.path, exchange.model) == ("POST", path, model)
    assert exchange.headers["authorization"] == f"Bearer {KEY}"
    assert exchange.headers["x-title"] == "mine"
    assert exchange.headers["content-type"] == "application/json"
    assert exchange.body == {"messages": [{"role": "user", "content": [{"text": "hello there"}]}]}


@pytest.mark.parametrize("streams", [True, False])
async def test_a_conversation_with_everything(server: ModelServer, http: Egress, streams: bool) -> None:
    made = settings(server, streams=streams)
    asked = Parameters(tools=(WEATHER,), effort="low", max_tokens=4000)
    first = Turn("user", parts=(Text('/call weather {"city": "Zürich"}\n'), Image(PNG), Document(PDF, name="a.pdf")))
    answer = await run(call(made, http, Turn("system", "be brief"), first, parameters=asked))
    (called,) = answer.tool_calls
    assert called == ToolCall(0, "tooluse_0", "weather", called.arguments)
    assert '"Zürich"' in called.arguments
    assert answer.finish_reason == "tool_calls"
    (thought,) = answer.thinking
    assert (thought.text, thought.signature) == (THOUGHT, "c2lnbmVk")
    back = Turn("assistant", parts=(thought,), tool_calls=(called,))
    result = Turn("tool", "rain", tool_call_id=called.id)
    answer = await run(call(made, http, first, back, result, parameters=asked))
    assert answer.text == "The tools said: rain"
    assert "toolUse" not in str(server.exchanges[0].body)
    assert "reasoningText" in str(server.exchanges[1].body)


async def test_tokens_and_what_ended_it(server: ModelServer, http: Egress, connection: BedrockConfig) -> None:
    words = "one two three four five six seven eight nine ten STOP eleven"
    answer = await run(call(connection, http, Turn("user", words), parameters=Parameters(stop=("STOP",))))
    (exchange,) = server.exchanges
    assert (answer.finish_reason, answer.stop_sequence) == ("stop", "STOP")
    assert answer.usage == Usage(exchange.input_tokens, exchange.output_tokens, cached_tokens=exchange.cached_tokens)
    assert exchange.cached_tokens == 6
    answer = await run(call(connection, http, parameters=Parameters(max_tokens=2)))
    assert (answer.text, answer.finish_reason) == ("You said: ", "length")


async def test_a_custom_tool_gets_its_text(connection: BedrockConfig, http: Egress) -> None:
    tools = (Tool("sh", extra={"type": "custom"}),)
    asked = Turn("user", '/call sh {"input": "ls -l"}')
    (called,) = (await run(call(connection, http, asked, parameters=Parameters(tools=tools)))).tool_calls
    assert (called.arguments, called.custom) == ("ls -l", True)


async def test_a_schema_is_asked_in_words_unless_the_settings_say_otherwise(server: ModelServer, http: Egress) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": False}
    for schemas in (False, True):
        answer = await run(call(settings(server, schemas=schemas), http, parameters=Parameters(json_schema=schema)))
        assert (answer.text == '{"a": 7}') is schemas
    assert ["outputConfig" in exchange.body for exchange in server.exchanges] == [False, True]


async def test_a_guardrail_goes_with_every_call(server: ModelServer, http: Egress) -> None:
    await run(call(settings(server, guardrail="abc1", guardrail_version="3"), http))
    assert server.exchanges[0].body["guardrailConfig"] == {"guardrailIdentifier": "abc1", "guardrailVersion": "3"}


# ------------------------------------------------------------------ streams


async def test_packets_may_be_cut_anywhere() -> None:
    async with ModelServer(shred=3) as torn:
        egress = Egress([torn.origin])
        assert (
            await run(call(settings(torn), egress, Turn("user", "Zwölf Bäume 🌲")))
        ).text == "You said: Zwölf Bäume 🌲"
        await egress.close()


async def test_the_first_chunk_comes_before_the_second_is_sent(
    server: ModelServer, connection: BedrockConfig, http: Egress
) -> None:
    chunks = Bedrock().run(call(connection, http, Turn("user", "/hold half\none two three four five")))
    said = (await anext(chunks)).text
    assert said.startswith("You ")
    await server.holding("half")
    server.release("half")
    assert said + "".join([chunk.text async for chunk in chunks]) == "You said: one two three four five"


async def test_a_finished_call_leaves_its_connection_to_the_next(
    server: ModelServer, connection: BedrockConfig, http: Egress
) -> None:
    for _ in range(3):
        await run(call(connection, http))
    assert server.connections == 1


@pytest.mark.parametrize("fault", ["stall", "stall-within"])
async def test_a_cancelled_call_closes_the_upstream(
    server: ModelServer, connection: BedrockConfig, http: Egress, fault: str
) -> None:
    arrived, begun = asyncio.Event(), asyncio.Event()

    def trouble(view: View) -> str:
        arrived.set()
        return fault

    async def follow() -> None:
        async for _ in Bedrock().run(call(connection, http, Turn("user", "one two three"))):
            begun.set()

    server.trouble = trouble
    task = asyncio.create_task(follow())
    async with asyncio.timeout(5):
        await (arrived if fault == "stall" else begun).wait()
    cancelled = asyncio.get_running_loop().time()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with asyncio.timeout(5):
        assert await server.presence.left() - cancelled < PROMPTLY


# ------------------------------------------------------------------ failures


@pytest.mark.parametrize(
    ("fault", "meaning"),
    [
        ("context", InputTooLarge),
        ("key", AuthenticationFailed),
        ("forbidden", PermissionDenied),
        ("missing", ResourceNotFound),
        ("rate", RateLimited),
        ("broken", ServiceUnavailable),
        ("unavailable", ServiceUnavailable),
        ("die", NetworkError),
        ("garbage", InvalidOutput),
        ("die-within", NetworkError),
        ("error-within", RateLimited),
        ("no-end", NetworkError),
    ],
)
async def test_failures_mean_what_they_are(
    connection: BedrockConfig, http: Egress, fault: str, meaning: type[PromptExecutionError]
) -> None:
    with pytest.raises(meaning) as raised:
        await run(call(connection, http, Turn("user", f"/fault {fault}\none two three")))
    assert type(raised.value) is meaning
    assert raised.value.retry_after == (1 if fault == "rate" else None)


async def test_silence_has_a_bound(server: ModelServer, http: Egress) -> None:
    impatient = settings(server, silence_timeout=0.05)
    with pytest.raises(Timeout):
        await run(call(impatient, http, Turn("user", "/fault stall-within\none two three")))


async def test_a_page_of_the_web_is_no_answer(connection: BedrockConfig) -> None:
    page = Reply(body=b"<html>Welcome</html>", headers={"content-type": "text/html"})
    with pytest.raises(InvalidOutput, match="text/html"):
        await run(call(connection, FakeHttp(page)))


async def test_a_message_never_shows_a_secret(server: ModelServer) -> None:
    secrets = {"secret_access_key": "sk-secret-key", "session_token": "sk-token", "headers": {"x": "sk-header"}}
    made = settings(server, api_key="", access_key_id="AKID", **secrets)
    said = Reply.json({"message": "sk-secret-key sk-token sk-header"}, 403)
    with pytest.raises(PermissionDenied, match=r"\*\*\* \*\*\* \*\*\*"):
        await run(call(made, FakeHttp(said)))


@pytest.mark.parametrize("model", ["", ".", ".."])
async def test_a_name_that_no_path_can_hold(connection: BedrockConfig, http: Egress, model: str) -> None:
    with pytest.raises(InvalidInput, match="model"):
        await run(call(connection, http, model=model))


# ------------------------------------------------------------------ keys


async def test_callers_may_bring_their_own_keys(server: ModelServer, http: Egress) -> None:
    made = settings(server, api_key="another", passthrough=True)
    await run(call(made, http, credential=Credential(KEY)))
    assert server.exchanges[0].headers["authorization"] == f"Bearer {KEY}"
    fake = FakeHttp(Reply.json({}, 403))
    with pytest.raises(PermissionDenied):
        await run(call(made, fake))
    assert "authorization" not in fake.sent[0].headers


@pytest.mark.parametrize(
    ("given", "named"),
    [({}, "api_key"), ({"access_key_id": "AKID"}, "secret_access_key"), ({"secret_access_key": "x"}, "access_key_id")],
)
async def test_what_is_missing_is_named(given: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigIncomplete) as raised:
        await run(call(BedrockConfig.model_validate(given), FakeHttp()))
    assert raised.value.field == named


async def test_a_server_of_ones_own_may_need_no_key(server: ModelServer) -> None:
    fake = FakeHttp(Reply.json({}, 403))
    with pytest.raises(PermissionDenied):
        await run(call(settings(server, api_key=""), fake))
    assert "authorization" not in fake.sent[0].headers


def test_every_region_that_the_vendor_knows_has_its_address() -> None:
    regions: dict[str, str] = {}
    for partition in botocore.session.get_session().get_data("endpoints")["partitions"]:
        regions |= dict.fromkeys(partition["regions"], partition["dnsSuffix"])
    assert len(regions) > 30
    made = {region: BedrockConfig.model_validate({"region": region}).address for region in regions}
    assert made == {region: f"https://bedrock-runtime.{region}.{suffix}" for region, suffix in regions.items()}


@pytest.mark.parametrize(
    ("region", "address"),
    [
        ("eu-central-1", "https://bedrock-runtime.eu-central-1.amazonaws.com"),
        ("cn-north-1", "https://bedrock-runtime.cn-north-1.amazonaws.com.cn"),
    ],
)
async def test_each_region_is_asked_at_its_address(region: str, address: str) -> None:
    fake = FakeHttp(Reply.json({}, 403))
    with pytest.raises(PermissionDenied):
        await run(call(BedrockConfig.model_validate({"region": region, "api_key": "k"}), fake, model="a.b"))
    assert fake.sent[0].url == f"{address}/model/a.b/converse-stream"
    assert fake.allowed == [address]


# ------------------------------------------------------------------ the test of a connection


@pytest.mark.parametrize(
    ("status", "kind", "oks"),
    [
        (400, "ValidationException", [True, True]),
        (404, "ResourceNotFoundException", [True, True]),
        (403, "AccessDeniedException", [True, False]),
        (200, "", [True]),
    ],
)
async def test_a_service_that_knows_the_key_is_there(
    connection: BedrockConfig, status: int, kind: str, oks: list[bool]
) -> None:
    fake = FakeHttp(Reply.json({"message": "no such model"}, status, x_amzn_errortype=f"{kind}:http://x/"))
    params = ConnectionTestParams(connection=connection, connection_name="c", http=fake)
    result = await Bedrock().test_connection(params)
    assert (result.ok, result.models, [check.ok for check in result.checks]) == (True, (), oks)
    assert fake.sent[0].url.endswith("/model/promptd-connection-test/converse")


@pytest.mark.parametrize("status", [400, 403, 404, 500])
async def test_somebody_else_at_the_address_is_not_the_service(connection: BedrockConfig, status: int) -> None:
    fake = FakeHttp(Reply.json({"message": "who?"}, status))
    with pytest.raises(PromptExecutionError):
        await Bedrock().test_connection(ConnectionTestParams(connection=connection, connection_name="c", http=fake))


async def test_a_service_that_does_not_know_the_key_says_so(server: ModelServer, http: Egress) -> None:
    params = ConnectionTestParams(connection=settings(server, api_key="wrong"), connection_name="c", http=http)
    with pytest.raises(AuthenticationFailed):
        await Bedrock().test_connection(params)
    server.complaints.clear()


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("base_url", "bedrock.example"),
        ("base_url", "http://key@host"),
        ("region", "eu central 1"),
        ("region", "evil.example/x-1"),
        ("access_key_id", "a b"),
        ("guardrail", "No Such"),
        ("guardrail_version", "0"),
        ("no_such", 1),
    ],
)
def test_a_wrong_setting_is_named(setting: str, value: object) -> None:
    with pytest.raises(ValidationError, match=setting):
        BedrockConfig.model_validate({setting: value})
