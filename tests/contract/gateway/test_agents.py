"""Agents: conversations of several turns with parallel tools, thoughts and pictures, through dialects that differ.

What a client was told it hands back as its SDK wrote it down, and the upstream checks it as strictly as its vendor: the
order of blocks, their members, signatures of thoughts, a result for every call.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import anthropic
import pytest

from promptd.testing.model_server.messages import SIGNATURE
from promptd.testing.model_server.responses import SEAL, THOUGHT_ID
from promptd.testing.model_server.views import THOUGHT
from tests.contract.gateway.both import entered, every, got
from tests.contract.gateway.hosts import Hosts
from tests.contract.gateway.samples import (
    CALLS,
    PICTURE,
    PICTURE_URL,
    chat_tools,
    claude_tools,
    response_tools,
    unique,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

MOST = 9000
MODELS = ("gpt", "claude", "gpt-torn", "claude-torn")
CLAUDES = ("claude", "claude-budget")


def handed_back(said: Any) -> dict[str, Any]:
    written: dict[str, Any] = said.model_dump(exclude_none=True)
    return written


def plain(call: Any) -> dict[str, Any]:
    """A call without what the SDK's own stream adds to it."""
    return {
        "id": call.id,
        "type": "function",
        "function": {"name": call.function.name, "arguments": call.function.arguments},
    }


# ------------------------------------------------------------------ Anthropic's client


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("model", [*MODELS, "gpt-responses", "claude-budget"])
async def test_an_agent_of_anthropic(claude: Any, model: str, streamed: bool, hosts: Hosts) -> None:
    """Two rounds of parallel tools, thoughts in each, a picture, a result that failed, cache marks."""
    mark = {"cache_control": {"type": "ephemeral"}}
    source = {"type": "base64", "media_type": "image/png", "data": b64encode(PICTURE).decode()}
    options: dict[str, Any] = {
        "model": model,
        "max_tokens": MOST,
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "system": [{"type": "text", "text": "be brief"}, {"type": "text", "text": "be kind", **mark}],
        "tools": [*claude_tools()[:1], {**claude_tools()[1], **mark}],
    }

    async def ask(messages: list[Any]) -> Any:
        if not streamed:
            return await got(claude.messages.create(messages=messages, **options))
        async with entered(claude.messages.stream(messages=messages, **options)) as stream:
            return await got(stream.get_final_message())

    messages: list[Any] = []
    for _ in range(2):
        words = unique(CALLS)
        image = {"type": "image", "source": source}
        messages.append({"role": "user", "content": [image, {"type": "text", "text": words, **mark}]})
        answer = await ask(messages)
        kinds = [block.type for block in answer.content]
        # a sealed thought stands behind the words that may be shown of it
        thoughts = ["thinking", "redacted_thinking"] if model == "gpt-responses" else ["thinking"]
        assert (answer.stop_reason, kinds) == ("tool_use", [*thoughts, "tool_use", "tool_use"])
        assert answer.content[0].thinking == THOUGHT
        calls = answer.content[-2:]
        assert [call.input for call in calls] == [{"city": "Zürich"}, {"city": "日本"}]
        messages.append({"role": "assistant", "content": [handed_back(block) for block in answer.content]})
        results: list[Any] = [
            {"type": "tool_result", "tool_use_id": calls[0].id, "content": [{"type": "text", "text": "sunny"}]},
            {"type": "tool_result", "tool_use_id": calls[1].id, "content": "no clock", "is_error": True, **mark},
        ]
        messages.append({"role": "user", "content": results})
        answer = await ask(messages)
        assert answer.stop_reason == "end_turn"
        assert answer.content[-1].text == "The tools said: sunny | no clock"
        messages.append({"role": "assistant", "content": [handed_back(block) for block in answer.content]})
    messages.append({"role": "user", "content": unique("bye one two three four")})
    if model == "gpt-responses":  # its API has no stop sequences, and says so
        with pytest.raises(anthropic.BadRequestError, match="stop"):
            await got(claude.messages.create(messages=messages, stop_sequences=["three"], **options))
        sealed = [item for item in hosts.asked(words)[-1].body["input"] if item.get("type") == "reasoning"]
        assert [item["encrypted_content"] for item in sealed] == [SEAL] * 3
        return
    answer = await got(claude.messages.create(messages=messages, stop_sequences=["three"], **options))
    assert answer.content[-1].text.endswith("two ")
    usage = answer.usage
    exchange = hosts.asked(messages[-1]["content"])[-1]
    assert usage.input_tokens + usage.cache_read_input_tokens == exchange.input_tokens
    assert usage.cache_read_input_tokens == exchange.cached_tokens > 0


