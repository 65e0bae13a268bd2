"""Filters of the query language, whatever is given."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.errors import InvalidRequest
from promptd.core.filters import Filter
from promptd.faces.onebackend.filters import parse

ACTIVE = Filter("status", "in", ("running", "scheduled"))
CODE = {"fields": ["runCount"], "op": "gt", "valuesJson": "[3]"}
DOC = {"field": "runCount", "operator": "gt", "value": 3}
STATUS = {"fields": ["status"], "op": "equals", "valuesJson": '["running"]'}


@pytest.mark.parametrize(
    ("filters", "stored"),
    [
        (None, [ACTIVE]),
        ([CODE], [Filter("runs", "gt", 3.0), ACTIVE]),
        ([DOC], [Filter("runs", "gt", 3.0)]),
        ([CODE, DOC], [Filter("runs", "gt", 3.0)] * 2),
        ([CODE, STATUS], [Filter("runs", "gt", 3.0), Filter("status", "eq", "running")]),
    ],
)
def test_the_usual_status_is_for_the_bare_list_and_one_dialect(filters: Any, stored: list[Filter]) -> None:
    assert parse(filters) == (tuple(stored), ())


# ------------------------------------------------------------------ any filter

VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8), st.just("[1]")),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=2)),
    max_leaves=5,
)
KEYS = ["field", "fields", "op", "operator", "value", "values", "valuesJson", "subFilters", "FIELD", "x"]
NAMES = ["id", "status", "runCount", "createdAt", "prompt", "parameters.textToImage.width", "", "a.b.c"]
WORDS = ["equals", "in", "isInList", "gt", "contains", "startsWith", "intersects", "or", "ne", "like"]
ONE = st.dictionaries(st.sampled_from(KEYS), st.one_of(VALUES, st.sampled_from([*NAMES, *WORDS])), max_size=5)
SOME = st.builds(
    lambda field, word, value, more: {"field": field, "op": word, "value": value} | more,
    st.sampled_from(NAMES),
    st.sampled_from(WORDS),
    VALUES,
    st.one_of(st.just({}), ONE),
)
VIEW = {
    "id": "c1",
    "runCount": 1,
    "createdAt": "2026-01-01T00:00:00Z",
    "prompt": "x",
    "parameters": {},
    "styles": ["a"],
}


@given(st.one_of(VALUES, st.lists(st.one_of(ONE, SOME), max_size=4), SOME))
def test_any_filters_are_understood_or_refused(filters: Any) -> None:
    for form in (filters, msgspec.json.encode(filters).decode() if filters != float("inf") else None):
        refused: InvalidRequest | None = None
        try:
            stored, tests = parse(form)
        except InvalidRequest as error:
            refused = error
        if refused is not None:
            assert refused.field.startswith("query.filters")
            assert refused.expected
            continue
        assert all(isinstance(one, Filter) for one in stored)
        for test in tests:
            assert test(dict(VIEW)) in (True, False)
