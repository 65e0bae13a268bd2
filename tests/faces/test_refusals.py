"""What is refused, and how it is told: problems that name the field (RFC 9457)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faces.client import problem
from tests.faces.conftest import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")

PROMPTS = "/promptd/v1/prompts"


def nested(depth: int) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("body", "field", "expected"),
    [
        ({"messages": [{"role": "boss"}]}, "messages[0].role", ""),
        ({"messages": [{"role": 5}]}, "messages[0].role", "a string"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "a value"),
        ({"messages": [{"role": "user", "text": "x"}]}, "messages[0].text", "only known fields"),
        ({"prompt": 5}, "prompt", "a string or null"),
        ({"prompt": "x", "promt": "y"}, "promt", "only known fields"),
        ({"prompt": "x", "priority": 101}, "priority", "a whole number <= 100"),
        ({"prompt": "x", "priority": 10**30}, "priority", "a whole number <= 100"),
        ({"prompt": "x", "deadline": "tomorrow"}, "deadline", "an RFC 3339 time with an offset"),
        ({"prompt": "x", "deadline": "2099-01-01T00:00:00"}, "deadline", "an RFC 3339 time with an offset"),
        ({"prompt": "x", "deadline": "2001-01-01T00:00:00Z"}, "deadline", "a time in the future"),
        ({"prompt": "x", "deadline": "9999-12-31T23:59:59-10:00"}, "deadline", "a time from 1970 to 9999"),
        ({"prompt": "x", "parameters": {"max_tokens": 0}}, "parameters.max_tokens", "a whole number >= 1"),
        ({"prompt": "x", "parameters": {"heat": 1}}, "parameters.heat", "only known fields"),
        ({"prompt": "x", "parameters": {"tools": [{"nam": "x"}]}}, "parameters.tools[0].nam", "only known fields"),
        ({"prompt": "x", "parameters": {"json_schema": {"type": "no"}}}, "parameters.json_schema", ""),
        ({"prompt": "x", "metadata": {"a": 1}}, "metadata[...]", "a string"),
        ({"prompt": "x", "metadata": {"a" * 65: ""}}, "metadata", "a string of length <= 64 as each name"),
        ({"prompt": "x", "metadata": {"a": "x" * 1025}}, "metadata[...]", "a string of length <= 1024"),
        ({"prompt": "x", "metadata": dict.fromkeys(map(str, range(65)), "")}, "metadata", "an object of length <= 64"),
        (
            {"prompt": "x", "parameters": {"extra": {"a": nested(100)}}},
            "parameters.extra",
            "at most 100 levels of lists and objects",
        ),
        ({"prompt": "x", "id": ""}, "id", "a string of length >= 1"),
        ({"prompt": "x", "capability": "sing"}, "capability", ""),
        ({"prompt": "x", "texts": ["y"]}, "prompt", "exactly one of prompt, messages and texts"),
        ({}, "prompt", "exactly one of prompt, messages and texts"),
        ({"texts": ["y"]}, "capability", ""),
        ({"prompt": "x", "capability": "embedding"}, "capability", ""),
        ({"texts": [], "capability": "embedding"}, "texts", "at least one text"),
        ({"prompt": ""}, "messages", "at least one message with text"),
        ([], "body", "an object"),
    ],
)
async def test_wrong_fields_are_named(shared: Server, body: Any, field: str, expected: str) -> None:
    told = problem(await shared.http.post(PROMPTS, body), 422, "invalid_request", field)
    if expected:
        assert told["expected"] == expected
    assert told["detail"].strip()
    assert told["retryable"] is False


@pytest.mark.parametrize(
    "raw", [b"", b"{", b'{"prompt": "\xff"}', b'{"parameters": {"extra": {"a": ' + b"[" * 100_000, b"\0"]
)
async def test_a_body_that_is_not_json(shared: Server, raw: bytes) -> None:
    problem(await shared.http.post(PROMPTS, raw=raw), 400, "invalid_request", "body")


@pytest.mark.parametrize("query", ["wait=soon", "wait=601", "wait=-1", "wait=", "wait=1&wait=2", "wait=%D9%A3"])
async def test_wrong_wait(shared: Server, query: str) -> None:
    problem(await shared.http.post(f"{PROMPTS}?{query}", {"prompt": "x"}), 422, "invalid_request", "wait")


async def test_other_refusals(shared: Server) -> None:
    http = shared.http
    problem(await http.post(PROMPTS, {"prompt": "x", "model": "dem"}), 404, "unknown_model", "model")
    problem(await http.post(f"{PROMPTS}?color=red", {"prompt": "x"}), 422, "invalid_request", "color")
    many = "&".join(f"m{number}=1" for number in range(51))
    problem(await http.of(None).get(f"/healthz?{many}"), 422, "invalid_request", "query")
    problem(await http.get("/promptd/v2/prompts"), 404, "not_found")
    for key in ("", "a b", "x" * 256, "ä"):
        headers = {"Idempotency-Key": key}
        problem(await http.post(PROMPTS, {"prompt": "x"}, headers=headers), 422, "invalid_request", "Idempotency-Key")
    wrong = await http.call("PUT", f"{PROMPTS}/x/cancel")
    problem(wrong, 405, "method_not_allowed")
    assert wrong.headers["allow"] == "POST"
    assert (await http.call("PATCH", PROMPTS)).headers["allow"] == "GET, HEAD, POST"
    nobody = await http.of(None).get(f"{PROMPTS}/x")
    problem(nobody, 401, "unauthenticated")
    assert nobody.headers["www-authenticate"] == "Bearer"


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("status=gone", "status"),
        ("order=colour", "order"),
        ("order=created_at,-created_at", "order"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=many", "limit"),
        ("after=%00", "after"),
        ("created_after=2020", "created_after"),
        ("count=maybe", "count"),
        ("capability=null", "capability"),
        ("state=running", "state"),
    ],
)
async def test_wrong_queries(shared: Server, query: str, field: str) -> None:
    problem(await shared.http.get(f"{PROMPTS}?{query}"), 422, "invalid_request", field)
