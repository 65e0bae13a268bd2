"""The head of a stream goes out with its first piece, where the server offers to send both at once."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

import pytest

from promptd.faces.asgi import WRITE
from promptd.faces.live import Live, Stream

EVENT = b"data: 1\n\n"
BEAT = b": \n\n"


class Server:
    """Notes what is sent, and takes no piece at once while it is `busy`."""

    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.busy = False

    def write(self, data: bytes, head: str | None = None) -> bool:
        if not self.busy:
            self.sent.append((data, head))
        return not self.busy

    async def send(self, message: MutableMapping[str, Any]) -> None:
        self.sent.append(message.get("headers", message.get("body")))


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
async def stream(server: Server) -> Stream:
    live = Live(heartbeat_seconds=60, stuck_seconds=60, beat=BEAT)
    return live.open({"type": "http", "extensions": {WRITE: server.write}}, server.send, "x-prompt-id: p1\r\n")


async def test_head_and_first_piece_are_one(server: Server, stream: Stream) -> None:
    assert stream.at_once(EVENT)
    assert stream.at_once(EVENT)
    (first, head), second = server.sent
    assert (first, second) == (EVENT, (EVENT, None))
    assert head.startswith("content-type: text/event-stream")
    assert head.endswith("\r\nx-prompt-id: p1\r\n")
    assert stream.started
    assert stream.passes
    stream.close()


async def test_a_piece_that_has_to_wait_goes_the_usual_way(server: Server, stream: Stream) -> None:
    server.busy = True
    assert not stream.at_once(EVENT)
    assert not stream.started
    await stream.write(EVENT)
    server.busy = False
    assert stream.at_once(EVENT)
    head, first, second = server.sent
    assert (b"x-prompt-id", b"p1") in head
    assert (first, second) == (EVENT, (EVENT, None))
    stream.close()


async def test_a_sign_of_life_may_be_first(server: Server, stream: Stream) -> None:
    await stream.write(BEAT)
    before = stream.passes
    assert stream.at_once(EVENT)
    assert (before, stream.passes) == (False, True)
    assert server.sent[1:] == [BEAT, (EVENT, None)]
    stream.close()
