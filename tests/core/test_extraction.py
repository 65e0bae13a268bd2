"""What models write around JSON, and what must be read all the same."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import Any

import pytest

from promptd.core.content import Turn
from promptd.core.errors import InvalidInput, InvalidOutput, OutputTruncated
from promptd.core.extraction import Extracted, OutputKind, extract, repair_messages, strict_compatible
from tests.core.extracting import LETTER, items, value

pytestmark = pytest.mark.slow


# ------------------------------------------------------------------ case by case


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}', {"a": 1}),
        ("42", 42),
        ('"text"', "text"),
        ("null", None),
        ("```json 5```", 5),
        ("first ```json\n[1]\n``` then ```json\n[2]\n```", [1]),
        ("```\n{'a': 1}\n```\n{\"b\": 2}", {"b": 2}),
        ('{"md": "```json\\n{}\\n```", "b": [1]}', {"md": "```json\n{}\n```", "b": [1]}),
        ('```json\n{"md": "```js\\nx()\\n```"}\n```', {"md": "```js\nx()\n```"}),
        ('```jsonl\n{"a": 1}\n```', {"a": 1}),
        ('```JSON {"a": 1}```', {"a": 1}),
        ("```Json\n42\n```", 42),
        ('As in [1] and [2], it is {"a": [1, 2]}, see [3].', {"a": [1, 2]}),
        ('perhaps {"a": 0, "b": 1}?\n</think>\n{"a": 1}', {"a": 1}),
        ('{"a": "</think>"}', {"a": "</think>"}),
        ('So {"a": "</think>", "b": {"c": 1}} it is', {"a": "</think>", "b": {"c": 1}}),
        ('<think>a</think><think>b</think>{"a": 1}', {"a": 1}),
        ('<think>{"a": 0}', {"a": 0}),
        ('{"a": 1}{"b": 22}', {"b": 22}),
        ('{"n": 123456789012345678901234567890}', {"n": 123456789012345678901234567890}),
        ('{"e": "\\ud83d\\ude00"}', {"e": "\U0001f600"}),
        ('{"a": [1,], "b": "x,]"} // done', {"a": [1], "b": "x,]"}),
        ("[" * 99 + "1" + "]" * 99, json.loads("[" * 99 + "1" + "]" * 99)),
    ],
)
def test_values(text: str, expected: Any) -> None:
    assert value(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the answer is not JSON"),
        ("I can't do that.", "the answer is not JSON"),
        ("{'a': 1}", "the answer is not JSON"),
        ('{"a": NaN}', "the answer is not JSON"),
        ("[1e999]", "the answer is not JSON"),
        ('["\\ud800"]', "the answer is not JSON"),
        ("[" + "1" * 5000 + "]", "the answer is not JSON"),
        ('{"a": 1 "b": 2}', "the answer is not JSON"),
        ('[1, {"a": 1}, oops]', "the answer is not JSON"),  # a part of a broken value is no answer
        ('```json\n{"a": 1,\n```', "the answer is not JSON"),
        ("[" * 101 + "]" * 101, "the answer is nested too deeply or too large"),
        ("[" * 100_000 + "]" * 100_000, "the answer is nested too deeply or too large"),
        ('so: {"a":' * 100_000, "the answer is not JSON"),
    ],
)
def test_no_json(text: str, message: str) -> None:
    with pytest.raises(InvalidOutput) as raised:
        value(text)
    assert (raised.value.message, raised.value.step) == (message, "parse")
    assert not isinstance(raised.value, OutputTruncated)
    assert len(raised.value.reason) <= 500


@pytest.mark.parametrize(
    "text",
    [
        '{"a": 1',
        '{"a": "b',
        '{"a": tru',
        '{"a": -',
        "[1.",
        '{"a": "\\u12',
        '{"a": [1,], "b',
        "```json\n[1, 2,\n",
        '{"a": "b\\',
    ],
)
def test_an_end_without_brackets_is_cut_whatever_the_service_says(text: str) -> None:
    with pytest.raises(OutputTruncated):
        value(text)


def test_an_example_before_a_cut_answer_is_no_answer() -> None:
    with pytest.raises(OutputTruncated):
        value('Like {"a": 0}, so: {"a": 1, "b', finish_reason="length")
    with pytest.raises(OutputTruncated):
        value('<think>maybe {"a": 0}', finish_reason="length")
    assert value('{"a": 0} and some words', finish_reason="length") == {"a": 0}


def test_the_schema_chooses() -> None:
    assert value('{"b": 2} or {"a": "x"} or {"a": 3}', LETTER) == {"a": 3}
    assert value('```json\n{"b": 2}\n```\n```json\n{"a": 3}\n```', LETTER) == {"a": 3}
    assert value('{"b": "```{}```", "a": 1}', LETTER) == {"b": "```{}```", "a": 1}


@pytest.mark.parametrize(
    ("text", "field", "reason"),
    [
        ('{"a": "secret"}', "answer.a", '"secret" is not of type "integer"'),
        ('Sure: {"b": 1}', "answer.a", '"a" is a required property'),
        ("5", "answer", '5 is not of type "object"'),
        ('"{"', "answer", '"{" is not of type "object"'),
        ('["{\\"a\\": 1}", {"a": 1}]', "answer", 'is not of type "object"'),
    ],
)
def test_a_value_that_does_not_fit(text: str, field: str, reason: str) -> None:
    with pytest.raises(InvalidOutput) as raised:
        value(text, LETTER)
    assert (raised.value.step, raised.value.field) == ("schema", field)
    assert reason in raised.value.reason
    assert "secret" not in raised.value.message
    with pytest.raises(InvalidOutput, match=r"^answer"):  # what is whole was not cut
        value(text, LETTER, finish_reason="length")


def test_the_path_of_a_value_does_not_quote_the_answer() -> None:
    schema = {"additionalProperties": {"items": {"type": "integer"}}}
    with pytest.raises(InvalidOutput) as raised:
        value('{"secret": [1, "x"]}', schema)
    assert raised.value.field == "answer.*[1]"


def test_a_schema_that_can_t_be_used() -> None:
    for schema in ({"pattern": r"(a)\1"}, {"$ref": "http://127.0.0.1/x"}, {"type": "zork"}):
        with pytest.raises(InvalidInput):
            value('"aa"', schema)


def test_text_is_text() -> None:
    assert extract("```json\n{}```", "text", finish_reason="length") == Extracted("```json\n{}```")


# ------------------------------------------------------------------ lines


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"a": 1}\n{"a": 2}', [{"a": 1}, {"a": 2}]),
        ('```jsonl\n{"a": 1}\n\n{"a": 2}\n```', [{"a": 1}, {"a": 2}]),
        ('```JSONL\n{"a": 1}\n```', [{"a": 1}]),
        ('\ufeff{"a": 1}', [{"a": 1}]),
        ('<think>{"a": 0}\n{"a": 9}</think>\n{"a": 1}', [{"a": 1}]),
        ('{\n  "a": 1\n}\n{\n  "a": 2\n}', [{"a": 1}, {"a": 2}]),
        ('[{"a": 1}, {"a": 2}]', [{"a": 1}, {"a": 2}]),
        ('[\n  {"a": 1},\n  {"a": 2},\n]', [{"a": 1}, {"a": 2}]),
        ('{"a": 1},\n{"a": 2,},', [{"a": 1}, {"a": 2}]),
        ('[\n{"a": 1},\n{"a": 2},\n{"a"', [{"a": 1}, {"a": 2}]),
        ('Items:\n{"a": 1}\nDone.', [{"a": 1}]),
        ('{"a": "\u2028"}\n{"a": 1}', [{"a": "\u2028"}, {"a": 1}]),
        ("[1, 2]\n[3]", [[1, 2], [3]]),
        ("[]", []),
        ("", []),
        ("nothing", []),
        ("[" * 100_000, []),
    ],
)
def test_lines(text: str, expected: list[Any]) -> None:
    assert items(text) == expected


def test_items_that_do_not_fit_are_dropped_with_a_warning() -> None:
    text = '{"a": 1}\n \n\noops\n{"a": "secret"}\n[{"a": 2}, {"b": 3}]\n{"a": 4'
    got = extract(text, "jsonl", LETTER, finish_reason="length")
    assert got.value == [{"a": 1}, {"a": 2}]
    assert got.warnings == (
        "line 4: not JSON",
        "line 7: not JSON",
        "line 5: answer.a: expected an integer",
        "line 6: answer.a: expected a value, which is required",
        "the answer was cut by the token limit",
    )


def test_a_list_that_is_an_item_stays_one() -> None:
    assert items("[1, 2]", {"type": "array"}) == [[1, 2]]


def test_warnings_and_items_are_bounded() -> None:
    got = extract("oops\n" * 5_000 + "1\n" * 150_000, "jsonl", finish_reason="stop")
    assert len(got.value) == 100_000
    assert len(got.warnings) == 21


# ------------------------------------------------------------------ hostile


@pytest.mark.parametrize("kind", ["json", "jsonl"])
@pytest.mark.parametrize(
    "piece",
    [
        *(
            "{",
            "[",
            "`",
            "```json {",
            "<think>",
            "</think>",
            '["',
            '\\"',
            "[1]",
            "[1 ",
            "[1,]",
            '{"a":',
            '{"a":[1,], x ',
        ),
        *("{\n", "{]}\n", "{ ", '{"a":"\\"{', "[1,2,", '"', ",]", " ", "\n", "[{},", '{"a', "}", "1\n", "```\n"),
    ],
)
def test_time_is_linear_in_hostile_text(piece: str, kind: OutputKind) -> None:
    size = 1_000_000
    text = piece * (size // len(piece))
    begin = time.thread_time()
    for hostile in (text, "[" + text, '{"a":"' + text, "```" + text):
        with suppress(InvalidOutput):
            extract(hostile, kind, LETTER, finish_reason="stop")
    assert time.thread_time() - begin < 4 * 0.5  # what is quadratic takes minutes


# ------------------------------------------------------------------ repair, strictness


def test_a_repair_round_shows_the_error() -> None:
    question = (Turn("system", "Be brief."), Turn("user", "JSON please"))
    with pytest.raises(InvalidOutput) as raised:
        value('{"a": "x"}', LETTER)
    turns = repair_messages(question, '{"a": "x"}', raised.value)
    assert turns[:2] == question
    assert turns[2] == Turn("assistant", '{"a": "x"}')
    assert turns[3].role == "user"
    assert "answer.a: expected an integer" in turns[3].content
    assert '"x" is not of type "integer"' in turns[3].content
    assert len(repair_messages((), "x" * 10**6, raised.value)[0].content) < 40_000


def closed(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": [*properties],
        "additionalProperties": False,
    }


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        (closed(a={"type": "string"}), True),
        (closed(pattern={"type": "string"}, minimum={"enum": [{"pattern": "x"}]}), True),
        (closed(a={"type": "array", "items": closed(b={"type": "integer"})}), True),
        ({"type": "array", "items": {"type": "string"}}, True),
        ({"type": "object"}, False),
        ({"type": ["object", "null"]}, False),
        ({"properties": {}}, False),
        (closed(a={"type": "string"}) | {"required": []}, False),
        (closed(a={"type": "string"}) | {"additionalProperties": True}, False),
        (closed(a={"type": "string", "pattern": "x"}), False),
        (closed(a={"type": "array", "items": {"type": "object"}}), False),
        (closed(a={"anyOf": [{"type": "null"}, {"type": "integer", "minimum": 1}]}), False),
        (closed() | {"$defs": {"x": {"type": "array", "maxItems": 1}}}, False),
    ],
)
def test_schemas_that_a_service_can_keep_to(schema: dict[str, Any], strict: bool) -> None:
    assert strict_compatible(schema) is strict
