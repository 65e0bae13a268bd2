"""The list of prompts (contract section 5): both dialects, mixed, as objects and as texts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec
import pytest
import pytest_asyncio

from tests.faces.client import as_script
from tests.faces.conftest import Server, run_server
from tests.faces.onebackend.clients import PROMPTS, Wire, error, register

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIST = "/prompt-svc/prompts"
HANG = as_script([{"hang": True}])


class Filled(NamedTuple):
    """A server with prompts of ann and bob in every status."""

    server: Server
    ann: Wire
    bob: Wire


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def filled(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Filled]:
    async with run_server(tmp_path_factory.mktemp("query"), connections={"lab": {"engine": "scripted"}}) as server:
        ann, bob = await register(server, "ann", PROMPTS), await register(server, "bob", PROMPTS)
        await ann.answered("alpha text", id="c1", threadId="t1")
        await ann.answered("beta 50% [x]", id="c2", threadId="t1")
        await bob.answered("gamma text", id="c3", threadId="t2")
        await ann.answered(as_script([{"fail": "invalid_input"}]), id="a1", threadId="t3", maxRetries=1)
        size = {"width": 8, "height": 8, "styles": ["oil", "dark"]}
        await ann.answered("drawn", id="i1", threadId="t4", modelId="org/big", parameters={"textToImage": size})
        await ann.ask(HANG, id="r1", threadId="t5")
        await ann.ask("waits", id="s1", threadId="t5")
        await bob.ask("waits", id="s2", threadId="t5b")
        await ann.ask(HANG, id="x1", threadId="t6")
        await ann.ok("DELETE", "/prompt-svc/prompt/x1")
        while (await ann.found("r1"))["status"] != "running" or (await ann.found("s2"))["status"] != "completed":
            pass
        yield Filled(server, ann, bob)


async def ids(wire: Any, query: Any) -> list[str]:
    answer = await wire.ok("POST", LIST, {"query": query})
    return [prompt["id"] for prompt in answer["prompts"]]


def code(fields: Any, op: str, *values: Any, **more: Any) -> dict[str, Any]:
    names = [fields] if isinstance(fields, str) else fields
    return {"fields": names, "op": op, "valuesJson": msgspec.json.encode(values).decode(), **more}


def doc(field: str, operator: str, value: Any) -> dict[str, Any]:
    return {"field": field, "operator": operator, "value": value}


ALL = ["c1", "c2", "c3", "a1", "i1", "r1", "s1", "s2", "x1"]
ACTIVE = ["r1", "s1"]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        # the default status
        (None, ACTIVE),
        ([], ACTIVE),
        ("", ACTIVE),
        ("[]", ACTIVE),
        ([code("userId", "startsWith", "usr")], ACTIVE),
        ([code("threadId", "equals", "t1")], []),
        ([code("threadId", "equals", "t1"), code("status", "equals", "completed")], ["c1", "c2"]),
        ([code(["threadId", "Status"], "equals", "t1")], ["c1", "c2"]),
        ([code([], "or", subFilters=[code("status", "equals", "abandoned")])], ["a1"]),
        ([code([], "or", subFilters=msgspec.json.encode([code("status", "equals", "abandoned")]).decode())], ["a1"]),
        ([doc("threadId", "equals", "t1")], ["c1", "c2"]),
        ([doc("threadId", "equals", "t1"), code("userId", "startsWith", "u")], ["c1", "c2"]),
        # operators in either dialect
        ([doc("status", "in", ["scheduled", "running"])], ACTIVE),
        ([doc("status", "in", '["scheduled", "running"]')], ACTIVE),
        ([code("status", "isInList", "abandoned", "canceled")], ["a1", "x1"]),
        ([code("status", "isInList")], []),
        ([doc("status", "in", [])], []),
        ([doc("status", "isInList", "abandoned")], ["a1"]),
        ([code("id", "in", "c1", "c3"), doc("status", "ne", "x")], ["c1", "c3"]),
        ([doc("status", "ne", "completed")], ["a1", "r1", "s1", "x1"]),
        ([doc("threadId", "ne", "t5"), doc("status", "equals", "running")], []),
        ([doc("prompt", "containsSubstring", "TEXT")], ["c1"]),
        ([doc("prompt", "contains", "50% [x]")], ["c2"]),
        ([doc("prompt", "startsWith", "beta")], ["c2"]),
        ([doc("prompt", "equals", "beta 50% [x]")], ["c2"]),
        ([doc("id", "startsWith", "c")], ["c1", "c2", "c3"]),
        ([doc("id", "equals", "[c1")], []),
        # numbers, times, flags, members of members, absent members
        ([doc("runCount", "gt", 0), doc("status", "equals", "abandoned")], ["a1"]),
        ([doc("runCount", "equals", "0"), doc("id", "in", ALL)], ["s1"]),
        ([doc("runCount", "gt", "1")], []),
        ([doc("runCount", "gte", 1), doc("runCount", "lte", 1.0), doc("id", "in", ["c1", "s1"])], ["c1"]),
        ([doc("maxRetries", "gt", 0)], ["a1"]),
        ([doc("maxRetries", "equals", 0), doc("id", "in", ["c1", "a1"])], ["c1"]),
        ([doc("createdAt", "gt", "2026-01-01T00:00:00Z"), doc("threadId", "equals", "t1")], ["c1", "c2"]),
        ([doc("createdAt", "lt", "2026-01-01T01:00:00+01:00")], []),
        ([doc("lastRun", "equals", "0001-01-01T00:00:00Z"), doc("id", "in", ALL)], ["s1"]),
        ([doc("lastRun", "gt", "2026-01-01T00:00:00Z"), doc("threadId", "equals", "t5")], ["r1"]),
        ([doc("sync", "equals", "true"), doc("threadId", "in", ["t1", "t5"])], ["c1", "c2"]),
        ([doc("sync", "equals", False), doc("threadId", "in", ["t1", "t5"])], ["r1", "s1"]),
        ([doc("type", "equals", "Text-to-Image")], ["i1"]),
        ([doc("modelId", "equals", "org/big")], ["i1"]),
        ([doc("ModelId", "equals", "org/big")], ["i1"]),
        ([doc("error", "contains", "a"), doc("status", "ne", "canceled")], ["a1"]),
        ([doc("parameters.textToImage.width", "equals", "8")], ["i1"]),
        ([doc("parameters.textToImage.width", "gt", 7)], ["i1"]),
        ([doc("Parameters.TextToImage.styles", "equals", "oil")], ["i1"]),
        ([doc("parameters.textToImage.styles", "intersects", ["wet", "dark"])], ["i1"]),
        ([doc("parameters.textToImage.styles", "intersects", [])], []),
        ([doc("nothing", "equals", "x")], []),
        ([doc("responseMessageId", "startsWith", "msg"), doc("threadId", "equals", "t1")], ["c1", "c2"]),
        # any of several members, any of several filters
        ([code(["id", "threadId"], "isInList", "c3", "t1"), doc("runCount", "gte", 0)], ["c1", "c2", "c3"]),
        ([code([], "or", subFilters=[code("id", "equals", "c1"), doc("threadId", "equals", "t2")]), doc("id", "ne", "")],
         ["c1", "c3"]),
        ([{"op": "or", "subFilters": []}, doc("id", "ne", "")], []),
        # forms
        (doc("id", "equals", "c1"), ["c1"]),
        (msgspec.json.encode([doc("id", "equals", "c1")]).decode(), ["c1"]),
        (msgspec.json.encode(doc("id", "equals", "c1")).decode(), ["c1"]),
        ([msgspec.json.encode(doc("id", "in", ["c1", "c2"])).decode()], ["c1", "c2"]),
        ([msgspec.json.encode([doc("id", "equals", "c1")]).decode(), doc("threadId", "equals", "t1")], ["c1"]),
        ([{"FIELD": "id", "OP": "equals", "VALUE": "c1"}], ["c1"]),
        ([{"field": "id", "operator": "equals", "valuesJson": '["c1"]'}], ["c1"]),
        ([{"fields": "id", "op": "equals", "value": "c1"}], ["c1"]),
        ([{"fields": '["id"]', "op": "equals", "valuesJson": '"c1"'}, doc("id", "ne", "")], ["c1"]),
        ([{"fields": ["id"], "op": "equals", "valuesJson": ["c1"]}, doc("id", "ne", "")], ["c1"]),
        ([doc("id", "equals", 5)], []),
        ([doc("threadId", "equals", True)], []),
    ],
)  # fmt: skip
async def test_filters(filled: Filled, filters: Any, found: list[str]) -> None:
    assert sorted(await ids(filled.ann, {"filters": filters})) == sorted(found)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"filters": [doc("id", "like", "x")]}, "filters[0].op"),
        ({"filters": [doc("id", "equals", "x"), {"field": "id", "value": "x"}]}, "filters[1].op"),
        ({"filters": [{"operator": "equals", "value": "x"}]}, "filters[0].field"),
        ({"filters": [{"field": "id", "operator": "equals"}]}, "filters[0].value"),
        ({"filters": [doc("id", "equals", None)]}, "filters[0].value"),
        ({"filters": [doc("id", "equals", {"a": 1})]}, "filters[0].value"),
        ({"filters": [doc("createdAt", "gt", "yesterday")]}, "filters[0].value"),
        ({"filters": [doc("runCount", "gt", "many")]}, "filters[0].value"),
        ({"filters": [doc("runCount", "gt", 1e300)]}, "filters[0].value"),
        ({"filters": "[{"}, "filters"),
        ({"filters": 5}, "filters"),
        ({"filters": ["5"]}, "filters"),
        ({"filters": [code("id", "equals", "x") | {"valuesJson": "["}]}, "valuesJson"),
        ({"filters": [code([], "or", subFilters=[doc("id", "like", "x")])]}, "subFilters[0].op"),
        ({"filters": [doc("id", "in", ["x"] * 1001)]}, "filters[0].value"),
        ({"filters": [doc("id", "equals", "x")] * 101}, "filters"),
        ({"orderBy": [{"field": "createdAt"}] * 11}, "orderBys"),
        ({"orderBy": [{"field": "createdAt", "sortingType": "odd"}]}, "sortingType"),
        ({"limit": "many"}, "limit"),
        ({"count": "maybe"}, "count"),
        ({"afterJson": "["}, "afterJson"),
        ({"afterJson": '["a", "b"]'}, "afterJson"),
        ({"afterJson": '["yesterday"]'}, "afterJson"),
    ],
)
async def test_a_query_that_does_not_fit_is_refused_and_named(filled: Filled, query: Any, named: str) -> None:
    assert named in error(await filled.ann.post(LIST, {"query": query}), 400)


def nested(levels: int) -> Any:
    inner: Any = doc("id", "equals", "c1")
    for _ in range(levels):
        inner = {"op": "or", "subFilters": [inner]}
    return inner


async def test_or_in_or(filled: Filled) -> None:
    every = doc("id", "ne", "")
    assert await ids(filled.ann, {"filters": [nested(15), every]}) == ["c1"]
    for levels in (25, 200):
        told = error(await filled.ann.post(LIST, {"query": {"filters": [nested(levels)]}}), 400)
        assert "Invalid JSON" in told


# ------------------------------------------------------------------ order, limit, count, paging

EVERY = [doc("id", "in", ALL)]


@pytest.mark.parametrize(
    ("order", "found"),
    [
        (None, ALL),
        ([{"field": "createdAt"}], ALL),
        ([{"field": "createdAt", "desc": True}], ALL[::-1]),
        ('[{"field": "createdAt", "desc": "true"}]', ALL[::-1]),
        ({"field": "CreatedAt", "desc": "t"}, ALL[::-1]),
        (['{"field": "id"}'], sorted(ALL)),
        ([{"field": "id", "sortingType": "text", "desc": True}], sorted(ALL)[::-1]),
        ([{"field": "status"}, {"field": "id", "desc": True}],
         ["a1", "x1", "s2", "i1", "c3", "c2", "c1", "r1", "s1"]),
        ([{"field": "maxRetries", "sortingType": "numeric", "desc": True}, {"field": "id"}],
         ["a1", *sorted(set(ALL) - {"a1"})]),
        ([{"field": "lastRun", "sortingType": "date"}, {"field": "id"}], ["s1", *[one for one in ALL if one != "s1"]]),
    ],
)  # fmt: skip
async def test_order(filled: Filled, order: Any, found: list[str]) -> None:
    for name in ("orderBy", "orderBys"):
        assert await ids(filled.ann, {"filters": EVERY, name: order}) == found


async def test_a_random_order_has_them_all(filled: Filled) -> None:
    orders = {tuple(await ids(filled.ann, {"filters": EVERY, "orderBys": {"sortingType": "random"}})) for _ in range(8)}
    assert all(sorted(order) == sorted(ALL) for order in orders)
    assert len(orders) > 1


@pytest.mark.parametrize("filters", [EVERY, [*EVERY, doc("prompt", "contains", "")]], ids=["stored", "looked through"])
@pytest.mark.parametrize("limit", [3, "3", 3.0])
async def test_limit_and_count(filled: Filled, filters: Any, limit: Any) -> None:
    for count, expected in ((True, 9), ("true", 9), (False, 0), (None, 0)):
        answer = await filled.ann.ok("POST", LIST, {"query": {"filters": filters, "limit": limit, "count": count}})
        assert [prompt["id"] for prompt in answer["prompts"]] == ALL[:3]
        assert answer["count"] == expected
        assert "after" not in answer


@pytest.mark.parametrize("filters", [EVERY, [*EVERY, doc("prompt", "contains", "")]], ids=["stored", "looked through"])
@pytest.mark.parametrize("count", [False, True])
@pytest.mark.parametrize("desc", [False, True])
async def test_pages_by_the_last_rows_value(filled: Filled, filters: Any, count: bool, desc: bool) -> None:
    query: dict[str, Any] = {
        "filters": filters,
        "limit": 2,
        "count": count,
        "orderBys": {"field": "createdAt", "desc": desc},
    }
    found: list[str] = []
    while True:
        answer = await filled.ann.ok("POST", LIST, {"query": query})
        if not answer["prompts"]:
            break
        found += [prompt["id"] for prompt in answer["prompts"]]
        assert answer["count"] == (9 if count else 0), "of the filter, not of the page"
        query["afterJson"] = msgspec.json.encode([answer["prompts"][-1]["createdAt"]]).decode()
    assert found == (ALL[::-1] if desc else ALL)


async def test_pages_over_two_orders(filled: Filled) -> None:
    orders = [{"field": "status"}, {"field": "id"}]
    whole = await ids(filled.ann, {"filters": EVERY, "orderBy": orders})
    behind = await ids(filled.ann, {"filters": EVERY, "orderBy": orders, "afterJson": ["completed", "c2"]})
    assert behind == whole[whole.index("c2") + 1 :]


async def test_after_comes_with_a_full_page_only_and_leads_on(filled: Filled) -> None:
    carl = await register(filled.server, "carl", PROMPTS)
    for number in range(25):
        await carl.answered(f"n{number}", id=f"carl-{number}", threadId="carl")
    query = {"filters": [code("status", "equals", "completed"), code("userId", "equals", carl.user)]}
    first = await carl.ok("POST", LIST, {"query": query | {"limit": 0}})
    assert len(first["prompts"]) == 20, "the usual limit"
    assert isinstance(first["after"], str)
    assert first["after"] == first["prompts"][-1]["createdAt"]
    second = await carl.ok("POST", LIST, {"query": query | {"afterJson": f'["{first["after"]}"]'}})
    assert [prompt["id"] for prompt in first["prompts"] + second["prompts"]] == [f"carl-{n}" for n in range(25)]
    assert "after" not in second
    assert len((await carl.ok("POST", LIST, {"query": query | {"limit": 5000}}))["prompts"]) == 25
