"""Every operation of the route table × who calls it. An operation without a row fails."""

from __future__ import annotations

from itertools import count
from typing import Any, NamedTuple

import pytest

from promptd.core.identity import USER_PERMISSIONS
from promptd.faces.native.operation import Operation, filled
from promptd.faces.native.routes import table
from tests.faces.client import Http
from tests.faces.conftest import ADMIN, Server

pytestmark = pytest.mark.asyncio(loop_scope="module")

BASE = "/promptd/v1"
OPERATIONS = table()
_NUMBERS = count()


class Row(NamedTuple):
    """Statuses for another user, the owner and an admin; `target` is what the path's parameter names."""

    other: int
    user: int
    admin: int
    target: str = ""
    body: Any = None


FORMS = f"{BASE}/plugins/{{type}}/forms"
PUBLIC = Row(200, 200, 200)
FORBIDDEN_URL = "http://127.0.0.1:9/x"  # egress refuses to call it
RULE = {"rules": [{"status": "canceled", "older_than_seconds": 1e9}], "dry_run": True}
WORDS = {"messages": [{"source": "hello"}]}
FIRST = {"versions": [{"version": 1}]}
CHAIN = {"actions": [{"name": "a", "template": "greet"}]}
ROWS = {
    ("POST", f"{BASE}/prompts"): Row(202, 202, 202, body={"prompt": "x"}),
    ("GET", f"{BASE}/prompts"): Row(200, 200, 200),
    ("POST", f"{BASE}/prompts/prune"): Row(403, 403, 200, body=RULE),
    ("GET", f"{BASE}/prompts/{{id}}"): Row(404, 200, 200, "final"),
    ("DELETE", f"{BASE}/prompts/{{id}}"): Row(404, 204, 204, "final"),
    ("GET", f"{BASE}/prompts/{{id}}/attempts"): Row(404, 200, 200, "final"),
    ("GET", f"{BASE}/prompts/{{id}}/events"): Row(404, 200, 403, "final"),
    ("POST", f"{BASE}/prompts/{{id}}/cancel"): Row(404, 200, 200, "waiting"),
    ("POST", f"{BASE}/prompts/{{id}}/retry"): Row(404, 202, 202, "canceled"),
    ("POST", f"{BASE}/prompts/{{id}}/score"): Row(404, 200, 403, "final", body={"score": 1}),
    ("GET", f"{BASE}/usage"): Row(200, 200, 200),
    ("POST", f"{BASE}/files"): Row(201, 201, 201),
    ("GET", f"{BASE}/files"): Row(200, 200, 200),
    ("GET", f"{BASE}/files/{{id}}"): Row(200, 200, 200, "file"),  # its id can't be guessed: who has it was given it
    ("GET", f"{BASE}/files/{{id}}/content"): Row(200, 200, 200, "file"),
    ("DELETE", f"{BASE}/files/{{id}}"): Row(403, 204, 204, "file"),
    ("GET", f"{BASE}/threads/{{id}}"): Row(404, 200, 200, "thread"),
    ("GET", f"{BASE}/threads/{{id}}/messages"): Row(404, 200, 403, "thread"),
    ("GET", f"{BASE}/threads/{{id}}/events"): Row(404, 200, 403, "thread"),
    ("GET", f"{BASE}/models"): Row(200, 200, 200),
    ("POST", f"{BASE}/models/{{name}}/start"): Row(403, 403, 200, "demo"),
    ("POST", f"{BASE}/models/{{name}}/stop"): Row(403, 403, 200, "demo"),
    ("GET", f"{BASE}/models/{{name}}"): Row(200, 200, 200, "demo"),
    ("POST", f"{BASE}/models/{{name}}/default"): Row(403, 403, 200, "demo"),
    ("GET", f"{BASE}/catalogue"): Row(200, 200, 200),
    ("GET", f"{BASE}/connections"): Row(403, 403, 200),
    ("POST", f"{BASE}/connections/{{name}}/check"): Row(403, 403, 200, "lab"),
    ("POST", f"{BASE}/connections"): Row(403, 403, 422, body={"name": "new", "engine": "none"}),
    ("POST", f"{BASE}/connections/test"): Row(403, 403, 200, body={"engine": "scripted"}),
    ("GET", f"{BASE}/connections/{{id}}"): Row(403, 403, 200, "stored"),
    ("PUT", f"{BASE}/connections/{{id}}"): Row(403, 403, 409, "stored", body={"changed_at": "2026-01-01T00:00:00Z"}),
    ("DELETE", f"{BASE}/connections/{{id}}"): Row(403, 403, 204, "stored"),
    ("POST", f"{BASE}/connections/{{id}}/test"): Row(403, 403, 200, "stored"),
    ("POST", f"{BASE}/connections/{{id}}/restore"): Row(
        403, 403, 409, "stored", body={"changed_at": "2026-01-01T00:00:00Z"}
    ),
    ("GET", f"{BASE}/connections/{{id}}/export"): Row(403, 403, 200, "stored"),
    ("POST", f"{BASE}/vault/rotate"): Row(403, 403, 200),
    ("GET", f"{BASE}/plugins"): Row(200, 200, 200),
    ("GET", f"{FORMS}/connection"): Row(403, 403, 200, "scripted"),
    ("POST", f"{FORMS}/connection/options"): Row(403, 403, 200, "scripted", body={"source": "models"}),
    ("POST", f"{FORMS}/connection/change"): Row(403, 403, 200, "scripted", body={"path": "x"}),
    ("POST", f"{FORMS}/connection/validate"): Row(403, 403, 200, "scripted", body={}),
    ("POST", f"{FORMS}/connection/action"): Row(403, 403, 200, "scripted", body={"action": "x"}),
    ("GET", f"{FORMS}/query"): Row(403, 403, 422, "scripted"),  # no connection is chosen
    ("POST", f"{FORMS}/query/options"): Row(403, 403, 200, "scripted", body={"source": "models", "connection": "lab"}),
    ("POST", f"{FORMS}/query/change"): Row(403, 403, 200, "scripted", body={"path": "x", "connection": "lab"}),
    ("POST", f"{FORMS}/query/validate"): Row(403, 403, 200, "scripted", body={"connection": "lab"}),
    ("POST", f"{FORMS}/query/action"): Row(403, 403, 200, "scripted", body={"action": "x", "connection": "lab"}),
    ("GET", f"{BASE}/templates"): Row(200, 200, 200),
    ("GET", f"{BASE}/templates/openapi.json"): Row(200, 200, 200),
    ("GET", f"{BASE}/templates/{{name}}"): Row(200, 200, 200, "template"),
    ("DELETE", f"{BASE}/templates/{{name}}"): Row(403, 403, 204, "template"),
    ("POST", f"{BASE}/templates/{{name}}/versions"): Row(403, 403, 201, "template", body=WORDS),
    ("POST", f"{BASE}/templates/{{name}}/versions/check"): Row(403, 403, 200, "template", body=WORDS),
    ("POST", f"{BASE}/templates/{{name}}/versions/test"): Row(403, 403, 200, "template", body=WORDS),
    ("GET", f"{BASE}/templates/{{name}}/versions"): Row(200, 200, 200, "template"),
    ("GET", f"{BASE}/templates/{{name}}/version"): Row(200, 200, 200, "template"),
    ("GET", f"{BASE}/templates/{{name}}/diff"): Row(200, 200, 200, "template"),
    ("PUT", f"{BASE}/templates/{{name}}/labels/{{label}}"): Row(403, 403, 200, "template", body=FIRST),
    ("DELETE", f"{BASE}/templates/{{name}}/labels/{{label}}"): Row(403, 403, 200, "template"),
    ("POST", f"{BASE}/templates/{{name}}/labels/{{label}}/rollback"): Row(403, 403, 200, "template"),
    ("PUT", f"{BASE}/templates/{{name}}/guards"): Row(403, 403, 200, "template", body={"labels": []}),
    ("POST", f"{BASE}/templates/{{name}}/test"): Row(200, 200, 200, "template"),
    ("GET", f"{BASE}/templates/{{name}}/reference"): Row(200, 200, 200, "template"),
    ("GET", f"{BASE}/templates/{{name}}/function"): Row(200, 200, 200, "template"),
    ("POST", f"{BASE}/templates/{{name}}/run"): Row(200, 200, 200, "template", body={}),
    ("GET", f"{BASE}/partials"): Row(200, 200, 200),
    ("PUT", f"{BASE}/partials/{{name}}"): Row(403, 403, 200, "partial", body={"source": "x"}),
    ("DELETE", f"{BASE}/partials/{{name}}"): Row(403, 403, 204, "partial"),
    ("GET", f"{BASE}/terms"): Row(200, 200, 200),
    ("PUT", f"{BASE}/terms"): Row(403, 403, 200, body={"values": {}}),
    ("GET", f"{BASE}/chains"): Row(200, 200, 200),
    ("GET", f"{BASE}/chains/{{name}}"): Row(200, 200, 200, "chain"),
    ("PUT", f"{BASE}/chains/{{name}}"): Row(403, 403, 200, "chain", body=CHAIN),
    ("DELETE", f"{BASE}/chains/{{name}}"): Row(403, 403, 204, "chain"),
    ("POST", f"{BASE}/chains/{{name}}/run"): Row(202, 202, 202, "chain", body={}),
    ("GET", f"{BASE}/chain-runs/{{id}}"): Row(404, 200, 404, "run"),
    ("POST", f"{BASE}/chain-runs/{{id}}/cancel"): Row(404, 409, 404, "run"),
    ("POST", f"{BASE}/downloads"): Row(403, 403, 202, body={"url": FORBIDDEN_URL}),
    ("GET", f"{BASE}/downloads"): Row(403, 403, 200),
    ("GET", f"{BASE}/downloads/{{id}}"): Row(403, 403, 200, "download"),
    ("POST", f"{BASE}/downloads/{{id}}/pause"): Row(403, 403, 200, "download"),
    ("GET", f"{BASE}/me"): Row(200, 200, 200),
    ("POST", f"{BASE}/keys"): Row(403, 403, 201, body={"name": "x", "permissions": []}),
    ("GET", f"{BASE}/keys"): Row(403, 403, 200),
    ("GET", f"{BASE}/keys/{{id}}"): Row(403, 403, 200, "key"),
    ("PATCH", f"{BASE}/keys/{{id}}"): Row(403, 403, 200, "key", body={"name": "y"}),
    ("DELETE", f"{BASE}/keys/{{id}}"): Row(403, 403, 200, "key"),
    ("POST", f"{BASE}/tickets"): Row(201, 201, 201, body={"path": f"{BASE}/prompts/x/events"}),
    ("POST", f"{BASE}/guard/test"): Row(403, 403, 200, body={"text": "hello"}),
    ("POST", f"{BASE}/config/reload"): Row(403, 403, 200),
    ("GET", "/healthz"): PUBLIC,
    ("GET", "/readyz"): PUBLIC,
    ("GET", "/metrics"): Row(403, 403, 200),
    ("GET", f"{BASE}/openapi.json"): PUBLIC,
    ("GET", f"{BASE}/docs"): PUBLIC,
    ("GET", f"{BASE}/docs/page.js"): PUBLIC,
    ("GET", f"{BASE}/docs/page.css"): PUBLIC,
}


