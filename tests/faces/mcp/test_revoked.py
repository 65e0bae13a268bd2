"""Streams of notices end with the key that opened them."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from mcp.shared.exceptions import MCPError

from promptd.service.revocation import Stay
from tests.faces.mcp.conftest import NEW, OLD, Mcp, until

pytestmark = pytest.mark.slow

PATIENCE = 10.0


@pytest.mark.parametrize("mode", [OLD, NEW])
async def test_a_stream_of_notices_ends_with_its_key(mcp: Mcp, mode: str) -> None:
    stays: set[Stay] = mcp.house.walk.revocation._stays
    key, secret = await mcp.house.walk.keys.store(name="test", user="listens")
    async with asyncio.timeout(PATIENCE), mcp.client(secret, mode=mode) as client:
        with suppress(MCPError):  # how its end is told is the client's business
            if mode == OLD:  # opens one by itself
                await until(lambda: bool(stays))
                assert (await mcp.admin.call("DELETE", f"/promptd/v1/keys/{key.id}")).status == 200
            else:
                async with client.listen(tools_list_changed=True):
                    await until(lambda: bool(stays))
                    assert (await mcp.admin.call("DELETE", f"/promptd/v1/keys/{key.id}")).status == 200
                    await until(lambda: not stays)
        await until(lambda: not stays)
        with pytest.raises(MCPError):
            await client.list_tools()
