"""`/v1/responses` by OpenAI's own SDK: answers, streams, tools, structure, conversations that the server keeps."""

from __future__ import annotations

import json
from typing import Any

import openai
import pytest

from tests.contract.gateway.both import each, entered, every, got
from tests.contract.gateway.hosts import Hosts
from tests.contract.gateway.samples import CALLS, PICTURE_URL, SEEN, Weather, response_tools, unique

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


async def test_whole(client: Any, model: str, hosts: Hosts) -> None:
    words = unique()
    answer = await got(client.responses.create(model=model, input=words, metadata={"colour": "red"}))
    told = hosts.the(words)
    assert (answer.object, answer.status, answer.model) == ("response", "completed", model)
    assert answer.id.startswith("resp_")
    assert answer.output_text == f"You said: {words}"
    assert answer.usage.input_tokens == told.input_tokens
    assert answer.usage.output_tokens == told.output_tokens
    assert answer.metadata == {"colour": "red"}
    assert answer.error is None


async def test_stream(client: Any, model: str) -> None:
    words = unique()
    events = await every(client.responses.create(model=model, input=words, stream=True))
    kinds = [event.type for event in events]
    assert kinds[:2] == ["response.created", "response.in_progress"]
    assert kinds[-1] == "response.completed"
    assert (
        "".join(event.delta for event in events if event.type == "response.output_text.delta") == f"You said: {words}"
    )
    numbers = [event.sequence_number for event in events]
    assert numbers == sorted(set(numbers))
    final = events[-1].response
    assert (final.output_text, final.status) == (f"You said: {words}", "completed")
    again = await got(client.responses.retrieve(final.id))
    assert again.output == final.output
    assert again.usage == final.usage


async def test_tools_and_their_results(client: Any, model: str) -> None:
    items: list[Any] = [{"role": "user", "content": unique(CALLS)}]
    answer = await got(client.responses.create(model=model, input=items, tools=response_tools()))
    calls = [item for item in answer.output if item.type == "function_call"]
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [
        ("weather", {"city": "Zürich"}),
        ("clock", {"city": "日本"}),
    ]
    results = [
        {"type": "function_call_output", "call_id": call.call_id, "output": output}
        for call, output in zip(calls, ("sunny", "noon"), strict=True)
    ]
    items = items + [item.model_dump(exclude_unset=True) for item in answer.output] + results
    by_hand = await got(client.responses.create(model=model, input=items, tools=response_tools()))
    assert by_hand.output_text == "The tools said: sunny | noon"
    kept = await got(
        client.responses.create(model=model, input=results, tools=response_tools(), previous_response_id=answer.id)
    )
    assert kept.output_text == "The tools said: sunny | noon"
    assert kept.previous_response_id == answer.id


async def test_tools_on_a_stream(client: Any, model: str) -> None:
    async with entered(client.responses.stream(model=model, input=unique(CALLS), tools=response_tools())) as stream:
        events = [event async for event in each(stream)]
        final = await got(stream.get_final_response())
    arguments: dict[int, str] = {}
    for event in events:
        if event.type == "response.function_call_arguments.delta":
            arguments[event.output_index] = arguments.get(event.output_index, "") + event.delta
    calls = {index: item for index, item in enumerate(final.output) if item.type == "function_call"}
    assert len(calls) == 2
    assert {index: json.loads(text) for index, text in arguments.items()} == {
        index: json.loads(call.arguments) for index, call in calls.items()
    }


async def test_structured_output(client: Any, model: str) -> None:
    answer = await got(client.responses.parse(model=model, input=unique(), text_format=Weather))
    assert answer.output_parsed == Weather(city="words", degrees=7, notes=["words"])


async def test_image(client: Any, model: str) -> None:
    words = unique("what is this")
    parts = [{"type": "input_text", "text": words}, {"type": "input_image", "image_url": PICTURE_URL, "detail": "auto"}]
    answer = await got(client.responses.create(model=model, input=[{"role": "user", "content": parts}]))
    assert answer.output_text == f"You said: {words} (with {SEEN})"


async def test_a_conversation_that_the_server_keeps(client: Any, model: str, hosts: Hosts) -> None:
    first, second = unique("red is my colour"), unique("which colour is mine")
    one = await got(client.responses.create(model=model, input=first, instructions="be kind now"))
    two = await got(client.responses.create(model=model, input=second, previous_response_id=one.id))
    told = hosts.the(second)
    # the first question, its answer and the second question; the first call's instructions are not handed on
    assert told.input_tokens == len(f"{first} You said: {first} {second}".split())
    items = await every(client.responses.input_items.list(two.id, order="asc"))
    assert items[-1].content[0].text == second
    with pytest.raises((openai.NotFoundError, openai.BadRequestError)):
        await got(client.responses.create(model=model, input="x", previous_response_id="resp_nothing"))


async def test_limit_of_an_answer(client: Any, model: str) -> None:
    answer = await got(client.responses.create(model=model, input=unique("a b c d e f"), max_output_tokens=16))
    assert answer.status == "completed"
    words = unique(" ".join(["word"] * 40))
    answer = await got(client.responses.create(model=model, input=words, max_output_tokens=16))
    assert answer.status == "incomplete"
    assert answer.incomplete_details.reason == "max_output_tokens"
    assert len(answer.output_text.split()) == 16


async def test_reasoning(client: Any) -> None:
    for model in ("gpt", "claude"):
        answer = await got(
            client.responses.create(
                model=model, input=unique(), reasoning={"effort": "low", "summary": "auto"}, max_output_tokens=4000
            )
        )
        assert [item.type for item in answer.output] == ["reasoning", "message"], model
        assert answer.output_text.startswith("You said: ")


async def test_deleted_and_unknown(client: Any) -> None:
    answer = await got(client.responses.create(model="gpt", input=unique()))
    await got(client.responses.delete(answer.id))
    for identifier in (answer.id, "resp_nothing"):
        with pytest.raises(openai.NotFoundError):
            await got(client.responses.retrieve(identifier))


async def test_not_stored(client: Any) -> None:
    answer = await got(client.responses.create(model="gpt", input=unique(), store=False))
    assert answer.output_text
    with pytest.raises(openai.NotFoundError):
        await got(client.responses.retrieve(answer.id))


async def test_background(client: Any, model: str, hosts: Hosts) -> None:
    words = unique()
    receipt = await got(client.responses.create(model=model, input=words, background=True))
    assert receipt.status in ("queued", "in_progress")
    assert receipt.background is True
    events = await every(client.responses.retrieve(receipt.id, stream=True))
    assert events[-1].type == "response.completed"
    done = await got(client.responses.retrieve(receipt.id))
    assert (done.status, done.output_text) == ("completed", f"You said: {words}")
    later = await every(client.responses.retrieve(receipt.id, stream=True, starting_after=events[3].sequence_number))
    assert [event.sequence_number for event in later] == [event.sequence_number for event in events[4:]]
    assert [event.type for event in later] == [event.type for event in events[4:]]
    assert len(hosts.asked(words)) == 1


async def test_background_is_cancelled(client: Any, hosts: Hosts) -> None:
    gate = unique("").strip()
    receipt = await got(client.responses.create(model="gpt", input=f"{gate}\n/hold {gate}", background=True))
    hosts.holding(gate)
    canceled = await got(client.responses.cancel(receipt.id))
    assert canceled.status == "cancelled"
    assert (await got(client.responses.cancel(receipt.id))).status == "cancelled"
    hosts.release(gate)
    assert (await got(client.responses.retrieve(receipt.id))).status == "cancelled"
