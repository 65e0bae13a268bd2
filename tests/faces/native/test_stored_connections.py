"""Stored connections, plugins and forms over the native API, as a console would use them."""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from promptd.core.calls import Call, ConnectionTestParams, ConnectionTestResult, Result
from promptd.core.engine import Engine
from promptd.core.errors import AuthenticationFailed, SettingsError
from promptd.core.forms import FieldMessage, Form, FormContext, FormPatch
from promptd.core.identity import USER_PERMISSIONS
from promptd.core.localisation import Key
from promptd.registry import PluginProblem
from tests.faces.client import Http, Response, problem
from tests.faces.conftest import Serve, Server, installed
from tests.service.connection_lab import KEY, LONGER, Bare, Brittle, Logic, Printer, PrinterConfig, Scanner

pytestmark = pytest.mark.slow

BASE = "/promptd/v1"
ALL = f"{BASE}/connections"
FORM = f"{BASE}/plugins/acme.printer/forms/connection"
QUERY = f"{BASE}/plugins/acme.printer/forms/query"


class Desk:
    """A server with the printer's handler, and its administrator."""

    def __init__(self, server: Server, printer: Printer) -> None:
        self.server, self.printer = server, printer
        self.http: Http = server.admin

    async def make(self, name: str = "office", **config: Any) -> Any:
        body = {"name": name, "engine": "acme.printer", "config": {"api_key": KEY, **config}}
        made = await self.http.post(ALL, body)
        assert made.status == 201, made.body
        return made.json

    async def edit(self, seen: Any, **members: Any) -> Response:
        return await self.http.call("PUT", f"{ALL}/{seen['id']}", {"changed_at": seen["changed_at"], **members})


@pytest.fixture
async def desk(serve: Serve) -> AsyncIterator[Desk]:
    printer = Printer()
    engines = {engine.type_id: engine for engine in (printer, Brittle(), Bare())}
    async with serve(engines=engines) as server:
        yield Desk(server, printer)


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


# ------------------------------------------------------------------ secrets


