"""Listeners of an Arch file: prompt listeners decide what a conversation is about, model listeners serve its providers.

A model listener is the faces of the vendors whose APIs it speaks, with the file's providers: nothing of them is built twice.
"""

from __future__ import annotations

from typing import Final

from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from promptd.dialects.arch.config import Listener
from promptd.faces import Front, Mount
from promptd.faces.arch.desk import Desk
from promptd.faces.arch.egress import egress_mount
from promptd.faces.arch.entrance import Entrance
from promptd.faces.arch.ingress import ingress_mount
from promptd.faces.arch.proxy import Proxy, known_hosts
from promptd.faces.arch.routing import Routing
from promptd.faces.arch.shared import Handlers, Shared
from promptd.faces.asgi import send_body
from promptd.faces.sites import sites

_HEALTH: Final = frozenset({("GET", "/healthz"), ("HEAD", "/healthz")})
#: what a page of any site may ask: the original says so of its models, and nothing happens
_MODELS: Final = frozenset(
    (method, path) for method in ("GET", "HEAD", "OPTIONS") for path in ("/models", "/v1/models")
)
_OPEN: Final = {"prompt": _HEALTH, "model": _HEALTH | _MODELS, "internal": _HEALTH}


def fronts(shared: Shared) -> dict[str, ASGIApp]:
    """An app for each listener of the file, by its name."""
    routing = Routing(shared)
    return {listener.name: _front(shared, routing, listener) for listener in shared.config.listeners}


def _front(shared: Shared, routing: Routing, listener: Listener) -> ASGIApp:
    openai = Desk(shared, routing, listener, shared.handlers.openai)
    rest: ASGIApp = _nowhere
    if listener.kind == "prompt":
        mount = ingress_mount(shared.walk, shared.options, shared.config, listener, openai, shared.handlers)
    else:
        mount = egress_mount(openai, Desk(shared, routing, listener, shared.handlers.anthropic))
    paths = {path for _, path in mount.hot}
    if listener.kind == "internal":
        # its paths are looked at with the host that they are asked of
        rest, mount = Proxy(shared, openai, mount), Mount()
    healthy = Mount(
        hot={("GET", "/healthz"): _healthy, ("HEAD", "/healthz"): _healthy}, fallbacks=[Route("/{rest:path}", rest)]
    )
    front = Front([mount, healthy], stuck_seconds=shared.options.stuck_reader_seconds)
    given = shared.options.given.get("arch", {})
    entrance = Entrance(
        front,
        listener,
        shared.logs[listener.kind],
        shared.metrics,
        newer=shared.config.era == "E",
        sites=sites(given),
        known=(lambda: known_hosts(shared.config)) if listener.kind == "internal" else None,
        open_paths=_OPEN[listener.kind],
    )
    entrance.know({*paths, "/healthz"})
    return entrance


class _Nowhere:
    """Nothing is here: the original answers without a body."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_body(send, 404, [], b"")


_nowhere = _Nowhere()


async def _healthy(scope: Scope, receive: Receive, send: Send) -> None:
    await send_body(send, 200, [], b"")


__all__ = ["Handlers", "Shared", "fronts"]