async def made(server: Server, target: str) -> str:
    """A fresh object of user ada, or the name of what is there anyway."""
    if target == "final":
        return str((await server.http.finished("secret"))["id"])
    if target in ("waiting", "canceled"):
        identifier = str((await server.http.submit("secret", not_before="2099-01-01T00:00:00Z"))["id"])
        if target == "canceled":
            assert (await server.http.post(f"{BASE}/prompts/{identifier}/cancel")).status == 200
        return identifier
    if target == "thread":
        await server.http.finished("secret", thread_id="talk")
        return "talk"
    if target == "file":
        return str((await server.http.post(f"{BASE}/files", raw=b"secret")).json["id"])
    if target == "download":
        return (await server.house.walk.downloads.start(FORBIDDEN_URL)).id
    if target == "stored":
        body = {"name": f"stored-{next(_NUMBERS)}", "engine": "scripted"}
        return str((await server.admin.post(f"{BASE}/connections", body)).json["id"])
    if target == "template":
        assert (await server.admin.post(f"{BASE}/templates/hello/versions", {**WORDS, "label": "live"})).status == 201
    if target in ("chain", "run"):
        assert (await server.admin.post(f"{BASE}/templates/greet/versions", WORDS)).status == 201
        assert (await server.admin.call("PUT", f"{BASE}/chains/greeting", CHAIN)).status == 200
    if target == "run":
        return str((await server.http.post(f"{BASE}/chains/greeting/run?wait=10", {})).json["id"])
    if target == "partial":
        assert (await server.admin.call("PUT", f"{BASE}/partials/manner", {"source": "x"})).status == 200
    if target == "key":
        return (await server.house.walk.keys.store(name="x", user="ada"))[0].id
    return {"template": "hello", "chain": "greeting", "partial": "manner"}.get(target, target)


