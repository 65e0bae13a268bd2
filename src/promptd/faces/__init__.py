"""Faces: one wire protocol each. A face gets the walk and these options, and returns what it mounts."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from msgspec import Struct
from prometheus_client import CollectorRegistry
from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from promptd.faces.asgi import STUCK_SECONDS, not_found


class Reloaded(Struct, frozen=True):
    """Dotted keys of the settings: those that are in effect now, and those that wait for a restart."""

    changed: tuple[str, ...]
    restart_required: tuple[str, ...]


class FaceOptions(Struct, frozen=True, kw_only=True):
    """What the composition root tells every face."""

    heartbeat_seconds: float = 15.0  #: a silent stream sends something this often
    retry_hint_ms: int = 2000  #: when a closed reader should come back
    stuck_reader_seconds: float = 60.0  #: a reader that takes nothing for this long is closed
    max_body_bytes: int = 16 * 1024 * 1024
    max_upload_bytes: int = 1024 * 1024 * 1024  #: of one file
    open_metrics: bool = False  #: `/metrics` needs no key
    version: str = ""
    given: Mapping[str, Mapping[str, Any]] = {}  #: the operator's words for each compatible face: `compat`
    closing: asyncio.Event  #: set when streams shall end because the server leaves
    ready: Callable[[], str | None]  #: None, or why the server takes no prompts now
    registry: CollectorRegistry  #: what `/metrics` shows
    reload: Callable[[], Awaitable[Reloaded]]  #: raises `SettingsError`, and then nothing has changed


class Mount(NamedTuple):
    """The paths of a face. `hot` paths and `items` skip Starlette's matching."""

    hot: Mapping[tuple[str, str], ASGIApp] = {}  #: (method, exact path)
    routes: Sequence[BaseRoute] = ()  #: matched on the raw path: see `asgi.path_params`
    items: Mapping[tuple[str, str], ASGIApp] = {}  #: (method, path up to and with a `/`) and one more segment, `id`
    fallbacks: Sequence[BaseRoute] = ()  #: asked behind the routes of every face


class Front:
    """All faces of one listener as one ASGI app: an exact-path table first, Starlette for the rest.

    Raises `ValueError` where two faces want the same hot path. A peer that takes nothing of its answer for `stuck_seconds`
    is dropped.
    """

    def __init__(self, mounts: Sequence[Mount], *, stuck_seconds: float = STUCK_SECONDS) -> None:
        self.stuck_seconds = stuck_seconds
        self._hot: dict[tuple[str, str], ASGIApp] = {}
        self._items: dict[tuple[str, str], ASGIApp] = {}
        for mount in mounts:
            for table, added in ((self._hot, mount.hot), (self._items, mount.items)):
                for key, app in added.items():
                    if table.setdefault(key, app) is not app:
                        raise ValueError(f"two faces serve {key[0]} {key[1]}")
        routes = [route for mount in mounts for route in mount.routes]
        routes += [route for mount in mounts for route in mount.fallbacks]
        self._router = Router(routes, redirect_slashes=False, default=not_found)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.serve(scope, receive, send)

    def app_of(self, scope: Scope) -> ASGIApp:
        """What serves all requests of that method and path: itself, where it has to look at each."""
        return self._hot.get((scope["method"], scope["path"]), self.serve)

    def serve(self, scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        """`__call__` for a server that needs no coroutine of it."""
        if scope["type"] == "http":
            method, path = scope["method"], scope["path"]
            app = self._hot.get((method, path))
            if app is not None:
                return app(scope, receive, send)
            raw = scope.get("raw_path")
            path = raw.decode("latin-1") if raw is not None else quote(path)
            parent, _, last = path.rpartition("/")
            app = self._items.get((method, parent + "/")) if last else None
            if app is not None:
                scope["path_params"] = {"id": last}
                return app(scope, receive, send)
            scope = {**scope, "path": path}
        return self._router(scope, receive, send)


__all__ = ["FaceOptions", "Front", "Mount", "Reloaded"]
