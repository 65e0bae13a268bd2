"""What models write around JSON, and what must be read all the same."""

from __future__ import annotations

import json
import re
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptd.core.content import Turn
from promptd.core.errors import InvalidInput, InvalidOutput, OutputTruncated
from promptd.core.extraction import Extracted, OutputKind, extract, repair_messages, strict_compatible
from tests.core.descriptors.lists import JSON, LEAVES

pytestmark = pytest.mark.slow

CONTAINERS = st.lists(JSON, max_size=3) | st.dictionaries(st.text("abc", max_size=3), JSON, max_size=3)
PROSE = st.text("abc,.:;'!? \n0123456789()äß", max_size=30)
LETTER: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def value(text: str, schema: dict[str, Any] | None = None, finish_reason: str = "stop") -> Any:
    return extract(text, "json", schema, finish_reason=finish_reason).value


def items(text: str, schema: dict[str, Any] | None = None, finish_reason: str = "stop") -> Any:
    return extract(text, "jsonl", schema, finish_reason=finish_reason).value


def by_the_rule(text: str) -> Any:
    """The rule of trustgraph.md §4.4 to the letter. Raises `ValueError`."""
    block = re.search(r"```(?:json)?(.*?)```", text, re.DOTALL)
    return json.loads((block[1] if block else text).strip())


def lines_by_the_rule(text: str) -> list[Any]:
    stripped = re.sub(r"```\s*$", "", re.sub(r"^```(?:jsonl|json)?", "", text.strip()))
    found = []
    for line in stripped.split("\n"):
        if line.strip() and not line.strip().startswith("```"):
            try:
                found.append(json.loads(line.strip()))
            except ValueError:
                continue
    return found


def is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


# ------------------------------------------------------------------ found again


@st.composite
def written(draw: st.DrawFn, one: Any) -> str:
    indent = draw(st.sampled_from([None, 2]))
    return json.dumps(one, ensure_ascii=draw(st.booleans()), indent=indent)


@given(st.data(), JSON | LEAVES)
def test_any_value_is_found_in_a_fence_behind_a_thought_and_bare(data: st.DataObject, one: Any) -> None:
    text = data.draw(written(one))
    for wrapped in (
        text,
        f"\n {text}\n",
        f"\ufeff{text}",
        f"```json\n{text}\n```",
        f"```\n{text}\n```",
        f"Here it is:\n```JSON\n{text}\n```\nDone.",
        f"<think>one, two</think>\n{text}",
        f'<think>\n{{"draft": 1}}\n```json\n[0]\n```</think>\n\n{text}',
        f"one, two\n</think>\n\n{text}",
        f"<THINKING>x</THINKING>```json\n{text}\n```",
    ):
        assert value(wrapped) == one


@given(st.data(), CONTAINERS, PROSE, PROSE)
def test_objects_and_lists_are_found_in_prose(data: st.DataObject, one: Any, before: str, behind: str) -> None:
    if one == []:
        one = [1]  # nothing is shorter, and of several the longest wins
    assert value(f"{before}{data.draw(written(one))}{behind}") == one


@given(st.data(), st.lists(LEAVES, min_size=1, max_size=3))
def test_commas_too_many_are_forgiven(data: st.DataObject, leaves: list[Any]) -> None:
    inside = ", ".join(json.dumps(leaf) for leaf in leaves)
    assert value(f"[{inside} ,\n ]") == leaves
    assert value(f'Sure: {{"a": [{inside},], "b": {{"c": 1 , }},}} ok') == {"a": leaves, "b": {"c": 1}}
    assert value(f'{{"a, ]": [{inside},]}}') == {"a, ]": leaves}


FRAGMENTS = st.sampled_from(
    [
        "```",
        "json",
        "JSON",
        "{",
        "}",
        "[",
        "]",
        '"a"',
        '"',
        ":",
        "1",
        ",",
        "\n",
        " ",
        "\\",
        "tru",
        "e",
        "<think>",
        "</think>",
    ]
)


@given(
    st.lists(FRAGMENTS | st.sampled_from(['{"a":1}', "[1]", "```json\n", "\n```\n", "well, "]), max_size=14).map(
        "".join
    )
)
@settings(max_examples=300)
def test_what_the_rule_reads_is_read_the_same(text: str) -> None:
    try:
        expected = by_the_rule(text)
    except ValueError:
        return
    if re.match(r"\s*<think>", text) or "</think>" in text or is_json(text.strip()):
        return  # drafts, and fences inside the strings of a value: there the rule finds what is no answer
    assert value(text) == expected


LINES = st.sampled_from(
    ['{"a": 1}', '{"b": [2]}', '"x"', "3", "null", "", "  ", "oops", '{"a": ', "a: {", "```", "[1, 2]", "[]", "}"]
)


@given(st.lists(LINES, max_size=6), st.sampled_from(["", "```json\n", "```jsonl\n", "```\n"]))
def test_lines_that_the_rule_reads_are_read_the_same(lines: list[str], fence: str) -> None:
    text = fence + "\n".join(lines) + ("\n```" if fence else "")
    expected = lines_by_the_rule(text)
    if len(expected) == 1 and isinstance(expected[0], list):
        expected = expected[0]  # a list on a line stands for its items
    if '{"a": ' in lines and "}" in lines:
        return  # an object over two lines
    assert items(text) == expected


@given(st.text() | st.lists(FRAGMENTS, max_size=40).map("".join), st.sampled_from(["json", "jsonl"]), st.booleans())
@settings(max_examples=300)
def test_nothing_else_is_raised(text: str, kind: OutputKind, cut: bool) -> None:
    reason = "length" if cut else "stop"
    if kind == "jsonl":
        assert isinstance(extract(text, kind, LETTER, finish_reason=reason).value, list)
        return
    error: InvalidOutput | None = None
    try:
        got = extract(text, kind, LETTER, finish_reason=reason)
    except InvalidOutput as raised:
        error = raised
    if error is None:
        assert isinstance(got.value["a"], int | float)
    else:
        assert error.step in ("parse", "schema")
        assert error.reason


@given(CONTAINERS.filter(bool), st.data())
def test_a_cut_value_is_told_as_such(one: Any, data: st.DataObject) -> None:
    text = json.dumps(one)
    piece = text[: data.draw(st.integers(2, len(text) - 1))]
    wrapped = data.draw(st.sampled_from([piece, f"Sure: {piece}", f"```json\n{piece}", f"<think>x</think>{piece}"]))
    with pytest.raises(OutputTruncated) as raised:
        value(wrapped, finish_reason="length")
    assert raised.value.step == "parse"


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
