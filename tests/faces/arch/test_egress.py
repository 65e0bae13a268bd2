"""The model listener over its port: paths, models, credentials, errors, limits, logs (contracts/arch.md §4)."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from prometheus_client import generate_latest

from promptd.testing.model_server import ModelServer
from promptd.testing.model_server.faults import REFUSALS, error_body
from tests.faces.arch.conftest import KEYS, Gate, Open, file_for, run_gate
from tests.faces.arch.test_egress_access_log import LINE

USER = {"role": "user", "content": "hello there"}
JSON = {"Accept": "application/json"}
pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def upstream() -> AsyncIterator[ModelServer]:
    async with ModelServer() as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gate(upstream: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gate]:
    """One for all tests of the module that need none of their own."""
    async with run_gate(tmp_path_factory.mktemp("gate"), file_for(upstream), environ=KEYS) as running:
        yield running


def told(stream: bytes) -> list[Any]:
    """The events of a stream, without its `[DONE]`, which must be the last."""
    lines = [line for line in stream.decode().split("\n\n") if line.startswith("data: ")]
    assert lines[-1] == "data: [DONE]"
    return [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]


# ------------------------------------------------------------------ paths


@pytest.mark.arch("4.1.paths", "2.ports")
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/v1/chat/completions"),
        ("POST", "/v1"),
        ("POST", "/v1/embeddings"),
        ("POST", "/v1/images/generations"),
        ("POST", "/v1/audio/speech"),
        ("POST", "/v1/messages/count_tokens"),
        ("GET", "/v1/responses/resp_1"),
        ("GET", "/metrics"),
        ("GET", "/promptd/v1/prompts"),
        ("POST", "/v1/chat/completions/"),
        ("POST", "/agents/v1/chat/completions"),
        ("DELETE", "/v1/models"),
    ],
)
async def test_everything_else_is_404_without_a_body(gate: Gate, method: str, path: str) -> None:
    answer = await gate.http.call(method, path, {} if method == "POST" else None)
    assert (answer.status, answer.body) == (404, b"")


@pytest.mark.arch("2.healthz")
async def test_health(gate: Gate) -> None:
    for method in ("GET", "HEAD"):
        answer = await gate.http.call(method, "/healthz")
        assert (answer.status, answer.body) == (200, b"")


@pytest.mark.arch("4.1.paths")
async def test_models(gate: Gate) -> None:
    for path in ("/v1/models", "/models"):
        answer = await gate.http.get(path)
        assert answer.status == 200
        assert [one["id"] for one in answer.json["data"]] == [
            "openai/gpt-4o",
            "openai/gpt-4o-mini",
            "anthropic/claude",
        ]
        assert {one["owned_by"] for one in answer.json["data"]} == {"openai", "anthropic"}
        preflight = await gate.http.call("OPTIONS", path)
        assert preflight.status == 204
        assert preflight.headers["access-control-allow-origin"] == "*"


# ------------------------------------------------------------------ models


@pytest.mark.arch("4.2.order")
@pytest.mark.parametrize(
    ("hint", "model", "asked"),
    [
        ("", "", "gpt-4o"),
        ("", "fast", "gpt-4o-mini"),
        ("", "groq/llama", "llama"),
        ("", "small", "gpt-4o-mini"),
        ("small", "openai/gpt-4o", "gpt-4o-mini"),
        ("default", "small", "gpt-4o"),
    ],
)
async def test_the_provider_that_is_asked(gate: Gate, upstream: ModelServer, hint: str, model: str, asked: str) -> None:
    headers = {"x-arch-llm-provider-hint": hint} if hint else {}
    members: dict[str, Any] = {"model": model} if model else {}
    answer = await gate.chat("hello there", headers=headers, **members)
    assert answer.status == 200, answer.body
    assert upstream.exchanges[-1].body["model"] == asked
    assert answer.json["choices"][0]["message"]["content"] == "You said: hello there"


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
        ("/v1/completions", {"prompt": "hi"}),
        ("/v1/responses", {"input": "hi"}),
    ],
)
async def test_a_model_of_null_is_the_default_one(gate: Gate, path: str, said: dict[str, Any]) -> None:
    answer = await gate.http.post(path, {"model": None, **said})
    assert answer.status == 200, answer.body
    assert b"You said: hi" in answer.body


@pytest.mark.arch("4.2.unknown", "9.2")
async def test_an_unknown_model_in_text_and_in_json(gate: Gate, upstream: ModelServer) -> None:
    said, before = "Model 'gpt-9' not found in configured providers", len(upstream.exchanges)
    plain = await gate.chat("x", model="gpt-9")
    assert (plain.status, plain.body.decode()) == (400, said)
    assert plain.headers["content-type"].startswith("text/plain")
    coded = await gate.chat("x", model="gpt-9", headers=JSON)
    assert coded.status == 400
    assert coded.json["error"]["message"] == said
    assert coded.json["error"]["code"] == "ModelNotFound"
    assert len(upstream.exchanges) == before


OLD = """
version: v0.1
listener: {{address: 127.0.0.1, port: 0}}
llm_providers:
  - name: main
    provider: openai
    model: gpt-4o
    access_key: $KEY
    base_url: {origin}
    default: true
  - name: other
    provider: openai
    model: gpt-4o-mini
    access_key: $KEY
    base_url: {origin}
