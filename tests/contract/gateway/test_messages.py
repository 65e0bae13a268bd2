"""`/v1/messages` by Anthropic's own SDK, in front of upstreams of both vendors."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from promptd.testing.model_server.messages import SIGNATURE
from promptd.testing.model_server.views import THOUGHT
from tests.contract.gateway.both import each, entered, every, got
from tests.contract.gateway.hosts import Hosts
from tests.contract.gateway.samples import CALLS, PICTURE, SEEN, WORDS, Weather, claude_tools, unique

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

MOST = 4000


def said(content: Any) -> list[Any]:
    return [{"role": "user", "content": content}]


async def test_whole(claude: Any, model: str, hosts: Hosts) -> None:
    words = unique("one two three four five six seven eight nine ten")
    answer = await got(claude.messages.create(model=model, max_tokens=MOST, messages=said(words)))
    told = hosts.the(words)
    assert (answer.type, answer.role, answer.model, answer.stop_reason) == ("message", "assistant", model, "end_turn")
    assert answer.id.startswith("msg_")
    (block,) = answer.content
    assert block.text == f"You said: {words}"
    # input from a cache is not in `input_tokens` here
    assert answer.usage.input_tokens == told.input_tokens - told.cached_tokens
    assert answer.usage.cache_read_input_tokens == told.cached_tokens > 0
    assert answer.usage.output_tokens == told.output_tokens


async def test_stream(claude: Any, model: str, hosts: Hosts) -> None:
    words = unique()
    events = await every(claude.messages.create(model=model, max_tokens=MOST, messages=said(words), stream=True))
    kinds = [event.type for event in events if event.type != "ping"]
    assert kinds[:2] == ["message_start", "content_block_start"]
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert kinds.count("message_stop") == 1
    assert events[0].message.model == model
    text = "".join(event.delta.text for event in events if event.type == "content_block_delta")
    assert text == f"You said: {words}"
    (delta,) = [event for event in events if event.type == "message_delta"]
    assert delta.delta.stop_reason == "end_turn"
    assert delta.usage.output_tokens == hosts.the(words).output_tokens


async def test_tools_and_their_results(claude: Any, model: str) -> None:
    messages = said(unique(CALLS))
    answer = await got(claude.messages.create(model=model, max_tokens=MOST, messages=messages, tools=claude_tools()))
    assert answer.stop_reason == "tool_use"
    calls = [block for block in answer.content if block.type == "tool_use"]
    assert [(call.name, call.input) for call in calls] == [("weather", {"city": "Zürich"}), ("clock", {"city": "日本"})]
    messages.append({"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in answer.content]})
    results = [
        {"type": "tool_result", "tool_use_id": calls[0].id, "content": "sunny"},
        {"type": "tool_result", "tool_use_id": calls[1].id, "content": [{"type": "text", "text": "noon"}]},
    ]
    messages += said(results)
    answer = await got(claude.messages.create(model=model, max_tokens=MOST, messages=messages, tools=claude_tools()))
    assert answer.content[0].text == "The tools said: sunny | noon"


async def test_tools_on_a_stream(claude: Any, model: str) -> None:
    manager = claude.messages.stream(model=model, max_tokens=MOST, messages=said(unique(CALLS)), tools=claude_tools())
    async with entered(manager) as stream:
        pieces = [event.partial_json async for event in each(stream) if event.type == "input_json"]
        final = await got(stream.get_final_message())
    assert len(pieces) > 4
    assert [(block.name, block.input) for block in final.content] == [
        ("weather", {"city": "Zürich"}),
        ("clock", {"city": "日本"}),
    ]
    assert final.stop_reason == "tool_use"


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "clock"}], ids=["any", "named"])
async def test_forced_tool(claude: Any, choice: Any) -> None:
    for model in ("gpt", "claude"):
        answer = await got(
            claude.messages.create(
                model=model, max_tokens=MOST, messages=said(unique()), tools=claude_tools(), tool_choice=choice
            )
        )
        assert answer.content[0].name == ("weather" if choice["type"] == "any" else "clock")


async def test_thoughts(claude: Any, model: str) -> None:
    messages = said(unique())
    options: dict[str, Any] = {
        "model": model,
        "max_tokens": MOST,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
    }
    async with entered(claude.messages.stream(messages=messages, **options)) as stream:
        answer = await got(stream.get_final_message())
    thought, text = answer.content
    assert (thought.type, thought.thinking) == ("thinking", THOUGHT)
    assert text.text.startswith("You said: ")
    if model.startswith("claude"):
        assert thought.signature == SIGNATURE
    # handed back as it came; the upstream checks its own signature
    messages.append({"role": "assistant", "content": [block.model_dump(exclude_none=True) for block in answer.content]})
    messages += said("and then")
    answer = await got(claude.messages.create(messages=messages, **options))
    assert answer.content[-1].text == "You said: and then"


async def test_structured_output(claude: Any, model: str) -> None:
    answer = await got(
        claude.messages.parse(model=model, max_tokens=MOST, messages=said(unique()), output_format=Weather)
    )
    assert answer.parsed_output == Weather(city="words", degrees=7, notes=["words"])


async def test_image(claude: Any, model: str) -> None:
    words = unique("what is this")
    source = {"type": "base64", "media_type": "image/png", "data": b64encode(PICTURE).decode()}
    blocks = [{"type": "image", "source": source}, {"type": "text", "text": words}]
    answer = await got(claude.messages.create(model=model, max_tokens=MOST, messages=said(blocks)))
    assert answer.content[0].text == f"You said: {words} (with {SEEN})"


async def test_system_blocks_and_cache_marks(claude: Any, model: str, hosts: Hosts) -> None:
    words = unique("hi")
    system = [
        {"type": "text", "text": "first words"},
        {"type": "text", "text": "second words here", "cache_control": {"type": "ephemeral"}},
    ]
    await got(claude.messages.create(model=model, max_tokens=MOST, messages=said(words), system=system))
    told = hosts.the(words)
    assert told.input_tokens == 2 + 3 + 2
    if model.startswith("claude"):
        assert told.body["system"] == system


async def test_limits_of_an_answer(claude: Any, model: str) -> None:
    words = unique("one two three four five")
    answer = await got(claude.messages.create(model=model, max_tokens=3, messages=said(words)))
    assert answer.stop_reason == "max_tokens"
    answer = await got(
        claude.messages.create(model=model, max_tokens=MOST, messages=said(words), stop_sequences=["three"])
    )
    assert answer.content[0].text.strip() == f"You said: {words}".partition("three")[0].strip()
    if model.startswith("claude"):  # OpenAI's API does not say which one it was
        assert (answer.stop_reason, answer.stop_sequence) == ("stop_sequence", "three")


async def test_count(claude: Any, hosts: Hosts) -> None:
    words = unique("one two three four five")
    counted = await got(claude.messages.count_tokens(model="claude", messages=said(words)))
    assert counted.input_tokens == 6
    assert (await got(claude.messages.count_tokens(model="gpt", messages=said(words)))).input_tokens > 0


async def test_models(claude: Any) -> None:
    listed = {known.id async for known in each(claude.models.list())}
    assert {"gpt", "claude", "demo"} <= listed


async def test_words_survive_any_cut(claude: Any) -> None:
    for model in ("gpt-torn", "claude-torn"):
        text = WORDS * 40
        async with entered(claude.messages.stream(model=model, max_tokens=MOST, messages=said(text))) as stream:
            final = await got(stream.get_final_message())
        assert final.content[0].text == f"You said: {text}"
