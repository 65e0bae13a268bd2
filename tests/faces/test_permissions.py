"""Every operation of the route table × who calls it. An operation without a row fails."""

from __future__ import annotations

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


class Row(NamedTuple):
    """Statuses for another user, the owner and an admin; `target` is what the path's parameter names."""

    other: int
    user: int
    admin: int
    target: str = ""
    body: Any = None


PUBLIC = Row(200, 200, 200)
FORBIDDEN_URL = "http://127.0.0.1:9/x"  # egress refuses to call it
RULE = {"rules": [{"status": "canceled", "older_than_seconds": 1e9}], "dry_run": True}
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
    if target == "key":
        return (await server.house.walk.keys.store(name="x", user="ada"))[0].id
    return target


async def status(server: Server, operation: Operation, row: Row, http: Http) -> int:
    target = await made(server, row.target)
    path = filled(operation.path, {"id": target, "name": target})
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
    # nothing beyond it is needed, but for a thread, which must be seen to be followed
    seen = {"prompt-svc:prompt:view"} if operation.path.endswith("threads/{id}/events") else set()
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
