"""The native face: promptd's own HTTP API under `/promptd/v1`, health, metrics and the docs."""

from __future__ import annotations

from functools import cache, partial

from promptd.faces import FaceOptions, Mount
from promptd.faces.asgi import encode
from promptd.faces.native import openapi
from promptd.faces.native.events import Frames
from promptd.faces.native.operation import Desk, Endpoint, PathRoute
from promptd.faces.native.routes import BASE, table
from promptd.faces.sse import Readers
from promptd.service.walk import Walk

_ITEM = f"{BASE}/prompts/"


@cache
def _document(open_metrics: bool, version: str) -> bytes:
    """The OpenAPI document. Making it takes longer than the rest of a start, and few ask for it."""
    return encode(openapi.document(table(open_metrics=open_metrics), version))


def face(walk: Walk, options: FaceOptions) -> Mount:
    """What the native face mounts: submit, list and look-up in the fast tables, the rest as routes."""
    operations = table(open_metrics=options.open_metrics)
    desk = Desk(
        walk=walk,
        options=options,
        readers=Readers(
            heartbeat_seconds=options.heartbeat_seconds,
            stuck_seconds=options.stuck_reader_seconds,
            retry_hint_ms=options.retry_hint_ms,
            closing=options.closing,
            callers=walk.callers,
        ),
        frames=Frames(),
        document=partial(_document, options.open_metrics, options.version),
    )
    paths: dict[str, dict[str, Endpoint]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method] = Endpoint(operation, desk)
    return Mount(
        hot={
            (method, path): paths[path][method]
            for method, path in (("POST", f"{BASE}/prompts"), ("GET", f"{BASE}/prompts"))
        },
        items={("GET", _ITEM): paths[_ITEM + "{id}"]["GET"]},
        routes=[PathRoute(path, endpoints) for path, endpoints in paths.items()],
    )


__all__ = ["face"]
