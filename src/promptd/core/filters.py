"""The query language of look-ups: filters, order, keyset paging. Stores compile it; faces parse their own dialects into it."""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

from msgspec import Struct

from promptd.core.errors import InvalidRequest

Operator = Literal["eq", "ne", "in", "gt", "gte", "lt", "lte", "contains", "starts"]
R = TypeVar("R")


class Filter(Struct, frozen=True):
    """`field operator value`; `in` takes a tuple. Filters of a query are ANDed."""

    field: str
    operator: Operator
    value: Any


class Order(Struct, frozen=True):
    field: str
    descending: bool = False


class Query(Struct, frozen=True, kw_only=True):
    """Which records, in which order, how many. `after` is the `Page.after` of the page before."""

    filters: tuple[Filter, ...] = ()
    order: tuple[Order, ...] = ()
    limit: int = 20
    after: str | None = None
    count: bool = False


class Page(Struct, Generic[R], frozen=True, kw_only=True):
    """One page; `after` is None on the last one, `count` is None unless asked for."""

    items: tuple[R, ...]
    after: str | None = None
    count: int | None = None


def check(query: Query, fields: frozenset[str], *, most: int = 1000) -> None:
    """Raise `InvalidRequest` that names the first filter, order or limit that `fields` does not allow."""
    for index, entry in enumerate(query.filters):
        if entry.field not in fields:
            raise InvalidRequest(field=f"filters[{index}].field", expected=f"one of {', '.join(sorted(fields))}")
        if entry.operator == "in" and not isinstance(entry.value, tuple):
            raise InvalidRequest(field=f"filters[{index}].value", expected="a list")
    for index, order in enumerate(query.order):
        if order.field not in fields:
            raise InvalidRequest(field=f"order[{index}].field", expected=f"one of {', '.join(sorted(fields))}")
    if not 1 <= query.limit <= most:
        raise InvalidRequest(field="limit", expected=f"a whole number from 1 to {most}")
