"""Files of every era become one model, and what they leave open is decided by their era."""

from __future__ import annotations

from typing import Any

import pytest

from promptd.core.targets import Parameter
from promptd.dialects.arch.config import Listener, RateLimit, RoutingPreference, Tracing
from tests.dialects.arch.files import NAMES, SECRET, new, old, read, sample, target

API = {"api": {"endpoint": "127.0.0.1:8080"}}


@pytest.mark.arch("9.1", "1.6.1", "1.2.keys")
@pytest.mark.parametrize("name", NAMES)
def test_every_file_loads_unchanged(name: str) -> None:
    config = sample(name)
    assert config.era == name[0].upper() or name == "a_everything.yaml"  # newer keys make it a B
    assert [one.kind for one in config.listeners].count("model") == 1
    assert config.providers


@pytest.mark.arch("1.6.1", "2.ports")
def test_an_old_listener_is_a_prompt_listener_with_a_model_listener_beside_it() -> None:
    assert sample("a_everything.yaml").listeners == (
        Listener(name="ingress_traffic", kind="prompt", address="127.0.0.1", port=10001),
        Listener(name="egress_traffic", kind="model", address="127.0.0.1", port=12000),
    )


@pytest.mark.arch("1.5.listeners")
def test_listeners_as_an_object() -> None:
    assert sample("c_claims.yaml").listeners == (
        Listener(name="ingress_traffic", kind="prompt", address="0.0.0.0", port=10010, timeout=5.0),
        Listener(name="egress_traffic", kind="model", address="127.0.0.1", port=12010, timeout=60.0),
    )
    added = read(
        old(listener=None, listeners={"egress_traffic": {"port": 1}}, prompt_targets=[target()], endpoints=API)
    )
    assert [(one.kind, one.port) for one in added.listeners] == [("prompt", 10000), ("model", 1)]
    assert added.chosen[0].path == "listeners.ingress_traffic"


@pytest.mark.arch("1.5.listeners")
def test_listeners_as_a_list() -> None:
    assert sample("e_gateway.yaml").listeners == (
        Listener(name="models", kind="model", address="127.0.0.1", port=12345, timeout=120.0, max_retries=2),
        Listener(name="people", kind="prompt", port=10002),
    )
    assert [(one.name, one.kind, one.port) for one in sample("e_models_only.yaml").listeners] == [
        ("front", "prompt", 10000),
        ("egress_traffic", "model", 12000),
    ]


def test_no_timeout_is_a_long_one() -> None:
    assert read(new(listeners=[{"type": "model", "name": "m", "timeout": 0}])).listeners[0].timeout == 86_400


def test_a_listener_with_a_certificate() -> None:
    pair = {"certificate_chain": {"filename": "cert.pem"}, "private_key": {"filename": "key.pem"}}
    made = read(old(listener={"common_tls_context": {"tls_certificates": [pair]}})).listeners[0]
    assert (made.tls_cert, made.tls_key) == ("cert.pem", "key.pem")


@pytest.mark.arch("1.6.3.prefix")
def test_a_model_with_and_without_prefix() -> None:
    for entry in (
        {"name": "x", "provider": "openai", "model": "gpt-4o"},
        {"name": "x", "provider": "OpenAI", "model": "openai/gpt-4o"},
        {"name": "x", "provider_interface": "openai", "model": "gpt-4o"},
        {"name": "x", "model": "openai/gpt-4o"},
    ):
        one = read(old(llm_providers=[{**entry, "access_key": "k"}])).providers[0]
        assert (one.name, one.id, one.interface, one.base_url) == ("x", "openai/gpt-4o", "openai", None)


def test_a_model_keeps_its_own_slashes() -> None:
    one, two = read(
        old(
            llm_providers=[
                {"name": "a", "model": "together_ai/meta-llama/Llama-3-8b", "access_key": "k"},
                {"name": "b", "provider": "groq", "model": "meta/llama-3", "access_key": "k", "default": True},
            ]
        )
    ).providers
    assert (one.vendor, one.model, two.vendor, two.model) == (
        *("together_ai", "meta-llama/Llama-3-8b"),
        *("groq", "meta/llama-3"),
    )


