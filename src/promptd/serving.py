"""Opening the doors, and closing them in order: the listening socket, signals, the drain."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import ipaddress
import logging
import os
import resource
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import uvicorn
import uvloop
from starlette.types import ASGIApp

from promptd import __version__, home, logs
from promptd.app import House, build
from promptd.core.errors import ConfigUnusable, SettingsError
from promptd.dialects.arch.config import Listener
from promptd.faces.onebackend.health import Health
from promptd.faces.protocol import Protocol
from promptd.faces.websocket import OPTIONS
from promptd.settings import Settings
from promptd.settings.sections import ServerSettings

_log = logging.getLogger("promptd")
_SWITCH_SECONDS: Final = 0.0005  # a busy loop must not starve the commit thread
_MOST_FILES: Final = 65_536  # connections are files; the usual soft limit is 1,024
_BACKLOG: Final = 2048
_GARBAGE: Final = (50_000, 20, 50)  # a call makes hundreds of objects and no cycles; looking for them cost 5 % of it
_CLOSE_SECONDS: Final = 5  # for readers to go after the drain
_PRIVATE: Final = 0o077  # database, keys and backups are for this user alone


class _Door(NamedTuple):
    """A listener of an Arch file, and its open socket."""

    listener: Listener
    socket: socket.socket


def _check_certificate(listener: Listener) -> None:
    """Raises `SettingsError` where its certificate or key can't be used."""
    if listener.tls_cert is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(listener.tls_cert, listener.tls_key)
    except OSError as error:  # what is wrong with a certificate is one, too
        key = f"listeners.{listener.name}.common_tls_context"
        raise SettingsError(
            f"{key}: the certificate or its key can't be used: {error.strerror or error}", key=key
        ) from error


def _arch(settings: Settings) -> tuple[Listener, ...]:
    return settings.arch.listeners if settings.arch is not None else ()


