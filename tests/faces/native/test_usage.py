"""The usage report and scores over HTTP."""

from __future__ import annotations

import csv
import io
from typing import Any
from urllib.parse import urlencode

import pytest

from promptd.core.content import Turn
from promptd.core.model import Answer, Request, Usage
from promptd.testing.store.ledger import make_ended, try_of
from promptd.testing.store.samples import NOW, make_prompt
from tests.faces.client import as_script, problem
from tests.faces.conftest import Server
from tests.faces.test_openapi import answer_schema, fits

pytestmark = pytest.mark.slow

USAGE = "/promptd/v1/usage"


async def spend(server: Server) -> None:
    """Two users, two arms, two days."""
    plain = make_prompt("")
    slow = try_of(plain, started=NOW + 86_400, first_token=None, finished=NOW + 86_402, cost=None)
    await server.house.database.ledger.record(
        [
            make_ended("a", user="ada", arm="x", key="k1"),
            make_ended("b", try_of(plain, usage=Usage(10, 20, 3, 2, 1)), user="ada", arm="y", key="=1+2"),
            make_ended("c", slow, user="bob", arm="y", key='two\r\n"lines", and a comma'),
        ]
    )


async def items(server: Server, query: str, *, admin: bool = True) -> list[dict[str, Any]]:
    response = await (server.admin if admin else server.http).get(f"{USAGE}?{query}")
    assert response.status == 200, response.body
    fits(response.json, answer_schema("get", USAGE, 200))
    found: list[dict[str, Any]] = response.json["items"]
    return found


async def test_a_line_says_everything(server: Server) -> None:
    await spend(server)
    x, y = await items(server, "by=arm")
    assert x == {
        "group": {"arm": "x"},
        "requests": 1,
        "attempts": 1,
        "completed": 1,
        "errors": 0,
        "input_tokens": 3,
        "output_tokens": 5,
        "cached_tokens": 0,
        "cache_write_tokens": 0,
        "reasoning_tokens": 0,
        "cost": 7,
        "unpriced": 0,
        "latency_seconds": 1.0,
        "first_token_seconds": 0.25,
        "scores": {},
    }
    assert (y["requests"], y["cost"], y["unpriced"], y["latency_seconds"]) == (2, 7, 1, 1.5)
    assert [line["group"]["day"] for line in await items(server, "")] == ["2030-03-17", "2030-03-18"]


async def test_users_see_their_own_and_admins_pick(server: Server) -> None:
    await spend(server)
    assert [line["group"] for line in await items(server, "by=user", admin=False)] == [{"user": "ada"}]
    problem(await server.http.get(f"{USAGE}?user=bob"), 403, "forbidden")
    picked = await items(server, "by=user,arm&arm=y&since=2030-03-17&until=2030-03-17")
    assert [line["group"] for line in picked] == [{"user": "ada", "arm": "y"}]
    assert await items(server, "by=user&until=2030-03-16") == []


async def test_pages_go_on_behind_any_text(server: Server) -> None:
    await spend(server)
    found: list[dict[str, str]] = []
    query: dict[str, str] = {"by": "key,day", "limit": "1"}
    while True:
        page = (await server.admin.get(f"{USAGE}?{urlencode(query)}")).json
        found += [line["group"] for line in page["items"]]
        if page["after"] is None:
            break
        query["after"] = page["after"]
    assert [group["key"] for group in found] == ["=1+2", "k1", 'two\r\n"lines", and a comma']


async def test_csv_by_header_or_by_word(server: Server) -> None:
    await spend(server)
    for query, headers in (
        ("by=key&format=csv", {}),
        ("by=key", {"Accept": "text/csv"}),
        ("by=key", {"Accept": "text/csv;q=0.9, application/json"}),
    ):
        response = await server.admin.get(f"{USAGE}?{query}", headers=headers)
        assert response.headers["content-type"] == "text/csv; charset=utf-8"
        head, first, *rest = csv.reader(io.StringIO(response.body.decode(), newline=""))
        line = dict(zip(head, first, strict=True))
        assert line["key"] == "'=1+2", "no formula"
        assert (line["requests"], line["cost"], line["mean_score"]) == ("1", "7", "")
        assert rest[1][0] == 'two\r\n"lines", and a comma'
        assert dict(zip(head, rest[1], strict=True))["unpriced"] == "1"
    part = await server.admin.get(f"{USAGE}?by=key&format=csv&limit=2")
    assert part.headers["x-after"] == "k1"
    for accept in ("application/json, text/csv", "*/*", "text/html"):
        response = await server.admin.get(USAGE, headers={"Accept": accept})
        assert response.headers["content-type"] == "application/json"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("by=month", "by"),
        ("by=day,day", "by"),
        ("by=", "by"),
        ("since=yesterday", "since"),
        ("until=2030-02-30", "until"),
        ("since=1969-12-31", "since"),
        ("since=20300317", "since"),
        ("limit=0", "limit"),
        ("limit=10001", "limit"),
        ("format=xml", "format"),
        ("by=key,day&after=k", "after"),
        ("by=day&after=k", "after"),
        ("by=key&after=%22", "after"),
        ("nothing=1", "nothing"),
    ],
)
async def test_what_can_not_be_asked_is_refused_by_name(shared: Server, query: str, field: str) -> None:
    problem(await shared.admin.get(f"{USAGE}?{query}"), 422, "invalid_request", field)


