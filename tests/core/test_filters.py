"""The query language refuses what a store can't answer, and names it."""

from __future__ import annotations

import pytest

from promptd.core.errors import InvalidRequest
from promptd.core.filters import Filter, Order, Query, check

FIELDS = frozenset({"status", "created"})


@pytest.mark.parametrize(
    "query",
    [
        Query(),
        Query(filters=(Filter("status", "in", ("running", "errored")), Filter("created", "gte", 5.0))),
        Query(order=(Order("created", True), Order("status")), limit=1, after="x", count=True),
        Query(limit=1000),
    ],
)
def test_allowed(query: Query) -> None:
    check(query, FIELDS)


@pytest.mark.parametrize(
    ("query", "field", "expected"),
    [
        (
            Query(filters=(Filter("status", "eq", "x"), Filter("text", "eq", "x"))),
            "filters[1].field",
            "created, status",
        ),
        (Query(filters=(Filter("status", "in", "running"),)), "filters[0].value", "a list"),
        (Query(order=(Order("text"),)), "order[0].field", "created, status"),
        (Query(limit=0), "limit", "1 to 1000"),
        (Query(limit=-1), "limit", "1 to 1000"),
        (Query(limit=1001), "limit", "1 to 1000"),
    ],
)
def test_refused(query: Query, field: str, expected: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(query, FIELDS)
    assert caught.value.field == field
    assert expected in caught.value.expected
    assert caught.value.message.startswith(field)


def test_the_largest_page_is_the_callers_choice() -> None:
    with pytest.raises(InvalidRequest, match="from 1 to 5"):
        check(Query(limit=6), FIELDS, most=5)
