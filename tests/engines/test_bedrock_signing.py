"""Signatures of AWS are those of the vendor's own client, for any request, and those of what goes over the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from promptd.core.content import Turn
from promptd.core.engine import Call
from promptd.core.errors import AuthenticationFailed
from promptd.egress import Egress
from promptd.engines.bedrock import Bedrock, BedrockConfig
from promptd.engines.bedrock.signing import AccessKey, sign
from promptd.testing.model_server import Exchange, ModelServer

NOW = datetime(2026, 11, 21, 9, 8, 7, tzinfo=UTC)
KEY = AccessKey("AKIDTEST", "the/secret+of the=test")


class Signer(botocore.auth.SigV4Auth):  # type: ignore[misc] # its package has no types
    """The vendor's, at a time of ours."""

    def __init__(self, key: AccessKey, region: str, stamp: str) -> None:
        super().__init__(Credentials(key.id, key.secret, key.token or None), "bedrock", region)
        self.stamp = stamp

    def signed(self, url: str, headers: dict[str, str], body: bytes) -> str:
        request = AWSRequest("POST", url, headers=headers, data=body)
        request.context["timestamp"] = self.stamp
        if self.credentials.token:
            request.headers["X-Amz-Security-Token"] = self.credentials.token
        request.headers["X-Amz-Date"] = self.stamp
        canonical = self.canonical_request(request)
        signature = self.signature(self.string_to_sign(request, canonical), request)
        names = self.signed_headers(self.headers_to_sign(request))
        return f"AWS4-HMAC-SHA256 Credential={self.scope(request)}, SignedHeaders={names}, Signature={signature}"


@given(
    model=st.text(min_size=1, max_size=20).filter(lambda text: text not in (".", "..")),
    body=st.binary(max_size=50),
    prefix=st.sampled_from(["", "/a b", "/v1/%41~"]),
    host=st.sampled_from(
        ["https://h.example", "http://h.example:8080", "https://h.example:443", "http://127.0.0.1:80"]
    ),
    token=st.sampled_from(["", "tok/en+="]),
)
@settings(deadline=None, max_examples=80)
def test_the_vendors_client_signs_the_same(model: str, body: bytes, prefix: str, host: str, token: str) -> None:
    url = f"{host}{quote(prefix, safe='/%~')}/model/{quote(model, safe='')}/converse"
    key = AccessKey(KEY.id, KEY.secret, token)
    headers = {"content-type": "application/json"}
    made = sign(key, "eu-west-1", url, headers, body, now=NOW)
    assert made["x-amz-date"] == "20261121T090807Z"
    assert made.get("x-amz-security-token", "") == token
    assert made["authorization"] == Signer(key, "eu-west-1", made["x-amz-date"]).signed(url, headers, body)


def test_the_key_is_never_shown() -> None:
    assert KEY.secret not in repr(AccessKey("a", KEY.secret, KEY.secret))


@pytest.fixture
async def server() -> AsyncIterator[ModelServer]:
    async with ModelServer() as started:
        yield started


async def exchanged(server: ModelServer, **changes: Any) -> Exchange:
    """A signed call, as the server got it. It knows no signatures, and refuses."""
    given = {"base_url": server.origin, "region": "eu-west-1", "access_key_id": KEY.id, "secret_access_key": KEY.secret}
    made = BedrockConfig.model_validate(given | changes)
    egress = Egress([server.origin])
    asked: Call[BedrockConfig, Any] = Call(
        connection=made, connection_name="c", model="a.b-v1:0", http=egress, messages=(Turn("user", "Grüße"),)
    )
    with pytest.raises(AuthenticationFailed):
        _ = [chunk async for chunk in Bedrock().run(asked)]
    await egress.close()
    (exchange,) = server.exchanges
    return exchange


@pytest.mark.parametrize(
    ("changes", "host"),
    [({}, ""), ({"session_token": "tok"}, ""), ({"headers": {":authority": "models.example"}}, "models.example")],
)
async def test_what_goes_over_the_wire_is_what_was_signed(
    server: ModelServer, changes: dict[str, Any], host: str
) -> None:
    exchange = await exchanged(server, **changes)
    headers = exchange.headers
    assert headers["host"] == (host or server.origin.removeprefix("http://"))
    body = b'{"messages":[{"role":"user","content":[{"text":"Gr\xc3\xbc\xc3\x9fe"}]}]}'
    key = AccessKey(KEY.id, KEY.secret, changes.get("session_token", ""))
    assert headers.get("x-amz-security-token", "") == key.token
    url = f"http://{headers['host']}{exchange.path}"
    said = Signer(key, "eu-west-1", headers["x-amz-date"]).signed(url, {"content-type": headers["content-type"]}, body)
    assert headers["authorization"] == said
    assert KEY.secret not in str(headers)


async def test_the_vendors_own_headers_are_signed_wherever_they_come_from(server: ModelServer) -> None:
    changes = {"headers": {"X-Amz-Source": "promptd  here", "x-title": "mine", "X-Amz-Date": "19700101T000000Z"}}
    headers = (await exchanged(server, **changes)).headers
    signed = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0]
    assert signed == "content-type;host;x-amz-date;x-amz-source"
    assert headers["x-amz-source"] == "promptd  here"
    assert headers["x-amz-date"] != "19700101T000000Z"