def test_a_provider_at_an_address_of_its_own() -> None:
    endpoints = {"own": {"endpoint": ["10.0.0.1:81", "10.0.0.2"]}}
    for keys, url in (
        ({"endpoint": "own.internal:11434"}, "http://own.internal:11434"),
        ({"endpoint": "own.internal"}, "http://own.internal:80"),
        ({"endpoint": "own.internal:443"}, "https://own.internal:443"),
        ({"endpoint": "own.internal", "protocol": "https"}, "https://own.internal:443"),
        ({"endpoint": "own"}, "http://10.0.0.1:81"),
        ({"base_url": "https://own.internal/v7/"}, "https://own.internal/v7"),
    ):
        entry = {"name": "x", "provider_interface": "openai", "model": "m", **keys}
        assert read(old(llm_providers=[entry], endpoints=endpoints)).providers[0].base_url == url


@pytest.mark.arch("1.5.prefixes")
def test_an_unknown_prefix_says_where_it_is_and_what_it_speaks() -> None:
    entry = {"model": "house/writer", "base_url": "http://10.0.0.9:8000", "provider_interface": "groq"}
    one = read(new(model_providers=[entry])).providers[0]
    assert (one.vendor, one.model, one.interface) == ("house", "writer", "groq")


def test_who_is_the_default_provider() -> None:
    assert (found := sample("a_weather.yaml").default_provider) is not None
    assert found.name == "small"
    alone = read(old())
    assert (alone.default_provider, [one.path for one in alone.chosen]) == (
        alone.providers[0],
        ["listener", "llm_providers[0].default"],
    )
    assert read(new()).default_provider is None


def test_models_that_the_house_can_not_name_get_another_name() -> None:
    entries = [
        {"name": "Team One", "provider": "openai", "model": "gpt 4o@eu", "access_key": "k"},
        {"name": "Team-One", "provider": "openai", "model": "gpt 4o@us", "access_key": "k"},
        {"name": "c", "provider": "openai", "model": "gpt-4o", "access_key": "k"},
        {"name": "d", "provider": "openai", "model": "gpt-4o", "access_key": "other"},
    ]
    names = [one.served for one in read(old(llm_providers=entries)).providers]
    assert names == ["Team-One", "Team-One-2", "openai/gpt-4o", "d"]


@pytest.mark.arch("1.6.2.method")
@pytest.mark.parametrize(
    ("listener", "methods", "expected"),
    [
        ("listener", (None, None), ["POST", "POST"]),
        ("listener", (None, "GET"), ["GET", "GET"]),
        ("listener", ("POST", None), ["POST", "GET"]),
        ("listeners", (None, None), ["GET", "GET"]),
        ("listeners", ("POST", None), ["POST", "GET"]),
    ],
)
def test_a_missing_method(listener: str, methods: tuple[str | None, ...], expected: list[str]) -> None:
    targets = [
        target(name=f"t{n}", endpoint={"name": "api", "path": "/p", **({"http_method": method} if method else {})})
        for n, method in enumerate(methods)
    ]
    sections: dict[str, Any] = {"listener": None, listener: {} if listener == "listeners" else {"port": 1}}
    config = read(old(prompt_targets=targets, endpoints=API, **sections))
    assert [one.method for one in config.targets] == expected


@pytest.mark.arch("1.6.2.dispatch")
@pytest.mark.parametrize(
    ("listener", "expected"), [("listener", [True, False, True]), ("listeners", [True, True, True])]
)
def test_a_missing_dispatch(listener: str, expected: list[bool]) -> None:
    targets = [target(name="a"), target(name="b", default=True), target(name="c", auto_llm_dispatch_on_response=True)]
    sections: dict[str, Any] = {"listener": None, listener: {} if listener == "listeners" else {"port": 1}}
    config = read(old(prompt_targets=targets, endpoints=API, **sections))
    assert [one.dispatch for one in config.targets] == expected
    assert config.default_target is config.targets[1]


@pytest.mark.arch("1.6.2.report")
def test_what_was_chosen_is_told() -> None:
    assert [(one.path, one.text) for one in sample("b_currency.yaml").chosen] == [
        ("listener", "a model listener at port 12000 is added"),
        ("prompt_targets[].endpoint.http_method", "GET, of an old file that sets one elsewhere: currencies"),
        ("prompt_targets[].auto_llm_dispatch_on_response", "true, of an old file: rate, currencies"),
        ("prompt_targets[].auto_llm_dispatch_on_response", "false, of an old file: rest"),
    ]


