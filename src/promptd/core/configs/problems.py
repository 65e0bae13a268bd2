"""What is wrong with a value, as a text for people that never quotes the value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from promptd.core.localisation import Key

_PREFIX: Final = "promptd.invalid."

#: beginnings of pydantic's error types, and what the value should have been
_KINDS: Final = (
    ("string_too_short", "min_length"),
    ("string_too_long", "max_length"),
    ("string_pattern", "pattern"),
    ("too_short", "min_items"),
    ("too_long", "max_items"),
    ("greater_than_equal", "minimum"),
    ("greater_than", "above"),
    ("less_than_equal", "maximum"),
    ("less_than", "below"),
    ("multiple_of", "multiple"),
    ("string_", "text"),
    ("int_", "integer"),
    ("float_", "number"),
    ("finite_number", "number"),
    ("decimal_", "number"),
    ("bool_", "boolean"),
    ("literal_error", "choice"),
    ("enum", "choice"),
    ("list_", "list"),
    ("tuple_", "list"),
    ("set_", "list"),
    ("frozen_set_", "list"),
    ("iterable_", "list"),
    ("dict_", "object"),
    ("mapping_", "object"),
    ("model_", "object"),
    ("dataclass_", "object"),
    ("datetime_", "date"),
    ("date_", "date"),
    ("time_", "date"),
    ("timezone_", "date"),
    ("url_", "url"),
    ("uuid_", "uuid"),
    ("missing", "missing"),
    ("extra_forbidden", "unknown"),
    ("config_file", "file"),
)
#: the member of pydantic's context that says the limit
_LIMITS: Final = {
    "minimum": "ge",
    "above": "gt",
    "maximum": "le",
    "below": "lt",
    "multiple": "multiple_of",
    "min_length": "min_length",
    "max_length": "max_length",
    "min_items": "min_length",
    "max_items": "max_length",
    "choice": "expected",
}
#: keywords of JSON Schema whose value is a limit that may be told
_KEYWORDS: Final = {
    "minimum": "minimum",
    "exclusiveMinimum": "above",
    "maximum": "maximum",
    "exclusiveMaximum": "below",
    "multipleOf": "multiple",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_items",
    "maxItems": "max_items",
    "minProperties": "min_items",
    "maxProperties": "max_items",
    "pattern": "pattern",
    "uniqueItems": "unique",
    "required": "missing",
    "additionalProperties": "unknown",
    "format": "format",
}
_TYPES: Final = {
    "string": "text",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "array": "list",
    "object": "object",
}


def invalid(kind: str = "value", limit: Any = None) -> Key:
    """The text for a value that is not what it should be; `limit` stands in the model, not in the value."""
    return Key(_PREFIX + kind, {} if limit is None else {"limit": limit})


def from_pydantic(error: Mapping[str, Any]) -> Key:
    """The text for one of pydantic's errors, made of its type and the limits of the model."""
    name = str(error.get("type", ""))
    for beginning, kind in _KINDS:
        if name.startswith(beginning):
            limit = (error.get("ctx") or {}).get(_LIMITS.get(kind, ""))
            if kind in _LIMITS and limit is None:
                return invalid()
            return invalid(kind, limit if isinstance(limit, int | float | str) or limit is None else str(limit))
    return invalid()


def from_keyword(keyword: str, wanted: Any) -> Key:
    """The text for a value that fails the `keyword` of a JSON Schema, where the schema says `wanted`."""
    if keyword == "type":
        names = wanted if isinstance(wanted, list) else [wanted]
        return invalid(next((_TYPES[name] for name in names if name in _TYPES), "value"))
    if keyword in ("enum", "const"):
        choices = wanted if keyword == "enum" and isinstance(wanted, list) else [wanted]
        return invalid("choice", ", ".join(json.dumps(choice, ensure_ascii=False) for choice in choices)[:300])
    if keyword in _KEYWORDS:
        kind = _KEYWORDS[keyword]
        tells = isinstance(wanted, int | float | str) and not isinstance(wanted, bool) and kind != "pattern"
        return invalid(kind, wanted if tells else None)
    return invalid()
