"""Parameters from a JSON Schema, for authors who have one already."""

from __future__ import annotations

from typing import Any, Final

from promptd.core.descriptors.checking import check_params
from promptd.core.descriptors.param import MISSING, Param
from promptd.core.descriptors.subschemas import Schema, subschemas
from promptd.core.errors import DescriptorFailed

#: what stands beside the properties and says nothing on values
_BESIDE: Final = frozenset(
    {
        *("$schema", "$id", "$comment", "$defs", "definitions", "title", "description", "examples", "default"),
        *("type", "properties", "required", "additionalProperties"),
    }
)
_SIMPLE: Final = {
    "pattern": "pattern",
    "format": "format",
    "minimum": "minimum",
    "maximum": "maximum",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_items",
    "maxItems": "max_items",
}
_NOTES: Final = {
    "title": "title",
    "description": "description",
    "deprecated": "deprecated",
    "writeOnly": "sensitive",
    "x-sensitive": "sensitive",
    "x-widget": "widget",
    "x-group": "group",
    "x-multiline": "multiline",
}
_KINDS: Final = ("string", "integer", "number", "boolean", "object", "array")
_KNOWN: Final = frozenset({"type", "enum", "examples", "default", *_SIMPLE, *_NOTES})
_SHARED: Final = ("$defs", "definitions")
_DEFINED: Final = ("#/$defs/", "#/definitions/")


def params_from_schema(schema: object, *, where: str = "inputs") -> tuple[Param, ...]:
    """One parameter for each property of an object's schema. Raises `DescriptorFailed` that names the path.

    A property that says more than a parameter can keeps its schema whole. No other properties are taken, whatever the
    schema says about them.
    """
    if not isinstance(schema, dict) or schema.get("type", "object") != "object":
        raise DescriptorFailed(field=where, expected="a JSON Schema of an object")
    beyond = sorted(str(word) for word in schema.keys() - _BESIDE if not str(word).startswith("x-"))
    if beyond:
        raise DescriptorFailed(field=f"{where}.{beyond[0][:64]}", expected="properties that don't hang on each other")
    return check_params(_properties(schema, schema, where), where=where)


def _properties(schema: Schema, root: Schema, where: str) -> list[Param]:
    properties, required = schema.get("properties", {}), schema.get("required", [])
    if not isinstance(properties, dict):
        raise DescriptorFailed(field=f"{where}.properties", expected="an object of schemas")
    if not isinstance(required, list) or not all(name in properties for name in required):
        raise DescriptorFailed(field=f"{where}.required", expected="a list of names that are properties")
    return [_param(str(name), inner, root, name in required, f"{where}.{name}") for name, inner in properties.items()]


def _param(name: str, schema: Any, root: Schema, required: bool, where: str) -> Param:
    if schema is True:
        return Param(name, "any", required, nullable=True)
    said: dict[str, Any] = {}
    if isinstance(schema, dict):
        said = {field: schema[word] for word, field in _NOTES.items() if word in schema}
        said["examples"] = schema.get("examples", ())
        said["default"] = schema.get("default", MISSING)
        built = _built(name, schema, root, required, said, where)
        if built is not None:
            return built
    whole: Schema = {"not": {}}
    if isinstance(schema, dict):
        whole = {word: value for word, value in schema.items() if word not in ("examples", "default", *_NOTES)}
        if any("$ref" in part for part in subschemas(whole)):
            whole |= {word: root[word] for word in _SHARED if word in root}
    if not all(str(part.get("$ref", _DEFINED[0])).startswith(_DEFINED) for part in subschemas(whole)):
        raise DescriptorFailed(field=f"{where}.$ref", expected="#/$defs/… or #/definitions/…")
    return Param(name, required=required, schema=whole, nullable=_takes_null(schema), **said)


def _built(name: str, schema: Schema, root: Schema, required: bool, said: dict[str, Any], where: str) -> Param | None:
    """The parameter that says the same as the schema, None where there is none."""
    words = schema.keys() - _KNOWN
    kind, nullable = _kind(schema)
    inside: dict[str, Any] = {}
    if kind == "object":
        words -= {"properties", "required", "additionalProperties"}
        # unless it says so, JSON Schema takes other members; a parameter does not
        additional = schema.get("additionalProperties", True)
        if not isinstance(additional, bool):
            return None
        inside = {"properties": tuple(_properties(schema, root, where)), "additional": additional}
    elif kind == "array":
        words -= {"items"}
        if "items" in schema:
            inside = {"items": _param("item", schema["items"], root, True, f"{where}[]")}
    if words or kind is None:
        return None
    said = said | {field: schema[word] for word, field in _SIMPLE.items() if word in schema}
    values = schema.get("enum", ())
    if not isinstance(values, list | tuple):
        return None
    enum = tuple(value for value in values if value is not None)
    return Param(
        name, kind, required, nullable=nullable and (not values or None in values), enum=enum, **said, **inside
    )


def _kind(schema: Schema) -> tuple[Any, bool]:
    """The kind, and whether null is a value; None where no kind says it."""
    said = schema.get("type")
    if said is None:
        return ("any", True) if not schema.keys() - _NOTES.keys() - {"examples", "default", "enum"} else (None, False)
    types = [said] if isinstance(said, str) else said if isinstance(said, list) else []
    others = [name for name in types if name != "null"]
    return (others[0], "null" in types) if len(others) == 1 and others[0] in _KINDS else (None, False)


def _takes_null(schema: Any) -> bool:
    """Whether null is said to be a value outright; what else lets it through treats it as absence."""
    if not isinstance(schema, dict):
        return False
    said = schema.get("type")
    choices = [*_listed(schema, "anyOf"), *_listed(schema, "oneOf")]
    return said == "null" or (isinstance(said, list) and "null" in said) or {"type": "null"} in choices


def _listed(schema: Schema, word: str) -> list[Any]:
    value = schema.get(word)
    return value if isinstance(value, list) else []
