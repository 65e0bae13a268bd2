"""From the text of a file, of any era, to one `ArchConfig`. Pure: variables come in as a mapping."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from promptd.core.errors import InvalidRequest, SettingsError
from promptd.dialects.arch.agents import check_agents
from promptd.dialects.arch.config import ArchConfig, Jailbreak, Listener, PromptTarget, Provider, Tracing, Warned
from promptd.dialects.arch.durations import positive
from promptd.dialects.arch.eras import era_of
from promptd.dialects.arch.expanding import expand
from promptd.dialects.arch.faults import fault
from promptd.dialects.arch.listeners import make_listeners
from promptd.dialects.arch.providers import checked_url, make_providers
from promptd.dialects.arch.routing import check_sources, declared, make_aliases, make_limits, make_preferences
from promptd.dialects.arch.schema import checked, idle, refuse_later, schema
from promptd.dialects.arch.targets import make_endpoints, make_error_target, make_targets
from promptd.dialects.yaml_text import read as read_yaml
from promptd.dialects.yaml_text import spelled

#: names of files in a folder, in the order in which they are looked for
FILE_NAMES: Final = ("arch_config.yaml", "config.yaml", "plano_config.yaml")
_MARKS: Final = frozenset({"listener", "listeners", "llm_providers", "model_providers", "prompt_targets"})
_ROOT: Final = re.compile(r"^[\"']?([A-Za-z_]+)[\"']?[ \t]*:(?:\s|$)", re.MULTILINE)
_COLLECTOR: Final = "http://localhost:4317"
#: routing models that the original's makers host for its users
_HOSTED: Final = frozenset({"arch-router", "plano-orchestrator"})


def is_arch(text: str, foreign: Collection[str]) -> bool:
    """Whether a YAML text looks like an Arch file, and has none of the `foreign` keys at its root that it could not have."""
    try:
        tree = read_yaml(text, name="").value
        keys = set(tree) if isinstance(tree, dict) else set()
    except InvalidRequest:  # whose it is decides who tells what is wrong with it
        keys = set(_ROOT.findall(text))
    return bool(keys & _MARKS) and not keys & (set(foreign) - set(schema()["properties"]))


def read(text: str, *, name: str, variables: Mapping[str, str]) -> ArchConfig:
    """Raises `SettingsError`: a message, `Location:` and `Value:`, and never what a variable holds."""
    try:
        tree = read_yaml(text, name=name).value
    except InvalidRequest as error:
        raise SettingsError(error.message) from None
    if not isinstance(tree, dict):
        raise SettingsError(f"{name}: expected a mapping of settings")
    written = _without_nulls(tree)
    tree = checked(expand(written, variables), written)
    check_agents(tree)
    check_sources(tree)
    refuse_later(tree)
    return _made(tree, variables)


def _without_nulls(value: Any) -> Any:
    """A key that says nothing is as good as none."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _made(tree: Mapping[str, Any], variables: Mapping[str, str]) -> ArchConfig:
    era = era_of(tree)
    listeners, added = make_listeners(tree)
    endpoints = make_endpoints(tree)
    addresses = {name: one.addresses for name, one in endpoints.items()}
    providers, told, single = make_providers(tree, era, addresses)
    key = "model_providers" if "model_providers" in tree else "llm_providers"
    overrides, routing = tree.get("overrides", {}), tree.get("routing", {})
    if "upstream_connect_timeout" in overrides:
        wait = positive(overrides["upstream_connect_timeout"], ("overrides", "upstream_connect_timeout"))
        providers = tuple(one.reached_in(wait) for one in providers)
    targets, strange, decided = make_targets(tree, era, endpoints)
    aliases = make_aliases(tree, providers)
    limits, doubtful = make_limits(tree, providers, aliases, key)
    tracing, unused = _tracing(tree, variables)
    router, absent = _routing_model(tree, providers)
    guard = tree.get("prompt_guards")
    warnings = [*idle(tree), *told, *strange, *doubtful, *unused, *absent, *_without_effect(tree, targets, listeners)]
    return ArchConfig(
        era=era,
        version=str(tree["version"]),
        listeners=listeners,
        providers=providers,
        endpoints=endpoints,
        targets=targets,
        system_prompt=tree.get("system_prompt"),
        aliases=aliases,
        ratelimits=limits,
        routing_preferences=make_preferences(tree, providers, key),
        routing_model=router,
        route_on_user_only=routing.get("route_on_user_only", False),
        session_ttl=float(routing.get("session_ttl_seconds", 600.0)),
        jailbreak=_jailbreak(guard["input_guards"]["jailbreak"]["on_exception"]) if guard is not None else None,
        error_target=make_error_target(tree, endpoints),
        intent_threshold=float(overrides.get("prompt_target_intent_matching_threshold", 0.8)),
        optimize_context_window=overrides.get("optimize_context_window", False),
        tracing=tracing,
        warnings=tuple(warnings),
        chosen=(*added, *single, *decided),
    )


