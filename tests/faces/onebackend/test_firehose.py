"""Firehose Svc (contract section 11): the events of prompts, threads and callers."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faces.client import as_script
from tests.faces.conftest import Server
from tests.faces.onebackend.clients import PROMPTS, Subscription, Wire, error, register

pytestmark = pytest.mark.asyncio(loop_scope="module")

EVENTS = "/firehose-svc/events/subscribe"


async def until(stream: Subscription, name: str, **data: Any) -> list[Any]:
    """Events up to one of this name that has these data."""
    found = []
    while True:
        event = await stream.next()
        assert set(event) == {"name", "data"}
        found.append(event)
        if event["name"] == name and data.items() <= event["data"].items():
            return found


async def test_the_life_of_a_prompt(shared: Server) -> None:
    ann = await register(shared, "fire-ann", PROMPTS)
    admin = Wire(shared.port, shared.admin.key)
    async with admin.following(EVENTS) as stream:
        await ann.answered("secret", id="fire-1")
        await until(stream, "promptAdded", promptId="fire-1")
        await until(stream, "promptProcessingStarted", promptId="fire-1")
        (*_, finished) = await until(stream, "promptProcessingFinished", promptId="fire-1")
        assert finished["data"] == {"promptId": "fire-1"}
        await ann.ok("DELETE", "/prompt-svc/prompt/fire-1")
        await until(stream, "promptRemoved", promptId="fire-1")
        await ann.answered(as_script([{"fail": "invalid_input", "message": "bad"}]), id="fire-2", maxRetries=1)
        (*_, failed) = await until(stream, "promptProcessingFinished", promptId="fire-2")
        assert failed["data"]["error"] == "invalid_input"  # the message may quote the prompt


async def test_the_life_of_a_thread(shared: Server) -> None:
    ann = await register(shared, "fire-thread", PROMPTS)
    async with Wire(shared.port, shared.admin.key).following(EVENTS) as stream:
        await ann.ok("POST", "/chat-svc/thread", {"id": "fire-t", "title": "secret"})
        assert (await until(stream, "chatThreadAdded"))[-1]["data"] == {"threadId": "fire-t"}
        await ann.ok("POST", "/chat-svc/thread", {"id": "fire-t", "title": "other"})
        assert (await until(stream, "chatThreadUpdate"))[-1]["data"] == {"threadId": "fire-t"}
        await ann.ok("POST", "/chat-svc/thread/fire-t/message", {"text": "secret"})
        assert (await until(stream, "chatMessageAdded"))[-1]["data"] == {"threadId": "fire-t"}


async def test_events_of_callers_reach_every_listener(shared: Server) -> None:
    admin = Wire(shared.port, shared.admin.key)
    async with admin.following(EVENTS) as one, admin.following(EVENTS) as two:
        for body in (
            {"event": {"name": "mine", "data": {"a": [1]}}},
            {"event": '{"name": "mine", "data": {"a": [1]}}'},
        ):
            assert await admin.ok("POST", "/firehose-svc/event", body) == {}
            for stream in (one, two):
                assert (await until(stream, "mine"))[-1]["data"] == {"a": [1]}


def deep(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ({}, 400),
        ({"name": ""}, 400),
        ({"name": "x" * 101}, 400),
        ({"name": "x", "data": []}, 400),
        ({"name": "x", "data": deep(150)}, 400),
        ({"name": "x", "data": {"a": "b" * 70_000}}, 413),
        (5, 400),
    ],
)
async def test_an_event_that_does_not_fit_is_refused(shared: Server, event: Any, status: int) -> None:
    error(await shared.admin.post("/firehose-svc/event", {"event": event}), status)
