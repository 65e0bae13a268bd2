"""Inputs and outputs of a query, as parameters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from promptd.core.calls import placeholders
from promptd.core.descriptors import Param, params_from_schema
from promptd.core.errors import DescriptorFailed
from promptd.core.localisation import Key
from promptd.engines.http_target.config import HttpQuery, InputRow, OutputRow

VALUE: Final = "value"
TEXT: Final = "text"
FILE: Final = "file"


def inputs_of(query: HttpQuery, most_bytes: int) -> list[Param]:
    """The declared ones, and a text for every other placeholder."""
    declared = {row.name: _input(row, most_bytes) for row in query.inputs}
    # a name that stands twice is found by whoever checks the list
    rows = [_input(row, most_bytes) for row in query.inputs]
    return [*rows, *(Param(name=name) for name in used(query) if name not in declared)]


def used(query: HttpQuery) -> list[str]:
    """The placeholders of all that is sent, each once."""
    names: dict[str, None] = {}
    for template in _templates(query):
        names |= dict.fromkeys(placeholders(template))
    return list(names)


def files_of(query: HttpQuery) -> list[str]:
    """The inputs that are files, by name."""
    return [row.name for row in query.inputs if row.kind == "file"]


def outputs_of(query: HttpQuery) -> Sequence[Param]:
    """What the answer gives. Raises `DescriptorFailed`."""
    if query.response == "none":
        return ()
    if query.response == "text":
        return [Param(name=TEXT, multiline=True, title=Key("http_target.answer"))]
    if query.response == "file":
        return [Param(name=FILE, kind="file", title=Key("http_target.answer"))]
    if query.outputs:
        return [_output(row) for row in query.outputs]
    return members(query) or [_whole(query)]


def members(query: HttpQuery) -> Sequence[Param]:
    """The members of the object that the schema describes; none where it describes something else."""
    schema = dict(query.json_schema)
    if schema.get("type") != "object" or not schema.get("properties"):
        return ()
    try:
        return params_from_schema(schema, where="outputs")
    except DescriptorFailed:
        return ()


def _whole(query: HttpQuery) -> Param:
    title = Key("http_target.answer")
    if query.json_schema:
        return Param(name=VALUE, schema=dict(query.json_schema), title=title)
    return Param(name=VALUE, kind="any", nullable=True, title=title)


def _templates(query: HttpQuery) -> Iterator[str]:
    yield query.path
    yield from query.parameters.values()
    yield from query.headers.values()
    if query.body == "json":
        yield from _texts(query.json_body)
    elif query.body in ("form", "multipart"):
        yield from query.form.values()
    elif query.body == "text":
        yield query.text_body


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _input(row: InputRow, most_bytes: int) -> Param:
    said: dict[str, Any] = {"required": row.required, "title": row.title, "description": row.description}
    if row.kind == "file":
        kinds = row.media_types or ("*/*",)
        return Param(name=row.name, kind="file", media_types=kinds, multiple=row.multiple, max_bytes=most_bytes, **said)
    if row.kind == "string":
        return Param(name=row.name, enum=row.choices, **said)
    return Param(name=row.name, kind=row.kind, additional=row.kind == "object", **said)


def _output(row: OutputRow) -> Param:
    return Param(
        name=row.name,
        kind=row.kind,
        required=row.required,
        title=row.title,
        description=row.description,
        additional=row.kind == "object",
        nullable=row.kind == "any",
    )
