"""Templates as functions, and prompts, by the asynchronous client on a real server."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import pytest
from msgspec import Struct
from pydantic import BaseModel

from promptd.client import (
    AsyncClient,
    Conflict,
    Done,
    Forbidden,
    InvalidInput,
    InvalidOutput,
    InvalidRequest,
    NotFound,
    Progress,
    PromptdError,
    Restart,
    Timeout,
    Unauthenticated,
    prompt_id_of,
)
from tests.client.conftest import Lab
from tests.faces.conftest import run_server
from tests.faces.mcp.conftest import save
from tests.service.templates.lab import Post

pytestmark = pytest.mark.slow


async def test_a_text_and_an_object(lab: Lab) -> None:
    async with lab.client() as client:
        assert await client.templates["greet"](name="Ada") == "Hello Ada!"
        assert await client.templates["count"](number=7) == {"a": 7}
        run = await client.templates["count"].run(number=8)
    assert (run.value, run.text, run.template.version, run.template.label) == ({"a": 8}, '{"a": 8}', 1, "production")
    assert run.model == "demo"


class Counted(Struct):
    a: int


@dataclass
class Data:
    a: int


class Shape(TypedDict):
    a: int


class Model(BaseModel):
    a: int


@pytest.mark.parametrize(
    ("kind", "value"), [(Counted, Counted(7)), (Data, Data(7)), (Shape, {"a": 7}), (Model, Model(a=7))]
)
async def test_values_are_converted(lab: Lab, kind: Any, value: Any) -> None:
    await lab.save("two", '[{"say": "{\\"a\\": 7}\\n{\\"a\\": 7}"}]', output={"kind": "jsonl"})
    async with lab.client() as client:
        assert await client.templates["count"].returning(kind)(number=7) == value
        assert await client.templates["two"].returning(list[kind])() == [value, value]
        with pytest.raises(InvalidOutput, match="int"):
            await client.templates["count"].returning(int)(number=7)


async def test_null_is_an_object_too(lab: Lab) -> None:
    await lab.save("nothing", '[{"say": "null"}]', output={"kind": "json", "schema": {"type": "null"}})
    await lab.save("word", '[{"say": "null"}]')
    async with lab.client() as client:
        assert await client.templates["nothing"]() is None
        assert await client.templates["word"]() == "null"


async def test_options(lab: Lab) -> None:
    await lab.save("count", '[{"say": "{\\"a\\": 100}"}]', output={"kind": "json"})
    async with lab.client() as client:
        count = client.templates["count"]
        assert await count.using(version=2)() == {"a": 100}
        assert await count.using(label="production")(number=1) == {"a": 1}
        again = count.using(idempotency_key="k")
        assert (await again.run(number=1)).id == (await again.run(number=1)).id
        assert (await count.run(number=1)).id != (await count.run(number=1)).id
        with pytest.raises(TypeError, match="nonsense"):
            count.using(nonsense=1)  # type: ignore[call-arg]
        noted = await count.using(metadata={"x": "y"}, priority=3).run(number=1)
        prompt = await client.prompts.get(noted.id)
    assert (prompt.metadata, prompt.priority) == ({"x": "y"}, 3)


async def test_errors_are_typed_and_say_what_is_wrong(lab: Lab) -> None:
    await lab.save("bad", '[{"say": "no"}]', output={"kind": "json"})
    async with lab.client() as client:
        with pytest.raises(InvalidInput, match="number") as wrong:
            await client.templates["count"](number=0)
        assert (wrong.value.field, wrong.value.http_status) == ("number", 422)
        with pytest.raises(NotFound, match="nobody"):
            await client.templates["nobody"]()
        with pytest.raises(InvalidOutput) as failed:
            await client.templates["bad"]()
        prompt = await client.prompts.get(prompt_id_of(failed.value) or "")
        assert (prompt.status, prompt.error and prompt.error.code) == ("abandoned", "invalid_output")
        with pytest.raises(InvalidRequest) as odd:
            await client.prompts.submit("x", priority=1000)
        assert (odd.value.field, odd.value.expected[:14]) == ("priority", "a whole number")
        with pytest.raises(NotFound):
            await client.prompts.get("prm_none")
    async with AsyncClient(lab.url, "pk-wrong") as client:
        with pytest.raises(Unauthenticated):
            await client.templates["greet"](name="x")
    _, key = await lab.server.house.walk.keys.store(
        name="k", user="u", permissions=frozenset({"prompt-svc:prompt:view"})
    )
    async with AsyncClient(lab.url, key) as client:
        with pytest.raises(Forbidden):
            await client.templates["greet"](name="x")


async def test_a_stream_ends_with_the_value(lab: Lab) -> None:
    async with lab.client() as client:
        stream = client.templates["greet"].stream(name="Ada")
        events = [event async for event in stream]
        assert "".join(event.text for event in events[:-1] if isinstance(event, Progress)) == "Hello Ada!"
        assert isinstance(events[-1], Done)
        assert (await stream.result(), stream.text) == ("Hello Ada!", "Hello Ada!")
        async with client.templates["count"].stream(number=5) as counted:
            assert await counted.result() == {"a": 5}
        assert (await client.prompts.get(counted.prompt_id or "")).status == "completed"


async def test_a_stream_raises_what_its_prompt_failed_with(lab: Lab) -> None:
    await lab.save("bad", '[{"say": "no"}]', output={"kind": "json"})
    async with lab.client() as client:
        stream = client.templates["bad"].stream()
        with pytest.raises(InvalidOutput) as failed:
            await stream.result()
        assert prompt_id_of(failed.value) == stream.prompt_id
        with pytest.raises(InvalidInput):
            await client.templates["count"].stream(number=0).result()


async def test_what_was_void_is_no_part_of_the_text(lab: Lab) -> None:
    await lab.save("again", '[[{"say": "one"}, {"fail": "network_error"}], [{"say": "two"}]]')
    async with lab.client() as client:
        stream = client.templates["again"].stream()
        kinds = [type(event) async for event in stream]
        assert kinds.count(Restart) == 1
        assert stream.text == await stream.result() == "two"


async def test_templates_are_listed_and_described(lab: Lab) -> None:
    for number in range(101):
        await lab.save(f"t{number:03}", "x")
    async with lab.client() as client:
        found = [template async for template in client.templates]
        assert [template.name for template in found[:3]] == ["count", "greet", "t000"]
        assert (len(found), found[0].latest, found[0].labels["production"][0].version) == (103, 1, 1)
        function = await client.templates["count"].describe()
    assert function.input_schema["required"] == ["number"]
    assert function.output_schema["required"] == ["a"]


async def test_prompts_are_submitted_awaited_followed_and_cancelled(lab: Lab) -> None:
    async with lab.client() as client:
        receipt = await client.prompts.submit('[{"wait": 0.05}, {"say": "hi"}]', model="demo")
        assert not receipt.final
        done = await client.prompts.wait(receipt.id)
        assert (done.status, done.answer and done.answer.text) == ("completed", "hi")
        assert await client.prompts.stream(receipt.id).result() == "hi"
        ran = await client.prompts.run([{"role": "user", "content": '[{"say": "ho"}]'}])
        assert ran.answer is not None
        assert ran.answer.text == "ho"
        with pytest.raises(PromptdError):
            await client.prompts.run('[{"fail": "content_filtered"}]')
        long = await client.prompts.submit('[{"say": "a"}, {"wait": 60}]')
        stream = client.prompts.stream(long.id)
        await anext(stream)
        assert (await client.prompts.cancel(long.id)).status in ("canceled", "running")
        assert (await client.prompts.wait(long.id)).status == "canceled"
        with pytest.raises(PromptdError) as ended:
            await stream.result()
        assert ended.value.code == "cancelled"
        with pytest.raises(Conflict):
            await client.prompts.cancel(long.id)


async def test_a_call_that_takes_too_long_leaves_its_prompt_behind(lab: Lab) -> None:
    await lab.save("slow", '[{"wait": 60}, {"say": "done"}]')
    async with lab.client(timeout=0.2) as client:
        with pytest.raises(Timeout, match="goes on") as late:
            await client.templates["slow"]()
        identifier = prompt_id_of(late.value) or ""
        assert (await client.prompts.get(identifier)).status == "running"
        with pytest.raises(Timeout):
            await client.prompts.wait(identifier, timeout=0.05)
        await client.prompts.cancel(identifier)


async def test_a_long_run_is_awaited_beyond_the_first_request(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("promptd.client.asynchronous._MOST_WAIT", 0.05)
    await lab.save("slow", '[{"wait": 0.3}, {"say": "{\\"a\\": 1}"}]', output={"kind": "json"})
    await lab.save("bad", '[{"wait": 0.3}, {"say": "no"}]', output={"kind": "json"})
    async with lab.client() as client:
        run = await client.templates["slow"].run()
        assert (run.value, run.template.name) == ({"a": 1}, "slow")
        with pytest.raises(InvalidOutput):
            await client.templates["bad"]()


async def test_files_go_in_and_come_out(tmp_path: Path) -> None:
    async with run_server(
        tmp_path,
        engines={"post": Post()},
        connections={"lab": {"engine": "scripted"}, "office": {"engine": "post"}},
    ) as server:
        await save(server.admin, "letter", {"connection": "office", "settings": {"wording": "Dear {{name}}"}})
        file = tmp_path / "a.txt"
        await asyncio.to_thread(file.write_text, "hello")
        async with AsyncClient(f"http://127.0.0.1:{server.port}", server.http.key) as client:
            enclosure = await client.upload(file)
            run = await client.templates["letter"].run(name="Bo", enclosure=enclosure)
            assert run.value["letter"] == "Dear Bo"
            copy = run.outputs["copy"][0]
            assert (await server.http.get(copy.url)).body == b"hello"
            other = client.templates["letter"].using(files={"enclosure": [enclosure.id]})
            assert (await other.run(name="Bo")).outputs.keys() == {"copy"}
            assert (await client.upload(b"raw", name="x.bin")).id


async def test_the_environment_says_where_and_who(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMPTD_URL", lab.url + "/")
    monkeypatch.setenv("PROMPTD_KEY", lab.key)
    async with AsyncClient() as client:
        assert await client.templates["greet"](name="Ada") == "Hello Ada!"
    monkeypatch.setenv("PROMPTD_API_KEY", "pk-wrong")
    async with AsyncClient() as client:
        with pytest.raises(Unauthenticated):
            await client.templates["greet"](name="Ada")
    with pytest.raises(InvalidInput, match="key"):
        AsyncClient(lab.url, "a\nb")
    for url in ("ftp://x", "http://x?y", "http://user@x"):
        with pytest.raises(InvalidInput, match="url"):
            AsyncClient(url)
