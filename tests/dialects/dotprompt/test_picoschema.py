"""Picoschema to JSON Schema, beside the public vectors."""

from __future__ import annotations

from typing import Any

import pytest

from promptd.core.errors import InvalidRequest
from promptd.dialects.dotprompt.picoschema import to_json_schema

pytestmark = pytest.mark.slow

NAMED = {"Foo": {"type": "number", "description": "a foo"}}


def an_object(required: list[str] | None = None, others: Any = False, **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "additionalProperties": others}
    return schema | ({"required": required} if required else {})


@pytest.mark.parametrize(
    ("short", "schema"),
    [
        (None, None),
        ("string", {"type": "string"}),
        ("integer, how many, at most", {"type": "integer", "description": "how many, at most"}),
        ("any", {}),
        ("any, whatever", {"description": "whatever"}),
        ("Foo", NAMED["Foo"]),
        ("Foo, another", {"type": "number", "description": "another"}),
        ({"type": "array", "items": {}}, {"type": "array", "items": {}}),
        ({"properties": {"a": {}}}, {"properties": {"a": {}}, "type": "object"}),
        ({}, an_object()),
        ({"a": "string"}, an_object(["a"], a={"type": "string"})),
        ({"a?": "string, b"}, an_object(a={"type": ["string", "null"], "description": "b"})),
        ({"a?": "any"}, an_object(a={})),
        ({"a?": "Foo"}, an_object(a={"type": ["number", "null"], "description": "a foo"})),
        ({"a(array, the list)": "null"}, an_object(["a"], a={"type": "array", "items": {"type": "null"}, "description": "the list"})),
        ({"a?(array)": {"b": "string"}}, an_object(a={"type": ["array", "null"], "items": an_object(["b"], b={"type": "string"})})),
        ({"a": {"b?": "number"}}, an_object(["a"], a=an_object(b={"type": ["number", "null"]}))),
        ({"a(enum, one of)": ["x", 1]}, an_object(["a"], a={"enum": ["x", 1], "description": "one of"})),
        ({"a?(enum)": ["x", None]}, an_object(a={"enum": ["x", None]})),
        ({"(*)": "number"}, an_object(others={"type": "number"})),
    ],
)  # fmt: skip
def test_short_form(short: Any, schema: Any) -> None:
    assert to_json_schema(short, "output.schema", NAMED) == schema


@pytest.mark.parametrize(
    ("short", "field"),
    [
        ("text", "s"),
        (["string"], "s"),
        (True, "s"),
        ({"a": {"b": None}}, "s.a.b"),
        ({"a": {"b": "Bar"}}, "s.a.b"),
        ({"a(enum)": "x"}, "s.a"),
        ({"a(list)": "string"}, "s.a"),
        ({"a": "string", "a?": "string"}, "s.a"),
    ],
)
def test_a_wrong_schema_is_refused_with_its_path(short: Any, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        to_json_schema(short, "s", NAMED)
    assert refused.value.field == field


def test_depth_has_a_bound() -> None:
    schema: Any = "string"
    for _ in range(5000):
        schema = {"a": schema}
    with pytest.raises(InvalidRequest):
        to_json_schema(schema, "s")


def test_a_named_schema_is_not_changed_by_its_uses() -> None:
    to_json_schema({"a?": "Foo, other"}, "s", NAMED)
    assert NAMED["Foo"] == {"type": "number", "description": "a foo"}
