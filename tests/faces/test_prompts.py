"""Prompts over HTTP: submit, wait, look up, list, cancel, retry, delete, prune."""

from __future__ import annotations

import asyncio
import re
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from tests.faces.client import Http, problem
from tests.faces.conftest import Serve, Server

PROMPTS = "/promptd/v1/prompts"


def gate(path: Path, text: str = "done") -> list[Any]:
    """A script that answers `text` once the file exists."""
    return [{"wait_file": str(path)}, {"say": text}]


# ---------------------------------------------------------------- submit


async def test_receipt_then_look_up(server: Server, tmp_path: Path) -> None:
    body = {"prompt": '[{"wait_file": "%s"}]' % (tmp_path / "go"), "metadata": {"a": "b"}, "priority": 3}
    response = await server.http.post(PROMPTS, body)
    assert response.status == 202
    receipt = response.json
    assert response.headers["location"] == f"{PROMPTS}/{receipt['id']}"
    assert response.headers["x-prompt-id"] == receipt["id"]
    assert "idempotent-replayed" not in response.headers
    assert receipt["status"] in ("scheduled", "running")
    assert receipt["metadata"] == {"a": "b"}
    assert receipt["priority"] == 3
    assert receipt["answer"] is None
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", receipt["created_at"])
    moving = ("status", "attempts", "started_at", "updated_at")
    seen = (await server.http.get(response.headers["location"])).json
    assert seen | {name: receipt[name] for name in moving} == receipt
    (tmp_path / "go").touch()


async def test_wait_gives_the_answer(server: Server) -> None:
    script = '[{"say": "forty two", "pieces": 3}]'
    prompt = await server.http.finished(script)
    assert prompt["status"] == "completed"
    assert prompt["answer"]["text"] == "forty two"
    assert prompt["answer"]["finish_reason"] == "stop"
    counted = {name: count for name, count in prompt["answer"]["usage"].items() if count}
    assert counted == {"input_tokens": len(script.split()), "output_tokens": 2}
    assert prompt["attempts"] == 1
    ledger = (await server.http.get(f"{PROMPTS}/{prompt['id']}/attempts")).json["items"]
    assert [(entry["attempt"], entry["outcome"], entry["engine"]) for entry in ledger] == [(1, "completed", "scripted")]
    assert ledger[0]["cost"] is None, "nobody said what it costs"


async def test_wait_that_is_too_short_gives_the_receipt(server: Server, tmp_path: Path) -> None:
    response = await server.http.post(f"{PROMPTS}?wait=0.05s", {"prompt": '[{"hang": true}]'})
    assert response.status == 202
    assert response.json["finished_at"] is None
    assert (await server.http.post(f"{PROMPTS}/{response.json['id']}/cancel")).status == 200


async def test_a_waiting_caller_that_leaves_does_not_end_the_prompt(server: Server, tmp_path: Path) -> None:
    body = {"id": "kept", "prompt": '[{"wait_file": "%s"}, {"say": "late"}]' % (tmp_path / "go")}
    waiting = asyncio.create_task(server.http.post(f"{PROMPTS}?wait=20", body))
    thread = server.house.walk.worker
    while thread.running("kept") is None:
        await asyncio.sleep(0)
    waiting.cancel()
    (tmp_path / "go").touch()
    events = await server.http.read(f"{PROMPTS}/kept/events")
    assert events[0].data["text"] == "late"


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({"messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "to you"}]}, "to you"),
        ({"prompt": "x", "parameters": {"template": "<{prompt}>"}}, "<x>"),
        ({"prompt": "x", "capability": "completion"}, "x"),
        ({"prompt": "x", "model": "org/big", "max_attempts": 2, "parameters": {"temperature": 0, "stop": ["y"]}}, "x"),
    ],
)
async def test_forms_of_a_prompt(server: Server, body: dict[str, Any], text: str) -> None:
    response = await server.http.post(f"{PROMPTS}?wait=20", body)
    assert response.status == 200, response.body
    assert response.json["answer"]["text"] == text
    wanted = "completion" if "template" in body.get("parameters", {}) else body.get("capability", "chat")
    assert response.json["capability"] == wanted


