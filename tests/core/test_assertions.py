"""What examples of templates say of an output."""

from __future__ import annotations

from typing import Any

import pytest

from promptd.core.assertions import check_assertion, failure
from promptd.core.errors import InvalidRequest
from promptd.core.template import Assertion

OUTPUT: Any = {"items": [{"name": "Ada", "age": 36, "ok": True}], "text": "hello world"}


@pytest.mark.parametrize(
    ("kind", "value", "path"),
    [
        ("equals", "Ada", "items[0].name"),
        ("equals", True, "items[0].ok"),
        ("equals", [{"name": "Ada", "age": 36, "ok": True}], "items"),
        ("contains", "world", "text"),
        ("contains", "text", ""),
        ("not_contains", "moon", "text"),
        ("matches", "^h.*d$", "text"),
        ("schema", {"type": "integer", "minimum": 36}, "items[0].age"),
        ("min_length", 1, "items"),
        ("max_length", 11, "text"),
    ],
)
def test_it_holds(kind: Any, value: Any, path: str) -> None:
    assertion = Assertion(kind, value, path)
    check_assertion(assertion, "a")
    assert failure(assertion, OUTPUT) is None


@pytest.mark.parametrize(
    ("kind", "value", "path", "told"),
    [
        ("equals", "Bob", "items[0].name", "items[0].name: expected equals 'Bob', found 'Ada'"),
        ("equals", 1, "items[0].ok", "found True"),
        ("equals", 36.5, "items[0].age", "found 36"),
        ("equals", "Ada", "items[1].name", "items[1].name is not there"),
        ("equals", "Ada", "items.name", "items.name is not there"),
        ("contains", "moon", "text", "text: expected contains 'moon'"),
        ("not_contains", "world", "text", "text"),
        ("matches", "^x", "text", "text"),
        ("matches", "36", "items[0].age", "found 36"),
        ("schema", {"type": "string"}, "items", "items"),
        ("min_length", 2, "items", "items"),
        ("max_length", 3, "text", "text"),
        ("min_length", 0, "items[0].age", "found 36"),
    ],
)
def test_it_does_not_hold_and_says_where(kind: Any, value: Any, path: str, told: str) -> None:
    found = failure(Assertion(kind, value, path), OUTPUT)
    assert found is not None
    assert told in found


@pytest.mark.parametrize(
    ("assertion", "field"),
    [
        (Assertion("equals", 1, "a..b"), "a.path"),
        (Assertion("equals", 1, "[x]"), "a.path"),
        (Assertion("contains", 1), "a.value"),
        (Assertion("matches", "("), "a.value"),
        (Assertion("matches", 1), "a.value"),
        (Assertion("schema", "x"), "a.value"),
        (Assertion("schema", {"type": "x"}), "a.value"),
        (Assertion("max_length", -1), "a.value"),
        (Assertion("max_length", True), "a.value"),
    ],
)
def test_what_could_never_be_judged_is_refused(assertion: Assertion, field: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        check_assertion(assertion, "a")
    assert refused.value.field == field
