"""Every endpoint of the face, driven once, and its answer read as the published Go client reads it."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from promptd.faces.onebackend import ENDPOINTS
from tests.contract import strict
from tests.contract.stage import ADMIN, ADMIN_PASSWORD, HOST, PASSWORD, Stage, text_of, unique

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(60)]

STREAMS = {"/prompt-svc/prompts/{threadId}/responses/subscribe", "/firehose-svc/events/subscribe"}
FILE = b"sixteen bytes ok"
IMAGE = {
    "textToImage": {
        "prompt": "A red kite",
        "negativePrompt": "clouds",
        "styles": ["ink"],
        "seed": 7,
        "batchSize": 1,
        "numIterations": 1,
        "steps": 3,
        "guidanceScale": "7.5",
        "width": 16,
        "height": "8",
        "aspectRatio": "2:1",
        "denoisingStrength": 0.5,
        "enableUpscaling": False,
        "restoreFaces": "true",
        "scheduler": "Karras",
        "qualityPreset": "Low",
        "format": "png",
    }
}
ENGINE = {
    "stableDiffusion": {
        "txt2Img": {
            "num_inference_steps": "4",
            "guidance_scale": "6.5",
            "negative_prompt": "fog",
            "seed": 1,
            "width": 8,
            "height": 8,
            "override_settings": {"a": "b"},
            "something_new": 1,
        }
    },
    "llamaCpp": {"template": "{prompt}"},
}


class Step(NamedTuple):
    """A call; `{name}` in it is filled from what `keep` kept of earlier answers."""

    method: str
    path: str
    shape: strict.Shape | None  #: None: bytes
    body: Any = None
    names: dict[str, str] = {}
    keep: dict[str, str] = {}  #: name → where in the answer it stands


def find(answer: Any, path: str) -> str:
    for part in path.split("."):
        answer = answer[int(part)] if part.isdigit() else answer[part]
    return str(answer)


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    """A web server with one file."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-length", str(len(FILE)))
            self.end_headers()
            self.wfile.write(FILE)

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture(scope="module")
def stage(origin: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """With a text model, the model that comes with promptd, and a file to fetch."""
    stage = Stage(
        tmp_path_factory.mktemp("strict") / "home",
        {
            "server": {"port": 0, "drain_seconds": 0},
            "compat": {"onebackend": {"default_admin": True}},
            "connections": {"script": {"engine": "scripted"}, "builtin": {"engine": "llamacpp"}},
            "models": {"script": {"connection": "script"}, "demo": {"connection": "builtin"}},
            "default_model": "script",
            "downloads": {"allow": [origin], "reserve_bytes": 0},
        },
    )
    yield stage
    stage.stop()


def steps(origin: str) -> Sequence[Step]:
    user, thread, prompt = unique("carol"), unique("thread"), unique("prompt")
    url = f"{origin}/{unique('file')}.bin"
    at = {"url": quote(url, safe="")}
    limit = {"maxRequests": 5, "timeWindow": "1m", "entity": "userId", "scope": "endpoint"}
    blocked = {
        "id": "b",
        "endpoint": "/nowhere",
        "templateId": "blocklist",
        "parameters": {"blocklist": {"blockedIPs": '["1.2.3.4"]'}},
    }
    limited = {"endpoint": "/nowhere", "templateId": "rate-limit", "parameters": {"rateLimit": limit}}
    return [
        # users
        Step("POST", "/user-svc/register", strict.TOKEN_ANSWER, {"appHost": HOST, "slug": user, "password": PASSWORD, "name": "Carol"}, keep={"user": "token.userId"}),
        Step("POST", "/user-svc/login", strict.TOKEN_ANSWER, {"appHost": HOST, "slug": user, "password": PASSWORD}),
        Step("POST", "/user-svc/self", strict.SELF, {"countTokens": True}),
        Step("PUT", "/user-svc/self", strict.NOTHING, {"name": "Admin", "labels": {"team": "x"}}),
        Step("POST", "/user-svc/self", strict.SELF),
        Step("POST", "/user-svc/self/has/{permission}", strict.HAS_PERMISSION, names={"permission": "prompt-svc:prompt:create"}),
        Step("POST", "/user-svc/refresh-token", strict.TOKEN_ANSWER),
        Step("PUT", "/user-svc/token/exchange", strict.TOKEN_ANSWER, {"newAppHost": "another.example"}),
        Step("POST", "/user-svc/{userId}/reset-password", strict.NOTHING, {"newPassword": PASSWORD + "!"}, {"userId": "{user}"}),
        Step("POST", "/user-svc/change-password", strict.NOTHING, {"currentPassword": ADMIN_PASSWORD, "newPassword": ADMIN_PASSWORD}),
        Step("GET", "/user-svc/public-key", strict.PUBLIC_KEY),
        Step("PUT", "/user-svc/permits", strict.NOTHING, {"permits": [{"permission": "prompt-svc:prompt:create", "slugs": [user], "roles": ["user-svc:user"]}]}),
        Step("POST", "/user-svc/permits", strict.PERMITS, {"permission": "prompt-svc:prompt:create"}),
        Step("POST", "/user-svc/permissions", strict.PERMISSIONS, {"roles": ["user-svc:user"]}),
        Step("POST", "/user-svc/apps", strict.APPS, {"host": [HOST]}),
        Step("POST", "/user-svc/users", strict.Shape({"users": strict.many(strict.USER)}, {"after": strict.text})),
        Step("DELETE", "/user-svc/user/{userId}", strict.NOTHING, names={"userId": "{user}"}),
        # chat
        Step("POST", "/chat-svc/thread", strict.THREAD_ANSWER, {"id": thread, "threadData": {"title": "T", "topicIds": ["a"]}}),
        Step("POST", "/chat-svc/thread/{threadId}/message", strict.NOTHING, {"id": thread + "-m", "text": "Hi <b>", "meta": {"a": [1]}}, {"threadId": thread}),
        Step("POST", "/chat-svc/threads", strict.THREADS, {"ids": [thread]}),
        Step("POST", "/chat-svc/threads", strict.THREADS),
        Step("GET", "/chat-svc/thread/{threadId}", strict.THREAD_IF_ANY, names={"threadId": thread}),
        Step("GET", "/chat-svc/thread/{threadId}", strict.THREAD_IF_ANY, names={"threadId": "none"}),
        Step("GET", "/chat-svc/message/{messageId}", strict.MESSAGE_IF_ANY, names={"messageId": thread + "-m"}),
        Step("GET", "/chat-svc/events", strict.NOTHING),
        # prompts
        Step("POST", "/prompt-svc/prompt", strict.PROMPT_ANSWER, {"prompt": "Hello", "id": prompt, "threadId": thread, "sync": True, "maxRetries": 3}),
        Step("POST", "/prompt-svc/prompt", strict.PROMPT_ANSWER, {"prompt": "Later"}),
        Step("POST", "/prompt-svc/prompt", strict.PROMPT_ANSWER, {"prompt": "x", "sync": True, "parameters": {"textToText": {"template": "{prompt}"}}}),
        Step("POST", "/prompt-svc/prompt", strict.PROMPT_ANSWER, {"prompt": "A kite", "parameters": IMAGE, "sync": True}),
        Step("POST", "/prompt-svc/prompt", strict.PROMPT_ANSWER, {"prompt": "A kite", "engineParameters": ENGINE, "sync": True}),
        Step("POST", "/prompt-svc/prompt", strict.PROMPT_ANSWER, {"prompt": '[{"fail": "invalid_input", "message": "no"}]', "sync": True}),
        Step("POST", "/prompt-svc/prompt", strict.PROMPT_ANSWER, {"prompt": "real", "modelId": "demo", "sync": True, "type": "text-to-text"}),
        Step("POST", "/prompt-svc/prompts", strict.PROMPTS, {"query": {"filters": [{"field": "runCount", "operator": "gte", "value": 0}], "limit": 1000, "count": True}}),
        Step("POST", "/prompt-svc/prompts", strict.PROMPTS),
        Step("POST", "/prompt-svc/types", strict.Shape({}, {"types": strict.anything, "schemas": strict.anything})),
        Step("POST", "/chat-svc/messages", strict.MESSAGES),
        Step("POST", "/chat-svc/thread/{threadId}/messages", strict.MESSAGES, names={"threadId": thread}),
        Step("DELETE", "/prompt-svc/prompt/{promptId}", strict.NOTHING, names={"promptId": prompt}),
        Step("POST", "/prompt-svc/remove", strict.NOTHING, {"promptId": prompt}),
        Step("DELETE", "/chat-svc/message/{messageId}", strict.NOTHING, names={"messageId": thread + "-m"}),
        Step("DELETE", "/chat-svc/thread/{threadId}", strict.NOTHING, names={"threadId": thread}),
        # models
        Step("POST", "/model-svc/models", strict.MODELS),
        Step("POST", "/model-svc/platforms", strict.PLATFORMS),
        Step("GET", "/model-svc/model/{modelId}", strict.MODEL_ANSWER, names={"modelId": "script"}),
        Step("GET", "/model-svc/model/{modelId}", strict.MODEL_ANSWER, names={"modelId": "demo"}),
        Step("GET", "/model-svc/model/{modelId}", strict.MODEL_ANSWER, names={"modelId": quote("huggingface/TheBloke/mistral-7b-instruct-v0.2.Q3_K_S.gguf", safe="")}),
        Step("GET", "/model-svc/default-model/status", strict.STATUS),
        Step("GET", "/model-svc/model/{modelId}/status", strict.STATUS, names={"modelId": "demo"}),
        Step("PUT", "/model-svc/default-model/start", strict.NOTHING),
        Step("PUT", "/model-svc/model/{modelId}/start", strict.NOTHING, names={"modelId": "demo"}),
        Step("PUT", "/model-svc/model/{modelId}/make-default", strict.NOTHING, names={"modelId": "script"}),
        # files
        Step("PUT", "/file-svc/upload", strict.UPLOAD_ANSWER, FILE, keep={"file": "upload.fileId"}),
        Step("POST", "/file-svc/uploads", strict.UPLOADS),
        Step("POST", "/file-svc/uploads", strict.UPLOADS, {"userId": "nobody"}),
        Step("GET", "/file-svc/serve/upload/{fileId}", None, names={"fileId": "{file}"}),
        Step("HEAD", "/file-svc/serve/upload/{fileId}", None, names={"fileId": "{file}"}),
        Step("DELETE", "/file-svc/upload/{fileId}", strict.NOTHING, names={"fileId": "{file}"}),
        Step("PUT", "/file-svc/download", strict.NOTHING, {"url": url}),
        Step("GET", "/file-svc/download/{url}", strict.DOWNLOAD_ANSWER, names=at),
        Step("GET", "/file-svc/download/{url}", strict.DOWNLOAD_ANSWER, names={"url": quote("http://none.example/x", safe="")}),
        Step("POST", "/file-svc/downloads", strict.DOWNLOADS),
        Step("PUT", "/file-svc/download/{url}/pause", strict.NOTHING, names=at),
        Step("PUT", "/file-svc/download", strict.NOTHING, {"url": url}),
        # policies, firehose
        Step("PUT", "/policy-svc/instance/{instanceId}", strict.NOTHING, {"instance": limited}, {"instanceId": "limit"}),
        Step("PUT", "/policy-svc/instance/{instanceId}", strict.NOTHING, {"instance": blocked}, {"instanceId": "block"}),
        Step("DELETE", "/policy-svc/instance/{instanceId}", strict.NOTHING, names={"instanceId": "gone"}),
        Step("POST", "/policy-svc/check", strict.CHECK, {"endpoint": "/nowhere", "method": "GET", "ip": "1.2.3.4", "userId": "u"}),
        Step("POST", "/firehose-svc/event", strict.NOTHING, {"event": {"name": "opened", "data": {"shop": 1}}}),
    ]  # fmt: skip


def test_every_answer_is_what_a_strict_client_accepts(stage: Stage, origin: str) -> None:
    token = stage.log_in(ADMIN, ADMIN_PASSWORD)
    kept: dict[str, str] = {}
    driven: set[tuple[str, str]] = set()
    problems: list[str] = []
    for step in steps(origin):
        driven.add((step.method, step.path))
        names = {name: value.format_map(kept) for name, value in step.names.items()}
        where = f"{step.method} {step.path.format_map(names)}"
        files = {"file": ("note.txt", step.body)} if isinstance(step.body, bytes) else None
        answer = stage.http.request(
            step.method,
            step.path.format_map(names),
            headers={"authorization": f"Bearer {token}"},
            files=files,
            content=None if step.body is None or files else json.dumps(step.body),
        )
        if answer.status_code != 200:
            problems.append(f"{where}: {answer.status_code} {answer.text}")
            continue
        if step.path == "/user-svc/change-password":
            token = stage.log_in(ADMIN, ADMIN_PASSWORD)
        if step.shape is None:
            assert answer.content == (FILE if step.method == "GET" else b"")
            continue
        try:
            assert answer.headers["content-type"].startswith("application/json")
            step.shape(answer.json(), where)
        except AssertionError as error:
            problems.append(str(error))
            continue
        kept |= {name: find(answer.json(), path) for name, path in step.keep.items()}
    assert problems == []
    # what has a test of its own below
    left = {(endpoint.method, endpoint.path) for endpoint in ENDPOINTS if endpoint.path not in STREAMS} - driven
    assert {path for _, path in left} == {"/file-svc/serve/download/{url}", "/user-svc/tokens"}


def test_a_finished_download_is_served(stage: Stage, origin: str) -> None:
    token, url = stage.log_in(ADMIN, ADMIN_PASSWORD), f"{origin}/{unique('whole')}.bin"
    path = quote(url, safe="")
    headers = {"authorization": f"Bearer {token}"}
    with stage.http.stream("GET", "/firehose-svc/events/subscribe", headers=headers) as events:
        assert stage.call("PUT", "/file-svc/download", {"url": url}, token=token).json() == {}
        for line in events.iter_lines():
            if line.startswith("data: "):
                event = json.loads(line.removeprefix("data: "))
                strict.FIREHOSE_EVENT(event)
                answer = stage.call("GET", f"/file-svc/download/{path}", token=token).json()
                strict.DOWNLOAD_ANSWER(answer)
                if event["name"] == "downloadStatusChange" and answer["download"]["status"] == "completed":
                    break
    assert answer["download"]["progress"] == 100
    for method in ("GET", "HEAD"):
        served = stage.call(method, f"/file-svc/serve/download/{path}")
        assert (served.status_code, served.content) == (200, FILE if method == "GET" else b"")


def test_revoking_tokens(stage: Stage) -> None:
    slug = unique("dave")
    body = {"appHost": HOST, "slug": slug, "password": PASSWORD}
    token = stage.call("POST", "/user-svc/register", body).json()["token"]["token"]
    answer = stage.call("DELETE", "/user-svc/tokens", token=token)
    strict.NOTHING(answer.json())
    assert answer.status_code == 200


def test_every_event_of_a_stream(stage: Stage) -> None:
    """Progress and done, and no other type or member."""
    token, thread = stage.log_in(ADMIN, ADMIN_PASSWORD), unique("events")
    path, headers = f"/prompt-svc/prompts/{thread}/responses/subscribe", {"authorization": f"Bearer {token}"}
    events: list[dict[str, Any]] = []
    with stage.http.stream("GET", path, headers=headers) as stream:
        stage.call("POST", "/prompt-svc/prompt", {"prompt": "some <words> & more", "threadId": thread}, token=token)
        for line in stream.iter_lines():
            if line.startswith("data: "):
                events.append(json.loads(line.removeprefix("data: ")))
                strict.EVENT(events[-1])
                if events[-1]["type"] == "done":
                    break
    assert text_of(events) == "some <words> & more"


def test_every_refusal_is_one_line_of_json(stage: Stage) -> None:
    token = stage.log_in(ADMIN, ADMIN_PASSWORD)
    for endpoint in ENDPOINTS:
        if endpoint.permissions is None:
            continue
        answer = stage.call(endpoint.method, endpoint.path.replace("{", "").replace("}", ""))
        assert (answer.status_code, answer.text) == (422, '{"error": "422 Unprocessable Entity"}'), endpoint
    for method, path, body, status in (
        ("POST", "/prompt-svc/prompt", [], 400),
        ("POST", "/prompt-svc/prompt", {"prompt": {}}, 400),
        ("POST", "/prompt-svc/nowhere", {}, 404),
        ("PATCH", "/prompt-svc/prompt", {}, 404),
        ("GET", "/model-svc/model/none", None, 404),
    ):
        answer = stage.call(method, path, body, token=token)
        assert answer.status_code == status
        assert answer.json().keys() == {"error"}
        assert answer.text.startswith('{"error": "')
        assert answer.headers["content-type"].startswith("application/json")