async def test_tools_and_embeddings(server: Server) -> None:
    called = await server.http.finished(
        [{"tool": "clock", "arguments": {"zone": "UTC"}}],
        parameters={"tools": [{"name": "clock", "parameters": {"type": "object"}}], "tool_choice": "auto"},
    )
    assert called["answer"]["tool_calls"] == [{"id": "call_1", "name": "clock", "arguments": '{"zone": "UTC"}'}]
    history = [
        {"role": "user", "content": "time?"},
        {"role": "assistant", "tool_calls": [{"id": "a", "name": "clock"}, {"id": "b", "name": "clock"}]},
        {"role": "tool", "tool_call_id": "a", "content": "noon"},
    ]
    answered = await server.http.post(f"{PROMPTS}?wait=20", {"messages": history})
    assert [call.get("index", 0) for call in answered.json["request"]["messages"][1]["tool_calls"]] == [0, 1]
    embedded = await server.http.post(f"{PROMPTS}?wait=20", {"texts": ["a", "b"], "capability": "embedding"})
    assert len(embedded.json["answer"]["value"]["embeddings"]) == 2
    assert embedded.json["request"]["texts"] == ["a", "b"]


async def test_times_with_any_offset(server: Server) -> None:
    body = {"prompt": "later", "not_before": "2099-01-01T02:00:00+02:00", "deadline": "2099-06-01T00:00:00Z"}
    receipt = (await server.http.post(PROMPTS, body)).json
    assert receipt["status"] == "scheduled"
    assert receipt["not_before"] == "2099-01-01T00:00:00.000Z"
    assert receipt["deadline"] == "2099-06-01T00:00:00.000Z"


async def test_same_id_is_the_same_prompt(server: Server) -> None:
    first = await server.http.post(f"{PROMPTS}?wait=20", {"prompt": "one", "id": "mine"})
    again = await server.http.post(PROMPTS, {"prompt": "two", "id": "mine"})
    assert again.status == 200
    assert again.headers["idempotent-replayed"] == "true"
    assert again.json == first.json
    other = await server.client("eve")
    problem(await other.post(PROMPTS, {"prompt": "three", "id": "mine"}), 409, "conflict")


async def test_idempotency_key_compares_bodies(server: Server) -> None:
    headers = {"Idempotency-Key": "k1"}
    first = await server.http.post(PROMPTS, {"prompt": "one"}, headers=headers)
    again = await server.http.post(f"{PROMPTS}?wait=20", {"prompt": "one"}, headers=headers)
    assert again.json["id"] == first.json["id"]
    assert again.json["status"] == "completed"
    assert again.headers["idempotent-replayed"] == "true"
    other = await server.http.post(PROMPTS, {"prompt": "two"}, headers=headers)
    problem(other, 422, "idempotency_mismatch")
    stranger = await server.client("eve")
    assert (await stranger.post(PROMPTS, {"prompt": "one"}, headers=headers)).json["id"] != first.json["id"]


async def test_ids_may_hold_anything(server: Server) -> None:
    name = "a/b?c d%2Fé\n"
    created = await server.http.post(f"{PROMPTS}?wait=20", {"prompt": "x", "id": name})
    location = created.headers["location"]
    assert location == f"{PROMPTS}/a%2Fb%3Fc%20d%252F%C3%A9%0A"
    assert (await server.http.get(location)).json["id"] == name
    assert (await server.http.read(f"{location}/events"))[-1].name == "done"
    assert (await server.http.call("DELETE", location)).status == 204
    problem(await server.http.get(location), 404, "not_found")


# ---------------------------------------------------------------- refusals


async def test_body_limit(serve: Serve) -> None:
    async with serve(server={"max_body_bytes": 2048}) as server:
        told = await server.http.post(PROMPTS, {"prompt": "x" * 3000})
        problem(told, 413, "payload_too_large")
        # the bound holds without a content length too
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            f"POST {PROMPTS} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.http.key}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n".encode()
        )
        for _ in range(3):
            writer.write(b"400\r\n" + b"x" * 1024 + b"\r\n")
        assert b" 413 " in await reader.readline()
        writer.close()