# ------------------------------------------------------------------ OpenAI's client, chat


@pytest.mark.parametrize("proven", [True, False], ids=["with proofs", "without"])
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", CLAUDES)
async def test_an_agent_of_openai(client: Any, name: str, streamed: bool, proven: bool, hosts: Hosts) -> None:
    """Thoughts come back with their proofs where the client keeps them; without, the model goes on without a thought."""
    options: dict[str, Any] = {
        "model": name,
        "max_completion_tokens": MOST,
        "reasoning_effort": "medium",
        "tools": chat_tools(),
        "parallel_tool_calls": True,
    }

    async def ask(messages: list[Any]) -> Any:
        if not streamed:
            return (await got(client.chat.completions.create(messages=messages, **options))).choices[0]
        async with entered(client.chat.completions.stream(messages=messages, **options)) as stream:
            return (await got(stream.get_final_completion())).choices[0]

    words = unique(CALLS)
    messages: list[Any] = [
        {"role": "system", "content": "be brief"},
        {"role": "developer", "content": "be kind"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PICTURE_URL}}]},
        {"role": "user", "content": words},
    ]
    for number in range(2):
        choice = await ask(messages)
        assert choice.finish_reason == "tool_calls"
        assert not choice.message.content
        assert choice.message.reasoning_content == THOUGHT
        calls = choice.message.tool_calls
        assert [call.function.name for call in calls] == ["weather", "clock"]
        said = handed_back(choice.message) | {"tool_calls": [plain(call) for call in calls]}
        if not proven:
            del said["reasoning_details"]
        messages.append({**said, "content": None})
        messages += [
            {"role": "tool", "tool_call_id": calls[1].id, "content": "noon"},
            {"role": "tool", "tool_call_id": calls[0].id, "content": [{"type": "text", "text": "sunny"}]},
        ]
        messages.append({"role": "system", "content": f"remark {number}"})
        choice = await ask(messages)
        assert choice.message.content == "The tools said: noon | sunny"
        sent = hosts.asked(words)[-1].body
        spoken = next(message for message in reversed(sent["messages"]) if message["role"] == "assistant")
        if proven:
            assert spoken["content"][0] == {"type": "thinking", "thinking": THOUGHT, "signature": SIGNATURE}
        else:
            assert spoken["content"][0]["type"] == "tool_use"
        assert [block["type"] for block in sent["messages"][-1]["content"]] == ["tool_result", "tool_result"]
        messages.append({"role": "assistant", "content": choice.message.content})
        words = unique(CALLS)
        messages.append({"role": "user", "content": words})
    assert [block["text"] for block in sent["system"]][:2] == ["be brief", "be kind"]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
async def test_a_sealed_thought_comes_back_by_way_of_the_chat_api(client: Any, streamed: bool, hosts: Hosts) -> None:
    words = unique(CALLS)
    messages: list[Any] = [{"role": "user", "content": words}]
    options: dict[str, Any] = {"model": "gpt-responses", "reasoning_effort": "medium", "tools": chat_tools()}
    if streamed:
        async with entered(client.chat.completions.stream(messages=messages, **options)) as stream:
            said = (await got(stream.get_final_completion())).choices[0].message
    else:
        said = (await got(client.chat.completions.create(messages=messages, **options))).choices[0].message
    messages.append({**handed_back(said), "tool_calls": [plain(call) for call in said.tool_calls]})
    messages += [{"role": "tool", "tool_call_id": call.id, "content": "fine"} for call in said.tool_calls]
    answer = await got(client.chat.completions.create(messages=messages, **options))
    assert answer.choices[0].message.content == "The tools said: fine | fine"
    (sealed,) = [item for item in hosts.asked(words)[-1].body["input"] if item["type"] == "reasoning"]
    assert (sealed["id"], sealed["encrypted_content"]) == (THOUGHT_ID, SEAL)


