"""What attackers and picky clients try: other methods, other people's files, limits by header, words hidden from a guard."""

from __future__ import annotations

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, MutableMapping
from itertools import product
from pathlib import Path
from typing import Any

import openai
import pytest
from anthropic import AsyncAnthropic, BadRequestError, NotFoundError

from promptd.faces.asgi import ABORT
from promptd.faces.live import Live
from promptd.testing.model_server import ModelServer
from tests.faces.client import Http, read_head
from tests.faces.conftest import Server, installed, run_server

WORD = "forbiddenword"
FUNCTION = {"type": "function", "function": {"name": "add"}}
CHAT, MESSAGES, RESPONSES, COMPLETIONS = "/v1/chat/completions", "/v1/messages", "/v1/responses", "/v1/completions"


@pytest.fixture
async def upstream() -> AsyncIterator[ModelServer]:
    async with ModelServer() as model_server:
        yield model_server


@pytest.fixture
async def server(tmp_path: Path, upstream: ModelServer) -> AsyncIterator[Server]:
    engines = {name: installed().engines[name] for name in ("openai", "anthropic")}
    key = {"api_key": upstream.key}
    async with run_server(
        tmp_path,
        engines=engines,
        connections={
            "one": {"engine": "openai", "base_url": upstream.base_url, **key},
            "other": {"engine": "anthropic", "base_url": upstream.origin, **key},
        },
        models={
            "gpt": {"connection": "one", "upstream": "script"},
            "claude": {"connection": "other", "upstream": "script"},
            "secret": {"connection": "one", "upstream": "other"},
            "open": {"alias": "secret"},
        },
        guard={"blocklist": [WORD]},
        limits=[{"name": "x", "metric": "requests", "limit": 2, "window": 3600, "scope": "header:x-team", "only": "x"}],
    ) as running:
        yield running


def chat(content: Any = "hello", model: str = "gpt", **members: Any) -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": content}], **members}


def message(content: Any = "hello", model: str = "claude", **members: Any) -> dict[str, Any]:
    return chat(content, model, max_tokens=50, **members)


async def key_for(server: Server, *models: str) -> Http:
    """Another key of the same user, for these models alone."""
    made = await server.admin.post("/promptd/v1/keys", {"name": "narrow", "user": "ada", "models": models})
    return server.http.of(made.json["key"])


# ---------------------------------------------------------------- methods


ALLOWED = {
    CHAT: "POST",
    "/completions": "POST",
    "/v1/files": "GET, POST",
    "/v1/files/file-1": "DELETE, GET",
    "/v1/files/file-1/content": "GET",
    "/v1/responses/resp_1/cancel": "POST",
    "/v1/models/a/b": "GET",
    MESSAGES: "POST",
    "/v1/messages/count_tokens": "POST",
}


async def test_wrong_methods(server: Server) -> None:
    for (path, allow), method in product(ALLOWED.items(), ("PUT", "PATCH", "OPTIONS")):
        answer = await server.http.call(method, path)
        told = answer.json
        assert (answer.status, answer.headers["allow"]) == (405, allow)
        assert answer.headers["content-type"] == "application/json"
        assert told["error"]["type"] == "invalid_request_error"
        assert allow in told["error"]["message"]
        assert ("request_id" in told) == path.startswith(MESSAGES)


async def test_nothing_there(server: Server) -> None:
    paths = ("/v1/nothing", "/v1/messages/batches", "/v1/chat/completions/")
    for path, method in product(paths, ("GET", "POST", "OPTIONS", "HEAD")):
        answer = await server.http.call(method, path)
        assert (answer.status, answer.headers["content-type"]) == (404, "application/json")
        if method != "HEAD":
            kind = answer.json["error"]["type"]
            assert kind == ("not_found_error" if path.startswith(MESSAGES) else "invalid_request_error")


