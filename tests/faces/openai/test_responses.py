"""`/v1/responses` on a real server, asked with the official SDK and, where bytes count, on a bare socket."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest
from openai import AsyncOpenAI
from openai.types.responses import Response, ResponseFunctionToolCall

from promptd.core.model import Chunk
from promptd.testing.scripted import Scripted
from tests.faces.client import as_script
from tests.faces.conftest import Server
from tests.faces.openai.responses_lab import ended, house, sdk, text


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with house(tmp_path) as running:
        yield running


@pytest.fixture
async def client(server: Server) -> AsyncIterator[AsyncOpenAI]:
    async with sdk(server.http) as found:
        yield found


async def test_a_whole_response(client: AsyncOpenAI) -> None:
    made = await client.responses.create(
        model="demo", input="hello there", instructions="be brief", metadata={"a": "b"}, temperature=0.5
    )
    assert made.id.startswith("resp_")
    assert (made.output_text, made.status, made.instructions) == ("hello there", "completed", "be brief")
    assert (made.metadata, made.temperature, made.model) == ({"a": "b"}, 0.5, "demo")
    assert made.usage is not None
    assert (made.usage.input_tokens, made.usage.output_tokens) == (2, 2)
    Response.model_validate(made.model_dump())


async def test_a_stream_and_the_same_response_looked_up_later(client: AsyncOpenAI) -> None:
    async with client.responses.stream(model="demo", input="one two three four") as stream:
        told = [event.type async for event in stream]
        made = await stream.get_final_response()
    assert told[:2] == ["response.created", "response.in_progress"]
    assert told[-1] == "response.completed"
    assert made.output_text == "one two three four"
    found = await client.responses.retrieve(made.id)
    assert found.output_text == made.output_text
    assert [item["id"] for item in found.to_dict()["output"]] == [item["id"] for item in made.to_dict()["output"]]  # type: ignore[attr-defined]
    assert found.usage == made.usage


async def test_a_call_of_a_tool(client: AsyncOpenAI) -> None:
    script = as_script([{"tool": "weather", "arguments": {"city": "Rome"}}])
    made = await client.responses.create(
        model="demo",
        input=script,
        tools=[{"type": "function", "name": "weather", "parameters": {"type": "object"}, "strict": False}],
    )
    (call,) = made.output
    assert isinstance(call, ResponseFunctionToolCall)
    assert (call.name, call.call_id, msgspec.json.decode(call.arguments)) == ("weather", "call_1", {"city": "Rome"})
    answered = await client.responses.create(
        model="demo",
        previous_response_id=made.id,
        input=[
            {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
            {"role": "user", "content": "so"},
        ],
    )
    assert answered.output_text == "so"
    listed = await client.responses.input_items.list(answered.id, order="asc")
    assert [item.type for item in listed.data] == ["message", "function_call", "function_call_output", "message"]


async def test_an_answer_that_was_cut(client: AsyncOpenAI) -> None:
    made = await client.responses.create(model="demo", input=as_script([{"say": "a"}, {"finish": "length"}]))
    assert made.status == "incomplete"
    assert made.incomplete_details is not None
    assert made.incomplete_details.reason == "max_output_tokens"


async def test_a_call_that_fails(client: AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError):
        await client.responses.create(model="demo", input=as_script([{"fail": "invalid_input", "message": "no"}]))
    script = as_script([{"say": "a"}, {"fail": "execution_failed", "message": "broken"}])
    stream = await client.responses.create(model="demo", input=script, stream=True)
    events = [event async for event in stream]
    assert events[-1].type == "response.failed"
    assert events[-1].response.error is not None
    assert events[-1].response.error.code == "server_error"


@pytest.mark.parametrize(
    ("members", "status", "param"),
    [
        ({"input": 5}, 400, "input"),
        ({"conversation": "conv_1"}, 400, "conversation"),
        ({"model": "nobody"}, 404, "model"),
        ({"background": True, "store": False}, 400, "store"),
        ({"previous_response_id": "resp_0"}, 400, "previous_response_id"),
        ({"input": [{"type": "item_reference", "id": "msg_0"}]}, 400, "input"),
    ],
)
async def test_what_is_refused(server: Server, members: dict[str, Any], status: int, param: str) -> None:
    answer = await server.http.post("/v1/responses", {"model": "demo", "input": "hi", **members})
    assert answer.status == status
    error = answer.json["error"]
    assert (error["param"], error["type"]) == (param, "invalid_request_error")
    assert error["message"]


# ------------------------------------------------------------------ what is stored


async def test_a_conversation_goes_on(client: AsyncOpenAI) -> None:
    first = await client.responses.create(model="demo", input="one", instructions="be brief")
    second = await client.responses.create(model="demo", input="two", previous_response_id=first.id)
    third = await client.responses.create(
        model="demo", input="three", previous_response_id=second.id, instructions="be long"
    )
    assert third.previous_response_id == second.id
    assert third.instructions == "be long"
    listed = await client.responses.input_items.list(third.id, order="asc")
    told = [(item.role, text(item)) for item in listed.data if item.type == "message"]
    assert told == [("user", "one"), ("assistant", "one"), ("user", "two"), ("assistant", "two"), ("user", "three")]


async def test_what_is_not_stored_is_not_there(client: AsyncOpenAI) -> None:
    made = await client.responses.create(model="demo", input="hi", store=False)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(made.id)
    with pytest.raises(openai.BadRequestError) as refused:
        await client.responses.create(model="demo", input="so", previous_response_id=made.id)
    assert refused.value.code == "previous_response_not_found"


async def test_only_the_owner_may_see_it(server: Server, client: AsyncOpenAI) -> None:
    made = await client.responses.create(model="demo", input="hi")
    queued = await client.responses.create(model="demo", input="hi", background=True)
    for other in (await server.client("bob"), server.admin):
        stranger = sdk(other)
        for identifier in (made.id, queued.id):
            for attempt in (
                stranger.responses.retrieve(identifier),
                stranger.responses.cancel(identifier),
                stranger.responses.delete(identifier),
                stranger.responses.input_items.list(identifier),
                stranger.responses.retrieve(identifier, stream=True),
            ):
                with pytest.raises(openai.NotFoundError):
                    await attempt
        await stranger.close()


async def test_deleting_a_response(client: AsyncOpenAI) -> None:
    made = await client.responses.create(model="demo", input="hi")
    await client.responses.delete(made.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(made.id)
    running = await client.responses.create(model="demo", input=as_script([{"hang": True}]), background=True)
    await client.responses.delete(running.id)
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(running.id)


async def test_pages_of_input_items(client: AsyncOpenAI) -> None:
    words = [{"role": "user", "content": str(number)} for number in range(5)]
    made = await client.responses.create(model="demo", input=words)  # type: ignore[arg-type]  # as people write it
    pages = client.responses.input_items.list(made.id, limit=2)
    assert [text(item) async for item in pages] == ["4", "3", "2", "1", "0"]
    page: Any = await client.responses.input_items.list(made.id, limit=2, order="asc")
    assert [text(item) for item in page.data] == ["0", "1"]
    assert (page.has_more, page.first_id, page.last_id) == (True, page.data[0].id, page.data[1].id)
    for query in ({"order": "up"}, {"after": "nobody"}, {"limit": "0"}, {"limit": "x"}):
        with pytest.raises(openai.BadRequestError):
            await client.responses.input_items.list(made.id, extra_query=query)


async def test_items_may_be_named_instead_of_given(server: Server, client: AsyncOpenAI) -> None:
    made = await client.responses.create(model="demo", input="hello")
    item = made.output[0].id
    assert item is not None
    named: list[Any] = [{"type": "item_reference", "id": item}, {"role": "user", "content": "and"}]
    answer = await client.responses.create(model="demo", input=named)
    listed = await client.responses.input_items.list(answer.id, order="asc")
    assert [text(entry) for entry in listed.data] == ["hello", "and"]
    async with sdk(await server.client("bob")) as stranger:
        with pytest.raises(openai.BadRequestError):
            await stranger.responses.create(model="demo", input=named)


async def test_about_how_many_tokens_an_input_has(client: AsyncOpenAI) -> None:
    counted = await client.responses.input_tokens.count(model="demo", input="word " * 100)
    assert 50 <= counted.input_tokens <= 200


# ------------------------------------------------------------------ in the background


async def test_a_response_in_the_background(client: AsyncOpenAI) -> None:
    made = await client.responses.create(model="demo", input="hi there", background=True)
    assert made.status in ("queued", "in_progress")
    assert (made.background, made.output) == (True, [])
    found = await ended(client, made.id)
    assert (found.status, found.output_text, found.background) == ("completed", "hi there", True)
    Response.model_validate(found.model_dump())


async def test_cancelling(client: AsyncOpenAI) -> None:
    made = await client.responses.create(model="demo", input=as_script([{"hang": True}]), background=True)
    for _ in range(2):
        assert (await client.responses.cancel(made.id)).status == "cancelled"
    assert (await client.responses.retrieve(made.id)).status == "cancelled"
    events = [event async for event in await client.responses.retrieve(made.id, stream=True)]
    assert events[-1].type == "response.failed"
    done = await client.responses.create(model="demo", input="hi", background=True)
    await ended(client, done.id)
    assert (await client.responses.cancel(done.id)).status == "completed"
    plain = await client.responses.create(model="demo", input="hi")
    for attempt in (client.responses.cancel(plain.id), client.responses.retrieve(plain.id, stream=True)):
        with pytest.raises(openai.BadRequestError):
            await attempt


async def test_a_background_response_that_fails(client: AsyncOpenAI) -> None:
    script = as_script([{"say": "a"}, {"fail": "invalid_input", "message": "no"}])
    made = await client.responses.create(model="demo", input=script, background=True)
    found = await ended(client, made.id)
    assert (found.status, found.output) == ("failed", [])
    assert found.error is not None
    assert (found.error.code, found.error.message) == ("invalid_prompt", "no")


async def test_an_idempotency_key_gives_the_first_response(client: AsyncOpenAI) -> None:
    key = {"Idempotency-Key": "k"}
    whole = [await client.responses.create(model="demo", input="hi", extra_headers=key) for _ in range(2)]
    assert whole[0].id == whole[1].id
    assert whole[0].output_text == "hi"
    with pytest.raises(openai.UnprocessableEntityError):
        await client.responses.create(model="demo", input="ho", extra_headers=key)
    streams = [
        [
            event.to_dict()
            async for event in await client.responses.create(
                model="demo", input="one two", stream=True, extra_headers={"Idempotency-Key": "streamed"}
            )
        ]
        for _ in range(2)
    ]
    assert streams[0] == streams[1]
    unkept = await client.responses.create(
        model="demo", input="hi", store=False, extra_headers={"Idempotency-Key": "other"}
    )
    with pytest.raises(openai.NotFoundError):
        await client.responses.retrieve(unkept.id)


# ------------------------------------------------------------------ bytes as they are


class Speaking(Scripted):
    """An engine whose service speaks this dialect, and says what it was asked."""

    type_id = "speaking"

    def dialects(self, connection: Any) -> frozenset[str]:
        return frozenset({"openai.responses"})

    async def run(self, call: Any) -> AsyncGenerator[Chunk, None]:
        if call.native is None:
            async for chunk in super().run(call):
                yield chunk
            return
        raw = b'{"id": "resp_theirs", "asked": %b}' % call.native.body
        yield Chunk("progress", raw=raw, dialect="openai.responses")
        yield Chunk("done", finish_reason="stop")


async def test_bytes_pass_only_where_nothing_is_stored(tmp_path: Path) -> None:
    async with house(tmp_path, speaking=Speaking()) as server:
        raw = b'{"model":"speaking", "store":false, "input":"hi"}'
        answer = await server.http.post("/v1/responses", raw=raw)
        assert answer.body == b'{"id": "resp_theirs", "asked": %b}' % raw
        answer = await server.http.post("/v1/responses", {"model": "speaking", "input": "hi"})
        assert answer.json["output"][0]["content"][0]["text"] == "hi"
        assert (await server.http.get("/v1/responses/" + answer.json["id"])).status == 200
