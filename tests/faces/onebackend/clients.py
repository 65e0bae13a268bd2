"""Clients of the 1Backend wire for tests: users with tokens, refusals in their exact form, streams of `data:` lines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from tests.faces.client import Http, Response, read_chunk
from tests.faces.conftest import Server

HOST = "wire.example"
ZERO = "0001-01-01T00:00:00Z"
PATIENCE = 20.0  # seconds until a test that waits for nothing fails
PROMPTS = "prompt-svc:prompt:*"

PROMPT_MEMBERS = {
    "id",
    "prompt",
    "sync",
    "threadId",
    "requestMessageId",
    "responseMessageId",
    "createdAt",
    "updatedAt",
    "status",
    "lastRun",
    "userId",
}
PROMPT_EXTRAS = {"type", "modelId", "maxRetries", "runCount", "error", "parameters", "engineParameters"}
MESSAGE_MEMBERS = {"id", "threadId", "createdAt", "updatedAt"}
MESSAGE_EXTRAS = {"text", "userId", "fileIds", "meta"}
THREAD_MEMBERS = {"id", "createdAt", "updatedAt"}
THREAD_EXTRAS = {"title", "userIds", "topicIds"}


def error(response: Response, status: int, text: str | None = None) -> str:
    """Check the exact form of a refusal on this wire; its text."""
    assert response.status == status, response.body
    assert set(response.json) == {"error"}
    assert response.body.startswith(b'{"error": "')
    told = str(response.json["error"])
    assert told
    assert "\n" not in told
    if text is not None:
        assert told == text
    return told


def done(response: Response) -> Any:
    """The answer of a call that worked."""
    assert response.status == 200, response.body
    assert response.headers["content-type"] == "application/json"
    return response.json


class Subscription:
    """An open stream, event by event."""

    def __init__(self, reader: asyncio.StreamReader, headers: dict[str, str]) -> None:
        self.headers = headers
        self._reader, self._buffer = reader, b""

    async def block(self) -> bytes | None:
        """The next block of lines, None at the end."""
        async with asyncio.timeout(PATIENCE):
            while b"\n\n" not in self._buffer:
                piece = await read_chunk(self._reader)
                if piece is None:
                    return None
                self._buffer += piece
        block, _, self._buffer = self._buffer.partition(b"\n\n")
        return block

    async def next(self) -> Any:
        """The next event, comments skipped."""
        while True:
            block = await self.block()
            assert block is not None, "the stream ended"
            if not block.startswith(b":"):
                assert block.startswith(b"data: "), block
                assert b"\n" not in block, block
                return msgspec.json.decode(block.removeprefix(b"data: "))

    async def answer(self) -> tuple[str, list[Any]]:
        """The text of one prompt's events up to its end, as a client puts it together, and the events."""
        text, events = "", []
        while True:
            event = await self.next()
            events.append(event)
            if event["type"] == "error":
                text = ""
            text += event.get("text", "")
            if event["type"] == "done":
                return text, events


class Wire(Http):
    """A user of this wire."""

    user: str
    slug: str

    async def ok(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        return done(await self.call(method, path, body, **more))

    async def ask(self, prompt: str = "hello", **members: Any) -> Any:
        """Submit and return at once; the prompt."""
        return (await self.ok("POST", "/prompt-svc/prompt", {"prompt": prompt, **members}))["prompt"]

    async def answered(self, prompt: str = "hello", **members: Any) -> Any:
        """Submit and wait; the whole answer."""
        async with asyncio.timeout(PATIENCE):
            return await self.ok("POST", "/prompt-svc/prompt", {"prompt": prompt, "sync": True, **members})

    async def found(self, identifier: str) -> Any:
        """One prompt as the list shows it."""
        query = {"filters": [{"field": "id", "operator": "equals", "value": identifier}]}
        (prompt,) = (await self.ok("POST", "/prompt-svc/prompts", {"query": query}))["prompts"]
        return prompt

    @asynccontextmanager
    async def subscribed(self, thread: str, query: str = "") -> AsyncIterator[Subscription]:
        path = f"/prompt-svc/prompts/{thread}/responses/subscribe{query}"
        async with self.following(path) as stream:
            yield stream

    @asynccontextmanager
    async def following(self, path: str) -> AsyncIterator[Subscription]:
        async with self._open("GET", path, None, {}, None) as (reader, _, head):
            assert head.status == 200, head
            yield Subscription(reader, head.headers)


async def register(server: Server, slug: str, *permissions: str) -> Wire:
    """A new user with the permissions of a role `user-svc:user` and these."""
    wish = {"appHost": HOST, "slug": slug, "password": "secret"}
    token = done(await server.http.of(None).post("/user-svc/register", wish))["token"]
    if permissions:
        permits = [{"appHost": "*", "permission": permission, "slugs": [slug]} for permission in permissions]
        done(await server.admin.call("PUT", "/user-svc/permits", {"permits": permits}))
    wire = Wire(server.port, token["token"])
    wire.user, wire.slug = token["userId"], slug
    return wire


def as_wire(http: Http) -> Wire:
    """The same key on this wire."""
    return Wire(http.port, http.key)
