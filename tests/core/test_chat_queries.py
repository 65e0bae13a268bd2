"""Queries of language models: what they need, what they give, the chat that they become, and their form."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

import pytest

from promptd.core.chat_queries import ChatQueries, ChatQuery
from promptd.core.descriptors import check_params, output_schema
from promptd.core.engine import Call, Config, ConnectionTestParams, ConnectionTestResult, DescribeParams
from promptd.core.errors import NetworkError
from promptd.core.forms import Draft, FormContext, check_form, missing_required, visible
from promptd.core.localisation import Key
from promptd.core.model import Chunk, Output, Usage
from promptd.egress import Egress

OBJECT: dict[str, Any] = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "additionalProperties": False,
}


class Place(Config):
    models: tuple[str, ...] = ("alpha", "beta")
    broken: bool = False


class Wider(ChatQuery):
    more: str = ""


class Speaker(ChatQueries[Place]):
    type_id = "speaker"

    async def run(self, call: Call[Place, ChatQuery]) -> AsyncGenerator[Chunk, None]:
        yield Chunk("done", finish_reason="stop", usage=Usage())

    async def test_connection(self, params: ConnectionTestParams[Place]) -> ConnectionTestResult:
        if params.connection.broken:
            raise NetworkError("nobody there")
        return ConnectionTestResult(ok=True, models=params.connection.models)


class WiderSpeaker(ChatQueries[Place, Wider]):
    type_id = "wider"


class Heir(WiderSpeaker):
    type_id = "heir"


def described(query: ChatQuery) -> DescribeParams[Place, ChatQuery]:
    return DescribeParams(connection=Place(), query=query)


def call(query: ChatQuery, **value: Any) -> Call[Place, ChatQuery]:
    return Call(connection=Place(), connection_name="c", model="m", http=Egress(), query=query, value=value)


def test_the_query_s_class_is_the_argument_or_the_usual_one() -> None:
    assert Speaker().query_config_class() is ChatQuery
    assert WiderSpeaker().query_config_class() is Wider
    assert Heir().query_config_class() is Wider
    assert Speaker().connection_config_class() is Place


def test_placeholders_are_inputs_in_their_order() -> None:
    query = ChatQuery(system="Be {{tone}}.", prompt="{{ text }} and {{tone}} and {{ not one }} and {single}")
    assert [param.name for param in Speaker().compute_query_input(described(query))] == ["tone", "text"]


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, ["text"]),
        ({"output": "json"}, ["value"]),
        ({"output": "json", "json_schema": OBJECT}, ["name", "age"]),
        ({"output": "json", "json_schema": {"type": "array", "items": {"type": "integer"}}}, ["value"]),
        # a name that no parameter can have: the object is one output
        ({"output": "json", "json_schema": {"type": "object", "properties": {"a-b": {}}}}, ["value"]),
        ({"output": "json", "json_schema": OBJECT | {"minProperties": 1}}, ["value"]),
    ],
)
def test_outputs(settings: dict[str, Any], names: list[str]) -> None:
    query = ChatQuery.model_validate(settings)
    found = check_params(Speaker().compute_query_output(described(query)), where="outputs")
    assert [param.name for param in found] == names
    assert list(output_schema(found)["properties"]) == names


def test_a_query_becomes_a_chat() -> None:
    query = ChatQuery(system="Be {{tone}}.", prompt="Say {{text}}", temperature=0.5, top_p=0.9, max_tokens=7)
    made = Speaker().compose(call(query, tone="kind", text="{{tone}}"))
    assert made is not None
    assert [(turn.role, turn.content) for turn in made.messages] == [("system", "Be kind."), ("user", "Say {{tone}}")]
    assert (made.parameters.temperature, made.parameters.top_p, made.parameters.max_tokens) == (0.5, 0.9, 7)
    assert made.output == Output(name="text")
    assert Speaker().query_model(ChatQuery(model="m")) == "m"


def test_a_query_without_instructions_says_nothing_to_the_system() -> None:
    made = Speaker().compose(call(ChatQuery(system="  ", prompt="x")))
    assert made is not None
    assert [turn.role for turn in made.messages] == ["user"]


def test_a_schema_is_asked_for_and_checked() -> None:
    query = ChatQuery.model_validate({"prompt": "x", "output": "json", "json_schema": OBJECT, "repair": 2})
    made = Speaker().compose(call(query))
    assert made is not None
    assert made.parameters.json_schema == OBJECT
    assert made.output == Output(kind="json", schema=OBJECT, repair=2)
    free = Speaker().compose(call(ChatQuery(prompt="x", output="json")))
    assert free is not None
    assert (free.parameters.json_object, free.parameters.json_schema) == (True, None)
    assert free.output == Output(kind="json", repair=1, name="value")


# ------------------------------------------------------------------ the form


def test_the_form_shows_what_the_answer_needs() -> None:
    form = Speaker().query_form(FormContext(type_id="speaker"))
    assert check_form(form) == []
    assert "#/properties/json_schema" not in visible(form, {"output": "text"})
    assert {"#/properties/json_schema", "#/properties/repair"} <= visible(form, {"output": "json"})
    assert missing_required(form, {"model": "", "prompt": " ", "output": "text"}) == ["model", "prompt"]


async def test_models_come_from_the_unsaved_connection() -> None:
    logic = Speaker().query_form_logic()
    assert logic is not None
    http = Egress()
    draft = Draft(connection=Place(models=("Alpha", "beta")), query=ChatQuery(), http=http)
    assert [option.value for option in await logic.options("models", draft, "")] == ["Alpha", "beta"]
    assert [option.value for option in await logic.options("models", draft, "ALP")] == ["Alpha"]
    assert await logic.options("others", draft, "") == []
    with pytest.raises(NetworkError):
        await logic.options("models", Draft(connection=Place(broken=True), query=ChatQuery(), http=http), "")


async def test_the_form_says_what_a_missing_schema_means() -> None:
    logic = Speaker().query_form_logic()
    assert logic is not None

    async def told(**settings: Any) -> Any:
        return await logic.on_change("output", Draft(connection=Place(), query=ChatQuery.model_validate(settings)))

    patch = await told(output="json")
    assert [(one.path, one.level) for one in patch.messages] == [("json_schema", "info")]
    assert await told(output="text") is None
    assert await told(output="json", json_schema=OBJECT) is None


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"prompt": "{{a}}"}, []),
        ({"prompt": "{{a-b}} {{a-b}} {{}}"}, [("prompt", "warning"), ("prompt", "warning")]),
        ({"system": "{{1}}"}, [("system", "warning")]),
        ({"output": "json", "json_schema": {"type": 5}}, [("json_schema", "error")]),
        ({"output": "text", "json_schema": {"type": 5}}, []),
        ({"output": "json", "json_schema": {"pattern": "(?=x)"}}, [("json_schema", "error")]),
    ],
)
async def test_what_is_odd_is_said(settings: dict[str, Any], found: list[tuple[str, str]]) -> None:
    logic = Speaker().query_form_logic()
    assert logic is not None
    messages = await logic.validate(Draft(connection=Place(), query=ChatQuery.model_validate(settings)))
    assert [(one.path, one.level) for one in messages] == found
    assert all(isinstance(one.message, Key) for one in messages if one.level == "warning")
