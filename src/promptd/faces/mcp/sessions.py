"""Sessions of the protocol's older versions: few per user, so that nobody takes those of the others."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

SESSION: Final = "mcp-session-id"
MOST_SESSIONS: Final = 2048
MOST_PER_USER: Final = 64  #: whoever opens one more loses the one that was used least recently
IDLE_SECONDS: Final = 1800.0  #: after which a session ends in which nothing runs
_HEADER: Final = SESSION.encode()


class Sessions:
    """Passes requests to `app`, which keeps the sessions, and notes whose they are."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._of: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()  # by user, least recently used first

    async def serve(self, user: str, scope: Scope, receive: Receive, send: Send) -> None:
        given = _session_of(scope["headers"])
        opened: str | None = None

        async def watch(message: Message) -> None:
            nonlocal opened
            if given is None and message["type"] == "http.response.start" and message["status"] < 300:
                opened = _session_of(message["headers"])
                if opened is not None:
                    self._note(user, opened)
            await send(message)

        if given is not None and given in self._of.get(user, ()):
            self._note(user, given)
        await self._app(scope, receive, watch)
        if opened is not None:
            await self._thin(user, scope)

    def _note(self, user: str, session: str) -> None:
        held = self._of.setdefault(user, OrderedDict())
        self._of.move_to_end(user)
        held[session] = None
        held.move_to_end(session)
        if len(self._of) > MOST_SESSIONS:  # these can't all be open any more
            self._of.popitem(last=False)

    async def _thin(self, user: str, scope: Scope) -> None:
        """End what is too many, in the name of the user, who would be asked to do it otherwise."""
        held = self._of.get(user, OrderedDict())
        while len(held) > MOST_PER_USER:
            session, _ = held.popitem(last=False)
            kept = [(name, value) for name, value in scope["headers"] if name not in (_HEADER, b"content-length")]
            ending = {**scope, "method": "DELETE", "headers": [*kept, (_HEADER, session.encode())]}
            await self._app(ending, _no_body, _nobody)


def _session_of(headers: list[tuple[bytes, bytes]]) -> str | None:
    return next((value.decode("latin-1") for name, value in headers if name.lower() == _HEADER), None)


async def _no_body() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _nobody(message: Message) -> None:
    """Nobody waits for the answer."""
