"""Whether a list of parameters makes sense: what an engine or a template's author describes is not taken on trust."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

import jsonschema_rs
import msgspec
from msgspec import structs

from promptd.core.descriptors.explaining import explain, path
from promptd.core.descriptors.param import ANY_TYPE, MISSING, Param, unreadable
from promptd.core.descriptors.schema import input_schema
from promptd.core.descriptors.subschemas import subschemas
from promptd.core.descriptors.walking import unfit
from promptd.core.errors import DescriptorFailed, InvalidRequest
from promptd.core.output import check_schema, validator

MAX_PARAMS: Final = 256  # of one list, nested ones included
MAX_LEVELS: Final = 16
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_MEDIA_RANGE: Final = re.compile(
    r"\*/\*|[a-z0-9][a-z0-9!#$&^_.+-]{0,126}/(?:\*|[a-z0-9][a-z0-9!#$&^_.+-]{0,126})", re.I
)
_REFERENCE: Final = re.compile(r"#(?:/(?:\$defs|definitions|properties)/.*)?", re.DOTALL)
_DRAFT: Final = re.compile(r"https://json-schema\.org/draft/2020-12/schema#?")

#: what only some kinds can have
_OF_KIND: Final = {
    "enum": ("string", "integer", "number", "boolean", "any"),
    "pattern": ("string",),
    "format": ("string",),
    "minimum": ("integer", "number"),
    "maximum": ("integer", "number"),
    "min_length": ("string",),
    "max_length": ("string",),
    "properties": ("object",),
    "additional": ("object",),
    "items": ("array",),
    "min_items": ("array",),
    "max_items": ("array",),
    "multiple": ("file",),
    "media_types": ("file",),
    "max_bytes": ("file",),
    "max_count": ("file",),
    "nullable": ("string", "integer", "number", "boolean", "object", "array", "any"),
    "default": ("string", "integer", "number", "boolean", "object", "array", "any"),
    "schema": ("string", "integer", "number", "boolean", "object", "array", "any"),
}
#: what a schema of the parameter's own takes the place of
_REPLACED: Final = (
    *("enum", "pattern", "format", "minimum", "maximum", "min_length", "max_length"),
    *("properties", "additional", "items", "min_items", "max_items"),
)
_COUNTS: Final = ("min_length", "max_length", "min_items", "max_items", "max_bytes", "max_count")
_RANGES: Final = (("minimum", "maximum"), ("min_length", "max_length"), ("min_items", "max_items"))
_DEFAULTS: Final = dict(zip(Param.__struct_fields__[1:], Param.__struct_defaults__, strict=True))


def check_params(params: object, *, where: str = "inputs") -> tuple[Param, ...]:
    """The list as plain data. Raises `DescriptorFailed` whose `field` is a path such as `inputs.order.items.price`.

    `params` may be anything that a handler returned. Defaults and examples must fit what they stand for.
    """
    if not isinstance(params, Iterable) or isinstance(params, str | bytes | dict):
        raise DescriptorFailed(field=where, expected="a list of parameters")
    listed = [_plain(param, f"{where}[{no}]") for no, param in enumerate(islice(params, MAX_PARAMS + 1))]
    if sum(1 for _ in _all(listed)) > MAX_PARAMS:
        raise DescriptorFailed(field=where, expected=f"at most {MAX_PARAMS} parameters")
    _check_list(listed, where, 1)
    checked = tuple(listed)
    try:
        check_schema(input_schema(checked), where)
    except InvalidRequest as error:
        raise DescriptorFailed(error.message, field=where, expected=error.expected) from None
    return checked


def _plain(param: object, where: str) -> Param:
    """The parameter with nothing in it but what JSON can say, its members of the types that they should have."""
    if not isinstance(param, Param):
        raise DescriptorFailed(field=where, expected="a Param")
    try:
        value = _lists(msgspec.to_builtins(param))
        plain = msgspec.convert(value, Param)
    except msgspec.ValidationError as error:
        raise unreadable(error, where) from None
    except (TypeError, ValueError, RecursionError):
        raise DescriptorFailed(field=where, expected="members that JSON can hold") from None
    if found := unfit(value):
        raise DescriptorFailed(field=f"{where}.{path(found.steps)}", expected=found.expected)
    return plain


def _lists(value: Any) -> Any:
    """With lists for tuples, as JSON has them."""
    if isinstance(value, dict):
        return {name: _lists(inner) for name, inner in value.items()}
    return [_lists(inner) for inner in value] if isinstance(value, list | tuple) else value


def _all(params: Iterable[Param]) -> Iterator[Param]:
    waiting = list(params)
    while waiting:
        param = waiting.pop()
        yield param
        waiting += param.properties
        if param.items is not None:
            waiting.append(param.items)


def _check_list(params: Iterable[Param], where: str, level: int) -> None:
    seen: set[str] = set()
    for no, param in enumerate(params):
        if not _NAME.fullmatch(param.name):
            raise DescriptorFailed(field=f"{where}[{no}].name", expected="a name like [A-Za-z_][A-Za-z0-9_]{0,63}")
        if param.name in seen:
            raise DescriptorFailed(f"{where}.{param.name}: this name stands twice", field=f"{where}.{param.name}")
        seen.add(param.name)
        _check(param, f"{where}.{param.name}", level)


def _check(param: Param, where: str, level: int) -> None:
    if level > MAX_LEVELS:
        raise DescriptorFailed(field=where, expected=f"at most {MAX_LEVELS} levels")
    if param.kind == "file" and level > 1:
        raise DescriptorFailed(field=where, expected="files at the top level only")
    if param.required and param.default is not MISSING:
        raise DescriptorFailed(field=f"{where}.default", expected="none, because the parameter is required")
    for name in _set_fields(param):
        if param.kind not in _OF_KIND.get(name, (param.kind,)):
            raise DescriptorFailed(field=f"{where}.{name}", expected=f"nothing, because the kind is {param.kind}")
        if param.schema is not None and name in _REPLACED:
            raise DescriptorFailed(field=f"{where}.{name}", expected="nothing, because the schema says it")
    _check_bounds(param, where)
    if param.schema is not None:
        _check_schema(param.schema, f"{where}.schema")
    _check_list(param.properties, where, level + 1)
    if param.items is not None:
        if param.items.default is not MISSING:
            raise DescriptorFailed(field=f"{where}.items.default", expected="none, because an item is never absent")
        _check(param.items, f"{where}.items", level + 1)
    if param.kind == "file":
        _check_file(param, where)
    else:
        _check_values(param, where)


def _set_fields(param: Param) -> Iterator[str]:
    return (name for name, default in _DEFAULTS.items() if getattr(param, name) != default)


def _check_bounds(param: Param, where: str) -> None:
    for name in _COUNTS:
        if (getattr(param, name) or 0) < 0:
            raise DescriptorFailed(field=f"{where}.{name}", expected="0 or more")
    for low, high in _RANGES:
        least, most = getattr(param, low), getattr(param, high)
        if least is not None and most is not None and least > most:
            raise DescriptorFailed(field=f"{where}.{low}", expected=f"at most {high}")


def _check_schema(schema: dict[str, Any], where: str) -> None:
    """A schema that stands inside a larger one: references lead where they can be followed from there."""
    draft = schema.get("$schema", "")
    if draft and not (isinstance(draft, str) and _DRAFT.fullmatch(draft)):
        raise DescriptorFailed(field=f"{where}.$schema", expected="JSON Schema 2020-12")
    for part in subschemas(schema):
        for word in ("$id", "$anchor", "$dynamicAnchor"):
            if word in part:
                raise DescriptorFailed(field=f"{where}.{word}", expected="none inside a parameter")
        for word in ("$ref", "$dynamicRef"):
            if word in part and not (isinstance(part[word], str) and _REFERENCE.fullmatch(part[word])):
                raise DescriptorFailed(field=f"{where}.{word}", expected="#/$defs/…, #/properties/… or #")
    try:
        check_schema(schema, where)
    except InvalidRequest as error:
        raise DescriptorFailed(error.message, field=where, expected=error.expected) from None


def _check_file(param: Param, where: str) -> None:
    if not param.media_types:
        raise DescriptorFailed(field=f"{where}.media_types", expected=f"at least one, such as {ANY_TYPE}")
    for no, media_range in enumerate(param.media_types):
        if not _MEDIA_RANGE.fullmatch(media_range):
            raise DescriptorFailed(field=f"{where}.media_types[{no}]", expected="image/png, image/* or */*")
    if param.max_count is not None and not param.multiple:
        raise DescriptorFailed(field=f"{where}.max_count", expected="nothing, because it is one file")
    if param.max_count == 0:
        raise DescriptorFailed(field=f"{where}.max_count", expected="1 or more")
    if not all(isinstance(example, str) for example in param.examples):
        raise DescriptorFailed(field=f"{where}.examples", expected="names of files")


def _check_values(param: Param, where: str) -> None:
    """That pattern and format can be used, and that default, enum and examples are values that would be taken."""
    alone = structs.replace(param, name="value", required=True, default=MISSING, examples=())
    schema = input_schema([alone])
    try:
        if param.format:
            jsonschema_rs.validator_for({"format": param.format}, validate_formats=True, ignore_unknown_formats=False)
        checker = validator(schema, formats=True)
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        at = "pattern" if param.pattern else "format" if param.format else "schema"
        expected = "a format that is known here" if "Unknown format" in str(error) else "a pattern without look-around"
        field = f"{where}.format" if "Unknown format" in str(error) else f"{where}.{at}"
        raise DescriptorFailed(field=field, expected=expected) from None
    values = [("default", param.default)] if param.default is not MISSING else []
    values += [(f"examples[{no}]", example) for no, example in enumerate(param.examples)]
    values += [(f"enum[{no}]", value) for no, value in enumerate(param.enum) if value is not None]
    for name, value in values:
        if name == "default" and value is None and not param.nullable:
            raise DescriptorFailed(field=f"{where}.default", expected="a value, because null is none here")
        problem = next(iter(checker.iter_errors({"value": value})), None)
        if problem is not None:
            _, expected = explain(problem)
            raise DescriptorFailed(field=f"{where}.{name}", expected=expected)