async def test_a_score_replaces_the_one_before_and_is_in_the_report(server: Server) -> None:
    prompt = await server.http.finished("Hi")
    path = f"/promptd/v1/prompts/{prompt['id']}/score"
    for given in ({"score": 0}, {"score": 0.5, "comment": "so so"}, {"score": 1, "name": "style"}):
        response = await server.http.post(path, given)
        assert response.status == 200, response.body
        fits(response.json, answer_schema("post", "/promptd/v1/prompts/{id}/score", 200))
    shown = (await server.http.get(f"/promptd/v1/prompts/{prompt['id']}")).json
    assert [(one["name"], one["score"], one["comment"], one["user"]) for one in shown["scores"]] == [
        ("score", 0.5, "so so", "ada"),
        ("style", 1, "", "ada"),
    ]
    (line,) = await items(server, "by=arm", admin=False)
    assert line["scores"] == {"score": {"count": 1, "mean": 0.5}, "style": {"count": 1, "mean": 1.0}}
    problem(await server.admin.post(path, {"score": 1}), 403, "forbidden")
    problem(await (await server.client("eve")).post(path, {"score": 1}), 404, "not_found")
    problem(await server.http.post("/promptd/v1/prompts/none/score", {"score": 1}), 404, "not_found")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "score"),
        ({"score": 1.01}, "score"),
        ({"score": -0.1}, "score"),
        ({"score": "1"}, "score"),
        ({"score": True}, "score"),
        ({"score": 1, "name": ""}, "name"),
        ({"score": 1, "name": "a b"}, "name"),
        ({"score": 1, "comment": "x" * 4097}, "comment"),
        ({"score": 1, "more": 1}, "more"),
    ],
)
async def test_a_bad_score_is_refused_by_name(shared: Server, body: dict[str, Any], field: str) -> None:
    problem(await shared.http.post("/promptd/v1/prompts/p/score", body), 422, "invalid_request", field)


async def test_only_an_answer_can_be_scored(server: Server) -> None:
    prompt = await server.http.submit([{"hang": True}])
    response = await server.http.post(f"/promptd/v1/prompts/{prompt['id']}/score", {"score": 1})
    problem(response, 409, "conflict")


async def test_attached_prompts_are_found_with_what_they_cost(server: Server) -> None:
    await spend(server)
    told = make_ended("told", user="ada", request=Request((Turn("user", "Hi"),)), answer=Answer("m", "Hello"))
    await server.house.database.ledger.record([told])

    async def found(query: str) -> list[str]:
        response = await server.admin.get(f"/promptd/v1/prompts?{query}")
        assert response.status == 200, response.body
        return sorted(prompt["id"] for prompt in response.json["items"])

    assert await found("arm=y") == ["b", "c"]
    assert await found("key=k1&mode=attached") == ["a"]
    assert await found("mode=queued") == []
    assert await found("user=ada&status=completed&model=model&connection=lane") == ["a", "b", "told"]
    listed = {prompt["id"]: prompt for prompt in (await server.admin.get("/promptd/v1/prompts")).json["items"]}
    assert (listed["a"]["cost"], listed["c"]["cost"], listed["b"]["arm"], listed["b"]["key"]) == (7, None, "y", "=1+2")
    assert listed["a"]["answer"]["usage"]["output_tokens"] == 5
    (attempt,) = (await server.admin.get("/promptd/v1/prompts/b/attempts")).json["items"]
    assert (attempt["cost"], attempt["usage"]["cache_write_tokens"], attempt["usage"]["reasoning_tokens"]) == (7, 2, 1)
    (unknown,) = (await server.admin.get("/promptd/v1/prompts/c/attempts")).json["items"]
    assert unknown["cost"] is None
    assert (await server.http.get("/promptd/v1/prompts/told")).json["answer"]["text"] == "Hello"
    assert (await server.admin.get("/promptd/v1/prompts/told")).json["answer"]["text"] == ""


async def test_a_call_of_a_vendors_client_is_counted_listed_and_scored(server: Server) -> None:
    body = {"model": "demo", "messages": [{"role": "user", "content": as_script([{"say": "Hello you"}])}]}
    answers = [await server.http.post("/v1/chat/completions", body) for _ in range(3)]
    assert [answer.status for answer in answers] == [200] * 3
    identifier = answers[-1].json["id"]
    scored = await server.http.post(f"/promptd/v1/prompts/{identifier}/score", {"score": 1})
    assert scored.status == 200, "also while its row is on its way"
    listed = (await server.http.get("/promptd/v1/prompts?mode=attached&count=true")).json
    assert (listed["count"], listed["items"][0]["status"]) == (3, "completed")
    (line,) = await items(server, "by=model,connection", admin=False)
    told = [answer.json["usage"] for answer in answers]
    assert line["group"] == {"model": "demo", "connection": "lab"}
    assert (line["requests"], line["completed"], line["scores"]["score"]["count"]) == (3, 3, 1)
    assert line["input_tokens"] == sum(usage["prompt_tokens"] for usage in told)
    assert line["output_tokens"] == sum(usage["completion_tokens"] for usage in told)


async def test_a_store_that_is_closed_says_so(server: Server) -> None:
    server.house.database.ledger.close()
    problem(await server.admin.get(USAGE), 503, "store_unavailable")