"""


@pytest.mark.arch("1.6.4", "4.2.unknown")
@pytest.mark.parametrize("model", [None, "", "none", "whatever", "gpt-4o"])
async def test_an_old_file_takes_any_model(serve_arch: Open, upstream: ModelServer, model: str | None) -> None:
    async with serve_arch(OLD.format(origin=upstream.origin), environ=KEYS) as gate:
        members: dict[str, Any] = {} if model is None else {"model": model}
        answer = await gate.chat("hello", **members)
        assert answer.status == 200, answer.body
        assert upstream.exchanges[-1].body["model"] == "gpt-4o"
        hinted = await gate.chat("hello", headers={"x-arch-llm-provider-hint": "other"})
        assert hinted.status == 200
        assert upstream.exchanges[-1].body["model"] == "gpt-4o-mini"


# ------------------------------------------------------------------ text completions


@pytest.mark.arch("4.1.completions")
@pytest.mark.parametrize("path", ["/v1/completions", "/completions"])
async def test_a_text_is_a_users_message(gate: Gate, upstream: ModelServer, path: str) -> None:
    answer = await gate.http.post(path, {"model": "gpt-4o", "prompt": "say it", "max_tokens": 50})
    assert answer.status == 200, answer.body
    assert answer.json["object"] == "text_completion"
    assert answer.json["choices"] == [
        {"text": "You said: say it", "index": 0, "finish_reason": "stop", "logprobs": None}
    ]
    assert answer.json["usage"]["total_tokens"] > 0
    assert upstream.exchanges[-1].path == "/v1/chat/completions"
    assert upstream.exchanges[-1].body["messages"] == [{"role": "user", "content": "say it"}]


@pytest.mark.arch("4.1.prompts")
async def test_several_texts_are_several_choices(gate: Gate) -> None:
    body = {"prompt": ["one", "two"], "max_tokens": 50}
    answer = await gate.http.post("/v1/completions", body)
    assert [(one["index"], one["text"]) for one in answer.json["choices"]] == [
        (0, "You said: one"),
        (1, "You said: two"),
    ]
    streamed = await gate.http.post("/completions", {**body, "stream": True})
    events = told(streamed.body)
    texts = ["".join(c["text"] for e in events for c in e["choices"] if c["index"] == n) for n in (0, 1)]
    assert texts == ["You said: one", "You said: two"]
    tokens = await gate.http.post("/v1/completions", {"prompt": [1, 2, 3]})
    assert tokens.status == 400


@pytest.mark.arch("4.1.completions")
@pytest.mark.parametrize("path", ["/chat/completions", "/messages", "/responses"])
async def test_every_path_without_its_version(gate: Gate, path: str) -> None:
    body = {"model": "gpt-4o", "messages": [USER], "max_tokens": 20}
    answer = await gate.http.post(path, {"model": "gpt-4o", "input": "hello there"} if path == "/responses" else body)
    assert answer.status == 200, answer.body
    assert b"hello there" in answer.body


# ------------------------------------------------------------------ errors


@pytest.mark.arch("4.5.upstream", "9.6")
@pytest.mark.parametrize("fault", ["context", "key", "forbidden", "missing", "quota", "broken", "unavailable"])
async def test_what_a_provider_refuses_goes_on_untouched(gate: Gate, upstream: ModelServer, fault: str) -> None:
    refusal = REFUSALS[fault]
    for headers in ({}, JSON):
        answer = await gate.chat(f"/fault {fault}", model="gpt-4o", headers=headers)
        assert answer.status == refusal.status
        assert answer.json == error_body(False, refusal.status, refusal.message, refusal.code)
        assert answer.headers["content-type"] == "application/json"


@pytest.mark.arch("4.5.upstream")
async def test_a_provider_of_another_api_keeps_its_status(gate: Gate) -> None:
    answer = await gate.http.post(
        "/v1/messages", {"model": "gpt-4o", "max_tokens": 5, "messages": [{**USER, "content": "/fault forbidden"}]}
    )
    assert answer.status == 403
    assert answer.json["type"] == "error"


@pytest.mark.arch("4.5.parse")
async def test_a_reply_that_is_none_is_502(gate: Gate) -> None:
    answer = await gate.http.post(
        "/v1/messages", {"model": "gpt-4o", "max_tokens": 5, "messages": [{**USER, "content": "/fault garbage"}]}
    )
    assert answer.status == 502


@pytest.mark.arch("9.6")
@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'{"messages": 1}', b'{"messages": [1]}', b"\xff\xfe", b'{"model": "gpt-4o"}']
)
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/v1/responses", "/completions", "/routing/v1/chat/completions"])  # fmt: skip
async def test_a_body_that_can_not_be_read_is_400(gate: Gate, path: str, body: bytes) -> None:
    answer = await gate.http.post(path, raw=body)
    assert answer.status == 400, answer.body
    assert answer.body


@pytest.mark.arch("4.4.state")
async def test_an_unknown_earlier_response_is_409(gate: Gate) -> None:
    body = {"model": "gpt-4o", "input": "x", "previous_response_id": "resp_0"}
    answer = await gate.http.post("/v1/responses", body)
    said = "Conversation state not found for previous_response_id: resp_0"
    assert (answer.status, answer.body.decode()) == (409, said)
    coded = await gate.http.post("/v1/responses", body, headers=JSON)
    assert (coded.status, coded.json["error"]["code"]) == (409, "ConversationStateNotFound")
    assert coded.json["error"]["message"] == said


@pytest.mark.arch("4.4.state")
@pytest.mark.parametrize("model", ["gpt-4o", "anthropic/claude", "groq/llama"])
async def test_a_conversation_goes_on_with_every_provider(gate: Gate, upstream: ModelServer, model: str) -> None:
    first = await gate.http.post("/v1/responses", {"model": model, "input": "first words"})
    assert first.status == 200, first.body
    second = await gate.http.post(
        "/v1/responses", {"model": model, "input": "second words", "previous_response_id": first.json["id"]}
    )
    assert second.status == 200, second.body
    assert "first words" in json.dumps(upstream.exchanges[-1].body)


# ------------------------------------------------------------------ credentials


@pytest.mark.arch("4.3.key", "4.3.strip", "7.headers")
@pytest.mark.parametrize("model", ["gpt-4o", "anthropic/claude"])
async def test_the_key_of_the_file_goes_out_and_the_clients_stays(
    gate: Gate, upstream: ModelServer, model: str
) -> None:
    client = {"Authorization": "Bearer sk-of-the-client", "x-api-key": "sk-of-the-client", "x-arch-llm-route": "x"}
    answer = await gate.chat("hello", model=model, headers=client)
    assert answer.status == 200, answer.body
    sent = upstream.exchanges[-1].headers
    assert "sk-of-the-client" not in str(sent)
    assert not [name for name in sent if name.startswith("x-arch")]
    if model == "gpt-4o":
        assert sent["authorization"] == "Bearer sk-upstream"
    else:
        assert sent["x-api-key"] == "sk-upstream"
        assert sent["anthropic-version"] == "2023-06-01"


PASSING = """
version: v0.4.0
listeners: [{{type: model, name: llm, port: 0}}]
model_providers:
  - {{model: openai/gpt-4o, passthrough_auth: true, base_url: {origin}, default: true}}
  - {{model: anthropic/claude, passthrough_auth: true, base_url: {origin}}}
  - {{model: openai/kept, access_key: $KEY, base_url: {origin}}}
