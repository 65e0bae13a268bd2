"""Whether a service that promises to keep to a schema can be given this one."""

from __future__ import annotations

from typing import Any, Final

from promptd.core.descriptors.subschemas import subschemas

_LIMITS: Final = frozenset(
    {
        *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "pattern"),
        *("minItems", "maxItems", "minProperties", "maxProperties"),
    }
)


def strict_compatible(schema: dict[str, Any]) -> bool:
    """Every object closed, all its properties required, and no limit on a value anywhere (trustgraph.md §4.4)."""
    return all(_is_strict(part) for part in subschemas(schema))


def _is_strict(part: dict[str, Any]) -> bool:
    if part.keys() & _LIMITS:
        return False
    said = part.get("type")
    if said != "object" and not (isinstance(said, list) and "object" in said) and "properties" not in part:
        return True
    properties, required = part.get("properties"), part.get("required", [])
    if not isinstance(properties, dict) or not isinstance(required, list):
        return False
    return part.get("additionalProperties") is False and all(name in required for name in properties)