@pytest.mark.arch("1.6.3.union")
def test_an_old_file_may_use_newer_keys() -> None:
    config = read(
        old(
            model_aliases={"fast": {"target": "gpt-4o"}},
            routing={"route_on_user_only": True},
            tracing={"span_attributes": {"static": {"a": "b"}}},
            endpoints=API,
            prompt_targets=[target(endpoint={"name": "api", "path": "/p", "http_headers": {"x-a": "b"}})],
        )
    )
    assert (config.era, config.aliases, config.route_on_user_only) == ("A", {"fast": "gpt-4o"}, True)
    assert config.targets[0].headers == {"x-a": "b"}


@pytest.mark.arch("1.2.warned")
def test_keys_without_effect_are_told() -> None:
    told = {one.path for one in sample("a_everything.yaml").warnings}
    assert told == {
        "mode",
        "listener.message_format",
        "listener.connect_timeout",
        "llm_providers[0].stream",
        "prompt_guards.input_guards.jailbreak.on_exception.forward_to_error_target",
        "prompt_guards.input_guards.jailbreak.on_exception.error_handler",
        "prompt_targets[0].parameters[0].items",
        "prompt_targets[0].parameters[1].minimum",
        "prompt_targets[0].parameters[1].maximum",
        "prompt_targets[0].parameters[3].type",
    }
    assert "overrides.something_new" in {one.path for one in sample("e_gateway.yaml").warnings}


@pytest.mark.arch("4.3.key")
def test_a_key_beside_passthrough_is_ignored_with_a_warning() -> None:
    config = read(new(model_providers=[{"model": "openai/gpt-4o", "access_key": "k", "passthrough_auth": True}]))
    assert (config.providers[0].access_key, config.providers[0].passthrough_auth) == (None, True)
    assert [one.path for one in config.warnings] == ["model_providers[0].access_key"]


@pytest.mark.arch("1.3.types")
@pytest.mark.parametrize(
    ("spelled", "kind"),
    [
        *(("int", "int"), ("integer", "int"), ("float", "float"), ("number", "float"), ("bool", "bool")),
        *(("boolean", "bool"), ("str", "str"), ("String", "str"), ("list", "list"), ("array", "list")),
        *(("dict", "dict"), ("dictionary", "dict"), ("colour", "str")),
    ],
)
def test_types_of_parameters(spelled: str, kind: str) -> None:
    parameters = [{"name": "p", "description": "d", "type": spelled}]
    config = read(old(prompt_targets=[target(parameters=parameters)], endpoints=API))
    assert config.targets[0].target.parameters == (Parameter(name="p", description="d", type=kind),)  # type: ignore[arg-type]
    assert [one.path for one in config.warnings] == (
        ["prompt_targets[0].parameters[0].type"] if spelled == "colour" else []
    )


@pytest.mark.arch("1.3.tool")
def test_a_target_as_a_tool() -> None:
    assert sample("a_weather.yaml").targets[0].target.tool() == {
        "type": "function",
        "function": {
            "name": "forecast",
            "description": "Tell the weather of the next days in a city.",
            "parameters": {
                "properties": {
                    "city": {"type": "str", "description": "The city", "format": "City, State"},
                    "days": {"type": "int", "description": "How many days ahead", "default": 3},
                    "units": {"type": "str", "description": "Celsius or Fahrenheit", "enum": ["metric", "imperial"]},
                },
                "required": ["city"],
            },
        },
    }


def test_endpoints_and_what_is_called_there() -> None:
    config = sample("a_everything.yaml")
    assert config.endpoints["network"].addresses == ("http://10.0.0.1:8080", "http://10.0.0.2:8080")
    assert config.endpoints["network"].connect_timeout == 0.25
    assert config.endpoints["failures"].addresses == ("https://failures.internal:443",)
    assert config.endpoints["failures"].http_host == "failures.example.com"
    assert config.error_target is not None
    assert (config.error_target.endpoint, config.error_target.path) == ("failures", "/failed")
    assert config.jailbreak is not None
    assert config.jailbreak.message == "Let us talk about your network."


def test_limits_of_the_file_and_of_its_providers() -> None:
    assert sample("a_everything.yaml").ratelimits == (
        RateLimit(model="gpt-4o", key="x-tenant", value=None, tokens=10000, seconds=60, path="ratelimits[0]"),
        RateLimit(model="openai/gpt-4o", key="x-tenant", value="acme", tokens=90, seconds=1, path="ratelimits[1]"),
        RateLimit(
            model="openai/gpt-4o",
            key="team",
            value="blue",
            tokens=500,
            seconds=3600,
            path="llm_providers[0].rate_limits",
        ),
    )
    assert [(one.key, one.value) for one in sample("e_gateway.yaml").ratelimits] == [("x-user", None), (None, None)]


