"""`.prompt` files of others: what becomes of each member, what is told, and what is refused, with its line."""

from __future__ import annotations

from typing import Any

import pytest

from promptd.core.content import Tool
from promptd.core.descriptors.param import Param
from promptd.core.errors import InvalidRequest
from promptd.core.model import Output
from promptd.core.parameters import Parameters
from promptd.core.rendering import Dialect
from promptd.core.template import Draft, MessageSource
from promptd.dialects.dotprompt import (
    FileName,
    read_file_name,
    read_partial_file,
    read_prompt_file,
    write_file_name,
    write_partial_file,
    write_prompt_file,
)
from promptd.dialects.dotprompt.document import read_document

pytestmark = pytest.mark.slow

FULL = """\
# Copyright, and the like

---
model: vendor/fast
description: Greets a guest
version: "2"
tools: [timeOfDay]
toolDefs:
- name: weather
  description: what it is like
  inputSchema:
    city: string
config:
  version: fast-latest
  temperature: 0.7
  topK: 20
  topP: 0.8
  maxOutputTokens: 100
  stopSequences:
  - STOP
input:
  default:
    name: Guest
  schema:
    name: string, whom to greet
    mood?(enum): [glad, sad]
    tags(array): string
    address?:
      street: string
output:
  format: json
  schema:
    greeting: string, the greeting
metadata:
  owner: team a
maker.tool.key: [1, 2]
x-note: hello
---

{{role "system"}}
Be {{mood}}.
{{role "user"}}
Greet {{name}}.
"""


def test_every_member_has_its_place() -> None:
    read = read_prompt_file(FULL, file="greeting.formal.prompt")
    weather = {
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "additionalProperties": False,
        "required": ["city"],
    }
    greeting = {
        "type": "object",
        "properties": {"greeting": {"type": "string", "description": "the greeting"}},
        "additionalProperties": False,
        "required": ["greeting"],
    }
    assert read.name == "greeting.formal"
    assert read.draft == Draft(
        messages=(MessageSource("\nBe {{mood}}.\n", "system"), MessageSource("\nGreet {{name}}.", "user")),
        dialect=Dialect.HANDLEBARS,
        model="vendor/fast",
        description="Greets a guest",
        parameters=Parameters(
            temperature=0.7,
            top_k=20,
            top_p=0.8,
            max_tokens=100,
            stop=("STOP",),
            extra={"version": "fast-latest"},
            tools=(Tool("weather", "what it is like", weather),),
        ),
        inputs=(
            Param("name", description="whom to greet", required=False, default="Guest"),
            Param("mood", kind="any", enum=("glad", "sad"), required=False),
            Param("tags", kind="array", items=Param("item")),
            Param("address", kind="object", properties=(Param("street"),), required=False),
        ),
        output=Output("json", greeting),
        metadata={
            "owner": "team a",
            "dotprompt": {"version": "2", "tools": ["timeOfDay"], "maker.tool.key": [1, 2], "x-note": "hello"},
        },
    )
    assert read.notes == ("version: it is kept and has no effect", "tools: it is kept and has no effect")


def test_what_was_kept_stands_in_the_file_again() -> None:
    read = read_prompt_file(FULL, file="greeting.formal.prompt")
    file, text = write_prompt_file(read.name, read.draft)
    assert file == "greeting.formal.prompt"
    front, again = read_document(text, name=file).raw, read_document(FULL, name=file).raw
    assert not [key for key in front if key.startswith("promptd.")], "all of it has words in the format"
    for key in ("model", "description", "version", "tools", "config", "metadata", "maker.tool.key", "x-note"):
        assert front[key] == again[key]
    assert read_document(text, name=file).body == read_document(FULL, name=file).body


@pytest.mark.parametrize(
    ("front", "changes"),
    [
        ("", {}),
        ("output:\n  schema: string\n", {"output": Output("json", {"type": "string"})}),
        ("output:\n  format: text\n", {}),
        ("output:\n  format: jsonl\n  schema:\n    type: array\n    items:\n      type: string\n", {"output": Output("jsonl", {"type": "string"})}),
        ("config:\n  max_tokens: 5\n", {"parameters": Parameters(max_tokens=5)}),
        ("config:\n  temperature: 1\n  seed: null\n", {"parameters": Parameters(temperature=1.0)}),
        ("input:\n  schema:\n    type: object\n    properties:\n      a: {type: string, minLength: 2, x-a: 1}\n", {"inputs": (Param("a", required=False, schema={"type": "string", "minLength": 2, "x-a": 1}),)}),
        ("input:\n  schema: {a: any}\n", {"inputs": (Param("a", kind="any"),)}),
        ("input:\n  default: {a: 5}\n", {"inputs": (Param("a", kind="any", required=False, default=5),)}),
    ],
)  # fmt: skip
def test_member(front: str, changes: dict[str, Any]) -> None:
    read = read_prompt_file(f"---\n{front}---\nHello\n", file="a.prompt")
    base: dict[str, Any] = {"messages": (MessageSource("Hello"),), "dialect": Dialect.HANDLEBARS, "inputs": ()}
    assert read.draft == Draft(**base | changes)
    assert not read.notes


def test_without_a_schema_anything_may_be_given_or_left_out() -> None:
    read = read_prompt_file("Hello {{name}} and {{#each others}}{{this}}{{/each}}", file="a.prompt")
    assert read.draft.inputs == tuple(Param(name, kind="any", required=False) for name in ("name", "others"))


