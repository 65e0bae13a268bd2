"""`promptd config` and `version`: what this installation is and how it is set up."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from promptd.cli.options import json_option, settings_options, with_client
from promptd.cli.output import clean, complain, print_json

if TYPE_CHECKING:
    from promptd.app.parts import Parts
    from promptd.cli.client import Client
    from promptd.settings import Settings


@click.group()
def config() -> None:
    """Check the configuration; make a running server read it again."""


@config.command()
@json_option
@settings_options
def check(as_json: bool, config: Path | None, home: Path | None) -> None:
    """Check every setting as `serve` would, and print them all; secrets are hidden.

    Nothing is created or changed. Whether the port is free is not asked: the server itself may be running. Connections
    that models name and the file does not have are looked for in the store, where there is one.
    """
    from promptd import registry
    from promptd.app.parts import make
    from promptd.egress import Egress
    from promptd.settings import load

    settings = load(home, config)
    plugins = registry.load(isolation=registry.isolation(settings))
    registry.check_plugins(settings.plugins, plugins)
    parts = make(settings, plugins, Egress())
    _check_machine(settings)
    _check_stored(settings, parts)
    shown: dict[str, Any] = settings.model_dump(mode="json", by_alias=True)
    for name, connection in settings.connections.items():
        # engine keys come from the engine's own config class: it knows which of them are secrets
        common = connection.model_dump(mode="json", include=set(type(connection).model_fields))
        shown["connections"][name] = {**parts.connections[name].config.model_dump(mode="json"), **common}
    if as_json:
        print_json(shown)
    else:
        import yaml

        click.echo(clean(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True)), nl=False)
    for problem in plugins.problems:
        complain(f"{problem.plugin}, {problem.entry}: {problem.reason}", warning=True)


@config.command()
@json_option
@with_client
def reload(client: Client, as_json: bool) -> None:
    """Make the server read its configuration again.

    A configuration that `config check` would refuse changes nothing. What can't change while the server runs is named.
    """
    from promptd.cli.client import at

    done = client.call("POST", at("config", "reload"))
    if as_json:
        print_json(done)
        return
    for key in done["changed"]:
        click.echo(f"changed  {key}")
    for key in done["restart_required"]:
        click.echo(f"needs a restart  {key}")
    if not (done["changed"] or done["restart_required"]):
        click.echo("nothing has changed", err=True)


def _check_stored(settings: Settings, parts: Parts) -> None:
    """Models may lead to stored connections, which only the store knows. Raises `SettingsError` where it has none of that
    name; warns where it can't be asked."""
    from promptd.app.routes import make_routes
    from promptd.core.connections import StoredConnection
    from promptd.core.errors import StoreUnavailable
    from promptd.stores.sqlite.database import read_all

    ways = [way for route in parts.routes.values() for way in (route, *(arm.route for arm in route.arms))]
    others = sorted({leg.connection for way in ways for leg in way.legs} - set(settings.connections))
    if not others:
        return
    store = settings.store_path
    why = f"there is no store {store} yet"
    if store.is_file():
        try:
            stored = {connection.name for connection in read_all(store, StoredConnection)}
        except StoreUnavailable as error:
            why = error.message
        else:
            make_routes(settings, stored=stored)
            return
    named = ", ".join(map(repr, others))
    complain(
        f"models lead to {named}, which is no connection of the file; whether one is stored, nobody knows: {why}",
        warning=True,
    )


def _check_machine(settings: Settings) -> None:
    """What the settings ask of this machine. Raises `SettingsError` with the path of the setting."""
    from promptd.core.errors import SettingsError

    server = settings.server
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            server.host, 0, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as listener:
            listener.bind(address)
    except OSError as error:
        raise SettingsError(
            f"server.host: can't listen on {server.host}: {error.strerror or error}", key="server.host"
        ) from None
    if server.tls_cert is not None:
        import ssl

        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(server.tls_cert, server.tls_key)
        except OSError as error:  # what ssl raises is one too
            raise SettingsError(
                f"server.tls_cert: expected PEM files that fit together: {error.strerror or error}",
                key="server.tls_cert",
            ) from None
    home, store = settings.home, settings.store_path
    # `serve` makes the home folder, and no other
    _require_folder(next(place for place in (home, *home.parents) if os.path.lexists(place)), "home")
    if store.parent != home:
        _require_folder(store.parent, "store.path")
    if store.is_dir():
        raise SettingsError(f"store.path: {store} is a folder", key="store.path")


def _require_folder(folder: Path, key: str) -> None:
    """Raises `SettingsError` where no file can be made in `folder`."""
    from promptd.core.errors import SettingsError

    if not folder.is_dir():
        raise SettingsError(f"{key}: there is no folder {folder}", key=key)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SettingsError(f"{key}: the folder {folder} can't be written", key=key)


@click.command()
@json_option
def version(as_json: bool) -> None:
    """Print the versions of promptd and what it runs on."""
    import platform
    import sqlite3
    from importlib import metadata

    from promptd import __version__

    try:
        llama: str | None = metadata.version("xllamacpp")
    except metadata.PackageNotFoundError:
        llama = None
    parts = {
        "promptd": __version__,
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "xllamacpp": llama,
        "platform": f"{platform.system()} {platform.machine()}",
    }
    if as_json:
        print_json(parts)
    else:
        for name, value in parts.items():
            click.echo(f"{name} {value or 'not installed'}")
