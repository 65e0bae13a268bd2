"""Streams of responses on a real server: they go on behind any event, restarts included, and end with the server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI

from promptd.core.model import Chunk
from promptd.testing.scripted import Scripted
from tests.faces.client import as_script
from tests.faces.conftest import Server
from tests.faces.openai.responses_lab import ATTEMPT, ended, house, sdk


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with house(tmp_path) as running:
        yield running


@pytest.fixture
async def client(server: Server) -> AsyncIterator[AsyncOpenAI]:
    async with sdk(server.http) as found:
        yield found


async def events_of(client: AsyncOpenAI, identifier: str, after: int | None = None) -> list[dict[str, Any]]:
    behind = {} if after is None else {"starting_after": after}
    stream = await client.responses.retrieve(identifier, stream=True, **behind)  # type: ignore[call-overload]
    return [event.to_dict() async for event in stream]


def numbers(events: list[dict[str, Any]]) -> list[int]:
    return [event["sequence_number"] for event in events]


def kinds(events: list[dict[str, Any]]) -> list[str]:
    return [event["type"].removeprefix("response.") for event in events]


async def test_a_stream_goes_on_behind_any_of_its_events(client: AsyncOpenAI, tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = as_script(
        [
            {"say": "one two ", "pieces": 2},
            {"tool": "f"},
            {"wait_file": str(go)},
            {"say": "three four", "pieces": 2},
        ]
    )
    live: list[dict[str, Any]] = []
    early: list[asyncio.Task[list[dict[str, Any]]]] = []
    identifier = ""
    async for event in await client.responses.create(model="demo", input=script, background=True, stream=True):
        live.append(event.to_dict())
        if event.type != "response.function_call_arguments.delta":
            continue
        identifier = live[0]["response"]["id"]
        # others join while it runs, from several of its events
        early = [asyncio.create_task(events_of(client, identifier, number)) for number in numbers(live[::3])]
        looked = await client.responses.retrieve(identifier)
        assert (looked.status, looked.output) == ("in_progress", [])
        go.touch()
    assert numbers(live) == sorted(set(numbers(live)))
    assert kinds(live)[-1] == "completed"
    said = [item["content"][0]["text"] for item in live[-1]["response"]["output"] if item["type"] == "message"]
    assert said == ["one two ", "three four"]
    assert early
    for place, task in enumerate(early):
        assert (await task) == live[3 * place + 1 :]
    # and when it has ended
    assert await events_of(client, identifier) == live
    for place, number in enumerate(numbers(live)):
        assert await events_of(client, identifier, number) == live[place + 1 :]
    final = (await client.responses.retrieve(identifier)).to_dict()
    assert final["output"] == live[-1]["response"]["output"]


async def test_an_attempt_that_said_something_in_vain(client: AsyncOpenAI, tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = as_script(
        [
            [{"say": "void text", "pieces": 2}, {"wait_file": str(go)}, {"fail": "network_error"}],
            [{"say": "good text", "pieces": 2}],
        ]
    )
    live: list[dict[str, Any]] = []
    seen = 0
    async for event in await client.responses.create(model="demo", input=script, background=True, stream=True):
        live.append(event.to_dict())
        if not seen and kinds(live).count("output_text.delta") == 2:
            seen = len(live)
            go.touch()
    assert numbers(live) == sorted(set(numbers(live)))
    void, added = live[seen : seen + 2]
    assert (void["type"], void["item"]["status"]) == ("response.output_item.done", "incomplete")
    assert (void["sequence_number"], void["output_index"]) == (2 * ATTEMPT + 1, 0)
    assert (added["type"], added["output_index"]) == ("response.output_item.added", 1)
    assert [item["content"][0]["text"] for item in live[-1]["response"]["output"]] == ["good text"]
    identifier = live[0]["response"]["id"]
    for place, number in enumerate(numbers(live)):
        behind = await events_of(client, identifier, number)
        if place >= seen:
            assert behind == live[place + 1 :]
            continue
        # of what is void only its end is told: all that follows is the same wherever the reader was
        *before, end = behind[: len(behind) - len(live) + seen + 1]
        assert (end["type"], end["item"]["id"]) == (void["type"], void["item"]["id"])
        assert numbers([end]) == numbers([void])
        assert set(kinds(before)) <= {"queued", "in_progress", "output_item.added"}
        assert behind[len(before) + 1 :] == live[seen + 1 :]
    final = (await client.responses.retrieve(identifier)).to_dict()
    assert final["output"] == live[-1]["response"]["output"]


async def test_a_retry_that_said_nothing_before_leaves_no_trace(client: AsyncOpenAI) -> None:
    script = as_script([[{"fail": "rate_limited"}], [{"say": "fine"}]])
    stream = await client.responses.create(model="demo", input=script, background=True, stream=True)
    events: list[Any] = [event async for event in stream]
    assert [event.type for event in events][:4] == [
        "response.created",
        "response.queued",
        "response.in_progress",
        "response.output_item.added",
    ]
    assert events[3].output_index == 0
    assert events[-1].type == "response.completed"


async def test_a_stream_of_the_sdk_goes_on(client: AsyncOpenAI) -> None:
    script = as_script([{"say": "one two three", "pieces": 3}])
    made = await client.responses.create(model="demo", input=script, background=True)
    async with client.responses.stream(response_id=made.id) as stream:
        events = [event async for event in stream]
        assert (await stream.get_final_response()).output_text == "one two three"
    async with client.responses.stream(response_id=made.id, starting_after=events[6].sequence_number) as stream:
        behind = [event async for event in stream]
    assert [event.sequence_number for event in behind] == [event.sequence_number for event in events[7:]]


async def test_a_wrong_number_is_refused(server: Server) -> None:
    for number in ("x", "-1", "9" * 30):
        answer = await server.http.get(f"/v1/responses/resp_1?stream=true&starting_after={number}")
        assert (answer.status, answer.json["error"]["param"]) == (400, "starting_after")


class Hanging(Scripted):
    """Says one word and no more; tells when it is left alone."""

    type_id = "hanging"

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def run(self, call: Any) -> AsyncGenerator[Chunk, None]:
        try:
            yield Chunk("progress", text="a")
            await asyncio.Event().wait()
        finally:
            self.left.set()


async def test_a_client_that_leaves_ends_an_attached_response(tmp_path: Path) -> None:
    engine = Hanging()
    async with house(tmp_path, hanging=engine) as server, sdk(server.http) as client:
        stream = await client.responses.create(model="hanging", input="hi", stream=True)
        async for event in stream:
            if event.type == "response.output_text.delta":
                break
        await stream.close()
        await engine.left.wait()


async def test_a_client_that_leaves_a_background_response_leaves_it_running(server: Server, tmp_path: Path) -> None:
    go = tmp_path / "go"
    script = as_script([{"say": "a"}, {"wait_file": str(go)}, {"say": "b"}])
    async with sdk(server.http) as client:
        stream = await client.responses.create(model="demo", input=script, background=True, stream=True)
        identifier = ""
        async for event in stream:
            if event.type == "response.created":
                identifier = event.response.id
            if event.type == "response.output_text.delta":
                break
        await stream.close()
        go.touch()
        assert (await ended(client, identifier)).output_text == "ab"


async def test_a_server_that_leaves_ends_the_streams_of_those_who_wait(server: Server, client: AsyncOpenAI) -> None:
    made = await client.responses.create(model="demo", input=as_script([{"say": "a"}, {"hang": True}]), background=True)
    stream = await client.responses.retrieve(made.id, stream=True)
    told = []
    async for event in stream:
        told.append(event.type)
        if event.type == "response.output_text.delta":
            server.house.closing.set()
    assert told[-1] == "response.output_text.delta"
