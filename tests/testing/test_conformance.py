"""`assert_conforms` passes what keeps its promises and names each one that is broken; what promptd ships passes it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from promptd import registry
from promptd.engines.anthropic import AnthropicConfig
from promptd.engines.http_target.config import HttpQuery, HttpTargetConfig
from promptd.engines.openai.config import OpenAIConfig
from promptd.engines.stable_diffusion import StableDiffusionConfig
from promptd.plugins import Engine
from promptd.testing import NotConforming, Reply, Samples, assert_conforms, conformance_tests
from tests.testing.handlers import BROKEN, SAMPLES, Shop

pytestmark = pytest.mark.slow

FAULTS = [(statement, kind) for statement, kinds in BROKEN.items() for kind in kinds]
#: they run models on this machine, or speak through a library: no service's answer can be played to them
OFFLINE = ("any_llm", "endpoint", "llamacpp", "local_audio", "scripted")
EVENTS = Reply.events({"choices": [{"index": 0, "delta": {"content": "Hello"}, "finish_reason": "stop"}]})
ADDRESS = "https://service.example/v1"
OWN = {
    "openai": Samples(connection=OpenAIConfig(base_url=ADDRESS, api_key=SecretStr("a-key")), replies=(EVENTS,)),
    "anthropic": Samples(connection=AnthropicConfig(base_url=ADDRESS, api_key=SecretStr("a-key"))),
    "stable_diffusion": Samples(connection=StableDiffusionConfig(base_url=ADDRESS, password=SecretStr("a-key"))),
    "http_target": Samples(
        connection=HttpTargetConfig(base_url=ADDRESS, auth="basic", user="ada", password=SecretStr("a-key")),
        query=HttpQuery(path="/orders/{{order}}"),
    ),
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings are filled with samples, and some of them name files that are then written."""
    monkeypatch.chdir(tmp_path)


def engines() -> dict[str, type[Engine[Any, Any]]]:
    return {name: type(engine) for name, engine in registry.load().engines.items()}


def test_a_good_handler_conforms() -> None:
    assert_conforms(Shop, SAMPLES)


async def test_inside_a_running_loop_too() -> None:
    assert_conforms(Shop, SAMPLES)


test_as_pytest_tests = conformance_tests(Shop, SAMPLES)


@pytest.mark.parametrize(("statement", "kind"), FAULTS, ids=[f"{kind.__name__}" for _, kind in FAULTS])
def test_a_broken_promise_is_named(statement: int, kind: type[Engine[Any, Any]]) -> None:
    with pytest.raises(NotConforming, match=f"§6.{statement}: expected") as refused:
        assert_conforms(kind, SAMPLES if issubclass(kind, Shop) else None)
    assert kind.__name__ in str(refused.value)
    assert statement in {finding.statement for finding in refused.value.findings}


def test_a_handler_brings_its_own_samples() -> None:
    class Own(Shop):
        asked = 0

        @classmethod
        def conformance_samples(cls) -> Samples:
            cls.asked += 1
            return SAMPLES

    assert_conforms(Own)
    assert Own.asked == 1


def test_a_constructor_that_raises_is_a_finding() -> None:
    class Picky(Shop):
        def __init__(self) -> None:
            raise RuntimeError("not without my settings")

    with pytest.raises(NotConforming, match="not without my settings"):
        assert_conforms(Picky)


@pytest.mark.parametrize("name", sorted(engines()))
def test_what_promptd_ships_conforms(name: str) -> None:
    assert_conforms(engines()[name], OWN.get(name, Samples(online=name not in OFFLINE)))
