"""Every endpoint of this face × who calls it. An endpoint without a row fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
import pytest_asyncio

from promptd.core.identity import ROLE_PERMISSIONS, USER_ROLE
from promptd.faces.onebackend import ENDPOINTS
from promptd.faces.onebackend.wire import Endpoint
from tests.faces.conftest import Server, run_server
from tests.faces.onebackend.clients import HOST, PROMPTS, Wire, done, register

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.slow]

FORGED = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyIxdWkiOiJhZG1pbiJ9.AAAA"
#: Services whose endpoints are asked about the door alone; what they do is looked at in their own tests.
AT_THE_DOOR = ("/model-svc/", "/file-svc/")


class Row(NamedTuple):
    """Statuses for an ordinary user who is a stranger to the target, for its owner, for a stranger who was given the
    permission, and for an admin; `target` is what the path's parameter or `{}` in the body names."""

    user: int
    owner: int
    granted: int
    admin: int
    target: str = ""
    body: Any = None
    nobody: int = 422
    wrong: int = 401


def public(status: int, body: Any = None) -> Row:
    return Row(status, status, status, status, "", body, status, status)


RULE = {"instance": {"endpoint": "/nowhere", "templateId": "blocklist", "parameters": {"blocklist": {}}}}
PASSWORDS = {"currentPassword": "wrong", "newPassword": "new"}
ROWS = {
    ("POST", "/prompt-svc/prompt"): Row(401, 200, 200, 200, body={"prompt": "x"}),
    ("POST", "/prompt-svc/prompts"): Row(401, 200, 200, 200),
    ("DELETE", "/prompt-svc/prompt/{promptId}"): Row(401, 200, 200, 200, "prompt"),
    ("POST", "/prompt-svc/remove"): Row(401, 200, 200, 200, "prompt", {"promptId": "{}"}),
    ("GET", "/prompt-svc/prompts/{threadId}/responses/subscribe"): Row(401, 200, 401, 401, "thread"),
    ("POST", "/prompt-svc/types"): public(200),
    ("POST", "/chat-svc/thread"): Row(200, 200, 200, 200, body={"title": "x"}),
    ("POST", "/chat-svc/threads"): Row(200, 200, 200, 200),
    ("GET", "/chat-svc/thread/{threadId}"): Row(200, 200, 200, 200, "thread"),
    ("DELETE", "/chat-svc/thread/{threadId}"): Row(401, 200, 401, 200, "thread"),
    ("POST", "/chat-svc/thread/{threadId}/message"): Row(401, 200, 401, 401, "thread", {"text": "x"}),
    ("POST", "/chat-svc/thread/{threadId}/messages"): Row(401, 200, 401, 401, "thread"),
    ("POST", "/chat-svc/messages"): Row(401, 200, 401, 401, "thread", {"threadId": "{}"}),
    ("GET", "/chat-svc/message/{messageId}"): Row(200, 200, 200, 200, "message"),
    ("DELETE", "/chat-svc/message/{messageId}"): Row(401, 200, 401, 200, "message"),
    ("GET", "/chat-svc/events"): public(200),
    ("PUT", "/policy-svc/instance/{instanceId}"): Row(401, 401, 200, 200, "rule-1", RULE),
    ("DELETE", "/policy-svc/instance/{instanceId}"): Row(401, 401, 200, 200, "rule-2"),
    ("POST", "/policy-svc/check"): Row(200, 200, 200, 200),
    ("POST", "/firehose-svc/event"): Row(401, 401, 200, 200, body={"event": {"name": "x"}}),
    ("GET", "/firehose-svc/events/subscribe"): Row(401, 401, 200, 200),
    ("POST", "/user-svc/login"): public(400),
    ("POST", "/user-svc/register"): public(400),
    ("POST", "/user-svc/self"): Row(200, 200, 200, 200, nobody=500),
    ("PUT", "/user-svc/self"): Row(200, 200, 200, 200),
    ("POST", "/user-svc/self/has/{permission}"): Row(200, 200, 200, 200, "prompt-svc:prompt:view"),
    ("POST", "/user-svc/refresh-token"): Row(200, 200, 200, 200),
    ("PUT", "/user-svc/token/exchange"): Row(200, 200, 200, 200, body={"newAppHost": "other.example"}),
    ("DELETE", "/user-svc/tokens"): Row(200, 200, 200, 200, body={"device": "none"}),
    ("POST", "/user-svc/change-password"): Row(500, 500, 500, 500, body=PASSWORDS),
    ("POST", "/user-svc/{userId}/reset-password"): Row(401, 401, 200, 200, "user", {"newPassword": "new"}),
    ("GET", "/user-svc/public-key"): public(200),
    ("PUT", "/user-svc/permits"): Row(200, 200, 200, 200),
    ("POST", "/user-svc/permits"): Row(401, 401, 200, 200),
    ("POST", "/user-svc/permissions"): Row(200, 200, 200, 200),
    ("POST", "/user-svc/apps"): Row(200, 200, 200, 200),
    ("POST", "/user-svc/users"): Row(401, 401, 200, 200),
    ("DELETE", "/user-svc/user/{userId}"): Row(401, 401, 200, 200, "user"),
}


