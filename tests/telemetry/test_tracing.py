"""A running house that is traced, its services and a collector, all over real sockets."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from promptd.core.errors import SettingsError
from promptd.engines.openai import OpenAI
from promptd.testing.model_server import KEY, ModelServer
from tests.faces.conftest import Server, run_server
from tests.telemetry.collector import Collector, Told, by_grpc, by_http

pytestmark = pytest.mark.slow

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "acme=1"}
CHAT = {
    "model": "demo",
    "messages": [{"role": "user", "content": "how tall is an oak, in metres, and how old does it get?"}],
}
FAILING = {"model": "demo", "messages": [{"role": "user", "content": "/fault unavailable"}]}
SERVER, CLIENT = 2, 3  # kinds of spans


@asynccontextmanager
async def traced(home: Path, collector: Collector, **more: Any) -> AsyncIterator[tuple[Server, ModelServer]]:
    protocol = more.pop("protocol", "grpc")
    async with (
        ModelServer() as upstream,
        run_server(
            home,
            engines={"openai": OpenAI()},
            connections={"up": {"engine": "openai", "base_url": upstream.base_url, "api_key": KEY}},
            models={"demo": {"connection": "up", "upstream": "script"}},
            tracing={"endpoint": collector.url, "protocol": protocol, **more},
        ) as server,
    ):
        yield server, upstream


def _one(spans: list[Told], kind: int) -> Told:
    (found,) = [one for one in spans if one.kind == kind]
    return found


@pytest.mark.parametrize(("protocol", "collecting"), [("grpc", by_grpc), ("http", by_http)])
async def test_a_callers_trace_goes_on_to_the_service(
    tmp_path: Path, protocol: str, collecting: Callable[[], AbstractContextManager[Collector]]
) -> None:
    with collecting() as collector:
        async with traced(tmp_path, collector, protocol=protocol, headers={"x-key": "of the collector"}) as (
            server,
            up,
        ):
            answer = await server.http.post("/v1/chat/completions", CHAT, headers=SAMPLED | {"x-request-id": "req-7"})
            assert answer.status == 200
        spans = await collector.spans(2)  # the rest is sent when the house closes
    request, attempt = _one(spans, SERVER), _one(spans, CLIENT)
    assert (request.trace, request.parent, attempt.trace, attempt.parent) == (TRACE, SPAN, TRACE, request.id)
    assert request.name == "POST /v1/chat/completions demo"
    assert request.attributes["http.status_code"] == 200
    assert attempt.name == "chat script"
    told = attempt.attributes
    assert (told["gen_ai.operation.name"], told["gen_ai.request.model"], told["promptd.connection"]) == (
        "chat",
        "script",
        "up",
    )
    assert told["llm.usage.total_tokens"] == told["gen_ai.usage.input_tokens"] + told["gen_ai.usage.output_tokens"] > 0
    assert "llm.user_message_preview" not in told
    (call,) = up.exchanges
    assert call.headers["traceparent"] == f"00-{TRACE}-{attempt.id}-01"
    assert (call.headers["tracestate"], call.headers["x-request-id"]) == ("acme=1", "req-7")
    assert collector.headers[0]["x-key"] == "of the collector"
    assert not request.failed
    assert not attempt.failed


async def test_what_is_not_sampled_is_passed_on_without_a_span(tmp_path: Path) -> None:
    with by_grpc() as collector:
        async with traced(tmp_path, collector) as (server, up):
            unsampled = {"traceparent": f"00-{TRACE}-{SPAN}-00"}
            assert (await server.http.post("/v1/chat/completions", CHAT, headers=unsampled)).status == 200
            assert (await server.http.post("/v1/chat/completions", CHAT)).status == 200  # a trace of its own
            assert (await server.http.post("/v1/chat/completions", CHAT, headers=SAMPLED)).status == 200
        spans = await collector.spans(2)
    assert {one.trace for one in spans} == {TRACE}
    first, second, _ = [call.headers["traceparent"] for call in up.exchanges]
    assert re.fullmatch(rf"00-{TRACE}-(?!{SPAN})[0-9a-f]{{16}}-00", first)
    assert re.fullmatch(rf"00-(?!{TRACE})[0-9a-f]{{32}}-[0-9a-f]{{16}}-00", second)


async def test_all_are_sampled_with_headers_as_attributes_and_the_question_if_wanted(tmp_path: Path) -> None:
    wishes = {"sampling": 100, "header_prefixes": ["x-acme-"], "static": {"deployment": "lab"}, "content": True}
    with by_grpc() as collector:
        async with traced(tmp_path, collector, **wishes) as (server, _):
            headers = {"x-acme-order-id": "17", "x-acme-": "none", "x-other": "none"}
            await server.http.post("/v1/chat/completions", CHAT, headers=headers)
        spans = await collector.spans(2)
    for span in spans:
        assert (span.attributes["order.id"], span.attributes["deployment"]) == ("17", "lab")
        assert "none" not in span.attributes.values()
    assert _one(spans, SERVER).parent == ""
    assert _one(spans, CLIENT).attributes["llm.user_message_preview"] == CHAT["messages"][0]["content"][:50]  # type: ignore[index]


async def test_a_failed_call_is_told_as_one(tmp_path: Path) -> None:
    with by_grpc() as collector:
        async with traced(tmp_path, collector, sampling=100) as (server, up):
            assert (await server.http.post("/v1/chat/completions", FAILING)).status >= 500
        spans = await collector.spans(1 + len(up.exchanges))
    assert _one(spans, SERVER).failed
    attempts = [one for one in spans if one.kind == CLIENT]
    assert len(attempts) == len(up.exchanges) > 1  # once more, as an attempt of its own
    assert all(one.failed and one.attributes["error.type"] for one in attempts)


async def test_a_queued_prompt_belongs_to_the_request_that_brought_it(tmp_path: Path) -> None:
    with by_grpc() as collector:
        async with traced(tmp_path, collector) as (server, up):
            body = {"model": "demo", "messages": CHAT["messages"]}
            answer = await server.http.post("/promptd/v1/prompts?wait=10", body, headers=SAMPLED)
            assert answer.json["status"] == "completed", answer.json
            await server.http.post("/v1/chat/completions", CHAT)
        spans = await collector.spans(2)
    request, attempt = _one(spans, SERVER), _one(spans, CLIENT)
    assert (attempt.trace, attempt.parent) == (TRACE, request.id)
    queued, other = [call.headers["traceparent"] for call in up.exchanges]
    assert TRACE in queued
    assert TRACE not in other


async def test_a_stream_is_traced_to_its_end(tmp_path: Path) -> None:
    with by_grpc() as collector:
        async with traced(tmp_path, collector) as (server, _):
            answer = await server.http.post("/v1/chat/completions", CHAT | {"stream": True}, headers=SAMPLED)
            assert answer.body.endswith(b"data: [DONE]\n\n")
        spans = await collector.spans(2)
    assert _one(spans, SERVER).attributes["http.status_code"] == 200
    assert _one(spans, CLIENT).attributes["llm.time_to_first_token"] >= 0


async def test_nothing_is_told_where_nobody_traces(tmp_path: Path) -> None:
    async with (
        ModelServer() as upstream,
        run_server(
            tmp_path,
            engines={"openai": OpenAI()},
            connections={"up": {"engine": "openai", "base_url": upstream.base_url, "api_key": KEY}},
            models={"demo": {"connection": "up", "upstream": "script"}},
        ) as server,
    ):
        assert (await server.http.post("/v1/chat/completions", CHAT, headers=SAMPLED)).status == 200
    assert "traceparent" not in upstream.exchanges[0].headers


async def test_a_collector_that_is_away_costs_only_the_spans(tmp_path: Path) -> None:
    with by_http() as collector:
        pass
    async with traced(tmp_path, collector, protocol="http", sampling=100) as (server, _):
        assert (await server.http.post("/v1/chat/completions", CHAT)).status == 200


def test_without_the_extra_the_start_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    from promptd.telemetry import OtlpSpans

    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace.export", None)
    with pytest.raises(SettingsError, match=r"promptd\[otel\]"):
        OtlpSpans("http://localhost:4317", "grpc", {}, "1")
