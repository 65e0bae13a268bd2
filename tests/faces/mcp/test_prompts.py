"""Templates as prompts: listed with their arguments, rendered, never run."""

from __future__ import annotations

import pytest
from mcp.shared.exceptions import MCPError

from tests.faces.mcp.conftest import NEW, OLD, Mcp, save

pytestmark = pytest.mark.slow

both = pytest.mark.parametrize("mode", [OLD, NEW])
MESSAGES = [
    {"role": "system", "source": "You are {{ mood }}."},
    {"role": "user", "source": "{% for word in words %}{{ word }}, {% endfor %}{{ count }}"},
    {"role": "assistant", "source": "Well"},
]
INPUTS = [
    {"name": "mood", "description": "of the model"},
    {"name": "words", "kind": "array", "items": {"name": "word"}},
    {"name": "count", "kind": "integer", "required": False, "default": 3},
]


@both
async def test_a_template_is_a_prompt_that_is_rendered_and_not_run(mcp: Mcp, mode: str) -> None:
    await save(mcp.admin, "list", {"messages": MESSAGES, "inputs": INPUTS, "description": "Lists words."})
    async with mcp.client(mode=mode) as client:
        prompt = (await client.list_prompts()).prompts[0]
        assert (prompt.name, prompt.description) == ("list", "Lists words.")
        arguments = [(item.name, item.required, item.description) for item in prompt.arguments or ()]
        assert arguments == [("mood", True, "of the model"), ("words", True, None), ("count", False, None)]
        got = await client.get_prompt("list", {"mood": "kind", "words": '["a", "b"]'})
        assert [(message.role, message.content.text) for message in got.messages] == [  # type: ignore[union-attr]
            ("user", "You are kind."),
            ("user", "a, b, 3"),
            ("assistant", "Well"),
        ]
        assert got.description == "Lists words."
    assert (await mcp.admin.get("/promptd/v1/prompts")).json["items"] == []


@both
@pytest.mark.parametrize(
    ("name", "arguments", "code", "field"),
    [
        ("list", {"words": "[]"}, "invalid_input", "mood"),
        ("list", {"mood": "x", "words": "a, b"}, "invalid_input", "words"),
        ("list", {"mood": "x", "words": "[]", "more": "1"}, "invalid_input", "more"),
        ("nobody", {}, "not_found", None),
    ],
)
async def test_what_is_wrong_is_named(
    mcp: Mcp, mode: str, name: str, arguments: dict[str, str], code: str, field: str | None
) -> None:
    await save(mcp.admin, "list", {"messages": MESSAGES, "inputs": INPUTS})
    async with mcp.client(mode=mode) as client:
        with pytest.raises(MCPError, match=code) as caught:
            await client.get_prompt(name, arguments)
    assert caught.value.code == -32602
    assert (caught.value.data["code"], caught.value.data.get("field")) == (code, field)


async def test_undeclared_inputs_are_text_or_data(mcp: Mcp) -> None:
    await mcp.save("echo", "{{ word }}: {{ data.a }}")
    async with mcp.client() as client:
        got = await client.get_prompt("echo", {"word": "true", "data": '{"a": 5}'})
    assert got.messages[0].content.text == "true: 5"  # type: ignore[union-attr]


async def test_queries_are_prompts_where_they_are_made_of_messages(mcp: Mcp) -> None:
    await save(mcp.admin, "write", {"connection": "desk", "settings": {"wording": "Dear {{name}}"}})
    await save(mcp.admin, "post", {"connection": "office", "settings": {"wording": "Dear {{name}}"}})
    async with mcp.client() as client:
        assert [prompt.name for prompt in (await client.list_prompts()).prompts] == ["write"]
        got = await client.get_prompt("write", {"name": "Bo"})
        assert got.messages[0].content.text == "Dear Bo"  # type: ignore[union-attr]
        with pytest.raises(MCPError, match="unsupported"):
            await client.get_prompt("post", {"name": "Bo"})


async def test_long_lists_come_in_pages(mcp: Mcp) -> None:
    for number in range(103):
        await mcp.save(f"t{number:03}", "x", callable=number % 2 == 0)
    async with mcp.client() as client:
        first = await client.list_prompts()
        assert (len(first.prompts), first.next_cursor is None) == (100, False)
        rest = await client.list_prompts(cursor=first.next_cursor)
        assert ([prompt.name for prompt in rest.prompts], rest.next_cursor) == (["t100", "t101", "t102"], None)
        assert len((await client.list_tools()).tools) == 52
        with pytest.raises(MCPError, match="invalid_request"):
            await client.list_tools(cursor="zzz")


async def test_a_key_that_may_not_view_templates_sees_none(mcp: Mcp) -> None:
    await mcp.save("t", "x")
    _, key = await mcp.house.walk.keys.store(name="k", user="bo", permissions=frozenset({"prompt-svc:prompt:create"}))
    async with mcp.client(key) as client:
        for ask in (client.list_prompts(), client.get_prompt("t", {})):
            with pytest.raises(MCPError, match="forbidden"):
                await ask
