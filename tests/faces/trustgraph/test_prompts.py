"""Prompts: templates are put with the config service and asked over REST and socket.

Their text is a script, so that the engine answers what a test wants.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from promptd.core.filters import Query
from promptd.core.model import Prompt
from tests.faces.trustgraph.conftest import ServeTrustGraph, TrustGraph, ended
from tests.faces.trustgraph.test_config import config, item

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]

PATH = "/api/v1/flow/default/service/prompt"
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


async def put(tg: TrustGraph, name: str, **members: Any) -> None:
    """A template that asks what its variable `script` says, unless it is told otherwise."""
    text = json.dumps({"prompt": "{{ script }}"} | {key.replace("_", "-"): value for key, value in members.items()})
    await config(tg, "put", values=[item("prompt", f"template.{name}", text)])


def says(text: str, *more: dict[str, Any], pieces: int = 1) -> dict[str, Any]:
    return {"script": json.dumps([{"say": text, "pieces": pieces}, *more])}


async def ask(tg: TrustGraph, name: str, variables: dict[str, Any] | None = None, **more: Any) -> Any:
    answer = await tg.http.post(PATH, {"id": name, "variables": variables or {}, **more})
    assert answer.status == 200
    return answer.json


async def asked(tg: TrustGraph) -> Prompt:
    (prompt,) = await ended(tg, 1)
    return prompt


async def test_a_text_template_answers_text(tg: TrustGraph) -> None:
    await put(tg, "t")
    reply = await ask(tg, "t", says("one two"))
    assert reply.pop("in_token") > 0
    assert reply == {"text": "one two", "end_of_stream": True, "out_token": 2, "model": "demo"}


async def test_variables_are_filled_in_as_this_language_has_it(tg: TrustGraph) -> None:
    await put(tg, "t", prompt="{{ a }}|{{ b }}|{{ c }}|{{ d.e }}|{{ nobody }}|{% for x in d.f %}{{ x }},{% endfor %}")
    variables = {"a": True, "b": None, "c": ["x"], "d": {"e": 1.5, "f": [1, 2]}}
    assert (await ask(tg, "t", variables))["text"] == "True|None|['x']|1.5||1,2,"


async def test_terms_are_json_documents(tg: TrustGraph) -> None:
    await put(tg, "t", prompt="{{ a }} {{ b }}")
    answer = await tg.http.post(PATH, {"id": "t", "terms": {"a": '"abc"', "b": "5"}})
    assert answer.json["text"] == "abc 5"


async def test_the_system_prompt_goes_in_front_and_is_a_template(trustgraph: ServeTrustGraph) -> None:
    async with trustgraph(retention={"keep_attached": True}) as tg:
        await put(tg, "t", prompt="{{ word }}")
        for number, (system, told) in enumerate(
            (('"Know {{ word }}."', ["Know hats.", "hats"]), ('""', ["hats"]), ("no JSON", ["Be helpful.", "hats"]))
        ):
            await config(tg, "put", values=[item("prompt", "system", system)])
            assert (await ask(tg, "t", {"word": "hats"}))["text"] == "hats"
            await ended(tg, number + 1)
            page = await tg.house.database.records.find(Prompt, Query(limit=1))
            assert [turn.content for turn in page.items[0].request.messages] == told


@pytest.mark.parametrize(
    ("kind", "said", "value"),
    [
        ("json", '{"a": 1}', {"a": 1}),
        ("json", 'Here it is:\n```json\n{"a": 1}\n```\n', {"a": 1}),
        ("json", "[1, 2]", [1, 2]),
        ("json", "null", None),
        ("jsonl", '{"a": 1}\n{"a": 2}\n', [{"a": 1}, {"a": 2}]),
        ("jsonl", "nothing of it is JSON", []),
    ],
)
async def test_json_templates_answer_an_object_and_no_text(tg: TrustGraph, kind: str, said: str, value: Any) -> None:
    await put(tg, "t", response_type=kind)
    reply = await ask(tg, "t", says(said))
    assert json.loads(reply["object"]) == value
    assert "text" not in reply


async def test_a_json_string_comes_back_as_text(tg: TrustGraph) -> None:
    await put(tg, "t", response_type="json")
    reply = await ask(tg, "t", says('"abc"'))
    assert reply["text"] == "abc"
    assert "object" not in reply


@pytest.mark.parametrize(
    ("said", "start"), [("not JSON", "JSON parse fail"), ('{"a": "x"}', "Schema validation fail: ")]
)
async def test_what_misses_the_form_is_an_error_after_one_call(tg: TrustGraph, said: str, start: str) -> None:
    await put(tg, "t", response_type="json", schema=SCHEMA)
    error = (await ask(tg, "t", says(said)))["error"]
    assert error["type"] == "llm-error"
    assert error["message"].startswith(start)
    assert (await asked(tg)).runs == 1


async def test_lines_that_miss_the_schema_are_dropped(tg: TrustGraph) -> None:
    await put(tg, "t", response_type="jsonl", object_schema=SCHEMA)
    reply = await ask(tg, "t", says('{"a": 1}\n{"b": 2}\n{"a": "x"}\n'))
    assert json.loads(reply["object"]) == [{"a": 1}]


async def test_a_streamed_json_template_ends_with_the_object(tg: TrustGraph) -> None:
    await put(tg, "t", response_type="json", schema=SCHEMA)
    async with tg.socket() as line:
        await line.ask("1", "prompt", {"id": "t", "variables": says('{"a": 1}', pieces=4), "streaming": True})
        *pieces, end = [message["response"] for message in await line.until_complete()]
    assert "".join(piece["text"] for piece in pieces) == '{"a": 1}'
    assert all(piece["text"] == piece["response"] for piece in pieces)
    assert (end["text"], end["response"], json.loads(end["object"])) == ("", "", {"a": 1})
    assert (end["end_of_stream"], end["model"]) == (True, "demo")


async def test_a_streamed_json_template_that_misses_its_form_ends_with_an_error(tg: TrustGraph) -> None:
    await put(tg, "t", response_type="json", schema=SCHEMA)
    async with tg.socket() as line:
        await line.ask("1", "prompt", {"id": "t", "variables": says('{"a": "x"}'), "streaming": True})
        piece, end = await line.until_complete()
    assert piece["response"]["text"] == '{"a": "x"}'
    assert end["error"]["message"].startswith("Schema validation fail: ")


async def test_the_socket_says_it_under_the_name_that_clients_read(tg: TrustGraph) -> None:
    await put(tg, "t")
    await put(tg, "j", response_type="json")
    async with tg.socket() as line:
        await line.ask("1", "prompt", {"id": "t", "variables": says("hello")})
        told = (await line.receive())["response"]
        assert told["text"] == told["response"] == "hello"
        await line.ask("2", "prompt", {"id": "j", "variables": says('{"a":1}')})
        told = (await line.receive())["response"]
        assert told["object"] == told["response"] == '{"a": 1}'
        assert "text" not in told


async def test_a_change_holds_for_the_next_call(tg: TrustGraph) -> None:
    for word in ("one", "two"):
        await put(tg, "t", prompt=word)
        assert (await ask(tg, "t"))["text"] == word


@pytest.mark.parametrize("text", ["{", '{"prompt":"{% for %}"}', '{"prompt":"x","response-type":"xml"}'])
async def test_a_broken_template_says_so_on_use_and_harms_no_other(tg: TrustGraph, text: str) -> None:
    await put(tg, "good", prompt="fine")
    await config(tg, "put", values=[item("prompt", "template.bad", text)])
    error = (await ask(tg, "bad"))["error"]
    assert error["type"] == "llm-error"
    assert "bad" in error["message"]
    assert (await ask(tg, "good"))["text"] == "fine"


async def test_the_version_that_ran_is_recorded(tg: TrustGraph) -> None:
    await put(tg, "t", prompt="one")
    await put(tg, "t", prompt="two")
    assert (await ask(tg, "t"))["text"] == "two"
    version, _ = await tg.house.walk.templates.resolve("t")
    assert version.number == 2
