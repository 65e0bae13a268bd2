"""The scripted upstream itself, without promptd between: the official SDKs understand what it says."""

from __future__ import annotations

import json
from typing import Any

import anthropic
import botocore.session
import openai
import pytest
from botocore import UNSIGNED
from botocore.config import Config

from promptd.testing.model_server.views import THOUGHT
from tests.contract.gateway.hosts import Hosts
from tests.contract.gateway.samples import CALLS, SCHEMA, chat_tools, claude_tools, response_tools, unique

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


@pytest.mark.parametrize("torn", [False, True])
def test_bedrock(hosts: Hosts, torn: bool) -> None:
    upstream = hosts.torn if torn else hosts.whole
    client = botocore.session.get_session().create_client(
        "bedrock-runtime",
        region_name="eu-west-1",
        endpoint_url=upstream.origin,
        config=Config(retries={"total_max_attempts": 1}, signature_version=UNSIGNED),
    )

    def with_key(request: Any, **_: Any) -> None:
        request.headers["authorization"] = f"Bearer {upstream.key}"

    client.meta.events.register("before-send", with_key)  # by itself it sends none but over TLS
    words = unique(CALLS)
    tools = [{"toolSpec": {"name": name, "inputSchema": {"json": SCHEMA}}} for name in ("weather", "clock")]
    asked = {
        "modelId": "a.b-v1:0",
        "messages": [{"role": "user", "content": [{"text": words}]}],
        "toolConfig": {"tools": tools},
    }
    whole = client.converse(**asked)
    inputs = [block["toolUse"]["input"] for block in whole["output"]["message"]["content"] if "toolUse" in block]
    assert [given["city"] for given in inputs] == ["Zürich", "日本"]
    said: dict[int, str] = {}
    for event in client.converse_stream(**asked)["stream"]:
        if "contentBlockDelta" in event and "toolUse" in event["contentBlockDelta"]["delta"]:
            delta = event["contentBlockDelta"]
            index = delta["contentBlockIndex"]
            said[index] = said.get(index, "") + delta["delta"]["toolUse"]["input"]
    assert [json.loads(text) for text in said.values()] == inputs
    assert whole["usage"]["outputTokens"] == hosts.asked(words)[-1].output_tokens
    with pytest.raises(client.exceptions.ValidationException):
        client.converse(modelId="a.b", messages=[{"role": "assistant", "content": [{"text": "x"}]}])
    assert upstream.complaints.pop().endswith("A conversation must start with a user message.")
    client.close()
