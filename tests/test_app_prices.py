"""Prices that nobody configured: from the list in the package, free on this machine, else unknown."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import Field

from promptd.app.prices import Prices, check_priced
from promptd.core.engine import Config, Engine
from promptd.core.errors import SettingsError
from promptd.core.model import Usage
from promptd.core.policy import Policy
from promptd.core.routing import FREE, Price, Route, cost


class Somewhere(Config):
    base_url: str = ""
    profile: str = ""
    provider: str = ""
    memory_mb: int | None = Field(None)


class Hosted(Engine[Somewhere]):
    """An engine as vendors' are: what it is called and where it goes says who is paid."""

    def __init__(self, type_id: str) -> None:
        self.type_id = type_id  # type: ignore[misc]

    def memory(self, connection: Somewhere) -> int | None:
        return connection.memory_mb


NOW = datetime(2026, 11, 1, tzinfo=UTC).timestamp()
PRICES = Prices(NOW)


def price(engine: str, upstream: str, **config: Any) -> Price | None:
    return PRICES.of(Hosted(engine), Somewhere(**config), upstream)


@pytest.mark.parametrize(
    ("engine", "config", "upstream"),
    [
        ("openai", {"base_url": "https://api.openai.com/v1"}, "gpt-4o-mini"),
        ("openai", {}, "gpt-4o-mini"),
        ("openai", {"base_url": "https://api.groq.com/openai/v1"}, "llama-3.3-70b-versatile"),
        ("openai", {"profile": "groq"}, "llama-3.3-70b-versatile"),
        ("openai", {"profile": "azure", "base_url": "https://me.example.com/openai"}, "gpt-4o-mini"),
        ("openai", {"base_url": "https://generativelanguage.googleapis.com/v1beta/openai"}, "gemini-2.5-flash"),
        ("openai", {"profile": "gemini"}, "gemini-2.5-flash"),
        ("anthropic", {}, "claude-sonnet-4-5"),
        ("any_llm", {"provider": "mistral"}, "mistral-large-latest"),
    ],
)
def test_hosted_models_are_in_the_list(engine: str, config: dict[str, str], upstream: str) -> None:
    found = price(engine, upstream, **config)
    assert found is not None
    assert found.input > 0
    assert found.output >= found.input


def test_cached_input_and_long_prompts_have_prices_of_their_own() -> None:
    found = price("anthropic", "claude-sonnet-4-5")
    assert found is not None
    assert found.cached is not None
    assert found.cache_write is not None
    assert found.cached < found.input < found.cache_write
    short, long = cost(Usage(200_000, 0), found), cost(Usage(200_001, 0), found)
    assert short is not None
    assert long is not None
    assert found.tiers == () or long > 1.5 * short


@pytest.mark.parametrize(
    ("engine", "config", "upstream"),
    [
        ("openai", {"base_url": "https://api.openai.com/v1"}, "no-such-model"),
        ("openai", {"base_url": "http://127.0.0.1:8080/v1"}, "gpt-4o-mini"),
        ("openai", {"base_url": "https://llm.example.com/v1"}, "gpt-4o-mini"),
        ("openai", {"base_url": "https://llm.example.com/v1", "profile": "vllm"}, "gpt-4o-mini"),
        ("acme.engine", {}, "gpt-4o-mini"),
        ("openai", {"base_url": "https://api.openai.com/v1"}, "whisper-1"),
    ],
)
def test_what_is_not_in_the_list_is_unknown_and_not_free(engine: str, config: dict[str, str], upstream: str) -> None:
    assert price(engine, upstream, **config) is None


@pytest.mark.parametrize(
    ("engine", "config"),
    [
        ("llamacpp", {"memory_mb": 100}),
        ("stable_diffusion", {"base_url": "http://127.0.0.1:7860"}),
        ("local_audio", {}),
        ("openai", {"base_url": "http://127.0.0.1:11434/v1", "profile": "ollama"}),
        ("openai", {"base_url": "http://10.0.0.5:8000/v1", "profile": "vllm"}),
        ("openai", {"base_url": "http://gpu-box:8000/v1", "profile": "vllm"}),
    ],
)
def test_what_runs_on_this_machine_is_free(engine: str, config: dict[str, Any]) -> None:
    assert price(engine, "gpt-4o-mini", **config) == FREE


def test_a_limit_on_cost_needs_a_price() -> None:
    known = Route(model="known", connection="c", upstream="k", price=Price(1, 1))
    odd = Route(model="odd", connection="c", upstream="o")
    money = Policy(name="m", metric="cost", limit=1)
    check_priced([Policy(name="r", metric="requests", limit=1)], [odd])
    check_priced([money], [known, Route(model="gpt-*", connection="c", upstream="*")])
    check_priced([Policy(name="m", metric="cost", limit=1, models=("known",))], [known, odd])
    check_priced([Policy(name="m", metric="cost", limit=1, scope="model", only="known")], [known, odd])
    with pytest.raises(SettingsError, match=r"models\.odd\.price") as refused:
        check_priced([money], [known, odd])
    assert refused.value.key == "models.odd.price"
