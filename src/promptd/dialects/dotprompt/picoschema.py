"""Picoschema, the short form of JSON Schema in `.prompt` files: `name?: string, who it is` and `tags(array): string`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from promptd.core.errors import InvalidRequest

_SCALARS: Final = ("any", "boolean", "integer", "null", "number", "string")
_TYPES: Final = (*_SCALARS, "object", "array")
_OTHERS: Final = "(*)"  #: a property's name that stands for all others
MAX_DEPTH: Final = 50


def is_json_schema(value: Any) -> bool:
    """Whether a schema in a `.prompt` file is JSON Schema as it stands."""
    return isinstance(value, dict) and (
        (isinstance(value.get("type"), str) and value["type"] in _TYPES) or isinstance(value.get("properties"), dict)
    )


def to_json_schema(value: Any, field: str, named: Mapping[str, dict[str, Any]] | None = None) -> dict[str, Any] | None:
    """The JSON Schema that `value` means; None where there is none. `named` are schemas that may be called by name.

    Raises `InvalidRequest` whose `field` is the path of what is wrong.
    """
    if value is None:
        return None
    if is_json_schema(value):
        return value if "type" in value else {**value, "type": "object"}
    return _schema(value, field, named or {}, 0)


def _schema(value: Any, field: str, named: Mapping[str, dict[str, Any]], depth: int) -> dict[str, Any]:
    if depth > MAX_DEPTH:
        raise InvalidRequest(field=field, expected=f"at most {MAX_DEPTH} levels")
    if isinstance(value, str):
        return _scalar(value, field, named)
    if not isinstance(value, dict):
        raise InvalidRequest(field=field, expected="a type, such as `string, what it says`, or properties")
    properties: dict[str, Any] = {}
    required: list[str] = []
    others: bool | dict[str, Any] = False
    for key, inner in value.items():
        if key == _OTHERS:
            others = _schema(inner, f"{field}.{key}", named, depth + 1)
            continue
        name, optional, kind, description = _key(key)
        if name in properties:
            raise InvalidRequest(field=f"{field}.{name}", expected="a name that stands once")
        if not optional:
            required.append(name)
        one = _property(kind, inner, optional, f"{field}.{name}", named, depth + 1)
        properties[name] = one | {"description": description} if description else one
    schema = {"type": "object", "properties": properties, "additionalProperties": others}
    return schema | {"required": required} if required else schema


def _scalar(value: str, field: str, named: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    kind, description = _described(value)
    if kind not in _SCALARS:
        known = named.get(kind)
        if known is None:
            raise InvalidRequest(field=field, expected=f"one of {', '.join(_TYPES)}, or a schema that is known")
        return known | {"description": description} if description else dict(known)
    schema = {} if kind == "any" else {"type": kind}
    return schema | {"description": description} if description else schema


def _property(
    kind: str, value: Any, optional: bool, field: str, named: Mapping[str, dict[str, Any]], depth: int
) -> dict[str, Any]:
    match kind:
        case "array":
            schema: dict[str, Any] = {"type": "array", "items": _schema(value, field, named, depth)}
        case "enum":
            if not isinstance(value, list):
                raise InvalidRequest(field=field, expected="a list of values")
            return {"enum": [*value, None] if optional and None not in value else value}
        case "" | "object":
            schema = _schema(value, field, named, depth)
        case _:
            raise InvalidRequest(field=field, expected=f"array, object or enum in place of ({kind[:50]})")
    if optional and isinstance(schema.get("type"), str):
        schema["type"] = [schema["type"], "null"]
    return schema


def _key(key: str) -> tuple[str, bool, str, str]:
    """`name?(type, description)` taken apart."""
    name, _, inside = key.partition("(")
    kind, description = _described(inside.strip().removesuffix(")"))
    return name.removesuffix("?"), name.endswith("?"), kind, description


def _described(text: str) -> tuple[str, str]:
    kind, _, description = text.partition(",")
    return kind.strip(), description.strip()
