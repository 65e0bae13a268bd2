"""The `http_target` engine against an endpoint on loopback: what goes out, and what can't be smuggled in."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from pydantic import ValidationError

from promptd.core.engine import Call
from promptd.core.errors import (
    ConfigIncomplete,
    InputTooLarge,
    InvalidInput,
    PermissionDenied,
    ServiceUnavailable,
)
from promptd.core.model import Capability
from promptd.core.prompt_files import PromptFile
from promptd.engines.http_target import HttpTarget, HttpTargetConfig
from promptd.testing.makers import is_form, read_form
from tests.engines.http_target_support import SECRET, Endpoint, connection, query, run, way

# ------------------------------------------------------------------ what goes out


async def test_the_inputs_are_the_body(endpoint: Endpoint) -> None:
    rows = [{"name": "order", "kind": "object"}, {"name": "fast", "kind": "boolean", "required": False}]
    endpoint.say({"price": 9.5})
    found = await run(endpoint, query(path="/quote", inputs=rows), {"order": {"items": [1, 2]}})
    assert found.value == {"value": {"price": 9.5}}
    method, target, headers, body = endpoint.last
    assert (method, target) == ("POST", "/api/quote")
    assert headers["content-type"] == "application/json"
    assert json.loads(body) == {"order": {"items": [1, 2]}}


async def test_json_keeps_the_kinds_of_values_and_can_not_be_broken_out_of(endpoint: Endpoint) -> None:
    template = {"n": "{{n}}", "text": "say {{text}}!", "gone": "{{gone}}", "list": ["{{n}}", {"deep": " {{text}} "}]}
    rows = [{"name": "n", "kind": "integer"}, {"name": "gone", "required": False}]
    asked = query(body="json", json_body=template, inputs=rows)
    evil = '", "admin": true, "x": "{{n}}'
    await run(endpoint, asked, {"n": 3, "text": evil})
    assert json.loads(endpoint.last[3]) == {"n": 3, "text": f"say {evil}!", "list": [3, {"deep": evil}]}


@pytest.mark.parametrize(
    ("value", "sent"),
    [
        ("a b", "a%20b"),
        ("a/b", "a%2Fb"),
        ("a?x=1#y", "a%3Fx%3D1%23y"),
        ("ü%41", "%C3%BC%2541"),
        ("@evil.example", "%40evil.example"),
        ("{{other}}", "%7B%7Bother%7D%7D"),
        ("a\r\nHost: evil", "a%0D%0AHost%3A%20evil"),
    ],
)
async def test_what_is_inserted_stays_in_its_part_of_the_path(endpoint: Endpoint, value: str, sent: str) -> None:
    await run(endpoint, query(path="/orders/{{id}}/lines", body="none", method="GET"), {"id": value})
    assert endpoint.last[:2] == ("GET", f"/api/orders/{sent}/lines")
    assert endpoint.last[2]["host"] == endpoint.url.removeprefix("http://")


@pytest.mark.parametrize("value", ["..", ".", "../admin", "..\\admin", "x/../../admin", ""])
async def test_no_value_leads_out_of_the_path(endpoint: Endpoint, value: str) -> None:
    with pytest.raises(InvalidInput):
        await run(endpoint, query(path="/orders/{{id}}", body="none"), {"id": value})
    assert endpoint.asked == []


@pytest.mark.parametrize("path", ["/a?b", "/a#b", "/../b", "/%2e%2e/b", "\\a", "/a\nb"])
async def test_a_path_is_a_path(endpoint: Endpoint, path: str) -> None:
    with pytest.raises(InvalidInput, match="path"):
        await run(endpoint, query(path=path))
    assert endpoint.asked == []


@pytest.mark.parametrize("path", ["", "//evil.example/x", "@evil.example", "http://evil.example/"])
async def test_only_the_connection_s_address_is_called(endpoint: Endpoint, path: str) -> None:
    await run(endpoint, query(path=path))
    assert endpoint.last[1].startswith("/api")
    assert endpoint.last[2]["host"] == endpoint.url.removeprefix("http://")


async def test_the_policy_of_the_way_out_holds(endpoint: Endpoint) -> None:
    async with way("http://127.0.0.1:9") as http:
        call: Call[Any, Any] = Call(
            connection=connection(endpoint),
            connection_name="c",
            model="",
            http=http,
            query=query(),
            capability=Capability.QUERY,
        )
        with pytest.raises(PermissionDenied):
            await HttpTarget().execute(call)
    assert endpoint.asked == []


async def test_parameters_are_encoded_and_absent_ones_left_out(endpoint: Endpoint) -> None:
    asked = query(
        method="GET",
        body="none",
        parameters={"q": "{{q}}", "lang": "{{lang}}", "fixed": "a&b"},
        inputs=[{"name": "lang", "required": False}],
    )
    await run(endpoint, asked, {"q": "x&admin=1 ü"})
    assert endpoint.last[1] == "/api?q=x%26admin%3D1+%C3%BC&fixed=a%26b"


async def test_headers_are_filled_and_never_split(endpoint: Endpoint) -> None:
    asked = query(headers={"X-Tenant": "t-{{tenant}}", "Authorization": "mine"})
    await run(endpoint, asked, {"tenant": "a"}, auth="bearer", token=SECRET)
    headers = endpoint.last[2]
    assert (headers["x-tenant"], headers["authorization"]) == ("t-a", f"Bearer {SECRET}")
    for value in ("a\r\nX-Admin: 1", "a\nb", "a\x00b", "\u4e2d"):
        with pytest.raises(InvalidInput, match=r"headers\.X-Tenant"):
            await run(endpoint, asked, {"tenant": value}, auth="bearer", token=SECRET)
    assert len(endpoint.asked) == 1


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "a b", "a:b", "x\r\ny", ""])
def test_some_headers_are_nobody_s(name: str) -> None:
    with pytest.raises(ValidationError):
        query(headers={name: "x"})
    with pytest.raises(ValidationError):
        HttpTargetConfig.model_validate({"headers": {name: "x"}})
    with pytest.raises(ValidationError):
        HttpTargetConfig.model_validate({"key_header": name})


async def test_forms(endpoint: Endpoint) -> None:
    asked = query(
        body="form", form={"a": "{{a}}", "b": "x{{a}}", "c": "{{c}}"}, inputs=[{"name": "c", "required": False}]
    )
    await run(endpoint, asked, {"a": "1&b=2"})
    assert endpoint.last[2]["content-type"] == "application/x-www-form-urlencoded"
    assert endpoint.last[3] == b"a=1%26b%3D2&b=x1%26b%3D2"


async def test_forms_with_files(endpoint: Endpoint) -> None:
    rows = [{"name": "scan", "kind": "file", "media_types": ["text/*"], "multiple": True}]
    files = [PromptFile.from_bytes(name, name.encode(), "text/plain") for name in ("a.txt", 'b".txt')]
    await run(
        endpoint, query(body="multipart", form={"note": "{{note}}"}, inputs=rows), {"note": "hi"}, {"scan": files}
    )
    _, _, headers, body = endpoint.last
    assert is_form(headers)
    fields = read_form(headers, body)
    assert fields["note"] == "hi"
    assert [blob.data for blob in fields["scan"]] == [b"a.txt", b'b".txt']


async def test_texts_and_files_as_bodies(endpoint: Endpoint) -> None:
    await run(endpoint, query(body="text", text_body="<n>{{n}}</n>", content_type="application/xml"), {"n": "1"})
    assert endpoint.last[2]["content-type"] == "application/xml"
    assert endpoint.last[3] == b"<n>1</n>"
    asked = query(method="PUT", body="file", inputs=[{"name": "doc", "kind": "file"}])
    file = PromptFile.from_bytes("a.bin", b"\x00\xff" * 10, "application/x-thing")
    await run(endpoint, asked, {}, {"doc": [file]})
    assert endpoint.last[0] == "PUT"
    assert endpoint.last[2]["content-type"] == "application/x-thing"
    assert endpoint.last[3] == b"\x00\xff" * 10


async def test_a_request_has_a_largest_size(endpoint: Endpoint) -> None:
    asked = query(body="multipart", inputs=[{"name": "doc", "kind": "file", "multiple": True}])
    file = PromptFile.from_bytes("a", b"x" * 600)
    with pytest.raises(InputTooLarge):
        await run(endpoint, asked, {}, {"doc": [file, file]}, max_request_bytes=1024)
    large = PromptFile.from_bytes("a", b"x" * 1025)
    with pytest.raises(InvalidInput, match="doc"):
        await run(endpoint, asked, {}, {"doc": [large]}, max_request_bytes=1024)
    with pytest.raises(InputTooLarge):
        await run(endpoint, query(body="text", text_body="{{t}}"), {"t": "x" * 1025}, max_request_bytes=1024)
    assert endpoint.asked == []


@pytest.mark.parametrize(
    ("settings", "header", "value"),
    [
        ({"auth": "bearer", "token": SECRET}, "authorization", f"Bearer {SECRET}"),
        (
            {"auth": "basic", "user": "ada", "password": SECRET},
            "authorization",
            "Basic " + base64.b64encode(f"ada:{SECRET}".encode()).decode(),
        ),
        ({"auth": "api_key", "key_header": "X-Key", "key": SECRET}, "x-key", SECRET),
        ({"headers": {"X-More": SECRET}}, "x-more", SECRET),
    ],
)
async def test_authentication(endpoint: Endpoint, settings: dict[str, Any], header: str, value: str) -> None:
    await run(endpoint, query(), **settings)
    assert endpoint.last[2][header] == value
    endpoint.say({"error": f"bad {value} and {SECRET}"}, 500)
    with pytest.raises(ServiceUnavailable) as raised:
        await run(endpoint, query(), **settings)
    assert SECRET not in raised.value.message
    assert value not in raised.value.message


@pytest.mark.parametrize("settings", [{"auth": "bearer"}, {"auth": "basic"}, {"auth": "api_key"}, {"base_url": ""}])
async def test_what_is_missing_is_named(endpoint: Endpoint, settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigIncomplete) as raised:
        await run(endpoint, query(), **settings)
    assert raised.value.field in ("token", "user", "key", "base_url")
    assert endpoint.asked == []


async def test_a_hundred_calls_at_once_mix_nothing(endpoint: Endpoint) -> None:
    engine, asked = HttpTarget(), query(path="/{{n}}", headers={"X-N": "{{n}}"}, response="none")
    async with way(endpoint.url) as http:
        await asyncio.gather(
            *(
                engine.execute(
                    Call(
                        connection=connection(endpoint, auth="bearer", token=f"token-{n}"),
                        connection_name="c",
                        model="",
                        http=http,
                        query=asked,
                        value={"n": str(n)},
                        capability=Capability.QUERY,
                    )
                )
                for n in range(100)
            )
        )
    assert sorted(
        (int(target.rpartition("/")[2]), headers["x-n"], headers["authorization"], body)
        for _, target, headers, body in endpoint.asked
    ) == [(n, str(n), f"Bearer token-{n}", b'{"n":"%d"}' % n) for n in range(100)]
