"""JSON Schema of a `.prompt` file's input as parameters. What a parameter has no word for it keeps as its own schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, get_args

import msgspec

from promptd.core.descriptors.param import MISSING, Kind, Param

NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_KINDS: Final = frozenset(get_args(Kind)) - {"any", "file"}
#: Words that say the same of a parameter
_WORDS: Final = {
    "title": "title",
    "description": "description",
    "examples": "examples",
    "enum": "enum",
    "pattern": "pattern",
    "format": "format",
    "minimum": "minimum",
    "maximum": "maximum",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_items",
    "maxItems": "max_items",
    "deprecated": "deprecated",
    "default": "default",
}
_NOT_NULL: Final = sorted(("array", "boolean", "number", "object", "string"))
_NOTES: Final = ("title", "description", "examples", "deprecated", "default")


def params_of(schema: Mapping[str, Any], defaults: Mapping[str, Any]) -> tuple[Param, ...]:
    """The parameters that the properties of an object schema describe; those with a default are optional."""
    properties, required = schema.get("properties", {}), schema.get("required", ())
    return tuple(
        _param(name, one, name in required and name not in defaults, defaults.get(name, MISSING))
        for name, one in properties.items()
    )


def _param(name: str, schema: Any, required: bool, default: Any) -> Param:
    plain = schema if isinstance(schema, dict) else {}
    if default is MISSING:
        default = plain.get("default", MISSING)
    fields: dict[str, Any] = {"name": name, "required": required and default is MISSING}
    if default is not MISSING:
        fields["default"] = default
    built = _built(plain, required=bool(fields["required"]))
    if built is None or not isinstance(schema, dict):
        rest = {word: value for word, value in plain.items() if word not in _NOTES}
        notes = {_WORDS[word]: plain[word] for word in _NOTES if word in plain}
        built = _checked(notes) or {}
        built["schema"] = rest if isinstance(schema, dict) else {"not": {}} if schema is False else {}
    return Param(**{**built, **fields})


def _built(schema: dict[str, Any], *, required: bool) -> dict[str, Any] | None:
    """The members of a parameter that says all that `schema` says, or None."""
    said = {word: value for word, value in schema.items() if word not in _WORDS}
    kind = said.pop("type", "any")
    members: dict[str, Any] = {_WORDS[word]: value for word, value in schema.items() if word in _WORDS}
    if isinstance(kind, list) and sorted(map(str, kind)) == _NOT_NULL and required:
        kind = "any"
    elif isinstance(kind, list) and len(kind) == 2 and "null" in kind:
        kind = next((one for one in kind if one != "null"), "")
        if required:
            members["nullable"] = True
    if kind != "any" and not (isinstance(kind, str) and kind in _KINDS):
        return None
    members["kind"] = kind
    if "enum" in members and not required and isinstance(members["enum"], list):
        members["enum"] = [one for one in members["enum"] if one is not None]
    if kind == "object":
        if not isinstance(said.get("properties", {}), dict) or not isinstance(said.get("additionalProperties"), bool):
            return None
        inner: dict[str, Any] = {word: said.pop(word) for word in ("properties", "required") if word in said}
        if not all(map(NAME.fullmatch, inner.get("properties", {}))):
            return None
        members["properties"] = params_of(inner, {})
        members["additional"] = said.pop("additionalProperties")
    if kind == "array" and "items" in said:
        members["items"] = _param("item", said.pop("items"), True, MISSING)
    return None if said else _checked(members)


def _checked(members: dict[str, Any]) -> dict[str, Any] | None:
    """The members with their values of the right types, or None where one is not."""
    inner = {name: members.pop(name) for name in ("properties", "items") if name in members}
    try:
        param = msgspec.convert({"name": "one", **members}, Param)
    except msgspec.ValidationError:
        return None
    return {name: getattr(param, name) for name in members} | inner
