"""Every body of this wire with what does not belong there: never a crash, never a hang."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from promptd.faces.onebackend import ENDPOINTS
from tests.faces.conftest import Server
from tests.faces.onebackend.clients import Wire

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180), pytest.mark.slow]

SECONDS = 15.0  # that one request may take on a busy machine
IMAGE = {
    "prompt": "a",
    "negativePrompt": "a",
    "styles": ["a"],
    "seed": 1,
    "batchSize": 1,
    "guidanceScale": 1.5,
    "width": 8,
    "height": 8,
    "aspectRatio": "1:1",
    "enableUpscaling": True,
    "qualityPreset": "Low",
}
OWN = {
    "steps": 1,
    "eta": 0.5,
    "sampler_name": "a",
    "tiling": True,
    "script_args": ["a"],
    "alwayson_scripts": {"a": "b"},
}
FILTER = {"fields": ["prompt"], "op": "equals", "valuesJson": '["a"]', "subFilters": []}
QUERY = {
    "filters": [FILTER, {"field": "createdAt", "operator": "gt", "value": "2026-01-01T00:00:00Z"}],
    "orderBys": [{"field": "createdAt", "desc": True, "sortingType": ""}],
    "orderBy": [],
    "afterJson": '["2026-01-01T00:00:00Z"]',
    "limit": 1,
    "count": True,
}
LIMIT = {"maxRequests": 1, "timeWindow": "1m", "entity": "userId", "scope": "endpoint"}
RULE = {"endpoint": "/fuzz", "templateId": "rate-limit", "parameters": {"rateLimit": LIMIT}}
BLOCK = {"endpoint": "/fuzz", "templateId": "blocklist", "parameters": {"blocklist": {"blockedIPs": ["10.0.0.1"]}}}
#: A well-formed body for each endpoint that reads one; every part of it is replaced in turn.
BODIES: list[tuple[str, str, Any]] = [
    ("POST", "/prompt-svc/prompts", {"query": QUERY}),  # first: later there are large prompts to list
    ("POST", "/prompt-svc/prompt", {"prompt": "a", "threadId": "fuzz", "modelId": "demo", "maxRetries": 1, "sync": False}),
    ("POST", "/prompt-svc/prompt", {"message": "a", "type": "Text-to-Text", "fileIds": [], "variables": {"a": "b"},
                                    "parameters": {"textToText": {"template": "{a}{prompt}"}},
                                    "engineParameters": {"llamaCpp": {"template": "{prompt}"}}}),
    ("POST", "/prompt-svc/prompt", {"parameters": {"textToImage": IMAGE},
                                    "engineParameters": {"stableDiffusion": {"txt2Img": OWN}}}),
    ("POST", "/prompt-svc/remove", {"promptId": "none"}),
    ("DELETE", "/prompt-svc/prompt/none", {"promptId": "none"}),
    ("POST", "/prompt-svc/types", {"any": 1}),
    ("POST", "/chat-svc/thread", {"id": "fuzz-t", "title": "a", "topicIds": ["a"], "userIds": ["a"],
                                  "threadData": {"title": "a"}, "thread": {"title": "a"}}),
    ("POST", "/chat-svc/threads", {"ids": ["fuzz-t"]}),
    ("POST", "/chat-svc/thread/fuzz/message", {"id": "fuzz-m", "text": "a", "fileIds": ["a"], "meta": {"a": "b"}}),
    ("POST", "/chat-svc/thread/fuzz/messages", {"threadId": "fuzz"}),
    ("POST", "/chat-svc/messages", {"threadId": "fuzz", "ids": ["a"]}),
    ("PUT", "/policy-svc/instance/fuzz", {"instance": RULE}),
    ("PUT", "/policy-svc/instance/fuzz", {"instance": BLOCK}),
    ("POST", "/policy-svc/check", {"endpoint": "/fuzz", "method": "GET", "ip": "10.0.0.1", "userId": "u"}),
    ("POST", "/firehose-svc/event", {"event": {"name": "fuzz", "data": {"a": "b"}}}),
    ("POST", "/user-svc/login", {"appHost": "fuzz", "slug": "nobody", "password": "a", "device": "cli"}),
    ("POST", "/user-svc/register", {"appHost": "fuzz", "slug": "1backend", "password": "a", "name": "a"}),
    ("PUT", "/user-svc/self", {"name": "a", "labels": {"a": "b"}}),
    ("PUT", "/user-svc/permits", {"permits": [{"permission": "fuzz-svc:a", "slugs": ["a"], "roles": ["a"]}]}),
    ("POST", "/user-svc/permits", {"permission": "a", "slug": "a"}),
    ("POST", "/user-svc/permissions", {"roles": []}),
    ("POST", "/user-svc/apps", {"ids": ["a"], "host": ["a"]}),
    ("POST", "/user-svc/users", {"limit": 1, "after": ""}),
]  # fmt: skip
HOSTILE: list[Any] = [
    None,
    True,
    0,
    -1,
    2**63,
    2**64 - 1,
    1.5,
    1e308,
    "",
    " ",
    "[]",
    "{}",
    "[",
    '{"a":',
    '"\\ud800"',
    "null",
    "nan",
    "\0",
    "%00../..",
    "\U0001f600" * 200,
    [],
    {},
    [None],
    [[]],
    {"a": None},
    [{}],
    ["[]"],
    '["[]"]',
]
DEEP = b"[" * 400 + b"]" * 400
LARGE = b'"' + b"1" * 10_000_000 + b'"'
OPENING = b'"' + b"{a[(" * 2_500_000 + b'"'
MARK = "\u00a7hole\u00a7"


def holes(body: Any, *, texts: bool = False) -> Iterator[Any]:
    """The body with one part after the other replaced by a mark; `texts`: only what is a text."""
    if isinstance(body, str) or not texts:
        yield MARK
    if isinstance(body, dict):
        for name, value in body.items():
            for inner in holes(value, texts=texts):
                yield body | {name: inner}
    elif isinstance(body, list):
        for index, value in enumerate(body):
            for inner in holes(value, texts=texts):
                yield [*body[:index], inner, *body[index + 1 :]]


def with_raw(body: Any, raw: bytes) -> bytes:
    return msgspec.json.encode(body).replace(msgspec.json.encode(MARK), raw)


async def survive(shared: Server, caplog: pytest.LogCaptureFixture, method: str, path: str, raws: list[bytes]) -> None:
    admin = Wire(shared.port, shared.admin.key)
    with caplog.at_level(logging.ERROR):
        for start in range(0, len(raws), 16):
            batch = raws[start : start + 16]
            async with asyncio.timeout(SECONDS * (1 + sum(map(len, batch)) / 10_000_000)):
                answers = await asyncio.gather(*[admin.call(method, path, raw=raw) for raw in batch])
            for raw, answer in zip(batch, answers, strict=True):
                assert answer.status in (200, 400, 401, 404, 409, 413, 429, 500), (raw[:300], answer)
                if answer.status != 200:
                    assert set(answer.json) == {"error"}, raw[:300]
                if answer.status == 500:
                    assert path in ("/user-svc/login", "/user-svc/register"), (raw[:300], answer.body)
    crashes = [record.getMessage() for record in caplog.records if getattr(record, "action", "") == "request_failed"]
    assert crashes == []


@pytest.mark.parametrize(("method", "path", "body"), BODIES, ids=lambda value: value if isinstance(value, str) else "")
async def test_wrong_values_everywhere(
    shared: Server, caplog: pytest.LogCaptureFixture, method: str, path: str, body: Any
) -> None:
    raws = [with_raw(hole, msgspec.json.encode(value)) for hole in holes(body) for value in HOSTILE]
    raws += [with_raw(hole, DEEP) for hole in holes(body)]
    await survive(shared, caplog, method, path, raws)


@pytest.mark.parametrize(("method", "path", "body"), BODIES, ids=lambda value: value if isinstance(value, str) else "")
async def test_ten_megabytes_everywhere(
    shared: Server, caplog: pytest.LogCaptureFixture, method: str, path: str, body: Any
) -> None:
    for hole in (MARK, *holes(body, texts=True)):
        await survive(shared, caplog, method, path, [with_raw(hole, LARGE)])
    await survive(shared, caplog, method, path, [with_raw(hole, OPENING) for hole in list(holes(body))[-2:]])


NO_JSON = [b"[" * 5_000_000, b'{"a":' * 1_000_000, b"\x00" * 1000, b'{"a": 1' + b"0" * 1_000_000 + b"}"]


async def test_bodies_that_are_no_json_of_any_use(shared: Server, caplog: pytest.LogCaptureFixture) -> None:
    for endpoint in ENDPOINTS:
        if endpoint.reads_body and endpoint.method != "GET" and endpoint.path.startswith(("/prompt", "/chat", "/pol")):
            path = endpoint.path.replace("{", "").replace("}", "")
            await survive(shared, caplog, endpoint.method, path, NO_JSON)


async def test_bodies_are_of_every_endpoint_that_reads_one(shared: Server) -> None:
    """Of the services that are looked at here; files and models have their own."""
    fuzzed = {path.split("/")[1] for _, path, _ in BODIES}
    assert {"prompt-svc", "chat-svc", "policy-svc", "firehose-svc", "user-svc"} == fuzzed
    assert (await shared.http.get("/healthz")).status == 200, "the server is still there"
