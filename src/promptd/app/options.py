"""What the composition root tells the faces of the settings and of the house."""

from __future__ import annotations

import asyncio

from promptd import __version__
from promptd.app.reload import Reload
from promptd.faces import FaceOptions
from promptd.service.metrics import Metrics
from promptd.service.worker import Worker
from promptd.settings import Settings
from promptd.stores.sqlite import Database


def face_options(
    settings: Settings, database: Database, worker: Worker, metrics: Metrics, reload: Reload, closing: asyncio.Event
) -> FaceOptions:
    """What every face is told."""
    sites = settings.server.model_dump(include={"allowed_origins", "allowed_hosts"})
    return FaceOptions(
        heartbeat_seconds=settings.streams.heartbeat_seconds,
        retry_hint_ms=settings.streams.retry_hint_ms,
        stuck_reader_seconds=settings.streams.stuck_reader_seconds,
        max_body_bytes=settings.server.max_body_bytes,
        max_upload_bytes=settings.files.max_upload_bytes,
        open_metrics=settings.server.open_metrics,
        version=__version__,
        closing=closing,
        ready=lambda: "draining" if worker.draining else database.writer.failure,
        registry=metrics.registry,
        reload=reload,
        given={
            "onebackend": settings.compat.onebackend.model_dump()
            | {"server_host": settings.server.host, "max_upload_bytes": settings.files.max_upload_bytes},
            "trustgraph": settings.compat.trustgraph.model_dump(exclude={"tokens", "ports"})
            | {"tokens": [token.get_secret_value() for token in settings.compat.trustgraph.tokens]}
            | sites,
            "mcp": settings.mcp.model_dump(),
            "arch": settings.compat.arch.model_dump() | sites,
        },
    )
