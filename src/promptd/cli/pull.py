"""`promptd models pull`: the server fetches a model; this command watches it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import click

from promptd.cli.exits import CliError, Exit
from promptd.cli.options import json_option, patience_option, with_client
from promptd.cli.output import complain, is_terminal, one_line, print_json

if TYPE_CHECKING:
    from promptd.cli.client import Client

_LOOK_SECONDS: Final = 0.5
_WAIT_SECONDS: Final = 1.0  # between two tries to reach a server that went away

Show = Callable[[dict[str, Any]], None]


@click.command()
@click.argument("source", metavar="URL_OR_ID")
@click.option("--sha256", metavar="HEX", help="SHA-256 that the file must have.")
@patience_option
@json_option
@with_client
def pull(client: Client, source: str, sha256: str | None, patience: float, as_json: bool) -> Exit:
    """Let the server download a model, and watch it.

    URL_OR_ID is an http(s) URL, or owner/repo/file.gguf or owner/repo:Q4_K_M of the hub. Ctrl-C pauses the download; the
    same command goes on where it stopped. What is there already is not fetched again.
    """
    from promptd.cli.client import at

    body = {"url": source} if sha256 is None else {"url": source, "sha256": sha256}
    download = client.call("POST", at("downloads"), body=body)
    try:
        with _progress(one_line(download["name"])) as show:
            download = _watch(client, download, show, patience)
    except KeyboardInterrupt:
        with suppress(KeyboardInterrupt):
            download = client.call("POST", at("downloads", download["id"], "pause"))
        if download["status"] == "paused":
            complain(f"paused {download['name']} at {_amount(download)}; the same command goes on")
            return Exit.INTERRUPTED
    return _told(download, as_json=as_json)


def _watch(client: Client, download: dict[str, Any], show: Show, patience: float) -> dict[str, Any]:
    """The download as soon as it is no longer in progress. Raises `Unreachable` where the server stays away."""
    from promptd.cli.client import Refused, Unreachable, at

    seen = time.monotonic()
    while True:
        show(download)
        if download["status"] != "in_progress":
            return download
        time.sleep(_LOOK_SECONDS)
        try:
            download = client.call("GET", at("downloads", download["id"]))
            seen = time.monotonic()
        except (Unreachable, Refused) as error:
            # a server that is started again goes on with the download
            passing = isinstance(error, Unreachable) or error.status in (429, 503)
            if not passing or time.monotonic() + _WAIT_SECONDS > seen + patience:
                raise
            time.sleep(_WAIT_SECONDS)


def _told(download: dict[str, Any], *, as_json: bool) -> Exit:
    if as_json:
        print_json(download)
    if download["status"] == "completed":
        if not as_json:
            click.echo(f"{one_line(download['name'])}  {download['size']} bytes  sha256 {download['digest']}")
        return Exit.OK
    if download["status"] == "paused":
        raise CliError(f"somebody paused {download['name']} at {_amount(download)}")
    error = download["error"] or {}
    raise CliError(f"{download['name']}: {error.get('message')} ({error.get('code')})")


def _amount(download: dict[str, Any]) -> str:
    size = download["size"]
    return f"{download['received']} bytes" if size is None else f"{download['received']} of {size} bytes"


@contextmanager
def _progress(name: str) -> Iterator[Show]:
    """A progress bar where standard error is a terminal."""
    if not is_terminal(sys.stderr):
        yield lambda download: None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    console = Console(stderr=True)
    with Progress(*columns, TransferSpeedColumn(), TimeRemainingColumn(), console=console, transient=True) as progress:
        task = progress.add_task(escape(name), total=None)

        def show(download: dict[str, Any]) -> None:
            progress.update(task, completed=download["received"], total=download["size"])

        yield show
