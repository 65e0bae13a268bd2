"""`FakeHttp` answers by script, fails in every way, and keeps what it was asked."""

from __future__ import annotations

import asyncio

import pytest

from promptd.core.errors import InvalidOutput, NetworkError, PromptdError, Timeout
from promptd.core.ports import HttpClient
from promptd.testing import FAILURES, FakeHttp, Reply


async def fetch(http: HttpClient, body: bytes = b"", max_bytes: int = 1024) -> tuple[int, bytes]:
    async with http.request(
        "POST", "https://a.example/x", headers={"X-Key": "k"}, body=body, max_bytes=max_bytes
    ) as response:
        return response.status, await response.read()


async def test_replies_come_in_order_and_the_last_one_repeats() -> None:
    http = FakeHttp(Reply.json({"n": 1}, 503), Reply.json({"n": 2}))
    assert [await fetch(http, b"[1]") for _ in range(3)] == [(503, b'{"n":1}'), (200, b'{"n":2}'), (200, b'{"n":2}')]
    assert [sent.json for sent in http.sent] == [[1], [1], [1]]
    assert (http.sent[0].method, http.sent[0].url, http.sent[0].headers) == (
        "POST",
        "https://a.example/x",
        {"x-key": "k"},
    )


async def test_a_function_answers_as_it_likes() -> None:
    http = FakeHttp(lambda sent: Reply(body=sent.body[::-1], headers={"X-Seen": sent.url}))
    async with http.request("GET", "https://a.example/", body=b"abc") as response:
        assert response.headers == {"x-seen": "https://a.example/"}
        assert await response.read() == b"cba"


async def test_events_arrive_in_pieces() -> None:
    http = FakeHttp(Reply.events({"text": "x" * 600}, {"text": "y"}))
    async with http.request("GET", "https://a.example/") as response:
        pieces = [piece async for piece in response.chunks()]
    assert len(pieces) > 1
    assert b"".join(pieces).endswith(b'data: {"text":"y"}\n\ndata: [DONE]\n\n')


@pytest.mark.parametrize("name", [name for name, reply in FAILURES.items() if not reply.hangs])
async def test_every_failure_is_an_error_that_is_counted(name: str) -> None:
    http = FakeHttp(FAILURES[name])
    with pytest.raises(PromptdError) as failed:
        await fetch(http)
    assert failed.value is FAILURES[name].error
    assert (http.failures, http.open, len(http.sent)) == (1, 0, 1)


async def test_a_hanging_call_ends_when_it_is_cancelled() -> None:
    http = FakeHttp(FAILURES["hangs"])
    task = asyncio.create_task(fetch(http))
    await http.asked.wait()
    assert http.open == 1
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert http.open == 0


async def test_a_bound_is_kept() -> None:
    with pytest.raises(InvalidOutput):
        await fetch(FakeHttp(Reply(body=b"12345")), max_bytes=4)


async def test_addresses_that_were_allowed_are_known() -> None:
    http = FakeHttp()
    http.allow("https://a.example")
    assert http.allowed == ["https://a.example"]
    http.disallow("https://a.example")
    http.disallow("https://b.example")
    assert http.allowed == []


def test_failures_are_of_the_kinds_that_a_client_reports() -> None:
    kinds = {type(reply.error) for reply in FAILURES.values() if reply.error is not None}
    assert {NetworkError, Timeout, InvalidOutput} <= kinds
