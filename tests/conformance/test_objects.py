"""§6.24, 6.26, 6.28 and 6.46 over HTTP: stored objects whose type goes, changes, or is in use."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path
from typing import Any

import pytest

from promptd.core.template import TemplateVersion, version_id
from tests.conformance.lab import BASE, CONNECTION, MODELS, Lab, opened
from tests.faces.client import problem
from tests.faces.conftest import Server, run_server

pytestmark = pytest.mark.slow

OTHER: dict[str, Any] = {"connections": {"lab": {"engine": "scripted"}}, "models": {"demo": {"connection": "lab"}}}


async def sealed(server: Server, number: int = 1) -> bytes:
    """What the database has of a query's settings."""
    found = await server.house.database.records.get(TemplateVersion, version_id("query", number))
    assert found is not None
    assert found.draft.settings is not None
    return found.draft.settings.sealed


@pytest.mark.formcycle(24)
async def test_a_query_outlives_its_type(tmp_path: Path) -> None:
    async with opened(tmp_path) as lab:
        assert (await lab.query(wording="Dear {{name}}")).status == 201
        before = await sealed(lab.server)
    async with run_server(tmp_path, **OTHER) as server:
        listed = (await server.admin.get(f"{BASE}/templates")).json["items"]
        assert [item["name"] for item in listed] == ["query"]
        ran = await server.http.post(f"{BASE}/templates/query/run", {"inputs": {"name": "Ada"}})
        problem(ran, 503, "handler_unavailable")
        assert await sealed(server) == before, "byte for byte"
    async with opened(tmp_path) as lab:
        assert (await lab.run()).json["value"]["said"] == "Dear Ada in en"
        assert await sealed(lab.server) == before


@pytest.mark.formcycle(24)
async def test_a_query_without_its_type_is_exported_sealed_and_comes_back_as_it_was(tmp_path: Path) -> None:
    async with opened(tmp_path) as lab:
        await lab.query(wording="Dear {{name}}")
        before = await sealed(lab.server)
    async with run_server(tmp_path, **OTHER) as server:
        told = (await server.admin.get(f"{BASE}/templates/query/version")).json["settings"]
        assert told == {"$sealed": b64encode(before).decode()}
        refused = await server.admin.post(f"{BASE}/templates/query/versions", _body(told))
        problem(refused, 503, "handler_unavailable")  # not editable without its type
        assert (await server.http.get(f"{BASE}/templates/query/version")).json["settings"] is None, "not for all"
    async with opened(tmp_path) as lab:
        saved = await lab.admin.post(f"{BASE}/templates/query/versions", _body(told, description="now with a word"))
        assert (saved.status, saved.json["version"]) == (201, 2)
        assert await sealed(lab.server, 2) == before, "byte for byte"
        assert (await lab.run()).json["value"]["said"] == "Dear Ada in en"


async def test_what_was_pulled_sealed_can_be_pushed_after_a_change_of_the_key(tmp_path: Path) -> None:
    async with opened(tmp_path) as lab:
        await lab.query(wording="Dear {{name}}")
    async with run_server(tmp_path, **OTHER) as server:
        told = (await server.admin.get(f"{BASE}/templates/query/version")).json["settings"]
        before = await sealed(server)
        for _ in range(2):
            assert (await server.admin.post(f"{BASE}/vault/rotate")).json["sealed"] >= 1
        assert await sealed(server) != before
    async with opened(tmp_path) as lab:
        saved = await lab.admin.post(f"{BASE}/templates/query/versions", _body(told, description="now with a word"))
        assert (saved.status, saved.json["version"]) == (201, 2)
        assert await sealed(lab.server, 2) == await sealed(lab.server)
        assert (await lab.run()).json["value"]["said"] == "Dear Ada in en"
        other = _body({**told, "wording": "x"})
        problem(
            await lab.admin.post(f"{BASE}/templates/query/versions", other), 422, "invalid_request", "settings.$sealed"
        )


async def test_sealed_settings_of_anything_else_are_refused(tmp_path: Path) -> None:
    async with opened(tmp_path) as lab:
        stored = {"name": "annex", "engine": "acme.probe", "config": {"key": "the key of the annex"}}
        assert (await lab.admin.post(f"{BASE}/connections", stored)).status == 201
        await lab.query()
        own, connection = await sealed(lab.server), lab.server.house.walk.stored.list()[0].record.settings.sealed
        for name, envelope, where in (
            ("query", connection, "office"),
            ("other", own, "office"),
            ("query", own, "annex"),
            ("query", b"", "office"),
        ):
            body = _body({"$sealed": b64encode(envelope).decode()}) | {"connection": where}
            problem(
                await lab.admin.post(f"{BASE}/templates/{name}/versions", body),
                422,
                "invalid_request",
                "settings.$sealed",
            )


