"""Any JSON that a model writes is found again, and what the plain rule reads is read the same."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptd.core.errors import InvalidOutput, OutputTruncated
from promptd.core.extraction import OutputKind, extract
from tests.core.descriptors.lists import JSON, LEAVES
from tests.core.extracting import LETTER, items, value

pytestmark = pytest.mark.slow


CONTAINERS = st.lists(JSON, max_size=3) | st.dictionaries(st.text("abc", max_size=3), JSON, max_size=3)


PROSE = st.text("abc,.:;'!? \n0123456789()äß", max_size=30)


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
