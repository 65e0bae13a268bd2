"""Chains over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faces.client import problem
from tests.faces.conftest import Server

CHAINS = "/promptd/v1/chains"
RUNS = "/promptd/v1/chain-runs"


def bind(place: str) -> dict[str, Any]:
    return {"kind": "reference", "value": place}


CHAIN: dict[str, Any] = {
    "inputs": [{"name": "text"}],
    "actions": [
        {"name": "a", "template": "add", "bindings": {"text": bind("inputs.text")}},
        {"name": "b", "template": "add", "bindings": {"text": bind("a.text")}},
    ],
    "outputs": {"text": "b.text"},
    "description": "adds twice",
}


@pytest.fixture
async def chained(server: Server) -> Server:
    body = {"messages": [{"source": '[{"say": "{{ text }}+"}]'}], "inputs": [{"name": "text"}]}
    assert (await server.admin.post("/promptd/v1/templates/add/versions", body)).status == 201
    assert (await server.admin.call("PUT", f"{CHAINS}/twice", CHAIN)).status == 200
    return server


async def test_a_chain_is_saved_listed_run_and_deleted(chained: Server) -> None:
    http = chained.http
    assert (await http.get(f"{CHAINS}/twice")).json["description"] == "adds twice"
    assert [item["name"] for item in (await http.get(CHAINS)).json["items"]] == ["twice"]
    run = await http.post(f"{CHAINS}/twice/run?wait=10", {"inputs": {"text": "x"}})
    assert (run.status, run.json["status"], run.json["outputs"]) == (200, "completed", {"text": "x++"})
    assert run.headers["location"] == f"{RUNS}/{run.json['id']}"
    assert [(step["name"], step["value"]) for step in run.json["steps"]] == [
        ("a", {"text": "x+"}),
        ("b", {"text": "x++"}),
    ]
    prompt = (await http.get(f"/promptd/v1/prompts/{run.json['steps'][0]['prompt']}")).json
    assert prompt["parent_id"] == run.json["id"]
    assert (await http.get(run.headers["location"])).json == run.json
    problem(await http.post(f"{RUNS}/{run.json['id']}/cancel"), 409, "conflict")
    assert (await chained.admin.call("DELETE", f"{CHAINS}/twice")).status == 204
    problem(await http.get(f"{CHAINS}/twice"), 404, "not_found")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"actions": []}, "actions"),
        ({"outputs": {"text": "c.text"}}, "outputs.text"),
        ({"actions": [{"name": "a", "template": "add"}]}, "actions[0].bindings.text"),
        ({"actions": [{"name": "a", "template": "add", "bindings": {"text": bind("b.text")}}]}, None),
        ({"inputs": [{"name": "1"}]}, "inputs[0].name"),
    ],
)
async def test_what_could_never_run_is_refused(chained: Server, change: dict[str, Any], field: str | None) -> None:
    response = await chained.admin.call("PUT", f"{CHAINS}/bad", CHAIN | change)
    assert response.status == 422, response.body
    assert response.json["field"] == (field or "actions[0].bindings.text.value")


async def test_a_wrong_input_and_a_missing_power_are_told(chained: Server) -> None:
    problem(await chained.http.post(f"{CHAINS}/twice/run", {"inputs": {}}), 422, "invalid_input", "text")
    problem(await chained.http.call("PUT", f"{CHAINS}/x", CHAIN), 403, "forbidden")
    problem(await chained.http.get(f"{RUNS}/run_nobody"), 404, "not_found")
    other = await chained.client("somebody else")
    run = await chained.http.post(f"{CHAINS}/twice/run?wait=10", {"inputs": {"text": "x"}})
    problem(await other.get(f"{RUNS}/{run.json['id']}"), 404, "not_found")
