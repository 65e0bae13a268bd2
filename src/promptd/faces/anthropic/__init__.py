"""The Anthropic face: messages, whole and as streams, and the count of their tokens, under `/v1`.

`GET /v1/models` is at a path that two vendors share; the OpenAI face answers it in either shape.
"""

from __future__ import annotations

from starlette.routing import Route

from promptd.core.errors import PromptdError, PromptExecutionError
from promptd.dialects.messages import PING, error_body, kind_of
from promptd.faces import FaceOptions, Mount
from promptd.faces.anthropic.counting import count_tokens
from promptd.faces.anthropic.messages import create_message
from promptd.faces.asgi import Headers
from promptd.faces.gateway import Gateway
from promptd.faces.limit_headers import Vendor
from promptd.faces.missing import Missing
from promptd.service.walk import Walk


class AnthropicShape:
    """How this vendor answers."""

    heartbeat = PING
    vendor: Vendor = "anthropic"

    def error(self, error: PromptdError, request_id: str) -> tuple[int, bytes]:
        """The service's own words where it refused the request in this very dialect."""
        if isinstance(error, PromptExecutionError) and error.native is not None:
            return error.native
        return kind_of(error)[0], error_body(error, request_id)

    def headers(self, request_id: bytes) -> Headers:
        return [(b"request-id", request_id)] if request_id else []


def face(walk: Walk, options: FaceOptions) -> Mount:
    gateway = Gateway(walk, options, AnthropicShape())
    hot = {
        ("POST", "/v1/messages"): gateway.endpoint(create_message),
        ("POST", "/v1/messages/count_tokens"): gateway.endpoint(count_tokens),
    }
    missing = Missing(gateway, hot)
    return Mount(hot=hot, routes=[Route(path, missing) for path in ("/v1/messages", "/v1/messages/{rest:path}")])


__all__ = ["AnthropicShape", "face"]