"""


@pytest.mark.arch("4.3.passthrough", "4.3.strip")
@pytest.mark.parametrize("given", [{"Authorization": "Bearer sk-upstream"}, {"x-api-key": "sk-upstream"}])
@pytest.mark.parametrize(("path", "model"), [("chat/completions", "gpt-4o"), ("messages", "claude"), ("chat/completions", "claude"), ("messages", "gpt-4o")])  # fmt: skip
async def test_the_clients_key_in_the_form_of_the_provider(
    serve_arch: Open, upstream: ModelServer, path: str, model: str, given: dict[str, str]
) -> None:
    complaints = list(upstream.complaints)
    async with serve_arch(PASSING.format(origin=upstream.origin), environ=KEYS) as gate:
        body = {"model": model, "messages": [USER], "max_tokens": 20}
        answer = await gate.http.post(f"/v1/{path}", body, headers=given)
        assert answer.status == 200, answer.body
        assert upstream.complaints == complaints
        without = await gate.http.post(f"/v1/{path}", body)
        assert without.status == 401
        sent = upstream.exchanges[-1].headers
        assert "authorization" not in sent
        assert "x-api-key" not in sent


@pytest.mark.arch("4.3.strip")
async def test_a_key_goes_to_no_provider_that_has_its_own(
    serve_arch: Open, upstream: ModelServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with serve_arch(PASSING.format(origin=upstream.origin), environ=KEYS) as gate:
        client = {"Authorization": "Bearer sk-of-the-client-1234", "Idempotency-Key": "k1"}
        answer = await gate.chat("hello", model="openai/kept", headers=client)
        assert answer.status == 200, answer.body
        assert upstream.exchanges[-1].headers["authorization"] == "Bearer sk-upstream"
        refused = await gate.chat("hello", model="gpt-4o", headers=client)
        assert refused.status == 401
        background = await gate.http.post(
            "/v1/responses", {"model": "gpt-4o", "input": "x", "background": True}, headers=client
        )
        assert background.status == 400
        home = gate.house.settings.home
        await gate.house.walk.attached.flush()
    for file in home.rglob("*"):
        if file.is_file():
            assert b"sk-of-the-client-1234" not in file.read_bytes(), file
    assert "sk-of-the-client-1234" not in caplog.text


# ------------------------------------------------------------------ limits, logs, metrics

LIMITED = """
ratelimits:
  - model: gpt-4o
    selector: {key: user-id, value: ""}
    limit: {tokens: 40, unit: hour}
