"""`/v1/chat/completions` by OpenAI's own SDK, in front of upstreams of both vendors."""

from __future__ import annotations

import json
import re
from typing import Any

import openai
import pytest

from promptd.testing.model_server.views import THOUGHT
from tests.contract.gateway.both import each, entered, every, got
from tests.contract.gateway.hosts import Hosts
from tests.contract.gateway.samples import CALLS, PICTURE_URL, SEEN, WORDS, Weather, chat_tools, unique
from tests.contract.stage import Stage

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]


def said(text: str) -> list[Any]:
    return [{"role": "user", "content": text}]


async def test_whole(client: Any, model: str, hosts: Hosts) -> None:
    words = unique()
    answer = await got(client.chat.completions.create(model=model, messages=said(words)))
    (choice,) = answer.choices
    told = hosts.the(words)
    assert choice.message.content == f"You said: {words}"
    assert (choice.message.role, choice.finish_reason, answer.object) == ("assistant", "stop", "chat.completion")
    assert answer.model == model
    assert answer.id
    assert answer.usage.prompt_tokens == told.input_tokens > 0
    assert answer.usage.completion_tokens == told.output_tokens > 0
    assert answer.usage.total_tokens == told.input_tokens + told.output_tokens


async def test_stream(client: Any, model: str, hosts: Hosts) -> None:
    words = unique()
    chunks = await every(client.chat.completions.create(model=model, messages=said(words), stream=True))
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == f"You said: {words}"
    assert {chunk.object for chunk in chunks} == {"chat.completion.chunk"}
    assert {chunk.model for chunk in chunks} == {model}
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [choice.finish_reason for chunk in chunks for choice in chunk.choices if choice.finish_reason] == ["stop"]
    assert len(chunks) > 5, "a stream that came at once is none"
    # asked for upstream, hidden from a client that did not ask
    assert all(chunk.choices and chunk.usage is None for chunk in chunks)
    assert hosts.the(words).output_tokens > 0


async def test_usage_on_a_stream(client: Any, model: str, hosts: Hosts) -> None:
    words = unique()
    options = {"include_usage": True}
    chunks = await every(
        client.chat.completions.create(model=model, messages=said(words), stream=True, stream_options=options)
    )
    told = hosts.the(words)
    assert chunks[-1].choices == []
    assert chunks[-1].usage.prompt_tokens == told.input_tokens
    assert chunks[-1].usage.completion_tokens == told.output_tokens
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)


async def test_cached_tokens_are_told_and_counted_once(client: Any, model: str, hosts: Hosts) -> None:
    words = unique("one two three four five six seven eight nine ten eleven")
    answer = await got(client.chat.completions.create(model=model, messages=said(words)))
    told = hosts.the(words)
    assert answer.usage.prompt_tokens == told.input_tokens
    assert answer.usage.prompt_tokens_details.cached_tokens == told.cached_tokens > 0


async def test_parallel_tools_and_their_results(client: Any, model: str) -> None:
    words = unique()
    messages: list[Any] = said(f"{words}\n{CALLS}")
    answer = await got(client.chat.completions.create(model=model, messages=messages, tools=chat_tools()))
    (choice,) = answer.choices
    assert choice.finish_reason == "tool_calls"
    calls = choice.message.tool_calls
    assert [(call.function.name, json.loads(call.function.arguments)) for call in calls] == [
        ("weather", {"city": "Zürich"}),
        ("clock", {"city": "日本"}),
    ]
    assert len({call.id for call in calls}) == 2
    # the SDK's users hand the message back as it is, `content: null` and all
    messages.append(choice.message.model_dump(exclude_unset=True))
    messages += [
        {"role": "tool", "tool_call_id": call.id, "content": result}
        for call, result in zip(calls, ("sunny", "noon"), strict=True)
    ]
    answer = await got(client.chat.completions.create(model=model, messages=messages, tools=chat_tools()))
    assert answer.choices[0].message.content == "The tools said: sunny | noon"


async def test_tools_on_a_stream(client: Any, model: str) -> None:
    words = unique(CALLS)
    manager = client.chat.completions.stream(model=model, messages=said(words), tools=chat_tools())
    async with entered(manager) as stream:
        deltas = [event async for event in each(stream) if event.type == "tool_calls.function.arguments.delta"]
        final = await got(stream.get_final_completion())
    assert len(deltas) > 4
    assert {event.index for event in deltas} == {0, 1}
    assert [
        (call.function.name, json.loads(call.function.arguments)) for call in final.choices[0].message.tool_calls
    ] == [
        ("weather", {"city": "Zürich"}),
        ("clock", {"city": "日本"}),
    ]
    assert final.choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    "choice", ["required", {"type": "function", "function": {"name": "clock"}}], ids=["required", "named"]
)
async def test_forced_tool(client: Any, choice: Any) -> None:
    for model in ("gpt", "claude"):
        answer = await got(
            client.chat.completions.create(model=model, messages=said(unique()), tools=chat_tools(), tool_choice=choice)
        )
        (call,) = answer.choices[0].message.tool_calls
        assert call.function.name == ("weather" if choice == "required" else "clock")


