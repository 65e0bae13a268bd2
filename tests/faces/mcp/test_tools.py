"""Callable templates as tools, asked by the protocol's own client in its old and its new version."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError

from tests.faces.mcp.conftest import NEW, OLD, Mcp, save, until

pytestmark = pytest.mark.slow

SCHEMA = {"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}
NUMBER = {"name": "number", "kind": "integer", "minimum": 1, "description": "how many"}
both = pytest.mark.parametrize("mode", [OLD, NEW])


@both
async def test_a_callable_template_is_a_tool_with_schemas(mcp: Mcp, mode: str) -> None:
    await mcp.save(
        "count",
        '[{"say": "{\\"a\\": {{ number }}}"}]',
        inputs=[NUMBER],
        output={"kind": "json", "schema": SCHEMA},
        description="Counts.",
        callable=True,
    )
    await mcp.save("private", "x")
    async with mcp.client(mode=mode) as client:
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == ["count"]
        assert tools[0].description == "Counts."
        assert tools[0].input_schema["properties"]["number"]["minimum"] == 1
        assert tools[0].input_schema["required"] == ["number"]
        assert tools[0].output_schema == SCHEMA
        result = await client.call_tool("count", {"number": 7})
    assert not result.is_error
    assert result.structured_content == {"a": 7}
    assert result.content[0].text == '{"a":7}'  # type: ignore[union-attr]


@both
async def test_a_text_is_wrapped_because_results_are_objects(mcp: Mcp, mode: str) -> None:
    await mcp.save("greet", '[{"say": "Hello {{ name }}!"}]', callable=True)
    async with mcp.client(mode=mode) as client:
        await client.list_tools()  # so that the client checks the result against the schema
        result = await client.call_tool("greet", {"name": "Ada"})
    assert result.structured_content == {"result": "Hello Ada!"}
    assert result.content[0].text == "Hello Ada!"  # type: ignore[union-attr]


async def test_a_list_with_references_in_its_schema_is_wrapped_and_fits(mcp: Mcp) -> None:
    schema = {"$defs": {"n": {"type": "integer"}}, "type": "array", "items": {"$ref": "#/$defs/n"}}
    await mcp.save("many", '[{"say": "[1, 2]"}]', output={"kind": "json", "schema": schema}, callable=True)
    async with mcp.client() as client:
        await client.list_tools()
        assert (await client.call_tool("many", {})).structured_content == {"result": [1, 2]}


@both
@pytest.mark.parametrize(
    ("arguments", "field"), [({}, "number"), ({"number": "7"}, "number"), ({"number": 1, "more": 2}, "more")]
)
async def test_wrong_arguments_are_a_result_that_names_them(
    mcp: Mcp, mode: str, arguments: dict[str, Any], field: str
) -> None:
    await mcp.save("count", "{{ number }}", inputs=[NUMBER], callable=True)
    async with mcp.client(mode=mode) as client:
        result = await client.call_tool("count", arguments)
    assert result.is_error
    assert result.content[0].text.startswith("invalid_input: ")  # type: ignore[union-attr]
    told = (result.meta or {})["promptd/problem"]
    assert (told["code"], told["field"], told["status"]) == ("invalid_input", field, 422)


@both
async def test_a_run_that_fails_is_a_result_with_our_code(mcp: Mcp, mode: str) -> None:
    await mcp.save("obj", '[{"say": "no"}]', output={"kind": "json", "schema": SCHEMA, "repair": 0}, callable=True)
    async with mcp.client(mode=mode) as client:
        await client.list_tools()
        result = await client.call_tool("obj", {})
    assert result.is_error
    assert (result.meta or {})["promptd/problem"]["code"] == "invalid_output"


@both
@pytest.mark.parametrize("name", ["nobody", "private", "../etc"])
async def test_what_is_no_tool_is_unknown(mcp: Mcp, mode: str, name: str) -> None:
    await mcp.save("private", "x")
    async with mcp.client(mode=mode) as client:
        with pytest.raises(MCPError, match="Unknown tool") as caught:
            await client.call_tool(name, {})
    assert caught.value.code == -32602


@both
async def test_progress_carries_the_text_and_the_result_is_whole(mcp: Mcp, mode: str) -> None:
    await mcp.save("slow", '[{"say": "one "}, {"wait": 0.05}, {"say": "two"}]', callable=True)
    told: list[tuple[float, float | None, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    async with mcp.client(mode=mode) as client:
        result = await client.call_tool("slow", {}, progress_callback=hear)
        assert result.structured_content == {"result": "one two"}
    assert [progress for progress, _, _ in told] == sorted({progress for progress, _, _ in told})
    assert "".join(message or "" for _, _, message in told) == "one two"[: len("".join(m or "" for _, _, m in told))]
    assert told[0][2] == "one "


@both
async def test_a_client_that_cancels_ends_the_prompt(mcp: Mcp, mode: str) -> None:
    await mcp.save("long", '[{"say": "begun"}, {"wait": 30}, {"say": "done"}]', callable=True)
    begun = asyncio.Event()

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        begun.set()

    async with mcp.client(mode=mode) as client:
        call = asyncio.create_task(client.call_tool("long", {}, progress_callback=hear))
        await asyncio.wait_for(begun.wait(), 10)
        assert mcp.house.walk.worker.load()["lab"][1] == 1
        call.cancel()
        await asyncio.wait([call])
        await asyncio.wait_for(until(lambda: mcp.house.walk.worker.load()["lab"][1] == 0), 10)
        assert (await client.list_tools()).tools[0].name == "long"
    await mcp.house.walk.attached.flush()
    listed = (await mcp.http.get("/promptd/v1/prompts")).json["items"]
    assert [item["status"] for item in listed] == ["canceled"]


async def test_a_query_takes_uploads_and_gives_links_to_its_files(mcp: Mcp) -> None:
    await save(
        mcp.admin, "letter", {"connection": "office", "settings": {"wording": "Dear {{name}}"}, "callable": True}
    )
    made = await mcp.http.call(
        "POST", "/promptd/v1/files?name=a.txt", raw=b"hello", headers={"Content-Type": "text/plain"}
    )
    assert made.status == 201, made.body
    async with mcp.client() as client:
        tool = (await client.list_tools()).tools[0]
        assert tool.input_schema["properties"]["enclosure"]["items"] == {"type": "string"}
        result = await client.call_tool("letter", {"name": "Bo", "enclosure": [made.json["id"]]})
        assert not result.is_error, result
        assert result.structured_content == {"letter": "Dear Bo", "pages": 1}
        link = result.content[1]
        wrong = await client.call_tool("letter", {"name": "Bo", "enclosure": ["nothing"]})
        odd = await client.call_tool("letter", {"name": "Bo", "enclosure": "nothing"})
    path = link.uri.removeprefix(mcp.url.removesuffix("/mcp"))  # type: ignore[union-attr]
    assert (await mcp.http.get(path)).body == b"hello"
    assert (wrong.meta or {})["promptd/problem"]["field"] == "files.enclosure[0]"
    assert (odd.meta or {})["promptd/problem"]["field"] == "enclosure"


async def test_limits_count_calls(mcp: Mcp) -> None:
    await mcp.save("greet", '[{"say": "hi"}]', callable=True)
    limit = {"name": "few", "metric": "requests", "limit": 1, "window": 3600}
    made = await mcp.admin.post("/promptd/v1/keys", {"name": "few", "limits": [limit]})
    assert made.status == 201, made.body
    async with mcp.client(made.json["key"]) as client:
        assert not (await client.call_tool("greet", {})).is_error
        refused = await client.call_tool("greet", {})
    assert (refused.meta or {})["promptd/problem"]["code"] == "too_many_requests"


async def test_permissions_hold(mcp: Mcp) -> None:
    await mcp.save("greet", '[{"say": "hi"}]', callable=True)
    _, seeing = await mcp.house.walk.keys.store(
        name="see", user="bo", permissions=frozenset({"prompt-svc:template:view"})
    )
    _, asking = await mcp.house.walk.keys.store(
        name="ask", user="bo", permissions=frozenset({"prompt-svc:prompt:create"})
    )
    async with mcp.client(seeing) as client:
        assert len((await client.list_tools()).tools) == 1
        assert (await client.call_tool("greet", {})).meta["promptd/problem"]["code"] == "forbidden"  # type: ignore[index]
    async with mcp.client(asking) as client:
        with pytest.raises(MCPError, match="forbidden") as caught:
            await client.list_tools()
    assert caught.value.code == -32600
