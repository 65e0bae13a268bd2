"""Where two vendors share a path: whose client asks, and how the other one answers."""

from __future__ import annotations

from starlette.types import ASGIApp, Receive, Scope, Send

from promptd.core.errors import PromptdError, PromptExecutionError
from promptd.dialects.messages import PING, error_body, kind_of
from promptd.faces.gateway import Ask
from promptd.faces.limit_headers import Vendor

_VERSION = b"anthropic-version"


class AnthropicShape:
    """How Anthropic answers."""

    heartbeat = PING
    request_id = "request-id"
    vendor: Vendor = "anthropic"

    def error(self, error: PromptdError, request_id: str) -> tuple[int, bytes]:
        """The service's own words where it refused the request in this very dialect."""
        if isinstance(error, PromptExecutionError) and error.native is not None:
            return error.native
        return kind_of(error)[0], error_body(error, request_id)


def is_anthropic(ask: Ask) -> bool:
    """Whether a client of Anthropic's asks."""
    return _VERSION in ask.headers


class ByClient:
    """An app for a path that both vendors have: `anthropic` answers Anthropic's clients."""

    def __init__(self, usual: ASGIApp, anthropic: ASGIApp) -> None:
        self._usual, self._anthropic = usual, anthropic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        named = any(name == _VERSION for name, _ in scope["headers"])
        await (self._anthropic if named else self._usual)(scope, receive, send)
