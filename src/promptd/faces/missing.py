"""What the faces of vendors answer where nothing is: at a path that nobody serves 404, or 405 where another method is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from starlette.types import Receive, Scope, Send

from promptd.core.errors import InvalidRequest, MethodNotAllowed, NotFound
from promptd.faces.gateway import Ask, Gateway

_LONGEST: Final = 200  # characters of a path that are repeated
_PLACE: Final = re.compile(r"\\{\w+(:path)?\\}")


class PreviousNotFound(InvalidRequest):
    """`previous_response_id` leads nowhere."""

    def __init__(self, given: str) -> None:
        self.given = given[:_LONGEST]
        super().__init__(f"Previous response with id '{self.given}' not found.", field="previous_response_id")


class Missing:
    """An ASGI app behind all others of a face, in the vendor's shape. `served` are methods and paths of its table."""

    def __init__(self, gateway: Gateway, served: Iterable[tuple[str, str]]) -> None:
        self._gateway = gateway
        self._served = [(method, re.compile(_PLACE.sub(_place, re.escape(path)))) for method, path in served]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        allowed = sorted({method for method, pattern in self._served if pattern.fullmatch(path)})
        asked = f"{scope['method']} {path[:_LONGEST]}"
        ask = Ask(scope, receive, send)
        if allowed:
            allow = ", ".join(allowed)
            error = MethodNotAllowed(f"there is no {asked}; this path takes {allow}")
            await self._gateway.refuse(ask, error, [(b"allow", allow.encode())])
        else:
            await self._gateway.refuse(ask, NotFound(f"there is no {asked}"))


def _place(found: re.Match[str]) -> str:
    return ".+" if found[1] else "[^/]+"
