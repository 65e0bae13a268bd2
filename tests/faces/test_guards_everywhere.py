"""No wire goes around the guards: what is refused on one is refused on all, and costs nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect

from promptd.core.filters import Query
from promptd.core.model import Prompt
from promptd.testing.messages_server import KEY, MessagesServer
from tests.faces.conftest import Serve, Server, installed, run_server
from tests.faces.mcp.conftest import run_mcp
from tests.faces.onebackend.clients import PROMPTS, register
from tests.faces.test_templates import save

pytestmark = pytest.mark.slow

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


@pytest.mark.parametrize("action", ["refuse", "record"])
async def test_what_a_service_says_of_a_count_that_failed_is_judged(tmp_path: Path, action: str) -> None:
    words = {"type": "rules", "patterns": [{"name": "w", "pattern": "non-whitespace"}], "stages": ["output"]}
    async with (
        MessagesServer() as upstream,
        run_server(
            tmp_path,
            engines={"anthropic": installed().engines["anthropic"]},
            connections={"vendor": {"engine": "anthropic", "base_url": upstream.base_url, "api_key": KEY}},
            models={"claude": {"connection": "vendor"}},
            guard={"checks": {"words": {**words, "action": action}}},
        ) as server,
    ):
        body = {"model": "claude", "messages": [{"role": "user", "content": " "}]}
        answer = await server.http.post("/v1/messages/count_tokens", body)
        assert upstream.calls[-1].path == "/v1/messages/count_tokens"
        assert answer.status == 400
        assert (b"non-whitespace" in answer.body) == (action == "record")


async def stored(server: Server) -> int | None:
    await server.house.walk.attached.flush()
    return (await server.house.database.records.find(Prompt, Query(count=True))).count


CHECK = {"checks": {"words": {"type": "rules", "blocklist": [WORD], "message": "not on my watch"}}}


@pytest.mark.parametrize("sync", [True, False])
async def test_onebackend(serve: Serve, sync: bool) -> None:
    async with serve(guard=CHECK) as server:
        user = await register(server, "ann", PROMPTS)
        answer = await user.post("/prompt-svc/prompt", {"prompt": f"a {WORD}", "sync": sync})
        assert (answer.status, answer.json) == (422, {"error": "not on my watch"})
        assert await stored(server) == 0
        assert (await user.post("/prompt-svc/prompt", {"prompt": "fine", "sync": sync})).status == 200


@pytest.mark.parametrize("service", ["text-completion", "prompt"])
async def test_trustgraph(serve: Serve, service: str) -> None:
    async with serve(guard=CHECK) as server:
        admin = await server.client("root", admin=True)
        inputs = [{"name": "who", "kind": "string"}]
        await save(admin, "greet", "Greet {{ who }}.", inputs=inputs, label="production")

        def ask(text: str) -> dict[str, Any]:
            if service == "prompt":
                return {"id": "greet", "variables": {"who": text}}
            return {"system": "", "prompt": text}

        answer = await admin.post(f"/api/v1/{service}", ask(f"a {WORD}"))
        assert "not on my watch" in answer.json["error"]["message"], answer
        async with connect(f"ws://127.0.0.1:{server.port}/api/v1/socket?token={admin.key}") as line:
            for streaming in (True, False):
                request = {**ask(f"a {WORD}"), "streaming": streaming}
                await line.send(json.dumps({"id": "1", "service": service, "flow": "default", "request": request}))
                assert "not on my watch" in str(await line.recv())
        assert await stored(server) == 0
        assert "error" not in (await admin.post(f"/api/v1/{service}", ask("Ann"))).json


@pytest.mark.parametrize("stage", ["input", "output"])
async def test_mcp(tmp_path: Path, stage: str) -> None:
    check = {**CHECK["checks"]["words"], "stages": [stage]}
    async with run_mcp(tmp_path, guard={"checks": {"words": check}}) as server:
        await server.save("greet", '[{"say": "Greet {{ a }}{{ b }}."}]', callable=True)
        async with server.client() as client:
            # for the input the word is one piece, in the answer it comes together
            values = {"a": WORD, "b": ""} if stage == "input" else {"a": WORD[:3], "b": WORD[3:]}
            result = await client.call_tool("greet", values)
            assert result.is_error
            assert "not on my watch" in result.content[0].text  # type: ignore[union-attr]
            assert WORD not in str(result)
            assert not (await client.call_tool("greet", {"a": "Ann", "b": ""})).is_error


async def test_moderation(serve: Serve) -> None:
    async with serve(guard=CHECK) as server:
        answer = await server.http.post("/v1/moderations", {"input": ["fine", f"a {WORD}"]})
        assert [one["flagged"] for one in answer.json["results"]] == [False, True]


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
