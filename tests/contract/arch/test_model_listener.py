"""Conversations of the official SDKs with a model listener, for each row of contracts/arch.md §4."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import openai
import pytest
from openai.types.chat import ChatCompletionMessageParam, ChatCompletionToolParam

from tests.contract.arch.conftest import Process
from tests.contract.gateway.hosts import Hosts

pytestmark = pytest.mark.e2e

WEATHER: ChatCompletionToolParam = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
FORECAST: anthropic.types.ToolParam = {
    "name": "weather",
    "description": "The weather of a city",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
CALL = '/call weather {"city": "Zürich"}'
TEXT = "Grüße aus Zürich, 你好 👋"


PLUS = "plus"  # the ChatGPT back end


def user(text: str) -> ChatCompletionMessageParam:
    return {"role": "user", "content": text}


def is_bedrock(model: str) -> bool:
    return model.startswith("nova")


# ------------------------------------------------------------------ chat completions


@pytest.mark.arch("4.4.native", "4.4.usage", "4.3.key", "4.4.bedrock")
async def test_chat(client: openai.AsyncOpenAI, hosts: Hosts, model: str) -> None:
    """Every provider gets it as it came, and Bedrock in its own words."""
    text = f"{TEXT}, for {model}!"
    answer = await client.chat.completions.create(model=model, messages=[user(text)])
    assert answer.choices[0].message.content == f"You said: {text}"
    sent = hosts.the(text)
    if is_bedrock(model):
        assert sent.path == f"/model/{model}/converse-stream"
        assert sent.body == {"messages": [{"role": "user", "content": [{"text": text}]}]}
    else:
        assert sent.path == "/v1/chat/completions"
        assert sent.body == {"model": model, "messages": [user(text)]}
    assert ("x-api-key" in sent.headers) == model.startswith("claude")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens > 0


@pytest.mark.arch("4.4.streams", "4.5.split", "9.8")
async def test_chat_on_a_stream(client: openai.AsyncOpenAI, model: str) -> None:
    said, ends = "", []
    async for chunk in await client.chat.completions.create(
        model=model, messages=[user(TEXT)], stream=True, stream_options={"include_usage": True}
    ):
        said += "".join(choice.delta.content or "" for choice in chunk.choices)
        ends += [choice.finish_reason for choice in chunk.choices if choice.finish_reason]
    assert said == f"You said: {TEXT}"
    assert ends == ["stop"]
    assert chunk.usage is not None
    assert chunk.usage.completion_tokens > 0


async def test_a_tool_and_its_result(client: openai.AsyncOpenAI, model: str) -> None:
    messages: list[Any] = [user(CALL)]
    first = await client.chat.completions.create(model=model, messages=messages, tools=[WEATHER])
    assert first.choices[0].finish_reason == "tool_calls"
    calls = first.choices[0].message.tool_calls or []
    (call,) = [one for one in calls if one.type == "function"]
    assert json.loads(call.function.arguments) == {"city": "Zürich"}
    messages += [
        first.choices[0].message.model_dump(exclude_none=True),
        {"role": "tool", "tool_call_id": call.id, "content": "rain"},
    ]
    second = await client.chat.completions.create(model=model, messages=messages, tools=[WEATHER])
    assert "rain" in (second.choices[0].message.content or "")


@pytest.mark.arch("4.4.system")
async def test_system_messages_are_joined(client: openai.AsyncOpenAI, hosts: Hosts, model: str) -> None:
    words = f"systems for {model}"
    await client.chat.completions.create(
        model=model,
        messages=[
            {"role": "system", "content": "first rule"},
            {"role": "developer", "content": "second rule"},
            user(words),
        ],
    )
    sent = json.dumps(hosts.the(words).body)
    assert "first rule" in sent
    assert "second rule" in sent


# ------------------------------------------------------------------ messages


@pytest.mark.arch("4.4.native", "4.4.usage", "4.4.bedrock")
async def test_messages(claude: anthropic.AsyncAnthropic, hosts: Hosts, model: str) -> None:
    text = f"{TEXT} of a longer message, so that some of it may be cached, for {model}"
    answer = await claude.messages.create(model=model, max_tokens=99, messages=[{"role": "user", "content": text}])
    assert answer.content[0].type == "text"
    assert answer.content[0].text == f"You said: {text}"
    assert answer.stop_reason == "end_turn"
    assert answer.usage.output_tokens > 0
    assert (answer.usage.cache_read_input_tokens or 0) > 0
    expected = "/v1/messages" if model.startswith(("claude", "any")) else "/v1/chat/completions"
    expected = f"/model/{model}/converse-stream" if is_bedrock(model) else expected
    assert hosts.the(text).path == expected


@pytest.mark.arch("4.4.streams", "4.5.split", "9.8")
async def test_messages_on_a_stream(claude: anthropic.AsyncAnthropic, model: str) -> None:
    async with claude.messages.stream(
        model=model, max_tokens=99, messages=[{"role": "user", "content": TEXT}]
    ) as stream:
        kinds: list[str] = [event.type async for event in stream]
        final = await stream.get_final_message()
    assert final.content[0].type == "text"
    assert final.content[0].text == f"You said: {TEXT}"
    assert [kinds.count(one) for one in ("message_start", "message_stop", "content_block_start")] == [1, 1, 1]
    assert kinds[0] == "message_start"
    assert kinds[-1] == "message_stop"


async def test_a_tool_of_the_other_api(claude: anthropic.AsyncAnthropic, model: str) -> None:
    messages: list[anthropic.types.MessageParam] = [{"role": "user", "content": CALL}]
    first = await claude.messages.create(model=model, max_tokens=99, messages=messages, tools=[FORECAST])
    assert first.stop_reason == "tool_use"
    (block,) = [one for one in first.content if one.type == "tool_use"]
    assert block.input == {"city": "Zürich"}
    messages += [
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": block.id, "name": block.name, "input": block.input}],
        },
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": block.id, "content": "rain"}]},
    ]
    second = await claude.messages.create(model=model, max_tokens=99, messages=messages, tools=[FORECAST])
    assert "rain" in second.model_dump_json()


# ------------------------------------------------------------------ responses


@pytest.mark.arch("4.4.native", "4.4.state")
async def test_responses_and_what_comes_after(client: openai.AsyncOpenAI, hosts: Hosts, model: str) -> None:
    first = await client.responses.create(model=model, input=f"the first of {model}")
    assert first.output_text == f"You said: the first of {model}"
    assert first.status == "completed"
    words = f"the second of {model}"
    second = await client.responses.create(model=model, input=words, previous_response_id=first.id)
    assert second.output_text == f"You said: {words}"
    assert f"the first of {model}" in json.dumps(hosts.the(words).body)


@pytest.mark.arch("4.4.streams")
async def test_responses_on_a_stream(client: openai.AsyncOpenAI, model: str) -> None:
    kinds, said = [], ""
    async for event in await client.responses.create(model=model, input=TEXT, stream=True, store=False):
        kinds.append(event.type)
        if event.type == "response.output_text.delta":
            said += event.delta
    assert said == f"You said: {TEXT}"
    assert kinds[0] == "response.created"
    assert kinds[-1] == "response.completed"
    assert kinds.count("response.completed") == 1


@pytest.mark.arch("4.4.state", "9.2")
async def test_an_unknown_response(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.ConflictError, match="Conversation state not found for previous_response_id: resp_x"):
        await client.responses.create(model="gpt", input="x", previous_response_id="resp_x")


# ------------------------------------------------------------------ the ChatGPT back end


@pytest.mark.arch("4.4.chatgpt")
async def test_chat_with_a_back_end_of_streams(client: openai.AsyncOpenAI, hosts: Hosts) -> None:
    calls: list[Any] = []
    async for chunk in await client.chat.completions.create(
        model=PLUS, messages=[user(CALL)], tools=[WEATHER], stream=True
    ):
        calls += [call.function for choice in chunk.choices for call in choice.delta.tool_calls or ()]
    assert json.loads("".join(call.arguments or "" for call in calls)) == {"city": "Zürich"}
    words = "a chat that wants a stream"
    async for _ in await client.chat.completions.create(model=PLUS, messages=[user(words)], stream=True, store=True):
        pass
    sent = hosts.the(words)
    assert (sent.path, sent.body["store"], sent.stream) == ("/v1/chat/completions", False, True)
    assert sent.headers["authorization"] == "Bearer sk-upstream"
    with pytest.raises(openai.BadRequestError, match="answers streams only"):
        await client.chat.completions.create(model=PLUS, messages=[user("whole")])
    assert hosts.asked("whole") == []


@pytest.mark.arch("4.4.chatgpt")
async def test_responses_of_a_back_end_of_streams(client: openai.AsyncOpenAI, hosts: Hosts) -> None:
    words = "a response that nobody keeps"
    kinds = [
        event.type async for event in await client.responses.create(model=PLUS, input=words, stream=True, store=False)
    ]
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed")
    sent = hosts.the(words)
    assert (sent.path, sent.body) == ("/v1/responses", {"model": PLUS, "input": words, "stream": True, "store": False})
    with pytest.raises(openai.BadRequestError, match="answers streams only"):
        await client.responses.create(model=PLUS, input="whole", store=False)
    # what is kept is kept here, and asked there as a stream
    first = await client.responses.create(model=PLUS, input="a response that is kept")
    assert first.output_text == "You said: a response that is kept"
    second = await client.responses.create(model=PLUS, input="and on", previous_response_id=first.id)
    assert second.output_text == "You said: and on"
    sent = hosts.the("and on")
    assert (sent.path, sent.body["store"], sent.stream) == ("/v1/responses", False, True)


@pytest.mark.arch("4.4.chatgpt")
async def test_messages_with_a_back_end_of_streams(claude: anthropic.AsyncAnthropic, hosts: Hosts) -> None:
    words = "a message, translated"
    answer = await claude.messages.create(model=PLUS, max_tokens=99, messages=[{"role": "user", "content": words}])
    assert answer.model_dump()["content"][0]["text"] == f"You said: {words}"
    sent = hosts.the(words)
    assert (sent.path, sent.body["store"], sent.stream) == ("/v1/responses", False, True)
    assert "max_output_tokens" not in sent.body
    async with claude.messages.stream(
        model=PLUS, max_tokens=99, messages=[{"role": "user", "content": CALL}], tools=[FORECAST]
    ) as stream:
        final = await stream.get_final_message()
    assert [block.input for block in final.content if block.type == "tool_use"] == [{"city": "Zürich"}]


# ------------------------------------------------------------------ text completions


@pytest.mark.arch("4.1.completions", "4.1.prompts", "9.8")
async def test_text_completions(client: openai.AsyncOpenAI, process: Process, model: str) -> None:
    bare = client.with_options(base_url=process.listeners["llm"])  # the documentation leaves `/v1` out
    for one in (client, bare):
        answer = await one.completions.create(model=model, prompt=TEXT)
        assert answer.object == "text_completion"
        assert answer.choices[0].text == f"You said: {TEXT}"
    several = await client.completions.create(model=model, prompt=["one", "two"])
    assert [choice.text for choice in several.choices] == ["You said: one", "You said: two"]
    streamed = await bare.completions.create(model=model, prompt="on a stream", stream=True)
    assert "".join([chunk.choices[0].text async for chunk in streamed if chunk.choices]) == "You said: on a stream"
    with pytest.raises(openai.BadRequestError):
        await client.completions.create(model=model, prompt=[1, 2, 3])


# ------------------------------------------------------------------ the choice, and errors


@pytest.mark.arch("4.2.order", "9.2")
async def test_the_choice(client: openai.AsyncOpenAI, hosts: Hosts) -> None:
    for number, (asked, hint, model) in enumerate(
        [("gpt", None, "gpt"), ("llama-torn", None, "llama-torn"), ("gpt", "claude", "claude"), ("", "default", "gpt")]
    ):
        words = f"choice {number}"
        headers = {"x-arch-llm-provider-hint": hint} if hint else {}
        await client.chat.completions.create(model=asked, messages=[user(words)], extra_headers=headers)
        assert hosts.the(words).body["model"] == model
    said = "Model 'gpt-9' not found in configured providers"
    with pytest.raises(openai.BadRequestError, match=said):
        await client.chat.completions.create(model="gpt-9", messages=[user("x")])


@pytest.mark.arch("4.2.order")
async def test_anthropics_client_reads_refusals(claude: anthropic.AsyncAnthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="Model 'gpt-9' not found"):
        await claude.messages.create(model="gpt-9", max_tokens=5, messages=[{"role": "user", "content": "x"}])


@pytest.mark.arch("4.5.upstream")
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("context", openai.BadRequestError),
        ("key", openai.AuthenticationError),
        ("forbidden", openai.PermissionDeniedError),
        ("missing", openai.NotFoundError),
        ("quota", openai.RateLimitError),
        ("unavailable", openai.InternalServerError),
    ],
)
async def test_the_providers_errors(client: openai.AsyncOpenAI, model: str, fault: str, error: Any) -> None:
    with pytest.raises(error):
        await client.chat.completions.create(model=model, messages=[user(f"/fault {fault}")])


@pytest.mark.arch("4.1.paths")
async def test_the_list(client: openai.AsyncOpenAI) -> None:
    listed = [one.id async for one in client.models.list()]
    assert listed[:2] == ["openai/gpt", "anthropic/claude"]


@pytest.mark.arch("4.5.split", "4.5.idle")
async def test_a_stream_that_pauses_goes_on(client: openai.AsyncOpenAI, hosts: Hosts) -> None:
    """It has no limit in all, and what came before the pause is there already."""
    stream = await client.chat.completions.create(
        model="gpt", messages=[user("/hold pause\nfirst second third fourth")], stream=True
    )
    said = ""
    async for chunk in stream:
        said += (chunk.choices[0].delta.content or "") if chunk.choices else ""
        if said and not said.endswith("fourth"):
            hosts.release("pause")
    assert said == "You said: first second third fourth"


def test_nothing_was_wrong_with_what_the_providers_got(process: Process, hosts: Hosts) -> None:
    assert hosts.complaints == []
