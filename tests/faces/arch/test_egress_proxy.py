"""Requests in absolute form, for what the file names; tunnels are refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from promptd.core.guarding import Action, Stage
from promptd.service.guarding import Check, Checks
from promptd.testing.model_server import ModelServer
from promptd.testing.word_guard import WordGuard
from tests.faces.arch.conftest import KEYS, Gate, file_for, run_gate, serve_app
from tests.faces.client import Http, Response

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

TARGETS = """
endpoints:
  weather_api: {{endpoint: "{api}", http_host: weather.test}}
prompt_targets:
  - name: weather
    description: the weather of a city
    endpoint: {{name: weather_api, path: "/of/{{city}}", http_method: GET}}
    parameters:
      - {{name: city, type: str, description: the city, required: true}}
      - {{name: unit, type: str, description: the unit, default: celsius}}
  - name: report
    description: tell the weather
    endpoint: {{name: weather_api, path: /reports, http_method: POST}}
    parameters: [{{name: text, type: str, description: what it is like}}]
"""


async def _told(request: Request) -> JSONResponse:
    body = await request.json() if request.method == "POST" else None
    seen = {
        "path": request.url.path,
        "query": dict(request.query_params),
        "body": body,
        "host": request.headers["host"],
    }
    return JSONResponse(seen, 418 if request.query_params.get("unit") == "kettle" else 200)


API = Starlette(routes=[Route("/{rest:path}", _told, methods=["GET", "POST"])])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gate]:
    async with ModelServer() as upstream, serve_app(API) as origin:
        text = file_for(upstream, TARGETS.format(api=origin.removeprefix("http://")))
        environ = {**KEYS, "PROMPTD_COMPAT__ARCH__PROXY_PORT": "0"}
        async with run_gate(tmp_path_factory.mktemp("proxy"), text, environ=environ) as running:
            yield running


async def ask(gate: Gate, method: str, url: str, body: Any = None, **headers: str) -> Response:
    """Through the proxy."""
    host = url.split("/")[2]
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return await Http(gate.port("internal"), None).call(method, url, body, headers={"Host": host, **given})


CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}


@pytest.mark.parametrize("host", ["api.openai.com", "api.openai.com:443", "api.groq.com"])
async def test_a_provider_by_its_host(gate: Gate, host: str) -> None:
    answer = await ask(gate, "POST", f"http://{host}/v1/chat/completions", CHAT)
    assert answer.status == 200, answer.body
    assert b"You said: hi" in answer.body
    assert (await ask(gate, "GET", f"http://{host}/v1/models")).status == 200


async def test_the_listener_itself(gate: Gate) -> None:
    own = Http(gate.port("internal"), None)
    port = {"Host": f"127.0.0.1:{gate.port('internal')}"}
    assert (await own.post("/v1/chat/completions", CHAT, headers=port)).status == 200
    assert (await own.get("/healthz")).status == 200


@pytest.mark.parametrize("host", ["weather.test", "weather_api"])
async def test_a_target_of_an_endpoint(gate: Gate, host: str) -> None:
    answer = await ask(gate, "GET", f"http://{host}/of/New%20York?day=1&day=2")
    assert answer.status == 200, answer.body
    assert answer.json["path"] == "/of/New York"
    assert answer.json["query"] == {"day": "2", "unit": "celsius"}
    assert answer.json["host"] == "weather.test"
    told = await ask(gate, "POST", f"http://{host}/reports", {"text": "rain", "odd": [1, {"a": None}]})
    assert told.json["body"] == {"text": "rain", "odd": [1, {"a": None}]}
    assert (await ask(gate, "GET", f"http://{host}/of/x?unit=kettle")).status == 418


async def test_what_an_endpoint_answers_is_judged(gate: Gate) -> None:
    guarding = gate.house.walk.guarding
    before, guarding.checks = (
        guarding.checks,
        Checks(
            [
                Check(
                    name="names",
                    guard=WordGuard({"Oslo": "city"}),
                    stages=frozenset({Stage.TOOL}),
                    action=Action.REDACT,
                ),
                Check(name="words", guard=WordGuard({"rain": "wet"}), stages=frozenset({Stage.TOOL}), told="not that"),
            ]
        ),
    )
    try:
        answer = await ask(gate, "GET", "http://weather.test/of/Oslo")
        assert answer.json["path"] == "/of/[CITY]"
        answer = await ask(gate, "POST", "http://weather.test/reports", {"text": "rain"})
        assert (answer.status, answer.body) == (400, b"not that")
    finally:
        guarding.checks = before


async def test_an_endpoint_by_header(gate: Gate) -> None:
    answer = await ask(gate, "GET", "http://anything.test/of/Oslo", x_arch_upstream="weather_api")
    assert answer.json["path"] == "/of/Oslo"
    other = await ask(gate, "POST", "http://api.openai.com/v1/chat/completions", CHAT, x_arch_upstream="unknown")
    assert other.status == 403


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("GET", "http://169.254.169.254/latest/meta-data"),
        ("POST", "http://evil.test/v1/chat/completions"),
        ("GET", "http://api.openai.com/v1/files"),
        ("GET", "http://weather.test/other"),
        ("POST", "http://weather.test/of/Oslo"),
        ("GET", "http://weather.test/of/Oslo/more"),
        ("DELETE", "http://weather.test/of/Oslo"),
        ("GET", "http://weather.test/of/" + "x" * 5000),
    ],
)
async def test_everything_else_is_refused(gate: Gate, method: str, url: str) -> None:
    answer = await ask(gate, method, url, CHAT if method == "POST" else None)
    assert answer.status == 403
    assert answer.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("body", [b"{", b"[1]", b"\xff"])
async def test_a_body_that_is_no_object(gate: Gate, body: bytes) -> None:
    own = Http(gate.port("internal"), None)
    answer = await own.call("POST", "http://weather.test/reports", raw=body, headers={"Host": "weather.test"})
    assert answer.status == 400


@pytest.mark.parametrize("kind", ["internal", "model"])
@pytest.mark.parametrize("target", [b"api.openai.com:443", b"localhost:1", b"[::1]:443"])
async def test_a_tunnel_is_refused(gate: Gate, kind: str, target: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.port(kind))
    writer.write(b"CONNECT " + target + b" HTTP/1.1\r\nHost: " + target + b"\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 501 ")
    assert b"CONNECT is refused" in answer


async def test_its_own_log(gate: Gate) -> None:
    await gate.house.listeners.close()
    log = (gate.house.settings.home / "logs" / "access_internal.log").read_text()
    assert '"GET /of/Oslo HTTP/1.1" 200' in log


async def said_to(gate: Gate, data: bytes) -> bytes:
    """What the proxy answers to raw bytes until it closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.port("internal"))
    writer.write(data)
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    return answer


