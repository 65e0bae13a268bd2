"""Spans of an Arch file's listeners: its own `tracing` section, its names, a caller's context on every hop."""

from __future__ import annotations

import pytest

from promptd.testing.model_server import ModelServer
from tests.engines.http_target_support import Endpoint as Api
from tests.faces.arch.conftest import Open
from tests.telemetry.collector import by_grpc

pytestmark = pytest.mark.slow

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = {"traceparent": f"00-{TRACE}-{SPAN}-01", "x-request-id": "req-7", "x-acme-order-id": "17"}
FILE = """
version: v0.3.0
listeners:
  ingress_traffic: {{address: 127.0.0.1, port: 0}}
  egress_traffic: {{address: 127.0.0.1, port: 0}}
llm_providers:
  - {{model: openai/gpt-4o, access_key: $KEY, base_url: "{origin}", default: true}}
endpoints:
  weather: {{endpoint: "{api}"}}
prompt_targets:
  - name: get_weather
    description: Tell the weather forecast of a city
    endpoint: {{name: weather, path: "/weather/{{city}}"}}
    parameters:
      - {{name: city, description: the city, type: str, required: true}}
tracing:
  random_sampling: {sampling}
  opentracing_grpc_endpoint: {collector}
  span_attributes:
    header_prefixes: [x-acme-]
    static: {{deployment: lab}}
"""


@pytest.mark.arch("7.spans", "7.trace")
async def test_a_conversation_with_a_target_is_one_trace(serve_arch: Open, upstream: ModelServer, api: Api) -> None:
    with by_grpc() as collector:
        text = FILE.format(
            origin=upstream.origin, api=api.url.removeprefix("http://"), collector=collector.url, sampling=0
        )
        async with serve_arch(text, environ={"KEY": upstream.key}) as gate:
            body = {"messages": [{"role": "user", "content": "what is the weather forecast for the city of Oslo?"}]}
            prompts = type(gate.http)(gate.port("prompt"), None)
            assert (await prompts.post("/v1/chat/completions", body)).status == 200, "told by nobody: not sampled"
            answer = await prompts.post("/v1/chat/completions", body, headers=SAMPLED)
            assert answer.status == 200, answer.body
        spans = await collector.spans(3)
    assert {(one.trace, one.service) for one in spans} == {(TRACE, "arch")}
    assert all((one.attributes["order.id"], one.attributes["deployment"]) == ("17", "lab") for one in spans)
    (request,) = [one for one in spans if one.kind == 2]
    assert (request.parent, request.attributes["http.status_code"]) == (SPAN, 200)
    assert request.attributes["http.target"] == "/v1/chat/completions"
    assert request.name.startswith("POST /v1/chat/completions ")
    attempts = {one.id: one for one in spans if one.kind == 3}
    assert {one.parent for one in attempts.values()} == {request.id}
    hops = [api.last[2], upstream.exchanges[-1].headers]
    for hop in hops:
        _, trace, span, flags = hop["traceparent"].split("-")
        assert (trace, flags, hop["x-request-id"]) == (TRACE, "01", "req-7")
        assert span in attempts
    (model,) = [one for one in attempts.values() if "llm.usage.total_tokens" in one.attributes and "gpt" in one.name]
    assert model.attributes["llm.model"] == "gpt-4o"
    assert model.attributes["llm.usage.total_tokens"] > 0
    assert model.attributes["llm.duration_ms"] >= 0
    assert request.attributes["llm.is_streaming"] is False


async def test_the_share_of_the_file_is_sampled(serve_arch: Open, upstream: ModelServer, api: Api) -> None:
    with by_grpc() as collector:
        text = FILE.format(
            origin=upstream.origin, api=api.url.removeprefix("http://"), collector=collector.url, sampling=100
        )
        async with serve_arch(text, environ={"KEY": upstream.key}) as gate:
            assert (await gate.chat("hello", model="openai/gpt-4o", stream=True)).status == 200
        spans = await collector.spans(2)
    assert len({one.trace for one in spans}) == 1
    (attempt,) = [one for one in spans if one.kind == 3]
    assert next(one for one in spans if one.kind == 2).attributes["llm.is_streaming"] is True
    assert attempt.attributes["llm.time_to_first_token"] >= 0


@pytest.mark.arch("7.trace")
async def test_a_request_without_an_id_gets_one_and_every_hop_is_told(
    serve_arch: Open, upstream: ModelServer, api: Api
) -> None:
    file = FILE.partition("tracing:")[0]
    text = file.format(origin=upstream.origin, api=api.url.removeprefix("http://"))
    async with serve_arch(text, environ={"KEY": upstream.key}) as gate:
        answer = await gate.chat("hello", model="openai/gpt-4o")
        assert answer.status == 200, answer.body
    hop = upstream.exchanges[-1].headers
    assert hop["x-request-id"] == answer.headers["x-request-id"] != ""
    assert hop["traceparent"].endswith("-00")
