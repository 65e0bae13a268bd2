"""Who gets in, and what the wire does with what is no good message."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest

from promptd.faces.asgi import encode
from tests.faces.client import Http, Response
from tests.faces.mcp.conftest import Mcp, ServeMcp, until

pytestmark = pytest.mark.slow

TAKES = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}},
}


async def ask(http: Http, body: Any = HELLO, headers: Mapping[str, str] = {}, **more: Any) -> Response:
    return await http.call("POST", "/mcp", body, headers={**TAKES, **headers}, **more)


def refused(answer: Response, status: int, code: str) -> None:
    """Check a refusal, which is an error of the protocol."""
    assert (answer.status, answer.headers["content-type"]) == (status, "application/json"), answer.body
    told = answer.json
    assert (told["jsonrpc"], told["id"]) == ("2.0", None)
    assert told["error"]["code"] == (-32600 if status < 500 else -32603)
    assert told["error"]["message"].startswith(f"{code}: ")
    assert told["error"]["data"]["code"] == code


@pytest.mark.parametrize("key", [None, "pk-none-0123456789", ""])
async def test_without_a_good_key_nobody_gets_in(mcp: Mcp, key: str | None) -> None:
    answer = await ask(mcp.http.of(key))
    refused(answer, 401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_a_revoked_key_is_refused_in_its_own_session(mcp: Mcp) -> None:
    key, secret = await mcp.house.walk.keys.store(name="k", user="bo")
    opened = await ask(mcp.http.of(secret))
    session = {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
    listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
    assert (await ask(mcp.http.of(secret), listing, session)).status == 200
    assert (await mcp.admin.call("DELETE", f"/promptd/v1/keys/{key.id}")).status < 300
    refused(await ask(mcp.http.of(secret), listing, session), 401, "unauthenticated")


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://localhost:6274", 200),
        ("http://127.0.0.1", 200),
        ("http://[::1]:9", 200),
        ("https://console.example", 200),
        ("https://evil.example", 403),
        ("http://localhost.evil.example", 403),
        ("null", 403),
        ("http://[", 403),
    ],
)
async def test_pages_of_other_origins_are_refused(mcp_server: ServeMcp, origin: str, status: int) -> None:
    async with mcp_server(mcp={"origins": ["https://console.example/"]}) as mcp:
        answer = await ask(mcp.http, headers={"Origin": origin})
    assert answer.status == status, answer.body
    if status == 403:
        refused(answer, 403, "forbidden")


async def test_a_session_is_its_openers_alone(mcp: Mcp) -> None:
    opened = await ask(mcp.http)
    session = {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
    stranger = await mcp.client_of("mallory")
    assert (await ask(stranger, {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}, session)).status == 404
    assert (await stranger.call("DELETE", "/mcp", headers=session)).status == 404
    assert (await ask(mcp.http, {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}, session)).status == 200
    assert (await mcp.http.call("DELETE", "/mcp", headers=session)).status == 200
    assert (await ask(mcp.http, {"jsonrpc": "2.0", "id": 3, "method": "tools/list"}, session)).status == 404


async def test_who_opens_too_many_sessions_loses_the_oldest(mcp: Mcp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("promptd.faces.mcp.sessions.MOST_PER_USER", 2)
    other = await mcp.client_of("bo")
    theirs = (await ask(other)).headers["mcp-session-id"]
    sessions = [(await ask(mcp.http)).headers["mcp-session-id"] for _ in range(2)]
    listing = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
    assert (await ask(mcp.http, listing, {"Mcp-Session-Id": sessions[0]})).status == 200  # now the other is older
    sessions.append((await ask(mcp.http)).headers["mcp-session-id"])
    found = [(await ask(mcp.http, listing, {"Mcp-Session-Id": session})).status for session in sessions]
    assert found == [200, 404, 200]
    assert (await ask(other, listing, {"Mcp-Session-Id": theirs})).status == 200


@pytest.mark.parametrize(
    ("raw", "status"),
    [(b"{", 400), (b"[]", 400), (b"[" * 100_000, 400), (b'{"jsonrpc":"2.0","id":1,"method":1}', 400), (b"\xff", 400)],
)
async def test_what_is_no_message_is_refused(mcp: Mcp, raw: bytes, status: int) -> None:
    for version in ("2025-11-25", "2026-07-28"):
        answer = await ask(mcp.http, None, {"Mcp-Protocol-Version": version}, raw=raw)
        assert answer.status == status, (version, answer.body)


async def test_bodies_have_a_bound(mcp_server: ServeMcp) -> None:
    async with mcp_server(server={"max_body_bytes": 2000}) as mcp:
        assert (await ask(mcp.http, raw=b" " * 3000)).status == 413
        assert (await ask(mcp.http)).status == 200


async def test_a_body_of_too_many_values_is_refused_before_it_is_read(mcp: Mcp) -> None:
    raw = b'{"jsonrpc":"2.0","id":1,"method":"x","params":{"a":[' + b"0," * 300_000 + b"0]}}"
    refused(await ask(mcp.http, raw=raw), 413, "payload_too_large")


async def test_a_client_that_reads_nothing_is_dropped(mcp_server: ServeMcp) -> None:
    size = 8_000_000  # more than all buffers hold, because it is told as progress, as text and as an object
    async with mcp_server(streams={"stuck_reader_seconds": 0.5}) as mcp:
        await mcp.save("echo", '[{"say": "{{ text }}", "pieces": 50}]', callable=True)
        arguments = {"name": "echo", "arguments": {"text": "x" * size}, "_meta": {"progressToken": 1}}
        opened = await ask(mcp.http)
        call = encode({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": arguments})
        with socket.socket() as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.connect(("127.0.0.1", mcp.port))
            client.setblocking(False)
            head = {
                **TAKES,
                "Host": "localhost",
                "Authorization": f"Bearer {mcp.http.key}",
                "Content-Length": str(len(call)),
            }
            head["Mcp-Session-Id"] = opened.headers["mcp-session-id"]
            lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(client, f"POST /mcp HTTP/1.1\r\n{lines}\r\n".encode() + call)
            assert (await loop.sock_recv(client, 12)) == b"HTTP/1.1 200"
            await asyncio.wait_for(until(lambda: not requests()), 10)
            assert mcp.house.walk.worker.load()["lab"][1] == 0
            got = 0
            with suppress(ConnectionResetError):
                while piece := await loop.sock_recv(client, 65536):
                    got += len(piece)
            assert got < 2 * size
        ping = {"jsonrpc": "2.0", "id": 3, "method": "ping"}
        assert (await ask(mcp.http, ping, {"Mcp-Session-Id": head["Mcp-Session-Id"]})).status == 200


def requests() -> list[str]:
    """Those that the server is busy with."""
    names = [getattr(task.get_coro(), "__qualname__", "") for task in asyncio.all_tasks()]
    return [name for name in names if name.endswith(".run_asgi")]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_other_methods_are_refused(mcp: Mcp, method: str) -> None:
    assert (await mcp.http.call(method, "/mcp", headers=TAKES)).status in (400, 405)


async def test_an_unknown_version_is_told_so(mcp: Mcp) -> None:
    answer = await ask(mcp.http, {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, {"Mcp-Protocol-Version": "1999"})
    assert answer.status == 400, answer.body


async def test_rules_on_endpoints_hold(mcp: Mcp) -> None:
    rule = {
        "instance": {
            "templateId": "blocklist",
            "endpoint": "/mcp",
            "parameters": {"blocklist": {"blockedIPs": ["127.0.0.1"]}},
        }
    }
    made = await mcp.admin.call("PUT", "/policy-svc/instance/shut", rule)
    assert made.status == 200, made.body
    assert (await ask(mcp.http)).status == 403


async def test_the_server_leaves_though_clients_listen(mcp_server: ServeMcp) -> None:
    """An open stream of notices must not hold the shutdown up."""
    async with mcp_server() as mcp:
        opened = await ask(mcp.http)
        session = {"Mcp-Session-Id": opened.headers["mcp-session-id"], "Accept": "text/event-stream"}
        listening = asyncio.create_task(mcp.http.call("GET", "/mcp", headers=session))
        async with mcp.client(mode="2026-07-28") as client, client.listen(tools_list_changed=True):
            mcp.house.closing.set()
            await asyncio.wait_for(listening, 3)


async def test_the_package_is_loaded_with_the_first_call(mcp: Mcp) -> None:
    code = (
        "import promptd.faces.mcp, sys; assert not {'mcp', 'mcp_types', 'httpx2', 'sse_starlette'} & sys.modules.keys()"
    )

    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code)
    assert await process.wait() == 0
