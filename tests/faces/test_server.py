"""Models, connections, keys, health, metrics, pages, and the front that finds all paths."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

from promptd.core.model import Capability
from promptd.faces import Front, Mount
from tests.faces.client import problem
from tests.faces.conftest import Serve, Server

BASE = "/promptd/v1"


async def test_models(server: Server) -> None:
    listed = (await server.http.get(f"{BASE}/models")).json["items"]
    assert [(model["name"], model["default"], model["status"]) for model in listed] == [
        ("demo", True, "ready"),
        ("org/big", False, "ready"),
    ]
    assert listed[0]["connection"] == "lab"
    assert listed[0]["capabilities"] == sorted(set(Capability) - {Capability.QUERY})  # of the scripted engine
    started = await server.admin.post(f"{BASE}/models/org%2Fbig/start")
    assert (started.status, started.json["name"]) == (200, "org/big")
    assert (await server.admin.post(f"{BASE}/models/org%2Fbig/stop")).status == 200
    problem(await server.admin.post(f"{BASE}/models/none/start"), 404, "not_found")


async def test_connections(server: Server, tmp_path: Path) -> None:
    await server.http.finished("x")
    await server.http.submit([{"wait_file": str(tmp_path / "go")}])
    await server.http.submit("x", not_before="2099-01-01T00:00:00Z")
    expected = {
        "items": [{"name": "lab", "engine": "scripted", "slots": 8, "busy": 1, "models": ["demo", "org/big"]}],
        "waiting": 1,
    }
    while (await server.admin.get(f"{BASE}/connections")).json != expected:
        pass  # a claim under way holds all free slots for a moment
    (tmp_path / "go").touch()
    checked = await server.admin.post(f"{BASE}/connections/lab/check")
    assert checked.json == {"ok": True, "message": "", "models": []}
    problem(await server.admin.post(f"{BASE}/connections/none/check"), 404, "not_found")


async def test_keys(server: Server) -> None:
    admin = server.admin
    wanted = {"name": "app", "user": "bob", "team": "red", "expires_at": "2099-01-01T00:00:00+01:00"}
    created = await admin.post(f"{BASE}/keys", wanted)
    assert created.status == 201
    assert created.headers["cache-control"] == "no-store"
    key = created.json
    secret = key.pop("key")
    assert (key["user"], key["team"], key["admin"], key["revoked_at"]) == ("bob", "red", False, None)
    assert key["expires_at"] == "2098-12-31T23:00:00.000Z"
    bob = server.http.of(secret)
    me = (await bob.get(f"{BASE}/me")).json
    assert me == {"user": "bob", "key": key["id"], "team": "red", "admin": False, "permissions": key["permissions"]}
    pages: list[Any] = []
    after: str | None = ""
    while after is not None:
        listed = (await admin.get(f"{BASE}/keys?limit=1{'&after=' + after if after else ''}")).json
        pages += listed["items"]
        after = listed["after"]
    assert key in pages
    assert len({page["id"] for page in pages}) == len(pages) >= 3
    assert secret not in str(pages)
    assert (await admin.get(f"{BASE}/keys/{key['id']}")).json == key
    daily = {"name": "daily", "metric": "cost", "limit": 5_000_000_000, "period": "day", "models": ["gpt-*"]}
    rate = {"name": "rate", "metric": "requests", "limit": 60, "window": 1.5, "burst": 2}
    changes = {
        "models": ["gpt-*", "demo"],
        "limits": [daily, rate],
        "keep": True,
        "retention": 60.0,
        "labels": {"app": "shop"},
        "expires_at": None,
    }
    changed = await admin.call("PATCH", f"{BASE}/keys/{key['id']}", changes)
    assert changed.status == 200
    nothing: dict[str, Any] = {"window": None, "period": None, "burst": None, "models": []}
    assert changed.json == key | changes | {"limits": [nothing | daily, nothing | rate]}
    assert (await admin.call("PATCH", f"{BASE}/keys/{key['id']}", {})).json == changed.json
    for wrong_change, field in (
        ({"limits": [daily, daily]}, "limits[1].name"),
        ({"limits": [daily | {"window": 5.0}]}, "limits[0].window"),
        ({"limits": [{"name": "x", "metric": "requests", "limit": 0}]}, "limits[0].limit"),
        ({"models": [""]}, "models[0]"),
        ({"labels": {"": "x"}}, "labels"),
    ):
        problem(await admin.call("PATCH", f"{BASE}/keys/{key['id']}", wrong_change), 422, "invalid_request", field)
    problem(await bob.call("PATCH", f"{BASE}/keys/{key['id']}", {"limits": []}), 403, "forbidden")
    problem(await admin.call("PATCH", f"{BASE}/keys/none", {"name": "x"}), 404, "not_found")
    revoked = await admin.call("DELETE", f"{BASE}/keys/{key['id']}")
    assert revoked.json["revoked_at"] is not None
    problem(await bob.get(f"{BASE}/me"), 401, "unauthenticated")
    problem(await admin.call("DELETE", f"{BASE}/keys/none"), 404, "not_found")
    problem(await admin.post(f"{BASE}/keys", {"name": ""}), 422, "invalid_request", "name")
    wrong = await admin.post(f"{BASE}/keys", {"name": "x", "permissions": ["all"]})
    problem(wrong, 422, "invalid_request", "permissions")
    past = await admin.post(f"{BASE}/keys", {"name": "x", "expires_at": "2001-01-01T00:00:00Z"})
    problem(past, 422, "invalid_request", "expires_at")


async def test_nobody_gives_away_more_than_they_have(server: Server) -> None:
    maker = await server.client("ada", permissions=frozenset({"user-svc:key:edit"}))
    for wanted in ({"admin": True}, {"user": "bob"}, {"permissions": ["prompt-svc:prompt:view"]}):
        problem(await maker.post(f"{BASE}/keys", {"name": "x", "permissions": [], **wanted}), 403, "forbidden")
    assert (await maker.post(f"{BASE}/keys", {"name": "x", "permissions": []})).json["user"] == "ada"
    assert {key["user"] for key in (await maker.get(f"{BASE}/keys")).json["items"]} == {"ada"}


async def test_health_and_readiness(server: Server) -> None:
    nobody = server.http.of(None)
    assert (await nobody.get("/healthz")).json == {"status": "ok"}
    assert (await nobody.get("/readyz")).json == {"status": "ready"}
    head = await nobody.call("HEAD", "/healthz")
    assert (head.status, head.body) == (200, b"")
    stream = await server.http.call("HEAD", f"{BASE}/prompts/x/events")
    assert (stream.status, stream.headers["allow"]) == (405, "GET")
    await server.house.walk.worker.drain(0)
    draining = await nobody.get("/readyz")
    assert (draining.status, draining.json) == (503, {"status": "draining"})
    refused = await server.http.post(f"{BASE}/prompts", {"prompt": "x"})
    problem(refused, 503, "shutting_down")
    assert int(refused.headers["retry-after"]) >= 1
    assert (await nobody.get("/healthz")).status == 200


async def test_metrics(server: Server) -> None:
    await server.http.finished("x")
    told = await server.admin.get("/metrics")
    assert told.headers["content-type"].startswith("text/plain")
    assert b'promptd_submitted_total{model="demo"} 1.0' in told.body


async def test_open_metrics(serve: Serve) -> None:
    async with serve(server={"open_metrics": True}) as server:
        assert (await server.http.of(None).get("/metrics")).status == 200


@pytest.mark.parametrize(("path", "kind"), [("docs", "html"), ("docs/page.js", "javascript"), ("docs/page.css", "css")])
async def test_pages_load_nothing_from_elsewhere(server: Server, path: str, kind: str) -> None:
    page = await server.http.of(None).get(f"{BASE}/{path}")
    assert page.status == 200
    assert kind in page.headers["content-type"]
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert page.headers["x-content-type-options"] == "nosniff"
    text = page.body.decode()
    assert len(text) > 500
    for outside in ("http://", "https://", "//cdn", "@import", "style=", "<style", "onclick", "innerHTML", "eval("):
        assert outside not in text.replace("http://www.w3.org/2000/svg", ""), outside


# ---------------------------------------------------------------- the front


class App:
    """Notes the path's parameters."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.seen.append(scope.get("path_params"))


async def ask(front: Front, method: str, path: str) -> list[Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    scope = {"type": "http", "method": method, "path": path, "headers": [], "query_string": b""}
    await front(scope, receive, send)
    return sent


async def test_front_finds_items_and_refuses_doubles() -> None:
    one, two = App(), App()
    front = Front([Mount(hot={("GET", "/a"): one}, items={("GET", "/a/"): two})])
    assert await ask(front, "GET", "/a") == []
    assert await ask(front, "GET", "/a/x") == []
    assert (one.seen, two.seen) == ([None], [{"id": "x"}])
    for method, path in (("POST", "/a"), ("GET", "/a/"), ("GET", "/a/x/y"), ("GET", "/b/x")):
        assert (await ask(front, method, path))[0]["status"] == 404, path
    with pytest.raises(ValueError, match="two faces serve GET /a"):
        Front([Mount(hot={("GET", "/a"): one}), Mount(hot={("GET", "/a"): two})])
