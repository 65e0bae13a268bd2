"""The era of a file, found from its shape (contracts/arch.md §1.6)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from promptd.dialects.arch.config import Era

_NEWEST: Final = frozenset({"model_providers", "agents", "filters", "prompt_caching", "model_metrics_sources"})
_ROUTED: Final = frozenset(
    {"model_aliases", "routing_preferences", "routing", "state_storage", "state_storage_v1_responses"}
)


def era_of(tree: Mapping[str, Any]) -> Era:
    """A and B have a root `listener`, C and D `listeners` as an object, E as a list."""
    if "listener" in tree:
        return "B" if _second(tree) else "A"
    version = str(tree.get("version", "")).removeprefix("v")
    if isinstance(tree.get("listeners"), list) or version.startswith("0.4") or _NEWEST & set(tree):
        return "E"
    providers = tree.get("llm_providers", [])
    prefixed = any("/" in one["model"] and "provider" not in one for one in providers)
    routed = bool(_ROUTED & set(tree)) or any("routing_preferences" in one for one in providers)
    return "D" if version.startswith("0.3") or prefixed or routed else "C"


def _second(tree: Mapping[str, Any]) -> bool:
    """Whether an old file has something that came with 0.1.7 to 0.1.9."""
    targets = [one["endpoint"] for one in tree.get("prompt_targets", []) if "endpoint" in one]
    providers = tree.get("llm_providers", [])
    return (
        any("http_method" in one or "{" in one["path"] for one in targets)
        or any("provider_interface" in one or "endpoint" in one for one in providers)
        or any("protocol" in one for one in tree.get("endpoints", {}).values())
        or "trace_arch_internal" in tree.get("tracing", {})
    )
