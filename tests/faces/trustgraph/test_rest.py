"""REST: URL forms of all eras, what fails, who asks."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from promptd.core.lifecycle import Status
from tests.faces.client import Response
from tests.faces.trustgraph.conftest import TOKEN, ServeTrustGraph, TrustGraph, ended, script

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]

COMPLETION = [
    "/api/v1/text-completion",
    "/api/v1/flow/default/text-completion",
    "/api/v1/flow/0000/text-completion",
    "/api/v1/flow/default/service/text-completion",
    "/api/v1/flow/0000/service/text-completion",
    "/api/v1/flow/my%20own%2Fflow/service/text-completion",
]


def is_plain(answer: Response, status: int, text: bytes) -> bool:
    return (answer.status, answer.body, answer.headers["content-type"]) == (status, text, "text/plain; charset=utf-8")


@pytest.mark.parametrize("path", COMPLETION)
async def test_every_url_form_serves_completions(tg: TrustGraph, path: str) -> None:
    answer = await tg.http.post(path, {"system": "be brief", "prompt": "hello there", "workspace": "default"})
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.json == {
        "response": "hello there",
        "end_of_stream": True,
        "in_token": 2,
        "out_token": 2,
        "model": "demo",
    }


@pytest.mark.parametrize("path", [path.replace("text-completion", "prompt") for path in COMPLETION])
async def test_every_url_form_serves_prompts(tg: TrustGraph, path: str) -> None:
    answer = await tg.http.post(path, {"id": "nobody", "variables": {}})
    assert answer.status == 200
    assert answer.json == {"error": {"type": "llm-error", "message": "Unknown prompt template: nobody"}}


async def test_streaming_over_rest_gives_the_whole_text(tg: TrustGraph) -> None:
    body = {"system": "", "prompt": script({"say": "one two three", "pieces": 3}), "streaming": True}
    answer = await tg.http.post(COMPLETION[3], body)
    assert (answer.json["response"], answer.json["end_of_stream"]) == ("one two three", True)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/text-completion/",
        "/api/v1/flow/default/service/text-completion/",
        "/api/v1/nothing",
        "/api/v1/",
        "/api/v1/flow/default",
        "/api/v1/flow//service/prompt",
        "/api/v1/flow/default/service",
        "/api/v1/flow/default/other/prompt",
        "/api/v1/service/prompt",
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_where_nothing_is_there_is_plain_404(tg: TrustGraph, method: str, path: str) -> None:
    answer = await tg.http.call(method, path, {} if method == "POST" else None)
    assert is_plain(answer, 404, b"404: Not Found")


@pytest.mark.parametrize("path", ["/api/v1/prompt", "/api/v1/config", "/api/v1/flow", COMPLETION[3]])
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_other_methods_are_plain_405(tg: TrustGraph, method: str, path: str) -> None:
    answer = await tg.http.call(method, path)
    assert is_plain(answer, 405, b"405: Method Not Allowed")
    assert answer.headers["allow"] == "POST"


async def test_a_kind_that_no_flow_has_is_404(tg: TrustGraph) -> None:
    answer = await tg.http.post("/api/v1/flow/default/service/agent", {})
    assert answer.status == 404
    assert answer.json == {"error": {"type": "error", "message": "unknown kind"}}


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        ("invalid_input", "llm-error", "said so"),
        ("authentication_failed", "llm-error", "said so"),
        ("content_filtered", "llm-error", "said so"),
        ("timeout", "gateway-error", "Timeout"),
        ("rate_limited", "too-many-requests", "said so"),
    ],
)
async def test_errors_are_objects_inside_of_a_200(tg: TrustGraph, code: str, kind: str, message: str) -> None:
    answer = await tg.http.post(COMPLETION[0], {"prompt": script({"fail": code, "message": "said so"})})
    assert answer.status == 200
    assert answer.json == {"error": {"type": kind, "message": message}}


@pytest.mark.parametrize(
    ("raw", "kind"),
    [
        (b"", "gateway-error"),
        (b"{", "gateway-error"),
        (b"\xff", "gateway-error"),
        (b"null", "gateway-error"),
        (b'"text"', "gateway-error"),
        (b"{}", "gateway-error"),
        (b'{"prompt":null}', "gateway-error"),
        (b'{"prompt":"x","system":1}', "gateway-error"),
        (b'{"prompt":"x","operation":"sing"}', "gateway-error"),
        (b'{"prompt":"x","response_format":"xml"}', "gateway-error"),
        (b'{"prompt":"x","response_format":"json","schema":[]}', "gateway-error"),
        (b'{"prompt":"x","response_format":"json","schema":{"type":5}}', "gateway-error"),
        (b'{"prompt":""}', "gateway-error"),
        (b"[" * 100_000, "gateway-error"),
        (b'{"prompt":NaN}', "gateway-error"),
    ],
)
async def test_bad_bodies_get_error_objects(tg: TrustGraph, raw: bytes, kind: str) -> None:
    answer = await tg.http.post(COMPLETION[3], raw=raw)
    assert answer.status == 200
    assert answer.json["error"]["type"] == kind
    assert answer.json["error"]["message"]


async def test_the_content_type_does_not_matter(tg: TrustGraph) -> None:
    answer = await tg.http.post(COMPLETION[3], raw=b'{"prompt":"hello"}', headers={"content-type": "text/plain"})
    assert answer.json["response"] == "hello"


async def test_bodies_beyond_the_bound_are_413(trustgraph: ServeTrustGraph) -> None:
    async with trustgraph(server={"max_body_bytes": 1024}) as tg:
        answer = await tg.http.post(COMPLETION[3], {"prompt": "x" * 2000})
    assert (answer.status, answer.json["error"]["type"]) == (413, "gateway-error")


async def test_a_schema_goes_along(tg: TrustGraph) -> None:
    """The scripted engine keeps to none, and this wire's callers judge the answer themselves."""
    body = {"prompt": "hello", "response_format": "json", "schema": {"type": "object"}}
    assert (await tg.http.post(COMPLETION[3], body)).json["response"] == "hello"


