"""Versions that are not saved yet, over HTTP: looked at, tried, and left no trace of; and the settings of queries."""

from __future__ import annotations

from typing import Any

import pytest

from promptd.core.identity import PROMPT_CREATE, TEMPLATE_VIEW
from tests.faces.client import problem
from tests.faces.conftest import Serve, Server
from tests.service.templates.lab import Post

BASE = "/promptd/v1/templates"
SAYS = '[{"say": "{{ word }}"}]'
CASES: list[dict[str, Any]] = [
    {"name": "yes", "inputs": {"word": "yes"}, "assertions": [{"kind": "equals", "value": "yes"}]},
    {"name": "no", "inputs": {"word": "no"}, "assertions": [{"kind": "equals", "value": "yes"}]},
    {"name": "nothing", "inputs": {}},
]


async def test_a_draft_is_described_and_not_saved(server: Server) -> None:
    body = {"messages": [{"source": SAYS}], "description": "Says it"}
    shown = await server.admin.post(f"{BASE}/say/versions/check", body)
    assert (shown.status, shown.json["version"], shown.json["input_schema"]["required"]) == (200, 0, ["word"])
    assert (await server.http.get(BASE)).json["items"] == []
    problem(await server.http.post(f"{BASE}/say/versions/check", body), 403, "forbidden")


@pytest.mark.parametrize("verb", ["check", "test"])
@pytest.mark.parametrize(
    ("name", "body", "field"),
    [
        ("t", {"messages": [{"source": "{{ oops"}]}, "messages[0].source"),
        ("t", {"messages": []}, "messages"),
        ("t", {"messages": [{"source": "x"}], "inputs": [{"name": "1"}]}, "inputs[0].name"),
        ("t", {"messages": [{"source": "x"}], "output": {"kind": "json", "schema": {"type": 1}}}, "output.schema"),
        ("a%20b", {"messages": [{"source": "x"}]}, "name"),
    ],
)
async def test_a_wrong_draft_is_a_problem(server: Server, verb: str, name: str, body: Any, field: str) -> None:
    problem(await server.admin.post(f"{BASE}/{name}/versions/{verb}", body), 422, "invalid_request", field)


async def test_the_cases_of_a_draft_run_with_what_the_server_has(server: Server) -> None:
    report = await server.admin.post(f"{BASE}/say/versions/test", {"messages": [{"source": SAYS}], "cases": CASES})
    assert (report.status, report.json["passed"], report.json["version"]) == (200, False, 0)
    told = {case["name"]: case for case in report.json["cases"]}
    assert (told["yes"]["passed"], told["yes"]["failures"]) == (True, [])
    assert told["no"]["failures"] == ["the output: expected equals 'yes', found 'no'"]
    assert told["nothing"]["failures"][0].startswith("invalid_input: ")
    assert (told["nothing"]["prompt"], told["yes"]["prompt"] is None) == (None, False)
    assert (await server.http.get(BASE)).json["items"] == []

    await server.admin.call("PUT", "/promptd/v1/partials/it", {"source": '[{"say": "yes"}]'})
    shared = {"messages": [{"source": '{% include "it" %}'}], "cases": [{**CASES[0], "inputs": {}}]}
    assert (await server.admin.post(f"{BASE}/say/versions/test", shared)).json["passed"]


async def test_a_draft_s_value_is_read_as_that_of_a_version(server: Server) -> None:
    case = {"name": "n", "inputs": {"n": 3}, "assertions": [{"kind": "equals", "path": "n", "value": 3}]}
    body = {
        "messages": [{"source": '[{"say": "```{\\"n\\": {{ n }}}```"}]'}],
        "output": {"kind": "json"},
        "cases": [case],
    }
    assert (await server.admin.post(f"{BASE}/n/versions/test", body)).json["passed"]
    broken = {**body, "messages": [{"source": '[{"say": "{{ n }} is no object"}]'}]}
    failed = (await server.admin.post(f"{BASE}/n/versions/test", broken)).json["cases"][0]
    assert failed["failures"][0].startswith("invalid_output: ")


async def test_settings_are_for_those_who_write_templates_and_secrets_for_nobody(serve: Serve) -> None:
    engines, connections = {"post": Post()}, {"office": {"engine": "post"}, "lab": {"engine": "scripted"}}
    async with serve(engines=engines, connections=connections) as server:
        settings = {"wording": "Dear {{name}}", "pin": "1234"}
        body = {"connection": "office", "settings": settings}
        checked = await server.admin.post(f"{BASE}/letter/versions/check", body)
        assert (checked.status, checked.json["input_schema"]["required"]) == (200, ["name"])
        problem(await server.admin.post(f"{BASE}/letter/versions/test", body), 422, "invalid_request", "connection")
        saved = await server.admin.post(f"{BASE}/letter/versions", body)
        shown = {"wording": "Dear {{name}}", "copies": 1, "loud": False, "pin": {"$secret": "pin"}}
        assert (saved.status, saved.json["settings"]) == (201, shown)
        assert (await server.admin.get(f"{BASE}/letter/version")).json["settings"] == shown
        assert (await server.admin.get(f"{BASE}/letter/versions")).json["items"][0]["settings"] == shown
        assert b"1234" not in (await server.admin.get(f"{BASE}/letter/version")).body

        reader = await server.client("bea", permissions=frozenset({TEMPLATE_VIEW, PROMPT_CREATE}))
        assert (await reader.get(f"{BASE}/letter/version")).json["settings"] is None

        kept = {"connection": "office", "settings": {**shown, "wording": "Hi {{name}}"}}
        again = await server.admin.post(f"{BASE}/letter/versions", kept)
        assert (again.json["version"], again.json["settings"]["pin"]) == (2, {"$secret": "pin"})
        walk = server.house.walk
        version = await walk.templates.version("letter", 2)
        assert (await walk.functions.settings_of(version.draft) or {})["wording"] == "Hi {{name}}"
