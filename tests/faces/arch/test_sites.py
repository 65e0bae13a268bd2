"""Pages of other sites find a listener closed that asks nobody for a key; programs find it as it was."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from pydantic import ValidationError

from promptd.settings import Settings
from promptd.testing.model_server import ModelServer
from tests.faces.arch.conftest import KEYS, Gate, file_for, run_gate
from tests.faces.client import Http

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]}
PATH = "/v1/chat/completions"
PAGE = "https://app.example.com"
PROMPT = "  - {type: prompt, name: ask, port: 0, address: 127.0.0.1}\nmodel_providers:"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def gate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Gate]:
    async with ModelServer() as upstream:
        environ = {
            **KEYS,
            "PROMPTD_COMPAT__ARCH__PROXY_PORT": "0",
            "PROMPTD_SERVER__ALLOWED_ORIGINS": f'["{PAGE}"]',
            "PROMPTD_SERVER__ALLOWED_HOSTS": '["gateway.example.com", "*.lan.example.com"]',
        }
        text = file_for(upstream).replace("model_providers:", PROMPT, 1)
        async with run_gate(tmp_path_factory.mktemp("sites"), text, environ=environ) as running:
            yield running


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:1"},
    {"Origin": "http://[broken"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "Cross-Site", "Origin": "http://localhost"},
    # a name that leads here (DNS rebinding)
    {"Host": "evil.example"},
    {"Host": "evil.example:{port}", "Origin": "http://evil.example:{port}", "Sec-Fetch-Site": "same-origin"},
    {"Host": "127.0.0.1.evil.example:{port}"},
    {"Host": "notlan.example.com:{port}"},
]


@pytest.mark.parametrize("kind", ["model", "prompt", "internal"])
@pytest.mark.parametrize("headers", FOREIGN)
async def test_a_page_of_another_site_is_refused(gate: Gate, kind: str, headers: dict[str, str]) -> None:
    port = gate.port(kind)
    given = {"Host": f"127.0.0.1:{port}"} | {name: value.format(port=port) for name, value in headers.items()}
    # as a page may ask without asking first
    answer = await Http(port, None).post(PATH, CHAT, headers={"Content-Type": "text/plain", **given})
    assert answer.status == 403, answer.body
    assert b"allowed_origins" in answer.body
    assert "access-control-allow-origin" not in answer.headers
    told = await Http(port, None).post(PATH, CHAT, headers={"Accept": "application/json", **given})
    assert told.json["error"]["code"] == "forbidden"


@pytest.mark.parametrize("kind", ["model", "prompt", "internal"])
@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Host": "localhost:{port}"},
        {"Host": "LOCALHOST.:{port}"},
        {"Host": "me.localhost:{port}"},
        {"Host": "[::1]:{port}"},
        {"Host": "192.168.1.2:{port}", "Origin": "http://192.168.1.2:{port}", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ],
)
async def test_everybody_else_goes_on(gate: Gate, kind: str, headers: dict[str, str]) -> None:
    port = gate.port(kind)
    given = {"Host": f"127.0.0.1:{port}"} | {name: value.format(port=port) for name, value in headers.items()}
    answer = await Http(port, None).post(PATH, CHAT, headers=given)
    # the proxy is asked under names of its own alone
    assert answer.status == (403 if kind == "internal" and given["Host"][:3] in ("192", "LOC", "me.") else 200)
    assert b"allowed_origins" not in answer.body


@pytest.mark.parametrize("host", ["gateway.example.com:1", "GATEWAY.example.com", "a.b.lan.example.com"])
async def test_names_of_the_settings(gate: Gate, host: str) -> None:
    for more in ({}, {"Origin": f"http://{host}"}):
        assert (await gate.http.post(PATH, CHAT, headers={"Host": host, **more})).status == 200


async def test_a_page_of_the_settings_may_ask_and_read(gate: Gate) -> None:
    browser = {"Origin": PAGE, "Sec-Fetch-Site": "cross-site"}
    asked = {**browser, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    before = await gate.http.call("OPTIONS", PATH, headers=asked)
    assert before.status == 204
    assert before.headers["access-control-allow-origin"] == PAGE
    assert "POST" in before.headers["access-control-allow-methods"]
    for body in (CHAT, {**CHAT, "stream": True}, {"model": "unknown", "messages": []}):
        answer = await gate.http.post(PATH, body, headers=browser)
        assert answer.headers["access-control-allow-origin"] == PAGE
        assert answer.headers["vary"] == "origin"


async def test_what_happens_nothing_by_is_for_all(gate: Gate) -> None:
    for path in ("/v1/models", "/healthz"):
        answer = await gate.http.get(path, headers={"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"})
        assert answer.status == 200
    assert (await gate.http.call("OPTIONS", "/v1/models", headers={"Origin": "https://evil.example"})).status == 204


@pytest.mark.parametrize("kind", ["model", "internal"])
async def test_two_hosts_are_refused(gate: Gate, kind: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", gate.port(kind))
    writer.write(b"GET /v1/responses HTTP/1.1\r\nHost: api.openai.com\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    "server",
    [
        {"allowed_origins": ["app.example.com"]},
        {"allowed_origins": ["https://app.example.com/"]},
        {"allowed_origins": ["*"]},
        {"allowed_origins": ["https://[broken"]},
        {"allowed_hosts": ["*"]},
        {"allowed_hosts": ["a.*.example.com"]},
        {"allowed_hosts": ["example.com:80"]},
    ],
)
async def test_names_that_are_none(tmp_path: Path, server: dict[str, list[str]]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"home": tmp_path, "server": server})
