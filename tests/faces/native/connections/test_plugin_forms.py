"""Plugins and their forms over the native API."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from promptd.core.forms import FieldMessage, Form, FormContext, FormPatch
from promptd.registry import PluginProblem
from tests.faces.client import problem
from tests.faces.conftest import Serve, installed
from tests.faces.native.connections.conftest import ALL, BASE, FORM, QUERY, Desk
from tests.service.connection_lab import KEY, Bare, Logic, Printer, Scanner

pytestmark = pytest.mark.slow


# ------------------------------------------------------------------ plugins and forms


@pytest.mark.formcycle(2, 6)
async def test_types_are_listed_and_problems_only_for_admins(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serve(engines={"acme.printer": Printer(), "acme.bare": Bare()}) as server:
        found = (await server.http.get(f"{BASE}/plugins")).json
        types = {item["type"]: item for item in found["items"]}
        assert set(types) == {"acme.printer", "acme.bare", "scripted"}
        assert (types["acme.printer"]["queries"], types["acme.bare"]["queries"]) == (True, False)
        assert types["acme.bare"]["icon"] == {"name": "neutral", "svg": ""}
        assert types["acme.bare"]["name"] == "service.name", "an unknown key is its own text"
    broken = PluginProblem("acme", "promptd.engines:acme", "ImportError: no ink", "Traceback …")
    monkeypatch.setattr("tests.faces.conftest.installed", lambda: replace(installed(), problems=(broken,)))
    async with serve() as server:
        assert (await server.http.get(f"{BASE}/plugins")).json["problems"] == []
        assert (await server.admin.get(f"{BASE}/plugins")).json["problems"] == [
            {
                "plugin": "acme",
                "entry": "promptd.engines:acme",
                "reason": "ImportError: no ink",
                "traceback": "Traceback …",
                "severity": "error",
            }
        ]


async def test_a_new_form_and_one_of_a_stored_connection(desk: Desk) -> None:
    fresh = (await desk.http.get(FORM)).json
    assert fresh["data"]["base_url"] == "https://printer.example"
    assert fresh["secrets"] == {"api_key": False, "proxy.password": False}
    assert {node["scope"] for node in fresh["ui"]["elements"]} == set(fresh["elements"])
    made = await desk.make(pages=3)
    stored = (await desk.http.get(f"{FORM}?connection=office")).json
    assert (stored["data"]["pages"], stored["data"]["api_key"]) == (3, {"$secret": "api_key"})
    assert stored["object_id"] == made["id"]
    other = (await desk.http.get(f"{BASE}/plugins/acme.brittle/forms/connection")).json
    ids = [*fresh["elements"].values(), *stored["elements"].values(), *other["elements"].values()]
    assert len(set(ids)) == len(ids), "forms on one page have no common element"
    problem(
        await desk.http.get(f"{BASE}/plugins/acme.brittle/forms/connection?connection=office"),
        422,
        "invalid_request",
        "connection",
    )
    problem(await desk.http.get(f"{BASE}/plugins/acme.gone/forms/connection"), 404, "not_found")
    problem(await desk.http.get(f"{FORM}?connection=nobody"), 404, "not_found")


@pytest.mark.parametrize("fault", ["raises", "exits", "nonsense", "scope", "markup"])
@pytest.mark.formcycle(7, 8)
async def test_a_broken_form_costs_its_panel_only(desk: Desk, fault: str) -> None:
    made = await desk.make()

    def form(context: FormContext) -> Any:
        if fault == "raises":
            raise RuntimeError(f"no form for {KEY}")
        if fault == "exits":
            raise SystemExit(3)
        if fault == "nonsense":
            return {"schema": 1}
        ui: dict[str, Any] = {"type": "Control", "scope": "#/properties/nowhere"}
        if fault == "markup":
            ui = {"type": "Text", "text": "<script>alert(1)</script>"}
        return Form({"type": "object", "properties": {}}, ui)

    desk.printer.form = form
    shown = await desk.http.get(f"{FORM}?connection=office", headers={"Accept-Language": "de"})
    assert shown.status == 200
    told = shown.json
    assert (told["schema"], told["ui"]) == (None, None)
    assert told["message"] == "Dieses Formular konnte nicht geladen werden"
    assert told["problems"]
    assert KEY not in shown.body.decode()
    renamed = await desk.edit(made, name="desk", description="still works")
    assert renamed.status == 200
    saved = await desk.edit(renamed.json, config=renamed.json["config"] | {"pages": 4})
    assert saved.status == 200, "its settings are not locked in"
    assert (await desk.http.call("DELETE", f"{ALL}/desk")).status == 204


@pytest.mark.formcycle(8)
async def test_no_query_form_before_a_connection_is_chosen(desk: Desk) -> None:
    told = problem(await desk.http.get(QUERY), 422, "invalid_request", "connection")
    assert "Choose a connection first" in told["detail"]
    for verb, more in (
        ("options", {"source": "x"}),
        ("change", {"path": "task"}),
        ("validate", {}),
        ("action", {"action": "a"}),
    ):
        problem(await desk.http.post(f"{QUERY}/{verb}", {"config": {}, **more}), 422, "invalid_request", "connection")
    problem(await desk.http.get(f"{QUERY}?connection=lab"), 422, "invalid_request", "connection")
    await desk.make()
    form = (await desk.http.get(f"{QUERY}?connection=office")).json
    assert (form["kind"], form["data"]) == ("query", {"task": "copy", "token": ""})


@pytest.mark.formcycle(11)
async def test_callbacks_work_on_drafts_and_see_the_connection(desk: Desk) -> None:
    await desk.make(base_url="https://stored.example")
    desk.printer.logic = logic = Logic()
    asked = {"source": "tasks", "search": "co", "revision": 7, "connection": "office", "config": {"task": "unsaved"}}
    answer = (await desk.http.post(f"{QUERY}/options", asked)).json
    assert answer["revision"] == 7
    assert answer["options"]["tasks"] == [
        {"value": "tasks-co", "label": "tasks-co", "description": "", "group": ""},
        {"value": "https://stored.example", "label": "at ***", "description": "", "group": ""},
    ]
    draft = logic.drafts[-1]
    assert (draft.query.task, draft.connection.api_key.get_secret_value(), draft.revision) == ("unsaved", KEY, 7)
    own = {"source": "x", "connection": "office", "config": {"base_url": "https://unsaved.example"}}
    answer = (await desk.http.post(f"{FORM}/options", own)).json
    assert answer["options"]["x"][1]["value"] == "https://unsaved.example"
    assert logic.drafts[-1].connection.api_key.get_secret_value() == KEY, "a blank secret is the stored one"
    changed = {"path": "mode", "config": {"mode": "colour"}, "changed": ["mode"], "revision": 3}
    answer = (await desk.http.post(f"{FORM}/change", changed)).json
    assert answer == {"revision": 3, "values": {"pages": 7}, "options": {}, "messages": [], "ui": None}
    assert logic.drafts[-1].changed == frozenset({"mode"})
    pressed = {"action": "load", "config": {}, "revision": 4}
    assert (await desk.http.post(f"{FORM}/action", pressed)).json["values"] == {"pages": 7}
    stored = (await desk.http.get(f"{ALL}/office")).json
    assert stored["config"]["base_url"] == "https://stored.example", "drafts change nothing that is stored"


@pytest.mark.parametrize("fault", ["raises", "exits", "cancels", "nonsense", "unknown", "late"])
@pytest.mark.formcycle(12)
async def test_a_failing_callback_keeps_the_values_and_says_so(serve: Serve, fault: str) -> None:
    printer = Printer()
    printer.logic = logic = Logic()
    never = asyncio.Event()

    def patch(draft: Any) -> Any:
        if fault == "raises":
            raise RuntimeError(f"with {draft.connection.api_key.get_secret_value()}")
        if fault == "exits":
            raise SystemExit(1)
        if fault == "cancels":
            raise asyncio.CancelledError
        return 5 if fault == "nonsense" else FormPatch(values={"nowhere": 1})

    async def late(path: str, draft: Any) -> FormPatch | None:
        await never.wait()
        return None

    logic.patch = patch
    if fault == "late":
        logic.on_change = late  # type: ignore[method-assign]
    async with serve(engines={"acme.printer": printer}, stored_connections={"callback_seconds": 0.3}) as server:
        body = {"path": "mode", "config": {"api_key": KEY, "mode": "colour"}, "revision": 9}
        answer = await server.admin.post(f"{FORM}/change", body)
        assert answer.status == 200, answer.body
        told = answer.json
        assert (told["revision"], told["values"], told["ui"]) == (9, {}, None)
        assert [message["level"] for message in told["messages"]] == ["error"]
        assert told["messages"][0]["message"] == "The form's logic failed; your entries are kept"
        assert KEY not in answer.body.decode()


async def test_everything_that_forbids_to_save_is_told_at_once(desk: Desk) -> None:
    body = {"config": {"pages": 0, "base_url": "", "mode": "loud"}, "revision": 2}
    told = (await desk.http.post(f"{FORM}/validate", body, headers={"Accept-Language": "en"})).json
    assert {message["path"] for message in told["messages"]} == {"pages", "base_url", "mode", "api_key"}
    assert told["revision"] == 2
    assert (await desk.http.post(f"{FORM}/validate", {"config": {"api_key": "x"}})).json["messages"] == []
    desk.printer.logic = logic = Logic()
    logic.messages = [FieldMessage("proxy.host", "does not fit the key " + KEY)]
    body = {"config": {"api_key": KEY}}
    told = (await desk.http.post(f"{FORM}/validate", body)).json
    assert told["messages"] == [{"path": "proxy.host", "message": "does not fit the key ***", "level": "error"}]
    refused = await desk.http.post(ALL, {"name": "x", "engine": "acme.printer", **body})
    assert KEY not in str(problem(refused, 422, "invalid_request", "config.proxy.host"))
    logic.messages = [FieldMessage("pages", "that is few", "warning")]
    assert (await desk.http.post(ALL, {"name": "x", "engine": "acme.printer", **body})).status == 201


@pytest.mark.formcycle(25)
async def test_a_query_that_moves_to_another_type_is_shown_first(serve: Serve) -> None:
    async with serve(engines={"acme.printer": Printer(), "acme.scanner": Scanner()}) as server:
        http = server.admin
        for name in ("printer", "scanner"):
            made = {"name": name, "engine": f"acme.{name}", "config": {"api_key": KEY}}
            assert (await http.post(ALL, made)).status == 201
        query = {"connection": "printer", "settings": {"task": "copy", "token": "hidden-token"}}
        saved = await http.post(f"{BASE}/templates/letters/versions", query)
        assert saved.status == 201, saved.body
        versions = await http.get(f"{BASE}/templates/letters/versions")
        own = (await http.get(f"{QUERY}?template=letters")).json
        assert own["data"] == {"task": "copy", "token": {"$secret": "token"}}
        assert own["report"]["status"] == "clean"
        other = f"{BASE}/plugins/acme.scanner/forms/query"
        moved = await http.get(f"{other}?template=letters&connection=scanner")
        assert moved.json["data"] == {"task": "copy", "resolution": None}
        assert moved.json["report"]["status"] == "incomplete"
        issues = {(issue["kind"], issue["path"]) for issue in moved.json["report"]["issues"]}
        assert issues == {("unknown_field", "token"), ("required", "resolution")}
        assert b"hidden-token" not in moved.body
        problem(await http.get(f"{other}?template=letters"), 422, "invalid_request", "connection")
        problem(await http.get(f"{other}?template=none&connection=scanner"), 404, "not_found")
        assert (await http.get(f"{BASE}/templates/letters/versions")).body == versions.body, "nothing has changed"
        asked = {"template": "letters", "config": {"task": "copy", "token": ""}}
        assert (await http.post(f"{QUERY}/validate", asked)).json["messages"] == []
        confirmed = {"connection": "scanner", "settings": {"task": "copy", "resolution": 300}}
        assert (await http.post(f"{BASE}/templates/letters/versions", confirmed)).status == 201
        problem(await http.call("DELETE", f"{ALL}/scanner"), 409, "conflict")
        assert (await http.call("DELETE", f"{ALL}/printer")).status == 204
