"""The Anthropic face: messages, whole and as streams, and the count of their tokens, under `/v1`.

`GET /v1/models` is at a path that two vendors share; the OpenAI face answers it in either shape, and all paths that
neither has.
"""

from __future__ import annotations

from starlette.routing import Route

from promptd.faces import FaceOptions, Mount
from promptd.faces.anthropic.counting import count_tokens
from promptd.faces.anthropic.messages import create_message
from promptd.faces.gateway import Gateway
from promptd.faces.missing import Missing
from promptd.faces.vendors import AnthropicShape
from promptd.service.walk import Walk


def face(walk: Walk, options: FaceOptions) -> Mount:
    gateway = Gateway(walk, options, AnthropicShape())
    hot = {
        ("POST", "/v1/messages"): gateway.endpoint(create_message),
        ("POST", "/v1/messages/count_tokens"): gateway.endpoint(count_tokens),
    }
    missing = Missing(gateway, hot)
    return Mount(hot=hot, routes=[Route(path, missing) for path in ("/v1/messages", "/v1/messages/{rest:path}")])


__all__ = ["AnthropicShape", "face"]
