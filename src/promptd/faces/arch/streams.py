"""An answer that somebody else writes, with something added on its way: headers, events in front, metadata."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from starlette.types import Message, Send

from promptd.faces.asgi import BODY, REPLY, WRITE, Headers
from promptd.faces.gateway import Ask

_STREAM: Final = b"text/event-stream"
_STRANGE: Final = (b"idempotency-key",)  # a conversation is more than one prompt: it can't be answered from a store


class Added:
    """`headers` go into the head, `ahead` comes before the first event of a stream, `change` is made to a whole answer.
    Answers that are no success get the headers only."""

    def __init__(
        self, send: Send, headers: Headers, ahead: bytes = b"", change: Callable[[bytes], bytes] | None = None
    ) -> None:
        self._send, self._headers, self._ahead, self._change = send, headers, ahead, change
        self._head: Message | None = None  # of a whole answer that is to be changed
        self._parts: list[bytes] = []

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            await self._begin(message)
        elif message["type"] == "http.response.body" and self._head is not None:
            self._parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                await self._end(self._head)
        elif message["type"] == "http.response.body" and self._ahead:
            message, self._ahead = {**message, "body": self._ahead + message.get("body", b"")}, b""
            await self._send(message)
        else:
            await self._send(message)

    async def _begin(self, message: Message) -> None:
        message = {**message, "headers": [*message["headers"], *self._headers]}
        kind = next((value for name, value in message["headers"] if name.lower() == b"content-type"), b"")
        success = message["status"] == 200
        if not (success and kind.startswith(_STREAM)):
            self._ahead = b""
            if success and self._change is not None:
                self._head = message
                return
        await self._send(message)

    async def _end(self, head: Message) -> None:
        body, self._head = b"".join(self._parts), None
        if self._change is not None:
            body = self._change(body)
        kept = [(name, value) for name, value in head["headers"] if name.lower() != b"content-length"]
        await self._send({**head, "headers": [(b"content-length", b"%d" % len(body)), *kept]})
        await self._send({"type": "http.response.body", "body": body})


def derived(ask: Ask, body: bytes, send: Send, *, prompt_id: str, drop: Sequence[bytes] = _STRANGE) -> Ask:
    """The same request with another body and another way for its answer."""
    extensions: dict[str, Any] = {**ask.scope.get("extensions", {}), BODY: lambda: body}
    extensions.pop(REPLY, None)
    if (write := extensions.get(WRITE)) is not None:
        extensions[WRITE] = lambda data, head=None: head is None and write(data)  # what begins may be changed by `send`
    headers = [(name, value) for name, value in ask.scope["headers"] if name not in (*drop, b"content-length")]
    made = Ask({**ask.scope, "headers": headers, "extensions": extensions}, ask.receive, send)
    made.caller, made.request_id, made.prompt_id = ask.caller, ask.request_id, prompt_id
    return made