def test_preferences_of_the_file_and_of_its_providers() -> None:
    assert sample("d_routing.yaml").routing_preferences == (
        RoutingPreference(
            name="understanding code",
            description="explain what a piece of code does",
            models=("openai/gpt-4o",),
        ),
        RoutingPreference(
            name="writing code",
            description="write functions, fix bugs, make tests",
            models=("anthropic/claude-sonnet-4-5",),
        ),
    )
    config = sample("e_gateway.yaml")
    assert [(one.models, one.prefer) for one in config.routing_preferences] == [
        (("anthropic/claude-sonnet-4-5", "openai/gpt-4o"), "cheapest"),
        (("gpt-4o",), "none"),
    ]
    assert (config.session_ttl, config.route_on_user_only, config.routing_model) == (120.0, True, None)
    assert sample("d_routing.yaml").routing_model == "arch/router"


def test_tracing() -> None:
    assert sample("e_gateway.yaml").tracing == Tracing(
        random_sampling=100.0,
        endpoint="http://collector:4317",
        header_prefixes=("x-acme-",),
        static={"environment": "test"},
    )
    made = sample("a_everything.yaml").tracing
    assert made is not None
    assert made.random_sampling == pytest.approx(10.0)
    other = read(old(tracing={"random_sampling": 1}), OTEL_TRACING_GRPC_ENDPOINT="http://10.0.0.1:1").tracing
    assert other is not None
    assert other.endpoint == "http://10.0.0.1:1"


def test_an_error_target_may_be_named_by_its_host() -> None:
    endpoints = {"failures": {"endpoint": "failed.internal"}}
    told = read(old(endpoints=endpoints, error_target={"endpoint": {"name": "failed.internal"}})).error_target
    assert told is not None
    assert (told.endpoint, told.path) == ("failures", "/")


def test_an_address_may_be_an_endpoint_of_the_file() -> None:
    endpoints = {"own": {"endpoint": "127.0.0.1:8001"}}
    for entry in (
        {"model": "mistral/m", "base_url": "http://own"},
        {"name": "x", "provider": "local", "model": "m", "endpoint": "own"},
    ):
        assert read(old(endpoints=endpoints, llm_providers=[entry])).providers[0].base_url == "http://127.0.0.1:8001"


def test_a_routing_model_that_the_makers_host_is_replaced_by_the_matcher() -> None:
    for sections in ({"overrides": {"llm_routing_model": "Plano-Orchestrator"}}, {"routing": {"model": "Arch-Router"}}):
        config = read(new(**sections))
        assert (config.routing_model, len(config.warnings)) == (None, 1)
    routing = {"llm_provider": "arch-router", "model": "Arch-Router"}
    entry = {"name": "arch-router", "model": "arch/org/Router-1.5B.gguf:Q4", "base_url": "http://10.0.0.1:1"}
    assert read(new(routing=routing, model_providers=[entry])).routing_model == "arch/org/Router-1.5B.gguf:Q4"
    named = {"router_model": "arch/org/Router-1.5B.gguf:Q4"}
    assert read(new(overrides=named, model_providers=[entry])).routing_model == named["router_model"]


def test_older_names_of_newer_things() -> None:
    preference = {"name": "n", "description": "d", "models": ["gpt-4o"], "selection_policy": {"prefer": "fastest"}}
    config = read(
        new(
            state_storage_v1_responses={"type": "memory"},
            model_metrics_sources=[
                {"type": "digitalocean_pricing", "refresh_interval": 60},
                {"type": "prometheus_metrics", "url": "http://p:9090", "query": "x"},
            ],
            routing_preferences=[preference],
        )
    )
    assert config.routing_preferences[0].prefer == "fastest"
    assert "state_storage_v1_responses" in {one.path for one in config.warnings}


def test_older_words_for_truth() -> None:
    assert read(old(llm_providers=[{"model": "openai/x", "access_key": "k", "default": "yes"}])).providers[0].default


@pytest.mark.parametrize("name", NAMES)
def test_no_credential_in_a_representation(name: str) -> None:
    shown = repr(sample(name))
    assert SECRET not in shown
    assert "sk-written" not in shown