async def test_models_are_listed(tg: TrustGraph) -> None:
    answer = await tg.http.post(COMPLETION[3], {"operation": "list-models"})
    assert [(model["id"], model["owned_by"]) for model in answer.json["models"]] == [
        ("demo", "scripted"),
        ("org/big", "scripted"),
    ]


async def test_a_key_lists_its_own_models_only(tg: TrustGraph) -> None:
    admin = await tg.house.walk.callers.authenticate(tg.admin.key)
    _, secret = await tg.house.walk.keys.create(admin, name="small", user="bob", models=("org/*",))
    answer = await tg.http.of(secret).post(COMPLETION[3], {"operation": "list-models"})
    assert [model["id"] for model in answer.json["models"]] == ["org/big"]


async def test_leaving_cancels_the_call(tg: TrustGraph) -> None:
    body = json.dumps({"prompt": script({"hang": True})}).encode()
    _, writer = await asyncio.open_connection("127.0.0.1", tg.port)
    writer.write(
        f"POST {COMPLETION[3]} HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {tg.http.key}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n".encode()
        + body
    )
    await tg.begun()
    writer.transport.abort()
    (prompt,) = await ended(tg, 1)
    assert prompt.status is Status.CANCELED


# ---------------------------------------------------------------- who asks


@pytest.mark.parametrize("path", [COMPLETION[0], "/api/v1/config"])
@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}, {"authorization": "Basic YTpi"}])
async def test_without_a_good_token_it_is_401(tg: TrustGraph, path: str, headers: dict[str, str]) -> None:
    answer = await tg.http.of(None).post(path, {"prompt": "hello"}, headers=headers)
    assert answer.status == 401
    assert answer.json == {"error": {"type": "auth-required", "message": "auth failure"}}


async def test_tokens_of_the_operator_are_taken_as_they_are(tg: TrustGraph) -> None:
    answer = await tg.http.of(TOKEN).post(COMPLETION[0], {"prompt": "hello"})
    assert answer.json["response"] == "hello"


async def test_an_open_face_needs_no_token(trustgraph: ServeTrustGraph) -> None:
    async with trustgraph(given={"open": True}) as tg:
        nobody = tg.http.of(None)
        assert (await nobody.post(COMPLETION[0], {"prompt": "hello"})).json["response"] == "hello"
        listed = await nobody.post("/api/v1/config", {"operation": "list", "type": "prompt"})
        assert listed.json["directory"] == ["system", "template-index"]
        put = {"operation": "put", "values": [{"type": "a", "key": "b", "value": "c"}]}
        assert (await nobody.post("/api/v1/config", put)).status == 403
        assert (await nobody.get("/promptd/v1/prompts")).status == 401  # this face alone is open


async def test_an_open_configuration_takes_changes_of_everybody(trustgraph: ServeTrustGraph) -> None:
    async with trustgraph(given={"open": True, "open_config": True}) as tg:
        put = {"operation": "put", "values": [{"type": "a", "key": "b", "value": "c"}]}
        assert (await tg.http.of(None).post("/api/v1/config", put)).status == 200


@pytest.mark.parametrize(
    ("host", "status"), [("evil.example:{port}", 401), ("127.0.0.1:{port}", 200), ("me.example.org:{port}", 200)]
)
async def test_open_is_not_open_to_a_page_whose_name_was_made_to_lead_here(
    trustgraph: ServeTrustGraph, host: str, status: int
) -> None:
    async with trustgraph(given={"open": True, "allowed_hosts": ["*.example.org"]}) as tg:
        host = host.format(port=tg.http.port)
        answer = await tg.http.of(None).post(
            COMPLETION[0], {"prompt": "hello"}, headers={"Host": host, "Origin": f"http://{host}"}
        )
        assert answer.status == status


@pytest.mark.parametrize(("origin", "status"), [("http://evil.example", 401), ("null", 401), ("http://127.0.0.1", 200)])
async def test_pages_of_other_sites_do_not_get_what_is_open(
    trustgraph: ServeTrustGraph, origin: str, status: int
) -> None:
    async with trustgraph(given={"open": True}) as tg:
        answer = await tg.http.of(None).post(COMPLETION[0], {"prompt": "hello"}, headers={"origin": origin})
    assert answer.status == status


# ---------------------------------------------------------------- flows


async def test_there_is_one_flow(tg: TrustGraph) -> None:
    assert (await tg.http.post("/api/v1/flow", {"operation": "list-flows"})).json == {"flow-ids": ["default"]}
    told: Any = (await tg.http.post("/api/v1/flow", {"operation": "get-flow", "flow-id": "default"})).json
    assert json.loads(told["flow"])["interfaces"] == {}
    wrong = await tg.http.post("/api/v1/flow", {"operation": "start-flow"})
    assert (wrong.status, wrong.json["error"]["type"]) == (200, "bad-operation")
