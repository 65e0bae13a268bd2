"""What the door knows of what stands behind it, without importing it."""

from __future__ import annotations

from typing import Final, Protocol

from starlette.types import Receive, Scope, Send

#: Key of the scope under which the host finds who asks.
CALLER: Final = "promptd.caller"


class Host(Protocol):
    """Serves requests of known callers."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None: ...