async def test_limits_tell_when_to_come_back(serve: Serve) -> None:
    limit = {"name": "slow", "metric": "requests", "limit": 1, "window": 600}
    async with serve(limits=[limit]) as server:
        await server.http.submit("one")
        refused = await server.http.post(PROMPTS, {"prompt": "two"})
        assert problem(refused, 429, "too_many_requests")["retryable"] is True
        assert 1 <= int(refused.headers["retry-after"]) <= 600


async def test_guard_refusal(serve: Serve) -> None:
    async with serve(guard={"blocklist": ["forbidden"]}) as server:
        problem(await server.http.post(PROMPTS, {"prompt": "a Forbidden word"}), 422, "content_refused")


async def test_a_bug_costs_one_request_and_tells_nothing(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    del server.house.walk.keys._ids  # breaks the making of keys, deep inside
    response = await server.admin.post("/promptd/v1/keys", {"name": "x"})
    assert problem(response, 500, "internal")["detail"] == "Internal error"
    assert "AttributeError" in caplog.text
    assert (await server.admin.get("/promptd/v1/me")).status == 200


# ---------------------------------------------------------------- list


async def ids(http: Http, query: str) -> list[str]:
    """All pages of a listing."""
    found: list[str] = []
    after = ""
    while True:
        response = await http.get(f"{PROMPTS}?{query}{after}")
        assert response.status == 200, response.body
        found += [item["id"] for item in response.json["items"]]
        if response.json["after"] is None:
            return found
        after = f"&after={response.json['after']}"


async def test_paging_in_every_order(server: Server) -> None:
    prompts = [await server.http.finished("x", id=f"p{number}", priority=number % 3) for number in range(6)]
    # what is shown has milliseconds, what is sorted has more: a prompt of somebody else keeps the last two apart
    await (await server.client("eve")).finished("x")
    prompts.append(await server.http.submit("x", id="p6", not_before="2099-01-01T00:00:00Z"))
    names = ("created_at", "updated_at", "priority", "started_at", "finished_at")
    orders = [
        ",".join(sign + name for name, sign in zip(pair, signs, strict=True))
        for pair in permutations(names, 2)
        for signs in (("", ""), ("-", ""))
    ]
    for order in [*names, *(f"-{name}" for name in names), *orders]:
        expected = prompts[::-1] if order.rpartition(",")[2].startswith("-") else prompts[:]
        for part in reversed(order.split(",")):
            name = part.removeprefix("-")
            expected = sorted(expected, key=lambda p: (p[name] is not None, p[name]), reverse=part.startswith("-"))
        assert await ids(server.http, f"order={order}&limit=2") == [prompt["id"] for prompt in expected], order


async def test_filters(server: Server) -> None:
    http = server.http
    done = await http.finished("x", thread_id="t")
    failed = await http.finished([{"fail": "invalid_input"}], model="org/big")
    waiting = await http.submit("x", not_before="2099-01-01T00:00:00Z")
    stranger = await server.client("eve")
    foreign = await stranger.finished("x")
    assert failed["status"] == "abandoned"
    assert failed["error"]["code"] == "invalid_input"
    cases = {
        "": [waiting, failed, done],
        "status=scheduled": [waiting],
        "status=completed,abandoned": [failed, done],
        "model=org/big": [failed],
        "connection=lab": [waiting, failed, done],
        "connection=none": [],
        "thread_id=t": [done],
        "capability=chat": [waiting, failed, done],
        "error=invalid_input": [failed],
        "user=eve": [],
        f"created_after={done['created_at']}&status=completed": [done],
        f"created_before={done['created_at']}": [],
        "created_after=2099-01-01T00:00:00%2B01:00": [],
    }
    for query, expected in cases.items():
        assert await ids(http, query) == [prompt["id"] for prompt in expected], query
    assert (await http.get(f"{PROMPTS}?limit=1&count=true")).json["count"] == 3
    assert (await http.get(f"{PROMPTS}?limit=1")).json["count"] is None
    seen = (await server.admin.get(f"{PROMPTS}?user=eve")).json["items"]
    assert [item["id"] for item in seen] == [foreign["id"]]
    assert seen[0]["request"]["messages"] == []
    assert seen[0]["answer"]["text"] == ""


# ---------------------------------------------------------------- change


async def test_cancel_retry_delete(server: Server, tmp_path: Path) -> None:
    http = server.http
    prompt = await http.submit(gate(tmp_path / "go"))
    path = f"{PROMPTS}/{prompt['id']}"
    problem(await http.call("DELETE", path), 409, "conflict")
    problem(await http.post(f"{path}/retry"), 409, "conflict")
    canceled = await http.post(f"{path}/cancel")
    assert (canceled.status, canceled.json["status"]) == (200, "canceled")
    assert canceled.json["error"]["code"] == "cancelled"
    problem(await http.post(f"{path}/cancel"), 409, "conflict")
    (tmp_path / "go").touch()
    retried = await http.post(f"{path}/retry")
    assert retried.status == 202
    assert retried.headers["location"] == path
    events = await http.read(f"{path}/events")
    assert events[-1].name == "done"
    ledger = (await http.get(f"{path}/attempts")).json["items"]
    assert [entry["outcome"] for entry in ledger] == ["canceled", "completed"]
    gone = await http.call("DELETE", path)
    assert (gone.status, gone.body) == (204, b"")
    assert "content-length" not in gone.headers
    problem(await http.get(path), 404, "not_found")


async def test_prune(server: Server) -> None:
    await server.http.finished("x")
    rule = {"status": "completed", "older_than_seconds": 0}
    problem(await server.http.post(f"{PROMPTS}/prune", {"rules": [rule]}), 403, "forbidden")
    counted = await server.admin.post(f"{PROMPTS}/prune", {"rules": [rule], "dry_run": True})
    assert counted.json == {"count": 1, "dry_run": True}
    assert (await server.admin.post(f"{PROMPTS}/prune", {"rules": [rule]})).json == {"count": 1, "dry_run": False}
    assert await ids(server.http, "") == []
    problem(await server.admin.post(f"{PROMPTS}/prune", {"rules": []}), 422, "invalid_request", "rules")
    wrong = {"rules": [{"status": "running", "older_than_seconds": 0}]}
    problem(await server.admin.post(f"{PROMPTS}/prune", wrong), 422, "invalid_request", "rules[0].status")


async def test_threads(server: Server) -> None:
    http = server.http
    await http.finished("first", thread_id="talk")
    await http.finished("second", thread_id="talk")
    thread = (await http.get("/promptd/v1/threads/talk")).json
    assert (thread["title"], thread["user"], thread["members"]) == ("first", "ada", ["ada"])
    base = "/promptd/v1/threads/talk/messages"
    page = (await http.get(f"{base}?limit=3&count=true")).json
    assert [(item["role"], item["text"]) for item in page["items"]] == [
        ("user", "first"),
        ("assistant", "first"),
        ("user", "second"),
    ]
    assert page["count"] == 4
    rest = (await http.get(f"{base}?limit=3&after={page['after']}")).json
    assert [item["text"] for item in rest["items"]] == ["second"]
    newest = (await http.get(f"{base}?order=-created_at&limit=1")).json["items"][0]
    assert (newest["role"], newest["text"], newest["user"]) == ("assistant", "second", None)
    problem(await http.get(f"{base}?order=role"), 422, "invalid_request", "order")
    problem(await (await server.client("eve")).get(base), 404, "not_found")
    problem(await server.admin.get(base), 403, "forbidden")


async def test_a_refused_answer_never_leaves(serve: Serve) -> None:
    script = [{"say": "I saw a ", "pieces": 3}, {"say": "badger", "pieces": 2}]
    async with serve(
        guard={"blocklist": ["badger"], "output": True},
        connections={"lab": {"engine": "scripted", "script": script, "slots": 2}},
    ) as server:
        prompt = (await server.http.post(f"{PROMPTS}?wait=30", {"prompt": "what did you see?"})).json
        assert (prompt["status"], prompt["error"]["code"]) == ("abandoned", "content_filtered")
        assert prompt["answer"] is None
        events = await server.http.read(f"{PROMPTS}/{prompt['id']}/events")
        assert [event.name for event in events if event.name] == ["error"]
