"""The socket: many calls at once."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from promptd.core.lifecycle import Status
from promptd.faces.trustgraph import socket as face_socket
from tests.faces.trustgraph.conftest import PATIENCE, TrustGraph, busy, ended, script

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]


async def test_one_stuck_call_of_200_holds_up_nobody(tg: TrustGraph) -> None:
    async with tg.socket() as line:
        await line.complete(script({"hang": True}), id="stuck")
        for number in range(199):
            await line.complete(f"call {number}", id=number)
        answers = {}
        for _ in range(199):
            told = await line.receive()
            answers[told["id"]] = told["response"]["response"]
    assert answers == {number: f"call {number}" for number in range(199)}
    prompts = await ended(tg, 200)
    assert sorted(prompt.status for prompt in prompts).count(Status.CANCELED) == 1  # … and the stuck one ended with us


async def test_calls_beyond_those_that_run_wait_their_turn(
    tg: TrustGraph, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(face_socket, "MOST_RUNNING", 4)
    go = tmp_path / "go"
    async with tg.socket() as line:
        for number in range(20):
            await line.complete(script({"wait_file": str(go)}, {"say": str(number)}), id=number)
        await line.ask("ping", "flow", {"operation": "list-flows"})
        await tg.begun(4)
        await asyncio.wait_for(await line.connection.ping(), PATIENCE)  # all that was sent has been read
        assert busy(tg) == 4
        go.touch()
        told = [await line.receive() for _ in range(21)]
    assert {message["id"] for message in told} == {*range(20), "ping"}


async def test_too_many_calls_are_refused_and_the_socket_lives(tg: TrustGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face_socket, "MOST_CALLS", 3)
    async with tg.socket() as line:
        for number in range(3):
            await line.complete(script({"hang": True}), id=number)
        await line.complete(script({"hang": True}), id=2)  # in flight already, so it is not one more
        await line.complete("one more", id="more")
        told = await line.receive()
    assert (told["id"], told["error"]["type"]) == ("more", "gateway-error")


async def test_too_many_bytes_are_refused_but_never_a_call_alone(
    tg: TrustGraph, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(face_socket, "MOST_BYTES", 1000)
    async with tg.socket() as line:
        await line.complete("a" * 2000, id="alone")
        assert (await line.receive())["response"]["response"] == "a" * 2000
        await line.complete(script({"hang": True}), id="stuck")
        await line.complete("b" * 2000, id="more")
        told = await line.receive()
    assert (told["id"], told["error"]["type"]) == ("more", "gateway-error")


async def test_an_equal_repeat_joins_the_call_in_flight(tg: TrustGraph, tmp_path: Path) -> None:
    go = tmp_path / "go"
    request = {"system": "", "prompt": script({"wait_file": str(go)}, {"say": "once"})}
    async with tg.socket() as line:
        for _ in range(3):
            await line.ask("same", "text-completion", request)
        again = {"flow": "default", "id": "same", "service": "text-completion"}
        await line.send(json.dumps(again | {"request": dict(reversed(request.items()))}, indent=2))  # the same
        await line.complete("another", id="same")  # not the same
        assert (await line.receive())["response"]["response"] == "another"
        go.touch()
        assert (await line.receive())["response"]["response"] == "once"
        await line.ask("same", "text-completion", {"prompt": "after the end it is a new call"})
        assert (await line.receive())["response"]["response"] == "after the end it is a new call"
    assert len(await ended(tg, 3)) == 3


async def test_ids_that_python_takes_for_equal_are_different(tg: TrustGraph, tmp_path: Path) -> None:
    async with tg.socket() as line:
        for identifier in (1, True, "1"):
            await line.complete("hello", id=identifier)
        told = [await line.receive() for _ in range(3)]
    assert len(told) == 3


async def test_leaving_cancels_what_runs(tg: TrustGraph) -> None:
    async with tg.socket() as line:
        await line.complete(script({"say": "begun"}, {"hang": True}), id="a", streaming=True)
        await line.complete(script({"hang": True}), id="b")
        assert (await line.receive())["response"]["response"] == "begun"
    prompts = await ended(tg, 2)
    assert [prompt.status for prompt in prompts] == [Status.CANCELED] * 2
    assert busy(tg) == 0
