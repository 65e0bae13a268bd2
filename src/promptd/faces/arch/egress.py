"""The model listener: one front for the providers of the file (contracts/arch.md §4.1)."""

from __future__ import annotations

from collections.abc import Callable
from secrets import token_hex
from typing import Any, Final

from starlette.types import ASGIApp

from promptd.core.tracing import current
from promptd.dialects import chat, messages, responses
from promptd.dialects.asked import Asked
from promptd.faces import Mount
from promptd.faces.arch.desk import Desk
from promptd.faces.asgi import Headers, encode, send_body
from promptd.faces.gateway import Ask, Gateway, Handler

Decode = Callable[[bytes], Asked]
_ANYBODY: Final[Headers] = [(b"access-control-allow-origin", b"*")]
_PREFLIGHT: Final[Headers] = [
    *_ANYBODY,
    (b"access-control-allow-methods", b"GET, OPTIONS"),
    (b"access-control-allow-headers", b"*"),
    (b"allow", b"GET, OPTIONS"),
]


def egress_mount(openai: Desk, anthropic: Desk) -> Mount:
    """Every path with `/v1` and without: older clients were told to leave it out."""
    handlers = openai.handlers
    apps: dict[tuple[str, str], ASGIApp] = {
        ("POST", "/chat/completions"): openai.endpoint(handlers.chat),
        ("POST", "/completions"): openai.endpoint(handlers.completions),
        ("POST", "/responses"): openai.endpoint(handlers.responses),
        ("POST", "/messages"): anthropic.endpoint(handlers.messages),
        ("GET", "/models"): openai.endpoint(_list_models),
        ("HEAD", "/models"): openai.endpoint(_list_models),
        ("OPTIONS", "/models"): openai.endpoint(_preflight),
    }
    hot = {(method, prefix + path): app for (method, path), app in apps.items() for prefix in ("/v1", "")}
    for path, desk, decode in (
        ("/chat/completions", openai, chat.decode_request),
        ("/responses", openai, responses.decode_request),
        ("/messages", anthropic, messages.decode_request),
    ):
        hot["POST", f"/routing/v1{path}"] = desk.endpoint(_decider(desk, decode))
    return Mount(hot=hot)


def _decider(desk: Desk, decode: Decode) -> Handler:
    """Tells which models a request is for, and asks none of them (contracts/arch.md §6.1)."""

    async def decide(gateway: Gateway, ask: Ask) -> None:
        asked = decode(await desk.body(ask))
        if desk.shared.metrics is not None:
            desk.shared.metrics.routing_requests.inc()
        found = await desk.decide(ask, asked.request, asked.model)
        trace = current.get()
        told: dict[str, Any] = {
            "models": [one.id for one in found.models],
            "route": found.route,
            "trace_id": trace.context.trace_id if trace is not None else token_hex(16),
            "pinned": found.pinned,
            "switched": False,
        }
        if found.session:
            told["session_id"] = found.session
        await gateway.reply(ask, encode(told))

    return decide


async def _list_models(gateway: Gateway, ask: Ask) -> None:
    assert isinstance(gateway, Desk)
    body = encode({"object": "list", "data": gateway.shared.providers.listed()})
    headers = [(b"content-type", b"application/json"), *_ANYBODY, *gateway.headers(ask)]
    await send_body(ask.send, 200, headers, body)


async def _preflight(gateway: Gateway, ask: Ask) -> None:
    await send_body(ask.send, 204, _PREFLIGHT, b"")
