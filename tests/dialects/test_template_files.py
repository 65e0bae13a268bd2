"""Our own YAML form of templates, and the YAML that is read and written in it."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from promptd.core.connections import StoredSettings
from promptd.core.descriptors.param import Param
from promptd.core.errors import InvalidRequest
from promptd.core.model import Output
from promptd.core.parameters import Parameters
from promptd.core.rendering import Dialect
from promptd.core.template import Assertion, Case, Draft, MessageSource
from promptd.dialects import yaml_text
from promptd.dialects.template_files import TemplateFile, read_template_file, write_template_file
from tests.dialects.dotprompt.drafts import drafts, names, values, words

TEXT = """\
dialect: minijinja
description: Says hello
model: fast
messages:
- system: |
    You greet people.

    Be kind.
- user: Say hello to {{ name }}.
- user: ''
  partial: closing
inputs:
- name: name
  description: whom to greet
output:
  kind: json
  schema:
    type: object
parameters:
  temperature: 0.5
  stop:
  - 'no'
cases:
- name: a friend
  inputs:
    name: Ada
  assertions:
  - kind: contains
    value: Ada
    path: items[0]
metadata:
  owner: a
partials:
  closing: |
    Bye.
"""
FILE = TemplateFile(
    Draft(
        dialect=Dialect.MINIJINJA,
        description="Says hello",
        model="fast",
        messages=(
            MessageSource("You greet people.\n\nBe kind.\n", "system"),
            MessageSource("Say hello to {{ name }}."),
            MessageSource("", partial="closing"),
        ),
        inputs=(Param("name", description="whom to greet"),),
        output=Output("json", {"type": "object"}),
        parameters=Parameters(temperature=0.5, stop=("no",)),
        cases=(Case("a friend", {"name": "Ada"}, (Assertion("contains", "Ada", "items[0]"),)),),
        metadata={"owner": "a"},
    ),
    {"closing": "Bye.\n"},
)


def test_a_file_is_for_people() -> None:
    assert write_template_file(FILE, name="hello.yaml") == TEXT
    assert read_template_file(TEXT, name="hello.yaml") == FILE


def test_comments_and_order_are_free() -> None:
    text = "# greets\npartials: {a: b}\nmessages:\n  - {user: x} # asks\n"
    assert read_template_file(text, name="f") == TemplateFile(Draft(messages=(MessageSource("x"),)), {"a": "b"})


def test_a_file_may_hold_partials_alone() -> None:
    file = TemplateFile(partials={"a": "b\n", "c": ""})
    assert read_template_file(write_template_file(file, name="f"), name="f") == file


def test_a_query_of_a_connection_has_its_place() -> None:
    file = TemplateFile(Draft(connection="c"), settings={"task": "copy", "pin": {"$secret": "pin"}})
    text = write_template_file(file, name="f")
    assert read_template_file(text, name="f") == file
    sealed = Draft(connection="c", settings=StoredSettings(b"\x00sealed"))
    assert write_template_file(TemplateFile(sealed, settings=file.settings), name="f") == text, "nothing sealed leaves"


def exactly(file: TemplateFile) -> bytes:
    """Where `1`, `1.0` and `true` differ; but for empty members, which a file does not say."""
    told = msgspec.to_builtins(file)
    for member in ("output", "parameters"):
        if not told["draft"].get(member):
            told["draft"].pop(member, None)
    return msgspec.json.encode(told, order="deterministic")


@settings(max_examples=15)
@given(drafts(), st.dictionaries(names, words, max_size=2))
def test_what_is_written_is_read_again(draft: Draft, partials: dict[str, str]) -> None:
    file = TemplateFile(draft, partials)
    text = write_template_file(file, name="f")
    read = read_template_file(text, name="f")
    assert read == file
    assert exactly(read) == exactly(file)
    assert write_template_file(read, name="f") == text


@pytest.mark.parametrize(
    ("text", "line", "field"),
    [
        ("", 1, "f.yaml"),
        ("- a", 1, "f.yaml"),
        ("just text", 1, "f.yaml"),
        ("dialect: minijinja\nlabels:\n  production: 1\n", 2, "labels"),
        ("dialect: jinja2\n", 1, "dialect"),
        ("messages: hello\n", 1, "messages"),
        ("messages:\n- user: a\n- boss: b\n", 3, "messages[1]"),
        ("messages:\n- user: a\n  system: b\n", 2, "messages[0]"),
        ("messages:\n- {}\n", 2, "messages[0]"),
        ("messages:\n- user: 5\n", 2, "messages[0]"),
        ("output:\n  kind: xml\n", 2, "output.kind"),
        ("output:\n  kind: json\n  shema: {}\n", 3, "output.shema"),
        ("cases:\n- name: a\n  asserts: []\n", 3, "cases[0].asserts"),
        (
            "cases:\n- name: a\n  assertions:\n  - kind: equals\n    value: 1\n    at: b\n",
            6,
            "cases[0].assertions[0].at",
        ),
        ("inputs:\n- name: a\n  kind: text\n", 3, "inputs[0].kind"),
        ("inputs:\n- name: a\n  typ: text\n", 3, "inputs[0].typ"),
        ("parameters:\n  temperature: warm\n", 2, "parameters.temperature"),
        ("parameters:\n  temprature: 1\n", 2, "parameters.temprature"),
        ("callable: 'yes'\n", 1, "callable"),
        ("settings: sealed\n", 1, "settings"),
        ("partials:\n  a: 5\n", 1, "partials"),
        ("description: a\ndescription: b\n", 2, "f.yaml"),
        ("a: [\n", 2, "f.yaml"),
        ("a: \x07\n", 0, "f.yaml"),
        ("? [a]\n: b\n", 1, "f.yaml"),
        ("description: .inf\n", 1, "f.yaml"),
        ("a: 1\n---\nb: 2\n", 2, "f.yaml"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(text: str, line: int, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_template_file(text, name="f.yaml")
    assert refused.value.message.startswith(f"f.yaml, line {line}: " if line else "f.yaml: ")
    assert refused.value.field == field


BOMBS = {
    "aliases": "a: &a [x]\nb: &b [*a, *a]\n",
    "a billion of them": "a: &a [x,x]\n" + "".join(f"a{no}: &b{no} [*a, *a]\n" for no in range(1000)),
    "python": "metadata: !!python/object/apply:os.system ['true']\n",
    "a tag of somebody": "metadata: !thing {}\n",
    "a known tag": "description: !!str 5\n",
    "binary": "description: !!binary aGVsbG8=\n",
    "merge": "x: &x {a: 1}\nmetadata: {<<: *x}\n",
    "deep lists": "metadata: " + "[" * 1_000_000,
    "deep mappings": "metadata: " + "{a: " * 500_000,
    "deep blocks": "".join(" " * no + "a:\n" for no in range(2000)),
    "many values": "metadata:\n" + "- a\n" * 1_000_000,
    "50 MB": "description: " + "a" * 50_000_000,
    "many digits": "metadata: {a: " + "9" * 1_000_000 + "}",
    "half a pair": "description: \ud800",
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_hostile_file_is_refused_soon(name: str) -> None:
    started = time.process_time()
    with pytest.raises(InvalidRequest):
        read_template_file(BOMBS[name], name="f.yaml")
    assert time.process_time() - started < 2, "0.2 s on a quiet machine; the tests' machine may be slow"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("yes", "yes"),
        ("on", "on"),
        ("2024-01-02", "2024-01-02"),
        ("12:30", "12:30"),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("1e3", 1000.0),
        ("-.5", -0.5),
        ("~", None),
        ("True", True),
        ("'true'", "true"),
        ("1_000", "1_000"),
        ("<<", "<<"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    read = yaml_text.read(f"a: {text}\n", name="f").value["a"]
    assert (read, type(read)) == (value, type(value))


@settings(max_examples=100)
@given(values)
def test_yaml_is_read_as_it_was_written(value: Any) -> None:
    text = yaml_text.write(value, name="f")
    assert repr(yaml_text.read(text, name="f").value) == repr(value)


@pytest.mark.parametrize("value", ["yes", "12:30", "1e3", "0o7", "0x1F", "010", "1_000", "2024-01-02", "null", "", "="])
def test_other_readers_see_the_same(value: str) -> None:
    """What this reader takes for text an older one must not take for a number, a date or a truth value."""
    assert yaml.safe_load(yaml_text.write({"a": value}, name="f")) == {"a": value}


@pytest.mark.parametrize("value", [[0] * 60_000, {"a": "x" * 5_000_000}], ids=["many", "long"])
def test_what_could_not_be_read_is_not_written(value: Any) -> None:
    with pytest.raises(InvalidRequest):
        yaml_text.write(value, name="f")


def test_depth_has_a_bound_on_both_ways() -> None:
    value: Any = []
    for _ in range(yaml_text.MAX_DEPTH - 1):
        value = [value]
    assert yaml_text.read(yaml_text.write(value, name="f"), name="f").value == value
    with pytest.raises(InvalidRequest):
        yaml_text.write([value], name="f")
