"""What stops the start, with the original's texts and the place."""

from __future__ import annotations

from typing import Any

import pytest

from promptd.core.errors import SettingsError
from tests.dialects.arch.files import new, old, read, target

API = {"api": {"endpoint": "127.0.0.1:8080"}}
KEY = {"access_key": "k"}
LATER = "not supported yet"


def refused(tree: dict[str, Any]) -> SettingsError:
    with pytest.raises(SettingsError) as caught:
        read(tree)
    return caught.value


def providers(*entries: dict[str, Any]) -> dict[str, Any]:
    return new(model_providers=[{**KEY, **entry} for entry in entries])


@pytest.mark.arch("1.5.errors", "1.2.unknown")
def test_the_form_of_an_error() -> None:
    assert refused(old(listener={"addres": "x"})).message.splitlines() == [
        "Additional properties are not allowed ('addres' was unexpected), did you mean \"address\"?",
        "Location: listener → addres",
        "Value: …",
    ]
    assert refused(old(listener={"port": "ten"})).message.splitlines() == [
        "the value is not of type 'integer'",
        "Location: listener → port",
        "Value: ten",
    ]
    assert refused(old(version=None)).message.splitlines()[0] == "'version' is a required property"
    assert refused(old(llm_providers=[{"name": "x", "provider": "openai"}])).message.splitlines() == [
        "'model' is a required property",
        "Location: llm_providers → 0",
        "Value: {name, provider}",
    ]


@pytest.mark.arch("1.2.unknown")
@pytest.mark.parametrize(
    ("tree", "key", "hint"),
    [
        (old(listner={}), "listner", "listener"),
        (old(prompt_target=[]), "prompt_target", "prompt_targets"),
        (old(endpoints={"api": {"endpont": "x", "endpoint": "y"}}), "endpoints.api.endpont", "endpoint"),
        (providers({"model": "openai/x", "acces_key": "s"}), "model_providers[0].acces_key", "access_key"),
        (new(listeners=[{"type": "model", "name": "x", "prot": 1}]), "listeners[0].prot", "port"),
        (new(listeners={"egres_traffic": {}}), "listeners.egres_traffic", "egress_traffic"),
        (new(tracing={"span_attributes": {"statc": {}}}), "tracing.span_attributes.statc", "static"),
        (new(filter_chain=[]), "filter_chain", "filters"),
        (new(zzzzzz=[]), "zzzzzz", None),
        (new(endpoints={"0": {"x": 1, "endpoint": "h"}}), "endpoints.0.x", None),
        (new(endpoints={"00": {"endpont": "h"}}), "endpoints.00.endpont", "endpoint"),
    ],
)
def test_unknown_keys(tree: dict[str, Any], key: str, hint: str | None) -> None:
    error = refused(tree)
    assert error.key == key
    assert "was unexpected" in error.message
    assert (f'did you mean "{hint}"?' in error.message) if hint else ("did you mean" not in error.message)