def _body(settings: Any, **more: Any) -> dict[str, Any]:
    return {"connection": "office", "settings": settings, "label": "production", **more}


@pytest.mark.formcycle(24)
async def test_a_query_whose_type_is_gone_can_be_deleted(tmp_path: Path) -> None:
    async with opened(tmp_path) as lab:
        await lab.query()
    async with run_server(tmp_path, **OTHER) as server:
        assert (await server.admin.call("DELETE", f"{BASE}/templates/query")).status == 204
        problem(await server.admin.get(f"{BASE}/templates/query"), 404, "not_found")


@pytest.mark.formcycle(25)
async def test_a_connection_that_is_of_another_type_now_runs_no_query_before_it_is_saved_again(tmp_path: Path) -> None:
    async with opened(tmp_path) as lab:
        await lab.query(wording="Dear {{name}}")
        before = await sealed(lab.server)
    async with run_server(tmp_path, connections={"office": {"engine": "scripted"}}, models=MODELS) as server:
        ran = await server.http.post(f"{BASE}/templates/query/run", {"inputs": {"name": "Ada"}})
        assert "'acme.probe'" in problem(ran, 409, "config_unusable", "connection")["detail"]
        form = f"{BASE}/plugins/scripted/forms/query?template=query&connection=office"
        shown = (await server.admin.get(form)).json
        assert ("unknown_field", "wording") in {(one["kind"], one["path"]) for one in shown["report"]["issues"]}
        assert await sealed(server) == before, "nothing has changed"
        confirmed = shown["data"] | {"model": "big", "prompt": '[{"say": "{{name}}"}]'}
        assert (await server.admin.post(f"{BASE}/templates/query/versions", _body(confirmed))).status == 201
        ran = await server.http.post(f"{BASE}/templates/query/run", {"inputs": {"name": "Ada"}})
        assert (ran.status, ran.json["text"]) == (200, "Ada"), ran.body
        assert await sealed(server) == before


async def chain(lab: Lab) -> None:
    action = {"name": "greet", "template": "query", "bindings": {"name": {"kind": "literal", "value": "Ada"}}}
    saved = await lab.admin.call("PUT", f"{BASE}/chains/greeting", {"actions": [action]})
    assert saved.status == 200, saved.body


@pytest.mark.formcycle(46)
async def test_what_is_in_use_is_not_deleted_and_its_users_are_named(tmp_path: Path) -> None:
    async with opened(tmp_path) as lab:
        stored = {"name": "annex", "engine": "acme.probe", "config": {"key": "k"}}
        assert (await lab.admin.post(f"{BASE}/connections", stored)).status == 201
        body = {"connection": "annex", "settings": {}, "label": "production"}
        assert (await lab.admin.post(f"{BASE}/templates/query/versions", body)).status == 201
        await chain(lab)
        refused = problem(await lab.admin.call("DELETE", f"{BASE}/connections/annex"), 409, "conflict")
        assert "query" in refused["detail"]
        refused = problem(await lab.admin.call("DELETE", f"{BASE}/templates/query"), 409, "conflict")
        assert "greeting" in refused["detail"]
        for path in ("chains/greeting", "templates/query", "connections/annex"):
            assert (await lab.admin.call("DELETE", f"{BASE}/{path}")).status == 204, path


@pytest.mark.formcycle(26)
async def test_a_changed_placeholder_changes_the_inputs_and_flags_the_chain(tmp_path: Path) -> None:
    async with opened(tmp_path) as lab:
        await lab.query(wording="Dear {{name}}")
        await chain(lab)
        function = f"{BASE}/templates/query/function"
        assert next(iter((await lab.admin.get(function)).json["input_schema"]["properties"])) == "name"
        assert (await lab.admin.get(f"{BASE}/chains/greeting")).json["stale"] == []
        await lab.query(wording="Dear {{name}}!")
        assert (await lab.admin.get(f"{BASE}/chains/greeting")).json["stale"] == [], "inputs and outputs are the same"
        await lab.query(wording="Dear {{title}} {{name}}")
        assert list((await lab.admin.get(function)).json["input_schema"]["properties"])[:2] == ["title", "name"]
        assert (await lab.admin.get(f"{BASE}/chains/greeting")).json["stale"] == ["greet"]
        await lab.admin.call("DELETE", f"{BASE}/chains/greeting")


@pytest.mark.formcycle(28)
async def test_schema_and_document_of_a_query_agree(tmp_path: Path) -> None:
    async with opened(tmp_path, models=MODELS, connections=CONNECTION) as lab:
        await lab.query(wording="{{first}} {{second}}")
        schema = (await lab.admin.get(f"{BASE}/templates/query/function")).json["input_schema"]
        assert list(schema["properties"]) == ["first", "second", "count", "note"]
        assert schema["required"] == ["first", "second"]
        assert schema["additionalProperties"] is False
