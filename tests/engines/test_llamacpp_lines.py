"""JSON lines from llama.cpp: whatever the model would like to say, each line is JSON, and fits as far as a grammar can say."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import msgspec
import pytest
from msgspec.structs import replace

from promptd.core.errors import InvalidInput
from promptd.core.model import Output
from promptd.engines.llamacpp import LlamaCpp
from promptd.engines.llamacpp.grammar import lines_grammar
from tests.engines.llamacpp_support import MakeCall

SCHEMAS: dict[str, dict[str, Any]] = {
    "all kinds": {
        "type": "object",
        "properties": {
            'na"me\n': {"type": "string"},
            "kind": {"enum": ["a", "b c", 'say "x"', 1, None]},
            "one": {"const": "é"},
            "whole": {"type": "integer"},
            "yes": {"type": ["boolean", "null"]},
        },
        "required": ['na"me\n', "kind", "one", "whole", "yes"],
    },
    "only optional": {"type": "object", "properties": {"a": {"type": "boolean"}, "b": {"type": "boolean"}}},
    "one of two": {"anyOf": [{"const": {"a": [1]}}, {"type": "boolean"}]},
    "a list": {
        "type": "object",
        "properties": {"list": {"type": "array", "items": {"type": "boolean"}, "minItems": 2, "maxItems": 3}},
        "required": ["list"],
    },
    "references": {
        "type": "object",
        "properties": {"next": {"anyOf": [{"$ref": "#/$defs/end"}, {"const": 2}]}, "odd": {"$ref": "#/$defs/a~1b"}},
        "required": ["next", "odd", "unknown"],
        "$defs": {"end": {"const": 1}, "a/b": {"type": "null"}},
    },
    "itself": {
        "type": "object",
        "properties": {"end": {"const": True}, "more": {"$ref": "#"}},
        "required": ["end"],
    },
    "left open": {"not": {"type": "string"}, "if": {}, "allOf": [{"minimum": 1}]},
}


@pytest.mark.parametrize("name", SCHEMAS)
async def test_each_line_fits(llama: LlamaCpp, call: MakeCall, name: str) -> None:
    schema = SCHEMAS[name]
    asked = replace(call("A review.", max_tokens=120, context=1024), output=Output("jsonl", schema))
    result = await llama.execute(asked)
    lines = result.text.split("\n")
    if result.finish_reason == "length":
        lines.pop()
    values = [msgspec.json.decode(line) for line in lines if line]
    if name != "left open":
        assert values or result.finish_reason == "length"
        assert all(jsonschema_rs.validator_for(schema).is_valid(value) for value in values), result.text


async def test_another_form_or_a_grammar_of_the_caller_s_own_is_left_alone(llama: LlamaCpp, call: MakeCall) -> None:
    schema = SCHEMAS["one of two"]
    for output, grammar in ((Output("jsonl", schema), 'root ::= "mine"'), (Output(), 'root ::= "mine"')):
        assert (await llama.execute(replace(call(grammar=grammar), output=output))).text == "mine"


async def test_the_schema_is_bounded(llama: LlamaCpp, call: MakeCall) -> None:
    with pytest.raises(InvalidInput, match=r"output\.schema"):
        await llama.execute(replace(call(), output=Output("jsonl", {"enum": list(range(501))})))


def test_a_large_schema_is_left_open_soon() -> None:
    optional = {"type": "object", "properties": {f"p{no}": {"type": "object"} for no in range(400)}}
    assert "p399" not in lines_grammar(optional)
    assert lines_grammar({"enum": []}).startswith("root ::= ( value")
    assert lines_grammar({"$ref": "http://elsewhere"}).startswith("root ::= ( value")
    assert lines_grammar(None).startswith("root ::= ( object")
