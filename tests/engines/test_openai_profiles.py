"""Profiles of the `openai` engine: where requests go, with which key, and in which words."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from pydantic import ValidationError

from promptd.core.content import Text, Thinking, Turn
from promptd.core.engine import Call, ConnectionTestParams
from promptd.core.errors import ConfigIncomplete, NetworkError
from promptd.core.model import Capability
from promptd.core.parameters import Parameters
from promptd.dialects.chat import encode_request
from promptd.egress import Egress
from promptd.engines.openai import OpenAI, OpenAIConfig
from promptd.engines.openai.profiles import CHAT, COMPLETIONS, EMBEDDINGS, MESSAGES, PROFILES, RESPONSES, Name
from promptd.testing.model_server import KEY, ModelServer
from promptd.testing.upstream import Upstream


def config(**settings: Any) -> OpenAIConfig:
    return OpenAIConfig.model_validate(settings)


def body(profile: str, parameters: Parameters, *turns: Turn) -> dict[str, Any]:
    call: Call[OpenAIConfig, Any] = Call(
        connection=config(profile=profile),
        connection_name="c",
        model="m",
        http=Egress(),
        messages=turns or (Turn("user", "hi"),),
        parameters=parameters,
    )
    made = json.loads(encode_request(call, manners=call.connection.manners))
    assert isinstance(made, dict)
    return made


def test_every_name_has_its_row() -> None:
    assert set(get_args(Name)) == set(PROFILES)
    with pytest.raises(ValidationError, match="profile"):
        config(profile="nobody")


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_every_row_leads_somewhere(name: str) -> None:
    made = config(profile=name, **({} if PROFILES[name].base_url else {"base_url": "http://127.0.0.1:1/v1"}))
    for dialect in (CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, MESSAGES):
        assert made.url(dialect, "m").startswith(("https://", "http://127.0.0.1:"))
        assert "{" not in made.url(dialect, "m")
    assert "{" not in made.models_url


@pytest.mark.parametrize(
    ("profile", "base_url", "dialect", "url"),
    [
        ("openai", "", CHAT, "https://api.openai.com/v1/chat/completions"),
        ("openai", "http://127.0.0.1:1/v2", CHAT, "http://127.0.0.1:1/v2/chat/completions"),
        ("openai", "", RESPONSES, "https://api.openai.com/v1/responses"),
        (
            "azure",
            "https://mine.openai.azure.com",
            CHAT,
            "https://mine.openai.azure.com/openai/deployments/my%2Fmodel/chat/completions?api-version=2024-10-21",
        ),
        (
            "azure",
            "https://mine.openai.azure.com/",
            EMBEDDINGS,
            "https://mine.openai.azure.com/openai/deployments/my%2Fmodel/embeddings?api-version=2024-10-21",
        ),
        ("groq", "", CHAT, "https://api.groq.com/openai/v1/chat/completions"),
        ("gemini", "", CHAT, "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions"),
        ("mistral", "", EMBEDDINGS, "https://api.mistral.ai/v1/embeddings"),
        ("deepseek", "", MESSAGES, "https://api.deepseek.com/anthropic/v1/messages"),
        ("openrouter", "", MESSAGES, "https://openrouter.ai/api/v1/messages"),
        ("ollama", "", CHAT, "http://127.0.0.1:11434/v1/chat/completions"),
        ("lmstudio", "", CHAT, "http://127.0.0.1:1234/v1/chat/completions"),
        ("vllm", "http://127.0.0.1:1/v1", MESSAGES, "http://127.0.0.1:1/v1/messages"),
    ],
)
def test_where_requests_go(profile: str, base_url: str, dialect: str, url: str) -> None:
    assert config(profile=profile, base_url=base_url).url(dialect, "my/model") == url


def test_only_servers_of_ones_own_need_an_address() -> None:
    for name in ("any", "azure", "vllm"):
        with pytest.raises(ConfigIncomplete, match="base_url"):
            config(profile=name).url(CHAT, "m")


def test_the_key_is_shown_where_the_service_looks() -> None:
    assert config(profile="groq", api_key="k").request_headers == {"authorization": "Bearer k"}
    assert config(profile="azure", api_key="k").request_headers == {"api-key": "k"}
    assert config(profile="ollama").request_headers == {}
    made = config(profile="azure", api_key="secret")
    assert made.request_headers == {"api-key": "secret"}
    assert "secret" not in repr(made) + repr(made.model_dump()) + made.model_dump_json()


def test_settings_overrule_the_profile() -> None:
    assert config(profile="openai").manners.max_tokens == "max_completion_tokens"
    assert config(profile="openai", max_tokens_field="max_tokens").manners.max_tokens == "max_tokens"
    assert config(profile="mistral").manners.stream_usage is False
    assert config(profile="mistral", stream_usage=True).manners.stream_usage is True


def test_each_service_is_spoken_to_in_its_own_words() -> None:
    wish = Parameters(max_tokens=5, seed=1, top_k=3, user="u", logprobs=True, frequency_penalty=0.5, effort="low")
    assert body("openai", wish)["max_completion_tokens"] == 5
    assert not body("openai", wish).keys() & {"top_k", "max_tokens"}
    assert not body("gemini", wish).keys() & {"seed", "user", "frequency_penalty"}
    assert body("mistral", wish)["random_seed"] == 1
    assert not body("mistral", wish).keys() & {"user", "logprobs", "stream_options", "seed"}
    assert "logprobs" not in body("groq", wish)
    assert body("openrouter", wish)["reasoning"] == {"effort": "low"}
    assert body("vllm", wish)["top_k"] == 3
    schema = body("deepseek", Parameters(json_schema={"type": "object"}))
    assert schema["response_format"] == {"type": "json_object"}
    thought = (Turn("user", "hi"), Turn("assistant", parts=(Thinking("hm"), Text("a"))))
    assert body("deepseek", Parameters(), *thought)["messages"][1]["reasoning_content"] == "hm"
    assert "reasoning_content" not in body("openai", Parameters(), *thought)["messages"][1]


async def test_an_azure_deployment_is_called_by_its_path(upstream: Upstream, http: Egress) -> None:
    origin = upstream.base_url.removesuffix("/v1")
    call: Call[OpenAIConfig, Any] = Call(
        connection=config(profile="azure", base_url=origin, api_key="k", api_version="2025-01-01-preview"),
        connection_name="c",
        model="echo",
        http=http,
        messages=(Turn("user", "hello"),),
    )
    assert (await OpenAI().execute(call)).text == "hello "
    (received,) = upstream.calls
    assert received.path == "/openai/deployments/echo/chat/completions?api-version=2025-01-01-preview"
    assert received.headers["api-key"] == "k"
    assert "authorization" not in received.headers


async def test_models_are_listed_where_the_profile_says(upstream: Upstream, http: Egress) -> None:
    made = config(base_url=upstream.base_url)
    result = await OpenAI().test_connection(ConnectionTestParams(connection=made, connection_name="c", http=http))
    assert result.models == ("echo", "other")


async def test_the_address_that_a_profile_knows_may_be_called() -> None:
    egress = Egress()
    call: Call[OpenAIConfig, Any] = Call(
        connection=config(profile="lmstudio", connect_timeout=0.5),
        connection_name="c",
        model="m",
        http=egress,
        messages=(Turn("user", "hello"),),
    )
    with pytest.raises(NetworkError):  # nobody listens, but it was tried
        await OpenAI().execute(call)
    await egress.close()


async def test_other_callers_may_be_served_by_the_responses_api() -> None:
    async with ModelServer() as server:
        egress = Egress([server.base_url])
        call: Call[OpenAIConfig, Any] = Call(
            connection=config(base_url=server.base_url, api_key=KEY, api="responses"),
            connection_name="c",
            model="script",
            http=egress,
            messages=(Turn("user", "one two"),),
            capability=Capability.CHAT,
        )
        result = await OpenAI().execute(call)
        await egress.close()
    assert "one two" in result.text
    assert server.exchanges[0].path == "/v1/responses"
    assert not server.complaints