@pytest.mark.formcycle(9)
async def test_no_secret_leaves_the_server(serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Everything that can be asked is asked, everything that can fail fails, and nobody says the secret."""
    caplog.set_level(logging.DEBUG)
    printer = Printer()
    printer.logic = logic = Logic()
    secrets = (KEY, "hidden-words-too")

    async def test(params: ConnectionTestParams[Any]) -> ConnectionTestResult:
        key = params.connection.api_key.get_secret_value()
        params.log.warning("calling with %s", key, extra={"header": f"Bearer {key}"})
        params.log.error("and again", exc_info=ValueError(key))
        raise RuntimeError(f"401 for {key}")

    def patch(draft: Any) -> FormPatch:
        key = draft.connection.api_key.get_secret_value()
        return FormPatch(
            values={"base_url": f"https://{key}.example", "api_key": key}, messages=[FieldMessage("", key)]
        )

    printer.test, logic.patch = test, patch
    said: list[bytes] = []
    async with serve(engines={"acme.printer": printer, "acme.brittle": Brittle()}) as server:
        http = server.admin
        body = {
            "name": "office",
            "engine": "acme.printer",
            "config": {"api_key": KEY, "proxy": {"password": "hidden-words-too"}},
        }
        made = (await http.post(ALL, body)).json
        draft = {"config": made["config"], "connection": "office"}
        wrong = body | {"config": body["config"] | {"base_url": KEY, "pages": KEY, "mode": KEY, KEY: KEY}}  # type: ignore[operator]
        asked: list[tuple[str, str, Any]] = [
            ("GET", ALL, None),
            ("GET", f"{ALL}/office", None),
            ("GET", f"{ALL}/office/export", None),
            ("GET", f"{FORM}?connection=office", None),
            ("GET", f"{QUERY}?connection=office", None),
            ("POST", f"{ALL}/office/test", None),
            ("POST", f"{ALL}/test", {"engine": "acme.printer", **draft}),
            ("POST", f"{ALL}/office/check", None),
            ("POST", f"{FORM}/options", draft | {"source": "models"}),
            ("POST", f"{FORM}/change", draft | {"path": "mode"}),
            ("POST", f"{FORM}/action", draft | {"action": "load"}),
            ("POST", f"{FORM}/validate", draft),
            ("POST", f"{QUERY}/options", {"connection": "office", "source": "tasks"}),
            ("POST", ALL, wrong | {"name": "other"}),
            ("PUT", f"{ALL}/office", {"changed_at": made["changed_at"], "config": wrong["config"]}),
            ("GET", f"{BASE}/plugins", None),
            ("GET", f"{BASE}/openapi.json", None),
            ("POST", f"{ALL}/office/restore", {"changed_at": made["changed_at"]}),
            ("POST", f"{BASE}/vault/rotate", None),
            ("GET", f"{ALL}/office", None),
        ]
        for method, path, given in asked:
            answer = await http.call(method, path, given)
            assert answer.status < 500, (path, answer.body)
            for secret in secrets:
                # a path may repeat what the client itself just made a name of
                body_said = answer.body.replace(f"config.{KEY}".encode(), b"")
                assert secret.encode() not in body_said, (method, path, answer.body)
            said.append(answer.body)
    assert len(printer.tested) == 3
    for record in caplog.records:
        shown = f"{record.getMessage()} {record.__dict__} {record.exc_text}"
        if record.exc_info and record.exc_info[1] is not None:
            shown += repr(record.exc_info[1])
        for secret in secrets:
            assert secret not in shown, record
    assert any("401 for ***" in record.getMessage() for record in caplog.records), "the log knows why, without it"


class Leaky(Engine[PrinterConfig]):
    """Quotes its key wherever it can."""

    type_id = "acme.leaky"

    async def execute(self, call: Call[PrinterConfig]) -> Result:
        key = call.connection.api_key.get_secret_value()
        fault = call.messages[-1].content
        if fault == "known":
            error = AuthenticationFailed(f"{key} is wrong", detail=f"{key} is wrong")
            error.native = (401, f'{{"error": "{key} is wrong"}}'.encode())
            raise error
        raise RuntimeError(f"no use for {key}")

    async def count(self, call: Call[PrinterConfig]) -> int | None:
        raise AuthenticationFailed(f"{call.connection.api_key.get_secret_value()} is wrong")


@pytest.mark.parametrize("fault", ["known", "unknown"])
@pytest.mark.formcycle(9, 43)
async def test_no_secret_is_in_the_history_of_a_run(
    serve: Serve, tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    caplog.set_level(logging.DEBUG)
    connections = {"leaky": {"engine": "acme.leaky", "api_key": LONGER, "proxy": {"password": KEY}}}
    sections = {"connections": connections, "models": {"demo": {"connection": "leaky"}}}
    async with serve(engines={"acme.leaky": Leaky()}, **sections) as server:
        asked = {"prompt": fault, "id": "run", "max_attempts": 1}
        said = [(await server.http.post(f"{BASE}/prompts?wait=20", asked)).body]
        said += [(await server.http.get(f"{BASE}/prompts/run{path}")).body for path in ("", "/attempts", "/events")]
        body = {"model": "demo", "messages": [{"role": "user", "content": fault}]}
        said.append((await server.http.post("/v1/chat/completions", body)).body)
        message = body | {"max_tokens": 5}
        said.append((await server.http.post("/v1/messages", message)).body)
        said.append((await server.http.post("/v1/messages/count_tokens", body)).body)
    assert sum(b"*** is wrong" in one for one in said) >= (4 if fault == "known" else 0)
    for one in said:
        assert b"correct-horse" not in one, one
    database = b"".join(file.read_bytes() for file in tmp_path.glob("promptd.db*"))
    assert b"correct-horse" not in database
    assert "correct-horse" not in "".join(record.getMessage() for record in caplog.records)


async def test_rotation_reseals_and_a_given_key_is_left_to_the_operator(serve: Serve, tmp_path: Path) -> None:
    printer = Printer()
    async with serve(engines={"acme.printer": printer}) as server:
        made = await Desk(server, printer).make()
        before = (tmp_path / "vault.key").read_text()
        assert (await server.admin.post(f"{BASE}/vault/rotate")).json == {"sealed": 1, "forgotten": True}
        after = (tmp_path / "vault.key").read_text()
        assert after != before
        assert len(after.splitlines()) == 1
    async with serve(engines={"acme.printer": printer}) as server:
        assert (await server.admin.get(f"{ALL}/office")).json == made
    old, new = after.strip(), before.strip()  # any two keys
    async with serve(engines={"acme.printer": printer}, vault={"key": old}) as server:
        assert (await server.admin.get(f"{ALL}/office")).json == made
        problem(await server.admin.post(f"{BASE}/vault/rotate"), 409, "conflict")
    async with serve(engines={"acme.printer": printer}, vault={"key": f"{new}, {old}"}) as server:
        assert (await server.admin.post(f"{BASE}/vault/rotate")).json == {"sealed": 1, "forgotten": False}
    async with serve(engines={"acme.printer": printer}, vault={"key": new}) as server:
        assert (await server.admin.get(f"{ALL}/office")).json == made


async def test_a_key_that_can_not_be_one_stops_the_start(serve: Serve, tmp_path: Path) -> None:
    for wrong in ({"key": "pv1 nonsense"}, {"path": str(tmp_path)}):
        with pytest.raises(SettingsError, match="vault") as caught:
            async with serve(vault=wrong):
                pass
        assert caught.value.key == "vault"
        assert "nonsense" not in caught.value.message


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
