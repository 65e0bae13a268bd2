"""Both SDKs in front of a real llama.cpp child with the model that comes with promptd.

The child speaks both vendors' APIs itself, so that either client reaches it in its own dialect.
"""

from __future__ import annotations

import importlib.util
from importlib.resources import files
from typing import Any

import pytest

from tests.contract.gateway.both import entered, every, got

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(180),
    pytest.mark.skipif(
        importlib.util.find_spec("xllamacpp") is None or not (files("promptd.models") / "demo.gguf").is_file(),
        reason="llama.cpp or the built-in model is not installed",
    ),
]

SAID: list[Any] = [{"role": "user", "content": "Good morning"}]


async def test_chat(client: Any) -> None:
    options: dict[str, Any] = {"model": "demo", "messages": SAID, "temperature": 0, "max_tokens": 24}
    whole = await got(client.chat.completions.create(**options))
    assert whole.model == "demo"
    assert whole.choices[0].message.content
    assert whole.usage.prompt_tokens > 0
    chunks = await every(client.chat.completions.create(**options, stream=True, stream_options={"include_usage": True}))
    text = "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)
    assert text == whole.choices[0].message.content
    assert {chunk.model for chunk in chunks} == {"demo"}
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


async def test_responses(client: Any) -> None:
    answer = await got(client.responses.create(model="demo", input="Good morning", temperature=0, max_output_tokens=24))
    chat = await got(client.chat.completions.create(model="demo", messages=SAID, temperature=0, max_tokens=24))
    assert answer.output_text == chat.choices[0].message.content
    events = await every(
        client.responses.create(model="demo", input="Good morning", temperature=0, max_output_tokens=24, stream=True)
    )
    assert events[-1].response.output_text == answer.output_text


async def test_messages(claude: Any) -> None:
    greedy = {"temperature": 0}  # the newest SDK has no word for it
    options: dict[str, Any] = {"model": "demo", "messages": SAID, "max_tokens": 24, "extra_body": greedy}
    whole = await got(claude.messages.create(**options))
    assert whole.model == "demo"
    async with entered(claude.messages.stream(**options)) as stream:
        streamed = await got(stream.get_final_message())
    assert streamed.content[-1].text == whole.content[-1].text
    assert streamed.usage.output_tokens == whole.usage.output_tokens > 0
    assert (await got(claude.messages.count_tokens(model="demo", messages=SAID))).input_tokens > 0
