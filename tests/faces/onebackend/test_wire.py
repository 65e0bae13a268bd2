"""How the face talks HTTP (contract section 1): door, errors, bodies, CORS, paths."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import msgspec
import pytest

from promptd.faces.onebackend import ENDPOINTS
from tests.faces.conftest import Serve, Server
from tests.faces.onebackend.clients import PROMPTS, Wire, done, error, register

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIST = "/prompt-svc/prompts"
FORGED = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyIxdWkiOiJhZG1pbiJ9.AAAA"


async def test_the_door_refuses_in_the_order_token_permission_body(shared: Server) -> None:
    user = await register(shared, "door-user")
    nobody, liar = shared.http.of(None), shared.http.of(FORGED)
    for http in (nobody, shared.http.of("")):
        error(await http.post(LIST, raw=b"{"), 422, "422 Unprocessable Entity")
    refusal = await liar.post(LIST, raw=b"{")
    assert error(refusal, 401).startswith("Unauthorized: failed to parse JWT: ")
    assert refusal.headers["content-type"].startswith("text/plain")
    refusal = await user.post(LIST, raw=b"{")
    error(refusal, 401, "Unauthorized")
    assert refusal.headers["content-type"] == "application/json"
    error(await shared.admin.post(LIST, raw=b"{"), 400, "Invalid JSON")


async def test_a_token_comes_with_bearer_or_bare(shared: Server) -> None:
    user = await register(shared, "bare-door", PROMPTS)
    for given in (f"Bearer {user.key}", str(user.key), f"Bearer   {user.key}  "):
        done(await user.of(None).post(LIST, headers={"Authorization": given}))
    error(await user.of(None).post(LIST, headers={"Authorization": "Bearer"}), 422, "422 Unprocessable Entity")
    error(await user.of(None).post(LIST, headers={"Authorization": f"Basic {user.key}"}), 401)
    error(await user.of(None).get(f"{LIST}?token={user.key}"), 404)
    error(await user.of(None).post(f"{LIST}?token={user.key}"), 422)


@pytest.mark.parametrize(
    "body", [b"", b"null", b"{}", b" \n ", b' {"query": null}', b'{"query": {}}', b'{"QUERY": ""}']
)
async def test_empty_null_and_an_empty_object_are_alike(shared: Server, body: bytes) -> None:
    answer = done(await shared.admin.post(LIST, raw=body))
    assert set(answer) <= {"prompts", "count", "after"}
    assert answer["count"] == 0


@pytest.mark.parametrize(
    "body",
    [b"{", b"\xff", b"nul", b'{"query":}', b"[" * 100_000, b'{"a":' * 100_000, b'"\\ud800"', b"{}{}", b"NaN"],
)
async def test_what_is_no_json_is_400(shared: Server, body: bytes) -> None:
    error(await shared.admin.post(LIST, raw=body), 400, "Invalid JSON")


@pytest.mark.parametrize("body", [b"[]", b"5", b'"x"', b"true", b'{"query": 5}', b'{"query": {"limit": "many"}}'])
async def test_a_member_of_the_wrong_type_is_400_and_named(shared: Server, body: bytes) -> None:
    assert error(await shared.admin.post(LIST, raw=body), 400).startswith("Invalid JSON: ")


async def test_the_content_type_of_a_request_does_not_matter(shared: Server) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-8", "rubbish"):
        done(await shared.admin.post(LIST, {}, headers={"Content-Type": kind}))


async def test_a_body_may_be_compressed(shared: Server) -> None:
    raw = msgspec.json.encode({"query": {"limit": "3"}})
    for name in ("gzip", "GZIP", "x-gzip"):
        done(await shared.admin.post(LIST, raw=gzip.compress(raw), headers={"Content-Encoding": name}))
    done(await shared.admin.post(LIST, raw=raw, headers={"Content-Encoding": "identity"}))
    done(await shared.admin.post(LIST, headers={"Content-Encoding": "gzip"}))
    refused = {
        "not gzip": raw,
        "cut": gzip.compress(raw)[:-4],
        "more behind it": gzip.compress(raw) + b"{}",
        "zlib": zlib.compress(raw),
    }
    for what, body in refused.items():
        response = await shared.admin.post(LIST, raw=body, headers={"Content-Encoding": "gzip"})
        assert response.status == 400, what
    unknown = await shared.admin.post(LIST, raw=raw, headers={"Content-Encoding": "zstd"})
    assert "zstd" not in error(unknown, 415)


async def test_a_small_body_that_unpacks_to_a_large_one_is_refused(shared: Server) -> None:
    bomb = gzip.compress(b" " * (40 * 1024 * 1024))
    assert len(bomb) < 100_000
    error(await shared.admin.post(LIST, raw=bomb, headers={"Content-Encoding": "gzip"}), 413)


async def test_a_body_that_unpacks_to_many_times_its_size_is_refused(shared: Server) -> None:
    zipped = {"Content-Encoding": "gzip"}
    at_the_free_bound = gzip.compress(b'{"query": {}}' + b" " * (64 * 1024 - 13))
    done(await shared.admin.post(LIST, raw=at_the_free_bound, headers=zipped))
    beyond = gzip.compress(b'{"query": {}}' + b" " * (64 * 1024))
    error(
        await shared.admin.post(LIST, raw=beyond, headers=zipped),
        413,
        "the body unpacks to more than 20 times its size",
    )
    varied = msgspec.json.encode({"query": {}, "note": [f"{number * 7919 % 99991}" for number in range(40_000)]})
    packed = gzip.compress(varied)
    assert len(varied) > 256 * 1024
    assert len(packed) > 16 * 1024, "unpacked beside the loop"
    done(await shared.admin.post(LIST, raw=packed, headers=zipped))


async def test_whom_nobody_knows_sends_no_large_body(shared: Server) -> None:
    """What is decoded before anybody is known costs anybody nothing to send."""
    nobody = shared.http.of(None)
    for path in ("login", "register", "self", "self/has/x", "refresh-token"):
        refused = await nobody.post(f"/user-svc/{path}", raw=b" " * (64 * 1024 + 1))
        error(refused, 413, "the body is larger than 65536 bytes")
    error(await nobody.post("/prompt-svc/types", raw=b" " * (64 * 1024 + 1)), 413)
    assert all(
        endpoint.max_body <= 64 * 1024
        for endpoint in ENDPOINTS
        if endpoint.permissions is None and endpoint.reads_body and endpoint.method == "POST"
    )


@pytest.mark.parametrize(
    "body",
    [
        b'{"x": [' + b"[]," * 250_000 + b"[]]}",
        b'{"x": [' + b"{}," * 250_000 + b"{}]}",
        b'{"x": [' + b'"\\\\",' * 250_000 + b'""]}',
        b"{" + b'"\\"": 1,' * 250_000 + b'"x": 1}',
        b'{"query": {"filters": "[' + b"[]," * 250_000 + b'[]]"}}',
    ],
    ids=["lists", "objects", "strings", "members", "within a string"],
)
async def test_a_body_of_very_many_values_is_refused_before_it_is_decoded(shared: Server, body: bytes) -> None:
    assert (await shared.admin.post(LIST, raw=body)).status in (400, 413)


async def test_a_long_text_is_one_value_whatever_is_in_it(shared: Server) -> None:
    text = '[{"a\\\\": ",", "b\\"": [1, 2]}],' * 50_000
    done(await shared.admin.post(LIST, {"query": {}, "note": text}))


async def test_a_body_beyond_the_bound_is_refused(serve: Serve) -> None:
    async with serve(server={"max_body_bytes": 100_000}) as server:
        error(await server.admin.post(LIST, raw=b" " * 100_001), 413)
        done(await server.admin.post(LIST, raw=b" " * 100_000))


# ------------------------------------------------------------------ CORS

CORS = {
    "access-control-allow-credentials": "false",
    "vary": "Origin",
    "access-control-allow-methods": "POST, GET, OPTIONS, PUT, DELETE",
}


def assert_cors(headers: dict[str, str], origin: str) -> None:
    assert headers["access-control-allow-origin"] == origin
    assert {name: headers[name] for name in CORS} == CORS
    allowed = headers["access-control-allow-headers"].split(", ")
    assert {"Authorization", "Content-Type", "Accept", "Cache-Control", "Last-Event-ID", "X-CSRF-Token"} <= set(allowed)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: f"{endpoint.method} {endpoint.path}")
async def test_any_options_is_answered_before_the_door(shared: Server, endpoint: Any) -> None:
    path = endpoint.path.replace("{", "").replace("}", "")
    response = await shared.http.of(None).call("OPTIONS", path, headers={"Origin": "https://app.example"})
    assert (response.status, response.body) == (200, b"")
    assert_cors(response.headers, "https://app.example")


async def test_every_answer_has_the_cors_headers(shared: Server) -> None:
    nobody, admin = shared.http.of(None), Wire(shared.port, shared.admin.key)
    answers = [
        await admin.post(LIST),
        await nobody.post(LIST),
        await shared.http.of(FORGED).post(LIST),
        await admin.post(LIST, raw=b"{"),
        await nobody.get("/prompt-svc/nothing"),
        await nobody.call("OPTIONS", "/prompt-svc/nothing"),
        await nobody.call("PATCH", LIST),
    ]
    assert [answer.status for answer in answers] == [200, 422, 401, 400, 404, 200, 404]
    for answer in answers:
        assert_cors(answer.headers, "*")
    async with admin.subscribed("cors") as stream:
        assert_cors(stream.headers, "*")


# ------------------------------------------------------------------ paths


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/prompt-svc/nothing"),
        ("GET", "/prompt-svc/prompt"),
        ("PATCH", LIST),
        ("GET", LIST),
        ("POST", "/prompt-svc/prompt/x"),
        ("DELETE", "/prompt-svc/prompt/"),
        ("DELETE", "/prompt-svc/prompt/a/b"),
        ("POST", "/prompt-svc/prompts/"),
        ("GET", "/unknown-svc/thing"),
        ("GET", "/prompt-svc/"),
        ("GET", "/prompt-svc/prompts//responses/subscribe"),
    ],
)
async def test_an_unknown_path_or_method_is_404_in_json(shared: Server, method: str, path: str) -> None:
    error(await shared.http.of(None).call(method, path), 404)


async def test_what_is_no_service_is_not_this_faces(shared: Server) -> None:
    response = await shared.http.of(None).get("/nothing")
    assert response.headers["content-type"] == "application/problem+json"


async def test_ids_in_paths_are_decoded_once(shared: Server) -> None:
    user = await register(shared, "paths", PROMPTS)
    for identifier, spelled in {
        "a/b": "a%2Fb",
        "with space": "with%20space",
        "50%": "50%25",
        "%2F": "%252F",
        "ünicode": "%C3%BCnicode",
        "a?b#c": "a%3Fb%23c",
    }.items():
        await user.answered("hi", id=identifier)
        messages = await user.ok("POST", f"/chat-svc/thread/{spelled}/messages")
        assert [message["threadId"] for message in messages["messages"]] == [identifier] * 2
        assert (await user.ok("GET", f"/chat-svc/thread/{spelled}"))["exists"] is True
        await user.ok("DELETE", f"/prompt-svc/prompt/{spelled}")
        listed = await user.ok(
            "POST", LIST, {"query": {"filters": {"field": "id", "op": "equals", "value": identifier}}}
        )
        assert listed["prompts"] == []


async def test_an_extra_query_string_is_ignored(shared: Server) -> None:
    admin = Wire(shared.port, shared.admin.key)
    plain = await admin.ok("GET", "/user-svc/public-key")
    assert await admin.ok("GET", "/user-svc/public-key?app-host=&env=&help=false") == plain
    await admin.ok("POST", f"{LIST}?app-host=&env=&help=false&%ff=%zz")


async def test_a_head_request_ends(shared: Server) -> None:
    response = await shared.admin.call("HEAD", LIST)
    assert (response.status, response.body) == (404, b"")