"""


@pytest.mark.arch("4.6.exceeded", "4.6.selector", "9.9", "7.metrics")
async def test_a_limit_over_the_port(serve_arch: Open, upstream: ModelServer) -> None:
    environ = {**KEYS, "PROMPTD_COMPAT__ARCH__METRICS": "true"}
    async with serve_arch(file_for(upstream, LIMITED), environ=environ) as gate:
        text = "some words " * 6
        ada = {"user-id": "ada"}
        assert (await gate.chat(text, model="gpt-4o", headers=ada)).status == 200
        refused = await gate.chat(text, model="fast", headers=ada)
        assert refused.status == 200  # another model
        refused = await gate.chat(text, model="openai/gpt-4o", headers=ada)
        assert refused.status == 429
        pattern = r'exceeded limit provider=gpt-4o, selector=Header { key: "user-id", value: "ada" }, tokens_used=\d+'
        assert re.fullmatch(pattern, refused.body.decode())
        assert int(refused.headers["retry-after"]) > 0
        assert (await gate.chat(text, model="gpt-4o", headers={"user-id": "bob"})).status == 200
        assert (await gate.chat(text, model="gpt-4o")).status == 200
        shared = gate.house.listeners.shared
        assert shared is not None
        shown = generate_latest(shared.options.registry).decode()
        assert "wasmcustom_ratelimited_rq_total 1.0" in shown
        called = 'brightstaff_llm_upstream_requests_total{error_class="none",model="gpt-4o",provider="openai/gpt-4o",status_class="2xx"}'
        assert f"{called} 3.0" in shown
        served = 'brightstaff_http_requests_total{handler="/v1/chat/completions",method="POST",status_class="4xx"}'
        assert f"{served} 1.0" in shown
        assert 'brightstaff_llm_tokens_total{kind="completion"' in shown
        assert "wasmcustom_request_latency_count 4.0" in shown


@pytest.mark.arch("2.access_log")
async def test_lines_of_the_log(gate: Gate) -> None:
    headers = {"X-Forwarded-For": "10.1.2.3", "User-Agent": "probe/1", "x-request-id": "req-77"}
    assert (await gate.chat("hello there", model="gpt-4o", headers=headers)).status == 200
    streamed = await gate.chat("hello there", model="small", stream=True)
    assert (await gate.http.get("/nowhere?key=sk-secret")).status == 404
    await gate.house.listeners.close()
    path = gate.house.settings.home / "logs" / "access_llm.log"
    found = [LINE.fullmatch(line) for line in path.read_text().splitlines(keepends=True)]
    assert all(found)
    found = found[-3:]
    chat, stream, missing = [line.groupdict() for line in found if line]
    assert chat["asked"] == "POST /v1/chat/completions HTTP/1.1"
    assert (chat["code"], chat["xff"], chat["agent"], chat["id"]) == ("200", "10.1.2.3", "probe/1", "req-77")
    assert chat["authority"] == "localhost"
    assert chat["host"].startswith("127.0.0.1:")
    assert (chat["cluster"], chat["attempts"]) == ("openai/gpt-4o", "1")
    assert int(chat["received"]) > 50
    assert int(stream["sent"]) == len(streamed.body)
    assert stream["cluster"] == "small"
    assert (missing["asked"], missing["code"], missing["upstream_ms"]) == ("GET /nowhere HTTP/1.1", "404", "-")


@pytest.mark.arch("7.usage")
async def test_usage_is_asked_for_and_hidden(gate: Gate, upstream: ModelServer) -> None:
    streamed = await gate.chat("hello there", model="gpt-4o", stream=True)
    assert upstream.exchanges[-1].body["stream_options"] == {"include_usage": True}
    assert not any(event.get("usage") for event in told(streamed.body))
    shown = await gate.chat("hello", model="gpt-4o", stream=True, stream_options={"include_usage": True})
    assert told(shown.body)[-1]["usage"]["total_tokens"] > 0
