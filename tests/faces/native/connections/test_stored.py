"""Stored connections over the native API, as a console would use them."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from promptd.core.calls import ConnectionTestParams, ConnectionTestResult
from promptd.core.errors import AuthenticationFailed
from promptd.core.identity import USER_PERMISSIONS
from promptd.core.localisation import Key
from tests.faces.client import problem
from tests.faces.conftest import Serve
from tests.faces.native.connections.conftest import ALL, BASE, FORM, QUERY, Desk
from tests.service.connection_lab import KEY, LONGER, Printer

pytestmark = pytest.mark.slow


# ------------------------------------------------------------------ connections


async def test_saved_shown_changed_and_deleted(desk: Desk) -> None:
    made = await desk.make(proxy={"host": "p", "password": "hidden words"})
    assert (made["state"], made["served"], made["problem"], made["slots"]) == ("clean", True, "", 4)
    assert made["config"]["api_key"] == {"$secret": "api_key"}
    assert made["secrets"] == {"api_key": True, "proxy.password": True}
    assert made["report"] == {"status": "clean", "issues": [], "more": 0}
    seen = (await desk.http.get(f"{ALL}/office")).json
    assert seen == (await desk.http.get(f"{ALL}/{made['id']}")).json == made
    back = await desk.edit(seen, config=seen["config"] | {"pages": 3}, description="third floor")
    assert back.status == 200, back.body
    changed = back.json
    assert (changed["config"]["pages"], changed["description"], changed["backup"]) == (3, "third floor", True)
    assert changed["secrets"] == made["secrets"], "what a form sends back keeps them"
    problem(await desk.edit(seen, slots=2), 409, "stale_version")
    cleared = (await desk.edit(changed, config=changed["config"], clear=["proxy.password"])).json
    assert cleared["secrets"] == {"api_key": True, "proxy.password": False}
    restored = await desk.http.post(f"{ALL}/office/restore", {"changed_at": cleared["changed_at"]})
    assert restored.json["secrets"] == made["secrets"]
    assert (await desk.http.call("DELETE", f"{ALL}/{made['id']}")).status == 204
    problem(await desk.http.get(f"{ALL}/office"), 404, "not_found")


async def test_the_list_has_those_of_the_settings_and_stored_ones(desk: Desk) -> None:
    made = await desk.make()
    items = {item["name"]: item for item in (await desk.http.get(ALL)).json["items"]}
    assert items["lab"] == {"name": "lab", "engine": "scripted", "slots": 8, "busy": 0, "models": ["demo", "org/big"]}
    assert items["office"] == {
        "name": "office",
        "engine": "acme.printer",
        "slots": 4,
        "busy": 0,
        "models": [],
        "id": made["id"],
        "state": "clean",
    }
    assert (await desk.http.post(f"{ALL}/office/check")).json["ok"]


async def test_what_is_wrong_names_its_field(desk: Desk) -> None:
    await desk.make()
    wrong: dict[str, Any] = {
        "name": {"name": "a b"},
        "engine": {"engine": "acme.gone"},
        "slots": {"slots": 0},
        "config.pages": {"config": {"api_key": KEY, "pages": 1000}},
        "config.api_key": {"config": {}},
        "config.nothing": {"config": {"api_key": KEY, "nothing": 1}},
        "base_url": {"config": {"api_key": KEY, "base_url": "http://192.168.0.1"}},
    }
    for field, members in wrong.items():
        body = {"name": "new", "engine": "acme.printer", "config": {"api_key": KEY}} | members
        told = problem(await desk.http.post(ALL, body), 422, "invalid_request", field)
        assert KEY not in str(told)
    for taken in ("office", "lab"):
        body = {"name": taken, "engine": "acme.printer", "config": {"api_key": KEY}}
        problem(await desk.http.post(ALL, body), 409, "conflict")
    assert len((await desk.http.get(ALL)).json["items"]) == 2


@pytest.mark.formcycle(24)
async def test_a_stored_connection_survives_a_restart_and_its_type_going(serve: Serve) -> None:
    printer = Printer()
    async with serve(engines={"acme.printer": printer}) as server:
        made = await Desk(server, printer).make()
    async with serve() as server:
        gone = (await server.admin.get(f"{ALL}/office")).json
        assert (gone["state"], gone["served"], gone["config"]) == ("unavailable", False, None)
        listed = {item["name"]: item for item in (await server.admin.get(ALL)).json["items"]}
        assert listed["office"]["state"] == "unavailable"
        exported = (await server.admin.get(f"{ALL}/office/export")).json
        assert (exported["name"], exported["engine"]) == ("office", "acme.printer")
        (record,) = server.house.walk.stored.list()
        assert exported["config"] == {"$sealed": b64encode(record.record.settings.sealed).decode()}
        edit = {"changed_at": gone["changed_at"], "config": {}}
        problem(await server.admin.call("PUT", f"{ALL}/office", edit), 503, "handler_unavailable")
        problem(await server.admin.post(f"{ALL}/office/test"), 503, "handler_unavailable")
    async with serve(engines={"acme.printer": printer}) as server:
        assert (await server.admin.get(f"{ALL}/office")).json == made
        assert (await server.admin.call("DELETE", f"{ALL}/office")).status == 204
    async with serve() as server:
        problem(await server.admin.get(f"{ALL}/office"), 404, "not_found")


async def test_a_file_goes_up_and_into_the_settings(desk: Desk) -> None:
    upload = (await desk.http.post(f"{BASE}/files", raw=b"PEM", headers={"X-Filename": "a.pem"})).json
    made = await desk.make(certificate={"$upload": upload["id"]})
    shown = made["config"]["certificate"]
    assert (shown["size"], shown["media_type"]) == (3, upload["media_type"])
    again = (await desk.edit(made, config=made["config"] | {"pages": 2})).json
    assert again["config"]["certificate"] == shown
    body = {"name": "new", "engine": "acme.printer", "config": {"api_key": KEY, "certificate": {"$upload": "file-x"}}}
    problem(await desk.http.post(ALL, body), 422, "invalid_request", "config")


# ------------------------------------------------------------------ tests of connections


@pytest.mark.formcycle(30)
async def test_settings_are_tested_before_they_are_saved(desk: Desk) -> None:
    def test(params: ConnectionTestParams[Any]) -> ConnectionTestResult:
        key = params.connection.api_key.get_secret_value()
        if key != LONGER:
            raise AuthenticationFailed(f"the key {key} was refused")
        return ConnectionTestResult(ok=True, message=f"hello {key}", discovered={"tasks": ["copy", key]}, models=(key,))

    desk.printer.test = test
    body = {"engine": "acme.printer", "config": {"api_key": KEY}}
    failed = (await desk.http.post(f"{ALL}/test", body)).json
    assert failed == {"ok": False, "message": "the key *** was refused", "models": [], "checks": [], "discovered": {}}
    body["config"] = {"api_key": LONGER, "proxy": {"password": KEY}}
    tested = (await desk.http.post(f"{ALL}/test", body)).json
    assert tested["message"] == "hello ***", "the longer secret goes as a whole"
    assert (tested["models"], tested["discovered"]) == (["***"], {"tasks": ["copy", "***"]})
    assert len((await desk.http.get(ALL)).json["items"]) == 1, "nothing was stored"
    made = await desk.make(api_key=LONGER)
    assert made["tested"] is None
    blank = {"engine": "acme.printer", "connection": "office", "config": {"api_key": "", "pages": 2}}
    assert (await desk.http.post(f"{ALL}/test", blank)).json["ok"], "the stored secret was taken"
    assert (await desk.http.get(f"{ALL}/office")).json == made, "and nothing noted"
    assert (await desk.http.post(f"{ALL}/office/test")).json["ok"]
    seen = (await desk.http.get(f"{ALL}/office")).json
    assert (seen["tested"]["ok"], seen["tested"]["message"]) == (True, "hello ***")
    assert (await desk.edit(made, slots=2)).status == 200, "a test does not make a form stale"


@pytest.mark.formcycle(32)
async def test_a_failed_test_does_not_prevent_saving(desk: Desk) -> None:
    desk.printer.test = lambda params: ConnectionTestResult(ok=False, message=Key("promptd.test.late"))
    made = await desk.make()
    german = {"Accept-Language": "de-AT,en;q=0.5"}
    tested = (await desk.http.post(f"{ALL}/office/test", headers=german)).json
    assert (tested["ok"], tested["message"]) == (False, "Der Verbindungstest hat zu lange gedauert")
    saved = await desk.edit(made, config=made["config"] | {"pages": 2})
    assert saved.status == 200


# ------------------------------------------------------------------ who may


async def test_users_can_neither_see_nor_change_connections(desk: Desk) -> None:
    await desk.make()
    user = desk.server.http
    for method, path, body in (
        ("GET", f"{ALL}/office", None),
        ("GET", f"{ALL}/office/export", None),
        ("DELETE", f"{ALL}/office", None),
        ("POST", ALL, {"name": "x", "engine": "acme.bare"}),
        ("POST", f"{ALL}/test", {"engine": "acme.bare"}),
        ("POST", f"{ALL}/office/test", None),
        ("GET", FORM, None),
        ("GET", f"{QUERY}?connection=office", None),
        ("POST", f"{FORM}/options", {"source": "x"}),
        ("POST", f"{BASE}/vault/rotate", None),
    ):
        problem(await user.call(method, path, body), 403, "forbidden")
    viewer = await desk.server.client("eve", permissions=USER_PERMISSIONS | {"prompt-svc:connection:view"})
    assert (await viewer.get(f"{ALL}/office")).status == 200
    problem(await viewer.call("DELETE", f"{ALL}/office"), 403, "forbidden")
