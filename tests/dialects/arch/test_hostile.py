"""Whatever stands in a file: it is read, or refused by a `SettingsError` that tells no secret."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from promptd.core.errors import SettingsError
from promptd.dialects import arch
from promptd.dialects.arch.expanding import expand
from tests.dialects.arch.files import NAMES, SECRET, VARIABLES, text

pytestmark = pytest.mark.slow

TREES = [yaml.safe_load(text(name)) for name in NAMES]
WORDS = st.sampled_from(
    [
        "null",
        "*",
        "openai/*",
        "a/b/c",
        "default",
        "5s",
        "-1s",
        "$",
        "$$",
        "${",
        "$OPENAI_API_KEY",
        "é",
        "http://[::1",
        "http://x:y",
        "//",
        "{",
        "{x}",
        "http",
        "GET",
        "model",
        "yes",
        "1e400",
    ]
) | st.sampled_from(["", "x" * 20_000, "\x00", "\ud800", "a\nb", "\u2028"])
SCALARS = st.none() | st.booleans() | st.integers() | st.integers(10**18, 10**40) | st.floats() | st.text() | WORDS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8) | WORDS, inner, max_size=3),
    max_leaves=6,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield from places(item, (*path, key))


PLACES = [(tree, path) for tree in TREES for path in places(tree)]


def said(content: str) -> str:
    """Why the file was refused; nothing where it was not."""
    try:
        arch.read(content, name="f", variables=VARIABLES)
    except SettingsError as error:
        return error.message
    return ""


def read(content: str) -> None:
    message = said(content)
    assert SECRET not in message
    assert "sk-written" not in message
    assert len(message) < 5000


@pytest.mark.arch("9.6", "1.1.secrets")
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(place=st.sampled_from(PLACES), value=VALUES)
def test_any_value_at_any_place(place: tuple[Any, tuple[Any, ...]], value: Any) -> None:
    tree, path = place
    changed = copy.deepcopy(tree)
    if path:
        inner = changed
        for step in path[:-1]:
            inner = inner[step]
        inner[path[-1]] = value
    else:
        changed = value
    read(yaml.safe_dump(changed, allow_unicode=True, width=1_000_000))


@pytest.mark.arch("9.6")
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(place=st.sampled_from([place for place in PLACES if place[1]]), key=st.text(max_size=10) | WORDS, value=VALUES)
def test_any_key_at_any_place(place: tuple[Any, tuple[Any, ...]], key: str, value: Any) -> None:
    tree, path = place
    changed = copy.deepcopy(tree)
    inner = changed
    for step in path:
        inner = inner[step]
    if isinstance(inner, dict):
        inner[key] = value
    elif isinstance(inner, list):
        inner.append(value)
    read(yaml.safe_dump(changed, allow_unicode=True, width=1_000_000))


@settings(deadline=None)
@given(content=st.text())
def test_any_text(content: str) -> None:
    read(content)
    arch.is_arch(content, ("server",))


@settings(deadline=None)
@given(name=st.sampled_from(NAMES), start=st.integers(0, 3000), length=st.integers(1, 60), instead=st.text(max_size=5))
def test_damaged_files(name: str, start: int, length: int, instead: str) -> None:
    content = text(name)
    read(content[:start] + instead + content[start + length :])


@given(value=st.text(alphabet=st.characters(exclude_characters="$")), content=st.text(alphabet="a ${}[]:#'\"\n"))
def test_a_variables_value_is_never_looked_at_again(value: str, content: str) -> None:
    assert expand("<$A|${A}>", {"A": content}) == f"<{content}|{content}>"
    assert expand({"k": [value, 1, None]}, {}) == {"k": [value, 1, None]}


@given(content=st.text())
def test_any_file_of_variables(content: str) -> None:
    try:
        found = arch.variables(content, name=".env")
    except SettingsError as error:
        found = {}
        message = error.message
    else:
        message = ".env, line "
    assert message.startswith(".env, line ")
    assert all(name.isidentifier() for name in found)


@pytest.mark.arch("9.6")
@pytest.mark.timeout(10)
@pytest.mark.parametrize("key", ["{}", "0{}", "k{}", "²{}"])
@pytest.mark.parametrize("value", [1, "yes", {}, {"endpoint": 5}])
def test_many_mistakes_take_no_time(key: str, value: Any) -> None:
    tree = {**TREES[0], "endpoints": {key.format(number): value for number in range(10_000)}}
    assert said(json.dumps(tree)).startswith("the value ")
