"""Clients hear that prompts and tools have changed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mcp_types import PromptListChangedNotification, ToolListChangedNotification

from tests.faces.mcp.conftest import NEW, Mcp

pytestmark = pytest.mark.slow


async def test_a_session_is_told(mcp: Mcp) -> None:
    heard: asyncio.Queue[Any] = asyncio.Queue()

    async def hear(message: Any) -> None:
        heard.put_nowait(message)

    async with mcp.client(message_handler=hear) as client:
        assert client.server_capabilities.tools.list_changed  # type: ignore[union-attr]
        assert client.server_capabilities.prompts.list_changed  # type: ignore[union-attr]
        while not mcp.house.walk.templates.listeners:  # the stream of notices opens behind the handshake
            await asyncio.sleep(0)
        found: set[type] = set()
        number = 0
        while found != {ToolListChangedNotification, PromptListChangedNotification}:
            number += 1
            await mcp.save("t", f"x{number}", callable=True)
            try:
                found.add(type(await asyncio.wait_for(heard.get(), 1)))
            except TimeoutError:
                continue


async def test_a_listener_is_told_of_what_it_asked_for(mcp: Mcp) -> None:
    async with mcp.client(mode=NEW) as client, client.listen(tools_list_changed=True) as events:
        await mcp.save("t", "x", callable=True)
        assert type(await asyncio.wait_for(anext(aiter(events)), 10)).__name__ == "ToolsListChanged"
        assert [tool.name for tool in (await client.list_tools()).tools] == ["t"]
        assert (await mcp.admin.call("DELETE", "/promptd/v1/templates/t")).status == 204
        assert type(await asyncio.wait_for(anext(aiter(events)), 10)).__name__ == "ToolsListChanged"
        assert (await client.list_tools()).tools == []
