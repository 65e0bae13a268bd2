"""A request and an answer as they might look, made from examples, defaults and limits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from promptd.core.descriptors.param import ANY_TYPE, Direction, Param
from promptd.core.descriptors.schema import input_schema, output_schema
from promptd.core.files import MEDIA_TYPES, OCTETS

_MOST: Final = 200  # characters and items, where a lower limit asks for more
_VALUES: Final = 10_000
_FOLLOWED: Final = 16  # references, one inside the other
_FORMATS: Final = {
    "date-time": "2026-01-31T12:00:00Z",
    "date": "2026-01-31",
    "time": "12:00:00Z",
    "duration": "P1D",
    "email": "name@example.com",
    "idn-email": "name@example.com",
    "hostname": "example.com",
    "idn-hostname": "example.com",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uri": "https://example.com/",
    "uri-reference": "/page",
    "iri": "https://example.com/",
    "iri-reference": "/page",
    "uuid": "123e4567-e89b-42d3-a456-426614174000",
    "uri-template": "/pages/{page}",
    "json-pointer": "/a/b",
    "relative-json-pointer": "1/a",
    "regex": "^[a-z]+$",
}
_EXTENSIONS: Final = {
    name: next(extension for extension, other in MEDIA_TYPES.items() if other == name)
    for name in dict.fromkeys(MEDIA_TYPES.values())
}


class SampleFile(Struct, frozen=True):
    filename: str
    media_type: str


class Sample(Struct, frozen=True):
    """Values and files under their names. What a `pattern` or a schema with conditions asks for only an example can meet."""

    value: dict[str, Any]
    files: dict[str, tuple[SampleFile, ...]] = {}


def sample(params: Sequence[Param], *, direction: Direction = "input") -> Sample:
    """All parameters, the optional ones too."""
    schema = (input_schema if direction == "input" else output_schema)(params)
    files: dict[str, tuple[SampleFile, ...]] = {param.name: (_file(param),) for param in params if param.kind == "file"}
    sampler = _Sampler(schema)
    return Sample({name: sampler.value(inner) for name, inner in schema["properties"].items()}, files)


def _file(param: Param) -> SampleFile:
    wanted = param.media_types[0]
    major, _, minor = wanted.partition("/")
    if wanted == ANY_TYPE:
        media_type = OCTETS
    elif minor == "*":
        media_type = next((name for name in _EXTENSIONS if name.startswith(f"{major}/")), f"{major}/example")
    else:
        media_type = wanted.lower()
    name = f"{param.name}.{_EXTENSIONS.get(media_type, 'bin')}"
    return SampleFile(str(param.examples[0]) if param.examples and not param.sensitive else name, media_type)


class _Sampler:
    """Values for the schemas inside `root`. A schema may hold itself, or grow with each reference that is followed."""

    def __init__(self, root: dict[str, Any]) -> None:
        self._root = root
        self._left = _VALUES

    def value(self, schema: Any, followed: int = 0) -> Any:
        self._left -= 1
        if not isinstance(schema, dict) or self._left < 0:
            return None
        for word in ("examples", "enum"):
            if isinstance(schema.get(word), list) and schema[word]:
                return schema[word][0]
        for word in ("default", "const"):
            if word in schema:
                return schema[word]
        if isinstance(schema.get("$ref"), str):
            return self.value(_target(schema["$ref"], self._root), followed + 1) if followed < _FOLLOWED else None
        for word in ("anyOf", "oneOf", "allOf"):
            if isinstance(schema.get(word), list) and schema[word]:
                return self.value(schema[word][0], followed)
        said = schema.get("type", "object" if "properties" in schema else "string")
        return self._of_type(said if isinstance(said, str) else next(iter(said), "null"), schema, followed)

    def _of_type(self, kind: str, schema: dict[str, Any], followed: int) -> Any:
        match kind:
            case "string":
                return _text(schema)
            case "integer" | "number":
                return _number(kind, schema)
            case "boolean":
                return True
            case "object":
                wanted = schema.get("required", []) if followed > 1 else schema.get("properties", {})
                inside = schema.get("properties", {})
                return {name: self.value(inside.get(name, {}), followed) for name in wanted}
            case "array":
                some = 0 if followed > 1 else min(1, schema.get("maxItems", 1))
                count = min(max(schema.get("minItems", 0), some), _MOST)
                return [self.value(schema.get("items", {}), followed) for _ in range(count)]
            case _:
                return None


def _text(schema: dict[str, Any]) -> str:
    text = _FORMATS.get(schema.get("format", ""), "text")
    text = text.ljust(min(schema.get("minLength", 0), _MOST), "x")
    return text[: schema.get("maxLength")]


def _number(kind: str, schema: dict[str, Any]) -> int | float:
    least, most = schema.get("minimum"), schema.get("maximum")
    start = least if least is not None else min(1, most) if most is not None else 1
    return (
        math.ceil(start)
        if kind == "integer" and least is not None
        else math.floor(start)
        if kind == "integer"
        else start
    )


def _target(reference: str, root: dict[str, Any]) -> Any:
    found: Any = root
    for step in reference.removeprefix("#").split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(found, list):
            found = found[int(name)] if name.isdecimal() and int(name) < len(found) else None
        else:
            found = found.get(name) if isinstance(found, dict) else None
    return found
