"""No wire goes around the guards: what is refused on one is refused on all, and costs nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest

from promptd.core.filters import Query
from promptd.core.model import Prompt
from tests.faces.conftest import Serve
from tests.faces.test_templates import save

WORD = "badger"
SAID = [{"role": "user", "content": "hello"}, {"role": "assistant", "content": "hi"}]
TURNS = [{"role": "user", "content": WORD}, *SAID, {"role": "user", "content": "and?"}]
TOOL = [
    {"role": "user", "content": "look"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
    },
    {"role": "tool", "tool_call_id": "c1", "content": f"a {WORD}"},
]
BLOCKS = [
    {"role": "user", "content": "look"},
    {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "look", "input": {}}]},
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c1", "content": f"a {WORD}"}]},
]
CALLS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"model": "demo", "messages": TURNS}),
    "chat, streamed": ("/v1/chat/completions", {"model": "demo", "messages": TURNS, "stream": True}),
    "chat, tool": ("/v1/chat/completions", {"model": "demo", "messages": TOOL}),
    "completions": ("/v1/completions", {"model": "demo", "prompt": WORD}),
    "responses": ("/v1/responses", {"model": "demo", "input": WORD}),
    "responses, later": ("/v1/responses", {"model": "demo", "input": WORD, "background": True}),
    "embeddings": ("/v1/embeddings", {"model": "demo", "input": ["fine", WORD]}),
    "images": ("/v1/images/generations", {"model": "demo", "prompt": WORD}),
    "speech": ("/v1/audio/speech", {"model": "demo", "input": WORD, "voice": "alloy"}),
    "messages": ("/v1/messages", {"model": "demo", "max_tokens": 9, "messages": TURNS}),
    "messages, tool": ("/v1/messages", {"model": "demo", "max_tokens": 9, "messages": BLOCKS}),
    "messages, system": ("/v1/messages", {"model": "demo", "max_tokens": 9, "system": WORD, "messages": SAID[:1]}),
    "counting": ("/v1/messages/count_tokens", {"model": "demo", "messages": TURNS}),
    "native": ("/promptd/v1/prompts", {"prompt": WORD}),
    "native, system": ("/promptd/v1/prompts", {"messages": [{"role": "system", "content": WORD}, *SAID]}),
}


@pytest.mark.parametrize("name", CALLS)
async def test_a_refused_text_is_stored_and_sent_nowhere(serve: Serve, name: str) -> None:
    path, body = CALLS[name]
    check = {"type": "rules", "blocklist": [WORD], "message": "not on my watch"}
    async with serve(guard={"checks": {"words": check}}) as server:
        answer = await server.http.post(path, body)
        assert 400 <= answer.status < 500
        assert b"not on my watch" in answer.body
        assert (await server.house.database.records.find(Prompt, Query(count=True))).count == 0
        await server.house.walk.attached.flush()
        assert (await server.house.database.records.find(Prompt, Query(count=True))).count == 0


async def test_a_template_and_its_values(serve: Serve) -> None:
    check = {"type": "rules", "blocklist": [WORD]}
    async with serve(guard={"checks": {"words": check}}) as server:
        inputs = [{"name": "who", "kind": "string"}]
        admin = await server.client("root", admin=True)
        await save(admin, "greet", "Greet {{ who }}.", inputs=inputs, label="production")
        for who, status in (("Ann", 200), (f"a {WORD}", 422)):
            answer = await server.http.post("/promptd/v1/templates/greet/run", {"inputs": {"who": who}})
            assert answer.status == status, answer


async def test_numbers_of_tokens_can_not_be_judged(serve: Serve) -> None:
    async with serve(guard={"blocklist": [WORD]}) as server:
        answer = await server.http.post("/v1/embeddings", {"model": "demo", "input": [[1, 2, 3]]})
        assert answer.status == 400


STREAMS: dict[str, tuple[str, dict[str, Any], bytes]] = {
    "chat": ("/v1/chat/completions", {"messages": []}, b'"content_filter"'),
    "messages": ("/v1/messages", {"messages": [], "max_tokens": 100}, b"event: error"),
    "responses": ("/v1/responses", {"input": []}, b"response.failed"),
}


@pytest.mark.parametrize("name", STREAMS)
async def test_a_refusal_in_mid_stream_ends_it_with_the_wires_own_error(serve: Serve, name: str) -> None:
    path, body, end = STREAMS[name]
    text = "Oaks grow slowly and get old. " * 30
    script = json.dumps([{"say": f"{text}A {WORD} digs. {text}", "pieces": 200}])
    body = {"model": "demo", "stream": True, **body}
    body["messages" if "messages" in body else "input"] = [{"role": "user", "content": script}]
    check = {"type": "rules", "blocklist": [WORD], "stages": ["output"], "message": "not on my watch"}
    async with serve(guard={"checks": {"words": check}}) as server, server.http.stream(path, body) as stream:
        raw = await stream.rest()
        assert b"Oaks" in raw or b"slowly" in raw
        assert WORD.encode() not in raw
        assert b"digs" not in raw
        assert end in raw
        assert b"not on my watch" in raw
