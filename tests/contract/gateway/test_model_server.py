"""The scripted upstream itself, without promptd between: the official SDKs understand what it says."""

from __future__ import annotations

import json

import anthropic
import openai
import pytest

from promptd.testing.model_server.views import THOUGHT
from tests.contract.gateway.hosts import Hosts
from tests.contract.gateway.samples import CALLS, chat_tools, claude_tools, response_tools, unique

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]


@pytest.mark.parametrize("torn", [False, True])
def test_openai(hosts: Hosts, torn: bool) -> None:
    upstream = hosts.torn if torn else hosts.whole
    with openai.OpenAI(base_url=upstream.base_url, api_key=upstream.key, max_retries=0) as client:
        words = unique(CALLS)
        with client.chat.completions.stream(
            model="script", messages=[{"role": "user", "content": words}], tools=chat_tools()
        ) as stream:
            calls = stream.get_final_completion().choices[0].message.tool_calls or []
        assert [json.loads(call.function.arguments)["city"] for call in calls] == ["Zürich", "日本"]
        words = unique()
        with client.responses.stream(
            model="script", input=words, reasoning={"effort": "low"}, tools=response_tools()
        ) as events:
            final = events.get_final_response()
        assert final.output_text == f"You said: {words}"
        assert final.usage is not None
        assert final.usage.output_tokens == hosts.the(words).output_tokens


@pytest.mark.parametrize("torn", [False, True])
def test_anthropic(hosts: Hosts, torn: bool) -> None:
    upstream = hosts.torn if torn else hosts.whole
    with anthropic.Anthropic(base_url=upstream.origin, api_key=upstream.key, max_retries=0) as client:
        words = unique(CALLS)
        with client.messages.stream(
            model="script",
            max_tokens=2000,
            messages=[{"role": "user", "content": words}],
            tools=claude_tools(),
            thinking={"type": "enabled", "budget_tokens": 1024},
        ) as stream:
            final = stream.get_final_message()
        thought, *calls = final.content
        assert thought.type == "thinking"
        assert thought.thinking == THOUGHT
        assert [call.input["city"] for call in calls if call.type == "tool_use"] == ["Zürich", "日本"]
        told = hosts.the(words)
        assert final.usage.input_tokens == told.input_tokens - told.cached_tokens


def test_wrong_requests_are_refused(hosts: Hosts) -> None:
    upstream = hosts.whole
    before = len(upstream.complaints)
    with openai.OpenAI(base_url=upstream.base_url, api_key=upstream.key, max_retries=0) as client:
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(
                model="script", messages=[{"role": "tool", "tool_call_id": "no-such", "content": "x"}]
            )
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(
                model="script", messages=[{"role": "user", "content": "x"}], extra_body={"stop_sequences": ["x"]}
            )
    with (
        anthropic.Anthropic(base_url=upstream.origin, api_key=upstream.key, max_retries=0) as client,
        pytest.raises(anthropic.BadRequestError),
    ):
        client.messages.create(
            model="script", max_tokens=9, messages=[{"role": "user", "content": "x"}], extra_body={"user": "x"}
        )
    assert len(upstream.complaints) == before + 3
    del upstream.complaints[before:]  # these were meant
