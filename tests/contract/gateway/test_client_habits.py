"""What frameworks and agents send that the official SDKs' own examples do not, by the official SDKs."""

from __future__ import annotations

from typing import Any

import anthropic
import pytest

from tests.contract.gateway.both import every, got
from tests.contract.gateway.hosts import Hosts
from tests.contract.gateway.samples import unique

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

BETA = {"anthropic-beta": "mid-conversation-system-2026-04-07"}


def conversation(words: str) -> dict[str, Any]:
    turns = [{"role": "user", "content": words}, {"role": "system", "content": "be brief"}]
    return {"max_tokens": 2000, "messages": turns}


@pytest.mark.parametrize("model", ["claude", "gpt", "gpt-responses"])
async def test_an_instruction_within_a_conversation(claude: Any, model: str, hosts: Hosts) -> None:
    words = unique()
    answer = await got(claude.messages.create(model=model, extra_headers=BETA, **conversation(words)))
    assert answer.content[0].text == f"You said: {words}"
    assert "be brief" in str(hosts.the(words).body)


async def test_it_is_the_service_that_wants_the_beta(claude: Any, hosts: Hosts) -> None:
    with pytest.raises(anthropic.BadRequestError, match="mid-conversation-system"):
        await got(claude.messages.create(model="claude", **conversation(unique())))
    assert "mid-conversation-system" in hosts.whole.complaints.pop()  # it was meant


async def test_embeddings_of_tokens(client: Any) -> None:
    """LangChain counts before it asks, and sends what it counted."""
    answer = await got(client.embeddings.create(model="gpt", input=[[97], [98, 99]], encoding_format="float"))
    assert [item.embedding[0] for item in answer.data] == [1.0, 2.0]


@pytest.mark.parametrize("model", ["gpt", "gpt-native", "gpt-responses", "claude"])
async def test_a_tool_in_a_namespace(client: Any, model: str, hosts: Hosts) -> None:
    """Called, streamed, and handed back with its result. A service of the same API sees what the client sent."""
    tool = {"type": "function", "name": "close", "parameters": {"type": "object", "properties": {}}, "strict": False}
    space = {"type": "namespace", "name": "agents", "description": "helpers", "tools": [tool]}
    options: dict[str, Any] = {"model": model, "store": False, "tools": [space]}
    words = unique("/call agents__close {}")
    events = await every(client.responses.create(input=words, stream=True, **options))
    call = events[-1].response.output[0]
    assert (call.namespace, call.name) == ("agents", "close")
    items = [{"role": "user", "content": words}, call.model_dump(exclude_none=True)]
    items.append({"type": "function_call_output", "call_id": call.call_id, "output": "closed"})
    answer = await got(client.responses.create(input=items, **options))
    assert answer.output_text == "The tools said: closed"
    kinds = {"gpt": ["function"], "claude": [None]}.get(model, ["namespace"])
    assert [sent.get("type") for sent in hosts.asked(words)[-1].body["tools"]] == kinds


async def test_members_of_an_agent_reach_no_other_vendor(client: Any, hosts: Hosts) -> None:
    extra = {"client_metadata": {"installation": "i"}, "prompt_cache_key": "k"}
    for model in ("gpt", "claude"):
        words = unique()
        answer = await got(client.responses.create(model=model, input=words, store=False, extra_body=extra))
        assert answer.output_text == f"You said: {words}"
        assert "client_metadata" not in hosts.the(words).body
