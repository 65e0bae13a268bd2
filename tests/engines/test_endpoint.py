"""Calls of developers' APIs on real sockets (contracts/arch.md §3.4)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptd.core.engine import Call, ConnectionTestParams
from promptd.core.errors import InvalidInput, InvalidOutput, NetworkError, Timeout, UnsupportedInput
from promptd.core.model import Capability
from promptd.egress import Egress
from promptd.engines.endpoint import Endpoint, EndpointConfig, EndpointTarget
from promptd.engines.endpoint.request import build
from promptd.testing.sockets import serve
from tests.engines.http_target_support import Endpoint as Api


@pytest.fixture
async def api() -> AsyncIterator[Api]:
    api = Api()
    async with serve(api.handle) as api.url:
        yield api


@pytest.fixture
async def egress(api: Api) -> AsyncIterator[Egress]:
    egress = Egress(["http://127.0.0.1:*"])
    yield egress
    await egress.close()


def target(path: str, method: str = "GET", **more: Any) -> EndpointTarget:
    return EndpointTarget.model_validate({"path": path, "method": method, **more})


def call(api: Api, egress: Egress, value: dict[str, Any], one: EndpointTarget, **settings: Any) -> Call[Any, Any]:
    given = {"addresses": [api.url], "max_retries": 0, **settings}
    config = EndpointConfig.model_validate({**given, "targets": {"it": one.model_dump()}})
    return Call(
        connection=config,
        connection_name="endpoint:api",
        model="endpoint:api",
        http=egress,
        value={"target": "it", **value},
        run_id="prm_1",
        capability=Capability.QUERY,
    )


async def ask(api: Api, egress: Egress, one: EndpointTarget, arguments: dict[str, Any], **settings: Any) -> Any:
    return (await Endpoint().execute(call(api, egress, {"arguments": arguments}, one, **settings))).value


# ------------------------------------------------------------------ path, query and body


@pytest.mark.arch("3.4.path", "3.4.get")
def test_the_contract_s_example() -> None:
    one = target("/c/{name}", defaults={"country": "US"})
    given = {"name": "test1", "hello": "hello world"}
    assert build(one, given).path == "/c/test1?hello=hello%20world&country=US"
    assert build(one, {**given, "country": "UK"}).path == "/c/test1?hello=hello%20world&country=UK"


@pytest.mark.arch("3.4.path")
def test_a_default_fills_the_path_and_a_missing_value_is_named() -> None:
    assert build(target("/w/{city}", defaults={"city": "São Paulo"}), {}).path == "/w/S%C3%A3o%20Paulo"
    with pytest.raises(InvalidInput, match=r"^Missing value for parameter `city`$"):
        build(target("/w/{city}"), {"days": 2})
    with pytest.raises(InvalidInput, match="Missing value for parameter `city`"):
        build(target("/w/{city}"), {"city": None})


@pytest.mark.arch("3.4.get", "3.4.values")
@pytest.mark.parametrize(
    ("path", "arguments", "expected"),
    [
        ("/a", {}, "/a"),
        ("/a?x=1", {}, "/a?x=1"),
        ("/a?x=1", {"y": 2}, "/a?x=1&y=2"),
        ("/a?x={y}", {"y": "b c&d"}, "/a?x=b%20c%26d"),
        ("/a", {"ids": ["a", "b c", 3]}, "/a?ids=a&ids=b%20c&ids=3"),
        ("/a", {"none": [], "on": True, "half": 0.5}, "/a?on=true&half=0.5"),
        ("/a", {"it": {"b": 1}}, "/a?it=%7B%22b%22%3A1%7D"),
        ("a b", {}, "/a%20b"),
        ("/a#frag", {"q": "?#&="}, "/a?q=%3F%23%26%3D"),
    ],
)
def test_queries_of_get(path: str, arguments: dict[str, Any], expected: str) -> None:
    assert build(target(path), arguments).path == expected


@pytest.mark.parametrize("value", ["..", ".", "a/../b", "..\\x"])
def test_no_argument_leads_the_path_elsewhere(value: str) -> None:
    if value in ("..", "."):
        with pytest.raises(InvalidInput):
            build(target("/a/{name}/b"), {"name": value})
    else:
        assert "/../" not in build(target("/q"), {"name": value}).path


@given(st.text(max_size=30), st.text(min_size=1, max_size=30))
def test_values_stay_in_their_place(text: str, name: str) -> None:
    """Whatever a value is, the path keeps its segments and the query its parameters."""
    try:
        path = build(target("/a/{place}/z?fixed=1"), {"place": text, name: text}).path
    except InvalidInput:
        return
    before, _, query = path.partition("?")
    assert before.count("/") == 3
    assert before.endswith("/z")
    assert len(query.split("&")) == (1 if name == "place" else 2)
    assert path.isascii()


@pytest.mark.arch("3.4.post", "3.4.values", "9.7")
async def test_post_keeps_json_types_and_leaves_out_what_the_path_used(api: Api, egress: Egress) -> None:
    one = target("/r/{id}?v=2", "POST", defaults={"unit": "C", "id": "x"})
    given = {"id": 7, "days": 2, "on": False, "tags": ["a", 1], "deep": {"b": [None]}}
    told = await ask(api, egress, one, given)
    method, path, headers, body = api.last
    assert (method, path) == ("POST", "/r/7?v=2")
    assert json.loads(body) == {"days": 2, "on": False, "tags": ["a", 1], "deep": {"b": [None]}, "unit": "C"}
    assert headers["content-type"] == "application/json"
    assert told["status"] == 200


async def test_a_whole_body_and_members_beside_the_arguments(api: Api, egress: Egress) -> None:
    one = target("/d", "POST", defaults={"left": "out"})
    await Endpoint().execute(call(api, egress, {"body": {"messages": []}}, one))
    assert json.loads(api.last[3]) == {"messages": []}
    await Endpoint().execute(call(api, egress, {"arguments": {"a": 1}, "more": {"messages": [1]}}, one))
    assert json.loads(api.last[3]) == {"a": 1, "left": "out", "messages": [1]}


# ------------------------------------------------------------------ the call


@pytest.mark.arch("3.4.headers")
async def test_headers_of_a_call_and_those_over_them(api: Api, egress: Egress) -> None:
    value = {"arguments": {}, "headers": {"x-request-id": "req-1", "traceparent": "00-a-b-01"}}
    await Endpoint().execute(call(api, egress, value, target("/a"), http_host="weather"))
    method, _, headers, body = api.last
    assert (method, body) == ("GET", b"")
    assert "content-length" not in headers
    assert headers["host"] == "weather"
    assert (headers["x-request-id"], headers["traceparent"]) == ("req-1", "00-a-b-01")
    assert (headers["x-envoy-max-retries"], headers["x-envoy-upstream-rq-timeout-ms"]) == ("0", "30000")
    over = {"Authorization": "Bearer k", "X-Request-Id": "mine", "Content-Type": "text/x", "Host": "other:81"}
    await Endpoint().execute(call(api, egress, value, target("/a", headers=over), http_host="weather"))
    headers = api.last[2]
    assert (headers["authorization"], headers["x-request-id"]) == ("Bearer k", "mine")
    assert (headers["content-type"], headers["host"]) == ("text/x", "other:81")


@pytest.mark.parametrize("name", ["content-length", "Transfer-Encoding", "a b", ""])
def test_headers_that_nobody_sets(name: str) -> None:
    with pytest.raises(ValueError, match="headers"):
        target("/a", headers={name: "1"})


@pytest.mark.parametrize("status", [200, 201, 204, 301, 404, 500])
async def test_every_status_is_a_result(api: Api, egress: Egress, status: int) -> None:
    api.say(b"" if status == 204 else b'{"a": "\xff"}', status, content_type="application/json; charset=utf-8")
    told = await ask(api, egress, target("/a"), {})
    assert told["status"] == status
    assert told["body"] == ("" if status == 204 else '{"a": "\ufffd"}')
    assert told["media_type"] == "application/json"


async def test_only_get_is_sent_again(api: Api, egress: Egress) -> None:
    api.say(b"", 503)
    api.say(b"", 502)
    assert (await ask(api, egress, target("/a"), {}, max_retries=3))["status"] == 200
    assert len(api.asked) == 3
    api.say(b"no", 503)
    told = await ask(api, egress, target("/a", "POST"), {}, max_retries=3)
    assert (told["status"], told["body"], len(api.asked)) == (503, "no", 4)
    api.say(b"no", 500)  # it did something
    assert (await ask(api, egress, target("/a"), {}, max_retries=3))["status"] == 500


async def test_several_addresses_are_asked_in_turn(api: Api, egress: Egress) -> None:
    other = Api()
    async with serve(other.handle) as url:
        engine, addresses = Endpoint(), [api.url, url]
        for _ in range(4):
            await engine.execute(call(api, egress, {"arguments": {}}, target("/a", "POST"), addresses=addresses))
    assert (len(api.asked), len(other.asked)) == (2, 2)
    # the second one is down now, and a GET goes to the next
    for _ in range(2):
        asked = call(api, egress, {"arguments": {}}, target("/a"), addresses=addresses, max_retries=3)
        assert (await engine.execute(asked)).value["status"] == 200
    assert len(api.asked) == 4


async def test_failures_are_typed_and_not_to_be_tried_again(api: Api, egress: Egress) -> None:
    async with serve(api.handle) as url:
        dead = [url]
    with pytest.raises(NetworkError) as failed:
        await ask(api, egress, target("/a"), {}, addresses=dead, max_retries=1)
    assert not failed.value.retryable
    assert NetworkError.retryable
    api.say(b"x" * 2000)
    with pytest.raises(InvalidOutput):
        await ask(api, egress, target("/a"), {}, max_response_bytes=1024)


async def test_a_silent_api_is_given_up(egress: Egress, api: Api) -> None:
    async def silent(reader: Any, writer: Any) -> None:
        await reader.read()

    async with serve(silent) as url:
        with pytest.raises(Timeout) as failed:
            await ask(api, egress, target("/a"), {}, addresses=[url], timeout=0.1)
    assert not failed.value.retryable


async def test_what_is_no_call_of_a_target_is_refused(api: Api, egress: Egress) -> None:
    asked = call(api, egress, {"target": "other"}, target("/a"))
    with pytest.raises(UnsupportedInput):
        await Endpoint().execute(asked)
    with pytest.raises(InvalidInput):
        await Endpoint().execute(call(api, egress, {"arguments": [1]}, target("/a")))
    assert not api.asked


async def test_the_connection_test_asks_each_address(api: Api, egress: Egress) -> None:
    config = EndpointConfig.model_validate({"addresses": [api.url]})
    tested = await Endpoint().test_connection(
        ConnectionTestParams(connection=config, connection_name="endpoint:api", http=egress)
    )
    assert tested.ok
    assert len(api.asked) == 1
