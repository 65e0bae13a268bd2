"""Batches with the vendor's client: every endpoint, mistakes, cancel, lists, and files that are in use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest
from openai.types import Batch

from promptd.testing.scripted import embed
from tests.faces.openai.others import Place, run_place
from tests.waiting import eventually

_UNDER_WAY = ("validating", "in_progress", "cancelling", "finalizing")


@pytest.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    async with run_place(tmp_path) as one:
        yield one


def jsonl(url: str, *bodies: Any) -> bytes:
    return b"".join(
        msgspec.json.encode({"custom_id": f"line-{n}", "method": "POST", "url": url, "body": body}) + b"\n"
        for n, body in enumerate(bodies)
    )


async def start(client: openai.AsyncOpenAI, url: Any, *bodies: Any, **more: Any) -> Batch:
    file = await client.files.create(file=("in.jsonl", jsonl(url, *bodies)), purpose="batch")
    return await client.batches.create(input_file_id=file.id, endpoint=url, completion_window="24h", **more)


async def ended(client: openai.AsyncOpenAI, batch: Batch) -> Batch:
    async def over() -> Batch | None:
        found = await client.batches.retrieve(batch.id)
        return None if found.status in _UNDER_WAY else found

    found = await eventually(over)
    assert found is not None
    return found


async def read(client: openai.AsyncOpenAI, identifier: str | None) -> dict[str, Any]:
    if identifier is None:
        return {}
    content = (await client.files.content(identifier)).content
    lines = [msgspec.json.decode(line) for line in content.splitlines()]
    for line in lines:
        assert set(line) == {"id", "custom_id", "response", "error"}
        assert line["id"].startswith("batch_req_")
    return {line["custom_id"]: line for line in lines}


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "demo", "messages": [{"role": "user", "content": text}]} | more


async def test_chats(place: Place) -> None:
    client = place.client()
    batch = await start(client, "/v1/chat/completions", *(chat(f"text {n}") for n in range(9)), metadata={"for": "me"})
    assert batch.object == "batch"
    assert (batch.status, batch.endpoint, batch.completion_window) == ("validating", "/v1/chat/completions", "24h")
    assert batch.expires_at == batch.created_at + 86_400
    assert batch.metadata == {"for": "me"}
    batch = await ended(client, batch)
    assert batch.status == "completed"
    assert batch.model == "demo"
    assert batch.request_counts is not None
    assert batch.request_counts.model_dump() == {"completed": 9, "failed": 0, "total": 9}
    assert batch.usage is not None
    assert (batch.usage.input_tokens, batch.usage.output_tokens, batch.usage.total_tokens) == (18, 18, 36)
    assert batch.in_progress_at is not None
    assert batch.finalizing_at is not None
    assert batch.completed_at is not None
    assert (batch.failed_at, batch.errors, batch.error_file_id) == (None, None, None)
    lines = await read(client, batch.output_file_id)
    assert len(lines) == 9
    for n in range(9):
        response = lines[f"line-{n}"]["response"]
        assert (response["status_code"], lines[f"line-{n}"]["error"]) == (200, None)
        assert response["body"]["object"] == "chat.completion"
        assert response["body"]["choices"][0]["message"]["content"] == f"text {n}"
    assert batch.output_file_id is not None
    output = await client.files.retrieve(batch.output_file_id)
    assert (output.purpose, output.filename) == ("batch_output", f"{batch.id}_output.jsonl")


async def test_responses(place: Place) -> None:
    client = place.client()
    batch = await ended(
        client,
        await start(
            client,
            "/v1/responses",
            {"model": "demo", "input": "hello"},
            {"model": "demo", "input": "hello", "background": True},
            {"model": "demo", "input": "hello", "previous_response_id": "resp_1"},
        ),
    )
    lines = await read(client, batch.output_file_id)
    body = lines["line-0"]["response"]["body"]
    assert (body["object"], body["status"]) == ("response", "completed")
    assert body["output"][0]["content"][0]["text"] == "hello"
    wrong = await read(client, batch.error_file_id)
    assert wrong["line-1"]["response"]["body"]["error"]["param"] == "background"
    assert wrong["line-2"]["response"]["body"]["error"]["param"] == "previous_response_id"


async def test_embeddings_and_completions(place: Place) -> None:
    client = place.client()
    vectors = await start(client, "/v1/embeddings", {"model": "demo", "input": ["a", "b"]})
    texts = await start(client, "/v1/completions", {"model": "demo", "prompt": ["one", "two"], "n": 2, "echo": True})
    lines = await read(client, (await ended(client, vectors)).output_file_id)
    data = lines["line-0"]["response"]["body"]["data"]
    assert [item["embedding"] for item in data] == [embed("a", 8), embed("b", 8)]
    batch = await ended(client, texts)
    lines = await read(client, batch.output_file_id)
    body = lines["line-0"]["response"]["body"]
    assert [choice["text"] for choice in body["choices"]] == ["oneone", "oneone", "twotwo", "twotwo"]
    assert body["usage"]["total_tokens"] == 8
    assert batch.usage is not None
    assert batch.usage.total_tokens == 8


async def test_lines_that_fail(place: Place) -> None:
    client = place.client()
    script = msgspec.json.encode([{"fail": "invalid_input", "message": "no such voice"}]).decode()
    batch = await start(
        client,
        "/v1/chat/completions",
        chat("fine"),
        chat("x", messages=[]),
        chat(script),
        chat("x", stream=True),
    )
    batch = await ended(client, batch)
    assert batch.status == "completed"
    assert batch.request_counts is not None
    assert (batch.request_counts.completed, batch.request_counts.failed) == (1, 3)
    lines = await read(client, batch.error_file_id)
    told = {name: (line["response"]["status_code"], line["response"]["body"]["error"]) for name, line in lines.items()}
    assert told["line-1"][0] == 400
    assert told["line-1"][1]["param"] == "messages"
    assert told["line-2"] == (
        400,
        {"message": "no such voice", "type": "invalid_request_error", "param": None, "code": "invalid_input"},
    )
    assert told["line-3"][1]["param"] == "stream"


async def test_a_file_that_can_not_be_used(place: Place) -> None:
    client = place.client()
    batch = await ended(client, await start(client, "/v1/chat/completions", chat("a"), chat("b", model="gpt-none")))
    assert batch.status == "failed"
    assert batch.failed_at is not None
    assert batch.errors is not None
    assert batch.errors.object == "list"
    assert batch.errors.data is not None
    (error,) = batch.errors.data
    assert (error.code, error.line, error.param) == ("model_not_found", 2, "body.model")
    assert (batch.output_file_id, batch.error_file_id) == (None, None)


async def test_cancel(place: Place) -> None:
    client = place.client()
    hang = msgspec.json.encode([{"hang": True}]).decode()
    batch = await start(client, "/v1/chat/completions", chat("fine"), *(chat(hang) for _ in range(50)))

    async def completed() -> int:
        counts = (await client.batches.retrieve(batch.id)).request_counts
        return counts.completed if counts is not None else 0

    await eventually(completed)
    file = batch.input_file_id
    with pytest.raises(openai.ConflictError):
        await client.files.delete(file)
    stopping = await client.batches.cancel(batch.id)
    assert stopping.status == "cancelling"
    assert stopping.cancelling_at is not None
    batch = await ended(client, batch)
    assert batch.status == "cancelled"
    assert batch.cancelled_at is not None
    assert set(await read(client, batch.output_file_id)) == {"line-0"}
    lost = await read(client, batch.error_file_id)
    assert len(lost) == 50
    assert all(line["response"] is None for line in lost.values())
    assert {line["error"]["code"] for line in lost.values()} == {"batch_cancelled"}
    with pytest.raises(openai.ConflictError):
        await client.batches.cancel(batch.id)
    assert (await client.files.delete(file)).deleted


async def test_lists(place: Place) -> None:
    client = place.client()
    made = [(await start(client, "/v1/embeddings", {"model": "demo", "input": "a"})).id for _ in range(3)]
    # ids of the same millisecond are in any order
    listed = [batch.id async for batch in client.batches.list(limit=2)]
    assert sorted(listed, reverse=True) == listed
    assert set(listed) == set(made)
    page = await client.batches.list(limit=2)
    assert page.has_more
    assert len(page.data) == 2
    bob = await place.of("bob")
    assert [batch.id async for batch in bob.batches.list()] == []
    for call in (bob.batches.retrieve, bob.batches.cancel):
        with pytest.raises(openai.NotFoundError):
            await call(made[0])
    for identifier in made:
        await ended(client, await client.batches.retrieve(identifier))


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"input_file_id": "file-none"}, "input_file_id"),
        ({"endpoint": "/v1/videos"}, "endpoint"),
        ({"completion_window": "soon"}, "completion_window"),
        ({"metadata": {"a": 5}}, "metadata[...]"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 1}}, "output_expires_after.seconds"),
        ({"output_expires_after": {"anchor": "x", "seconds": 3600}}, "output_expires_after.anchor"),
        ({"input_file_id": None}, "input_file_id"),
    ],
)
async def test_what_is_wrong_is_named(place: Place, change: dict[str, Any], param: str) -> None:
    client = place.client()
    file = await client.files.create(file=("in.jsonl", b"{}"), purpose="batch")
    body = {"input_file_id": file.id, "endpoint": "/v1/embeddings", "completion_window": "24h"}
    answer = await place.http.post("/v1/batches", body | change)
    assert (answer.status, answer.json["error"]["param"]) == (400, param)


async def test_files_of_a_batch_may_have_an_end(place: Place) -> None:
    client = place.client()
    end: Any = {"anchor": "created_at", "seconds": 7200}
    batch = await start(client, "/v1/embeddings", {"model": "demo", "input": "a"}, output_expires_after=end)
    batch = await ended(client, batch)
    assert batch.output_file_id is not None
    output = await client.files.retrieve(batch.output_file_id)
    assert output.expires_at is not None
    assert output.expires_at - output.created_at in (7199, 7200, 7201)