async def test_each_vendors_client_is_told_in_its_own_shape(server: Server) -> None:
    version = {"anthropic-version": "2023-06-01"}
    places = (
        ("GET", "/v1/nothing", 404, "not_found_error"),
        ("POST", "/v1/complete", 404, "not_found_error"),
        ("PUT", "/v1/chat/completions", 405, "invalid_request_error"),
        ("GET", "/v1/models/none", 404, "not_found_error"),
    )
    for method, path, status, kind in places:
        told = await server.http.call(method, path, headers=version)
        assert (told.status, told.json["type"], told.json["error"]["type"]) == (status, "error", kind)
        assert told.headers["request-id"] == told.json["request_id"]
        usual = await server.http.call(method, path)
        assert (usual.status, usual.json["error"]["type"]) == (status, "invalid_request_error")
        assert "type" not in usual.json
    stranger = await server.http.of("wrong").get("/v1/models", headers=version)
    assert (stranger.status, stranger.json["error"]["type"]) == (401, "authentication_error")
    async with AsyncAnthropic(
        api_key=server.http.key, base_url=f"http://127.0.0.1:{server.port}", max_retries=0
    ) as client:
        with pytest.raises(NotFoundError) as missing:
            await client.messages.batches.list()
        assert missing.value.type == "not_found_error"
        with pytest.raises(NotFoundError) as missing:
            await client.models.retrieve("none")
        assert missing.value.type == "not_found_error"


async def test_what_is_not_translated_is_named_as_its_caller_wrote_it(server: Server, upstream: ModelServer) -> None:
    place = f"http://127.0.0.1:{server.port}"
    said: list[Any] = [{"role": "user", "content": "hello"}]
    async with openai.AsyncOpenAI(api_key=server.http.key, base_url=f"{place}/v1", max_retries=0) as client:
        asked: tuple[tuple[dict[str, Any], str], ...] = (
            ({"n": 2}, "n"),
            ({"web_search_options": {"search_context_size": "high"}}, "web_search_options.search_context_size"),
            ({"tools": [{"type": "code_interpreter"}]}, "tools[0]"),
        )
        for members, param in asked:
            with pytest.raises(openai.BadRequestError) as refused:
                await client.chat.completions.create(model="claude", messages=said, **members)
            assert (refused.value.param, refused.value.code) == (param, "unsupported_parameter")
    async with AsyncAnthropic(api_key=server.http.key, base_url=place, max_retries=0) as other:
        search: Any = {"type": "web_search_20250305", "name": "web_search"}
        own: Any = {"name": "add", "input_schema": {"type": "object"}}
        with pytest.raises(BadRequestError, match=r"tools\[2\]: web_search_20250305"):
            await other.messages.create(
                model="gpt",
                max_tokens=5,
                messages=said,
                tools=[own, own | {"name": "b"}, search],
                tool_choice={"type": "tool", "name": "web_search"},
            )


async def test_heads_have_no_body(server: Server) -> None:
    made = await server.http.post(RESPONSES, {"model": "gpt", "input": "hello"})
    place = f"/v1/responses/{made.json['id']}"
    for path in (place, f"{place}/input_items", "/v1/models", "/v1/models/gpt"):
        whole = await server.http.get(path)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = f"HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {server.http.key}\r\n"
        try:
            writer.write(f"HEAD {path} {head}\r\nHEAD {path} {head}Connection: close\r\n\r\n".encode())
            for _ in range(2):
                told = await read_head(reader)
                assert (told.status, told.headers["content-length"]) == (200, str(len(whole.body)))
            assert await reader.read() == b""
        finally:
            writer.close()


# ---------------------------------------------------------------- files of others


async def test_files_of_others(server: Server) -> None:
    bob = await server.client("bob")
    form = (
        b'--xyz\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nuser_data\r\n--xyz\r\n'
        b'Content-Disposition: form-data; name="file"; filename="a.txt"\r\nContent-Type: text/plain\r\n\r\n'
        b"mine\r\n--xyz--\r\n"
    )
    kind = {"Content-Type": "multipart/form-data; boundary=xyz"}
    mine = (await server.http.post("/v1/files", raw=form, headers=kind)).json["id"]
    for method, path in (("GET", ""), ("GET", "/content"), ("HEAD", "/content"), ("DELETE", "")):
        assert (await bob.call(method, f"/v1/files/{mine}{path}")).status == 404
    assert (await server.admin.get(f"/v1/files/{mine}/content")).body == b"mine"
    # the place where images are fetched without a key shows images alone
    assert (await server.http.of(None).get(f"/v1/images/files/{mine}")).status == 404
    assert (await server.http.get(f"/v1/files/{mine}/content")).body == b"mine"


