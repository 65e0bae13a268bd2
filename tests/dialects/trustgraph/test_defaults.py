"""The pack of prompts that TrustGraph's services expect."""

from __future__ import annotations

import json
from typing import Any, Final

import jsonschema_rs
import pytest

from promptd.core.ibis import Template
from promptd.core.metering import Meter
from promptd.dialects.trustgraph import defaults
from promptd.dialects.trustgraph.defaults import Default

#: by id: kind, variables, and an answer that fits
EXPECTED: Final[dict[str, tuple[str, set[str], Any]]] = {
    "question": ("text", {"question"}, None),
    "extract-definitions": ("jsonl", {"text"}, {"entity": "e", "definition": "d"}),
    "extract-relationships": (
        "jsonl",
        {"text"},
        {"subject": "s", "predicate": "p", "object": "o", "object-entity": True},
    ),
    "extract-topics": ("jsonl", {"text"}, {"topic": "t", "definition": "d"}),
    "extract-rows": ("jsonl", {"schema", "text"}, {"anything": 1}),
    "kg-prompt": ("text", {"query", "knowledge"}, None),
    "document-prompt": ("text", {"query", "documents"}, None),
    "agent-react": ("text", {"question", "tools", "history"}, None),
    "agent-kg-extract": ("jsonl", {"text"}, {"type": "definition", "entity": "e", "definition": "d"}),
    "schema-selection": ("json", {"question", "schemas"}, ["a", "b"]),
    "graphql-generation": ("json", {"question", "schemas"}, {"query": "q", "variables": {}, "confidence": 0.5}),
    "diagnose-structured-data": ("json", {"schemas", "sample"}, {"anything": 1}),
    "diagnose-csv": ("json", {"schemas", "sample"}, {"anything": 1}),
    "diagnose-json": ("json", {"schemas", "sample"}, {"anything": 1}),
    "diagnose-xml": ("json", {"schemas", "sample"}, {"anything": 1}),
    "extract-with-ontologies": (
        "jsonl",
        {"text", "classes", "object_properties", "datatype_properties"},
        {"type": "attribute", "entity": "e", "entity_type": "t", "attribute": "a", "value": "v"},
    ),
    "extract-concepts": ("text", {"query"}, None),
    "kg-synthesis": ("text", {"query", "knowledge"}, None),
    "kg-edge-scoring": ("jsonl", {"query", "knowledge"}, {"id": "e", "score": 3}),
    "kg-edge-reasoning": ("jsonl", {"query", "knowledge"}, {"id": "e", "reasoning": "r"}),
    "task-type-classify": ("text", {"question", "task_types"}, None),
    "pattern-select": ("text", {"question", "task_type", "task_type_description", "patterns"}, None),
    "plan-create": ("json", {"question", "framing", "tools"}, [{"goal": "g", "tool_hint": "t", "depends_on": [0]}]),
    "plan-step-execute": ("json", {"goal", "tools", "previous_results"}, {"tool": "t", "arguments": {}}),
    "plan-synthesise": ("text", {"question", "framing", "steps"}, None),
    "supervisor-synthesise": ("text", {"question", "framing", "results"}, None),
    "supervisor-decompose": ("json", {"question", "framing", "max_subagents", "tools"}, ["a"]),
}
PACK: Final = {default.id: default for default in defaults.load()}


def test_the_pack_is_whole() -> None:
    assert set(PACK) == set(EXPECTED)


@pytest.fixture(params=sorted(EXPECTED))
def default(request: pytest.FixtureRequest) -> Default:
    return PACK[request.param]


def leaves(value: Any) -> list[str]:
    """Every text and number in a sample."""
    if isinstance(value, dict):
        return [leaf for one in value.values() for leaf in leaves(one)]
    if isinstance(value, list):
        return [leaf for one in value for leaf in leaves(one)]
    return [] if isinstance(value, bool) else [str(value)]


def test_it_renders_everything_that_its_sample_holds(default: Default) -> None:
    template = Template(default.draft.messages[-1].source)
    text = template.render(default.sample, Meter(), now=0.0, seed=0)
    assert [leaf for leaf in leaves(default.sample) if leaf not in text] == []
    assert "{%" not in text
    assert "{{" not in text


def test_it_takes_the_variables_that_services_send(default: Default) -> None:
    kind, variables, _ = EXPECTED[default.id]
    assert default.draft.fault == ""
    assert default.draft.output.kind == kind
    assert set(default.sample) == variables
    assert Template(default.draft.messages[-1].source).variables == variables


def test_it_renders_without_any_variable(default: Default) -> None:
    """This wire leaves empty what is missing."""
    assert Template(default.draft.messages[-1].source).render({}, Meter(), now=0.0, seed=0)


def test_its_schema_takes_the_answer_that_services_read(default: Default) -> None:
    schema, answer = default.draft.output.schema, EXPECTED[default.id][2]
    if schema is None:
        return
    jsonschema_rs.meta.validate(schema)
    validator = jsonschema_rs.validator_for(schema)
    validator.validate(answer)
    assert not validator.is_valid(5)


def test_items_are_what_clients_put(default: Default) -> None:
    value = json.loads(default.value)
    assert value["id"] == default.id
    assert set(value) <= {"id", "prompt", "response-type", "schema"}
    assert default.key == f"template.{default.id}"
    assert default.description
