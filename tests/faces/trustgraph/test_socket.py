"""The socket: envelopes, streams and errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.faces.trustgraph.conftest import TrustGraph, script

pytestmark = [pytest.mark.slow, pytest.mark.asyncio]


async def test_a_completion_is_one_complete_message(tg: TrustGraph) -> None:
    async with tg.socket() as line:
        await line.complete("hello there", id="req-1")
        assert await line.receive() == {
            "id": "req-1",
            "response": {
                "response": "hello there",
                "end_of_stream": True,
                "in_token": 2,
                "out_token": 2,
                "model": "demo",
            },
            "complete": True,
        }


async def test_the_older_name_of_the_socket_works(tg: TrustGraph) -> None:
    async with tg.socket("/api/v1/mux") as line:
        await line.complete("hello")
        assert (await line.receive())["response"]["response"] == "hello"


@pytest.mark.parametrize("identifier", ["req-1", 7, 7.5, True, 2**70, 'ü \n "', -1])
async def test_ids_come_back_as_they_are(tg: TrustGraph, identifier: Any) -> None:
    async with tg.socket() as line:
        await line.complete("hello", id=identifier)
        told = await line.receive()
    assert told["id"] == identifier
    assert type(told["id"]) is type(identifier)


async def test_binary_frames_are_as_good_and_unknown_members_are_ignored(tg: TrustGraph) -> None:
    async with tg.socket() as line:
        message = {
            "id": "1",
            "workspace": "other",
            "extra": {"a": [1]},
            "service": "text-completion",
            "flow": "0000",
            "request": {"system": "", "prompt": "hello", "workspace": "other", "more": 1},
        }
        await line.send(json.dumps(message).encode())
        assert (await line.receive())["response"]["response"] == "hello"


async def test_a_request_without_a_flow_goes_to_the_default_one(tg: TrustGraph) -> None:
    async with tg.socket() as line:
        await line.send({"id": "1", "service": "text-completion", "request": {"prompt": "hello"}})
        assert (await line.receive())["response"]["response"] == "hello"


async def test_a_stream_comes_in_pieces_with_one_complete_message(tg: TrustGraph) -> None:
    async with tg.socket() as line:
        await line.complete(script({"say": "one two three four", "pieces": 4}), streaming=True)
        messages = await line.until_complete()
    *pieces, end = [message["response"] for message in messages]
    assert "".join(piece["response"] for piece in pieces) == "one two three four"
    assert len(pieces) == 4
    assert [piece["end_of_stream"] for piece in pieces] == [False] * 4
    assert all("in_token" not in piece for piece in pieces)
    assert (end["response"], end["end_of_stream"], end["out_token"], end["model"]) == ("", True, 4, "demo")


async def test_the_first_piece_comes_before_the_second_is_said(tg: TrustGraph, tmp_path: Path) -> None:
    go = tmp_path / "go"
    async with tg.socket() as line:
        await line.complete(script({"say": "one"}, {"wait_file": str(go)}, {"say": "two"}), streaming=True)
        assert (await line.receive())["response"]["response"] == "one"
        go.touch()
        assert (await line.receive())["response"]["response"] == "two"


async def test_long_pieces_are_cut_so_that_released_clients_take_them(tg: TrustGraph) -> None:
    text = "\x01" * 700_000  # six bytes each in JSON
    async with tg.socket(max_size=2**20) as line:
        await line.complete(script({"say": text}), streaming=True)
        messages = await line.until_complete()
    assert "".join(message["response"]["response"] for message in messages) == text


# ---------------------------------------------------------------- errors


async def test_errors_stand_in_both_places(tg: TrustGraph) -> None:
    error = {"type": "llm-error", "message": "no luck"}
    async with tg.socket() as line:
        await line.complete(script({"fail": "invalid_input", "message": "no luck"}), id="a")
        assert await line.receive() == {"id": "a", "error": error, "response": {"error": error}, "complete": True}


async def test_an_error_ends_a_stream(tg: TrustGraph) -> None:
    async with tg.socket() as line:
        await line.complete(script({"say": "half"}, {"fail": "network_error", "message": "gone"}), streaming=True)
        piece, end = await line.until_complete()
    assert piece["response"]["response"] == "half"
    assert end["error"] == end["response"]["error"] == {"type": "llm-error", "message": "gone"}


@pytest.mark.parametrize(
    ("frame", "identifier", "kind"),
    [
        ("nonsense", None, "error"),
        ("[1]", None, "error"),
        ("{}", None, "error"),
        (b"\xff\xfe", None, "error"),
        ('{"id":"1"}', "1", "error"),
        ('{"request":{},"service":"prompt"}', None, "error"),
        ('{"id":null,"request":{},"service":"prompt"}', None, "error"),
        ('{"id":[1],"request":{},"service":"prompt"}', None, "error"),
        ('{"id":"1","request":{}}', "1", "unknown-service"),
        ('{"id":"1","request":{},"service":"agent"}', "1", "unknown-service"),
        ('{"id":"1","request":[],"service":"prompt"}', "1", "gateway-error"),
        ('{"id":"1","request":{},"service":"text-completion"}', "1", "gateway-error"),
        ('{"id":"1","request":{"prompt":5},"service":"text-completion"}', "1", "gateway-error"),
        ('{"id":"1","request":{"prompt":"x","streaming":"yes"},"service":"text-completion"}', "1", "gateway-error"),
        ('{"id":"1","request":{"id":"none"},"service":"prompt"}', "1", "llm-error"),
        ('{"id":"1","request":{"id":"x","terms":{"a":"{"}},"service":"prompt"}', "1", "llm-error"),
        ('{"id":"1","request":{"id":"x","variables":[]},"service":"prompt"}', "1", "gateway-error"),
        ('{"id":"1","request":{"operation":"sing"},"service":"config"}', "1", "bad-operation"),
        ('{"id":"1","request":{"operation":"sing"},"service":"flow"}', "1", "bad-operation"),
        ("[" * 100_000, None, "error"),
        ('{"id":"1","service":"prompt","request":' + "[" * 10_000 + "]" * 10_000 + "}", None, "error"),
    ],
)
async def test_what_is_no_request_gets_a_typed_error_and_the_socket_lives_on(
    tg: TrustGraph, frame: str | bytes, identifier: Any, kind: str
) -> None:
    async with tg.socket() as line:
        await line.send(frame)
        told = await line.receive()
        assert told["error"]["type"] == kind
        assert told["error"] == told["response"]["error"]
        assert told["complete"] is True
        assert told.get("id") == identifier
        await line.complete("still here")
        assert (await line.receive())["response"]["response"] == "still here"


async def test_an_unknown_template_is_named(tg: TrustGraph) -> None:
    async with tg.socket() as line:
        await line.ask("1", "prompt", {"id": "nobody", "variables": {}})
        error = (await line.receive())["error"]
    assert error == {"type": "llm-error", "message": "Unknown prompt template: nobody"}


async def test_models_are_listed(tg: TrustGraph) -> None:
    async with tg.socket() as line:
        await line.ask("1", "text-completion", {"operation": "list-models"})
        told = await line.receive()
    assert [model["id"] for model in told["response"]["models"]] == ["demo", "org/big"]
    assert told["complete"] is True