@pytest.mark.parametrize(
    ("front", "note"),
    [
        ("output:\n  format: enum\n", "output.format"),
        ("output:\n  format: json\n  instructions: x\n", "output.instructions"),
        ("input:\n  schema: string\n", "input.schema"),
        ("input:\n  schema:\n    (*): string\n", "input.schema"),
        ("input:\n  other: string\n", "input.other"),
        ("toolDefs:\n- name: a\n  outputSchema: string\n", "toolDefs[0]: outputSchema"),
        ("tools: [a]\n", "tools"),
        ("version: 5\n", "version"),
    ],
)
def test_what_has_no_effect_is_told(front: str, note: str) -> None:
    (said,) = read_prompt_file(f"---\n{front}---\nHello", file="a.prompt").notes
    assert said.startswith(note)


@pytest.mark.parametrize(
    ("text", "line", "field"),
    [
        ("---\nmodel: [a]\n---\n", 2, "model"),
        ("# x\n\n---\na: 1\nconfig:\n  temperature: hot\n---\n", 6, "config.temperature"),
        ("---\nconfig: 5\n---\n", 2, "config"),
        ("---\nconfig:\n  topK: 1\n  top_k: 1\n---\n", 4, "config.top_k"),
        ("---\ninput:\n  schema:\n    first-name: string\n---\n", 4, "input.schema.first-name"),
        ("---\ninput:\n  schema:\n    a: text\n---\n", 3, "input.schema.a"),
        ("---\ninput:\n  default: 5\n---\n", 3, "input.default"),
        ("---\ntoolDefs: [5]\n---\n", 2, "toolDefs[0]"),
        ("---\ntoolDefs: 5\n---\n", 2, "toolDefs"),
        ("---\nmodel: a\n---\n\nb\n{{#if}}\n", 6, "template"),
        ("{{x", 1, "template"),
        ("---\nmodel: a\n", 1, "a.prompt"),
        ("---\n- a\n---\n", 2, "a.prompt"),
        ("---\na: 1\na: 2\n---\n", 3, "a.prompt"),
        ("---\na: !!python/object:os.system x\n---\n", 2, "a.prompt"),
        ("---\npromptd.labels: x\n---\n", 2, "promptd.labels"),
        ("---\npromptd.connection: x\n---\n", 2, "promptd.connection"),
        ("---\npromptd.callable: 5\n---\n", 2, "promptd.callable"),
        ("---\npromptd.messages:\n- source: b\n---\na", 2, "promptd.messages"),
        ("---\ninput:\n  schema: {a: string}\npromptd.inputs:\n- name: b\n---\na", 4, "promptd.inputs"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(text: str, line: int, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_prompt_file(text, file="a.prompt")
    assert not line or f"line {line}:" in refused.value.message
    assert refused.value.field == field
    assert "python/object:os.system" not in refused.value.message or "tags" in refused.value.message


def test_schemas_may_be_called_by_name() -> None:
    read = read_prompt_file("---\noutput:\n  schema: Foo\n---\n", file="a.prompt", schemas={"Foo": {"type": "null"}})
    assert read.draft.output == Output("json", {"type": "null"})


def test_the_frontmatter_names_the_template_before_the_file_does() -> None:
    assert read_prompt_file("---\nname: b\nvariant: c\n---\n", file="a.prompt").name == "b.c"
    assert read_prompt_file("---\nvariant: c\n---\n", file="a.b.prompt").name == "a.c"


def test_a_byte_order_mark_is_no_text() -> None:
    assert read_prompt_file("\ufeff---\nmodel: a\n---\nx", file="a.prompt").draft.model == "a"


@pytest.mark.parametrize(
    ("file", "name"),
    [("a.prompt", FileName("a")), ("a.b.prompt", FileName("a.b")), ("_a-b.prompt", FileName("a-b", partial=True))],
)
def test_file_names(file: str, name: FileName) -> None:
    assert read_file_name(file) == name
    assert write_file_name(name) == file


@pytest.mark.parametrize(
    "file", ["a.txt", ".prompt", "a.b.c.prompt", "a..prompt", "../a.prompt", "a/b.prompt", "_.prompt"]
)
def test_other_file_names_are_refused(file: str) -> None:
    with pytest.raises(InvalidRequest):
        read_file_name(file)


@pytest.mark.parametrize(
    ("name", "draft", "field"),
    [
        ("a.b.c", Draft(dialect=Dialect.HANDLEBARS), "name"),
        ("_a", Draft(dialect=Dialect.HANDLEBARS), "name"),
        ("a", Draft(dialect=Dialect.MINIJINJA), "dialect"),
        ("a", Draft(dialect=Dialect.HANDLEBARS, connection="c"), "connection"),
        ("a", Draft(dialect=Dialect.HANDLEBARS, messages=(MessageSource("x", "tool"),)), "messages[0].role"),
    ],
)
def test_what_a_file_cannot_say_is_refused(name: str, draft: Draft, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        write_prompt_file(name, draft)
    assert refused.value.field == field


def test_partials_are_files_without_frontmatter() -> None:
    file, text = write_partial_file("greeting", "---\nHi {{name}}\n")
    assert (file, read_partial_file(text, file=file)) == ("_greeting.prompt", "---\nHi {{name}}\n")
    with pytest.raises(InvalidRequest):
        read_partial_file("a", file="a.prompt")
    with pytest.raises(InvalidRequest):
        read_prompt_file("a", file="_a.prompt")
