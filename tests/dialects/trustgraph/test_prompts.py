"""Templates as configuration items hold them."""

from __future__ import annotations

import json

import pytest

from promptd.core.rendering import Dialect
from promptd.core.template import Draft, MessageSource
from promptd.dialects.trustgraph.prompts import (
    DEFAULT_SYSTEM,
    SYSTEM_PARTIAL,
    read_system,
    read_template,
    write_template,
)


def test_a_template_is_read() -> None:
    schema = {"type": "object"}
    text = json.dumps({"id": "other", "prompt": "Say {{ a }}", "response-type": "json", "schema": schema})
    draft = read_template(text)
    assert draft.messages == (
        MessageSource(DEFAULT_SYSTEM, "system", SYSTEM_PARTIAL),
        MessageSource("Say {{ a }}"),
    )
    assert draft.dialect is Dialect.IBIS
    assert (draft.output.kind, draft.output.schema, draft.output.repair) == ("json", schema, 0)
    assert (draft.source, draft.fault) == (text, "")


def test_text_is_the_usual_kind_and_needs_no_schema() -> None:
    for more in ({}, {"response-type": None}, {"response-type": "text", "schema": {"type": "object"}}):
        output = read_template(json.dumps({"prompt": "x"} | more)).output
        assert (output.kind, output.schema) == ("text", None)


def test_lines_have_their_schema_under_either_name() -> None:
    given = {"prompt": "x", "response-type": "jsonl", "object-schema": {"type": "object"}}
    assert read_template(json.dumps(given)).output.schema == {"type": "object"}
    assert read_template(json.dumps(given | {"schema": {"type": "array"}})).output.schema == {"type": "array"}
    assert read_template(json.dumps(given | {"response-type": "json"})).output.schema is None


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "not a JSON object"),
        ("{}", "no prompt"),
        ('{"prompt":5}', "no prompt"),
        ('{"prompt":"x","response-type":"xml"}', "Response type xml not known"),
        ('{"prompt":"x","response-type":["json"]}', "not known"),
        ('{"prompt":"x","response-type":"json","schema":"{}"}', "schema is not an object"),
    ],
)
def test_what_is_no_template_is_kept_with_its_fault(text: str, fault: str) -> None:
    draft = read_template(text)
    assert fault in draft.fault
    assert write_template("x", draft) == text


def test_a_template_of_the_house_is_shown_as_one_of_theirs() -> None:
    draft = Draft(messages=(MessageSource("a", "system"), MessageSource("b")), dialect=Dialect.MINIJINJA)
    assert json.loads(write_template("x", draft)) == {"id": "x", "prompt": "a\n\nb", "response-type": "text"}


@pytest.mark.parametrize(
    ("text", "system"),
    [
        (None, "Be helpful."),
        ("", "Be helpful."),
        ("5", "Be helpful."),
        ("Be brief", "Be helpful."),
        ('"Be brief"', "Be brief"),
    ],
)
def test_the_system_prompt_is_a_json_string(text: str | None, system: str) -> None:
    assert read_system(text) == system