@pytest.mark.arch("1.2.providers", "1.3.default", "1.3.endpoint", "1.5.texts")
@pytest.mark.parametrize(
    ("tree", "key", "text"),
    [
        # providers
        (old(llm_providers=[]), "llm_providers", "There must be at least one LLM Provider"),
        (old(llm_providers=None), "llm_providers", "There must be at least one LLM Provider"),
        (
            providers({"model": "openai/a", "default": True}, {"model": "openai/b", "default": True}),
            "model_providers[1].default",
            "There must be at most one default LLM Provider",
        ),
        (
            providers({"model": "openai/a", "name": "x"}, {"model": "openai/b", "name": "x"}),
            "model_providers[1].name",
            "'x' is not a unique name",
        ),
        (
            old(llm_providers=[{"name": "x", "model": "gpt-4o"}]),
            "llm_providers[0].model",
            "Please provide provider interface as part of model name",
        ),
        (
            providers({"model": "openai/gpt-4o", "provider_interface": "openai"}),
            "model_providers[0].provider_interface",
            "Please provide provider interface as part of model name",
        ),
        (providers({"model": "house/x"}), "model_providers[0].model", "Must provide base_url and provider_interface"),
        (
            providers({"model": "house/x", "base_url": "http://a"}),
            "model_providers[0].model",
            "Must provide base_url and provider_interface",
        ),
        (
            providers({"model": "house/x", "provider_interface": "openai"}),
            "model_providers[0].model",
            "Must provide base_url and provider_interface",
        ),
        (providers({"model": "ollama/x"}), "model_providers[0].model", "Must provide base_url"),
        (providers({"model": "azure_openai/x"}), "model_providers[0].model", "Must provide base_url"),
        (providers({"model": "amazon_bedrock/x"}), "model_providers[0].model", "Must provide base_url"),
        (
            providers({"model": "openai/a"}, {"model": "openai/a", "name": "b"}),
            "model_providers[1].model",
            "Duplicate model_id",
        ),
        (
            providers({"model": "openai/a"}, {"model": "groq/a"}),
            "model_providers[1].model",
            "Duplicate model_id",
        ),
        (
            providers({"model": "openai/a"}, {"model": "groq/b", "name": "a"}),
            "model_providers[1].name",
            "Duplicate model_id",
        ),
        (providers({"model": "openai/*", "default": True}), "model_providers[0].default", "wildcard"),
        (
            providers({"model": "openai/*", "routing_preferences": [{"name": "n", "description": "d"}]}),
            "model_providers[0].routing_preferences",
            "wildcard",
        ),
        (providers({"model": "openai/gpt-*"}), "model_providers[0].model", "<provider>/*"),
        (providers({"model": "openai/"}), "model_providers[0].model", "<provider>/<model>"),
        (new(llm_providers=[{"model": "openai/x"}]), "llm_providers", "not both"),
        (
            providers({"model": "openai/x", "base_url": "http://a", "endpoint": "a"}),
            "model_providers[0].endpoint",
            "not both",
        ),
        (providers({"model": "openai/x", "base_url": "ftp://a"}), "model_providers[0].base_url", "http(s)://host"),
        (
            providers({"model": "openai/x", "base_url": "http://a:99999"}),
            "model_providers[0].base_url",
            "http(s)://host",
        ),
        (
            providers({"model": "openai/x", "base_url": "http://u:p@a"}),
            "model_providers[0].base_url",
            "without user name",
        ),
        (providers({"model": "openai/x", "access_key": "a b"}), "model_providers[0].access_key", "no spaces"),
        (providers({"model": "openai/x", "headers": {"a b": "c"}}), "model_providers[0].headers", ""),
        (providers({"model": "openai/x", "headers": {"a": "c\nd"}}), "model_providers[0].headers.a", ""),
        # targets
        (
            old(prompt_targets=[target()]),
            "prompt_targets[0].endpoint.name",
            "Unknown endpoint api, please add it in endpoints section",
        ),
        (
            old(prompt_targets=[target(), target()], endpoints=API),
            "prompt_targets[1].name",
            "'t' is not a unique name",
        ),
        (
            old(prompt_targets=[target(default=True), target(name="u", default=True)], endpoints=API),
            "prompt_targets[1].default",
            "at most one default prompt target",
        ),
        (
            old(prompt_targets=[{"name": "t", "description": "d"}], endpoints=API),
            "prompt_targets[0]",
            "'endpoint' is a required property",
        ),
        (
            old(
                prompt_targets=[target(parameters=[{"name": "p", "description": "", "type": "str"}] * 2)], endpoints=API
            ),
            "prompt_targets[0].parameters[1].name",
            "'p' is not a unique name",
        ),
        (
            old(prompt_targets=[target(endpoint={"name": "api", "path": "http://evil/"})], endpoints=API),
            "prompt_targets[0].endpoint.path",
            "without the host",
        ),
        (old(error_target={"endpoint": {"name": "x"}}), "error_target.endpoint.name", "Unknown endpoint x"),
        (old(endpoints={"a b": {"endpoint": "x"}}), "endpoints.a b", "expected a name"),
        (old(endpoints={"a": {"endpoint": "x/y"}}), "endpoints.a.endpoint", "without a path"),
        (old(endpoints={"a": {"endpoint": ["x", "x:0"]}}), "endpoints.a.endpoint[1]", "host[:port]"),
        (old(endpoints={"a": {"endpoint": "http://x", "protocol": "https"}}), "endpoints.a.endpoint", "protocol"),
        (old(endpoints={"a": {"endpoint": "x", "connect_timeout": "0s"}}), "endpoints.a.connect_timeout", "above 0"),
        (old(endpoints={"a": {"endpoint": "x", "connect_timeout": "5 s"}}), "endpoints.a.connect_timeout", ""),
        # listeners
        (old(listener=None), "listeners", "'listeners' is a required property"),
        (old(listeners={}), "listener", "not both"),
        (
            new(listeners=[{"type": "model", "name": "a"}, {"type": "model", "name": "b", "port": 1}]),
            "listeners[1]",
            "at most one model listener",
        ),
        (
            new(listeners=[{"type": "prompt", "name": "a"}, {"type": "prompt", "name": "a", "port": 1}]),
            "listeners[1].name",
            "no other listener",
        ),
        (
            new(listeners=[{"type": "model", "name": "a", "port": 10000}, {"type": "prompt", "name": "b"}]),
            "listeners",
            "port 10000",
        ),
        (new(listeners=[{"name": "a"}]), "listeners[0]", "'type' is a required property"),
        (new(listeners=[{"type": "model", "name": "a", "timeout": "3d"}]), "listeners[0].timeout", ""),
        # the rest
        (
            new(model_aliases={"fast": {"target": "nobody"}}),
            "model_aliases.fast.target",
            "Model alias 'fast' targets 'nobody' which is not defined as a model",
        ),
        (
            new(routing_preferences=[{"name": "n", "description": "d", "models": ["openai/gpt-4o"]}] * 2),
            "routing_preferences[1].name",
            "Duplicate routing preference name",
        ),
        (
            providers(
                {"model": "openai/a", "routing_preferences": [{"name": "n", "description": "d"}]},
                {"model": "openai/b", "routing_preferences": [{"name": "n", "description": "d"}]},
            ),
            "model_providers[1].routing_preferences[0].name",
            "Duplicate routing preference name",
        ),
        (
            new(routing_preferences=[{"name": "n", "description": "d", "models": ["nobody"]}]),
            "routing_preferences[0].models[0]",
            "not defined as a model",
        ),
        (
            new(routing_preferences=[{"name": "n", "description": "d", "models": []}]),
            "routing_preferences[0].models",
            "",
        ),
        (
            new(version="v0.3.0", routing_preferences=[{"name": "n", "description": "d", "models": ["gpt-4o"]}]),
            "version",
            "v0.4.0",
        ),
        (
            new(
                routing_preferences=[
                    {"name": "n", "description": "d", "models": ["gpt-4o"], "selection_policy": {"prefer": "cheapest"}}
                ]
            ),
            "routing_preferences[0].selection_policy.prefer",
            "source of type cost",
        ),
        (
            new(
                model_metrics_sources=[{"type": "cost", "provider": "models.dev"}],
                routing_preferences=[
                    {"name": "n", "description": "d", "models": ["gpt-4o"], "selection_policy": {"prefer": "fastest"}}
                ],
            ),
            "routing_preferences[0].selection_policy.prefer",
            "source of type latency",
        ),
        (
            new(model_metrics_sources=[{"type": "cost", "provider": "models.dev"}] * 2),
            "model_metrics_sources[1]",
            "at most one source of type cost",
        ),
        (
            new(model_metrics_sources=[{"type": "latency", "provider": "prometheus", "url": "http://p"}]),
            "model_metrics_sources[0].query",
            "'query' is a required property",
        ),
        (
            new(model_metrics_sources=[{"type": "latency", "provider": "models.dev"}]),
            "model_metrics_sources[0].provider",
            "prometheus",
        ),
        (new(routing={"llm_provider": "nobody"}), "routing.llm_provider", "not defined as a model"),
        (new(tracing={"opentracing_grpc_endpoint": "https://c:1"}), "tracing.opentracing_grpc_endpoint", "http://"),
        (new(tracing={"opentracing_grpc_endpoint": "http://c:1/v1"}), "tracing.opentracing_grpc_endpoint", "no path"),
        (new(version="v0.9"), "version", ""),
        (old(prompt_guards={}), "prompt_guards", "'input_guards' is a required property"),
        (
            old(prompt_guards={"input_guards": {"jailbreak": {}}}),
            "prompt_guards.input_guards.jailbreak",
            "on_exception",
        ),
        (old(ratelimits=[{"model": "x"}]), "ratelimits[0]", "'limit' is a required property"),
        (old(ratelimits=[{"model": "x", "limit": {"tokens": 0, "unit": "day"}}]), "ratelimits[0].limit.tokens", ""),
        (old(ratelimits=[{"model": "x", "limit": {"tokens": 1, "unit": "year"}}]), "ratelimits[0].limit.unit", ""),
        (new(agents=[{"id": "a", "url": "x"}] * 2), "agents[1].id", "Duplicate agent id"),
        (
            new(agents=[{"id": "a", "url": "x"}], filters=[{"id": "a", "url": "y"}]),
            "filters[0].id",
            "Duplicate agent id",
        ),
        (
            new(listeners=[{"type": "model", "name": "m", "output_filters": ["x"]}]),
            "listeners[0].output_filters[0]",
            "references output_filters id 'x'",
        ),
        (
            new(listeners=[{"type": "model", "name": "m", "input_filters": ["x"]}]),
            "listeners[0].input_filters[0]",
            "references input_filters id 'x'",
        ),
        (
            new(
                agents=[{"id": "a", "url": "x"}],
                listeners=[
                    {"type": "agent", "name": "m", "agents": [{"id": "a", "description": "d", "input_filters": ["x"]}]}
                ],
            ),
            "listeners[0].agents[0].input_filters[0]",
            "references input_filters id 'x'",
        ),
        (
            new(listeners=[{"type": "agent", "name": "m", "agents": [{"id": "a", "description": "d"}]}]),
            "listeners[0].agents[0].id",
            "not defined in agents",
        ),
    ],
)
def test_checks_of_meaning(tree: dict[str, Any], key: str, text: str) -> None:
    error = refused(tree)
    assert (error.key, text in error.message) == (key, True), error.message
    if not error.message.startswith("There must be at least"):
        assert "\nLocation: " in error.message