# ---------------------------------------------------------------- limits


CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    (CHAT, chat()),
    (COMPLETIONS, {"model": "gpt", "prompt": ["a", "b"]}),
    (COMPLETIONS, {"model": "gpt", "prompt": ["a", "b"], "stream": True}),
    (RESPONSES, {"model": "gpt", "input": "a", "background": True}),
    (RESPONSES, {"model": "gpt", "input": "a", "background": True, "stream": True}),
    (MESSAGES, message(stream=True)),
    ("/v1/messages/count_tokens", message()),
    ("/promptd/v1/prompts", {"prompt": "a", "model": "gpt"}),
)


async def test_limits_by_header(server: Server, upstream: ModelServer) -> None:
    team = {"x-team": "x"}
    for _ in range(2):
        assert (await server.http.post(CHAT, chat(), headers=team)).status == 200
    asked = len(upstream.exchanges)
    for path, body in CALLS:
        refused = await server.http.post(path, body, headers=team)
        assert refused.status == 429, (path, refused.body)
    assert len(upstream.exchanges) == asked


async def test_counting_is_a_call(server: Server) -> None:
    """A count asks a service too: it needs the right to the model, under the name that was asked, and is a request."""
    count = "/v1/messages/count_tokens"
    key = await key_for(server, "open")
    assert (await key.post(count, message(model="open"))).status == 200
    assert (await key.post(count, message(model="secret"))).status == 403
    assert (await server.http.post(count, message(WORD))).status == 400


async def test_another_keys_prompt(server: Server) -> None:
    """A key that is not for a model can't have a prompt of its user run there again."""
    failed = await server.http.post("/promptd/v1/prompts?wait=20", {"prompt": "a\n/fault context", "model": "secret"})
    assert failed.json["status"] == "abandoned", failed.body
    again = f"/promptd/v1/prompts/{failed.json['id']}/retry"
    narrow = await key_for(server, "gpt")
    assert (await narrow.post(again)).json["code"] == "model_forbidden"
    assert (await server.http.post(again)).status == 202


# ---------------------------------------------------------------- words in hiding

DATA = b64encode(f"so {WORD} there".encode()).decode()
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a": "\\u0066orbiddenword"}'}}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {}}}
HIDDEN: dict[str, tuple[str, dict[str, Any]]] = {
    "two parts": (CHAT, chat([{"type": "text", "text": WORD[:5]}, {"type": "text", "text": WORD[5:]}])),
    "a label": (CHAT, chat(metadata={"a": WORD})),
    "the name of a label": (CHAT, chat(metadata={WORD: "a"})),
    "a label of Anthropic's": (MESSAGES, message(metadata={"user_id": "u", "more": WORD})),
    "a file of text": (CHAT, chat([{"type": "file", "file": {"file_data": f"data:text/plain;base64,{DATA}"}}])),
    "a file without a type": (CHAT, chat([{"type": "file", "file": {"file_data": f"data:;base64,{DATA}"}}])),
    "an escaped file": (CHAT, chat([{"type": "file", "file": {"file_data": "data:text/plain,%66orbiddenword"}}])),
    "an escaped argument": (
        CHAT,
        {
            "model": "gpt",
            "messages": [
                {"role": "user", "content": "a"},
                {"role": "assistant", "tool_calls": [CALL]},
                {"role": "tool", "tool_call_id": "c", "content": "b"},
            ],
        },
    ),
    "beside a function": (CHAT, chat(tools=[{**TOOL, "note": WORD}])),
    "a tool that is not allowed": (
        CHAT,
        chat(
            tools=[TOOL, {"type": "function", "function": {"name": "g", "description": WORD}}],
            tool_choice={
                "type": "allowed_tools",
                "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]},
            },
        ),
    ),
    "an unknown member": (CHAT, chat(Messages=[{"role": "user", "content": WORD}])),
    "an unknown member of a message": (
        CHAT,
        {"model": "gpt", "messages": [{"role": "user", "content": "a", "Content": WORD}]},
    ),
}


