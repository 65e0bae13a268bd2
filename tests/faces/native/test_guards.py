"""What checks think of a text, asked over the native API, and shown on prompts."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.faces.client import Http
from tests.faces.conftest import Serve, Server

CHECKS = {
    "words": {"type": "rules", "blocklist": ["badger"], "stages": ["input", "output"], "message": "not that"},
    "notes": {"type": "rules", "blocklist": ["oak"], "stages": ["input"], "action": "record"},
}


@pytest.fixture
async def server(serve: Serve) -> AsyncIterator[Server]:
    async with serve(guard={"checks": CHECKS}) as one:
        yield one


@pytest.fixture
async def admin(server: Server) -> Http:
    return await server.client("root", admin=True)


async def test_every_check_says_what_it_thinks(admin: Http) -> None:
    answer = await admin.post("/promptd/v1/guard/test", {"text": "a badger"})
    assert answer.status == 200
    assert answer.json["allowed"] is False
    shown = [(one["check"], one["stage"], one["outcome"], one["categories"]) for one in answer.json["items"]]
    assert shown == [
        ("words", "input", "refused", {"blocklist": 1.0}),
        ("words", "output", "refused", {"blocklist": 1.0}),
        ("notes", "input", "allowed", {}),
    ]
    assert all(one["milliseconds"] >= 0 for one in answer.json["items"])


async def test_one_stage_or_one_check(admin: Http) -> None:
    ask = admin.post
    answer = await ask("/promptd/v1/guard/test", {"text": "an oak", "stage": "input"})
    assert (answer.json["allowed"], [one["outcome"] for one in answer.json["items"]]) == (True, ["allowed", "recorded"])
    answer = await ask("/promptd/v1/guard/test", {"text": "an oak", "check": "words"})
    assert {one["check"] for one in answer.json["items"]} == {"words"}
    answer = await ask("/promptd/v1/guard/test", {"text": "an oak", "stage": "tool"})
    assert (answer.json["allowed"], answer.json["items"]) == (True, [])


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 422), ({"text": 1}, 422), ({"text": "x", "stage": "out"}, 422), ({"text": "x", "check": "none"}, 404)],
)
async def test_what_is_wrong_is_told(admin: Http, body: dict[str, object], status: int) -> None:
    assert (await admin.post("/promptd/v1/guard/test", body)).status == status


async def test_admins_only(server: Server) -> None:
    client = await server.client("bob")
    assert (await client.post("/promptd/v1/guard/test", {"text": "x"})).status == 403


async def test_a_refusal_is_told_in_the_operators_words(server: Server) -> None:
    answer = await server.http.post("/promptd/v1/prompts", {"prompt": "a badger"})
    assert (answer.status, answer.json["code"], answer.json["detail"]) == (422, "content_refused", "not that")


async def test_a_prompt_shows_what_was_thought_of_it(admin: Http) -> None:
    answer = await admin.post("/promptd/v1/prompts?wait=10", {"prompt": "an oak"})
    assert answer.status == 200
    assert answer.json["judgements"] == [
        {"check": "words", "stage": "input", "outcome": "allowed", "score": 0.0, "categories": []},
        {"check": "notes", "stage": "input", "outcome": "recorded", "score": 1.0, "categories": ["blocklist"]},
        {"check": "words", "stage": "output", "outcome": "allowed", "score": 0.0, "categories": []},
    ]
    metrics = (await admin.get("/metrics")).body.decode()
    assert 'promptd_guard_judgements_total{check="notes",outcome="recorded",stage="input"} 1.0' in metrics
