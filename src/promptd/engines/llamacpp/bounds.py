"""Bounds on what becomes a grammar in llama.cpp: it computes long on large ones, and a cancel does not interrupt it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from promptd.core.errors import InvalidInput
from promptd.core.parameters import Parameters

MAX_BYTES: Final = 32 * 1024
MAX_CHOICES: Final = 500  #: values of enums and properties, in all

#: fields by which llama.cpp takes schemas and grammars besides our own parameters
_EXTRA: Final = ("json_schema", "response_format", "tools", "grammar")


def require_bounded(parameters: Parameters) -> None:
    """Raises `InvalidInput` that names the schema or grammar beyond the bounds."""
    if parameters.json_schema is not None:
        require_schema("parameters.json_schema", parameters.json_schema)
    if parameters.tools:
        require_schema("parameters.tools", [tool.parameters for tool in parameters.tools])
    if parameters.grammar is not None:
        _require_grammar("parameters.grammar", parameters.grammar)
    for name in _EXTRA:
        value = parameters.extra.get(name)
        if isinstance(value, str):
            _require_grammar(f"parameters.extra.{name}", value)
        elif value is not None:
            require_schema(f"parameters.extra.{name}", value)


def _require_grammar(field: str, text: str) -> None:
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise InvalidInput(f"{field}: expected at most {MAX_BYTES} bytes")


def require_schema(field: str, schema: Any) -> None:
    """Raises `InvalidInput` for one beyond the bounds."""
    try:
        size = len(msgspec.json.encode(schema))
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise InvalidInput(f"{field}: not JSON: {error}") from error
    if size > MAX_BYTES:
        raise InvalidInput(f"{field}: expected at most {MAX_BYTES} bytes of JSON")
    if sum(_choices(schema)) > MAX_CHOICES:
        raise InvalidInput(f"{field}: expected at most {MAX_CHOICES} enum values and properties in all")


def _choices(schema: Any) -> Iterator[int]:
    """The sizes of all enums and property lists. Without recursion: schemas come from callers."""
    left = [schema]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            enum, properties = part.get("enum"), part.get("properties")
            if isinstance(enum, (list, tuple)):
                yield len(enum)
            if isinstance(properties, dict):
                yield len(properties)
            left += part.values()
        elif isinstance(part, (list, tuple)):
            left += part