async def status(server: Server, operation: Operation, row: Row, http: Http) -> int:
    target = await made(server, row.target)
    path = filled(operation.path, {"id": target, "name": target, "type": target, "label": "live"})
    return await http.status(operation.method, path, row.body)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: f"{operation.method} {operation.path}")
async def test_who_may(shared: Server, operation: Operation) -> None:
    row = ROWS[operation.method, operation.path]
    other = await shared.client("eve")
    forged = f"{ADMIN[:-1]}0"
    revoked = await shared.client("ada")
    keys = shared.house.walk.keys
    await keys.revoke(await keys.authenticate(ADMIN), str(revoked.key).split("-")[1])
    expired = await shared.client("ada", expires=1.0)
    expected = {
        "no key": (shared.http.of(None), 200 if row is PUBLIC else 401),
        "forged key": (shared.http.of(forged), 200 if row is PUBLIC else 401),
        "revoked key": (revoked, 200 if row is PUBLIC else 401),
        "expired key": (expired, 200 if row is PUBLIC else 401),
        "other user": (other, row.other),
        "user": (shared.http, row.user),
        "admin": (shared.admin, row.admin),
    }
    told = {who: await status(shared, operation, row, http) for who, (http, _) in expected.items()}
    assert told == {who: wanted for who, (_, wanted) in expected.items()}


