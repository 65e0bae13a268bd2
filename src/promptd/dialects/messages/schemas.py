"""JSON Schemas as the service's structured output takes them.

It knows a part of JSON Schema only and refuses the rest. What it would refuse is left out here; the answer is checked
against the whole schema by whoever asked for it.
"""

from __future__ import annotations

from typing import Any, Final

_BOUNDS: Final = frozenset(
    {
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "maxItems",
        "uniqueItems",
        "minProperties",
        "maxProperties",
        "contains",
        "patternProperties",
        "propertyNames",
    }
)
_NAMED: Final = ("properties", "$defs", "definitions")
_LISTED: Final = ("anyOf", "allOf", "oneOf", "prefixItems")


def expressible(schema: dict[str, Any]) -> bool:
    """Whether the service can keep to `schema` at all: it knows no object whose members are not named."""
    if schema.get("additionalProperties") not in (None, True, False):
        return False
    if (
        schema.get("type") == "object"
        and "properties" not in schema
        and schema.get("additionalProperties") is not False
    ):
        return not {"anyOf", "allOf", "oneOf", "$ref"}.isdisjoint(schema)
    named = [below for name in _NAMED for below in _values(schema.get(name))]
    listed = [below for name in _LISTED for below in _values(schema.get(name))]
    return all(expressible(below) for below in [*named, *listed, schema.get("items")] if isinstance(below, dict))


def _values(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []


def narrowed(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema` with every object closed and without bounds. Each answer that fits it has the schema's form."""
    wire: dict[str, Any] = {}
    for name, value in schema.items():
        if name in _BOUNDS or (name == "minItems" and value not in (0, 1)):
            continue
        if name in _NAMED and isinstance(value, dict):
            wire[name] = {key: _below(below) for key, below in value.items()}
        elif name in _LISTED and isinstance(value, list):
            # what may be one of several may as well be any of them
            wire["anyOf" if name == "oneOf" else name] = [_below(below) for below in value]
        else:
            wire[name] = _below(value) if name == "items" else value
    if (wire.get("type") == "object" or "properties" in wire) and wire.get("additionalProperties") in (None, True):
        wire["additionalProperties"] = False
    return wire


def _below(value: Any) -> Any:
    return narrowed(value) if isinstance(value, dict) else value
