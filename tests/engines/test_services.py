"""The types for those who look for a service by its name, and what a service may know of the end user."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from promptd.core.content import Turn
from promptd.core.engine import Call, ConnectionTestParams, Engine
from promptd.core.errors import AuthenticationFailed, ConfigIncomplete, InvalidInput, PermissionDenied, ResourceNotFound
from promptd.core.localisation import Key, resolve
from promptd.core.model import Capability, Native
from promptd.core.parameters import ImageParameters, Parameters
from promptd.egress import Egress
from promptd.engines.openai import (
    ChatCompletions,
    ChatCompletionsConfig,
    Gemini,
    GeminiConfig,
    OpenAI,
    OpenAIConfig,
)
from promptd.testing import gemini_server
from promptd.testing.engines import EngineContract
from promptd.testing.gemini_server import GeminiServer
from promptd.testing.sockets import Reader, Writer, answering, head_of, serve
from promptd.testing.upstream import Upstream


@pytest.fixture
async def google() -> AsyncIterator[GeminiServer]:
    async with GeminiServer() as server:
        yield server


@pytest.fixture
async def out(google: GeminiServer) -> AsyncIterator[Egress]:
    egress = Egress([google.base_url])
    yield egress
    await egress.close()


def gemini(server: GeminiServer, **changes: Any) -> GeminiConfig:
    return GeminiConfig.model_validate({"base_url": server.base_url, "api_key": gemini_server.KEY} | changes)


def call(connection: Any, http: Egress, model: str = "echo", **fields: Any) -> Call[Any, Any]:
    defaults: dict[str, Any] = {"messages": (Turn("user", "hello there"),)}
    return Call(connection=connection, connection_name="c", model=model, http=http, **(defaults | fields))


def params(connection: Any, http: Egress) -> ConnectionTestParams[Any]:
    return ConnectionTestParams(connection=connection, connection_name="c", http=http)


class TestGemini(EngineContract):
    @pytest.fixture
    def engine(self) -> Engine[Any, Any]:
        # its server embeds nothing and sees nothing
        gemini = Gemini()
        gemini.capabilities = frozenset({Capability.CHAT})  # type: ignore[misc] # of this one alone
        return gemini

    @pytest.fixture
    def connection(self, google: GeminiServer) -> GeminiConfig:
        return gemini(google)

    @pytest.fixture
    def http(self, out: Egress) -> Egress:
        return out

    @pytest.fixture
    def model(self) -> str:
        return "echo"


class TestChatCompletions(EngineContract):
    @pytest.fixture
    def engine(self) -> ChatCompletions:
        return ChatCompletions()

    @pytest.fixture
    def connection(self, upstream: Upstream) -> ChatCompletionsConfig:
        return ChatCompletionsConfig.model_validate({"base_url": upstream.base_url})

    @pytest.fixture
    def model(self) -> str:
        return "echo"


# ------------------------------------------------------------------ Gemini


async def test_gemini_lists_its_models_in_its_own_way(google: GeminiServer, out: Egress) -> None:
    found = await Gemini().test_connection(params(gemini(google), out))
    # what can neither chat nor embed is not asked by anybody here
    assert (found.ok, found.models) == (True, ("echo", "embedder"))
    assert found.discovered == {"models": ["echo", "embedder"]}
    assert [one.path.partition("?")[2] for one in google.calls] == [
        "pageSize=1000",
        "pageSize=1000&pageToken=page%20two%2B",
    ]
    assert all(gemini_server.KEY not in one.path for one in google.calls)


async def test_gemini_gets_nothing_that_it_refuses(google: GeminiServer, out: Egress) -> None:
    parameters = Parameters(seed=1, user="somebody", extra={"service_tier": "flex", "safety_identifier": "x"})
    asked = call(gemini(google), out, parameters=parameters, end_user_ref="ref")
    assert (await Gemini().execute(asked)).text == "hello there "
    assert google.calls[0].headers["authorization"] == f"Bearer {gemini_server.KEY}"


async def test_a_wrong_key_is_not_shown(google: GeminiServer, out: Egress) -> None:
    with pytest.raises(PermissionDenied) as raised:
        await Gemini().test_connection(params(gemini(google, api_key="wrong-key"), out))
    assert "wrong-key" not in raised.value.message


async def test_gemini_needs_a_key_before_anything_is_sent(google: GeminiServer, out: Egress) -> None:
    with pytest.raises(ConfigIncomplete, match="api_key"):
        await Gemini().test_connection(params(gemini(google, api_key=""), out))
    assert google.calls == []


async def test_gemini_behind_a_gateway_is_asked_for_openai_s_list(upstream: Upstream, http: Egress) -> None:
    config = GeminiConfig.model_validate({"base_url": upstream.base_url, "api_key": "k"})
    assert (await Gemini().test_connection(params(config, http))).models == ("echo", "other")


def test_gemini_knows_its_address() -> None:
    assert GeminiConfig().address == "https://generativelanguage.googleapis.com/v1beta/openai"


# ------------------------------------------------------------------ chat completions


def test_chat_completions_are_texts_alone() -> None:
    engine = ChatCompletions()
    assert not engine.capabilities & {Capability.IMAGE, Capability.SPEECH, Capability.TRANSCRIPTION}
    assert "task" not in engine.query_config_class().model_fields
    assert engine.connection_config_class() is ChatCompletionsConfig


NOT_FOUND = b'HTTP/1.1 404 -\r\ncontent-length: 22\r\n\r\n{"detail":"Not Found"}'
INVALID = b'HTTP/1.1 422 -\r\ncontent-length: 31\r\n\r\n{"detail":"messages: required"} '


async def test_a_server_need_not_list_its_models() -> None:
    async def listless(reader: Reader, writer: Writer) -> None:
        while True:
            head = await head_of(reader)
            writer.write(NOT_FOUND if head.startswith(b"GET /v1/models ") else INVALID)
            await writer.drain()
            await reader.readexactly(2 if head.startswith(b"POST /v1/chat/completions ") else 0)

    async with serve(listless) as url:
        http = Egress([url])
        config = ChatCompletionsConfig.model_validate({"base_url": f"{url}/v1"})
        found = await ChatCompletions().test_connection(params(config, http))
        await http.close()
    assert (found.ok, found.models) == (True, ())
    assert isinstance(found.message, Key)
    assert resolve(found.message, None, "de").startswith("Der Dienst nennt keine Modelle")
    assert [line.ok for line in found.checks] == [True, False]


async def test_a_server_that_knows_nothing_is_a_failed_test() -> None:
    async with serve(answering(NOT_FOUND)) as url:
        http = Egress([url])
        config = ChatCompletionsConfig.model_validate({"base_url": f"{url}/wrong"})
        with pytest.raises(ResourceNotFound):
            await ChatCompletions().test_connection(params(config, http))
        await http.close()


async def test_a_wrong_key_is_a_failed_test() -> None:
    refusal = b"HTTP/1.1 401 -\r\ncontent-length: 2\r\n\r\n{}"
    async with serve(answering(refusal)) as url:
        http = Egress([url])
        config = ChatCompletionsConfig.model_validate({"base_url": url})
        with pytest.raises(AuthenticationFailed):
            await ChatCompletions().test_connection(params(config, http))
        await http.close()


# ------------------------------------------------------------------ who asks


def config(upstream: Upstream, **changes: Any) -> OpenAIConfig:
    return OpenAIConfig.model_validate({"base_url": upstream.base_url} | changes)


@pytest.mark.parametrize("sent", [True, False])
async def test_chats_tell_who_asks_unless_they_must_not(upstream: Upstream, http: Egress, sent: bool) -> None:
    made = config(upstream, safety_identifier=sent)
    await OpenAI().execute(call(made, http, end_user_ref="opaque"))
    extra = {"safety_identifier": "theirs", "metadata": {"a": "b"}}
    await OpenAI().execute(call(made, http, parameters=Parameters(user="caller's", extra=extra)))
    bodies = [one.body for one in upstream.calls]
    if sent:
        assert (bodies[0]["user"], bodies[1]["user"], bodies[1]["safety_identifier"]) == (
            "opaque",
            "caller's",
            "theirs",
        )
    else:
        assert not any(name in body for body in bodies for name in ("user", "safety_identifier"))
    assert bodies[1]["metadata"] == {"a": "b"}


@pytest.mark.parametrize("sent", [True, False])
async def test_images_tell_who_asks_unless_they_must_not(upstream: Upstream, http: Egress, sent: bool) -> None:
    image = Parameters(image=ImageParameters(extra={"user": "theirs"} if not sent else {}))
    asked = call(
        config(upstream, safety_identifier=sent),
        http,
        "maker",
        capability=Capability.IMAGE,
        parameters=image,
        end_user_ref="opaque",
    )
    await OpenAI().execute(asked)
    assert upstream.calls[0].body.get("user") == ("opaque" if sent else None)


@pytest.mark.parametrize("sent", [True, False])
async def test_a_request_that_passes_through_says_no_more(upstream: Upstream, http: Egress, sent: bool) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi you"}], "user": "u", "safety_identifier": "s"}
    native = Native("openai.chat", json.dumps(body).encode())
    asked = call(config(upstream, safety_identifier=sent), http, "whole", native=native)
    await OpenAI().execute(asked)
    received = upstream.calls[0].body
    assert ("user" in received, "safety_identifier" in received) == (sent, sent)
    assert received["messages"] == body["messages"]


async def test_what_is_no_json_object_is_refused_before_it_goes_out(upstream: Upstream, http: Egress) -> None:
    asked = call(config(upstream, safety_identifier=False), http, native=Native("openai.chat", b"[]"))
    with pytest.raises(InvalidInput):
        await OpenAI().execute(asked)
    assert upstream.calls == []
