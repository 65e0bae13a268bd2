"""Templates over HTTP: saved, labelled, described, and called like functions."""

from __future__ import annotations

from typing import Any

import jsonschema_rs
import pytest
from msgspec import json

from tests.faces.client import Http, problem, text_of
from tests.faces.conftest import Server

BASE = "/promptd/v1/templates"
SCHEMA = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}


async def save(http: Http, name: str, source: str, **more: Any) -> dict[str, Any]:
    body = {"messages": [{"role": "user", "source": source}], **more}
    response = await http.post(f"{BASE}/{name}/versions", body)
    assert response.status == 201, response.body
    saved: dict[str, Any] = response.json
    return saved


async def test_a_template_is_saved_described_and_called(server: Server) -> None:
    script = '[{"say": "{\\"a\\": {{ number }}}"}]'
    inputs = [{"name": "number", "kind": "integer", "minimum": 1}]
    saved = await save(
        server.admin, "count", script, inputs=inputs, output={"kind": "json", "schema": SCHEMA}, label="production"
    )
    assert (saved["version"], saved["fault"]) == (1, "")
    function = (await server.http.get(f"{BASE}/count/function")).json
    assert function["input_schema"]["properties"]["number"]["minimum"] == 1
    assert function["output_schema"] == SCHEMA
    run = await server.http.post(f"{BASE}/count/run", {"inputs": {"number": 7}})
    assert run.status == 200, run.body
    assert run.json["value"] == {"a": 7}
    assert run.json["template"] == {"name": "count", "version": 1, "label": "production"}
    prompt = (await server.http.get(run.headers["location"])).json
    assert prompt["template"]["name"] == "count"
    assert prompt["answer"]["value"] == {"a": 7}


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({"inputs": {}}, 422, "invalid_input", "number"),
        ({"inputs": {"number": "7"}}, 422, "invalid_input", "number"),
        ({"inputs": {"number": 0}}, 422, "invalid_input", "number"),
        ({"inputs": {"number": 1, "more": 1}}, 422, "invalid_input", "more"),
        ({"inputs": {"number": 1}, "label": "nowhere"}, 404, "not_found", None),
        ({"inputs": {"number": 1}, "version": 9}, 404, "not_found", None),
        ({"inputs": {"number": 1}, "model": "nobody"}, 404, "unknown_model", "model"),
        ({"inputs": []}, 422, "invalid_request", "inputs"),
    ],
)
async def test_a_wrong_call_is_a_problem_that_names_the_field(
    server: Server, body: dict[str, Any], status: int, code: str, field: str | None
) -> None:
    await save(server.admin, "count", "{{ number }}", inputs=[{"name": "number", "kind": "integer", "minimum": 1}])
    problem(await server.http.post(f"{BASE}/count/run", body), status, code, field)


async def test_a_failed_run_is_a_problem_with_the_id_of_its_prompt(server: Server) -> None:
    await save(server.admin, "obj", '[{"say": "no"}]', output={"kind": "json", "schema": SCHEMA, "repair": 1})
    response = await server.http.post(f"{BASE}/obj/run", {})
    told = problem(response, 502, "invalid_output")
    prompt = (await server.http.get(f"/promptd/v1/prompts/{told['run_id']}")).json
    assert (prompt["status"], prompt["error"]["code"]) == ("abandoned", "invalid_output")


async def test_a_run_streams_and_ends_with_the_object(server: Server) -> None:
    script = '[{"say": "{\\"a\\": 1}", "pieces": 3}]'
    await save(server.admin, "obj", script, output={"kind": "json", "schema": SCHEMA})
    async with server.http.stream(f"{BASE}/obj/run", {"inputs": {}}) as stream:
        said = await stream.events()
    assert text_of(said) == '{"a": 1}'
    assert said[-1].name == "done"
    assert said[-1].data["value"] == {"a": 1}


async def test_without_waiting_there_is_a_receipt(server: Server) -> None:
    await save(server.admin, "slow", '[{"wait": 0.2}, {"say": "done"}]')
    receipt = await server.http.post(f"{BASE}/slow/run?wait=0", {})
    assert receipt.status == 202
    assert receipt.json["status"] in ("scheduled", "running")


async def test_the_same_idempotency_key_runs_once(server: Server) -> None:
    await save(server.admin, "hi", '[{"say": "hi"}]')
    headers = {"Idempotency-Key": "k1"}
    first = await server.http.post(f"{BASE}/hi/run", {"inputs": {}}, headers=headers)
    again = await server.http.post(f"{BASE}/hi/run", {"inputs": {}}, headers=headers)
    assert first.json["id"] == again.json["id"]
    assert again.headers["idempotent-replayed"] == "true"
    other = await server.http.post(f"{BASE}/hi/run", {"locale": "de"}, headers=headers)
    problem(other, 422, "idempotency_mismatch")


async def test_labels_move_roll_back_and_are_guarded(server: Server) -> None:
    http = server.admin
    case = {"name": "c", "inputs": {}, "assertions": [{"kind": "contains", "value": "two"}]}
    await save(http, "t", '[{"say": "one"}]', label="production", cases=[case])
    await save(http, "t", '[{"say": "two"}]', label="production", cases=[case])
    rolled = await http.post(f"{BASE}/t/labels/production/rollback", {})
    assert rolled.json["labels"]["production"] == [{"version": 1, "weight": 1.0}]
    report = (await http.post(f"{BASE}/t/test?version=1", {})).json
    assert (report["passed"], report["cases"][0]["failures"][0][:10]) == (False, "the output")
    assert (await http.call("PUT", f"{BASE}/t/guards", {"labels": ["production"]})).status == 200
    move = {"versions": [{"version": 1}]}
    problem(await http.call("PUT", f"{BASE}/t/labels/production", move), 409, "conflict")
    assert (await http.call("PUT", f"{BASE}/t/labels/production", {"versions": [{"version": 2}]})).status == 200
    share = {"versions": [{"version": 1, "weight": 1}, {"version": 2, "weight": 3}]}
    assert (await http.call("PUT", f"{BASE}/t/labels/staging", share)).json["labels"]["staging"][1]["weight"] == 3.0
    assert "staging" not in (await http.call("DELETE", f"{BASE}/t/labels/staging")).json["labels"]


