"""The query language of `POST /prompt-svc/prompts` in both dialects (contract section 5).

What the store can answer goes there; the rest (nested members, `or`, sorting by anything) is decided here, on the views
that the caller would see.
"""

from __future__ import annotations

import random
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from promptd.core.errors import InvalidRequest
from promptd.core.filters import Filter, Order
from promptd.core.filters import Query as CoreQuery
from promptd.core.model import Caller
from promptd.faces.onebackend.filters import STORED, Test, View, comparable, first_small, member_of, parse, stored_value
from promptd.faces.onebackend.show import PromptView, prompt_view
from promptd.faces.onebackend.times import ZERO
from promptd.service.prompts import Prompts

_MOST: Final = 1000
_LOOK: Final = 200  # prompts looked at in one turn of the loop
_USUAL: Final = 20
_MOST_ORDERS: Final = 10
_TYPES: Final = msgspec.structs.fields(PromptView)
_ZEROS: Final[dict[str, Any]] = {
    field.encode_name: 0
    if field.name in ("max_retries", "run_count")
    else {}
    if "parameters" in field.name
    else False
    if field.name == "sync"
    else ""
    for field in _TYPES
} | {"lastRun": ZERO}


class OrderBy(Struct, rename="camel"):
    field: str = ""
    desc: bool = False
    sorting_type: str = ""


class QueryBody(Struct, rename="camel"):
    filters: Any = None
    order_bys: tuple[OrderBy, ...] = ()
    order_by: tuple[OrderBy, ...] = ()
    after_json: tuple[Any, ...] = ()
    limit: int = 0
    count: bool = False


class ListRequest(Struct, rename="camel"):
    query: QueryBody = field(default_factory=QueryBody)


class Listed(Struct, frozen=True, omit_defaults=False):
    """A page: `count` is 0 unless it was asked for."""

    prompts: list[PromptView]
    count: int
    after: str | None = None


async def run(prompts: Prompts, caller: Caller, body: QueryBody) -> Listed:
    """Raises `InvalidRequest` that names the member."""
    limit = min(body.limit, _MOST) if body.limit > 0 else _USUAL
    stored, tests = parse(body.filters)
    orders = _orders((*body.order_bys, *body.order_by))
    if body.after_json and len(body.after_json) != len(orders):
        raise InvalidRequest(field="query.afterJson", expected=f"a list of {len(orders)} values, one for each order")
    if len(orders) == 1 and orders[0].field in STORED and orders[0].sorting_type != "random":
        if not tests:
            return await _from_store(prompts, caller, body, stored, orders[0], limit)
        if not body.count:
            return await _picked(prompts, caller, body, (stored, tests), orders[0], limit)
    return await _looked_through(prompts, caller, body, (stored, tests), orders, limit)


def _orders(given: tuple[OrderBy, ...]) -> tuple[OrderBy, ...]:
    orders = tuple(order for order in given if order.field or order.sorting_type == "random") or (OrderBy("createdAt"),)
    if len(orders) > _MOST_ORDERS:
        raise InvalidRequest(field="query.orderBys", expected=f"at most {_MOST_ORDERS}")
    for index, order in enumerate(orders):
        order.field = first_small(order.field)
        if order.sorting_type not in ("", "numeric", "text", "date", "random"):
            raise InvalidRequest(
                field=f"query.orderBys[{index}].sortingType", expected="one of numeric, text, date and random"
            )
    return orders


async def _from_store(
    prompts: Prompts, caller: Caller, body: QueryBody, stored: tuple[Filter, ...], order: OrderBy, limit: int
) -> Listed:
    query = CoreQuery(
        filters=_behind(body, stored, order), order=(Order(STORED[order.field], order.desc),), limit=limit
    )
    page = await prompts.find_shared(caller, query)
    count = 0
    if body.count:
        counted = await prompts.find_shared(caller, CoreQuery(filters=stored, limit=1, count=True))
        count = counted.count or 0
    return _page([prompt_view(prompt, caller) for prompt in page.items], count)


def _behind(body: QueryBody, stored: tuple[Filter, ...], order: OrderBy) -> tuple[Filter, ...]:
    """The filters, and that only rows behind the last one of the page before are wanted."""
    if not body.after_json:
        return stored
    bound = stored_value(order.field, body.after_json[0], "query.afterJson[0]")
    return (*stored, Filter(STORED[order.field], "lt" if order.desc else "gt", bound))


async def _picked(
    prompts: Prompts,
    caller: Caller,
    body: QueryBody,
    filters: tuple[tuple[Filter, ...], tuple[Test, ...]],
    order: OrderBy,
    limit: int,
) -> Listed:
    """In the store's own order, so that the look ends where the page is full."""
    stored, tests = filters
    found: list[PromptView] = []
    after: str | None = None
    while True:
        query = CoreQuery(
            filters=_behind(body, stored, order),
            order=(Order(STORED[order.field], order.desc),),
            limit=_LOOK,
            after=after,
        )
        page = await prompts.find_shared(caller, query)
        for prompt in page.items:
            shown = prompt_view(prompt, caller)
            view = _view(shown)
            if all(test(view) for test in tests):
                found.append(shown)
                if len(found) == limit:
                    return _page(found, 0)
        after = page.after
        if after is None:
            return _page(found, 0)


def _view(shown: PromptView) -> View:
    """Every member, absent ones as their zero."""
    given: View = msgspec.to_builtins(shown)
    return _ZEROS | given


async def _looked_through(
    prompts: Prompts,
    caller: Caller,
    body: QueryBody,
    filters: tuple[tuple[Filter, ...], tuple[Test, ...]],
    orders: tuple[OrderBy, ...],
    limit: int,
) -> Listed:
    stored, tests = filters
    names = {order.field for order in orders}  # more of a view is not kept: there may be many
    found: list[tuple[View, PromptView]] = []
    after: str | None = None
    while True:
        query = CoreQuery(filters=stored, order=(Order("created"),), limit=_LOOK, after=after)
        page = await prompts.find_shared(caller, query)
        for prompt in page.items:
            shown = prompt_view(prompt, caller)
            view = _view(shown)
            if all(test(view) for test in tests):
                found.append(({name: member_of(view, name) for name in names}, shown))
        after = page.after
        if after is None:
            break
    for order in reversed(orders):
        if order.sorting_type == "random":
            random.shuffle(found)
        else:
            found.sort(key=lambda item: _rank(item[0][order.field], order), reverse=order.desc)
    rest = found
    if body.after_json:
        rest = [item for item in found if _is_behind(item[0], orders, body.after_json)]
    return _page([shown for _, shown in rest[:limit]], len(found) if body.count else 0)


def _page(views: list[PromptView], count: int) -> Listed:
    return Listed(views, count, views[-1].created_at if len(views) >= _USUAL else None)


# ---------------------------------------------------------------- order


def _rank(value: Any, order: OrderBy) -> tuple[int, float, str]:
    """Numbers and times by size, before texts in their order."""
    if order.sorting_type != "text":
        number = comparable(value)
        if number is not None and number == number:
            return (0, number, "")
    return (1, 0.0, value if isinstance(value, str) else "" if value is None else str(value))


def _is_behind(view: View, orders: tuple[OrderBy, ...], after: tuple[Any, ...]) -> bool:
    for order, bound in zip(orders, after, strict=True):
        mine, theirs = _rank(view[order.field], order), _rank(bound, order)
        if mine != theirs:
            return mine < theirs if order.desc else mine > theirs
    return False
