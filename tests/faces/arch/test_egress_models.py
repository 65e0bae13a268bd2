"""Which provider serves a request: hint header, model, default, or nobody (contracts/arch.md §4.2)."""

from __future__ import annotations

import pytest

from promptd.dialects.arch.config import ArchConfig, Listener, Provider
from promptd.faces.arch.models import ModelNotFound, NoAccessKey, Providers

pytestmark = pytest.mark.slow

GPT = Provider(name="main", vendor="openai", model="gpt-4o", interface="openai", access_key="k", default=True)
MINI = Provider(name="openai/mini", vendor="openai", model="mini", interface="openai", access_key="k")
CLAUDE = Provider(name="claude", vendor="anthropic", model="opus", interface="anthropic", access_key="k")
ANY = Provider(name="groq/*", vendor="groq", model="*", interface="groq", access_key="k")


def providers(*given: Provider, era: str = "E") -> Providers:
    config = ArchConfig(
        era=era,  # type: ignore[arg-type]
        version="v0.3.0",
        listeners=(Listener(name="llm", kind="model"),),
        providers=given or (GPT, MINI, CLAUDE, ANY),
        aliases={"fast": "mini", "far": "groq/llama"},
    )
    return Providers(config)


@pytest.mark.arch("4.2.order", "4.2.random")
@pytest.mark.parametrize(
    ("hint", "model", "found"),
    [
        (None, "main", "openai/gpt-4o"),
        (None, "gpt-4o", "openai/gpt-4o"),
        (None, "openai/mini", "openai/mini"),
        (None, "mini", "openai/mini"),
        (None, "opus", "anthropic/opus"),
        (None, "groq/llama-3.3", "groq/llama-3.3"),
        (None, "fast", "openai/mini"),
        (None, "far", "groq/llama"),
        (None, None, "openai/gpt-4o"),
        (None, "", "openai/gpt-4o"),
        (None, "none", "openai/gpt-4o"),
        ("default", "opus", "openai/gpt-4o"),
        ("claude", "mini", "anthropic/opus"),
        ("anthropic/opus", None, "anthropic/opus"),
        ("fast", "opus", "openai/mini"),
        ("groq/llama", "opus", "groq/llama"),
    ],
)
def test_the_choice(hint: str | None, model: str | None, found: str) -> None:
    assert providers().choose(hint, model, lenient=False).id == found
    assert providers().choose(hint, model, lenient=True).id == found


@pytest.mark.arch("4.2.unknown")
@pytest.mark.parametrize(("hint", "model"), [(None, "gpt-9"), ("gpt-9", "gpt-4o"), ("gpt-9", None)])
def test_what_nobody_knows(hint: str | None, model: str | None) -> None:
    with pytest.raises(ModelNotFound, match=r"^Model 'gpt-9' not found in configured providers$"):
        providers().choose(hint, model, lenient=False)
    assert providers().choose(hint, model, lenient=True).id == "openai/gpt-4o"


@pytest.mark.parametrize("model", ["groq/", "groq/*", "other/llama", "/", "*"])
def test_a_wildcard_takes_names_of_its_vendor_only(model: str) -> None:
    with pytest.raises(ModelNotFound):
        providers().choose(None, model, lenient=False)


@pytest.mark.arch("4.2.order")
@pytest.mark.parametrize("lenient", [False, True])
def test_without_a_default_nothing_is_chosen_by_chance(lenient: bool) -> None:
    with pytest.raises(ModelNotFound, match=r"^Model '' not found"):
        providers(MINI, CLAUDE).choose(None, None, lenient=lenient)


@pytest.mark.arch("4.3.key")
def test_a_provider_without_key_and_address() -> None:
    keyless = Provider(name="gpt", vendor="openai", model="gpt-4o", interface="openai")
    with pytest.raises(NoAccessKey, match=r'^No access key configured for selected LLM Provider "gpt"$'):
        providers(keyless).choose(None, "gpt", lenient=False)
    own = Provider(name="own", vendor="x", model="m", interface="openai", base_url="http://127.0.0.1:1/v1")
    assert providers(own).choose(None, "m", lenient=False).provider is own
    passing = Provider(name="p", vendor="openai", model="m", interface="openai", passthrough_auth=True)
    assert providers(passing).choose(None, "m", lenient=False).provider is passing


def test_a_name_goes_before_an_id_that_another_provider_has() -> None:
    one = Provider(name="mini", vendor="openai", model="gpt-4o", interface="openai", access_key="k")
    assert providers(MINI, one).choose(None, "mini", lenient=False).provider is one


@pytest.mark.arch("4.1.paths")
def test_the_list_hides_wildcards_and_the_gateways_own_models() -> None:
    own = Provider(
        name="Arch-Router", vendor="plano", model="router", interface="openai", base_url="http://127.0.0.1:1"
    )
    listed = providers(GPT, ANY, own).listed()
    assert listed == [{"id": "openai/gpt-4o", "object": "model", "created": 0, "owned_by": "openai"}]
