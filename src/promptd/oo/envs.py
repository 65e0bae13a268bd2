"""`oo env`: the servers that this user works with."""

from __future__ import annotations

import socket

import click

from promptd.oo import config as files
from promptd.oo.failure import Failed
from promptd.oo.output import note, print_table
from promptd.oo.wire import parse

PROBE_SECONDS = 1.0


@click.group()
def env() -> None:
    """Environments: add, select, list and remove servers."""


@env.command()
@click.argument("name")
@click.argument("url")
@click.argument("description", required=False, default="")
def add(name: str, url: str, description: str) -> None:
    """Add the server at URL and select it; a known NAME gets the new URL."""
    parse(url)
    if not name.strip():
        raise Failed("NAME: expected a text that is not empty")
    with files.changing(files.default_path()) as config:
        config.add(name, url, description)
        selected = config.selected
    note(f"{name} is {url}" + (", and selected" if selected == name else ""))


@env.command()
@click.argument("name")
def select(name: str) -> None:
    """Use NAME from now on."""
    with files.changing(files.default_path()) as config:
        config.select(name)


@env.command()
def current() -> None:
    """Print the name of the selected environment."""
    click.echo(files.load(files.default_path()).environment().name)


@env.command()
@click.argument("name")
def remove(name: str) -> None:
    """Forget NAME and the tokens of its users."""
    with files.changing(files.default_path()) as config:
        was = config.selected
        config.remove(name)
        selected = config.selected
    if selected != was:
        note(f"{selected} is selected now" if selected else "no environment is selected now")


@env.command(name="list")
def list_() -> None:
    """List environments, and whether something listens at their address."""
    from concurrent.futures import ThreadPoolExecutor

    config = files.load(files.default_path())
    found = [config.environment(name) for name in config.names]
    with ThreadPoolExecutor(max_workers=8) as pool:
        reachable = list(pool.map(_is_reachable, (environment.url for environment in found)))
    print_table(
        ("ENV NAME", "SELECTED", "URL", "DESCRIPTION", "REACHABLE"),
        (
            (each.name, _yes(each.name == config.selected), each.url, each.description, _yes(is_up))
            for each, is_up in zip(found, reachable, strict=True)
        ),
    )


env.add_command(list_, "ls")


def _is_reachable(url: str) -> bool:
    try:
        address = parse(url)
        with socket.create_connection((address.host, address.port), PROBE_SECONDS):
            return True
    except (OSError, Failed):
        return False


def _yes(fact: bool) -> str:
    return "yes" if fact else "no"
