"""Answers that must fit a schema, and schemas that must not stop the service."""

from __future__ import annotations

import time
from typing import Any

import pytest

from promptd.core.errors import InvalidInput, InvalidOutput, InvalidRequest, OutputTruncated
from promptd.core.model import Answer
from promptd.core.output import MAX_SCHEMA_BYTES, check_json, check_schema

SSN = {"properties": {"ssn": {"type": "integer"}}}


def answer(text: str, finish_reason: str = "stop") -> Answer:
    return Answer("m", text, finish_reason=finish_reason)


def doubling(defs: int, path: str = "$defs") -> dict[str, Any]:
    """A small schema that is 2 ** defs parts large with every reference written out."""
    chain = {f"d{n}": {"allOf": [{"$ref": f"#/{path}/d{n + 1}"}] * 2} for n in range(defs)}
    return {"$defs": chain | {f"d{defs}": {"type": "integer"}}, "$ref": f"#/{path}/d0"}


def anchored(defs: int) -> dict[str, Any]:
    chain = [{"$anchor": f"d{n}", "allOf": [{"$ref": f"#d{n + 1}"}, {"$ref": f"#d{n + 1}"}]} for n in range(defs)]
    return {"$defs": {"all": {"anyOf": [*chain, {"$anchor": f"d{defs}"}]}}, "$ref": "#d0"}


def test_an_answer_that_fits() -> None:
    check_json(answer('{"ssn": 5}'), SSN)


@pytest.mark.parametrize(
    ("text", "schema", "message"),
    [
        ('{"ssn": "078-05-1120"}', SSN, "answer.ssn: does not fit `type`"),
        ('[1, "secret"]', {"items": {"type": "integer"}}, "answer[1]: does not fit `type`"),
        ('{"secret": 1}', {"additionalProperties": False}, "answer: does not fit `falseSchema`"),
        ('{"secret": "x"}', {"additionalProperties": {"type": "integer"}}, "answer.*: does not fit `type`"),
        ('"secret"', {"enum": ["a"]}, "answer: does not fit `enum`"),
        ('"secret"', {"pattern": "^a$"}, "answer: does not fit `pattern`"),
        ("secret", SSN, "the answer is not JSON"),
        ("[" * 5000 + "]" * 5000, SSN, "the answer is nested too deeply"),
        ("[" * 900 + "]" * 900, {"type": "object"}, "the answer is nested too deeply"),
    ],
)
def test_the_error_tells_where_and_never_what(text: str, schema: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidOutput) as raised:
        check_json(answer(text), schema)
    assert raised.value.message == message


def test_a_stored_schema_that_would_not_be_taken_any_more() -> None:
    with pytest.raises(InvalidInput):
        check_json(answer('"aa"'), {"pattern": r"(a)\1"})


def test_the_path_is_bounded() -> None:
    name = "x" * 1000
    with pytest.raises(InvalidOutput) as raised:
        check_json(answer(f'{{"{name}": "a"}}'), {"properties": {name: {"type": "integer"}}})
    assert len(raised.value.message) < 300


def test_a_cut_answer_is_told_as_such() -> None:
    with pytest.raises(OutputTruncated):
        check_json(answer('{"a": 1', "length"), {})


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "nothing"}, "not a usable JSON Schema"),
        ({"$ref": "http://127.0.0.1/x"}, "not a usable JSON Schema"),
        ({"pattern": r"^(?=(a+)+$)(a+)+$"}, "not a usable JSON Schema"),
        ({"pattern": r"(a)\1"}, "not a usable JSON Schema"),
        ({"pattern": "((a{100}){100}){100}"}, "not a usable JSON Schema"),
        ({"description": "x" * MAX_SCHEMA_BYTES}, "bytes of JSON"),
        ({"default": object()}, "a JSON Schema"),
        ({"anyOf": [{"pattern": f"^a{n}"} for n in range(65)]}, "at most 64 patterns"),
        ({"patternProperties": {f"^a{n}": {} for n in range(65)}}, "at most 64 patterns"),
        (doubling(40), "every reference written out"),
        (doubling(40, "%24defs"), "every reference written out"),
        ({"é": doubling(40, "%C3%A9/$defs"), "$ref": "#/%C3%A9/$defs/d0"}, "every reference written out"),
        (anchored(40), "every reference written out"),
        ({"$defs": {"a": {"$id": "http://127.0.0.1/a"}}}, "below the top"),
        ({"$schema": "http://json-schema.org/draft-04/schema#", "definitions": {"a": {"id": "b"}}}, "below the top"),
    ],
)
def test_schemas_that_are_refused(schema: dict[str, Any], expected: str) -> None:
    with pytest.raises(InvalidRequest, match=expected) as refused:
        check_schema(schema, "parameters.json_schema")
    assert refused.value.field == "parameters.json_schema"
    assert len(refused.value.message) <= 500


@pytest.mark.parametrize(
    "schema",
    [
        {},
        SSN,
        {"pattern": r"^[\w .-]{1,64}@\p{L}{2,20}$"},
        {"properties": {"pattern": {"type": "string"}, "child": {"$ref": "#"}}},
        {"$id": "http://127.0.0.1/a", "properties": {"$id": {"type": "string"}}, "examples": [{"id": "b"}]},
        {"$defs": {"a/b": {"properties": {"next": {"$ref": "#/$defs/a~1b"}}}}, "$ref": "#/$defs/a~1b"},
        {"anyOf": [{"type": "string"}, {"$ref": "#/anyOf/0"}]},
        doubling(10),
        {"$schema": "http://json-schema.org/draft-07/schema#", "definitions": {"a": {}}, "$ref": "#/definitions/a"},
    ],
)
def test_schemas_that_are_taken(schema: dict[str, Any]) -> None:
    check_schema(schema, "parameters.json_schema")


def test_a_pattern_takes_linear_time() -> None:
    """A backtracking engine needs 2 ** 5000 steps, or gives up and lets it through."""
    schema = {"pattern": "^(a+)+$"}
    check_schema(schema, "schema")
    started = time.process_time()
    with pytest.raises(InvalidOutput):
        check_json(answer('"' + "a" * 5000 + '!"'), schema)
    assert time.process_time() - started < 5