async def test_words_in_hiding(server: Server, upstream: ModelServer) -> None:
    for place, (path, body) in HIDDEN.items():
        answer = await server.http.post(path, body)
        assert (answer.status, upstream.exchanges) == (400, []), place
        assert "refused by a guard" in answer.json["error"]["message"], place
    for place in ("a label", "beside a function", "a tool that is not allowed", "an unknown member"):
        path, body = HIDDEN[place]
        told = await server.http.post(path, raw=json.dumps(body).replace(WORD, "pleasant").encode())
        assert b"guard" not in told.body, place


# ---------------------------------------------------------------- streams that are stopped


HELD: tuple[tuple[str, dict[str, Any]], ...] = (
    (CHAT, chat("one two three four\n/hold half", stream=True)),
    (MESSAGES, message("one two three four\n/hold half", "gpt", stream=True)),
    (RESPONSES, {"model": "claude", "input": "one two three four\n/hold half", "stream": True}),
    (COMPLETIONS, {"model": "gpt", "prompt": ["one two three\n/hold half", "b"], "stream": True}),
)


async def test_a_stream_that_is_cancelled_says_so(server: Server) -> None:
    for path, body in HELD:
        async with server.http.stream(path, body) as stream:
            name = stream.headers["x-prompt-id"]
            assert (await server.http.post(f"/promptd/v1/prompts/{name}/cancel")).status == 200
            said = await stream.rest()
        assert said.endswith(b"\n\n")
        last = json.loads(said.decode().rstrip().rpartition("data: ")[2])
        assert last["response"]["status"] == "cancelled" if path == RESPONSES else last["error"]["message"]
        assert (await server.http.get(f"/promptd/v1/prompts/{name}")).json["status"] == "canceled"


async def test_a_client_that_takes_no_end() -> None:
    """Nothing is written behind the end of a stream, and a client that does not take the end is dropped as well."""
    sent: list[MutableMapping[str, Any]] = []
    dropped = asyncio.Event()

    async def send(event: MutableMapping[str, Any]) -> None:
        if event["type"] == "http.response.body" and not event["more_body"]:
            await dropped.wait()
        sent.append(event)

    live = Live(heartbeat_seconds=0.02, stuck_seconds=0.2, beat=b": \n\n")
    stream = live.open({"type": "http", "extensions": {ABORT: dropped.set}}, send, "")
    await stream.write(b"data: 1\n\n")
    async with asyncio.timeout(5):
        await stream.finish()
    stream.close()
    await asyncio.sleep(0)  # what was begun meanwhile would go on now
    assert [event.get("body") for event in sent] == [None, b"data: 1\n\n", b""]


# ---------------------------------------------------------------- one connection, many calls


async def test_answers_come_in_order(server: Server) -> None:
    """Calls that are sent without waiting get their own answers, whatever way these take."""
    words = [f"word-{number}" for number in range(20)]
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)

    def call(number: int, word: str) -> bytes:
        pace = "\n/pace 0.01" if number % 3 == 0 else ""
        body = json.dumps(chat(word + pace, stream=number % 4 == 1)).encode()
        fields = f"Host: x\r\nAuthorization: Bearer {server.http.key}\r\nContent-Length: {len(body)}\r\n"
        return f"POST {CHAT} HTTP/1.1\r\n{fields}\r\n".encode() + body

    try:
        writer.write(b"".join(call(number, word) for number, word in enumerate(words)))
        for number, word in enumerate(words):
            head = await read_head(reader)
            assert head.status == 200
            if number % 4 == 1:
                said = (await reader.readuntil(b"\r\n0\r\n\r\n")).decode()
            else:
                said = (await reader.readexactly(int(head.headers["content-length"]))).decode()
            assert word in said
            assert not any(other in said for other in words if other not in word)
    finally:
        writer.close()


async def test_nobody_in(server: Server) -> None:
    """Without a key, nothing of a body is looked at."""
    for path in (CHAT, MESSAGES, RESPONSES, COMPLETIONS, "/v1/embeddings", "/v1/batches", "/v1/files"):
        for key in (None, "pk-no-such-key", "x" * 5000):
            refused = await Http(server.port, key).post(path, raw=b"{")
            assert (refused.status, refused.headers["content-type"]) == (401, "application/json")