def _without_effect(
    tree: Mapping[str, Any], targets: Sequence[PromptTarget], listeners: Sequence[Listener]
) -> Iterator[Warned]:
    """What is right, and yet comes to nothing here."""
    if targets and not any(one.kind == "prompt" for one in listeners):
        yield Warned("prompt_targets", "have no effect: there is no prompt listener")
    if tree.get("model_metrics_sources"):
        yield Warned("model_metrics_sources", "prices and latencies are those that promptd knows itself")
    for name in ("state_storage", "state_storage_v1_responses"):
        if name in tree:
            yield Warned(name, "conversations are kept in promptd's own store")


def _jailbreak(entry: Mapping[str, Any]) -> Jailbreak:
    return Jailbreak(message=entry["message"]) if "message" in entry else Jailbreak()


def _routing_model(tree: Mapping[str, Any], providers: tuple[Provider, ...]) -> tuple[str | None, list[Warned]]:
    """The first that is declared. Raises `SettingsError` where there is one, but not that."""
    routing, overrides = tree.get("routing", {}), tree.get("overrides", {})
    places = (
        (("overrides", "llm_routing_model"), overrides.get("llm_routing_model")),
        (("overrides", "router_model"), overrides.get("router_model")),
        (("routing", "llm_provider"), routing.get("llm_provider")),
        (("routing", "model"), routing.get("model")),
    )
    given = [(path, name) for path, name in places if name is not None]
    for _, name in given:
        found = declared(name, providers)
        if found is not None:
            return (name if found.wildcard else found.id), []
    for path, name in given:
        if name.lower() not in _HOSTED:
            raise fault("the routing model is not defined as a model", path, name)
    return None, [Warned(spelled(path), "is not declared, so the built-in matcher routes") for path, _ in given]


def _tracing(tree: Mapping[str, Any], variables: Mapping[str, str]) -> tuple[Tracing | None, list[Warned]]:
    if "tracing" not in tree:
        return None, []
    given = tree["tracing"]
    unused = []
    if "sampling_rate" in given and "random_sampling" in given:
        unused.append(Warned("tracing.sampling_rate", "has no effect beside random_sampling"))
    if given.get("trace_arch_internal"):
        unused.append(Warned("tracing.trace_arch_internal", "has no effect: there are no internal hops"))
    endpoint = given.get("opentracing_grpc_endpoint") or variables.get("OTEL_TRACING_GRPC_ENDPOINT") or _COLLECTOR
    path = ("tracing", "opentracing_grpc_endpoint")
    checked_url(endpoint, path)
    if not endpoint.startswith("http://") or endpoint.rstrip("/").count("/") > 2:
        raise fault("expected an address that starts with http:// and has no path", path)
    attributes = given.get("span_attributes", {})
    tracing = Tracing(
        random_sampling=float(given.get("random_sampling", 100 * given.get("sampling_rate", 0.0))),
        endpoint=endpoint.rstrip("/"),
        header_prefixes=tuple(one.lower() for one in attributes.get("header_prefixes", ())),
        static=attributes.get("static", {}),
    )
    return tracing, unused
