"""Arch files as settings: where they are found, what they become, and what a reload makes of them."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec.structs import replace

from promptd import registry
from promptd.app.parts import make
from promptd.app.routes import make_routes
from promptd.core.errors import SettingsError
from promptd.core.routing import resolve
from promptd.dialects import arch
from promptd.egress import Egress
from promptd.engines.anthropic import AnthropicConfig
from promptd.engines.bedrock import BedrockConfig
from promptd.engines.endpoint import Endpoint, EndpointConfig
from promptd.engines.openai.config import OpenAIConfig
from promptd.settings import Settings, arch_file, compare, load
from promptd.settings.arch import sections
from tests.dialects.arch.files import FOLDER, NAMES, SECRET, VARIABLES, new, old, target

CONFIGS: dict[str, Any] = {
    "openai": OpenAIConfig,
    "anthropic": AnthropicConfig,
    "bedrock": BedrockConfig,
    "endpoint": EndpointConfig,
}


def written(folder: Path, tree: dict[str, Any], name: str = "arch_config.yaml") -> Path:
    path = folder / name
    path.write_text(json.dumps(tree), encoding="utf-8")
    return path


def made(tmp_path: Path, tree: dict[str, Any], **environ: str) -> Settings:
    return load(tmp_path / "home", written(tmp_path, tree), environ)


def check_engines(settings: Settings) -> dict[str, Any]:
    """The configurations of the engines, which take all that the file made of them."""
    return {
        name: CONFIGS[one.engine].model_validate(one.config, strict=False) for name, one in settings.connections.items()
    }


@pytest.mark.arch("9.1", "1.6.1")
@pytest.mark.parametrize("name", NAMES)
def test_every_file_becomes_settings(tmp_path: Path, name: str) -> None:
    settings = load(tmp_path, FOLDER / name, VARIABLES)
    assert settings.arch is not None
    assert set(check_engines(settings)) == set(settings.connections)
    assert (settings.server.host, settings.server.port) == ("127.0.0.1", 11337)
    for provider in settings.arch.providers:
        if not provider.wildcard:
            assert resolve(make_routes(settings, lambda leg: leg), None, provider.name).upstream == provider.model
    assert SECRET not in repr(settings)
    assert SECRET not in str(settings.model_dump(exclude={"connections"}))


def test_every_name_of_a_model_leads_to_it(tmp_path: Path) -> None:
    routes = make_routes(load(tmp_path, FOLDER / "e_gateway.yaml", VARIABLES), lambda leg: leg)
    for name, connection, upstream in (
        ("openai/gpt-4o", "openai/gpt-4o", "gpt-4o"),
        ("gpt-4o", "openai/gpt-4o", "gpt-4o"),
        ("chat.default", "openai/gpt-4o", "gpt-4o"),
        ("own", "own", "writer-2"),
        ("house/writer-2", "own", "writer-2"),
        ("clever", "anthropic", "claude-opus-4-5"),
        ("anthropic/*", "anthropic", "*"),
    ):
        route = resolve(routes, None, name)
        assert (route.connection, route.upstream) == (connection, upstream)


@pytest.mark.arch("4.4.paths", "4.3.key", "1.5.prefixes")
@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"model": "openai/m"}, {"engine": "openai", "profile": "openai", "base_url": "https://api.openai.com/v1"}),
        ({"model": "mistral/m"}, {"profile": "mistral", "base_url": "https://api.mistral.ai/v1"}),
        ({"model": "groq/m"}, {"profile": "groq", "base_url": "https://api.groq.com/openai/v1"}),
        ({"model": "deepseek/m"}, {"profile": "deepseek", "base_url": "https://api.deepseek.com/v1"}),
        (
            {"model": "gemini/m"},
            {"profile": "gemini", "base_url": "https://generativelanguage.googleapis.com/v1beta/openai"},
        ),
        ({"model": "together_ai/m"}, {"profile": None, "base_url": "https://api.together.xyz/v1"}),
        ({"model": "xai/m"}, {"responses_api": True, "base_url": "https://api.x.ai/v1"}),
        ({"model": "moonshotai/m"}, {"base_url": "https://api.moonshot.ai/v1"}),
        ({"model": "zhipu/m"}, {"base_url": "https://open.bigmodel.cn/api/paas/v4"}),
        ({"model": "xiaomi/m"}, {"base_url": "https://api.xiaomimimo.com/v1"}),
        ({"model": "digitalocean/m"}, {"base_url": "https://inference.do-ai.run/v1"}),
        ({"model": "vercel/m"}, {"messages_api": True, "responses_api": True}),
        ({"model": "openrouter/m"}, {"profile": "openrouter", "base_url": "https://openrouter.ai/api/v1"}),
        ({"model": "edenai/m"}, {"base_url": "https://api.edenai.run/v3"}),
        ({"model": "qwen/m", "base_url": "https://q.test"}, {"base_url": "https://q.test/compatible-mode/v1"}),
        ({"model": "ollama/m", "base_url": "http://h:11434"}, {"profile": "ollama", "base_url": "http://h:11434/v1"}),
        (
            {"model": "azure_openai/m", "base_url": "https://a.test"},
            {"profile": "azure", "base_url": "https://a.test", "api_version": "2025-01-01-preview"},
        ),
        ({"model": "plano/m", "base_url": "http://h:1"}, {"profile": None, "base_url": "http://h:1/v1"}),
        ({"model": "openai/m", "base_url": "http://h:1/api/v9"}, {"base_url": "http://h:1/api/v9"}),
        ({"model": "groq/m", "base_url": "http://h:1"}, {"base_url": "http://h:1/openai/v1"}),
        ({"model": "openai/m", "base_url": "https://api.groq.com"}, {"base_url": "https://api.groq.com/openai/v1"}),
        (
            {"model": "perplexity/m", "base_url": "https://api.perplexity.ai", "provider_interface": "openai"},
            {"profile": None, "base_url": "https://api.perplexity.ai"},
        ),
        (
            {"model": "house/m", "base_url": "http://h:1", "provider_interface": "mistral"},
            {"profile": "mistral", "base_url": "http://h:1/v1"},
        ),
        ({"model": "anthropic/m"}, {"engine": "anthropic", "base_url": None, "api_key": "k"}),
        ({"model": "claude/m"}, {"engine": "anthropic"}),
        ({"model": "anthropic/m", "base_url": "http://h:1/v1"}, {"engine": "anthropic", "base_url": "http://h:1/v1"}),
        ({"model": "openai/m", "passthrough_auth": True}, {"passthrough": True, "api_key": None}),
        ({"model": "anthropic/m", "passthrough_auth": True}, {"passthrough": True, "api_key": None}),
        ({"model": "openai/m", "headers": {"X-A": "b"}}, {"headers": {"x-a": "b"}, "api_key": "k"}),
        (
            {"model": "openai/m", "headers": {"Authorization": "x"}},
            {"headers": {"authorization": "x"}, "api_key": None},
        ),
        ({"model": "openai/m", "http_host": "other.test"}, {"headers": {":authority": "other.test"}}),
        (
            {"model": "chatgpt/m"},
            {"engine": "openai", "profile": "chatgpt", "base_url": "https://chatgpt.com/backend-api/codex"},
        ),
        ({"model": "chatgpt/m", "base_url": "http://h:1/v1"}, {"profile": "chatgpt", "base_url": "http://h:1/v1"}),
        (
            {"model": "house/m", "base_url": "http://h:1/v1", "provider_interface": "chatgpt"},
            {"profile": "chatgpt", "base_url": "http://h:1/v1"},
        ),
        (
            {"model": "amazon_bedrock/a.b-v1:0", "base_url": "https://bedrock-runtime.eu-west-1.amazonaws.com"},
            {
                "engine": "bedrock",
                "base_url": "https://bedrock-runtime.eu-west-1.amazonaws.com",
                "api_key": "k",
                "profile": None,
            },
        ),
        (
            {
                "model": "amazon_bedrock/m",
                "base_url": "http://h:1/proxy",
                "passthrough_auth": True,
                "http_host": "b.test",
            },
            {"base_url": "http://h:1/proxy", "passthrough": True, "headers": {":authority": "b.test"}},
        ),
    ],
)
def test_providers_are_connections(tmp_path: Path, entry: dict[str, Any], expected: dict[str, Any]) -> None:
    settings = made(tmp_path, new(model_providers=[{"access_key": "k", "name": "p", **entry}]))
    found = {"engine": settings.connections["p"].engine, **settings.connections["p"].config}
    assert {key: found.get(key) for key in expected} == expected
    config = check_engines(settings)["p"]
    if isinstance(config, OpenAIConfig):
        assert config.address.startswith("http")


def test_times_of_a_provider(tmp_path: Path) -> None:
    listeners = [
        {"type": "model", "name": "a", "timeout": "20s"},
        {"type": "prompt", "name": "b", "timeout": "1m"},
    ]
    settings = made(tmp_path, new(listeners=listeners, overrides={"upstream_connect_timeout": "1500ms"}))
    config = check_engines(settings)["openai/gpt-4o"]
    assert (config.connect_timeout, config.first_byte_timeout) == (1.5, 60.0)


def test_endpoints_are_connections_that_ask_for_targets_only(tmp_path: Path) -> None:
    settings = load(tmp_path, FOLDER / "a_everything.yaml", VARIABLES)
    found = check_engines(settings)
    network = found["endpoint:network"]
    assert network.addresses == ["http://10.0.0.1:8080", "http://10.0.0.2:8080"]
    assert (network.http_host, network.connect_timeout) == ("network", 1.0)
    assert list(network.targets) == ["reboot"]
    assert (network.targets["reboot"].method, network.targets["reboot"].defaults) == ("POST", {"force": False})
    failures = found["endpoint:failures"]
    assert (failures.http_host, list(failures.targets)) == ("failures.example.com", ["(error)"])
    claims = check_engines(load(tmp_path, FOLDER / "c_claims.yaml", VARIABLES))["endpoint:claims"]
    sent = claims.targets["claim"].headers["Authorization"].get_secret_value()
    assert sent == "Bearer " + VARIABLES["CLAIMS_TOKEN"]


@pytest.mark.arch("1.6.5", "9.3")
def test_a_guard_is_a_check_of_the_prompt_listeners(tmp_path: Path) -> None:
    check = load(tmp_path, FOLDER / "e_gateway.yaml", VARIABLES).guard.checks["jailbreak"]
    assert (check.type, check.message, check.listeners) == ("classifier", "Not today.", ("people",))
    assert [str(stage) for stage in check.stages] == ["input", "tool"]


@pytest.mark.arch("1.6.5", "9.3")
def test_without_a_prompt_listener_it_is_one_of_all(tmp_path: Path) -> None:
    guards = {"input_guards": {"jailbreak": {"on_exception": {"message": "no"}}}}
    assert made(tmp_path, new(prompt_guards=guards)).guard.checks["jailbreak"].listeners == ("models",)


@pytest.mark.arch("1.6.5", "9.3")
def test_a_guard_that_is_not_there_stops_the_start(tmp_path: Path) -> None:
    found = registry.load()
    guards = {name: kind for name, kind in found.guards.items() if name != "classifier"}
    plugins = replace(found, engines={**found.engines, "endpoint": Endpoint()}, guards=guards)
    with pytest.raises(SettingsError) as caught:
        make(load(tmp_path, FOLDER / "a_everything.yaml", VARIABLES), plugins, Egress())
    assert caught.value.key == "guard.checks.jailbreak.type"
    make(load(tmp_path, FOLDER / "a_weather.yaml", VARIABLES), plugins, Egress())


def test_traces(tmp_path: Path) -> None:
    given = load(tmp_path, FOLDER / "e_gateway.yaml", VARIABLES).tracing
    assert (given.endpoint, given.sampling) == ("http://collector:4317", 100.0)
    assert (given.header_prefixes, given.static) == (("x-acme-",), {"environment": "test"})


def test_variables_of_promptd_go_on_top(tmp_path: Path) -> None:
    environ = {
        "PROMPTD_SERVER__PORT": "0",
        "PROMPTD_COMPAT__ARCH__METRICS": "true",
        "PROMPTD_GUARD__CHECKS__MINE": '{"type": "rules", "max_chars": 9}',
        "PROMPTD_CONNECTIONS__ONE__SLOTS": "3",
    }
    settings = made(tmp_path, old(), **environ)
    assert (settings.server.port, settings.compat.arch.metrics, settings.connections["one"].slots) == (0, True, 3)
    assert list(settings.guard.checks) == ["mine"]


@pytest.mark.arch("1.1.dotenv")
def test_a_file_of_variables_beside_it_is_the_only_source(tmp_path: Path) -> None:
    tree = old(system_prompt="$WORD")
    assert made(tmp_path, tree, WORD="environment").arch.system_prompt == "environment"  # type: ignore[union-attr]
    (tmp_path / ".env").write_text("WORD=beside\n", encoding="utf-8")
    settings = made(tmp_path, tree, WORD="environment", PROMPTD_SERVER__PORT="0")
    assert settings.arch is not None
    assert (settings.arch.system_prompt, settings.server.port) == ("beside", 0)
    with pytest.raises(SettingsError, match="OTHER not found"):
        made(tmp_path, old(system_prompt="$OTHER"), OTHER="environment")
    (tmp_path / ".env").write_bytes(b"WORD=\xff\n")
    with pytest.raises(SettingsError, match="can't be read"):
        made(tmp_path, tree)


@pytest.mark.arch("8.up")
def test_a_folder_stands_for_the_file_in_it(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"a folder without arch_config\.yaml, config\.yaml, plano_config\.yaml"):
        load(tmp_path, tmp_path, {})
    for name, version in (("plano_config.yaml", "v0.4.0"), ("config.yaml", "v0.4"), ("arch_config.yaml", "v0.1")):
        written(tmp_path, old(version=version), name)
        found = load(tmp_path, tmp_path, {}).arch
        assert found is not None
        assert found.version == version
    assert arch_file(tmp_path, {}) == tmp_path / "arch_config.yaml"
    assert arch_file(None, {"PROMPTD_CONFIG": str(tmp_path)}) == tmp_path / "arch_config.yaml"


def test_other_files_are_what_they_were(tmp_path: Path) -> None:
    path = tmp_path / "promptd.yaml"
    path.write_text("server: {port: 7}", encoding="utf-8")
    settings = load(tmp_path, None, {})
    assert (settings.arch, settings.server.port) == (None, 7)
    assert arch_file(path, {}) is None
    assert arch_file(tmp_path / "nothing", {}) is None
    path.write_text("arch: {}", encoding="utf-8")
    with pytest.raises(SettingsError, match="arch: unknown setting"):
        load(tmp_path, None, {})
    with pytest.raises(SettingsError, match="unknown setting"):
        load(tmp_path / "x", None, {"PROMPTD_ARCH": "{}"})


def test_a_certificate_is_looked_for_beside_the_file(tmp_path: Path) -> None:
    pair = {"certificate_chain": {"filename": "cert.pem"}, "private_key": {"filename": "key.pem"}}
    tree = old(listener={"common_tls_context": {"tls_certificates": [pair]}})
    with pytest.raises(SettingsError, match=r"there is no file .*cert\.pem"):
        made(tmp_path, tree)
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).touch()
    settings = made(tmp_path, tree)
    assert settings.arch is not None
    assert settings.arch.listeners[0].tls_cert == str(tmp_path / "cert.pem")


def test_a_reload_takes_over_what_is_a_section_and_tells_the_rest(tmp_path: Path) -> None:
    provider = {"name": "one", "provider": "openai", "model": "gpt-4o", "access_key": "k"}
    running = made(tmp_path, old(llm_providers=[provider]))
    wanted = made(tmp_path, old(llm_providers=[{**provider, "access_key": "new"}]))
    changes = compare(running, wanted)
    assert (changes.changed, changes.restart_required) == (("connections.one",), ())
    assert changes.settings.connections["one"].config["api_key"] == "new"
    wanted = made(tmp_path, old(llm_providers=[provider], listener={"port": 1}, system_prompt="x"))
    changes = compare(running, wanted)
    assert (changes.changed, changes.restart_required) == (("arch.system_prompt",), ("arch.listeners",))
    assert changes.settings.arch is not None
    assert changes.settings.arch.system_prompt == "x"
    assert running.arch is not None
    assert changes.settings.arch.listeners == running.arch.listeners
    added = {"name": "two", "provider": "groq", "model": "m", "access_key": "k", "default": True}
    changes = compare(running, made(tmp_path, old(llm_providers=[provider, added])))
    sections = {"connections.two", "models.groq/m", "models.two", "models.m", "default_model"}
    assert set(changes.changed) == {*sections, "arch.providers"}
    assert changes.restart_required == ()
    plain = load(tmp_path / "other", None, {})
    assert "arch" in compare(running, plain.model_copy(update={"home": running.home})).restart_required


TREES = [yaml.safe_load((FOLDER / name).read_text(encoding="utf-8")) for name in NAMES]
TREES.append(old(endpoints={"api": {"endpoint": "h"}}, prompt_targets=[target(parameters=[])]))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = list(value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ())
    return [path] * bool(path) + [place for key, item in items for place in places(item, (*path, key))]


@hypothesis_settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    place=st.sampled_from([(tree, path) for tree in TREES for path in places(tree)]),
    value=st.text(max_size=6)
    | st.integers(-1, 10**6)
    | st.sampled_from(["openai/*", "a/b", "h", "x" * 200, "A b", "*"]),
)
def test_what_is_read_makes_settings(place: tuple[Any, tuple[Any, ...]], value: Any) -> None:
    tree, path = copy.deepcopy(place[0]), place[1]
    inner = tree
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = value
    try:
        config = arch.read(json.dumps(tree), name="f", variables=VARIABLES)
    except SettingsError:
        return
    settings = Settings.model_validate_json(json.dumps({**sections(config), "home": "/"}), strict=True)
    check_engines(settings)
    make_routes(settings, lambda leg: leg)
