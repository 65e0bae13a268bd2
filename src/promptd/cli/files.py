"""`promptd files`: what prompts come with, and what engines make."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from promptd.cli.exits import CliError, Exit
from promptd.cli.options import json_option, with_client
from promptd.cli.output import complain, one_line, print_json, print_table

if TYPE_CHECKING:
    from promptd.cli.client import Client

_PAGE: Final = 1000

output_option = click.option(
    "-o",
    "--output",
    metavar="DIR|FILE",
    help="Where files are saved: a folder (DIR/ makes it), or the name of a file.  [default: this folder]",
)


@click.group()
def files() -> None:
    """Upload, list, get and delete files of prompts."""


@files.command()
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--name", help="What the file is called.  [default: its own name]")
@click.option("--type", "media_type", help="Its media type, such as image/png.  [default: by its extension]")
@json_option
@with_client
def upload(client: Client, paths: tuple[Path, ...], name: str | None, media_type: str | None, as_json: bool) -> Exit:
    """Upload files and print their ids, for `promptd ask --file ID`."""
    from promptd.cli import transfer

    if name is not None and len(paths) > 1:
        raise click.UsageError("--name is for one file")
    outcome = Exit.OK
    for path in paths:
        try:
            record = transfer.upload(client, path, name=name, media_type=media_type)
        except CliError as error:
            _complain_of(error, str(path))
            outcome = outcome or error.exit_code
            continue
        if as_json:
            print_json(record)
        else:
            click.echo(record["id"])
    return outcome


@files.command("list")
@json_option
@with_client
def list_(client: Client, as_json: bool) -> None:
    """List your files, those included that engines made for you."""
    from promptd.cli.client import at

    items = [item for page in client.pages(at("files"), {"limit": _PAGE}) for item in page]
    items.sort(key=lambda item: str(item["created_at"]), reverse=True)
    if as_json:
        print_json({"items": items})
        return
    print_table(
        ("id", "name", "type", "size", "created"),
        ((item["id"], item["name"], item["media_type"], item["size"], item["created_at"]) for item in items),
    )


@files.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@output_option
@json_option
@with_client
def get(client: Client, ids: tuple[str, ...], output: str | None, as_json: bool) -> Exit:
    """Save files and print their names. In a folder nothing is overwritten: a name that is taken gets a number."""
    from promptd.cli import transfer

    outcome = Exit.OK
    for number, id_ in enumerate(ids, 1):
        try:
            path = transfer.download(client, id_, output, number if len(ids) > 1 else None)
        except CliError as error:
            _complain_of(error, id_)
            outcome = outcome or error.exit_code
            continue
        if as_json:
            print_json({"id": id_, "saved": str(path)})
        else:
            click.echo(one_line(str(path)))
    return outcome


@files.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@json_option
@with_client
def delete(client: Client, ids: tuple[str, ...], as_json: bool) -> Exit:
    """Delete files. A prompt that needs one can't run any more."""
    from promptd.cli.client import at

    outcome = Exit.OK
    for id_ in ids:
        try:
            client.call("DELETE", at("files", id_))
        except CliError as error:
            _complain_of(error, id_)
            outcome = outcome or error.exit_code
            continue
        if as_json:
            print_json({"id": id_, "deleted": True})
        else:
            click.echo(f"{id_}  deleted")
    return outcome


def _complain_of(error: CliError, subject: str) -> None:
    """One of several failed; the others are tried. Raises the error where they would fail in the same way."""
    from promptd.cli.client import Unreachable

    if isinstance(error, Unreachable):
        raise error
    complain(error.message if error.message.startswith(subject) else f"{subject}: {error.message}")