@pytest.mark.parametrize(
    "operation",
    [operation for operation in OPERATIONS if operation.permission is not None],
    ids=lambda operation: f"{operation.method} {operation.path}",
)
async def test_the_permission_is_what_the_table_says(shared: Server, operation: Operation) -> None:
    row = ROWS[operation.method, operation.path]
    permission = str(operation.permission)
    without = await shared.client("ada", permissions=USER_PERMISSIONS - {permission})
    alone = await shared.client("ada", permissions=frozenset({permission}))
    assert await status(shared, operation, row, without) == 403
    # nothing beyond it is needed, but for a thread, which must be seen to be followed, and for a result that is waited for
    waited = operation.path.endswith(("threads/{id}/events", "templates/{name}/run"))
    seen = {"prompt-svc:prompt:view"} if waited else set()
    if seen:
        alone = await shared.client("ada", permissions=frozenset({permission, *seen}))
    assert await status(shared, operation, row, alone) == (row.admin if row.user == 403 else row.user)


async def test_rows_are_of_the_table() -> None:
    assert set(ROWS) == {(operation.method, operation.path) for operation in OPERATIONS}


async def test_admins_see_prompts_without_their_text(shared: Server) -> None:
    prompt = await shared.http.finished("secret", metadata={"label": "kept"})
    seen = (await shared.admin.get(f"{BASE}/prompts/{prompt['id']}")).json
    assert seen["request"]["messages"] == []
    assert seen["answer"]["text"] == ""
    assert seen["answer"]["usage"] == prompt["answer"]["usage"]
    assert seen["metadata"] == {"label": "kept"}


async def test_a_key_that_only_creates_reads_nothing(shared: Server) -> None:
    prompt = await shared.http.finished("secret", id="known")
    writer = await shared.client("ada", permissions=frozenset({"prompt-svc:prompt:create"}))
    assert await writer.status("POST", f"{BASE}/prompts?wait=1", {"prompt": "x"}) == 403
    streaming = await writer.post(
        f"{BASE}/prompts", {"prompt": "x", "id": "new"}, headers={"Accept": "text/event-stream"}
    )
    assert streaming.status == 403
    assert (await shared.http.get(f"{BASE}/prompts/new")).status == 404  # refused before anything was stored
    replayed = await writer.post(f"{BASE}/prompts", {"prompt": "x", "id": prompt["id"]})
    assert replayed.json["answer"]["text"] == ""
