"""The 1Backend face: Prompt, Chat, Model, File, Policy, User and Firehose services (contracts/onebackend.md).

Wire words stay here. Each module holds one service's endpoints in `ENDPOINTS`.
"""

from __future__ import annotations

from typing import Final

import msgspec
from starlette.types import ASGIApp

from promptd.faces import FaceOptions, Mount
from promptd.faces.onebackend import chat, files, firehose, models, policies, prompts, users
from promptd.faces.onebackend.options import OneBackendOptions
from promptd.faces.onebackend.wire import Desk, Endpoint, Methods, PathRoute, Service, elsewhere
from promptd.faces.sse import Readers
from promptd.service.walk import Walk

ENDPOINTS: Final[tuple[Endpoint, ...]] = (
    *prompts.ENDPOINTS,
    *chat.ENDPOINTS,
    *models.ENDPOINTS,
    *files.ENDPOINTS,
    *policies.ENDPOINTS,
    *users.ENDPOINTS,
    *firehose.ENDPOINTS,
)


def face(walk: Walk, options: FaceOptions) -> Mount:
    """Everything under the services' path prefixes."""
    desk = Desk(
        walk=walk,
        options=options,
        compat=msgspec.convert(options.given.get("onebackend", {}), OneBackendOptions),
        readers=Readers(
            heartbeat_seconds=options.heartbeat_seconds,
            stuck_seconds=options.stuck_reader_seconds,
            retry_hint_ms=None,
            closing=options.closing,
            callers=walk.callers,
        ),
    )
    paths: dict[str, dict[str, ASGIApp]] = {}
    for endpoint in ENDPOINTS:
        paths.setdefault(endpoint.path, {})[endpoint.method] = Service(endpoint, desk)
    return Mount(
        hot={
            (method, path): service
            for path, methods in paths.items()
            if "{" not in path
            for method, service in methods.items()
        },
        routes=[
            *(PathRoute(path, Methods(methods)) for path, methods in paths.items()),
            PathRoute("/{service}-svc/{rest:path}", elsewhere),
        ],
    )


__all__ = ["ENDPOINTS", "face"]