async def test_versions_are_listed_and_compared(server: Server) -> None:
    for source in ("one", "two"):
        await save(server.admin, "t", source)
    listed = (await server.http.get(f"{BASE}/t/versions")).json["items"]
    assert [item["version"] for item in listed] == [2, 1]
    assert "+  two" in (await server.http.get(f"{BASE}/t/diff?before=1&after=2")).json["diff"]
    assert (await server.http.get(f"{BASE}/t/version?version=1")).json["messages"][0]["source"] == "one"
    assert [item["name"] for item in (await server.http.get(BASE)).json["items"]] == ["t"]
    assert (await server.admin.call("DELETE", f"{BASE}/t")).status == 204
    assert (await server.http.get(f"{BASE}/t")).status == 404


async def test_ordinary_keys_call_but_do_not_write(server: Server) -> None:
    body = {"messages": [{"source": "x"}]}
    problem(await server.http.post(f"{BASE}/t/versions", body), 403, "forbidden")
    problem(await server.http.call("PUT", "/promptd/v1/terms", {"values": {}}), 403, "forbidden")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"messages": [{"source": "{{ oops"}]}, "messages[0].source"),
        ({"messages": []}, "messages"),
        ({"messages": [{"source": "x"}], "inputs": [{"name": "1x"}]}, "inputs[0].name"),
        ({"messages": [{"source": "x"}], "dialect": "cobol"}, "dialect"),
        ({"connection": "lab"}, "settings"),
        ({"connection": "nobody", "settings": {}}, "connection"),
        ({"messages": [{"source": "x"}], "label": "latest"}, "label"),
    ],
)
async def test_a_wrong_draft_is_a_problem_that_names_the_field(server: Server, body: Any, field: str) -> None:
    response = await server.admin.post(f"{BASE}/t/versions", body)
    assert response.status == 422
    assert response.json["field"] == field


async def test_each_template_is_an_openapi_operation(server: Server) -> None:
    await save(server.admin, "greet", "Hi {{ name }}", description="Greets.\nKindly.", inputs=[{"name": "name"}])
    await save(server.admin, "obj", "x", output={"kind": "json", "schema": SCHEMA})
    document = (await server.http.get(f"{BASE}/openapi.json")).json
    assert set(document["paths"]) == {f"{BASE}/greet/run", f"{BASE}/obj/run"}
    greet = document["paths"][f"{BASE}/greet/run"]["post"]
    assert (greet["operationId"], greet["summary"]) == ("greet", "Greets.")
    body = greet["requestBody"]["content"]["application/json"]["schema"]
    check = jsonschema_rs.validator_for({**body, "components": document["components"]})
    assert check.is_valid({"inputs": {"name": "Ada"}})
    assert not check.is_valid({"inputs": {}})
    result = document["paths"][f"{BASE}/obj/run"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert result["properties"]["value"] == {"$ref": "#/components/schemas/obj.value"}
    assert document["components"]["schemas"]["obj.value"] == SCHEMA
    assert json.encode(document)


async def test_a_template_has_a_reference_page_in_the_readers_language(server: Server) -> None:
    inputs = [{"name": "name", "description": "who <b>is</b> greeted", "examples": ["Ada"]}]
    await save(server.admin, "greet", "Hi {{ name }}", inputs=inputs, description="Greets.")
    page = await server.http.get(f"{BASE}/greet/reference")
    assert page.headers["content-type"] == "text/markdown; charset=utf-8"
    assert "# greet" in page.body.decode()
    assert "## Inputs" in page.body.decode()
    german = (await server.http.get(f"{BASE}/greet/reference?format=html&locale=de-AT")).body.decode()
    assert "<h2>Eingaben</h2>" in german
    assert "who &lt;b&gt;is&lt;/b&gt; greeted" in german


async def test_partials_and_terms_over_http(server: Server) -> None:
    http = server.admin
    assert (await http.call("PUT", "/promptd/v1/partials/manner", {"source": "kindly"})).status == 200
    assert (await http.call("PUT", "/promptd/v1/terms", {"values": {"who": "Ada"}})).json == {"values": {"who": "Ada"}}
    await save(http, "t", '[{"say": "{% include "manner" %} {{ who }}"}]')
    assert (await http.post(f"{BASE}/t/run", {})).json["text"] == "kindly Ada"
    assert [item["name"] for item in (await http.get("/promptd/v1/partials")).json["items"]] == ["manner"]
    assert (await http.call("DELETE", "/promptd/v1/partials/manner")).status == 204


async def test_whole_numbers_of_any_size_are_kept(server: Server) -> None:
    terms = {"values": {"large": 10**30}}
    assert (await server.admin.call("PUT", "/promptd/v1/terms", terms)).json == terms
    await save(server.admin, "t", '[{"say": "{{ large }} {{ n }}"}]', terms={"n": 2**64}, label="production")
    assert (await server.http.post(f"{BASE}/t/run", {"inputs": {}})).json["text"] == f"{10**30} {2**64}"
    assert (await server.http.get(f"{BASE}/t/version")).json["terms"] == {"n": 2**64}