async def test_stop_sequences_and_cached_tokens(client: Any, hosts: Hosts) -> None:
    words = unique("one two three four five six seven eight nine ten")
    said = [{"role": "user", "content": words}]
    answer = await got(client.chat.completions.create(model="claude", messages=said, stop=["three", "six"]))
    assert answer.choices[0].message.content.endswith("two ")
    assert answer.choices[0].finish_reason == "stop"
    told = hosts.the(words)
    assert (answer.usage.prompt_tokens, answer.usage.prompt_tokens_details.cached_tokens) == (
        told.input_tokens,
        told.cached_tokens,
    )
    assert told.cached_tokens > 0


# ------------------------------------------------------------------ OpenAI's client, responses


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("name", CLAUDES)
async def test_an_agent_of_the_responses_api(client: Any, name: str, streamed: bool, hosts: Hosts) -> None:
    options: dict[str, Any] = {
        "model": name,
        "max_output_tokens": MOST,
        "reasoning": {"effort": "medium"},
        "include": ["reasoning.encrypted_content"],
        "instructions": "be brief",
        "tools": response_tools(),
        "store": False,
    }

    async def ask(items: list[Any]) -> Any:
        if not streamed:
            return await got(client.responses.create(input=items, **options))
        return (await every(client.responses.create(input=items, stream=True, **options)))[-1].response

    image = {"type": "input_image", "image_url": PICTURE_URL, "detail": "auto"}
    items: list[Any] = [{"role": "developer", "content": "be kind"}]
    for _ in range(2):
        words = unique(CALLS)
        items.append({"role": "user", "content": [image, {"type": "input_text", "text": words}]})
        response = await ask(items)
        assert [item.type for item in response.output] == ["reasoning", "function_call", "function_call"]
        items += [handed_back(item) for item in response.output]
        items += [
            {"type": "function_call_output", "call_id": item.call_id, "output": output}
            for item, output in zip(response.output[1:], ("sunny", "noon"), strict=True)
        ]
        response = await ask(items)
        assert response.output_text == "The tools said: sunny | noon"
        sent = hosts.asked(words)[-1].body["messages"]
        spoken = [message for message in sent if message["role"] == "assistant"][-1]
        assert spoken["content"][0] == {"type": "thinking", "thinking": THOUGHT, "signature": SIGNATURE}
        items += [handed_back(item) for item in response.output]


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "stream"])
async def test_a_custom_tool_reaches_a_service_that_knows_none(client: Any, streamed: bool, hosts: Hosts) -> None:
    words = unique('/call shell {"input": "ls -l\\n日本"}')
    options: dict[str, Any] = {"model": "claude", "tools": [{"type": "custom", "name": "shell"}]}
    items: list[Any] = [{"role": "user", "content": words}]
    if streamed:
        events = await every(client.responses.create(input=items, stream=True, **options))
        response = events[-1].response
        (done,) = [event for event in events if event.type == "response.custom_tool_call_input.done"]
        assert done.input == "ls -l\n日本"
    else:
        response = await got(client.responses.create(input=items, **options))
    (call,) = response.output
    assert (call.type, call.name, call.input) == ("custom_tool_call", "shell", "ls -l\n日本")
    items += [handed_back(call), {"type": "custom_tool_call_output", "call_id": call.call_id, "output": "a file"}]
    response = await got(client.responses.create(input=items, **options))
    assert response.output_text == "The tools said: a file"
    sent = hosts.asked(words)[-1].body
    assert sent["tools"][0]["input_schema"]["required"] == ["input"]
    assert sent["messages"][1]["content"][0]["input"] == {"input": "ls -l\n日本"}