class Cast(NamedTuple):
    """Who calls."""

    server: Server
    owner: Wire
    admin: Wire


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cast(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cast]:
    home = tmp_path_factory.mktemp("permissions")
    async with run_server(home, compat={"onebackend": {"default_admin": True}}) as server:
        wish = {"appHost": HOST, "slug": "1backend", "password": "changeme"}
        token = done(await server.http.of(None).post("/user-svc/login", wish))["token"]
        yield Cast(server, await register(server, "the-owner", PROMPTS), Wire(server.port, token["token"]))


_numbers = iter(range(10_000))


async def made(cast: Cast, target: str) -> str:
    """A fresh object of the owner, or the name of what is there anyway."""
    number = next(_numbers)
    if target in ("prompt", "thread"):
        return str((await cast.owner.answered("secret", id=f"made-{number}"))["prompt"]["id"])
    if target == "message":
        await cast.owner.ok("POST", "/chat-svc/thread", {"id": "of-the-owner"})
        await cast.owner.ok("POST", "/chat-svc/thread/of-the-owner/message", {"id": f"note-{number}", "text": "secret"})
        return f"note-{number}"
    if target == "user":
        return (await register(cast.server, f"victim-{number}")).user
    return target


async def status(cast: Cast, endpoint: Endpoint, row: Row, wire: Wire) -> int:
    target = quote(await made(cast, row.target), safe="")
    path = "/".join(target if part.startswith("{") else part for part in endpoint.path.split("/"))
    body = row.body
    if isinstance(body, dict):
        body = {name: target if value == "{}" else value for name, value in body.items()}
    return await wire.status(endpoint.method, path, body)


def row_of(endpoint: Endpoint) -> Row:
    return ROWS[endpoint.method, endpoint.path]


def name_of(endpoint: Endpoint) -> str:
    return f"{endpoint.method} {endpoint.path}"


WITH_ROWS = [endpoint for endpoint in ENDPOINTS if not endpoint.path.startswith(AT_THE_DOOR)]


@pytest.mark.parametrize("endpoint", WITH_ROWS, ids=name_of)
async def test_who_may(cast: Cast, endpoint: Endpoint) -> None:
    row = row_of(endpoint)
    number = next(_numbers)
    nobody = Wire(cast.server.port, None)
    granted = [str(permission) for permission in (endpoint.permissions or ())[:1]]
    told = {
        "nobody": await status(cast, endpoint, row, nobody),
        "wrong": await status(cast, endpoint, row, Wire(nobody.port, FORGED)),
        "user": await status(cast, endpoint, row, await register(cast.server, f"stranger-{number}")),
        "owner": await status(cast, endpoint, row, cast.owner),
        "granted": await status(cast, endpoint, row, await register(cast.server, f"granted-{number}", *granted)),
        "admin": await status(cast, endpoint, row, cast.admin),
    }
    assert told == {who: getattr(row, who) for who in told}


@pytest.mark.parametrize(
    "endpoint", [endpoint for endpoint in WITH_ROWS if len(endpoint.permissions or ()) > 1], ids=name_of
)
async def test_either_permission_suffices(cast: Cast, endpoint: Endpoint) -> None:
    row = row_of(endpoint)
    for permission in endpoint.permissions or ():
        if permission in ROLE_PERMISSIONS[USER_ROLE]:
            continue
        one = await register(cast.server, f"either-{next(_numbers)}", permission)
        own = row._replace(
            target="unknown" if row.target else "", body={"promptId": "unknown"} if row.target == "prompt" else row.body
        )
        assert await status(cast, endpoint, own, one) == 200


@pytest.mark.parametrize(
    "endpoint", [endpoint for endpoint in ENDPOINTS if endpoint.path.startswith(AT_THE_DOOR)], ids=name_of
)
async def test_the_door_of_other_services(cast: Cast, endpoint: Endpoint) -> None:
    """Who passes it, whatever is behind it."""
    row = Row(0, 0, 0, 0, "unknown")
    nobody = Wire(cast.server.port, None)
    asked = [status(cast, endpoint, row, wire) for wire in (nobody, Wire(nobody.port, FORGED))]
    if endpoint.permissions is None:
        assert [await one for one in asked] == [404, 404], "public, and there is nothing of that name"
        return
    assert [await one for one in asked] == [422, 401]
    user = await register(cast.server, f"stranger-{next(_numbers)}")
    refused = set(endpoint.permissions).isdisjoint(ROLE_PERMISSIONS[USER_ROLE])
    assert (await status(cast, endpoint, row, user) == 401) is (refused and bool(endpoint.permissions))
    for permission in endpoint.permissions:
        granted = await register(cast.server, f"granted-{next(_numbers)}", permission)
        assert await status(cast, endpoint, row, granted) not in (401, 403, 422)
    assert await status(cast, endpoint, row, cast.admin) not in (401, 403, 422)


async def test_rows_are_of_the_table() -> None:
    assert set(ROWS) == {(endpoint.method, endpoint.path) for endpoint in WITH_ROWS}


async def test_a_path_and_method_stand_there_once() -> None:
    names = [name_of(endpoint) for endpoint in ENDPOINTS]
    assert len(set(names)) == len(names)
