"""The way out of a stored connection: public addresses, and of others what the operator named."""

from __future__ import annotations

import pytest

from promptd.core.errors import InvalidInput, PermissionDenied
from promptd.egress.own import own_client
from promptd.testing.upstream import Upstream


@pytest.mark.parametrize(
    "url",
    ["http://127.0.0.1:8080", "http://10.0.0.5", "https://[::1]/v1", "http://169.254.169.254", "http://localhost:1"],
)
async def test_private_addresses_are_refused_at_once(url: str) -> None:
    with pytest.raises(PermissionDenied):
        own_client([url])
    for client in (own_client([url], named=[url]), own_client([url], private=True)):
        await client.close()


@pytest.mark.parametrize("url", ["ftp://example.org", "http://a:b@example.org", "https://", "http://x:99999"])
async def test_what_is_no_address_is_refused(url: str) -> None:
    for private in (False, True):
        with pytest.raises(InvalidInput):
            own_client([url], private=private)


async def test_a_name_that_leads_inside_is_found_when_it_is_called() -> None:
    async def inside(host: str, port: int) -> list[str]:
        return ["127.0.0.1"]

    async with Upstream() as upstream:
        client = own_client(["https://service.example"])
        client._resolve = inside  # what a hostile name server would say
        with pytest.raises(PermissionDenied, match="does not lead to a public address"):
            async with client.request("GET", f"http://service.example:{upstream.port}/v1/models"):
                pass
        assert upstream.connections == 0
        await client.close()
        named = own_client([upstream.base_url], named=[upstream.base_url])
        async with named.request("GET", f"{upstream.base_url}/models") as response:
            assert response.status == 200
            await response.read()
        with pytest.raises(PermissionDenied):
            async with named.request("GET", "http://127.0.0.1:1/"):
                pass
        await named.close()
