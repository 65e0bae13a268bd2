"""The flag rules: what a command line makes of a path, and of a body."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.oo.arguments import read, tree, value
from promptd.oo.failure import Failed

VALUES: list[tuple[str, Any]] = [
    ("5", 5),
    ("007", 7),
    ("-3", -3),
    ("+4", 4),
    ("-0", 0),
    ("0", 0),
    ("1", 1),
    ("9223372036854775807", 2**63 - 1),
    ("-9223372036854775808", -(2**63)),
    ("9223372036854775808", "9223372036854775808"),
    ("1" * 5000, "1" * 5000),
    ("0" * 5000 + "8", 8),
    ("t", True),
    ("T", True),
    ("TRUE", True),
    ("true", True),
    ("True", True),
    ("f", False),
    ("F", False),
    ("FALSE", False),
    ("false", False),
    ("False", False),
    ("tRUE", "tRUE"),
    ("yes", "yes"),
    ("no", "no"),
    ("7.5", "7.5"),
    ("1e3", "1e3"),
    ("1_000", "1_000"),
    ("0x10", "0x10"),
    ("+-5", "+-5"),
    ("+", "+"),
    (" 5", " 5"),
    ("5\n", "5\n"),
    ("٣", "٣"),
    ("null", "null"),
    ("[1,2]", "[1,2]"),
    ('{"a":1}', '{"a":1}'),
    ("", ""),
    ("a=b=c", "a=b=c"),
]


@pytest.mark.parametrize(("text", "expected"), VALUES, ids=lambda each: repr(each)[:20])
def test_values(text: str, expected: Any) -> None:
    found = value(text)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], {}),
        (["--a.b=c"], {"a": {"b": "c"}}),
        (["--thread-id=5"], {"thread": {"id": 5}}),
        (["--threadId=5"], {"threadId": 5}),
        (["--a-b.c-d=x"], {"a-b": {"c-d": "x"}}),
        (["--a.b.c.d=x"], {"a": {"b": {"c": {"d": "x"}}}}),
        (["--a.b=1", "--a.c=2"], {"a": {"b": 1, "c": 2}}),
        (["--a-b=1", "--a.c=2"], {"a": {"b": 1, "c": 2}}),
        (["--id=1", "--id=x"], {"id": [1, "x"]}),
        (["--id=1", "--id=t", "--id=1"], {"id": [1, True, 1]}),
        (["--a.b=1", "--a-b=2"], {"a": {"b": [1, 2]}}),
        (["--prompt=two words, a = sign"], {"prompt": "two words, a = sign"}),
        (["--query.orderBy.desc=t"], {"query": {"orderBy": {"desc": True}}}),
        (["--filters=[1]"], {"filters": "[1]"}),
        (["--a="], {"a": ""}),
        (["--env=x", "--help=t", "--app-host=h"], {"env": "x", "help": True, "app": {"host": "h"}}),
    ],
    ids=repr,
)
def test_bodies(words: list[str], expected: Any) -> None:
    assert tree(read(["/p", *words]).flags) == expected


def test_members_keep_the_order_of_the_command_line() -> None:
    assert list(tree([("b", "1"), ("a", "2")])) == ["b", "a"]


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ([], "path is missing"),
        (["--a=b"], "path is missing"),
        (["/p", "--a", "b"], "--a: expected --key=value"),
        (["/p", "--a"], "--a: expected --key=value"),
        (["/p", "--"], "--: expected --key=value"),
        (["/p", "--=b"], "--=b: expected --key=value"),
        (["/p", "--a..b=1"], "--a..b: a part of the key is empty"),
        (["/p", "---a=1"], "---a: a part of the key is empty"),
        (["/p", "--a.=1"], "--a.: a part of the key is empty"),
        (["/p", "--a=1", "--a.b=2"], "--a.b: a has a value already"),
        (["/p", "--a=1", "--a=1", "--a.b=2"], "--a.b: a has a value already"),
        (["/p", "--a.b=1", "--a=2"], "--a: a is an object already"),
    ],
    ids=repr,
)
def test_refused_words(words: list[str], named: str) -> None:
    with pytest.raises(Failed) as caught:
        tree(read(words).flags)
    assert named in caught.value.message


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (["/a/b"], "/a/b"),
        (["a"], "/a"),
        (["//a"], "//a"),
        (["/a", "b", "c"], "/a/b/c"),
        (["/a", "--x=1", "b"], "/a/b"),
        (["/a", "-e", "prod"], "/a/-e/prod"),
        (["/a%2Fb?x=y"], "/a%2Fb?x=y"),
    ],
    ids=repr,
)
def test_paths(words: list[str], path: str) -> None:
    assert read(words).path == path


def test_bytes_that_are_no_text_become_replacement_characters() -> None:
    assert read(["/p", "--a=\udcff!"]).flags == [("a", "\ufffd!")]


NAMES = st.text(st.characters(codec="utf-8", exclude_characters=".-=", exclude_categories=["Cs"]), min_size=1)
TEXTS = st.text(st.characters(codec="utf-8"))
LEAVES = TEXTS.filter(lambda text: value(text) is text) | st.integers(-(2**63), 2**63 - 1) | st.booleans()
TREES = st.dictionaries(
    NAMES,
    st.recursive(
        LEAVES | st.lists(LEAVES, min_size=2, max_size=4),
        lambda inner: st.dictionaries(NAMES, inner, min_size=1, max_size=3),
        max_leaves=8,
    ),
    max_size=4,
)


def flags_of(node: Any, key: str = "") -> list[str]:
    if isinstance(node, dict):
        return [flag for name, inner in node.items() for flag in flags_of(inner, f"{key}.{name}" if key else name)]
    if isinstance(node, list):
        return [flag for item in node for flag in flags_of(item, key)]
    return [f"--{key}={json.dumps(node) if isinstance(node, bool) else node}"]


@given(TREES)
def test_every_tree_of_texts_integers_and_bools_can_be_written_as_flags(wanted: dict[str, Any]) -> None:
    assert tree(read(["/p", *flags_of(wanted)]).flags) == wanted


@given(st.lists(st.text()))
def test_any_words_are_read_or_refused(words: list[str]) -> None:
    try:
        found = tree(read(words).flags)
    except Failed:
        return
    json.dumps(found).encode()
