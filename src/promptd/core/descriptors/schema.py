"""Lists of parameters as JSON Schema 2020-12: what is published, and what values are checked against."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from promptd.core.descriptors.param import MISSING, Direction, Param
from promptd.core.descriptors.subschemas import Schema, changed
from promptd.core.localisation import Text

Resolve = Callable[[Text], str]

#: every type of JSON but null: what a required value of any kind has
_NOT_NULL: Final = ["string", "number", "boolean", "object", "array"]
_LIMITS: Final = {
    "minimum": "minimum",
    "maximum": "maximum",
    "min_length": "minLength",
    "max_length": "maxLength",
    "min_items": "minItems",
    "max_items": "maxItems",
}
_REFERENCES: Final = ("$ref", "$dynamicRef")


def literal(text: Text) -> str:
    """A text as it stands, a key as the key: for where nobody reads along."""
    return text if isinstance(text, str) else text.key


def input_schema(params: Sequence[Param], resolve: Resolve = literal) -> Schema:
    """The object that holds the values of all inputs but files. Null may stand for an absent optional one."""
    return _object(params, False, "", resolve, "input")


def output_schema(params: Sequence[Param], resolve: Resolve = literal) -> Schema:
    """The same of outputs, which have no defaults."""
    return _object(params, False, "", resolve, "output")


def may_be_null(param: Param, *, item: bool = False) -> bool:
    """Whether null is taken: as a value, or as the absence of one that is optional, which an item of an array can't be."""
    return param.nullable or not (param.required or item)


def types_of(param: Param, *, item: bool = False) -> list[str]:
    """The JSON types that a parameter without a `schema` of its own may have; none: all of them."""
    null = may_be_null(param, item=item)
    if param.kind == "any":
        return [] if null else [*_NOT_NULL]
    return [param.kind, "null"] if null else [param.kind]


def _object(params: Sequence[Param], additional: bool, pointer: str, resolve: Resolve, direction: Direction) -> Schema:
    values = [param for param in params if param.kind != "file"]
    schema: Schema = {
        "type": "object",
        "properties": {
            param.name: _value(param, f"{pointer}/properties/{param.name}", resolve, direction) for param in values
        },
        "additionalProperties": additional,
    }
    required = [param.name for param in values if param.required]
    return schema | {"required": required} if required else schema


def _value(param: Param, pointer: str, resolve: Resolve, direction: Direction, *, item: bool = False) -> Schema:
    if param.schema is not None:
        schema = _given(param, param.schema, pointer, item)
    else:
        schema = _built(param, pointer, resolve, direction, item)
    return schema | _notes(param, resolve, direction)


def _built(param: Param, pointer: str, resolve: Resolve, direction: Direction, item: bool) -> Schema:
    types = types_of(param, item=item)
    schema: Schema = {"type": types[0] if len(types) == 1 else types} if types else {}
    if param.enum:
        null = [None] if may_be_null(param, item=item) and None not in param.enum else []
        schema["enum"] = [*param.enum, *null]
    for field, word in _LIMITS.items():
        if (limit := getattr(param, field)) is not None:
            schema[word] = limit
    if param.pattern:
        schema["pattern"] = param.pattern
    if param.format:
        schema["format"] = param.format
    if param.kind == "object":
        inside = _object(param.properties, param.additional, pointer, resolve, direction)
        schema |= {word: value for word, value in inside.items() if word != "type"}
    if param.items is not None:
        schema["items"] = _value(param.items, f"{pointer}/items", resolve, direction, item=True)
    return schema


def _given(param: Param, schema: Schema, pointer: str, item: bool) -> Schema:
    """The parameter's own schema, its references led to where it stands now, and with the rule on null around it."""
    if may_be_null(param, item=item):
        return {"anyOf": [_moved(schema, f"{pointer}/anyOf/0"), {"type": "null"}]}
    said = schema.get("type")
    if (isinstance(said, str) and said != "null") or (isinstance(said, list | tuple) and "null" not in said):
        return _moved(schema, pointer)
    return {"allOf": [_moved(schema, f"{pointer}/allOf/0")], "type": [*_NOT_NULL]}


def _moved(schema: Schema, pointer: str) -> Schema:
    def lead(one: Schema) -> Schema:
        for word in _REFERENCES:
            target = one.get(word)
            if isinstance(target, str) and target.startswith("#"):
                one[word] = f"#{pointer}{target[1:]}"
        return one

    moved: Schema = changed(schema, lead)
    moved.pop("$schema", None)
    return moved


def _notes(param: Param, resolve: Resolve, direction: Direction) -> Schema:
    """What a reader is told besides: nothing of it is checked."""
    notes: Schema = {}
    for word, text in (("title", param.title), ("description", param.description)):
        if text:
            notes[word] = resolve(text)
    if param.deprecated:
        notes["deprecated"] = True
    if param.sensitive:
        notes["x-sensitive"] = True
        if direction == "input":
            notes["writeOnly"] = True
    else:
        notes |= _shown(param, direction)
    for word, hint in (("x-widget", param.widget), ("x-group", param.group), ("x-multiline", param.multiline)):
        if hint:
            notes[word] = hint
    return notes


def _shown(param: Param, direction: Direction) -> dict[str, Any]:
    """Values that may be told because the parameter is not sensitive."""
    shown: dict[str, Any] = {}
    if param.default is not MISSING and direction == "input":
        shown["default"] = param.default
    if param.examples:
        shown["examples"] = [*param.examples]
    return shown