async def test_structured_output(client: Any, model: str) -> None:
    answer = await got(client.chat.completions.parse(model=model, messages=said(unique()), response_format=Weather))
    assert answer.choices[0].message.parsed == Weather(city="words", degrees=7, notes=["words"])


async def test_structured_output_on_a_stream(client: Any, model: str) -> None:
    manager = client.chat.completions.stream(model=model, messages=said(unique()), response_format=Weather)
    async with entered(manager) as stream:
        final = await got(stream.get_final_completion())
    assert final.choices[0].message.parsed == Weather(city="words", degrees=7, notes=["words"])


async def test_image(client: Any, model: str) -> None:
    words = unique("what is this")
    parts = [{"type": "text", "text": words}, {"type": "image_url", "image_url": {"url": PICTURE_URL}}]
    answer = await got(client.chat.completions.create(model=model, messages=[{"role": "user", "content": parts}]))
    assert answer.choices[0].message.content == f"You said: {words} (with {SEEN})"


async def test_logprobs_and_several_choices(client: Any) -> None:
    words = unique()
    answer = await got(
        client.chat.completions.create(model="gpt", messages=said(words), n=2, logprobs=True, top_logprobs=1)
    )
    assert [choice.index for choice in answer.choices] == [0, 1]
    for choice in answer.choices:
        assert choice.message.content == f"You said: {words}"
        assert "".join(token.token for token in choice.logprobs.content) == choice.message.content
    chunks = await every(
        client.chat.completions.create(model="gpt", messages=said(words), n=2, logprobs=True, stream=True)
    )
    texts = ["", ""]
    for chunk in chunks:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == [f"You said: {words}"] * 2


async def test_several_choices_of_a_model_that_gives_one(client: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await got(client.chat.completions.create(model="claude", messages=said("hi"), n=2))
    assert re.search(r"\bn\b", caught.value.message)


async def test_limits_of_an_answer(client: Any, model: str) -> None:
    words = unique("one two three four five")
    answer = await got(client.chat.completions.create(model=model, messages=said(words), max_tokens=3))
    assert answer.choices[0].finish_reason == "length"
    assert answer.choices[0].message.content.split() == f"You said: {words}".split()[:3]
    answer = await got(client.chat.completions.create(model=model, messages=said(words), stop=["three"]))
    assert answer.choices[0].finish_reason == "stop"
    assert answer.choices[0].message.content.strip() == f"You said: {words}".partition("three")[0].strip()


async def test_every_instruction_reaches_the_model(client: Any, model: str, hosts: Hosts) -> None:
    words = unique("hi")
    messages = [
        {"role": "system", "content": "first words"},
        {"role": "developer", "content": "second words here"},
        *said(words),
        {"role": "assistant", "content": "yes"},
        {"role": "system", "content": "late words"},
        *said(words),
    ]
    await got(client.chat.completions.create(model=model, messages=messages))
    assert hosts.the(words).input_tokens == 2 + 3 + 2 + 1 + 2 + 2


async def test_effort_gives_thoughts(client: Any) -> None:
    for model in ("gpt", "claude"):
        answer = await got(
            client.chat.completions.create(
                model=model, messages=said(unique()), reasoning_effort="low", max_tokens=4000
            )
        )
        assert answer.choices[0].message.reasoning_content == THOUGHT, model
        assert answer.choices[0].message.content.startswith("You said: "), model


async def test_unknown_members_reach_a_service_that_may_know_them(client: Any, hosts: Hosts) -> None:
    words = unique()
    await got(
        client.chat.completions.create(model="gpt", messages=said(words), extra_body={"x_new": {"deep": [1, None]}})
    )
    assert hosts.the(words).body["x_new"] == {"deep": [1, None]}


async def test_the_ledger_has_what_the_upstream_told(client: Any, model: str, hosts: Hosts, server: Stage) -> None:
    for stream in (False, True):
        words = unique()
        raw = await got(
            client.chat.completions.with_raw_response.create(model=model, messages=said(words), stream=stream)
        )
        if stream:
            await every(raw.parse())
        identifier = raw.headers["x-prompt-id"]
        row = server.http.get(
            f"/promptd/v1/prompts/{identifier}", headers={"authorization": f"Bearer {server.native_key}"}
        ).json()
        told = hosts.the(words)
        assert (row["status"], row["model"]) == ("completed", model)
        assert row["answer"]["usage"]["input_tokens"] == told.input_tokens
        assert row["answer"]["usage"]["output_tokens"] == told.output_tokens
        assert words not in json.dumps(row), "content is off by default"


async def test_words_survive_any_cut(client: Any) -> None:
    for model in ("gpt-torn", "claude-torn"):
        text = WORDS * 40
        chunks = await every(client.chat.completions.create(model=model, messages=said(text), stream=True))
        joined = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
        assert joined == f"You said: {text}"
