"""Tools that only a vendor's own service runs, from the vendors' clients: translated, left out with a word, or refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from promptd.testing.model_server import ModelServer
from tests.faces.conftest import Server, installed, run_server

OWN: dict[str, Any] = {"type": "function", "name": "add", "parameters": {"type": "object", "properties": {}}}
LIVE: dict[str, Any] = {"type": "web_search", "filters": {"allowed_domains": ["a.example"]}}
CACHED: dict[str, Any] = {"type": "web_search", "external_web_access": False}
SEARCH: dict[str, Any] = {"type": "web_search_20250305", "name": "web_search", "max_uses": 8}
MINE: dict[str, Any] = {"name": "add", "input_schema": {"type": "object", "properties": {}}}


@pytest.fixture
async def upstream() -> AsyncIterator[ModelServer]:
    async with ModelServer() as model_server:
        yield model_server


@pytest.fixture
async def server(tmp_path: Path, upstream: ModelServer) -> AsyncIterator[Server]:
    chat = {"engine": "openai", "base_url": upstream.base_url, "api_key": upstream.key, "slots": 8}
    claude = {"engine": "anthropic", "base_url": upstream.origin, "api_key": upstream.key, "slots": 8}
    connections = {
        "chat": chat,
        "responses": {**chat, "api": "responses"},
        "claude": claude,
        "strict": {**chat, "hosted_tools": "refuse"},
    }
    engines = {name: installed().engines[name] for name in ("openai", "anthropic")}
    models = {name: {"connection": name, "upstream": "script"} for name in connections}
    async with run_server(tmp_path, engines=engines, connections=connections, models=models) as running:
        yield running


@pytest.fixture
async def client(server: Server) -> AsyncIterator[openai.AsyncOpenAI]:
    url = f"http://127.0.0.1:{server.port}/v1"
    async with openai.AsyncOpenAI(api_key=server.http.key, base_url=url, max_retries=0) as made:
        yield made


@pytest.fixture
async def other(server: Server) -> AsyncIterator[anthropic.AsyncAnthropic]:
    url = f"http://127.0.0.1:{server.port}"
    async with anthropic.AsyncAnthropic(api_key=server.http.key, base_url=url, max_retries=0) as made:
        yield made


async def warned(server: Server, identifier: str) -> list[str]:
    """What the prompt's record says of its answer."""
    await server.house.walk.attached.flush()
    told: list[str] = (await server.http.get(f"/promptd/v1/prompts/{identifier}")).json["answer"]["warnings"]
    return told


@pytest.mark.parametrize("store", [True, False])
@pytest.mark.parametrize("model", ["chat", "claude"])
async def test_a_search_among_an_agents_tools_is_left_out(
    server: Server, upstream: ModelServer, client: openai.AsyncOpenAI, model: str, store: bool
) -> None:
    tools: Any = [OWN, CACHED]
    answer = await client.responses.create(model=model, input="hello", tools=tools, store=store)
    assert answer.output_text == "You said: hello"
    offered = upstream.exchanges[-1].body["tools"]
    assert [tool.get("name") or tool["function"]["name"] for tool in offered] == ["add"]
    assert await warned(server, answer.id) == ["the tool web_search was left out: the service has none like it"], (
        "whether its words are kept or not"
    )


@pytest.mark.parametrize("model", ["chat", "responses"])
async def test_of_an_agent_of_the_other_vendor_too(
    server: Server, upstream: ModelServer, other: anthropic.AsyncAnthropic, model: str
) -> None:
    tools: Any = [MINE, SEARCH]
    answer = await other.messages.with_raw_response.create(
        model=model, max_tokens=50, messages=[{"role": "user", "content": "hello"}], tools=tools
    )
    assert (await answer.parse()).content[0].type == "text"
    assert len(upstream.exchanges[-1].body["tools"]) == 1
    (told,) = await warned(server, answer.headers["x-prompt-id"])
    assert "web_search_20250305" in told


async def test_a_stream_says_so_as_well(server: Server, client: openai.AsyncOpenAI) -> None:
    tools: Any = [OWN, CACHED]
    events = [
        event async for event in await client.responses.create(model="chat", input="hello", tools=tools, stream=True)
    ]
    last: Any = events[-1]
    assert last.type == "response.completed"
    assert len(await warned(server, last.response.id)) == 1


@pytest.mark.parametrize(
    "members",
    [
        {"tools": [CACHED]},
        {"tools": [OWN, CACHED], "tool_choice": {"type": "web_search"}},
        {"tools": [OWN, CACHED], "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [CACHED]}},
    ],
)
async def test_a_call_that_is_about_the_search_is_refused(client: openai.AsyncOpenAI, members: dict[str, Any]) -> None:
    with pytest.raises(openai.BadRequestError, match=r"tools\[\d\]: web_search of openai.responses does not run here"):
        await client.responses.create(model="chat", input="hello", **members)


async def test_a_call_that_names_the_search_is_refused(other: anthropic.AsyncAnthropic) -> None:
    messages: Any = [{"role": "user", "content": "hello"}]
    choice: Any = {"type": "tool", "name": "web_search"}
    offers: Any = ([SEARCH], [MINE, SEARCH])
    for tools in offers:
        with pytest.raises(anthropic.BadRequestError, match="web_search_20250305"):
            await other.messages.create(model="chat", max_tokens=50, messages=messages, tools=tools, tool_choice=choice)


async def test_an_operator_has_them_refused(client: openai.AsyncOpenAI) -> None:
    tools: Any = [OWN, CACHED]
    with pytest.raises(openai.BadRequestError, match=r"tools\[1\]: web_search"):
        await client.responses.create(model="strict", input="hello", tools=tools)


async def test_a_live_search_is_anthropics_own(
    server: Server, upstream: ModelServer, client: openai.AsyncOpenAI
) -> None:
    tools: Any = [OWN, LIVE]
    choice: Any = {"type": "web_search"}
    answer = await client.responses.create(model="claude", input="hello", tools=tools, tool_choice=choice)
    body = upstream.exchanges[-1].body
    searching = {"type": "web_search_20250305", "name": "web_search", "allowed_domains": ["a.example"]}
    assert body["tools"][1] == searching
    assert body["tool_choice"] == {"type": "tool", "name": "web_search"}
    assert await warned(server, answer.id) == []


async def test_a_session_goes_on_at_another_service(
    server: Server, upstream: ModelServer, client: openai.AsyncOpenAI
) -> None:
    history: Any = [
        {"role": "user", "content": "what is new?"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "new"}},
        {"role": "assistant", "content": "much"},
        {"type": "web_search_call", "id": "ws_2", "status": "completed", "action": {"type": "search", "query": "x"}},
        {"role": "user", "content": "hello"},
    ]
    answer = await client.responses.create(model="chat", input=history)
    said = [(one["role"], one["content"]) for one in upstream.exchanges[-1].body["messages"]]
    assert said == [("user", "what is new?"), ("assistant", "much"), ("user", "hello")]
    assert await warned(server, answer.id) == ["what tools of another service did in earlier turns was left out"]