HEAD = b"Content-Type: application/json\r\nConnection: close\r\n"


@pytest.mark.parametrize(
    ("target", "host", "fits"),
    [
        (b"http://weather.test/of/Oslo", b"weather.test", True),
        (b"http://weather.test:80/of/Oslo", b"weather.test", True),
        (b"http://Weather.TEST/of/Oslo", b"weather.test:80", True),
        (b"http://weather_api/of/Oslo", b"weather_api", True),
        (b"http://weather.test/of/Oslo", b"api.openai.com", False),
        (b"http://api.openai.com/of/Oslo", b"weather.test", False),
        (b"http://weather.test:81/of/Oslo", b"weather.test", False),
        (b"http://evil.test@weather.test/of/Oslo", b"evil.test", False),
        (b"http://weather.test?@evil.test/of/Oslo", b"evil.test", False),
        (b"http://weather.test/of/Oslo", b"weather.test\r\nHost: evil.test", False),
    ],
)
async def test_target_and_host_say_the_same(gate: Gate, target: bytes, host: bytes, fits: bool) -> None:
    answer = await said_to(gate, b"GET " + target + b" HTTP/1.1\r\nHost: " + host + b"\r\n" + HEAD + b"\r\n")
    assert answer.startswith(b"HTTP/1.1 200 " if fits else b"HTTP/1.1 400 "), answer


SECOND = b"GET http://weather.test/of/Smuggled HTTP/1.1\r\nHost: weather.test\r\n\r\n"


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n",
        b"Content-Length: 2\r\nContent-Length: 60\r\n",
        b"Content-Length: +2\r\n",
        b"Content-Length: 2, 2\r\n",
        b"Content-Length : 2\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked, identity\r\n",
        b"Transfer-Encoding : chunked\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n",
        b"Transfer-Encoding: chunked\nContent-Length: 2\r\n",
        b"X: y\rTransfer-Encoding: chunked\r\n",
    ],
)
async def test_no_request_hides_in_another(gate: Gate, framing: bytes) -> None:
    head = b"POST http://weather.test/reports HTTP/1.1\r\nHost: weather.test\r\nContent-Type: application/json\r\n"
    for body in (b"{}" + SECOND, b"2\r\n{}\r\n0\r\n\r\n" + SECOND):
        answer = await said_to(gate, head + framing + b"\r\n" + body)
        assert answer.startswith(b"HTTP/1.1 400 "), answer
        assert b"Smuggled" not in answer
        assert answer.count(b"content-length") == 1
