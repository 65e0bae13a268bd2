"""Which model answers: aliases, preferences, limits (contracts/arch.md §1.2, §1.5)."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from promptd.dialects.arch.config import Provider, RateLimit, RoutingPreference, Warned
from promptd.dialects.arch.faults import fault, shown
from promptd.dialects.yaml_text import Path, spelled

_UNITS: Final = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86_400.0}
_VERSION: Final = re.compile(r"v?0\.(?P<minor>\d)")
_SOURCES: Final = {"cheapest": "cost", "fastest": "latency"}


def declared(name: str, providers: Sequence[Provider]) -> Provider | None:
    """The provider that a name means: its own, an id, a bare id, or one that a wildcard covers."""
    for one in providers:
        if name in (one.name, one.id) or (name == one.model and not one.wildcard):
            return one
    vendor, slash, _ = name.partition("/")
    return next((one for one in providers if slash and one.wildcard and one.vendor == vendor), None)


def make_aliases(tree: Mapping[str, Any], providers: Sequence[Provider]) -> dict[str, str]:
    """Raises `SettingsError`."""
    aliases = {}
    for alias, entry in tree.get("model_aliases", {}).items():
        path: Path = ("model_aliases", alias, "target")
        target = entry["target"]
        if not alias.strip() or not alias.isprintable():
            raise fault("expected a name", ("model_aliases", alias))
        if declared(target, providers) is None:
            known = ", ".join(one.id for one in providers)
            raise fault(
                f"Model alias '{shown(alias)}' targets '{shown(target)}' which is not defined as a model. "
                f"Available models: {shown(known)}",
                path,
                target,
            )
        aliases[alias] = target
    return aliases


def make_preferences(tree: Mapping[str, Any], providers: Sequence[Provider], key: str) -> tuple[RoutingPreference, ...]:
    """Those of the file and those inside of its providers. Raises `SettingsError`."""
    found: list[tuple[Path, RoutingPreference]] = []
    version = _VERSION.match(str(tree["version"]))
    for index, entry in enumerate(tree.get("routing_preferences", [])):
        path: Path = ("routing_preferences", index)
        if version is None or int(version["minor"]) < 4:
            raise fault("routing_preferences need version v0.4.0 or above", ("version",), tree["version"])
        prefer = entry.get("selection_policy", {}).get("prefer", "none")
        _check_source(prefer, tree, (*path, "selection_policy", "prefer"))
        for place, name in enumerate(entry["models"]):
            if declared(name, providers) is None:
                raise fault(
                    f"Model '{shown(name)}' of a routing preference is not defined as a model",
                    (*path, "models", place),
                    name,
                )
        models = tuple(dict.fromkeys(entry["models"]))
        preference = RoutingPreference(
            name=entry["name"], description=entry["description"], models=models, prefer=prefer
        )
        found.append((path, preference))
    for number, (provider, given) in enumerate(zip(providers, tree[key], strict=True)):
        for index, entry in enumerate(given.get("routing_preferences", [])):
            preference = RoutingPreference(name=entry["name"], description=entry["description"], models=(provider.id,))
            found.append(((key, number, "routing_preferences", index), preference))
    names: set[str] = set()
    for path, one in found:
        if one.name in names:
            raise fault(
                f"Duplicate routing preference name '{shown(one.name)}', please give each a name of its own",
                (*path, "name"),
            )
        names.add(one.name)
    return tuple(one for _, one in found)


def _check_source(prefer: str, tree: Mapping[str, Any], path: Path) -> None:
    wanted = _SOURCES.get(prefer)
    if wanted is not None and all(_kind(one)[0] != wanted for one in tree.get("model_metrics_sources", [])):
        raise fault(f"{prefer!r} needs a source of type {wanted} in model_metrics_sources", path, prefer)


def _kind(source: Mapping[str, Any]) -> tuple[str, str | None]:
    """Type and provider of a source, of which older files name one only."""
    older = {
        "digitalocean_pricing": ("cost", "digitalocean"),
        "cost_metrics": ("cost", "models.dev"),
        "prometheus_metrics": ("latency", "prometheus"),
    }
    return older.get(source["type"]) or (source["type"], source.get("provider"))


def check_sources(tree: Mapping[str, Any]) -> None:
    """Raises `SettingsError`."""
    fits = {"cost": ("digitalocean", "models.dev"), "latency": ("prometheus",)}
    seen: set[str] = set()
    for index, one in enumerate(tree.get("model_metrics_sources", [])):
        path: Path = ("model_metrics_sources", index)
        kind, provider = _kind(one)
        if kind in seen:
            raise fault(f"There must be at most one source of type {kind}", path)
        seen.add(kind)
        if provider is None:
            raise fault("'provider' is a required property", (*path, "provider"))
        if provider not in fits[kind]:
            raise fault(f"a source of type {kind} is of {' or '.join(fits[kind])}", (*path, "provider"), provider)
        for needed in ("url", "query") if kind == "latency" else ():
            if needed not in one:
                raise fault(f"'{needed}' is a required property", (*path, needed))


def make_limits(
    tree: Mapping[str, Any], providers: Sequence[Provider], aliases: Mapping[str, str], key: str
) -> tuple[tuple[RateLimit, ...], list[Warned]]:
    """Those of the file and those inside of its providers, and what makes no sense of them."""
    limits: list[RateLimit] = []
    warnings: list[Warned] = []
    for index, entry in enumerate(tree.get("ratelimits", [])):
        selector = entry.get("selector", {})
        limit = _limit(entry, entry["model"], selector.get("key"), selector.get("value"), ("ratelimits", index))
        if declared(entry["model"], providers) is None and entry["model"] not in aliases:
            warnings.append(Warned(f"{limit.path}.model", "is no model of this file: nothing is limited"))
        limits.append(limit)
    for number, (provider, given) in enumerate(zip(providers, tree[key], strict=True)):
        entries = given.get("rate_limits", [])
        for index, entry in enumerate(entries if isinstance(entries, list) else [entries]):
            header = entry.get("selector", {}).get("http_header", {})
            path: Path = (key, number, "rate_limits", *([index] if isinstance(entries, list) else []))
            limits.append(_limit(entry, provider.id, header.get("name"), header.get("value"), path))
    seen: set[tuple[str, str | None, str | None]] = set()
    for one in limits:
        if (one.model, one.key, one.value) in seen:
            warnings.append(Warned(one.path, "is a second limit for the same model and selector: both hold"))
        seen.add((one.model, one.key, one.value))
    return tuple(limits), warnings


def _limit(entry: Mapping[str, Any], model: str, key: str | None, value: str | None, path: Path) -> RateLimit:
    return RateLimit(
        model=model,
        key=key.lower() if key else None,
        value=None if value in (None, "", "*") else value,
        tokens=int(entry["limit"]["tokens"]),
        seconds=_UNITS[entry["limit"]["unit"]],
        path=spelled(path),
    )
