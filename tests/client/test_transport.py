"""What is tried again, and what is not; streams that break."""

from __future__ import annotations

import time

import msgspec
import pytest

from promptd.client import (
    AsyncClient,
    InvalidOutput,
    NetworkError,
    NotFound,
    PromptdError,
    TooManyRequests,
    Unavailable,
)
from promptd.client.problems import error_of
from promptd.core.errors import EXECUTION_CODES, BudgetSpent, PromptExecutionError, leaves
from promptd.faces.asgi import encode, problem_of
from tests.client.conftest import answer, telling

pytestmark = pytest.mark.slow

RUN = msgspec.json.encode({"id": "p", "template": {"name": "t", "version": 1}, "text": "hi", "value": None})


def busy(error: PromptdError, **headers: str) -> bytes:
    return answer(error.http_status, encode(problem_of(error)), **headers)


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("promptd.client.transport._FIRST_PAUSE", 0.001)


async def test_a_busy_server_is_asked_again_with_the_same_key() -> None:
    async with (
        telling(busy(TooManyRequests()), busy(Unavailable()), b"", answer(200, RUN)) as told,
        AsyncClient(told.url, "k") as client,
    ):
        assert await client.templates["t"]() == "hi"
    keys = {
        line for asked in told.asked for line in asked.split(b"\r\n") if line.lower().startswith(b"idempotency-key")
    }
    assert (len(told.asked), len(keys)) == (4, 1)


async def test_it_is_asked_when_it_said_so() -> None:
    async with (
        telling(busy(TooManyRequests(), Retry_After="1"), answer(200, RUN)) as told,
        AsyncClient(told.url) as client,
    ):
        began = time.monotonic()
        assert await client.templates["t"]() == "hi"
    assert time.monotonic() - began >= 1


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (busy(TooManyRequests(), Retry_After="3600"), TooManyRequests),
        (busy(BudgetSpent()), BudgetSpent),
        (busy(NotFound()), NotFound),
        (busy(PromptExecutionError()), PromptdError),
        (answer(502, b"<html>"), PromptdError),
        (answer(200, b"<html>"), InvalidOutput),
        (answer(200, b"{}"), InvalidOutput),
    ],
)
async def test_it_is_not_asked_again_in_vain(said: bytes, kind: type[PromptdError]) -> None:
    async with telling(said, answer(200, RUN)) as told, AsyncClient(told.url) as client:
        with pytest.raises(kind):
            await client.templates["t"]()
    assert len(told.asked) == 1


async def test_a_prompt_that_ended_badly_is_not_asked_for_again() -> None:
    ended = encode({**msgspec.to_builtins(problem_of(Unavailable())), "run_id": "p1"})
    async with telling(answer(503, ended), answer(200, RUN)) as told, AsyncClient(told.url) as client:
        with pytest.raises(Unavailable, match="can't"):
            await client.templates["t"]()
    assert len(told.asked) == 1


async def test_patience_has_an_end() -> None:
    async with telling(*[busy(Unavailable())] * 9) as told, AsyncClient(told.url, retries=2) as client:
        with pytest.raises(Unavailable):
            await client.templates["t"]()
    assert len(told.asked) == 3


async def test_patience_ends_with_the_timeout() -> None:
    busy_now = busy(Unavailable(), Retry_After="5")
    async with telling(busy_now, answer(200, RUN)) as told, AsyncClient(told.url) as client:
        with pytest.raises(Unavailable):
            await client.templates["t"].using(timeout=2)()
    assert len(told.asked) == 1


async def test_a_file_is_not_sent_twice_on_a_guess() -> None:
    async with telling(b"", answer(201, b'{"id": "f"}')) as told, AsyncClient(told.url) as client:
        with pytest.raises(NetworkError):
            await client.upload(b"x")
    assert len(told.asked) == 1


async def test_nobody_there() -> None:
    async with telling() as told:
        url = told.url
    async with AsyncClient(url, retries=1) as client:
        with pytest.raises(NetworkError):
            await client.templates["t"]()


def stream(*events: str, end: bool = False) -> bytes:
    body = "".join(f"{len(event):x}\r\n{event}\r\n" for event in events) + ("0\r\n\r\n" if end else "")
    head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nX-Prompt-Id: p1\r\n\r\n"
    return (head + body).encode()


def event(number: int, kind: str, **members: object) -> str:
    data = msgspec.json.encode({"type": kind, **members}).decode()
    return f"id: 1.1.{number}\nevent: {kind}\ndata: {data}\n\n"


async def test_a_broken_stream_goes_on_behind_the_last_event() -> None:
    first = stream("retry: 5\n\n", event(1, "progress", text="one "), ": beat\n\n", event(2, "news", text="?"))
    rest = stream(event(3, "progress", text="two"), event(4, "done", value=None, usage=None), end=True)
    async with telling(first, busy(Unavailable()), stream(end=True), rest) as told, AsyncClient(told.url) as client:
        found = client.templates["t"].stream()
        assert await found.result() == "one two"
        assert found.prompt_id == "p1"
    assert told.asked[0].startswith(b"POST /promptd/v1/templates/t/run ")
    assert [b"last-event-id: 1.1.2" in asked.lower() for asked in told.asked] == [False, True, True, True]
    assert told.asked[-1].startswith(b"GET /promptd/v1/prompts/p1/events ")


async def test_a_stream_that_never_gets_on_ends() -> None:
    async with telling(*[stream(end=True)] * 20) as told, AsyncClient(told.url, retries=2) as client:
        with pytest.raises(NetworkError, match="again and again"):
            await client.templates["t"].stream().result()
    assert len(told.asked) == 4


async def test_the_end_is_looked_up_where_the_stream_has_nothing_more() -> None:
    prompt = {
        "id": "p1",
        "status": "completed",
        "model": "m",
        "created_at": "x",
        "answer": {"text": "hi", "value": [1]},
    }
    gone = answer(204, b"").replace(b"Content-Length: 0\r\n", b"")
    broken = stream(event(1, "progress", text="hi"))
    async with telling(broken, gone, answer(200, encode(prompt))) as told, AsyncClient(told.url) as client:
        assert await client.templates["t"].stream().result() == [1]


@pytest.mark.parametrize("kind", sorted(set(leaves()), key=str))
def test_every_error_comes_back_as_what_it_was(kind: type[PromptdError]) -> None:
    if kind.code == "settings":
        return
    made = kind("what happened")
    read = error_of(made.http_status, encode(problem_of(made)), "7")
    assert (read.code, read.message, read.retry_after) == (made.code, "what happened", 7.0)
    assert read.retryable == made.retryable
    assert type(read) is EXECUTION_CODES.get(kind.code, kind) or isinstance(made, type(read))