class _Uvicorn(uvicorn.Server):
    """uvicorn, but the house decides when it stops."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    settings: Settings, read: Callable[[], Settings] | None = None, *, started: Callable[[], None] | None = None
) -> None:
    """Serve until SIGTERM or SIGINT; a second signal cuts the drain short. SIGHUP takes over what `read` gives then.

    `started` is called once the doors are open.
    """
    lock = home.HomeLock(settings.home)
    hangup = asyncio.Event()
    # from the very start: its default would end the process
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, hangup.set)
    try:
        listeners = [_listen(settings.server.host, settings.server.port, "server.port")]
        more = enumerate(settings.compat.trustgraph.ports)
        listeners += [_listen(settings.server.host, port, f"compat.trustgraph.ports[{n}]") for n, port in more]
        health, port = None, settings.compat.onebackend.health_port
        if port is not None:
            health = _listen(settings.server.host, port, "compat.onebackend.health_port")
        for one in _arch(settings):
            _check_certificate(one)
        doors = [_Door(one, _listen(one.address, one.port, f"listeners.{one.name}.port")) for one in _arch(settings)]
        async with build(settings, read=read) as house:
            await _serve(house, listeners, doors, health, hangup, started)
    finally:
        lock.release()


async def _serve(
    house: House,
    listeners: list[socket.socket],
    doors: list[_Door],
    health: socket.socket | None,
    hangup: asyncio.Event,
    started: Callable[[], None] | None,
) -> None:
    settings = house.settings.server
    server = _server(house.front, settings, settings.tls_cert, settings.tls_key)
    others = [
        (_server(house.listeners.fronts[one.listener.name], settings, one.listener.tls_cert, one.listener.tls_key), one)
        for one in doors
    ]
    stop, hurry = asyncio.Event(), asyncio.Event()

    def asked() -> None:
        (hurry if stop.is_set() else stop).set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked)
    serving = asyncio.create_task(server.serve(sockets=listeners), name="http")
    beside = _health_server(house) if health is not None else None
    probing = asyncio.create_task(beside.serve(sockets=[health]), name="health") if beside and health else None
    listening = [
        asyncio.create_task(other.serve(sockets=[door.socket]), name=f"listener {door.listener.name}")
        for other, door in others
    ]
    reloading = asyncio.create_task(_reload_on(hangup, house), name="reload")
    preparing = asyncio.create_task(_prepare(house), name="signing key")
    _announce(house, listeners[0])
    for door in doors:
        _announce_door(door)
    gc.freeze()  # what lives as long as the server needs no looking through
    gc.set_threshold(*_GARBAGE)
    if started is not None:
        started()
    await _first(stop.wait(), *map(asyncio.shield, (serving, *listening)))
    reloading.cancel()
    preparing.cancel()
    if not serving.done():
        _log.info("draining", extra={"action": "draining"})
        await _first(house.drain(settings.drain_seconds), hurry.wait())
        if hurry.is_set():
            await house.drain(0)
        server.should_exit = True
    for other, _ in others:
        other.should_exit = True
    if beside is not None and probing is not None:
        beside.should_exit = True
        await probing
    await asyncio.gather(serving, *listening)


def _server(
    app: ASGIApp, settings: ServerSettings, tls_cert: str | Path | None, tls_key: str | Path | None
) -> _Uvicorn:
    return _Uvicorn(
        uvicorn.Config(
            app,
            http=Protocol,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            limit_concurrency=settings.max_connections,
            timeout_graceful_shutdown=_CLOSE_SECONDS,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=[str(network) for network in settings.trusted_proxies],
            ssl_certfile=tls_cert,
            ssl_keyfile=tls_key,
            backlog=_BACKLOG,
            **OPTIONS,
        )
    )


def _announce(house: House, listener: socket.socket) -> None:
    host, port = listener.getsockname()[:2]
    _log.info(
        "promptd %s listens on %s, data in %s",
        __version__,
        _address(listener, tls=house.settings.server.tls_cert is not None),
        house.settings.home,
        extra={"action": "listening", "port": port},
    )
    if house.settings.compat.trustgraph.open and not _is_loopback(host):
        _log.warning(
            "TrustGraph's services are open to everybody who reaches %s (compat.trustgraph.open)",
            host,
            extra={"action": "open_face"},
        )
    if house.first_password is not None:
        # not into the log: it is shown here, once
        sys.stderr.write(f"The first user is 1backend; its password is {house.first_password}\n")
        sys.stderr.flush()


def _announce_door(door: _Door) -> None:
    listener = door.listener
    host, port = door.socket.getsockname()[:2]
    address = _address(door.socket, tls=listener.tls_cert is not None)
    if not _is_loopback(host):
        _log.warning(
            "the listener %s asks nobody for a key: everybody who reaches %s may use its models",
            listener.name,
            address,
            extra={"action": "open_listener", "listener": listener.name},
        )
    _log.info(
        "the %s listener %s is open on %s",
        listener.kind,
        listener.name,
        address,
        extra={"action": "listening", "listener": listener.name, "port": port},
    )


def _address(listener: socket.socket, *, tls: bool) -> str:
    host, port = listener.getsockname()[:2]
    return f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name; of others than this one nobody knows
        return host == "localhost"


def _health_server(house: House) -> _Uvicorn:
    """Plain HTTP always: those who probe this port know no other."""
    return _Uvicorn(
        uvicorn.Config(
            Health(house.walk.connections),
            http=Protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=_CLOSE_SECONDS,
        )
    )


async def _prepare(house: House) -> None:
    """Have the key for tokens ready before the first login; making one takes a second of a core."""
    try:
        await house.signer.prepare()
    except ConfigUnusable as error:
        _log.error("tokens can't be signed: %s", error.message, extra={"action": "signing_key_failed"})


async def _reload_on(hangup: asyncio.Event, house: House) -> None:
    while True:
        await hangup.wait()
        hangup.clear()
        try:
            await house.reload()
        except SettingsError:
            continue  # logged where it was found
        except Exception:  # a stranger's engine may raise anything when it checks its settings
            _log.exception("the configuration stays as it is", extra={"action": "reload_failed"})


async def _first(*waiting: Any) -> None:
    """Wait for one of them and leave the others."""
    tasks = [asyncio.ensure_future(one) for one in waiting]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            if not task.done():
                task.cancel()


def _listen(host: str, port: int, key: str) -> socket.socket:
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
        raise SettingsError(f"{key}: can't listen on {host}:{port}: {error.strerror}", key=key) from error
    listener.set_inheritable(False)
    return listener


def run(read: Callable[[], Settings], started: Callable[[], None] | None = None) -> None:
    """Serve in this process until told to stop, by the settings that `read` gives now and at every reload.

    `started` is called once the doors are open. Raises `SettingsError` and `StoreUnavailable` before the doors open.
    """
    settings = read()
    os.umask(_PRIVATE)
    logs.set_up(settings.log.level, json_lines=settings.log.json_lines)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, _MOST_FILES)), hard))
    sys.setswitchinterval(_SWITCH_SECONDS)
    uvloop.run(serve(settings, read, started=started))
