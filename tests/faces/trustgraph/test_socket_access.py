"""The socket: who asks."""

from __future__ import annotations

import logging

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from promptd.faces.trustgraph import socket as face_socket
from tests.faces.trustgraph.conftest import TOKEN, ServeTrustGraph, TrustGraph, busy, script

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]


async def test_a_wrong_token_in_the_url_is_refused_at_the_door(
    tg: TrustGraph, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(InvalidStatus) as refused:
        async with tg.socket(key="wrong"):
            pass
    assert refused.value.response.status_code == 401
    assert [record.message for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_the_first_frame_says_who_it_is_and_may_be_tried_again(tg: TrustGraph) -> None:
    async with tg.socket(key=None) as line:
        await line.complete("hello", id=9)
        told = await line.receive()
        assert told["error"] == {"type": "auth-required", "message": "auth failure"}
        assert (told["id"], told["complete"]) == (9, True)
        await line.send({"type": "auth", "token": "wrong"})
        assert await line.receive() == {"type": "auth-failed", "error": "auth failure"}
        await line.send({"type": "auth", "token": TOKEN})
        assert await line.receive() == {"type": "auth-ok", "workspace": "default", "default_workspace": "default"}
        await line.complete("hello")
        assert (await line.receive())["response"]["response"] == "hello"


async def test_many_failures_end_the_connection(tg: TrustGraph) -> None:
    async with tg.socket(key=None) as line:
        for _ in range(10):
            await line.send({"type": "auth", "token": "wrong"})
            assert (await line.receive())["type"] == "auth-failed"
        with pytest.raises(ConnectionClosed):
            await line.receive()


async def test_native_keys_work_in_both_places(tg: TrustGraph) -> None:
    async with tg.socket(key=None) as line:
        await line.send({"type": "auth", "token": tg.http.key})
        assert (await line.receive())["type"] == "auth-ok"


async def test_an_open_face_lets_everybody_in(trustgraph: ServeTrustGraph) -> None:
    async with trustgraph(given={"open": True}) as tg, tg.socket(key=None) as line:
        await line.complete("hello")
        assert (await line.receive())["response"]["response"] == "hello"
        await line.send({"type": "auth", "token": ""})
        assert (await line.receive())["type"] == "auth-ok"
        await line.send({"type": "auth", "token": "left over"})
        assert (await line.receive())["type"] == "auth-ok"
        await line.send({"type": "auth", "token": "pk-abc-revoked"})
        assert (await line.receive())["type"] == "auth-failed"


async def test_pages_of_other_sites_do_not_get_what_is_open(trustgraph: ServeTrustGraph) -> None:
    async with trustgraph(given={"open": True}) as tg:
        async with tg.socket(key=None, origin="http://evil.example") as line:
            await line.complete("hello")
            assert (await line.receive())["error"]["type"] == "auth-required"
        async with tg.socket(key=None, origin="http://localhost:3000") as line:
            await line.complete("hello")
            assert (await line.receive())["response"]["response"] == "hello"


async def test_a_socket_loses_its_power_with_its_key(tg: TrustGraph) -> None:
    client = await tg.client("bob")
    async with tg.socket(key=client.key) as line:
        await line.complete("hello")
        assert (await line.receive())["response"]["response"] == "hello"
        await tg.house.walk.keys.revoke_all("bob")
        await line.complete("hello")
        assert (await line.receive())["error"]["type"] == "auth-required"
        await line.send({"type": "auth", "token": tg.http.key})
        assert (await line.receive())["type"] == "auth-ok"


async def test_calls_at_work_on_a_socket_end_with_its_key(tg: TrustGraph) -> None:
    client = await tg.client("bob")
    async with tg.socket(key=client.key) as line:
        await line.complete(script({"say": "begun"}, {"hang": True}), id="a", streaming=True)
        await line.complete(script({"hang": True}), id="b")
        assert (await line.receive())["response"]["response"] == "begun"
        await tg.house.walk.keys.revoke_all("bob")
        told = [await line.receive() for _ in range(2)]
        assert {one["id"] for one in told} == {"a", "b"}
        for one in told:
            assert one["complete"]
            assert one["error"]["type"] == "auth-required"
        assert not busy(tg)
        await line.send({"type": "auth", "token": tg.http.key})
        assert (await line.receive())["type"] == "auth-ok"
        await line.complete("hello", id="c")
        assert (await line.receive())["response"]["response"] == "hello"


async def test_who_does_not_say_who_it_is_is_sent_away(tg: TrustGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face_socket, "AUTH_SECONDS", 0.1)
    async with tg.socket(key=None) as line:
        with pytest.raises(ConnectionClosed) as closed:
            await line.receive()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1008


async def test_tokens_of_the_url_reach_no_log(tg: TrustGraph, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger="promptd"), caplog.at_level(logging.INFO, logger="uvicorn"):
        async with tg.socket() as line:
            await line.complete("hello")
            await line.receive()
        with pytest.raises(InvalidStatus):
            async with tg.socket(key="a-wrong-secret"):
                pass
    assert tg.http.key is not None
    assert tg.http.key not in caplog.text
    assert "a-wrong-secret" not in caplog.text
