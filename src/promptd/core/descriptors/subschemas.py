"""The schemas inside a JSON Schema: where a member's name is a keyword, and where it is only somebody's property."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

Schema = dict[str, Any]

_MAPS: Final = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})
_LISTS: Final = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_ONES: Final = frozenset(
    {
        *(
            "additionalProperties",
            "unevaluatedProperties",
            "propertyNames",
            "items",
            "additionalItems",
            "unevaluatedItems",
        ),
        *("contains", "not", "if", "then", "else", "contentSchema"),
    }
)


def subschemas(schema: Any) -> Iterator[Schema]:
    """The schema itself and every object that is a schema inside it."""
    waiting = [schema]
    while waiting:
        one = waiting.pop()
        if not isinstance(one, dict):
            continue
        yield one
        for word, value in one.items():
            if word in _MAPS and isinstance(value, dict):
                waiting += value.values()
            elif word in _ONES or word in _LISTS:
                waiting += value if isinstance(value, list | tuple) else [value]


def changed(schema: Any, change: Callable[[Schema], Schema]) -> Any:
    """A copy with each schema inside replaced by what `change` makes of it, the inner ones first."""
    if not isinstance(schema, dict):
        return schema
    copy: Schema = {}
    for word, value in schema.items():
        if word in _MAPS and isinstance(value, dict):
            copy[word] = {name: changed(inner, change) for name, inner in value.items()}
        elif word in _ONES or word in _LISTS:
            many = isinstance(value, list | tuple)
            copy[word] = [changed(inner, change) for inner in value] if many else changed(value, change)
        else:
            copy[word] = value
    return change(copy)
