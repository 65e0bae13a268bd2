"""Opening the doors, and closing them in order: the listening socket, signals, the drain."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any, Final

import uvicorn
import uvloop

from promptd import __version__, home, logs
from promptd.app import House, build
from promptd.core.errors import SettingsError
from promptd.faces.protocol import Protocol
from promptd.settings import Settings

_log = logging.getLogger("promptd")
_SWITCH_SECONDS: Final = 0.0005  # a busy loop must not starve the commit thread
_MOST_FILES: Final = 65_536  # connections are files; the usual soft limit is 1,024
_BACKLOG: Final = 2048
_CLOSE_SECONDS: Final = 5  # for readers to go after the drain
_PRIVATE: Final = 0o077  # database, keys and backups are for this user alone


class _Uvicorn(uvicorn.Server):
    """uvicorn, but the house decides when it stops."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(settings: Settings, *, started: asyncio.Event | None = None) -> None:
    """Serve until SIGTERM or SIGINT; a second signal cuts the drain short."""
    lock = home.HomeLock(settings.home)
    try:
        listener = _listen(settings.server.host, settings.server.port)
        async with build(settings) as house:
            await _serve(house, listener, started)
    finally:
        lock.release()


async def _serve(house: House, listener: socket.socket, started: asyncio.Event | None) -> None:
    settings = house.settings.server
    server = _Uvicorn(
        uvicorn.Config(
            house.front,
            http=Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            limit_concurrency=settings.max_connections,
            timeout_graceful_shutdown=_CLOSE_SECONDS,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=[str(network) for network in settings.trusted_proxies],
            ssl_certfile=settings.tls_cert,
            ssl_keyfile=settings.tls_key,
            backlog=_BACKLOG,
        )
    )
    stop, hurry = asyncio.Event(), asyncio.Event()

    def asked() -> None:
        (hurry if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="http")
    host, port = listener.getsockname()[:2]
    scheme = "https" if settings.tls_cert else "http"
    _log.info(
        "promptd %s listens on %s://%s:%d, data in %s",
        __version__,
        scheme,
        f"[{host}]" if ":" in host else host,
        port,
        house.settings.home,
        extra={"action": "listening", "port": port},
    )
    if started is not None:
        started.set()
    await _first(stop.wait(), asyncio.shield(serving))
    if not serving.done():
        _log.info("draining", extra={"action": "draining"})
        await _first(house.drain(settings.drain_seconds), hurry.wait())
        if hurry.is_set():
            await house.drain(0)
        server.should_exit = True
    await serving


async def _first(*waiting: Any) -> None:
    """Wait for one of them and leave the others."""
    tasks = [asyncio.ensure_future(one) for one in waiting]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            if not task.done():
                task.cancel()


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket before anything else, so that a port in use is one clear line. Raises `SettingsError`."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_BACKLOG)
    except OSError as error:
        raise SettingsError(
            f"server.port: can't listen on {host}:{port}: {error.strerror}", key="server.port"
        ) from error
    listener.set_inheritable(False)
    return listener


def run(settings: Settings) -> None:
    """Serve in this process until told to stop. Raises `SettingsError` and `StoreUnavailable` before the doors open."""
    os.umask(_PRIVATE)
    logs.set_up(settings.log.level, json_lines=settings.log.json_lines)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, _MOST_FILES)), hard))
    sys.setswitchinterval(_SWITCH_SECONDS)
    uvloop.run(serve(settings))