@pytest.mark.arch("6.2.later")
@pytest.mark.parametrize(
    ("sections", "key"),
    [
        ({"agents": [{"id": "a", "url": "http://a"}]}, "agents"),
        ({"filters": [{"id": "f", "url": "http://f"}]}, "filters"),
        ({"listeners": [{"type": "agent", "name": "a"}]}, "listeners[0].type"),
        (
            {"listeners": [{"type": "prompt", "name": "a", "output_filters": []}]},
            "listeners[0].output_filters",
        ),
        ({"prompt_caching": {"enabled": True}}, "prompt_caching.enabled"),
        ({"routing": {"routing_budget": {"max_switch_spend_pct": 5}}}, "routing.routing_budget"),
        ({"routing": {"session_cache": {"type": "redis", "url": "redis://x"}}}, "routing.session_cache.type"),
        ({"overrides": {"disable_signals": False}}, "overrides.disable_signals"),
        ({"overrides": {"use_agent_orchestrator": True}}, "overrides.use_agent_orchestrator"),
        (
            {"overrides": {"use_agent_orchestrator": True}, "prompt_targets": [{"name": "t", "description": "d"}]},
            "overrides.use_agent_orchestrator",
        ),
        ({"overrides": {"upstream_tls_ca_path": "/ca"}}, "overrides.upstream_tls_ca_path"),
        ({"state_storage": {"type": "postgres", "connection_string": "postgres://x"}}, "state_storage.type"),
        ({"tracing": {"exporters": [{"type": "posthog", "url": "x", "api_key": "y"}]}}, "tracing.exporters"),
        ({"endpoints": {"a": {"endpoint": "x", "prefix_affinity": True}}}, "endpoints.a.prefix_affinity"),
    ],
)
def test_what_comes_later_is_refused_with_its_path(sections: dict[str, Any], key: str) -> None:
    error = refused(new(**sections))
    assert error.key == key
    assert LATER in error.message
    assert key in error.message


def test_keys_that_look_like_one_number_are_no_trap() -> None:
    for first, second in (("0", "00"), ("00", "0")):
        assert (
            "was unexpected"
            in refused(old(endpoints={first: {"endpoint": "h"}, second: {"x": 1, "endpoint": "h"}})).message
        )
        assert "not of type" in refused(old(endpoints={first: {"endpoint": "h"}, second: 5})).message


def test_files_that_say_no_to_newer_things_are_taken() -> None:
    read(new(prompt_caching={"enabled": False}, overrides={"disable_signals": True, "use_agent_orchestrator": False}))
