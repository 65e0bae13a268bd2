"""The TrustGraph face: prompt, text completion, config and flow under `/api/v1`, over REST and one socket."""

from __future__ import annotations

from starlette.routing import Route, WebSocketRoute

from promptd.faces import FaceOptions, Mount
from promptd.faces.trustgraph.access import Access
from promptd.faces.trustgraph.desk import COMPLETION, PROMPT, Desk
from promptd.faces.trustgraph.rest import SOCKETS, START, Rest
from promptd.faces.trustgraph.socket import Sockets
from promptd.service.walk import Walk

_USUAL = [
    f"{START}{place}{service}"
    for service in (PROMPT, COMPLETION)
    for place in ("", "flow/default/service/", "flow/0000/service/")
]


def face(walk: Walk, options: FaceOptions) -> Mount:
    access = Access(walk.callers, options.given.get("trustgraph", {}))
    desk = Desk(walk)
    rest, sockets = Rest(desk, access, options.max_body_bytes), Sockets(desk, access)
    return Mount(
        hot=dict.fromkeys([("POST", path) for path in _USUAL], rest),
        routes=[WebSocketRoute(f"{START}{name}", sockets) for name in SOCKETS],
        fallbacks=[Route(START + "{rest:path}", rest)],
    )


__all__ = ["face"]
